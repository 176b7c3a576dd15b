// Package place is the directory of a running demo: the well-known one, which
// one demo at a time has, or a private one. It goes with the demo, however that
// ends.
//
// A lock on the directory says whose it is, and the kernel drops the lock with
// the process. A small second process, the reaper, then removes the directory;
// when another demo was quicker to claim it, that one has emptied it.
package place

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
)

// Default returns the directory of the demo that this user runs on this machine:
// where the command line looks for one.
func Default() string {
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		return "/run/sesame-demo"
	}
	return filepath.Join(os.TempDir(), "sesame-demo-"+strconv.Itoa(os.Geteuid()))
}

// Private makes a directory of its own for a demo that nobody has to find, next
// to where the others are: any number of them can run at once. Whoever claims it
// has it removed in the end.
func Private() (string, error) {
	dir, err := os.MkdirTemp(filepath.Dir(Default()), "sesame-play-") // 0700
	if err != nil {
		return "", fmt.Errorf("make the demo's directory: %w", err)
	}
	return dir, nil
}

// EnvFile is the file that says where the demo's server is.
const EnvFile = "env"

// pidFile says which process the demo is.
const pidFile = "pid"

// A Place is a claimed directory.
type Place struct {
	dir  string
	lock *os.File
	reap func() error // has the reaper do its work, and waits for it
}

// patience is how long a claim waits for the reaper of a demo that has just
// died, and a reaper for the lock.
const patience = 5 * time.Second

// Claim makes the directory and claims it. What a dead demo left there is
// removed. The file also, absolute, is a copy of EnvFile that goes with the
// directory, unless somebody has written something else into it; empty for none.
func Claim(dir, also string) (*Place, error) {
	start := time.Now()
	for {
		lock, err := tryClaim(dir)
		if err != nil {
			return nil, err
		}
		if lock == nil {
			if pid := living(dir); pid != 0 {
				return nil, errkind.New(errkind.Conflict,
					"a demo runs already, with its files in %s: process %d; end it with Ctrl-C in its terminal, or with: kill %d", dir, pid, pid)
			}
			if time.Since(start) > patience {
				return nil, errkind.New(errkind.Conflict, "%s is held by another process that does not say who it is; try again", dir)
			}
			<-time.After(10 * time.Millisecond)
			continue
		}
		p := &Place{dir: dir, lock: lock, reap: nil}
		if err := p.furnish(also); err != nil {
			return nil, errors.Join(err, p.Release())
		}
		return p, nil
	}
}

// tryClaim returns the lock, or none when somebody else has it or the directory
// vanished meanwhile.
func tryClaim(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the demo's directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the demo's directory: %w", err)
	}
	if !ours(info) {
		return nil, errkind.New(errkind.Conflict, "%s is where the demo puts its files, but it is not a directory of yours that nobody else may look into; remove it", dir)
	}
	lock, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the demo's directory: %w", err)
	}
	if !tryLock(lock) || !is(dir, lock) {
		return nil, lock.Close()
	}
	return lock, nil
}

// is reports whether the name still leads to the open directory.
func is(dir string, file *os.File) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(dir)
	return err == nil && os.SameFile(opened, named)
}

// living returns the process that says the demo in dir is its own, 0 if there
// is none.
func living(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || !alive(pid) {
		return 0
	}
	return pid
}

// furnish empties the directory, says whose it is, and starts its reaper.
func (p *Place) furnish(also string) error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("look into the demo's directory: %w", err)
	}
	if err := removeAlso(p.dir, also); err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(p.dir, e.Name())); err != nil {
			return fmt.Errorf("remove what an earlier demo left: %w", err)
		}
	}
	if err := p.Write(pidFile, strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return err
	}
	p.reap, err = startReaper(p.dir, also)
	return err
}

// Release ends the claim and removes the directory.
func (p *Place) Release() error {
	var errs []error
	if p.reap == nil { // there is no reaper, so this is ours to do
		errs = append(errs, os.RemoveAll(p.dir))
	}
	errs = append(errs, p.lock.Close())
	if p.reap != nil {
		errs = append(errs, p.reap())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the demo's directory: %w", err)
	}
	return nil
}

// Dir returns the directory.
func (p *Place) Dir() string { return p.dir }

// Path returns the path of a file in the directory.
func (p *Place) Path(name string) string { return filepath.Join(p.dir, name) }

// Write writes a file in the directory; see Replace.
func (p *Place) Write(name, text string) error { return Replace(p.Path(name), text) }

// Replace writes a file as a whole, for its owner's eyes only: who reads it finds
// all of text, or what was there before.
func Replace(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// Writable returns why Replace could not write a file, as far as that can be
// known beforehand. It leaves nothing behind.
func Writable(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// removeAlso removes the file that --env-file named if it still is what the
// demo in dir wrote there.
func removeAlso(dir, also string) error {
	if also == "" {
		return nil
	}
	written, errWritten := os.ReadFile(filepath.Join(dir, EnvFile))
	text, err := os.ReadFile(also)
	if errWritten != nil || err != nil || !bytes.Equal(text, written) {
		return nil //nolint:nilerr // not written yet, gone, or somebody else's by now
	}
	if err := os.Remove(also); err != nil {
		return fmt.Errorf("remove the demo's file: %w", err)
	}
	return nil
}
