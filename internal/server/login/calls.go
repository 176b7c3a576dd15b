package login

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/identity"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/signin"
)

// Issuers says where one can sign in.
func (p Pages) Issuers() wire.SignIns {
	out := wire.SignIns{Issuers: p.Desk.Names(), URL: p.Desk.URL}
	if out.Issuers == nil {
		out.Issuers = []string{}
	}
	return out
}

// StartDevice begins a sign-in on another device.
func (p Pages) StartDevice(ctx context.Context, addr netip.Addr, in wire.StartDevice) (wire.Device, error) {
	if !p.Authn().Fails(addr, p.Now()) { // each is a call of the identity provider
		return wire.Device{}, errkind.New(errkind.Exhausted, "too many attempts; wait a minute")
	}
	handle, dev, err := p.Desk.StartDevice(ctx, in.Issuer)
	if err != nil {
		return wire.Device{}, err
	}
	return wire.Device{
		Handle: handle, Code: dev.UserCode, Page: dev.Page, Complete: dev.Complete,
		Interval: int(dev.Interval / time.Second), Expires: api.TimeOf(dev.Expires),
	}, nil
}

// Fetch returns the session of a sign-in that a program began.
func (p Pages) Fetch(ctx context.Context, addr netip.Addr, in wire.FetchSession) (wire.SignedIn, error) {
	if in.Handle != "" {
		secret, s, again, dev, err := p.Desk.Poll(ctx, in.Handle, addr)
		if err != nil {
			return wire.SignedIn{}, p.counted(addr, err)
		}
		if again != "" {
			return wire.SignedIn{
				Pending: true, Handle: again, Interval: int(dev.Interval / time.Second), Secret: "", Principal: api.Principal{}, Expires: api.Time{},
			}, nil
		}
		return signedIn(secret, s, p.Desk.Sessions), nil
	}
	secret, s, err := p.Desk.Fetch(ctx, in.Code, in.Verifier, addr)
	if err != nil {
		return wire.SignedIn{}, p.counted(addr, err)
	}
	return signedIn(secret, s, p.Desk.Sessions), nil
}

// counted counts err if it is about who is asking.
func (p Pages) counted(addr netip.Addr, err error) error {
	if errkind.Of(err) == errkind.Unauthenticated && !p.Authn().Fails(addr, p.Now()) {
		return errkind.New(errkind.Exhausted, "too many attempts; wait a minute")
	}
	return err
}

// List returns everybody who is known.
func (p Pages) List(ctx context.Context) (api.Page[wire.Identity], error) {
	all, err := p.Desk.List(ctx)
	if err != nil {
		return api.Page[wire.Identity]{}, err
	}
	return api.PageFrom(all, "", identityOf), nil
}

func identityOf(k signin.Known) wire.Identity {
	out := wire.Identity{
		Principal: api.PrincipalOf(k.Principal), Kind: string(k.Kind), Person: k.Person,
		Groups: []string{}, Seen: api.TimeOf(k.Seen), Linked: api.TimeOf(k.Link.Since),
	}
	for _, g := range k.Groups {
		out.Groups = append(out.Groups, strings.TrimPrefix(g, k.Issuer+"#"))
	}
	return out
}

// Link makes two identities one person.
func (p Pages) Link(ctx context.Context, by authn.Caller, in wire.Link) (wire.Identity, error) {
	k, err := p.Desk.Link(ctx, by.Principal, by.Addr, in.Identity, in.To)
	if err != nil {
		return wire.Identity{}, err
	}
	return identityOf(k), nil
}

// Unlink takes that back.
func (p Pages) Unlink(ctx context.Context, by authn.Caller, in wire.Unlink) (struct{}, error) {
	return struct{}{}, p.Desk.Unlink(ctx, by.Principal, by.Addr, in.Identity)
}
