package store_test

import (
	"path/filepath"
	"testing"

	"github.com/sesame-access/sesame/internal/store"
	"github.com/sesame-access/sesame/internal/store/storetest"
)

func openIn(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(dir, "sesame.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSQLite(t *testing.T) { storetest.Run(t, openIn) }
