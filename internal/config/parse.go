package config

import (
	"cmp"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Parse reads a configuration file and validates it; what it leaves out is as
// in Default. The error is of kind errkind.Invalid and names line, field, value
// and what would be right for every mistake.
func Parse(text []byte) (Config, error) { return document.Read(text, fromDocument) }

func fromDocument(root document.Value) Config {
	def := Default()
	m := root.Map("listen", "socket", "state_dir", "hosts", "aws", "azure", "resync", "trusted_proxies", "tls", "identity", "log", "limits")
	out := Config{
		Listen:         document.Texts(m.Get("listen"), 1, MaxListen, parseListen, netip.AddrPort.Compare),
		Socket:         document.Text(m.Get("socket"), def.Socket, parseSocket),
		StateDir:       document.Text(m.Get("state_dir"), def.StateDir, parsePath),
		Hosts:          hostsFrom(m.Get("hosts")),
		AWS:            awsFrom(m.Get("aws")),
		Azure:          azureFrom(m.Get("azure")),
		Resync:         document.Text(m.Get("resync"), def.Resync, parseResync),
		TrustedProxies: document.Texts(m.Get("trusted_proxies"), 0, MaxProxies, parseProxy, netip.Prefix.Compare),
		TLS:            tlsFrom(m.Get("tls")),
		Identity:       identityFrom(m.Get("identity")),
		Log:            def.Log,
		Limits:         limitsFrom(m.Get("limits"), def.Limits),
	}
	if m.Get("listen").Missing() {
		out.Listen = def.Listen
	}
	log := m.Get("log").Map("level", "format")
	out.Log.Level = document.Text(log.Get("level"), def.Log.Level, parseLevel)
	out.Log.Format = document.Text(log.Get("format"), def.Log.Format, parseFormat)
	return out
}

// hostsFrom reads the hosts. No two share a name or a network namespace: each
// namespace has one firewall, and each firewall one writer.
func hostsFrom(v document.Value) []Host {
	namespaces := map[string]string{}
	return document.Items(v, 0, MaxHosts, func(item document.Value) Host {
		m := item.Map("name", "addresses", "netns")
		parseName := func(s string) (string, error) { return firewall.ParseName("name", s) }
		h := Host{
			Name:      document.Text(m.Get("name").Required("a name such as web-1"), "", parseName),
			Addresses: document.Texts(m.Get("addresses"), 0, MaxAddresses, parseAddress, netip.Addr.Compare),
			NetNS:     document.Text(m.Get("netns"), "", parsePath),
		}
		if other, taken := namespaces[h.NetNS]; taken && h.Name != "" {
			item.Fail(errkind.New(errkind.Invalid, "%s", sameNamespace(h.NetNS, other)))
		}
		if h.Name != "" {
			namespaces[h.NetNS] = h.Name
		}
		return h
	}, compareHosts)
}

func compareHosts(a, b Host) int { return cmp.Compare(a.Name, b.Name) }

func sameNamespace(netns, other string) string {
	if netns == "" {
		return "the host " + other + " is this machine already; give this one its netns"
	}
	return "the host " + other + " has the netns " + strconv.Quote(netns) + " already; each firewall has one writer"
}

func tlsFrom(v document.Value) TLS {
	m := v.Map("cert", "key", "names")
	out := TLS{
		Cert:  document.Text(m.Get("cert"), "", parsePath),
		Key:   document.Text(m.Get("key"), "", parsePath),
		Names: document.Texts(m.Get("names"), 0, MaxNames, parseCertName, cmp.Compare),
	}
	if m.Get("cert").Missing() != m.Get("key").Missing() {
		v.Fail(errkind.New(errkind.Invalid, "cert and key belong together; give both, or neither to use Sesame's own authority"))
	}
	if !m.Get("cert").Missing() && len(out.Names) > 0 {
		m.Get("names").Fail(errkind.New(errkind.Invalid, "the certificate in cert has its own names; leave names out"))
	}
	return out
}

func limitsFrom(v document.Value, def Limits) Limits {
	m := v.Map("body", "header", "connections", "streams", "rate", "grants", "waiting", "asked")
	return Limits{
		Body:        document.Text(m.Get("body"), def.Body, sizeParser("body", 16<<10, 16<<20)),
		Header:      document.Text(m.Get("header"), def.Header, sizeParser("header", 4<<10, 1<<20)),
		Connections: document.Integer(m.Get("connections"), def.Connections, 16, 1_000_000),
		Streams:     document.Integer(m.Get("streams"), def.Streams, 1, 100_000),
		Rate:        document.Integer(m.Get("rate"), def.Rate, 10, 1_000_000),
		Grants:      document.Integer(m.Get("grants"), def.Grants, 1, 1_000_000),
		Waiting:     document.Integer(m.Get("waiting"), def.Waiting, 1, 1000),
		Asked:       document.Integer(m.Get("asked"), def.Asked, 1, 10_000),
	}
}

// parseListen reads an address and a port. Names are no addresses: what they
// mean may change while the daemon runs.
func parseListen(s string) (netip.AddrPort, error) {
	const want = "an address and a port, such as 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443"
	bad := func() (netip.AddrPort, error) { return netip.AddrPort{}, errkind.Bad("listen", s, want) }
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return bad()
	}
	host := s[:colon]
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if bracketed {
		host = host[1 : len(host)-1]
	}
	p, err := firewall.ParseSource(host)
	if err != nil || strings.Contains(host, "/") || p.Addr().Is6() != bracketed {
		return bad()
	}
	port, err := firewall.ParsePort(s[colon+1:])
	if err != nil {
		return bad()
	}
	return netip.AddrPortFrom(p.Addr(), port), nil
}

