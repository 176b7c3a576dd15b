package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// How long an identity provider may take, and how much it may say.
const (
	callTime = 10 * time.Second
	mostRead = 4 << 20
)

// NewClient returns a client for identity providers. It follows no redirects: a
// document that says whom to believe comes from where it was asked for, or not at
// all. It calls no address at which a cloud hands out credentials. Roots are the
// authorities to trust; nil for the system's.
func NewClient(roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: callTime, Control: guard}
	return &http.Client{
		Timeout: callTime,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			return fmt.Errorf("redirected to %s, which is not followed", r.URL.Redacted())
		},
		Transport: bounded{&http.Transport{
			Proxy: http.ProxyFromEnvironment,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, addr)
			},
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout: callTime, ResponseHeaderTimeout: callTime, IdleConnTimeout: time.Minute,
			MaxIdleConns: 16, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		}},
	}
}

// forbidden are addresses that no identity provider has: those of the metadata
// services of clouds, besides everything that is link-local.
func forbidden() []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{168, 63, 129, 16}), // Azure's wire server
		netip.AddrFrom4([4]byte{100, 100, 100, 200}),
		netip.MustParseAddr("fd00:ec2::254"),
	}
}

// guard refuses an address right before it is called, when it is known and cannot
// change any more.
func guard(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("call %s: %w", address, err)
	}
	addr := a.Addr().Unmap().WithZone("")
	if addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() || slices.Contains(forbidden(), addr) {
		return fmt.Errorf("%s is no address of an identity provider", addr)
	}
	return nil
}

// bounded reads so much of an answer and no more.
type bounded struct{ next http.RoundTripper }

// RoundTrip sends r.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, mostRead), resp.Body}
	}
	return resp, err
}
