// Package client is the Go client of /v1.
//
// It speaks to one server: over TLS, trusting nothing but the authorities it is
// given, or over the server's local socket, where the kernel says who calls. It
// uses no proxy, not even one that the environment names: a proxy would change
// the address that a request is for, and a pinned server is reached directly.
// It follows no redirects.
//
// An answer that could not be had is tried again where that is harmless: what
// only reads, what may be repeated (closing, putting a policy), and a request,
// which carries an idempotency key. Extending and creating a token are sent
// once.
//
// Errors are those of package errkind: of the server's kind, with its text and
// the field at fault. A server that does not answer, or whose certificate is not
// trusted, is errkind.Unavailable.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// DefaultTimeout is how long one call takes at most; an answer to a request
// waits for the firewalls.
const DefaultTimeout = 60 * time.Second

const (
	tries        = 3
	firstPause   = 200 * time.Millisecond
	dialTimeout  = 10 * time.Second
	longestReply = 64 << 20 // of a list; a bundle has no limit
)

// Config says how to reach a server.
type Config struct {
	// URL is where the server listens, such as https://127.0.0.1:8443. It is not
	// used with a Socket.
	URL string
	// CA holds the authorities that the server's certificate must come from, in
	// PEM; empty for those of the system.
	CA []byte
	// Socket is the path of the server's local socket; empty for none.
	Socket string
	// Token says who calls; empty on the local socket, or to ask as nobody.
	Token string
	// Timeout bounds every call but streams and exports; 0 for DefaultTimeout.
	Timeout time.Duration
	// Agent names the program that calls; empty for "sesame".
	Agent string
}

// A Client calls one server. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

// New returns a client. It does not connect yet.
func New(cfg Config) (*Client, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Agent = cmp.Or(cfg.Agent, "sesame")
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy:               nil,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute,
		ForceAttemptHTTP2:   false, // one call at a time is quicker over HTTP/1.1
	}
	base := &url.URL{Scheme: "http", Host: "localhost"}
	if cfg.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", cfg.Socket)
		}
	} else {
		var err error
		if base, err = parseBase(cfg.URL); err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13}
		if len(cfg.CA) > 0 {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(cfg.CA) {
				return nil, errkind.New(errkind.Invalid, "the CA file holds no certificate in PEM; the server prints the path of its own at start")
			}
			transport.TLSClientConfig.RootCAs = pool
		}
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Jar:           nil,
		Timeout:       0, // calls have deadlines of their own
	}}, nil
}

// parseBase reads the server's URL: https, a host, and nothing else.
func parseBase(s string) (*url.URL, error) {
	const want = "the URL of a server, such as https://127.0.0.1:8443"
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errkind.Bad("url", s, want)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// CloseIdle closes the connections that no call is using.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// A call is one request to the server.
type call struct {
	method string
	path   []string // escaped segment by segment
	query  url.Values
	header http.Header
	body   []byte
	media  string // of body
	again  bool   // repeating it is harmless
	also   int    // a status that is an answer, too, although it is none of 2xx
}

func get(path ...string) call {
	return call{method: http.MethodGet, path: path, query: nil, header: nil, body: nil, media: "", again: true, also: 0}
}

// post makes a call that sends v as JSON.
func post(again bool, v any, path ...string) (call, error) {
	body, err := api.Encode(v)
	if err != nil {
		return call{}, err
	}
	return call{method: http.MethodPost, path: path, query: nil, header: nil, body: body, media: "application/json", again: again, also: 0}, nil
}

// ask makes the call and reads its answer as a T.
func ask[T any](ctx context.Context, c *Client, what call) (T, error) {
	var out T
	err := c.retry(ctx, what, func(ctx context.Context) error {
		resp, err := c.do(ctx, what)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // it was only read
		text, err := io.ReadAll(io.LimitReader(resp.Body, longestReply))
		if err != nil {
			return unreachable(ctx, err)
		}
		out = *new(T)
		if len(text) == 0 {
			return nil
		}
		return answer(text, &out)
	})
	return out, err
}

func answer(text []byte, v any) error {
	if err := api.DecodeAnswer(text, v); err != nil {
		return errkind.Wrap(errkind.Internal, err, "the server's answer cannot be read; are client and server of one version?")
	}
	return nil
}

// retry calls f until it succeeds, fails for a reason that stays, or has been
// tried often enough.
func (c *Client) retry(ctx context.Context, what call, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	pause := firstPause
	for n := 1; ; n++ {
		err := f(ctx)
		if err == nil || !what.again || n == tries || hopeless(err) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause *= 2
	}
}

// do sends the call once. The answer's status is 2xx, and its body is open.
func (c *Client) do(ctx context.Context, what call) (*http.Response, error) {
	u := *c.base
	escaped := make([]string, len(what.path))
	for i, p := range what.path {
		escaped[i] = url.PathEscape(p)
	}
	u.Path, u.RawPath = "/"+strings.Join(what.path, "/"), "/"+strings.Join(escaped, "/")
	u.RawQuery = what.query.Encode()
	req, err := http.NewRequestWithContext(ctx, what.method, u.String(), bytes.NewReader(what.body))
	if err != nil {
		return nil, fmt.Errorf("make the call: %w", err)
	}
	for k, v := range what.header {
		req.Header[k] = slices.Clone(v)
	}
	req.Header.Set("User-Agent", c.cfg.Agent)
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json, "+api.ProblemType)
	}
	if what.media != "" {
		req.Header.Set("Content-Type", what.media)
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode/100 == 2 || resp.StatusCode == what.also {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	return nil, problem(resp)
}

// problem reads the error that resp is.
func problem(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxBody))
	var p api.Problem
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), api.ProblemType) && api.DecodeAnswer(text, &p) == nil && p.Detail != "" {
		return p.Err()
	}
	return api.NewProblem(resp.StatusCode, "", "", "the server answered "+resp.Status+" without saying why; is it a Sesame server?").Err()
}

// explain says why no answer came, and what to do about it.
func (c *Client) explain(ctx context.Context, err error) error {
	where := c.base.String()
	if c.cfg.Socket != "" {
		where = c.cfg.Socket
	}
	if untrusted := c.untrusted(err); untrusted != nil {
		return untrusted
	}
	if ctx.Err() != nil {
		return unreachable(ctx, err)
	}
	return errkind.Wrap(errkind.Unavailable, err, "the server at %s does not answer (%s); is `sesame serve` running?", where, cause(err))
}

// unreachable says that the answer did not come in time or broke off.
func unreachable(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("wait for the server: %w", ctx.Err())
	case ctx.Err() != nil:
		return errkind.Wrap(errkind.Unavailable, err, "the server did not answer in time; what was asked may still happen, so look before asking again")
	}
	return errkind.Wrap(errkind.Unavailable, err, "the server's answer broke off (%s)", cause(err))
}

// cause returns the innermost text of err, which says what the network said.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// newKey returns an idempotency key: 128 random bits.
func newKey() string { return rand.Text() }
