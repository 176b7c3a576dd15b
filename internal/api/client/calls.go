package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/api/vote"
)

// Whoami says who the server takes the client for.
func (c *Client) Whoami(ctx context.Context) (api.Whoami, error) {
	return ask[api.Whoami](ctx, c, get("v1", "whoami"))
}

// VMs returns the machines that the caller may see, sorted by id.
func (c *Client) VMs(ctx context.Context) ([]api.VM, error) {
	page, err := ask[api.Page[api.VM]](ctx, c, get("v1", "vms"))
	return page.Items, err
}

// VM returns one machine by id or unambiguous name.
func (c *Client) VM(ctx context.Context, vm string) (api.VM, error) {
	return ask[api.VM](ctx, c, get("v1", "vms", vm))
}

// Policies returns the policies in force, sorted by name.
func (c *Client) Policies(ctx context.Context) ([]api.SavedPolicy, error) {
	page, err := ask[api.Page[api.SavedPolicy]](ctx, c, get("v1", "policies"))
	return page.Items, err
}

// Policy returns one policy.
func (c *Client) Policy(ctx context.Context, name string) (api.SavedPolicy, error) {
	return ask[api.SavedPolicy](ctx, c, get("v1", "policies", name))
}

// PutPolicy saves a policy and locks its doors or, in a dry run, shows what that
// would do. The document is YAML or JSON.
func (c *Client) PutPolicy(ctx context.Context, name string, document []byte, dryRun bool) (api.PolicyChange, error) {
	what := call{
		method: http.MethodPut, path: []string{"v1", "policies", name}, query: url.Values{}, header: nil,
		body: document, media: "application/yaml", again: true, also: 0,
	}
	if dryRun {
		what.query.Set("dry_run", "true")
	}
	return ask[api.PolicyChange](ctx, c, what)
}

// AgreePolicy is PutPolicy for whoever agrees to the losses that the dry run
// showed; agree is what it said to agree with.
func (c *Client) AgreePolicy(ctx context.Context, name string, document []byte, agree string) (api.PolicyChange, error) {
	return ask[api.PolicyChange](ctx, c, call{
		method: http.MethodPut, path: []string{"v1", "policies", name}, query: url.Values{"accept_losses": {agree}}, header: nil,
		body: document, media: "application/yaml", again: true, also: 0,
	})
}

// DropPolicy deletes a policy. Its locks stay.
func (c *Client) DropPolicy(ctx context.Context, name string) error {
	what := get("v1", "policies", name)
	what.method, what.again = http.MethodDelete, false
	_, err := ask[struct{}](ctx, c, what)
	return err
}

// Disable ends locks or, in a dry run, shows who would get in again.
func (c *Client) Disable(ctx context.Context, d api.Disable) (api.Disabled, error) {
	what, err := post(d.DryRun, d, "v1", "disable")
	if err != nil {
		return api.Disabled{}, err
	}
	return ask[api.Disabled](ctx, c, what)
}

// Request asks for access. The key makes repeating the same request harmless;
// when it is empty, the client makes one for this call.
func (c *Client) Request(ctx context.Context, a api.Ask, key string) (api.Request, error) {
	what, err := post(true, a, "v1", "requests")
	if err != nil {
		return api.Request{}, err
	}
	if key == "" {
		key = newKey()
	}
	what.header = http.Header{api.KeyHeader: {key}}
	return ask[api.Request](ctx, c, what)
}

// A List says which part of a list to return. Zero fields choose all.
type List struct {
	VM        string // id or name
	Principal string // subject, or issuer and subject as ISSUER#SUBJECT
	State     string // of grants: "pending" or "done"; of requests: "waiting"
	Cursor    string
	Limit     int
}

func (l List) values() url.Values {
	v := url.Values{}
	set(v, "vm", l.VM)
	set(v, "principal", l.Principal)
	set(v, "state", l.State)
	set(v, "cursor", l.Cursor)
	if l.Limit > 0 {
		v.Set("limit", strconv.Itoa(l.Limit))
	}
	return v
}

func set(v url.Values, key, value string) {
	if value != "" {
		v.Set(key, value)
	}
}

// Requests returns a page of requests, newest first.
func (c *Client) Requests(ctx context.Context, l List) (api.Page[api.Request], error) {
	what := get("v1", "requests")
	what.query = l.values()
	return ask[api.Page[api.Request]](ctx, c, what)
}

// RequestByID returns one request.
func (c *Client) RequestByID(ctx context.Context, id string) (api.Request, error) {
	return ask[api.Request](ctx, c, get("v1", "requests", id))
}

// Grants returns a page of grants, newest first.
func (c *Client) Grants(ctx context.Context, l List) (api.Page[api.Grant], error) {
	what := get("v1", "grants")
	what.query = l.values()
	return ask[api.Page[api.Grant]](ctx, c, what)
}

