// Package doctor tries every step of the way from this program to an open port,
// and says of each whether it is in order.
//
// It changes nothing. What it knocks on are ports that it may know about, with
// one connection attempt each, and it compares what happened with what the
// server's own computation says should.
package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Status says how a check went.
type Status string

// The statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, and may surprise
	Fail Status = "fail"
	Skip Status = "skip" // could not be tried
)

// A Check is one step that was tried.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	Next   string `json:"next,omitzero" doc:"What to do about it."`
}

// Remote tries everything between here and the server's firewalls. The target's
// client is c. Each check is passed to tell as soon as it is done.
func Remote(ctx context.Context, t connect.Target, c *client.Client, tell func(Check)) {
	tell(Check{"server", OK, fmt.Sprintf("%s, from %s", t, t.Source), ""})
	if t.Socket == "" && !tryTLS(ctx, t, tell) {
		return
	}
	h, err := c.Health(ctx)
	switch {
	case err != nil:
		tell(failed("health", err, "is `sesame serve` running there?"))
		return
	case h.Ready && len(h.Reasons) == 0:
		tell(Check{"health", OK, "the server can do its work", ""})
	case h.Ready:
		for _, why := range h.Reasons {
			tell(Check{"health", Warn, why, "the server's log names them; `sesame doctor --config FILE` there tries the clouds"})
		}
	default:
		for _, why := range h.Reasons {
			tell(Check{"health", Fail, why, "the server's log says more"})
		}
	}
	who, err := c.Whoami(ctx)
	if err != nil {
		tell(failed("token", err, "an administrator makes one: sesame token create NAME --role requester"))
		return
	}
	tell(identity(t, who))
	tell(clock(who.Server.Time.Time, time.Now()))
	tell(address(who.Address))
	doors(ctx, c, who, tell)
}

func failed(name string, err error, next string) Check {
	text := err.Error()
	if errkind.Of(err) != errkind.Internal {
		text = errkind.Public(err)
	}
	return Check{name, Fail, text, next}
}

// tryTLS connects and reads the server's certificate. It reports whether going
// on makes sense.
func tryTLS(ctx context.Context, t connect.Target, tell func(Check)) bool {
	u, err := url.Parse(t.URL)
	if err != nil {
		tell(failed("reach", err, ""))
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
	begin := time.Now()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		tell(failed("reach", err, "is the address right, and does something in between drop it?"))
		return false
	}
	defer raw.Close() //nolint:errcheck // nothing was sent that matters
	tell(Check{"reach", OK, fmt.Sprintf("%s answers in %s", host, time.Since(begin).Round(100*time.Microsecond)), ""})
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: u.Hostname()}
	trust := "the system's authorities"
	if t.CA != "" {
		trust = t.CA
		pem, err := input.ReadFile(ctx, t.CA)
		if err != nil {
			tell(failed("TLS", err, "copy the authority's certificate from the server's state directory"))
			return false
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(pem)
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		next := "the server speaks TLS 1.3 only; is it a Sesame server?"
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			next = "either this is not the server you mean, or " + trust + " is not its authority; compare the files"
		}
		tell(failed("TLS", err, next))
		return false
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	check := Check{"TLS", OK, fmt.Sprintf("the certificate comes from %s and is good until %s", trust, leaf.NotAfter.Format(time.DateOnly)), ""}
	if time.Until(leaf.NotAfter) < 14*24*time.Hour {
		check.Status, check.Next = Warn, "renew it soon"
	}
	tell(check)
	return true
}

func identity(t connect.Target, w api.Whoami) Check {
	text := fmt.Sprintf("you are %s", w.Principal)
	if t.TokenSource != "" {
		text += ", by " + t.TokenSource
	}
	if len(w.Roles) == 0 && t.Socket == "" {
		return Check{"token", Warn, text + ", and have no role", "an administrator gives one: sesame token create NAME --role requester"}
	}
	for i, r := range w.Roles {
		text += map[bool]string{true: ": ", false: ", "}[i == 0] + r.Role
		if r.VM != "" {
			text += " of " + r.VM
		}
	}
	return Check{"token", OK, text, ""}
}

// clock compares the server's clock with ours. The answer's way is a part of the
// difference, and too small to matter.
func clock(server, here time.Time) Check {
	skew := server.Sub(here)
	text := fmt.Sprintf("the server's clock and this one differ by %s", skew.Abs().Round(time.Millisecond))
	if skew.Abs() > access.MaxSkew {
		return Check{"clock", Warn, text, "see to NTP on both; ports close by the server's clock, and times shown here are off"}
	}
	return Check{"clock", OK, text, ""}
}

// address judges where the server sees us, because that is whom it lets in.
func address(s string) Check {
	if s == "" {
		return Check{"address", Warn, "over the local socket the server cannot see your address", "say `--from ADDRESS` when you open a port"}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return failed("address", err, "")
	}
	if r, special := firewall.Special(netip.PrefixFrom(a, a.BitLen()), nil); special {
		return Check{"address", Warn, fmt.Sprintf("the server sees you at %s (%s)", s, r.Name), "a policy lets such addresses in only where it lists them; `--from` names another"}
	}
	return Check{"address", OK, "the server sees you at " + s + "; that is whom it lets in", ""}
}