// parseAddress reads one address, as strictly as a source.
func parseAddress(s string) (netip.Addr, error) {
	p, err := firewall.ParseSource(s)
	if err != nil {
		return netip.Addr{}, err
	}
	if a := p.Addr(); !strings.Contains(s, "/") && !a.IsUnspecified() && !a.IsMulticast() {
		return a, nil
	}
	return netip.Addr{}, errkind.Bad("address", s, "the address of one host, such as 192.0.2.10")
}

func parseProxy(s string) (netip.Prefix, error) {
	p, err := firewall.ParseSource(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	least := LeastProxyBitsIPv4
	if p.Addr().Is6() {
		least = LeastProxyBitsIPv6
	}
	if p.Bits() < least {
		return netip.Prefix{}, errkind.Bad("proxy", s, "/"+strconv.Itoa(least)+
			" or narrower; whoever is trusted here can claim any address as his own")
	}
	return p, nil
}

// maxPath is the longest path that Linux takes; maxSocket the longest that fits
// into the address of a socket, with the zero byte at its end.
const (
	maxPath   = 4095
	maxSocket = 107
)

func parsePath(s string) (string, error) {
	clean := strings.HasPrefix(s, "/") && path.Clean(s) == s && s != "/" && len(s) <= maxPath
	for _, r := range s {
		clean = clean && r >= ' ' && r != 0x7f
	}
	if !clean {
		return "", errkind.Bad("path", s, "an absolute path, without .., doubled or trailing slashes")
	}
	return s, nil
}

func parseSocket(s string) (string, error) {
	if len(s) > maxSocket {
		return "", errkind.Bad("socket", s, "a path of at most "+strconv.Itoa(maxSocket)+" bytes, which is all that a socket's address holds")
	}
	return parsePath(s)
}

func parseResync(s string) (time.Duration, error) {
	return access.ParseSpan("resync", s, MinResync, MaxResync)
}

// parseCertName reads a DNS name or an address for a certificate.
func parseCertName(s string) (string, error) {
	if a, err := parseAddress(s); err == nil {
		return a.String(), nil
	}
	labels := strings.Split(s, ".")
	ok := len(s) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
	for _, label := range labels {
		ok = ok && firewall.ValidName(label)
	}
	if !ok {
		return "", errkind.Bad("name", s, "a DNS name in lower case or an address, such as sesame.example.org")
	}
	return s, nil
}

func parseLevel(s string) (string, error) {
	switch s {
	case LevelDebug, LevelInfo, LevelWarn, LevelError:
		return s, nil
	}
	return "", errkind.Bad("level", s, `"debug", "info", "warn" or "error"`)
}

func parseFormat(s string) (string, error) {
	switch s {
	case FormatText, FormatJSON:
		return s, nil
	}
	return "", errkind.Bad("format", s, `"text" or "json"`)
}

// sizeParser returns a parser of sizes in whole KiB or MiB, such as "64KiB".
func sizeParser(field string, least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		digits, unit := s, 0
		if d, ok := strings.CutSuffix(s, "KiB"); ok {
			digits, unit = d, 1<<10
		} else if d, ok := strings.CutSuffix(s, "MiB"); ok {
			digits, unit = d, 1<<20
		}
		n, err := strconv.Atoi(digits)
		if err != nil || digits != strconv.Itoa(n) || n > most || n*unit < least || n*unit > most {
			return 0, errkind.Bad(field, s, "a size from "+formatSize(least)+" to "+formatSize(most)+", such as 64KiB or 1MiB")
		}
		return n * unit, nil
	}
}

// formatSize writes a size as sizeParser reads it.
func formatSize(n int) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return strconv.Itoa(n>>20) + "MiB"
	}
	return strconv.Itoa(n>>10) + "KiB"
}
