// Package ground is what the demo's VMs stand on: network namespaces with a real
// sshd in each, behind the kernel's own firewall, or a simulation in the memory
// of this process.
//
// Both grounds answer the same questions. A new connection from this terminal or
// from a stranger on the same network gets through, or does not, and that is
// found out by trying: on the kernel by a connection that is really made, in the
// simulation by walking a packet through the rules. Nobody asks the server. A
// session that was logged in to goes on, or is gone. Flush removes every rule in
// front of a VM behind Sesame's back, as somebody with root there could.
//
// A ground says of itself what it is: where there is an ssh_config there are
// machines to log in to, and where there are Providers nothing is real. Close
// removes everything that was made, in any state; on the kernel it goes with the
// process, too.
//
// Beside either ground there can be Accounts of clouds, which are always simulated.
package ground

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// A Side is where a connection comes from.
type Side int

// The sides.
const (
	You      Side = iota // this terminal
	Stranger             // another machine on the same network
)

// A Ground is what the demo's VMs and the network between them are made of.
type Ground interface {
	// Site says what was built.
	Site() Site
	// Knock opens a new connection and reports whether it got through until ctx
	// is done.
	Knock(ctx context.Context, from Side, vm string, port uint16) (bool, error)
	// Login starts a session in a VM, from this terminal.
	Login(ctx context.Context, vm string) (Session, error)
	// Flush removes every rule in front of a VM, as somebody on it could.
	Flush(ctx context.Context, vm string) error
	// Close removes everything.
	Close() error
}

// A Site is what the server and the reader need to know about a ground.
type Site struct {
	Hosts    []config.Host // sorted by name; none where Providers are not nil
	You      netip.Addr    // where this terminal's packets come from; the server listens there, too
	Stranger netip.Addr
	// Allowed are the sources that the demo's policy takes. Ranges like these
	// are taken by none that does not list them.
	Allowed []netip.Prefix
	// SSHConfig is the path of a client configuration that knows the VMs; empty
	// where there is nothing to log in to.
	SSHConfig string
	// Providers make the firewalls that the server writes; nil for the kernel's.
	Providers func(firewall.Keyring) []provider.Provider
}

// A Session is an established connection.
type Session interface {
	// Alive returns nil if data still goes both ways.
	Alive(ctx context.Context) error
	Close() error
}

// sshPort is where a login goes.
const sshPort = 22

// FreePort returns a port that is free at addr: the wanted one if it is, another
// one otherwise. Somebody else may take it before its user does.
func FreePort(ctx context.Context, addr netip.Addr, wanted uint16) (uint16, error) {
	var failed error
	for _, port := range []uint16{wanted, 0} {
		var c net.ListenConfig
		l, err := c.Listen(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil {
			failed = err
			continue
		}
		a, err := netip.ParseAddrPort(l.Addr().String())
		return a.Port(), errors.Join(err, l.Close())
	}
	return 0, fmt.Errorf("find a free port: %w", failed)
}
