package client

import (
	"context"
	"net/http"

	"github.com/sesame-access/sesame/internal/api"
)

// SignIns returns where one can sign in.
func (c *Client) SignIns(ctx context.Context) (api.SignIns, error) {
	return ask[api.SignIns](ctx, c, get("v1", "sign-in"))
}

// StartDevice begins a sign-in on another device.
func (c *Client) StartDevice(ctx context.Context, issuer string) (api.Device, error) {
	what, err := post(false, api.StartDevice{Issuer: issuer}, "v1", "sign-in", "device")
	if err != nil {
		return api.Device{}, err
	}
	return ask[api.Device](ctx, c, what)
}

// FetchSession returns the session of a sign-in. What it sends is good once, so it
// is sent once.
func (c *Client) FetchSession(ctx context.Context, f api.FetchSession) (api.SignedIn, error) {
	what, err := post(false, f, "v1", "sign-in", "session")
	if err != nil {
		return api.SignedIn{}, err
	}
	return ask[api.SignedIn](ctx, c, what)
}

// EndSession signs out.
func (c *Client) EndSession(ctx context.Context) error {
	what := get("v1", "session")
	what.method, what.again = http.MethodDelete, false
	_, err := ask[struct{}](ctx, c, what)
	return err
}

// Identities returns everybody who is known.
func (c *Client) Identities(ctx context.Context) ([]api.Identity, error) {
	page, err := ask[api.Page[api.Identity]](ctx, c, get("v1", "identities"))
	return page.Items, err
}

// LinkIdentity makes an identity a person.
func (c *Client) LinkIdentity(ctx context.Context, l api.Link) (api.Identity, error) {
	what, err := post(true, l, "v1", "identities", "link")
	if err != nil {
		return api.Identity{}, err
	}
	return ask[api.Identity](ctx, c, what)
}

// UnlinkIdentity takes a link back.
func (c *Client) UnlinkIdentity(ctx context.Context, u api.Unlink) error {
	what, err := post(false, u, "v1", "identities", "unlink")
	if err != nil {
		return err
	}
	_, err = ask[struct{}](ctx, c, what)
	return err
}
