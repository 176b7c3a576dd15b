package sqlite_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/sesame-access/sesame/internal/store/sqlite"
	"github.com/sesame-access/sesame/internal/store/table"
)

// What an older version wrote is all there after the step to tables by id, and
// what refers to what still does.
func TestTablesByID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	old, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	steps, err := fs.Sub(table.Migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, old, steps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	q := table.New(old)
	for n := range 100 {
		id, request := fmt.Sprintf("g-%d", n*37%100), fmt.Sprintf("r-%d", n*37%100)
		// As the program of that time did: the table has got columns since.
		_, err := old.ExecContext(t.Context(), `INSERT INTO requests VALUES (?, '', '', '', '', '', '', 0, 0, ?, 0, 0, '')`, request, "why "+request)
		if err == nil {
			err = q.AddRequestVM(t.Context(), table.AddRequestVMParams{VM: "host://web-1", Request: request})
		}
		if err == nil {
			_, err = q.AddGrant(t.Context(), table.AddGrantParams{ID: id, Request: request, Epoch: int64(n), Impeded: "by " + id})
		}
		if err == nil {
			err = q.AddGrantSource(t.Context(), table.AddGrantSourceParams{Source: "192.0.2.1/32", GrantID: id})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q = table.New(db.Write)
	for n := range 100 {
		id, request := fmt.Sprintf("g-%d", n), fmt.Sprintf("r-%d", n)
		g, err := q.Grant(t.Context(), id)
		if err != nil || g.Request != request || g.Impeded != "by "+id || g.Epoch*37%100 != int64(n) {
			t.Errorf("grant %s is %+v, %v", id, g, err)
		}
		if r, err := q.Request(t.Context(), request); err != nil || r.Reason != "why "+request {
			t.Errorf("request %s is %+v, %v", request, r, err)
		}
	}
	if all, err := q.GrantsAt(t.Context(), table.GrantsAtParams{Source: "192.0.2.1/32"}); err != nil || len(all) != 100 {
		t.Errorf("%d grants are found by their source, want 100: %v", len(all), err)
	}
	if err := q.AddRequestVM(t.Context(), table.AddRequestVMParams{VM: "host://web-1", Request: "r-none"}); err == nil {
		t.Error("a VM may belong to a request that does not exist")
	}
	if err := q.AddGrantSource(t.Context(), table.AddGrantSourceParams{GrantID: "g-none"}); err == nil {
		t.Error("a source may belong to a grant that does not exist")
	}
}

// A role that an older version gave for all VMs is at the scope of everything, and
// one for a VM at that VM.
func TestRolesAtScopes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	old, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := fs.Sub(table.Migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, old, steps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	for _, vm := range []string{"", "host://web-1"} {
		if _, err := old.ExecContext(t.Context(), "INSERT INTO assignments VALUES ('local', 'ana', 'requester', ?, 'Ana')", vm); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := table.New(db.Write).Assignments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []table.Assignment{
		{Issuer: "local", Subject: "ana", Role: "requester", Scope: "/", Display: "Ana"},
		{Issuer: "local", Subject: "ana", Role: "requester", Scope: "host://web-1", Display: "Ana"},
	}
	if !slices.Equal(rows, want) {
		t.Errorf("%+v", rows)
	}
}

// Nothing that is asked again and again looks through a whole table.
func TestNothingIsScanned(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{
		"SELECT * FROM grants WHERE id = 'g'",
		"SELECT * FROM grants WHERE closed <= 0 ORDER BY id",
		"SELECT * FROM grants ORDER BY created DESC, id DESC LIMIT 10",
		"SELECT * FROM grants WHERE request = 'r' ORDER BY created DESC, id DESC LIMIT 10",
		"SELECT * FROM grants WHERE vm = 'v' ORDER BY created DESC, id DESC LIMIT 10",
		"SELECT * FROM grants WHERE issuer = 'i' AND subject = 's' ORDER BY created DESC, id DESC LIMIT 10",
		"SELECT grants.* FROM grant_sources JOIN grants ON grants.id = grant_sources.grant_id WHERE grant_sources.vm = 'v'",
		"SELECT * FROM requests WHERE id = 'r'",
		"SELECT * FROM requests ORDER BY asked DESC, id DESC LIMIT 10",
		"SELECT * FROM records WHERE vm <> '' AND vm = ? ORDER BY idx DESC LIMIT 10",
		"SELECT * FROM records WHERE request <> '' AND request = ? ORDER BY idx DESC LIMIT 10",
		"SELECT * FROM records WHERE request <> '' AND request = (SELECT request FROM grants WHERE id = ?) AND grant_id = ? ORDER BY idx DESC LIMIT 10",
	} {
		for _, detail := range explain(t, db.Read, query) {
			// A request has few grants; they may be sorted.
			sorted := strings.HasPrefix(detail, "USE TEMP B-TREE") && !strings.Contains(query, "FROM grants WHERE request =")
			if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "USING INDEX") || sorted {
				t.Errorf("%s: %s", query, detail)
			}
		}
	}
}

// explain returns the steps in which the database answers a query.
func explain(t *testing.T, db *sql.DB, query string) (details []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{"x"}, strings.Count(query, "?"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		details = append(details, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return details
}
