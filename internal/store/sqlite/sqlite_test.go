package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/sesame-access/sesame/internal/store/sqlite"
)

// No test here can take the power away; the settings that survive that are held
// fast instead.
func TestSettings(t *testing.T) {
	write, read, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	defer read.Close()
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "10000",
		"trusted_schema": "0", "cell_size_check": "1",
	} {
		var got string
		if err := write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s; %v", pragma, got, want, err)
		}
	}
	if _, err := read.ExecContext(t.Context(), "DELETE FROM records"); err == nil {
		t.Error("a reader may write")
	}
}
