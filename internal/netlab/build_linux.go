package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"time"
)

// bootTime is how long a lab may take to come up. It takes a fraction of it.
const bootTime = 20 * time.Second

// New builds a laboratory and returns when every sshd answers. The context is
// for building only; the lab lives until Close, or until the process ends.
func New(ctx context.Context, o Options) (lab *Lab, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, ErrNeedsRoot
	}
	sshd, err := findSSHD()
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("find out who we are: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	l := &Lab{subnet: candidates()[0]}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := l.makeDir(ctx, o.Base); err != nil {
		return nil, err
	}
	if err := l.addHosts(o, machine{lab: l.dir, home: me.HomeDir, sshd: sshd}); err != nil {
		return nil, err
	}
	if err := writeSSHFiles(ctx, l.dir, me.Username, l.vms); err != nil {
		return nil, err
	}
	if err := l.startVMs(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// findSSHD returns the path of OpenSSH's server. It is seldom on the path of
// anybody but root.
func findSSHD() (string, error) {
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if path, err := exec.LookPath(name); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", ErrNoSSHD
}

// makeDir makes the lab's directory, which the reaper watches over from the
// first file on.
func (l *Lab) makeDir(ctx context.Context, base string) error {
	dir, lock, err := newDir(base)
	if err != nil {
		return err
	}
	l.dir = dir
	l.undo = append(l.undo, lock.Close, func() error { return removeDir(dir) })
	stop, err := startReaper(ctx, dir)
	if err != nil {
		return err
	}
	l.undo = append(l.undo, stop)
	return nil
}

// addHosts makes the network and all hosts on it. The caller comes first: it
// decides which subnet is free.
func (l *Lab) addHosts(o Options, m machine) error {
	l.starter = newStarter()
	l.undo = append(l.undo, l.starter.stop)
	ns, err := newNamespace()
	if err != nil {
		return err
	}
	l.undo = append(l.undo, ns.file.Close)
	sw, err := newSwitch(ns)
	if err != nil {
		return err
	}
	if o.Caller {
		if err := l.addCaller(sw); err != nil {
			return fmt.Errorf("plug in the caller: %w", err)
		}
	}
	for i, name := range o.VMs {
		m.name = name
		vm := &VM{machine: m, gone: make(chan struct{})}
		if vm.Host, err = l.addHost(sw, name, firstVM+i); err != nil {
			return fmt.Errorf("plug in %s: %w", name, err)
		}
		l.vms = append(l.vms, vm)
	}
	for i, name := range o.Clients {
		client, err := l.addHost(sw, name, firstClient+i)
		if err != nil {
			return fmt.Errorf("plug in %s: %w", name, err)
		}
		l.clients = append(l.clients, client)
	}
	return nil
}

// addCaller plugs the calling thread's namespace in, on a subnet it has free.
func (l *Lab) addCaller(sw *ethernet) error {
	ns, err := currentNamespace()
	if err != nil {
		return err
	}
	l.caller = &Host{name: "caller", ns: ns, starter: l.starter}
	l.undo = append(l.undo, ns.file.Close, func() error { return sw.unplug(callerNumber) })
	l.subnet, err = sw.plugCaller(l.caller)
	return err
}

// addHost makes one host with a namespace of its own.
func (l *Lab) addHost(sw *ethernet, name string, number int) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	l.undo = append(l.undo, ns.file.Close)
	h := &Host{name: name, ns: ns, starter: l.starter}
	return h, sw.plug(h, hostLink, l.subnet, number)
}

// startVMs starts every sshd and waits until all of them answer.
func (l *Lab) startVMs(ctx context.Context) error {
	for _, vm := range l.vms {
		if err := vm.start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", vm.name, err)
		}
		l.undo = append(l.undo, vm.kill)
	}
	answers := make(chan error, len(l.vms))
	for _, vm := range l.vms {
		go func() { answers <- vm.await(ctx) }()
	}
	var errs []error
	for range l.vms {
		errs = append(errs, <-answers)
	}
	return errors.Join(errs...)
}

// tearDown undoes what New has done, however far it came, the last thing first.
func (l *Lab) tearDown() error {
	var errs []error
	for _, undo := range slices.Backward(l.undo) {
		errs = append(errs, undo())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take the lab down: %w", err)
	}
	return nil
}
