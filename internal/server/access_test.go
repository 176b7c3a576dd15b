package server

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
)

func TestRequestOpensAndCloses(t *testing.T) {
	h := build(t)
	door := firewall.Door{VM: web, Protocol: firewall.TCP, Port: 22}
	from := netip.MustParseAddr("198.51.100.7")
	if h.world.Admits(door, from) {
		t.Fatal("the door is open before anybody asked")
	}
	r := read[api.Request](h, "requester", "POST", "/v1/requests",
		`{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"30m","reason":"<b>look</b> %s {{.}} @channel"}`)
	if len(r.Grants) != 1 || r.Grants[0].State != "open" || r.Duration != "30m" || !r.Decision.Allow {
		t.Fatalf("answer: %+v", r)
	}
	if !h.world.Admits(door, from) || h.world.Admits(door, netip.MustParseAddr("198.51.100.8")) {
		t.Fatal("the door is not open for the one source")
	}
	g := r.Grants[0]
	// The record of the opening may follow the answer.
	h.eventually(func() bool {
		return read[api.Grant](h, "requester", "GET", "/v1/grants/"+g.ID, "").State == "open"
	})
	if g.Reason != "<b>look</b> %s {{.}} @channel" {
		t.Fatalf("reason: %q", g.Reason)
	}
	if got := read[api.Request](h, "viewer", "GET", "/v1/requests/"+r.ID, ""); len(got.Grants) != 1 || got.Grants[0].ID != g.ID {
		t.Fatalf("request: %+v", got)
	}
	longer := read[api.Grant](h, "requester", "POST", "/v1/grants/"+g.ID+"/extend", `{"duration":"1h"}`)
	if !longer.Deadline.After(g.Deadline.Time) {
		t.Fatalf("deadline %v after extension, %v before", longer.Deadline, g.Deadline)
	}
	e := read[api.Explanation](h, "viewer", "GET", "/v1/explain?vm=web-1&port=22&source=198.51.100.7", "")
	if e.Source == nil || e.Source.Verdict != "open" || e.Lock == nil || len(e.Grants) != 1 {
		t.Fatalf("explanation: %+v", e)
	}
	if vm := read[api.VM](h, "requester", "GET", "/v1/vms/host:%2F%2Fweb-1", ""); len(vm.Doors) != 1 || vm.Doors[0].Grants != 1 || !vm.Doors[0].MayRequest {
		t.Fatalf("vm: %+v", vm)
	}
	closed := read[api.Grant](h, "requester", "POST", "/v1/grants/"+g.ID+"/close", "")
	if closed.State != "closed" || closed.Ended == nil || h.world.Admits(door, from) {
		t.Fatalf("after closing: %+v", closed)
	}
}

