package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Validate reports the first thing that keeps c from being a configuration, as
// an error of kind errkind.Invalid with its field. It is for what does not come
// out of Parse, such as a file with flags put over it: c is valid if its text
// reads back as c.
func Validate(c Config) error {
	back, err := Parse(Format(c))
	if f := errkind.FieldOf(err); f.Name != "" {
		return &errkind.Error{
			Kind: errkind.Invalid, Msg: f.Name + ": " + errkind.Quote(f.Value) + " is not " + f.Want, Field: f, Err: err,
		}
	}
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(back, c) {
		return errkind.New(errkind.Invalid, "the configuration is not in its canonical form: lists sorted and without duplicates, nil where they are empty, prefixes masked, times in whole seconds, sizes in whole KiB")
	}
	return nil
}

// Format returns c as a file with a comment on every key, in canonical form:
// Parse(Format(c)) is c. Format(Default()) is the example that the
// documentation shows.
func Format(c Config) []byte {
	w := &writer{Buffer: bytes.Buffer{}}
	w.comment("", "The configuration of `sesame serve`. Everything here may be left out.")
	w.line("")
	w.comment("", "Where the API listens, over TLS: addresses with a port.",
		"0.0.0.0:8443 is every IPv4 address of this machine, [::]:8443 every IPv6 one.")
	list(w, "", "listen", c.Listen, netip.AddrPort.String)
	w.line("")
	w.comment("", "The local socket. Whoever may open it is an administrator.")
	w.text("", "socket", c.Socket)
	w.line("")
	w.comment("", "The directory of the database, the keys and the certificates.")
	w.text("", "state_dir", c.StateDir)
	w.line("")
	w.hosts(c.Hosts)
	w.line("")
	w.aws(c.AWS)
	w.line("")
	w.azure(c.Azure)
	w.line("")
	w.comment("", "How long the firewalls go unread when nothing happens, "+
		access.FormatDuration(MinResync)+" to "+access.FormatDuration(MaxResync)+".",
		"What somebody else changes on a Linux host is noticed at once. A cloud has its own.")
	w.text("", "resync", access.FormatDuration(c.Resync))
	w.line("")
	w.comment("", "The proxies that are believed when they say whom they forward for,",
		fmt.Sprintf("as addresses or prefixes no wider than /%d or, for IPv6, /%d.", LeastProxyBitsIPv4, LeastProxyBitsIPv6))
	list(w, "", "trusted_proxies", c.TrustedProxies, firewall.FormatSource)
	w.line("")
	w.tls(c.TLS)
	w.line("")
	w.identity(c.Identity)
	w.line("")
	w.line("log:")
	w.comment("  ", "debug, info, warn or error.")
	w.text("  ", "level", c.Log.Level)
	w.comment("  ", "text or json.")
	w.text("  ", "format", c.Log.Format)
	w.line("")
	w.limits(c.Limits)
	return w.Bytes()
}

// writer writes the text of a configuration.
type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *writer) comment(indent string, lines ...string) {
	for _, l := range lines {
		w.line("%s# %s", indent, l)
	}
}

func (w *writer) text(indent, key, value string) {
	w.line("%s%s: %s", indent, key, document.Scalar(value))
}

// list writes a list on one line.
func list[T any](w *writer, indent, key string, items []T, text func(T) string) {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = document.Scalar(text(item))
	}
	w.line("%s%s: [%s]", indent, key, strings.Join(texts, ", "))
}

func (w *writer) hosts(hosts []Host) {
	w.comment("", "The Linux hosts whose firewall Sesame writes: this machine, and network",
		"namespaces on it by their path. Addresses are only shown. Such as",
		"  - name: web-1",
		"    addresses: [192.0.2.10]",
		"    netns: /run/netns/web-1")
	if len(hosts) == 0 {
		w.line("hosts: []")
		return
	}
	w.line("hosts:")
	for _, h := range hosts {
		w.line("  - name: %s", document.Scalar(h.Name))
		if len(h.Addresses) > 0 {
			list(w, "    ", "addresses", h.Addresses, netip.Addr.String)
		}
		if h.NetNS != "" {
			w.text("    ", "netns", h.NetNS)
		}
	}
}

func (w *writer) tls(t TLS) {
	w.line("tls:")
	w.comment("  ", "PEM files of a certificate and its key. Without them Sesame makes its own",
		"certificate authority at the first start, which the clients pin.")
	for _, f := range []struct{ key, value, example string }{
		{"cert", t.Cert, "/etc/sesame/tls.crt"},
		{"key", t.Key, "/etc/sesame/tls.key"},
	} {
		if f.value == "" {
			w.comment("  ", f.key+": "+f.example)
			continue
		}
		w.text("  ", f.key, f.value)
	}
	w.comment("  ", "Further names and addresses for the certificate that Sesame makes.")
	list(w, "  ", "names", t.Names, func(s string) string { return s })
}

func (w *writer) limits(l Limits) {
	w.line("limits:")
	w.comment("  ", "The size of one request's body and of its header.")
	w.line("  body: %s", formatSize(l.Body))
	w.line("  header: %s", formatSize(l.Header))
	w.comment("  ", "Connections and event streams open at once; of one address, a quarter of the connections.")
	w.line("  connections: %d", l.Connections)
	w.line("  streams: %d", l.Streams)
	w.comment("  ", "Requests a minute of one principal or, without a token, of one address.")
	w.line("  rate: %d", l.Rate)
	w.comment("  ", "Grants of one principal at once, requests of one person that wait for approval, and requests of one principal for approval within an hour.")
	w.line("  grants: %d", l.Grants)
	w.line("  waiting: %d", l.Waiting)
	w.line("  asked: %d", l.Asked)
}
