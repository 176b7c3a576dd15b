package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/follow"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/tlsfiles"
)

// opened is a house that serves over TLS and on a local socket.
type opened struct {
	*house
	url, socket string
	ca          []byte
}

func open(t *testing.T, adjust ...func(*Config)) *opened {
	t.Helper()
	h := build(t, adjust...)
	dir := t.TempDir()
	files, err := tlsfiles.Open(dir, []string{"localhost", "127.0.0.1"}, time.Now)
	must(t, err)
	room := front.NewRoom(h.server.Limits.Connections)
	l, err := front.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), files.Config(), room)
	must(t, err)
	socket := filepath.Join(dir, "sesame.sock")
	local, err := front.ListenSocket(t.Context(), socket)
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(l, local) }()
	t.Cleanup(func() {
		h.stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return &opened{house: h, url: "https://" + l.Addr().String(), socket: socket, ca: authority(t, files)}
}

func (o *opened) client(as string) *client.Client {
	o.t.Helper()
	c, err := client.New(client.Config{URL: o.url, CA: o.ca, Token: o.tokens[as]})
	must(o.t, err)
	o.t.Cleanup(c.CloseIdle)
	return c
}

func TestClientOverTLS(t *testing.T) {
	o := open(t)
	ctx := t.Context()
	c := o.client("admin")
	r, err := c.Request(ctx, api.Ask{VM: "web-1", Ports: []api.Port{{Port: 22}}, Duration: "30m"}, "")
	must(t, err)
	if len(r.Grants) != 1 || r.Grants[0].State != "open" || r.Sources[0] != "127.0.0.1" {
		t.Fatalf("request: %+v", r)
	}
	if _, err := o.client("requester").Extend(ctx, r.Grants[0].ID, api.Extend{Duration: "1h"}); errkind.Of(err) != errkind.NotFound {
		t.Errorf("extending somebody else's: %v", err)
	}
	if _, err := c.Extend(ctx, r.Grants[0].ID, api.Extend{Duration: "1h"}); err != nil {
		t.Error(err)
	}
	if g, err := c.Close(ctx, r.Grants[0].ID); err != nil || g.State != "closed" {
		t.Errorf("close: %+v, %v", g, err)
	}
	o.eventually(func() bool {
		return strings.Contains(o.ok("viewer", "GET", "/metrics", "").body, "sesame_close_lateness_seconds_count 1")
	})
	vm, err := c.VM(ctx, "host://web-1")
	if err != nil || vm.Name != "web-1" {
		t.Errorf("vm: %+v, %v", vm, err)
	}
	_, err = c.Request(ctx, api.Ask{VM: "web-1", Ports: []api.Port{{Port: 22}}, Sources: []string{"::ffff:1.2.3.4"}}, "")
	if f := errkind.FieldOf(err); errkind.Of(err) != errkind.Invalid || f.Name != "sources[0]" || f.Want == "" {
		t.Errorf("bad source: %v %+v", err, f)
	}
	p, err := c.PutPolicy(ctx, "web-1-ssh", []byte(policyText(web)), true)
	if err != nil || p.Preview == nil {
		t.Errorf("dry run: %+v, %v", p, err)
	}
	var bundle bytes.Buffer
	must(t, c.Export(ctx, &bundle))
	cp, err := c.Checkpoint(ctx)
	must(t, err)
	if _, err := audit.Verify(&bundle, cp.Key); err != nil {
		t.Errorf("the export does not verify: %v", err)
	}
	for _, f := range []func() error{
		func() error { _, err := c.Whoami(ctx); return err },
		func() error { _, err := c.VMs(ctx); return err },
		func() error { _, err := c.Policies(ctx); return err },
		func() error { _, err := c.Policy(ctx, "db-1-ssh"); return err },
		func() error { _, err := c.Requests(ctx, client.List{Principal: "me", Limit: 5}); return err },
		func() error { _, err := c.RequestByID(ctx, r.ID); return err },
		func() error { _, err := c.Grants(ctx, client.List{VM: "web-1", State: "done"}); return err },
		func() error { _, err := c.Grant(ctx, r.Grants[0].ID); return err },
		func() error { _, err := c.Plan(ctx); return err },
		func() error { _, err := c.Explain(ctx, "web-1", api.Port{Port: 22}, "198.51.100.7"); return err },
		func() error {
			_, err := c.Activity(ctx, client.Filter{Kinds: []string{"grant.opened", "grant.closed"}, Since: time.Now().Add(-time.Hour), Text: "web"})
			return err
		},
		func() error { _, err := c.VerifyAudit(ctx); return err },
		func() error { _, err := c.Tokens(ctx); return err },
		func() error { _, err := c.Sweep(ctx, api.Sweep{DryRun: true}); return err },
		func() error { _, err := c.Health(ctx); return err },
		func() error {
			_, err := c.Disable(ctx, api.Disable{VM: "db-1", Ports: []api.Port{{Port: 22}}, DryRun: true})
			return err
		},
		func() error {
			made, err := c.CreateToken(ctx, wire.NewToken{Name: "x", Role: "viewer", VMs: []string{"web-1"}, Lifetime: "720h"})
			return errors.Join(err, c.RevokeToken(ctx, made.Token.ID))
		},
		func() error { return c.DropPolicy(ctx, "db-1-ssh") },
	} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
}

// authority returns the certificate that clients pin.
func authority(t *testing.T, f *tlsfiles.Files) []byte {
	t.Helper()
	pem, err := os.ReadFile(f.CAPath())
	must(t, err)
	return pem
}

func TestPinning(t *testing.T) {
	o := open(t)
	other, err := tlsfiles.Open(t.TempDir(), []string{"localhost"}, time.Now)
	must(t, err)
	for trusted, ca := range map[string][]byte{"the authorities of this system": nil, `"Sesame`: authority(t, other)} {
		c, err := client.New(client.Config{URL: o.url, CA: ca, Token: o.tokens["admin"]})
		must(t, err)
		if _, err := c.Whoami(t.Context()); errkind.Of(err) != errkind.Unavailable || !strings.Contains(errkind.Public(err), "trusted here is only what comes from "+trusted) {
			t.Errorf("with %s authorities: %v", trusted, err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(o.ca)
	host := strings.TrimPrefix(o.url, "https://")
	if c, err := dialTLS(t, host, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken")
		_ = c.Close()
	}
	c, err := dialTLS(t, host, &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
	must(t, err)
	if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("protocol %q", got)
	}
	_ = c.Close()
}

// On the local socket the kernel says who calls: here root is, whose user the
// tests may run as.
func TestLocalSocket(t *testing.T) {
	o := open(t, func(c *Config) { c.UID = uint32(os.Getuid()) })
	c, err := client.New(client.Config{Socket: o.socket})
	must(t, err)
	who, err := c.Whoami(t.Context())
	if err != nil || who.Principal.Subject != "root" || who.Principal.Issuer != "local" || who.Address != "" {
		t.Fatalf("whoami: %+v, %v", who, err)
	}
	if _, err := c.Request(t.Context(), api.Ask{VM: "web-1", Ports: []api.Port{{Port: 22}}}, ""); errkind.FieldOf(err).Name != "sources" {
		t.Errorf("without a source: %v", err)
	}
	as, err := client.New(client.Config{Socket: o.socket, Token: o.tokens["viewer"]})
	must(t, err)
	if who, err := as.Whoami(t.Context()); err != nil || who.Principal.Subject != "viewer" {
		t.Errorf("with a token: %+v, %v", who, err)
	}
	info, err := os.Stat(o.socket)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := front.ListenSocket(t.Context(), o.socket); err == nil || !strings.Contains(errkind.Public(err), "another server") {
		t.Errorf("a second server: %v", err)
	}
}

// W-08: a follower sees everything once, in order, over a lost connection, and
// is told when their right ends.
func TestFollow(t *testing.T) {
	o := open(t)
	made := read[wire.CreatedToken](o.house, "admin", "POST", "/v1/tokens", `{"name":"follower","role":"viewer"}`)
	o.tokens["follower"] = made.Secret
	o.quiet()
	size := o.size()
	var mu sync.Mutex
	var seen []int64
	done := make(chan error, 1)
	c := o.client("follower")
	go func() {
		done <- c.Follow(t.Context(), client.Filter{}, -1, func(r api.Record) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, r.Index)
		})
	}()
	count := func() int64 { mu.Lock(); defer mu.Unlock(); return int64(len(seen)) }
	o.eventually(func() bool { return count() == size })
	o.ok("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.9"]}`)
	o.eventually(func() bool { return count() == o.size() && count() > size })
	o.ok("admin", "DELETE", "/v1/tokens/"+made.Token.ID, "")
	select {
	case err := <-done:
		if errkind.Of(err) != errkind.Unauthenticated {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream goes on after its token was revoked")
	}
	for i, index := range seen {
		if int64(i) != index {
			t.Fatalf("saw %v", seen)
		}
	}
}

// Who sees a part of the VMs follows that part, and comes back behind what was
// not shown.
func TestFollowIsCutToTheReader(t *testing.T) {
	o := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan api.Record, 100)
	done := make(chan error, 1)
	go func() {
		done <- o.client("web-viewer").Follow(ctx, client.Filter{}, api.FromNow, func(r api.Record) { got <- r })
	}()
	o.eventually(func() bool { return len(o.server.streams) == 1 })
	o.ok("requester", "POST", "/v1/requests", `{"vm":"db-1","ports":[{"port":22}],"sources":["198.51.100.9"]}`)
	o.ok("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.9"]}`)
	if r := <-got; r.VM != string(web) || r.Kind != "request.granted" {
		t.Errorf("first record: %+v", r)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Resume in the middle, with the header that browsers send.
	req := o.newRequest("viewer", "GET", "/v1/activity/stream?vm=web-1", "")
	req.Header.Set("Last-Event-ID", "nonsense")
	if r := o.send(req); r.code != 400 || r.problem(t).Errors[0].Field != "Last-Event-ID" {
		t.Errorf("nonsense: %d", r.code)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	o := open(t, func(c *Config) { c.Limits.Streams = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := o.http.Client().Do(o.newRequest("viewer", "GET", "/v1/activity/stream", "").WithContext(ctx))
	must(t, err)
	defer resp.Body.Close()
	if r := o.call("viewer", "GET", "/v1/activity/stream", ""); r.code != 429 {
		t.Errorf("second stream: %d", r.code)
	}
	cancel()
	o.eventually(func() bool { return len(o.server.streams) == 0 })
}

// P-02: connections beyond the limit are refused at once; a header that drips in
// is cut off.
func TestConnectionsAreBounded(t *testing.T) {
	o := open(t, func(c *Config) { c.Limits.Connections = 2 })
	host := strings.TrimPrefix(o.url, "https://")
	var held []net.Conn
	for range 2 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", host)
		must(t, err)
		held = append(held, c)
	}
	third, err := new(net.Dialer).DialContext(t.Context(), "tcp", host)
	must(t, err)
	must(t, third.SetReadDeadline(time.Now().Add(5*time.Second)))
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the third connection was kept: %v", err)
	}
	for _, c := range held {
		_ = c.Close()
	}
	c := o.client("viewer")
	o.eventually(func() bool { _, err := c.Whoami(t.Context()); return err == nil })
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a limit")
	}
	o := open(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(o.ca)
	c, err := dialTLS(t, strings.TrimPrefix(o.url, "https://"), &tls.Config{RootCAs: pool})
	must(t, err)
	defer c.Close()
	_, err = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "))
	must(t, err)
	began := time.Now()
	must(t, c.SetReadDeadline(began.Add(3*front.HeaderTime)))
	n, err := c.Read(make([]byte, 1))
	if took := time.Since(began); errors.Is(err, os.ErrDeadlineExceeded) || took > 2*front.HeaderTime {
		t.Errorf("after %v: %d bytes, %v", took, n, err)
	}
	big := "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"
	c2, err := dialTLS(t, strings.TrimPrefix(o.url, "https://"), &tls.Config{RootCAs: pool})
	must(t, err)
	defer c2.Close()
	_, _ = c2.Write([]byte(big))
	answer := make([]byte, 64)
	n, _ = c2.Read(answer)
	if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 431") {
		t.Errorf("a header of 64 KiB: %q", answer[:n])
	}
}

func dialTLS(t *testing.T, host string, cfg *tls.Config) (*tls.Conn, error) {
	t.Helper()
	c, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		return nil, err
	}
	return c.(*tls.Conn), nil
}

// W-08: a stream shows that it is alive while nothing happens, and ends with the
// token of its reader, which runs out without a change of any rule.
func TestStreamsOutliveSilenceButNotTheirToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := assemble(t)
		h.furnish()
		secret, _, err := h.broker.CreateToken(t.Context(), broker.Caller{Identity: access.Identity{Principal: authn.LocalAdmin()}},
			broker.NewToken{Name: "brief", Role: authz.Viewer, Lifetime: time.Minute})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		h.tokens["brief"] = secret
		begin := time.Now()
		text := h.send(h.newRequest("brief", "GET", "/v1/activity/stream", "").WithContext(ctx)).body
		took := time.Since(begin)
		if took < time.Minute || took > time.Minute+follow.Heartbeat {
			t.Errorf("the stream ended after %v, of a token that was good for a minute", took)
		}
		if beats := strings.Count(text, ": alive\n\n"); beats < 2 || !strings.Contains(text, "event: end\n") || !strings.Contains(text, `"status":401`) {
			t.Errorf("%d beats in\n%s", beats, text)
		}
		h.stop()
	})
}
