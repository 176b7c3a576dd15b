// Package config holds the configuration of the daemon: one YAML file, strictly
// read, in which everything may be left out.
//
// It is pure: bytes in, Config out. It opens no file and asks no clock, and it
// does not look whether a path exists or an address is free; the daemon does,
// and says so at its start. A field added later gets a useful zero value and a
// default, so that the file of an older version still means the same.
package config

import (
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Config is what the daemon needs to know before it starts. Its lists are
// sorted, without duplicates, and nil where they are empty.
type Config struct {
	// Listen are the addresses of the API, over TLS; at least one.
	Listen []netip.AddrPort
	// Socket is the local socket, on which the file's permissions say who is an
	// administrator. Absolute.
	Socket string
	// StateDir holds the database, the keys and the certificates. Absolute.
	StateDir string
	// Hosts are the Linux hosts whose firewall this daemon writes.
	Hosts []Host
	AWS   AWS
	Azure Azure
	// Resync is how long the daemon goes without looking at its firewalls again
	// when nothing happens.
	Resync time.Duration
	// TrustedProxies are believed when they say whom they forward for; nobody
	// else is. None by default.
	TrustedProxies []netip.Prefix
	TLS            TLS
	Identity       Identity
	Log            Log
	Limits         Limits
}

// A Host is one Linux host: this machine, or a network namespace on it.
type Host struct {
	// Name makes the id of the VM; see firewall.HostVM.
	Name string
	// Addresses are where the host is reached; they are shown, nothing is
	// decided by them.
	Addresses []netip.Addr
	// NetNS is the absolute path of a network namespace; empty for that of the
	// daemon itself.
	NetNS string
}

// VM returns the id of the host as a VM.
func (h Host) VM() firewall.VMID { return firewall.HostVM(h.Name) }

// TLS says with which certificate the daemon shows itself.
type TLS struct {
	// Cert and Key are absolute paths of PEM files, both or neither. Without
	// them the daemon makes its own certificate authority at its first start.
	Cert, Key string
	// Names are further names and addresses for the certificate that the daemon
	// makes; its listen addresses and "localhost" are in it anyway.
	Names []string
}

// Own reports whether the daemon makes its own certificate.
func (t TLS) Own() bool { return t.Cert == "" }

// Log says what is logged, and how.
type Log struct {
	Level  string // LevelDebug to LevelError
	Format string // FormatText or FormatJSON
}

// The levels and formats of the log.
const (
	LevelDebug = "debug"
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelError = "error"

	FormatText = "text"
	FormatJSON = "json"
)

// Limits bound what callers can make the daemon do.
type Limits struct {
	Body        int // bytes of one request's body
	Header      int // bytes of one request's header
	Connections int // open at once on all listen addresses; the socket has its own
	Streams     int // event streams open at once
	Rate        int // requests a minute of one principal or, without a token, of one address
	Grants      int // of one principal that are not closed yet
	Waiting     int // requests of one person that wait for approval at once
	Asked       int // requests of one principal for approval within an hour
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Listen:         []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8443)},
		Socket:         "/run/sesame/sesame.sock",
		StateDir:       "/var/lib/sesame",
		Hosts:          nil,
		AWS:            defaultAWS(),
		Azure:          defaultAzure(),
		Resync:         30 * time.Second,
		TrustedProxies: nil,
		TLS:            TLS{Cert: "", Key: "", Names: nil},
		Identity:       defaultIdentity(),
		Log:            Log{Level: LevelInfo, Format: FormatText},
		Limits:         Limits{Body: 1 << 20, Header: 32 << 10, Connections: 1024, Streams: 128, Rate: 600, Grants: 1000, Waiting: 10, Asked: 30},
	}
}

// The bounds of what a file may say.
const (
	MaxListen    = 16
	MaxHosts     = 1000
	MaxAddresses = 64
	MaxProxies   = 64
	MaxNames     = 64

	MinResync = time.Second
	MaxResync = 10 * time.Minute

	// LeastProxyBitsIPv4 and LeastProxyBitsIPv6 are the shortest prefix lengths of
	// trusted proxies: they are believed about who is calling, and whole networks
	// of them are an accident.
	LeastProxyBitsIPv4 = 16
	LeastProxyBitsIPv6 = 48
)
