package server

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/vote"
)

const askWeb = `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"30m","reason":"look"`

// guard makes web-1 want one approval, and lets "breaker" break glass.
func (h *house) guard() {
	h.t.Helper()
	h.ok("admin", "PUT", "/v1/policies/web-1-ssh", policyText(web)+"approvals: [{stage: lead}]\nbreak_glass: {who: ['local#breaker'], max: 10m}\n")
}

// Z-04, Z-05, Z-06 over the wire.
func TestApprovalOverTheWire(t *testing.T) {
	h := build(t)
	h.guard()
	r := read[api.Request](h, "requester", "POST", "/v1/requests", askWeb+"}")
	if r.Approval == nil || r.Approval.State != "pending" || len(r.Grants) != 0 || len(r.Approval.Digest) != 64 {
		t.Fatalf("it does not wait: %+v", r)
	}
	if page := read[api.Page[api.Request]](h, "web-approver", "GET", "/v1/requests?state=waiting", ""); len(page.Items) != 1 || page.Items[0].ID != r.ID {
		t.Errorf("what waits: %+v", page)
	}
	yes := `{"digest":"` + r.Approval.Digest + `","comment":"fine"}`
	for _, c := range []struct {
		who, body string
		code      int
		says      string
	}{
		{"requester", yes, 403, "nobody approves or denies their own"},
		{"admin", yes, 403, "only a person may approve"},
		{"web-viewer", yes, 403, "may not approve"},
		{"web-approver", `{}`, 400, "digest is missing"},
		{"web-approver", `{"digest":"` + strings.Repeat("0", 64) + `"}`, 409, "look at it again"},
		{"web-approver", `{"digest":"` + r.Approval.Digest + `","status":"approved"}`, 400, "status"},
	} {
		if got := h.call(c.who, "POST", "/v1/requests/"+r.ID+"/approve", c.body); got.code != c.code || !strings.Contains(got.body, c.says) {
			t.Errorf("%s sends %s: %d %s, want %d: %s", c.who, c.body, got.code, got.body, c.code, c.says)
		}
	}
	done := read[api.Request](h, "web-approver", "POST", "/v1/requests/"+r.ID+"/approve", yes)
	if done.Approval.State != "approved" || len(done.Grants) != 1 || done.Grants[0].State != "open" {
		t.Fatalf("after the approval: %+v", done)
	}
	if got := h.call("web-approver", "POST", "/v1/requests/"+r.ID+"/approve", yes); got.code != 409 {
		t.Errorf("once more: %d %s", got.code, got.body)
	}
}

// Z-17: nobody decides for the server by sending what it decides.
func TestZ17MassAssignment(t *testing.T) {
	h := build(t)
	h.guard()
	for _, extra := range []string{
		`"status":"approved"`, `"approval":{"state":"approved"}`, `"approver":"requester"`, `"deadline":"2030-01-01T00:00:00Z"`,
		`"id":"r-0123456789abcdef"`, `"principal":{"issuer":"local","subject":"admin"}`, `"decision":{"allow":true}`, `"tenant":"other"`,
	} {
		if r := h.call("requester", "POST", "/v1/requests", askWeb+","+extra+"}"); r.code != 400 {
			t.Errorf("%s: %d %s", extra, r.code, r.body)
		}
	}
}

// Z-15: a code works for whoever cannot log in, for one emergency and nothing else.
func TestZ15CodesOverTheWire(t *testing.T) {
	h := build(t)
	h.guard()
	codes := read[vote.Codes](h, "admin", "POST", "/v1/codes", `{"principal":"local#breaker","count":2}`)
	if len(codes.Codes) != 2 {
		t.Fatalf("%d codes", len(codes.Codes))
	}
	h.tokens["code"], h.tokens["second"] = codes.Codes[0], codes.Codes[1]
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/requests", ""},
		{"GET", "/v1/policies", ""},
		{"GET", "/v1/activity", ""},
		{"POST", "/v1/requests", askWeb + "}"},
		{"POST", "/v1/codes", `{"principal":"local#breaker"}`},
	} {
		if r := h.call("code", c.method, c.path, c.body); r.code != 403 {
			t.Errorf("a code is good for %s %s: %d %s", c.method, c.path, r.code, r.body)
		}
	}
	if vm := read[api.VM](h, "code", "GET", "/v1/vms/web-1", ""); vm.Name != "web-1" {
		t.Errorf("the VM is %+v", vm)
	}
	fire := strings.Replace(askWeb, "30m", "10m", 1) + `,"break_glass":true}`
	r := read[api.Request](h, "code", "POST", "/v1/requests", fire)
	if len(r.Grants) != 1 || r.Grants[0].State != "open" || !r.Glass || r.Principal.Subject != "breaker" {
		t.Fatalf("the emergency: %+v", r)
	}
	if got := h.call("code", "POST", "/v1/requests", fire); got.code != 401 {
		t.Errorf("the same code once more: %d %s", got.code, got.body)
	}
	if got := h.call("second", "POST", "/v1/requests", fire); got.code != 409 || !strings.Contains(got.body, "nobody has reviewed") {
		t.Errorf("another code before the review: %d %s", got.code, got.body)
	}
	h.ok("web-approver", "POST", "/v1/requests/"+r.ID+"/review", `{"comment":"seen"}`)
	if got := h.call("second", "POST", "/v1/requests", fire); got.code != 201 {
		t.Errorf("after the review: %d %s", got.code, got.body)
	}
}
