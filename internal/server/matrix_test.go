package server

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/store"
)

// probe is one try of a route, about one VM and what hangs on it.
type probe struct {
	path, body string
	// want is the status for somebody with a role who sees the VM, or not.
	want func(role string, sees bool) int
}

// accessPolicyText is an access policy that changes nothing for anybody here.
func accessPolicyText() string {
	return `{"text":"permit (principal == Principal::\"local#nobody\", action == Action::\"request\", resource);"}`
}

// always, onlyAdmin and so on are the rules that the matrix expects. They are
// written down here once more, apart from the code that follows them.
func always(string, bool) int { return http.StatusOK }

func just(status int) func(string, bool) int { return func(string, bool) int { return status } }

func ifSeen(_ string, sees bool) int {
	if sees {
		return http.StatusOK
	}
	return http.StatusNotFound
}

func ifSeenBy(status, otherwise int, roles ...string) func(string, bool) int {
	return func(role string, sees bool) int {
		if !sees {
			return http.StatusNotFound
		}
		if slices.Contains(roles, role) {
			return status
		}
		return otherwise
	}
}

// global is for what only a role on all VMs allows.
func global(status int, roles ...string) func(string, bool) int {
	return func(role string, _ bool) int {
		if slices.Contains(roles, role) {
			return status
		}
		return http.StatusForbidden
	}
}

