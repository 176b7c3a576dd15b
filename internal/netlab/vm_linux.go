package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start starts the VM's first process, which becomes sshd. See becomeVM.
func (v *VM) start(ctx context.Context) error {
	log, err := os.OpenFile(v.machine.file("sshd.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open its log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the VM has its own
	v.cmd = exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe")
	v.cmd.Args = []string{stageVM, v.machine.name, v.machine.lab, v.machine.home, v.machine.sshd}
	v.cmd.Env = []string{pathInside}
	v.cmd.Dir = "/"
	v.cmd.Stderr = log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true, // Ctrl-C is not for it
	}
	if err := v.starter.start(v.ns, v.cmd); err != nil {
		return err
	}
	go func() {
		defer close(v.gone)
		_ = v.cmd.Wait() // how it ended is in its log
	}()
	return nil
}

// await returns when the VM's sshd answers.
func (v *VM) await(ctx context.Context) error {
	const pause = 3 * time.Millisecond
	for {
		err := v.greet(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-v.gone:
			return fmt.Errorf("start sshd in %s: it ended, saying: %s", v.name, v.Log())
		case <-ctx.Done():
			return fmt.Errorf("wait for sshd in %s: %w (last: %w); it says: %s", v.name, ctx.Err(), err, v.Log())
		case <-time.After(pause):
		}
	}
}

// greet connects to the VM's sshd, from the VM itself, and hears its name.
func (v *VM) greet(ctx context.Context) error {
	c, err := v.Dial(ctx, "tcp", netip.AddrPortFrom(v.addr4, 22).String())
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // only read
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	if _, err := io.ReadFull(c, make([]byte, len("SSH-2.0"))); err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	return nil
}

// kill ends the VM and waits until all its processes are gone: they go with the
// first process of their pid namespace.
func (v *VM) kill() error {
	if err := v.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", v.name, err)
	}
	<-v.gone
	return nil
}
