package nftables

import (
	"log/slog"
	"net/netip"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Config says which hosts to protect, and with what.
type Config struct {
	Hosts []Host
	// Keyring makes and verifies the marks.
	Keyring firewall.Keyring
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	Log    *slog.Logger
}

// A Host is one Linux network namespace with a firewall of its own.
type Host struct {
	// Name is a name as [firewall.ValidName] has it.
	Name string
	// Addresses are where people reach the host.
	Addresses []netip.Addr
	// NetnsPath is a file that stands for the host's network namespace, such as
	// /run/netns/web-1; empty for the one that this process runs in.
	NetnsPath string
}

const scheme = "nftables://"

// FirewallID returns the id of the firewall of the host called name.
func FirewallID(name string) firewall.ID { return firewall.ID(scheme + name) }
