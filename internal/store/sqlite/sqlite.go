// Package sqlite opens a file of ours with the settings that durability needs,
// after it was found whole, and brings its schema up to date.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/table"
)

// readers is how many reads run at the same time.
const readers = 8

// Open opens the file called path, and makes it if it does not exist, for its
// owner alone. It returns the pool of the one connection that writes and the
// pool of those that read. An error of kind Unavailable says that the file is
// damaged or was written by a newer version, and what to do.
func Open(ctx context.Context, path string) (write, read *sql.DB, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	write, err = connect(path, "immediate", 1,
		// A commit is on the disk before it is acknowledged, and what is deleted is
		// overwritten.
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)",
		// Savepoints are kept in memory, 32 MiB of pages too, and checkpoints are
		// the Tidier's, unless it falls 64 MiB behind.
		"temp_store(MEMORY)", "cache_size(-32768)", "wal_autocheckpoint(16384)")
	if err != nil {
		return nil, nil, err
	}
	if err = inspect(ctx, write, path); err == nil {
		err = migrate(ctx, write, path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	read, err = connect(path, "deferred", readers, "query_only(1)")
	if err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	return write, read, nil
}

// connect opens a pool of connections to the file.
func connect(path, lock string, size int, pragmas ...string) (*sql.DB, error) {
	settings := url.Values{"_txlock": {lock}}
	// A busy file is waited for, a cell that points outside its page is an error,
	// and the schema of a foreign file runs nothing of ours.
	for _, p := range append([]string{"busy_timeout(10000)", "cell_size_check(1)", "trusted_schema(0)"}, pragmas...) {
		settings.Add("_pragma", p)
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: settings.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// Damaged says what a broken database means and what to do.
func Damaged(path string, err error) error {
	return errkind.Wrap(errkind.Unavailable, err,
		"the database %s is damaged (%v), so nothing can be opened. What is open is still closed: firewalls that can do so close by themselves, and `sesame sweep` needs no database. Restore a backup, or move the file away to begin anew", path, err)
}

// inspect reads the whole file once, so that damage is found before anything is
// decided by it.
func inspect(ctx context.Context, db *sql.DB, path string) error {
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return Damaged(path, err)
	}
	if found != "ok" {
		return Damaged(path, errors.New(found))
	}
	return nil
}

// migrate brings an older file up to date, each step in a transaction.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	steps, err := fs.Sub(table.Migrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, steps)
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return Damaged(path, err)
	}
	sources := provider.ListSources()
	if known := sources[len(sources)-1].Version; have > known {
		return errkind.New(errkind.Unavailable,
			"the database %s was written by a newer version of Sesame (schema %d; this one knows %d). Start that version, or restore a backup from before it", path, have, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database %s: %w", path, err)
	}
	return nil
}
