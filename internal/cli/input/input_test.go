package input_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sesame-access/sesame/internal/cli/input"
)

func TestReadFileTakesWhatIsNotTooLong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, long := range []int{0, 1, input.MaxBytes, input.MaxBytes + 1} {
		want := bytes.Repeat([]byte("x"), long)
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := input.ReadFile(t.Context(), file)
		if long > input.MaxBytes {
			if !errors.Is(err, input.ErrTooLong) || got != nil {
				t.Errorf("%d bytes: %d were read, error %v", long, len(got), err)
			}
		} else if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d were read, error %v", long, len(got), err)
		}
	}
}

func TestErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	done, end := context.WithCancel(t.Context())
	end()
	for file, c := range map[string]struct {
		ctx  context.Context
		want error
	}{
		dir + "/missing": {t.Context(), fs.ErrNotExist},
		dir:              {t.Context(), nil}, // a directory
		"/dev/null":      {done, context.Canceled},
	} {
		_, err := input.ReadFile(c.ctx, file)
		about, ok := errors.AsType[*fs.PathError](err)
		if !ok || about.Path != file || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