// Grant returns one grant.
func (c *Client) Grant(ctx context.Context, id string) (api.Grant, error) {
	return ask[api.Grant](ctx, c, get("v1", "grants", id))
}

// Close ends a grant now.
func (c *Client) Close(ctx context.Context, id string) (api.Grant, error) {
	what := get("v1", "grants", id, "close")
	what.method = http.MethodPost
	return ask[api.Grant](ctx, c, what)
}

// Extend makes a grant last for the given time from now.
func (c *Client) Extend(ctx context.Context, id string, e api.Extend) (api.Grant, error) {
	what, err := post(false, e, "v1", "grants", id, "extend")
	if err != nil {
		return api.Grant{}, err
	}
	return ask[api.Grant](ctx, c, what)
}

// Approve agrees to a request as it was seen.
func (c *Client) Approve(ctx context.Context, id string, a vote.Approve) (api.Request, error) {
	what, err := post(false, a, "v1", "requests", id, "approve")
	if err != nil {
		return api.Request{}, err
	}
	return ask[api.Request](ctx, c, what)
}

// Say denies, cancels or reviews a request.
func (c *Client) Say(ctx context.Context, id, choice string, comment vote.Comment) (api.Request, error) {
	what, err := post(false, comment, "v1", "requests", id, choice)
	if err != nil {
		return api.Request{}, err
	}
	return ask[api.Request](ctx, c, what)
}

// Plan shows what the next pass would write.
func (c *Client) Plan(ctx context.Context) (api.Preview, error) {
	return ask[api.Preview](ctx, c, get("v1", "plan"))
}

// Explain says who can come through a port, and by which rule; source may be
// empty.
func (c *Client) Explain(ctx context.Context, vm string, p api.Port, source string) (api.Explanation, error) {
	what := get("v1", "explain")
	what.query = url.Values{"vm": {vm}, "port": {strconv.Itoa(int(p.Port))}}
	set(what.query, "protocol", p.Protocol)
	set(what.query, "source", source)
	return ask[api.Explanation](ctx, c, what)
}

// ExportTerraform says what Terraform has to know about a VM, by its id or name, or a
// security group or network security group, by its id.
func (c *Client) ExportTerraform(ctx context.Context, of string) (api.Terraform, error) {
	what := get("v1", "export", "terraform")
	what.query = url.Values{"of": {of}}
	return ask[api.Terraform](ctx, c, what)
}

// Sweep closes what no live grant justifies or, in a dry run, shows it.
func (c *Client) Sweep(ctx context.Context, s api.Sweep) (api.Swept, error) {
	what, err := post(true, s, "v1", "sweep")
	if err != nil {
		return api.Swept{}, err
	}
	return ask[api.Swept](ctx, c, what)
}

// Tokens returns every token, sorted by id.
func (c *Client) Tokens(ctx context.Context) ([]rights.Token, error) {
	page, err := ask[api.Page[rights.Token]](ctx, c, get("v1", "tokens"))
	return page.Items, err
}

// CreateToken makes a token; its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, n rights.NewToken) (rights.CreatedToken, error) {
	what, err := post(false, n, "v1", "tokens")
	if err != nil {
		return rights.CreatedToken{}, err
	}
	return ask[rights.CreatedToken](ctx, c, what)
}

// CreateCodes makes codes for emergencies; they are in the answer and nowhere else.
func (c *Client) CreateCodes(ctx context.Context, n vote.NewCodes) (vote.Codes, error) {
	what, err := post(false, n, "v1", "codes")
	if err != nil {
		return vote.Codes{}, err
	}
	return ask[vote.Codes](ctx, c, what)
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	what := get("v1", "tokens", id)
	what.method, what.again = http.MethodDelete, false
	_, err := ask[struct{}](ctx, c, what)
	return err
}

// Checkpoint returns a signed checkpoint of the audit log as it is now.
func (c *Client) Checkpoint(ctx context.Context) (api.Checkpoint, error) {
	return ask[api.Checkpoint](ctx, c, get("v1", "audit", "checkpoint"))
}

// VerifyAudit has the server verify its own log.
func (c *Client) VerifyAudit(ctx context.Context) (api.AuditReport, error) {
	return ask[api.AuditReport](ctx, c, get("v1", "audit", "verify"))
}

// Export writes the whole audit log to w, as a bundle that audit.Verify reads.
// What w holds after an error is not the whole of it.
func (c *Client) Export(ctx context.Context, w io.Writer) error {
	resp, err := c.do(ctx, get("v1", "audit", "export"))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("export the audit log: %w", unreachable(ctx, err))
	}
	return nil
}

// Health says whether the server can do its work. A server that is up and not
// ready answers with its reasons and no error.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	what := get("readyz")
	what.also = http.StatusServiceUnavailable
	return ask[api.Health](ctx, c, what)
}