// probes returns a try of every operation about vm. The grant belongs to
// "requester".
func probes(vm, grant, request, token string) map[string]probe {
	everybody := []string{"admin", "requester", "viewer"}
	ask := `{"vm":"` + vm + `","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"1m"}`
	return map[string]probe{
		"whoami":                   {"/v1/whoami", "", always},
		"list-vms":                 {"/v1/vms", "", always},
		"get-vm":                   {"/v1/vms/" + vm, "", ifSeen},
		"request-access":           {"/v1/requests", ask, ifSeenBy(201, 403, "admin", "requester", "web-requester")},
		"list-requests":            {"/v1/requests?vm=" + vm, "", ifSeen},
		"get-request":              {"/v1/requests/" + request, "", ifSeen},
		"approve-request":          {"/v1/requests/" + request + "/approve", `{"digest":"` + strings.Repeat("0", 64) + `"}`, ifSeenBy(409, 403, "requester", "web-approver")},
		"deny-request":             {"/v1/requests/" + request + "/deny", `{}`, ifSeenBy(409, 403, "requester", "web-approver")},
		"cancel-request":           {"/v1/requests/" + request + "/cancel", `{}`, ifSeenBy(409, 409)},
		"review-request":           {"/v1/requests/" + request + "/review", `{}`, ifSeenBy(400, 403, "requester", "web-approver")},
		"list-grants":              {"/v1/grants?vm=" + vm, "", ifSeen},
		"get-grant":                {"/v1/grants/" + grant, "", ifSeen},
		"close-grant":              {"/v1/grants/" + grant + "/close", "", ifSeenBy(200, 404, "admin", "requester", "web-approver")},
		"extend-grant":             {"/v1/grants/" + grant + "/extend", `{"duration":"90m"}`, ifSeenBy(200, 404, "requester")},
		"explain":                  {"/v1/explain?port=22&vm=" + vm, "", ifSeen},
		"list-policies":            {"/v1/policies", "", always},
		"get-policy":               {"/v1/policies/" + vm + "-ssh", "", ifSeen},
		"put-policy":               {"/v1/policies/" + vm + "-ssh", policyText(firewall.HostVM(vm)), ifSeenBy(200, 403, "admin")},
		"delete-policy":            {"/v1/policies/" + vm + "-ssh", "", ifSeenBy(204, 403, "admin")},
		"disable":                  {"/v1/disable", `{"vm":"` + vm + `","ports":[{"port":22}]}`, ifSeenBy(200, 403, "admin")},
		"plan":                     {"/v1/plan", "", global(200, everybody...)},
		"export-terraform":         {"/v1/export/terraform?of=" + vm, "", global(409, "admin")}, // of a host there is nothing to say
		"sweep":                    {"/v1/sweep", `{"dry_run":true}`, global(200, "admin")},
		"list-tokens":              {"/v1/tokens", "", global(200, "admin")},
		"create-token":             {"/v1/tokens", `{"name":"new-` + vm + `","role":"viewer","vms":["` + vm + `"]}`, global(201, "admin")},
		"revoke-token":             {"/v1/tokens/" + token, "", global(204, "admin")},
		"create-codes":             {"/v1/codes", `{"principal":"local#dora-` + vm + `"}`, global(201, "admin")},
		"list-activity":            {"/v1/activity?vm=" + vm, "", ifSeen},
		"follow-activity":          {"/v1/activity/stream?vm=" + vm, "", ifSeen},
		"audit-checkpoint":         {"/v1/audit/checkpoint", "", global(200, everybody...)},
		"export-audit":             {"/v1/audit/export", "", global(200, everybody...)},
		"verify-audit":             {"/v1/audit/verify", "", global(200, everybody...)},
		"metrics":                  {"/metrics", "", global(200, everybody...)},
		"alive":                    {"/healthz", "", always},
		"ready":                    {"/readyz", "", always},
		"sign-in":                  {"/login", "", just(400)},
		"callback":                 {"/callback?session_state=x", "", just(401)},
		"first-administrator":      {"/login/first?key=x", "", always},
		"take-first-administrator": {"/login/first", "", just(415)},
		"sign-out-page":            {"/logout", "", always},
		"sign-out":                 {"/logout", "", just(415)},
		"list-sign-ins":            {"/v1/sign-in", "", always},
		"start-device":             {"/v1/sign-in/device", "{}", just(400)},
		"fetch-session":            {"/v1/sign-in/session", `{"handle":"x"}`, just(401)},
		"end-session":              {"/v1/session", "", just(400)},
		"list-identities":          {"/v1/identities", "", global(200, "admin")},
		"link-identity":            {"/v1/identities/link", `{"identity":"viewer"}`, global(200, "admin")},
		"unlink-identity":          {"/v1/identities/unlink", `{"identity":"viewer"}`, global(204, "admin")},
		"list-roles":               {"/v1/roles", "", global(200, "admin")},
		"assign-role":              {"/v1/roles", `{"principal":"local#new","role":"viewer","scope":"/"}`, global(201, "admin")},
		"unassign-role":            {"/v1/roles/unassign", `{"principal":"local#other-` + request + `","role":"viewer","scope":"/"}`, global(204, "admin")},
		"list-role-definitions":    {"/v1/role-definitions", "", global(200, "admin")},
		"list-access-policies":     {"/v1/access-policies", "", global(200, "admin")},
		"get-access-policy":        {"/v1/access-policies/staged", "", global(200, "admin")},
		"put-access-policy":        {"/v1/access-policies/staged", accessPolicyText(), global(200, "admin")},
		"delete-access-policy":     {"/v1/access-policies/staged", "", global(204, "admin")},
		"openapi":                  {"/v1/openapi.json", "", always},
	}
}

// Z-01: every role at every route, about a VM of theirs and about another. The
// roles that may do least come first, so that what one changes is in nobody's
// way.
func TestMatrix(t *testing.T) {
	h := build(t)
	for _, rt := range h.server.routes() {
		if rt.may == unruled {
			t.Errorf("%s %s has no rule", rt.method, rt.path)
		}
		for _, vm := range []string{"web-1", "db-1"} {
			var p probe
			changed := true
			for _, role := range []string{"", "web-viewer", "web-approver", "web-requester", "viewer", "requester", "admin"} {
				if changed {
					p = h.stage(rt, vm)
				}
				changed = h.try(rt, p, role, vm == "web-1" || !strings.HasPrefix(role, "web-"))
			}
		}
	}
}

