// Package sqlite opens a file of ours with the settings that durability needs,
// after it was found whole, and brings its schema up to date. An open file is
// one process's alone, so that what this process wrote last is what it says.
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

// A DB is an open file.
type DB struct {
	// Write is the pool of the one connection that writes, Read that of those
	// that read.
	Write, Read *sql.DB

	lock *os.File
}

// Open opens the file called path, and makes it if it does not exist, for its
// owner alone. An error of kind Unavailable says that the file is damaged or was
// written by a newer version, one of kind Conflict that another process has it,
// and what to do.
func Open(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	lock, err := claim(path)
	if err != nil {
		return nil, err
	}
	write, read, err := open(ctx, path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &DB{Write: write, Read: read, lock: lock}, nil
}

// Close closes the file and gives it free.
func (db *DB) Close() error {
	return errors.Join(db.Read.Close(), db.Write.Close(), db.lock.Close())
}

// claim takes the lock that says whose the file is; it ends with the process. It
// lies beside the file, because closing any descriptor of the file itself would
// end the locks that SQLite holds on it.
func claim(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if !tryLock(lock) {
		return nil, errors.Join(lock.Close(), errkind.New(errkind.Conflict,
			"the database %s is in use by another process. One server keeps one database: stop the other one, or give this one another --state-dir", path))
	}
	return lock, nil
}

func open(ctx context.Context, path string) (write, read *sql.DB, err error) {
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
