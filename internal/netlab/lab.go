package netlab

import (
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
)

// Lab is a running laboratory. Its methods may be called at the same time.
type Lab struct {
	dir     string // holds all files of the lab
	subnet  subnet
	starter *starter
	undo    []func() error // what Close does, the last first

	vms     []*VM   // in the order of Options
	clients []*Host // likewise
	caller  *Host   // nil unless asked for

	closing  sync.Once
	closeErr error
}

// Dir returns the lab's directory. It is removed when the lab ends.
func (l *Lab) Dir() string { return l.dir }

// SSHConfig returns the path of a client configuration that knows every VM by
// its name, for ssh -F. NAME.v6 is the same VM over IPv6.
func (l *Lab) SSHConfig() string { return filepath.Join(l.dir, "ssh_config") }

// Subnets returns the two networks of the lab. The second is not valid on a
// machine without IPv6.
func (l *Lab) Subnets() (v4, v6 netip.Prefix) { return l.subnet.address(0) }

// VMs returns the virtual machines in the order of Options.
func (l *Lab) VMs() []*VM { return slices.Clone(l.vms) }

// VM returns the virtual machine of that name, nil if there is none.
func (l *Lab) VM(name string) *VM {
	for _, v := range l.vms {
		if v.Name() == name {
			return v
		}
	}
	return nil
}

// Client returns the client of that name, nil if there is none.
func (l *Lab) Client(name string) *Host {
	for _, h := range l.clients {
		if h.Name() == name {
			return h
		}
	}
	return nil
}

// Caller returns the namespace that called New as a host of the lab, nil unless
// Options asked for it.
func (l *Lab) Caller() *Host { return l.caller }

// Close ends every process of the lab, removes its interfaces and its directory,
// and returns when they are gone. Connections and listeners that the lab handed
// out belong to whoever has them: a namespace stays until the last of them is
// closed. Closing again does nothing and returns the same error.
func (l *Lab) Close() error {
	l.closing.Do(func() { l.closeErr = l.tearDown() })
	return l.closeErr
}
