package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
)

// Roles returns who has which role where.
func (c *Client) Roles(ctx context.Context) ([]rights.Assignment, error) {
	page, err := ask[api.Page[rights.Assignment]](ctx, c, get("v1", "roles"))
	return page.Items, err
}

// RoleDefinitions returns what each role allows.
func (c *Client) RoleDefinitions(ctx context.Context) ([]rights.Definition, error) {
	page, err := ask[api.Page[rights.Definition]](ctx, c, get("v1", "role-definitions"))
	return page.Items, err
}

// AssignRole gives a role; one that is given already stays.
func (c *Client) AssignRole(ctx context.Context, a rights.Assignment) (rights.Assignment, error) {
	what, err := post(true, a, "v1", "roles")
	if err != nil {
		return a, err
	}
	return ask[rights.Assignment](ctx, c, what)
}

// UnassignRole takes a role back.
func (c *Client) UnassignRole(ctx context.Context, a rights.Assignment) error {
	what, err := post(false, a, "v1", "roles", "unassign")
	if err != nil {
		return err
	}
	_, err = ask[struct{}](ctx, c, what)
	return err
}

// AccessPolicies returns the access policies, sorted by name.
func (c *Client) AccessPolicies(ctx context.Context) ([]rights.AccessPolicy, error) {
	page, err := ask[api.Page[rights.AccessPolicy]](ctx, c, get("v1", "access-policies"))
	return page.Items, err
}

// AccessPolicy returns one access policy.
func (c *Client) AccessPolicy(ctx context.Context, name string) (rights.AccessPolicy, error) {
	return ask[rights.AccessPolicy](ctx, c, get("v1", "access-policies", name))
}

// PutAccessPolicy saves an access policy or, in a dry run, shows who would gain or
// lose what.
func (c *Client) PutAccessPolicy(ctx context.Context, name string, p rights.NewAccessPolicy, dryRun bool) (rights.AccessPolicyChange, error) {
	what, err := post(true, p, "v1", "access-policies", name)
	if err != nil {
		return rights.AccessPolicyChange{}, err
	}
	what.method = http.MethodPut
	if dryRun {
		what.query = url.Values{"dry_run": []string{"true"}}
	}
	return ask[rights.AccessPolicyChange](ctx, c, what)
}

// DropAccessPolicy deletes an access policy.
func (c *Client) DropAccessPolicy(ctx context.Context, name string) error {
	what := get("v1", "access-policies", name)
	what.method, what.again = http.MethodDelete, false
	_, err := ask[struct{}](ctx, c, what)
	return err
}
