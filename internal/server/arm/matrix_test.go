package arm_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/server/arm"
	"github.com/sesame-access/sesame/internal/store"
)

// probe is what is sent to a route, and the statuses that it may have.
type probe struct {
	path, body string
	want       func(role string, sees bool) int
}

// The shapes of what a role gets.
func always(status int) func(string, bool) int { return func(string, bool) int { return status } }

func ifSeen() func(string, bool) int {
	return func(_ string, sees bool) int {
		if !sees {
			return http.StatusNotFound
		}
		return http.StatusOK
	}
}

func ifSeenBy(status, unseen int, roles ...string) func(string, bool) int {
	return func(role string, sees bool) int {
		switch {
		case !sees:
			return unseen
		case !slices.Contains(roles, strings.TrimPrefix(role, "one-")):
			return http.StatusForbidden
		}
		return status
	}
}

// probes returns one for each route, about one VM of its own group and policy.
func probes(group, name string) map[string]probe {
	scope := "/subscriptions/" + sub + "/resourceGroups/" + group
	jit := scope + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies"
	id := vm(group, name)
	net := scope + "/providers/Microsoft.Network/"
	out := map[string]probe{
		"PUT policy":      {jit + "/p" + version, body(id, rule(22, "198.51.100.0/24", "PT2H")), ifSeenBy(200, 404, "admin")},
		"DELETE policy":   {jit + "/p" + version, "", ifSeenBy(200, 204, "admin")},
		"POST initiate":   {jit + "/p/initiate" + version, ask(id, fromOffice), ifSeenBy(202, 404, "requester", "admin")},
		"GET policy":      {jit + "/p" + version, "", ifSeen()},
		"GET group":       {scope + version, "", ifSeen()},
		"GET machine":     {id + version, "", ifSeen()},
		"GET view":        {id + "/instanceView" + version, "", ifSeen()},
		"GET interface":   {net + "networkInterfaces/" + name + "-nic" + version, "", ifSeen()},
		"GET rules":       {net + "networkSecurityGroups/" + name + version, "", ifSeen()},
		"GET endpoints":   {"/metadata/endpoints" + version, "", always(200)},
		"GET identity":    {"/msi/token?api-version=2017-09-01", "", always(401)},
		"POST batch":      {"/batch" + version, `{"requests":[{"httpMethod":"GET","url":"/tenants` + version + `"}]}`, always(200)},
		"GET sub":         {"/subscriptions/" + sub + version, "", always(200)}, // in which each of them sees something
		"GET locations":   {"/subscriptions/" + sub + "/locations" + version, "", always(200)},
		"GET namespaces":  {"/subscriptions/" + sub + "/providers" + version, "", always(200)},
		"GET tenants":     {"/tenants" + version, "", always(200)},
		"GET subs":        {"/subscriptions" + version, "", always(200)},
		"GET rgs":         {"/subscriptions/" + sub + "/resourceGroups" + version, "", always(200)},
		"GET policies":    {"/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version, "", always(200)},
		"GET of region":   {"/subscriptions/" + sub + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies" + version, "", always(200)},
		"GET of group":    {scope + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version, "", always(200)},
		"GET of both":     {jit + version, "", always(200)},
		"GET machines":    {"/subscriptions/" + sub + "/providers/Microsoft.Compute/virtualMachines" + version, "", always(200)},
		"GET machines g":  {scope + "/providers/Microsoft.Compute/virtualMachines" + version, "", always(200)},
		"GET interfaces":  {"/subscriptions/" + sub + "/providers/Microsoft.Network/networkInterfaces" + version, "", always(200)},
		"GET interface g": {net + "networkInterfaces" + version, "", always(200)},
		"GET nsgs":        {"/subscriptions/" + sub + "/providers/Microsoft.Network/networkSecurityGroups" + version, "", always(200)},
		"GET nsgs g":      {net + "networkSecurityGroups" + version, "", always(200)},
	}
	return out
}

// Z-01, Z-02: every role at every route, about a VM of theirs and about another's. The
// probes are compared with the table of routes, so that none is without.
func TestZ01Matrix(t *testing.T) {
	own, other := machine{vm("own", "a"), "westeurope"}, machine{vm("other", "b"), "westeurope"}
	h := build(t, zero, own, other)
	for _, r := range []authz.Role{authz.Viewer, authz.Requester, authz.Admin} {
		h.token("one-"+string(r), r, own.id)
	}
	probed, n := map[string]bool{}, 0
	for _, at := range []struct{ group, name string }{{"own", "a"}, {"other", "b"}} {
		for name, p := range probes(at.group, at.name) {
			method, _, _ := strings.Cut(name, " ")
			for _, role := range []string{"", "one-viewer", "viewer", "one-requester", "requester", "one-admin", "admin"} {
				h.furnish(at.group, at.name)
				sees := !strings.HasPrefix(role, "one-") || at.group == "own"
				want := p.want(role, sees)
				if role == "" && want != 401 && name != "GET endpoints" {
					want = 401
				}
				probed[arm.RouteOf(method, p.path)] = true
				before := h.records()
				n++ // every caller has an address of its own, which failures are counted by
				r := h.call(role, method, p.path, p.body, "X-Forwarded-For", fmt.Sprintf("192.0.%d.%d", n/256, n%256))
				if r.status != want {
					t.Errorf("%s of %s as %q: %d, want %d: %s", name, at.group, role, r.status, want, r.body)
				}
				if r.status == 200 && !sees && strings.Contains(r.body, "virtualMachines/"+at.name) {
					t.Errorf("%s as %q shows what is not theirs to see: %s", name, role, r.body)
				}
				if r.status/100 != 2 {
					r.code(t)
					h.refusedLeavesNothing(name, role, before)
				}
			}
		}
	}
	for _, route := range arm.RouteNames() {
		if !probed[route] {
			t.Errorf("no probe for %s", route)
		}
	}
}

// furnish puts the policy of a VM, if it is not there.
func (h *house) furnish(group, name string) {
	h.t.Helper()
	path := "/subscriptions/" + sub + "/resourceGroups/" + group + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/p" + version
	if r := h.call("admin", "PUT", path, body(vm(group, name), rule(22, "198.51.100.0/24", "PT3H"))); r.status != 200 {
		h.t.Fatalf("%d %s", r.status, r.body)
	}
}

func (h *house) records() int64 {
	h.t.Helper()
	tree, err := h.store.Tree(h.t.Context())
	must(h.t, err)
	return tree.N
}

// refusedLeavesNothing fails the test if whoever was refused left anything else than
// the record of that.
func (h *house) refusedLeavesNothing(what, role string, before int64) {
	h.t.Helper()
	records, err := h.store.Tail(h.t.Context(), store.ActivityFilter{}, before-1)
	must(h.t, err)
	for _, x := range records {
		if x.Actor.Subject == role && x.Kind != audit.Denied {
			h.t.Errorf("%s as %q was refused and left %s", what, role, x.Kind)
		}
	}
}

// Z-17, I-05, I-08: what is not a field, or not a value, is refused by name and
// changes nothing.
func TestZ17I05I08HostileBodies(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "198.51.100.0/24", "PT3H"))), 200, "")
	before := h.records()
	good := ask(vm1(), fromOffice)
	for _, x := range [][2]string{
		{`"number":22`, `"number":22,"approved":true`},
		{`"justification"`, `"approver":"me","justification"`},
		{`"justification"`, `"requestorId":"x","justification"`},
		{`"number":22`, `"number":0`},
		{`"number":22`, `"number":65536`},
		{`"number":22`, `"number":-1`},
		{`"number":22`, `"number":"22-3389"`},
		{`"number":22`, `"number":"*"`},
		{`"number":22`, `"number":"022"`},
		{`"number":22`, `"number":"٢٢"`},
		{`"number":22`, `"number":22.5`},
		{`"number":22`, `"number":1e1`},
		{`"number":22`, `"Number":22`},
		{`"number":22`, `"number":22,"number":23`},
		{`"why not"`, "\"a\xff\""},
		{`"why not"`, `"a\nb"`},
		{good, good + good},
		{good, "[]"},
		{good, "\ufeff" + good},
		{good, strings.Repeat("[", 100)},
		{`"why not"`, `"` + strings.Repeat("x", 501) + `"`},
		{`"198.51.100.7"`, `"198.51.100.07"`},
		{`"198.51.100.7"`, `"fe80::1%eth0"`},
		{`"198.51.100.7"`, `"[::1]"`},
		{`"198.51.100.7"`, `"0.0.0.0/0"`},
		{`"PT1H"`, `"PT0.5H"`},
		{`"PT1H"`, `""`},
		{`"PT1H"`, "null"},
		{`"PT1H"`, "3600"},
	} {
		r := h.call("requester", "POST", policyPath+"/initiate"+version, strings.Replace(good, x[0], x[1], 1))
		if r.status != 400 {
			t.Errorf("%q: %d %s", x[1], r.status, r.body)
			continue
		}
		r.code(t)
	}
	if h.admits(vm1(), 22, "198.51.100.7") {
		t.Error("it is open")
	}
	records, err := h.store.Tail(t.Context(), store.ActivityFilter{}, before-1)
	must(t, err)
	for _, x := range records {
		if x.Actor.Subject == "requester" && x.Kind != audit.Denied {
			t.Errorf("left %s", x.Kind)
		}
	}
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, good, "Content-Type", "text/plain"), 415, "UnsupportedMediaType")
}

