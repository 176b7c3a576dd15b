package netlab

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// The starter is the one thread that starts all processes of a lab. The kernel
// kills them when it ends (PR_SET_PDEATHSIG looks at the parent thread, not at
// the process), and it ends with the lab, however that comes about.
type starter struct {
	calls chan func()
	quit  chan struct{}
	gone  chan struct{}
}

func newStarter() *starter {
	s := &starter{calls: make(chan func()), quit: make(chan struct{}), gone: make(chan struct{})}
	spawnThread(func() {
		defer close(s.gone)
		for {
			select {
			case call := <-s.calls:
				call()
			case <-s.quit:
				return
			}
		}
	})
	return s
}

// start starts cmd in the network namespace ns.
func (s *starter) start(ns *namespace, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	result := make(chan error, 1)
	call := func() {
		err := ns.enter()
		if err == nil {
			err = cmd.Start()
		}
		result <- err
	}
	select {
	case s.calls <- call:
		return <-result
	case <-s.quit:
		return os.ErrClosed
	}
}

// stop ends the thread and with it whatever it started.
func (s *starter) stop() error {
	close(s.quit)
	<-s.gone
	return nil
}