// stage sets up what a probe of rt about vm needs.
func (h *house) stage(rt route, vm string) probe {
	h.t.Helper()
	h.server.authn = h.server.newAuthn()
	h.ok("admin", "PUT", "/v1/policies/"+vm+"-ssh", policyText(firewall.HostVM(vm)))
	h.ok("admin", "PUT", "/v1/access-policies/staged", accessPolicyText())
	asked := read[api.Request](h, "requester", "POST", "/v1/requests",
		`{"vm":"`+vm+`","ports":[{"port":22}],"sources":["198.51.100.9"],"duration":"5m"}`)
	made := read[wire.CreatedToken](h, "admin", "POST", "/v1/tokens", `{"name":"other-`+asked.ID+`","role":"viewer"}`)
	if rt.id == "unlink-identity" {
		h.ok("admin", "POST", "/v1/identities/link", `{"identity":"viewer"}`)
	}
	p, ok := probes(vm, asked.Grants[0].ID, asked.ID, made.Token.ID)[rt.id]
	if !ok {
		h.t.Fatalf("no probe for %s", rt.id)
	}
	return p
}

// try sends one probe and compares its status. Whoever is refused changes
// nothing: they leave at most one record, of the denial. It reports whether
// something was changed.
func (h *house) try(rt route, p probe, role string, sees bool) bool {
	h.t.Helper()
	want := p.want(role, sees)
	if role == "" && rt.may != public {
		want = http.StatusUnauthorized
	}
	before := h.size()
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	resp, err := h.http.Client().Do(h.newRequest(role, rt.method, p.path, p.body).WithContext(ctx))
	must(h.t, err)
	defer resp.Body.Close()
	if resp.StatusCode != want {
		h.t.Errorf("%s %s as %q: %d, want %d", rt.method, p.path, role, resp.StatusCode, want)
	}
	if rt.answers == front.HTML {
		return false // pages; they have tests of their own
	}
	if resp.StatusCode/100 == 2 {
		return rt.method != http.MethodGet
	}
	body, err := io.ReadAll(resp.Body)
	must(h.t, err)
	reply{Response: resp, code: resp.StatusCode, body: string(body)}.problem(h.t)
	records, err := h.store.Tail(h.t.Context(), store.ActivityFilter{}, before-1)
	must(h.t, err)
	denials := 0
	for _, x := range records {
		switch {
		case x.Actor.Subject != role || role == "":
		case x.Kind == audit.Denied:
			denials++
		default:
			h.t.Errorf("%s %s as %q was refused and left %s", rt.method, p.path, role, x.Kind)
		}
	}
	if want == http.StatusForbidden && denials != 1 {
		h.t.Errorf("%s %s as %q was refused and left %d records of that", rt.method, p.path, role, denials)
	}
	return false
}

// Lists hold what their reader may see, and nothing of the rest.
func TestListsAreCutToTheReader(t *testing.T) {
	h := build(t)
	for _, vm := range []string{"web-1", "db-1"} {
		h.ok("requester", "POST", "/v1/requests", `{"vm":"`+vm+`","ports":[{"port":22}],"sources":["198.51.100.9"]}`)
	}
	for _, path := range []string{"/v1/vms", "/v1/requests", "/v1/grants", "/v1/policies", "/v1/activity"} {
		if all := h.ok("viewer", "GET", path, "").body; !strings.Contains(all, "db-1") || !strings.Contains(all, "web-1") {
			t.Errorf("%s of a viewer of all VMs: %s", path, all)
		}
		if part := h.ok("web-viewer", "GET", path, "").body; strings.Contains(part, "db-1") || !strings.Contains(part, "web-1") {
			t.Errorf("%s of a viewer of web-1: %s", path, part)
		}
	}
	if page := read[api.Page[api.Grant]](h, "web-requester", "GET", "/v1/grants?principal=me", ""); len(page.Items) != 0 {
		t.Errorf("grants of somebody who never asked: %+v", page.Items)
	}
}
