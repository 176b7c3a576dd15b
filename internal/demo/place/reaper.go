package place

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// stageReaper is what the reaper is called, in place of the program's name.
const stageReaper = "sesame-demo-reaper"

// Stage takes over when this process was started as a reaper. It reports whether
// it did, and with which error.
func Stage(args []string) (ran bool, err error) {
	if len(args) != 3 || args[0] != stageReaper {
		return false, nil
	}
	return true, reap(args[1], args[2], os.Stdin)
}

// startReaper starts the process that removes the demo's files when this one
// ends, however that comes about. It notices by the end of a pipe. Stop makes it
// do so now, and waits for it.
func startReaper(dir, also string) (stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self) //nolint:gosec,noctx // it is this program, and outlives every context
	cmd.Args = []string{stageReaper, dir, also}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	outlive(cmd)
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the demo's reaper: %w", err)
	}
	return func() error {
		if err := errors.Join(pipe.Close(), cmd.Wait()); err != nil {
			return fmt.Errorf("wait for the demo's reaper: %w", err)
		}
		return nil
	}, nil
}

// reap is the reaper. The directory's lock says whether the directory is still
// the dead demo's: another one that was quicker has emptied it already.
func reap(dir, also string, parent io.Reader) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	lock, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its owner is gone, and so was everything by another's hand
	}
	if err != nil {
		return fmt.Errorf("open the demo's directory: %w", err)
	}
	defer lock.Close() //nolint:errcheck // only read
	if _, err := io.Copy(io.Discard, parent); err != nil {
		return fmt.Errorf("wait for the parent's end: %w", err)
	}
	// The kernel closes the pipe of a dying process a little before it drops the
	// lock.
	for begin := time.Now(); !tryLock(lock); <-time.After(time.Millisecond) {
		if time.Since(begin) > patience {
			return nil
		}
	}
	if !is(dir, lock) {
		return nil
	}
	return errors.Join(removeAlso(dir, also), os.RemoveAll(dir))
}
