package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/sqlite"
)

// No test here can take the power away; the settings that survive that are held
// fast instead.
func TestSettings(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "10000",
		"trusted_schema": "0", "cell_size_check": "1",
	} {
		var got string
		if err := db.Write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s; %v", pragma, got, want, err)
		}
	}
	if _, err := db.Read.ExecContext(t.Context(), "DELETE FROM records"); err == nil {
		t.Error("a reader may write")
	}
}

func TestOneProcessAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); errkind.Of(err) != errkind.Conflict || !strings.Contains(errkind.Public(err), "in use by another process") {
		t.Errorf("a second one opens it, too: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = sqlite.Open(t.Context(), path); err != nil {
		t.Fatalf("once it is free it cannot be opened: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
