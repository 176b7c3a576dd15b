package oidc

import (
	"context"
	"errors"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

// An Attempt is a sign-in under way: what the answer must fit to.
type Attempt struct {
	State, Nonce, Verifier string
	// Redirect is where the issuer sends people back to.
	Redirect string
	// Again says that they have to prove themselves anew.
	Again bool
}

// register returns how this server is registered with the issuer.
func (i *Issuer) register(d *discovered, redirect string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: i.cfg.Client, ClientSecret: i.secret, Endpoint: d.endpoint, RedirectURL: redirect,
		Scopes: append([]string{gooidc.ScopeOpenID}, i.cfg.Scopes...),
	}
}

// AuthURL returns where to send a browser for a.
func (i *Issuer) AuthURL(ctx context.Context, a Attempt) (string, error) {
	d, err := i.find(ctx)
	if err != nil {
		return "", err
	}
	opts := []oauth2.AuthCodeOption{gooidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if a.Again {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return i.register(d, a.Redirect).AuthCodeURL(a.State, opts...), nil
}

// An Answer is what a browser brings back from the issuer.
type Answer struct {
	Code string
	// Issuer is who says to have answered (RFC 9207); empty where nobody says.
	Issuer string
}

// Exchange says who signed in with a.
func (i *Issuer) Exchange(ctx context.Context, a Attempt, answer Answer, now time.Time) (access.Identity, error) {
	if answer.Issuer != "" && !i.Issues(answer.Issuer) {
		return access.Identity{}, i.refused("somebody else answered")
	}
	d, err := i.find(ctx)
	if err != nil {
		return access.Identity{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, i.client)
	token, err := i.register(d, a.Redirect).Exchange(ctx, answer.Code, oauth2.VerifierOption(a.Verifier))
	if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return access.Identity{}, i.forgotten(said)
	}
	if err != nil {
		return access.Identity{}, i.unreachable(err)
	}
	return i.signedIn(ctx, token, a.Nonce, now)
}

// forgotten says that the issuer knows nothing of a sign-in, in its own word.
func (i *Issuer) forgotten(said *oauth2.RetrieveError) error {
	return i.refused("it does not know this sign-in (%s); it is used up, or took too long", printable(said.ErrorCode+" "+said.ErrorDescription))
}

// signedIn says who the ID token in an answer is about.
func (i *Issuer) signedIn(ctx context.Context, token *oauth2.Token, nonce string, now time.Time) (access.Identity, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return access.Identity{}, i.refused("it sent no ID token")
	}
	c, err := i.verify(ctx, raw, []string{i.cfg.Client}, now)
	switch {
	case err != nil:
		return access.Identity{}, err
	case c.Nonce != nonce:
		return access.Identity{}, i.refused("the token is of another sign-in")
	case c.Party != "" && c.Party != i.cfg.Client, len(c.Audience) > 1 && c.Party == "":
		return access.Identity{}, i.refused("the token was made for somebody else")
	}
	if err := i.factors(c); err != nil {
		return access.Identity{}, err
	}
	if c.Proved.time().IsZero() || c.Proved.time().After(now) {
		// Who does not say when it was, says that it was now.
		c.Proved = seconds(now.Unix())
	}
	return i.identity(ctx, c, access.Person, now)
}

// A Device is a sign-in on another device that is under way.
type Device struct {
	// UserCode is what somebody types in at Page, or has typed in by Complete.
	UserCode, Page, Complete string
	Interval                 time.Duration
	Expires                  time.Time
	code                     string
}

// ErrPending says that nobody has signed in yet: ask again after the interval.
// ErrSlowDown says so, too, and that the interval is now longer by SlowDown.
var (
	ErrPending  = errors.New("nobody has signed in yet")
	ErrSlowDown = errors.New("nobody has signed in yet, and the question comes too often")
)

// SlowDown is how much less often to ask after ErrSlowDown (RFC 8628, 3.5).
const SlowDown = 5 * time.Second

// StartDevice begins a sign-in on another device.
func (i *Issuer) StartDevice(ctx context.Context, now time.Time) (Device, error) {
	d, err := i.find(ctx)
	if err != nil {
		return Device{}, err
	}
	if d.endpoint.DeviceAuthURL == "" {
		return Device{}, errkind.New(errkind.Invalid, "%s does not know the device flow; sign in with a browser", i.cfg.Name)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, i.client)
	a, err := i.register(d, "").DeviceAuth(ctx)
	if err != nil {
		return Device{}, i.unreachable(err)
	}
	interval := max(time.Duration(a.Interval)*time.Second, time.Second)
	return Device{
		UserCode: printable(a.UserCode), Page: page(a.VerificationURI), Complete: page(a.VerificationURIComplete),
		Interval: interval, Expires: now.Add(time.Until(a.Expiry)), code: a.DeviceCode,
	}, nil
}

// page returns the URL of a page that a browser may be sent to; empty if it is
// something else.
func page(u string) string {
	if u = printable(u); strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://localhost") || strings.HasPrefix(u, "http://127.0.0.1") {
		return u
	}
	return ""
}

// Poll says who signed in with dev. ErrPending and ErrSlowDown say that nobody has
// yet.
func (i *Issuer) Poll(ctx context.Context, dev Device, now time.Time) (access.Identity, error) {
	if !now.Before(dev.Expires) {
		return access.Identity{}, i.refused("it took too long until somebody signed in")
	}
	d, err := i.find(ctx)
	if err != nil {
		return access.Identity{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, i.client)
	// One question and no more: whoever waits asks again.
	token, err := i.register(d, "").Exchange(ctx, "", oauth2.SetAuthURLParam("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
		oauth2.SetAuthURLParam("device_code", dev.code))
	if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		switch said.ErrorCode {
		case "authorization_pending":
			return access.Identity{}, ErrPending
		case "slow_down":
			return access.Identity{}, ErrSlowDown
		case "access_denied":
			return access.Identity{}, i.refused("the sign-in was declined")
		}
		return access.Identity{}, i.forgotten(said)
	}
	if err != nil {
		return access.Identity{}, i.unreachable(err)
	}
	return i.signedIn(ctx, token, "", now)
}
