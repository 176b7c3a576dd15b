package daemon

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/server/tlsfiles"
)

// certificates are what the server shows itself with.
type certificates struct {
	config *tls.Config
	names  []string // what the server is called
	meant  []string // those of the names that somebody chose
	ca     string   // path of the authority to pin; empty when it is not ours
}

// openCertificates reads the certificates that the configuration names, or our
// own, which it makes at the first start.
func (d *Daemon) openCertificates() (certificates, error) {
	if d.cfg.TLS.Own() {
		names := append([]string{"localhost"}, d.cfg.TLS.Names...)
		for _, a := range d.cfg.Listen {
			names = append(names, namesOf(a.Addr())...)
		}
		own, err := tlsfiles.Open(d.cfg.StateDir, names, func() time.Time { return d.clocks().Wall })
		if err != nil {
			return certificates{}, err
		}
		return certificates{config: own.Config(), names: own.Names(), meant: d.cfg.TLS.Names, ca: own.CAPath()}, nil
	}
	read := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(d.cfg.TLS.Cert, d.cfg.TLS.Key)
		return &cert, err
	}
	cert, err := read()
	if err != nil {
		return certificates{}, errkind.Wrap(errkind.Invalid, err, "the certificate in tls.cert and tls.key cannot be used: %v", err)
	}
	names := append([]string{"localhost"}, cert.Leaf.DNSNames...)
	for _, ip := range cert.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		// Read anew for every connection, so that a renewed one needs no restart;
		// while it is being replaced the last good one stands in.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if renewed, err := read(); err == nil {
				return renewed, nil
			}
			return cert, nil
		},
	}
	return certificates{config: cfg, names: names, meant: names[1:], ca: ""}, nil
}

// url returns the address of a server that listens at addr. One that listens on
// every address of the machine is at none: it is called by its certificate's first
// name, or localhost.
func (c certificates) url(addr netip.AddrPort) string {
	if !addr.Addr().IsUnspecified() {
		return "https://" + addr.String()
	}
	host := "localhost"
	if i := slices.IndexFunc(c.meant, func(s string) bool { return !strings.Contains(s, "*") }); i >= 0 {
		host = c.meant[i]
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(int(addr.Port())))
}

// namesOf returns what people may call a server that listens on addr: that
// address or, where it is every address, each that this machine has and its
// name.
func namesOf(addr netip.Addr) []string {
	if !addr.IsUnspecified() {
		return []string{addr.String()}
	}
	var names []string
	if host, err := os.Hostname(); err == nil && firewall.ValidName(strings.ToLower(host)) {
		names = append(names, strings.ToLower(host))
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return names // the configuration can name them
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLinkLocalUnicast() && (p.Addr().Is4() || addr.Is6()) {
			names = append(names, p.Addr().WithZone("").String())
		}
	}
	return names
}