// P-01: the same key, the same request, many at once.
func TestParallelIdempotentRequestsAreOne(t *testing.T) {
	h := build(t)
	const many = 64
	ids := make([]string, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			req := h.newRequest("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"30m"}`)
			req.Header.Set(api.KeyHeader, "one-key")
			r := h.send(req)
			var out api.Request
			if r.code != 201 || decode([]byte(r.body), &out) != nil || len(out.Grants) != 1 {
				t.Errorf("answer %d: %d %s", i, r.code, r.body)
				return
			}
			ids[i] = out.ID + " " + out.Grants[0].ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("two answers: %q and %q", id, ids[0])
		}
	}
	if page := read[api.Page[api.Request]](h, "admin", "GET", "/v1/requests", ""); len(page.Items) != 1 {
		t.Fatalf("%d requests, want 1", len(page.Items))
	}
	req := h.newRequest("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.8"]}`)
	req.Header.Set(api.KeyHeader, "one-key")
	if r := h.send(req); r.code != 409 || !strings.Contains(r.problem(t).Detail, "another request") {
		t.Fatalf("the key with another body: %d %s", r.code, r.body)
	}
}

func TestEnablePreviewDisable(t *testing.T) {
	h := build(t)
	h.quiet()
	before := h.size()
	text := "name: web-rdp\nvms: [host://web-1]\nports: [{port: 3389}]\n"
	p := read[api.PolicyChange](h, "admin", "PUT", "/v1/policies/web-rdp?dry_run=true", text)
	if p.Preview == nil || p.Version != 0 || len(p.Preview.Changes) == 0 {
		t.Fatalf("dry run: %+v", p)
	}
	shut := false
	for _, x := range p.Preview.Reach {
		shut = shut || x.Door.Port == 3389 && x.Shuts != nil && x.Shuts.Sources == "anybody" && x.Shuts.By != ""
	}
	if !shut {
		t.Fatalf("the dry run does not show who loses the port: %+v", p.Preview.Reach)
	}
	if h.size() != before {
		t.Fatal("a dry run left a record")
	}
	if p := read[api.PolicyChange](h, "admin", "PUT", "/v1/policies/web-rdp", text); p.Version != 1 || p.Preview != nil {
		t.Fatalf("enable: %+v", p)
	}
	door := firewall.Door{VM: web, Protocol: firewall.TCP, Port: 3389}
	h.eventually(func() bool { return !h.world.Admits(door, netip.MustParseAddr("203.0.113.1")) })
	shown := read[api.Disabled](h, "admin", "POST", "/v1/disable", `{"vm":"web-1","ports":[{"port":3389}],"dry_run":true}`)
	if shown.Done || len(shown.Preview.Reach) == 0 {
		t.Fatalf("dry run of disable: %+v", shown)
	}
	done := read[api.Disabled](h, "admin", "POST", "/v1/disable", `{"vm":"web-1","ports":[{"port":3389}]}`)
	if !done.Done {
		t.Fatalf("disable: %+v", done)
	}
	h.eventually(func() bool { return h.world.Admits(door, netip.MustParseAddr("203.0.113.1")) })
	if r := h.call("admin", "DELETE", "/v1/policies/web-1-ssh", ""); r.code != 204 || r.body != "" {
		t.Fatalf("delete: %d %s", r.code, r.body)
	}
	vm := read[api.VM](h, "admin", "GET", "/v1/vms/web-1", "")
	if len(vm.Doors) != 1 || vm.Doors[0].Policy != "" || vm.Doors[0].MayRequest {
		t.Fatalf("an orphan lock looks like %+v", vm.Doors)
	}
}

// A lock that the firewalls show and the book does not know, because it was lost,
// is shown like one that its policy has left.
func TestLocksOfALostBookAreOrphans(t *testing.T) {
	h := build(t)
	rules, err := h.store.Rules(t.Context())
	must(t, err)
	h.eventually(func() bool { return len(h.fleet.Orphans(web, nil)) == 1 })
	if l := h.fleet.Orphans(web, nil)[0]; l.Door != (firewall.Door{VM: web, Protocol: firewall.TCP, Port: 22}) || l.Policy != "" {
		t.Errorf("the book is lost, and there is %+v", l)
	}
	if known := h.fleet.Orphans(web, rules.Locks); len(known) > 0 {
		t.Errorf("the book knows them, and there are %+v", known)
	}
	// Nor is a door that something foreign stands before.
	rdp := firewall.Door{VM: web, Protocol: firewall.TCP, Port: 3389}
	h.world.Firewall("fw-web-1").Obstruct(provider.Obstacle{Door: rdp, Blocks: true, Text: "a wall"})
	h.fleet.Wake("test")
	h.eventually(func() bool {
		return slices.ContainsFunc(h.fleet.Doors(web), func(d sight.DoorState) bool { return d.Door == rdp })
	})
	if orphans := h.fleet.Orphans(web, nil); len(orphans) != 1 || orphans[0].Door == rdp {
		t.Errorf("a door that is not locked is an orphan lock: %+v", orphans)
	}
	// But it is shown, once: it may be another installation's lock.
	shown := 0
	for _, d := range read[api.VM](h, "viewer", "GET", "/v1/vms/web-1", "").Doors {
		if d.Port == 3389 && !d.Locked && slices.Equal(d.Obstacles, []string{"a wall"}) {
			shown++
		}
	}
	if shown != 1 {
		t.Errorf("the wall is shown %d times", shown)
	}
}

func TestSweepShowsWhatItCloses(t *testing.T) {
	h := build(t)
	if s := read[api.Swept](h, "admin", "POST", "/v1/sweep", `{"dry_run":true}`); s.Done || len(s.Closings) != 0 {
		t.Fatalf("dry run: %+v", s)
	}
	if s := read[api.Swept](h, "admin", "POST", "/v1/sweep", `{}`); !s.Done {
		t.Fatalf("sweep: %+v", s)
	}
}

// Who sees a part of a policy is told so, and cannot write that part back as the
// whole; and nobody writes back what somebody else has changed since.
func TestPoliciesAreNotOverwrittenUnseen(t *testing.T) {
	h := build(t)
	secret, _, err := h.broker.CreateToken(t.Context(), broker.Caller{Identity: access.Identity{Principal: authn.LocalAdmin()}},
		broker.NewToken{Name: "web-admin", Role: authz.Admin, VMs: []firewall.VMID{web}})
	must(t, err)
	h.tokens["web-admin"] = secret
	both := "name: rdp\nvms: [host://db-1, host://web-1]\nports: [{port: 3389, max: 1h}]\n"
	h.ok("admin", "PUT", "/v1/policies/rdp", both)

	part := read[api.SavedPolicy](h, "web-admin", "GET", "/v1/policies/rdp", "")
	if part.Hidden != 1 || len(part.Policy.VMs) != 1 || part.Policy.Version != 1 {
		t.Errorf("somebody who sees web-1 is shown %+v", part)
	}
	back, err := api.Encode(part.Policy)
	must(t, err)
	for _, query := range []string{"", "?dry_run=true"} {
		r := h.call("web-admin", "PUT", "/v1/policies/rdp"+query, string(back))
		if r.code != 403 || !strings.Contains(r.body, "also covers 1 VM") || strings.Contains(r.body, "db-1") {
			t.Errorf("a part was written back: %d %s", r.code, r.body)
		}
	}
	whole := read[api.SavedPolicy](h, "admin", "GET", "/v1/policies/rdp", "")
	if whole.Hidden != 0 || len(whole.Policy.VMs) != 2 {
		t.Errorf("the admin is shown %+v", whole)
	}
	h.ok("admin", "PUT", "/v1/policies/rdp", strings.Replace(both, "1h", "30m", 1))
	whole.Policy.Proof = true
	back, err = api.Encode(whole.Policy)
	must(t, err)
	if r := h.call("admin", "PUT", "/v1/policies/rdp", string(back)); r.code != 409 || !strings.Contains(r.body, "3389/tcp max: 30m → 1h") {
		t.Errorf("a change was overwritten: %d %s", r.code, r.body)
	}
	whole.Policy.Version = 2
	back, err = api.Encode(whole.Policy)
	must(t, err)
	trial := read[api.PolicyChange](h, "admin", "PUT", "/v1/policies/rdp?dry_run=true", string(back))
	if want := []string{"3389/tcp max: 30m → 1h", "proof: false → true"}; !slices.Equal(trial.Changes, want) {
		t.Errorf("the dry run shows %q, want %q", trial.Changes, want)
	}
	h.ok("admin", "PUT", "/v1/policies/rdp", string(back))
}

// A refusal says what was asked, and not only which right it takes.
func TestRefusalsSayWhatWasAsked(t *testing.T) {
	h := build(t)
	for path, want := range map[string]string{
		"GET /v1/tokens": "requester may not list tokens: assignment requester on all VMs: does not include manage",
		"POST /v1/sweep": "requester may not sweep: assignment requester on all VMs: does not include close",
	} {
		method, path, _ := strings.Cut(path, " ")
		body := ""
		if method == "POST" {
			body = `{"dry_run":true}`
		}
		if r := h.call("requester", method, path, body); r.code != 403 || r.problem(t).Detail != want {
			t.Errorf("%s %s: %d %s, want %s", method, path, r.code, r.body, want)
		}
	}
}