// I-10, L-08: text of a requester is text, and no secret is in what the server says.
func TestI10TextIsText(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"))), 200, "")
	const nasty = `<img src=x onerror=alert(1)> %s{{.}} @channel`
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, strings.Replace(ask(vm1(), fromOffice), "why not", nasty, 1)), 202, "")
	r := h.call("viewer", "GET", policyPath+version, "")
	if strings.Contains(r.body, "<img") || !strings.Contains(r.body, `\u003cimg src=x`) {
		t.Errorf("%s", r.body)
	}
	h.call("", "GET", "/msi/token?api-version=2017-09-01", "", "Secret", h.tokens["viewer"])
	for name, secret := range h.tokens {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the token of %s is in the log", name)
		}
	}
}

// FuzzFace sends paths and bodies of any kind: never a 500, and never a door that
// nobody may open.
func FuzzFace(f *testing.F) {
	h := build(f, zero, machine{vm1(), "westeurope"})
	if r := h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "198.51.100.0/24", "PT3H"))); r.status != 200 {
		f.Fatal(r.body)
	}
	for range 400 { // until the lock is there
		if !h.admits(vm1(), 22, "203.0.113.9") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, method := range []string{"GET", "POST", "DELETE"} {
		f.Add(method, policyPath+version, "")
		f.Add(method, policyPath+"/initiate"+version, ask(vm1(), fromOffice))
	}
	f.Add("POST", "/batch"+version, `{"requests":[{"httpMethod":"GET","url":"/tenants`+version+`"}]}`)
	f.Add("GET", "/subscriptions/%2e%2E/"+strings.Repeat("a", 300)+"?$skiptoken=x&api-version=2020-01-01", "")
	f.Fuzz(func(t *testing.T, method, path, text string) {
		req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(text))
		if err != nil || !strings.HasPrefix(path, "/") || req.URL.Host != strings.TrimPrefix(h.url, "https://") {
			return
		}
		req.Header.Set("Authorization", "Bearer "+h.tokens["requester"])
		req.Header.Set("Content-Type", "application/json")
		resp, err := h.client.Do(req)
		if err != nil {
			return // the client itself did not like it
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 500 {
			t.Fatalf("%s %q %q: %d", method, path, text, resp.StatusCode)
		}
		for _, port := range []uint16{22, 23} {
			d := firewall.Door{VM: firewall.VMID(strings.ToLower(vm1())), Protocol: firewall.TCP, Port: port}
			if h.world.Admits(d, netip.MustParseAddr("203.0.113.9")) != (port == 23) {
				t.Fatalf("%s %q %q changed who gets in to %s", method, path, text, d)
			}
		}
	})
}
