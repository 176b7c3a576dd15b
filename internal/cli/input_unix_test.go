//go:build unix

package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Every file that is named may be a pipe that nobody writes to, or have no end.
func TestEveryFileIsBoundedAndCanBeInterrupted(t *testing.T) {
	_, key, err := note.GenerateKey(rand.Reader, "sesame/test")
	if err != nil {
		t.Fatal(err)
	}
	const server, tooLong = " --server https://127.0.0.1:1", "longer than 1048576 bytes"
	for _, c := range []struct{ args, endless string }{
		{"config check FILE", tooLong},
		{"config check CONFIG", tooLong}, // it names FILE as the certificate
		{"serve --config FILE", tooLong},
		{"sweep --config FILE", tooLong},
		{"doctor --config FILE", tooLong},
		{"policy apply FILE --dry-run", tooLong},
		{"vms --token-file FILE" + server, tooLong},
		{"vms --ca FILE" + server, tooLong},
		{"vms", tooLong}, // client.yaml is FILE
		{"audit verify --earlier FILE", tooLong},
		{"audit verify FILE --key " + key, "this cannot be verified"},
	} {
		t.Run(c.args, func(t *testing.T) {
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, interrupt := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, interrupt)
			if code, said := mainOn(ctx, t, c.args, pipe); code != 130 || !strings.Contains(said, "interrupted; nothing was changed") {
				t.Errorf("a pipe without a writer: exit code %d, %s", code, said)
			}
			if code, said := mainOn(t.Context(), t, c.args, "/dev/zero"); code == 0 || !strings.Contains(said, c.endless) {
				t.Errorf("a file without an end: exit code %d, %s", code, said)
			}
		})
	}
}

// mainOn runs a command line in which FILE is the file, and in whose place the
// client's configuration is.
func mainOn(ctx context.Context, t *testing.T, args, file string) (code int, said string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	cfg := filepath.Join(dir, "sesame.yaml")
	text := "tls:\n  cert: " + file + "\n  key: " + file + "\n"
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if args == "vms" {
		if err := os.Mkdir(filepath.Join(dir, "sesame"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, filepath.Join(dir, "sesame", "client.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	code = Main(ctx, strings.Fields(strings.NewReplacer("FILE", file, "CONFIG", cfg).Replace(args)), strings.NewReader(""), &out, &out)
	return code, out.String()
}
