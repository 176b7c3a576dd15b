package client

import (
	"context"
	"net/http"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/identity"
)

// SignIns returns where one can sign in.
func (c *Client) SignIns(ctx context.Context) (wire.SignIns, error) {
	return ask[wire.SignIns](ctx, c, get("v1", "sign-in"))
}

// StartDevice begins a sign-in on another device.
func (c *Client) StartDevice(ctx context.Context, issuer string) (wire.Device, error) {
	what, err := post(false, wire.StartDevice{Issuer: issuer}, "v1", "sign-in", "device")
	if err != nil {
		return wire.Device{}, err
	}
	return ask[wire.Device](ctx, c, what)
}

// FetchSession returns the session of a sign-in. What it sends is good once, so it
// is sent once.
func (c *Client) FetchSession(ctx context.Context, f wire.FetchSession) (wire.SignedIn, error) {
	what, err := post(false, f, "v1", "sign-in", "session")
	if err != nil {
		return wire.SignedIn{}, err
	}
	return ask[wire.SignedIn](ctx, c, what)
}

// EndSession signs out.
func (c *Client) EndSession(ctx context.Context) error {
	what := get("v1", "session")
	what.method, what.again = http.MethodDelete, false
	_, err := ask[struct{}](ctx, c, what)
	return err
}

// Identities returns everybody who is known.
func (c *Client) Identities(ctx context.Context) ([]wire.Identity, error) {
	page, err := ask[api.Page[wire.Identity]](ctx, c, get("v1", "identities"))
	return page.Items, err
}

// LinkIdentity makes an identity a person.
func (c *Client) LinkIdentity(ctx context.Context, l wire.Link) (wire.Identity, error) {
	what, err := post(true, l, "v1", "identities", "link")
	if err != nil {
		return wire.Identity{}, err
	}
	return ask[wire.Identity](ctx, c, what)
}

// UnlinkIdentity takes a link back.
func (c *Client) UnlinkIdentity(ctx context.Context, u wire.Unlink) error {
	what, err := post(false, u, "v1", "identities", "unlink")
	if err != nil {
		return err
	}
	_, err = ask[struct{}](ctx, c, what)
	return err
}
