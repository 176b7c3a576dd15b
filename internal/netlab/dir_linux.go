package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/errkind"
)

// dirPrefix begins the name of every lab's directory.
const dirPrefix = "sesame-lab-"

// newDir makes a directory for a lab below base and locks it. The lock says
// that its owner lives: the kernel drops it with the process.
func newDir(base string) (dir string, lock *os.File, err error) {
	if base == "" {
		base = os.TempDir()
	}
	if base, err = filepath.Abs(base); err == nil {
		base, err = filepath.EvalSymlinks(base)
	}
	if err != nil {
		return "", nil, fmt.Errorf("find the lab's base directory: %w", err)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9/._+@:,=-]+$`).MatchString(base) {
		return "", nil, errkind.Bad("base", base,
			"a directory whose path has only letters, digits and /._+@:,=- (ssh_config gives other characters a meaning)")
	}
	if dir, err = os.MkdirTemp(base, dirPrefix); err != nil {
		return "", nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	lock, err = os.Open(dir)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock the lab's directory: %w", err), os.Remove(dir))
	}
	return dir, lock, nil
}

// removeDir removes a lab's directory and nothing that is named otherwise.
func removeDir(dir string) error {
	if !strings.HasPrefix(filepath.Base(dir), dirPrefix) {
		return fmt.Errorf("remove %s: not the directory of a lab", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the lab's directory: %w", err)
	}
	return nil
}

// Stale removes the directories that dead labs left below base, which is as in
// Options. Directories of other users, and of labs that live, are left alone.
func Stale(base string) error {
	if base == "" {
		base = os.TempDir()
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return fmt.Errorf("look for leftovers of labs: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), dirPrefix) {
			errs = append(errs, removeStale(filepath.Join(base, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// removeStale removes the directory if it is ours, and dead.
func removeStale(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // not a directory, or gone by now
	}
	file := os.NewFile(uintptr(fd), dir)
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return nil
	}
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // its lab lives
	}
	if _, err := file.ReadDir(1); errors.Is(err, io.EOF) && time.Since(info.ModTime()) < time.Minute {
		return nil // its lab is just about to lock it
	}
	return removeDir(dir)
}

// startReaper starts a process that outlives this one and removes the lab's
// directory when this one ends without Close. It notices by the end of a pipe.
// Stop makes it do so now, and waits for it.
func startReaper(ctx context.Context, dir string) (stop func() error, err error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe")
	cmd.Args = []string{stageReaper, dir}
	cmd.Env = []string{pathInside}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return func() error {
		if err := errors.Join(pipe.Close(), cmd.Wait()); err != nil {
			return fmt.Errorf("wait for the reaper: %w", err)
		}
		return nil
	}, nil
}

// reap is the reaper: it waits until its parent is gone, or has no more use for
// the lab's directory, and removes that.
func reap(dir string, parent io.Reader) error {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	if _, err := io.Copy(io.Discard, parent); err != nil {
		return fmt.Errorf("wait for the parent's end: %w", err)
	}
	return removeDir(dir)
}
