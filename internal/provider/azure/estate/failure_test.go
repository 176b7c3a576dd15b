package estate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
	"github.com/sesame-access/sesame/internal/reach"
)

// A page that fails is asked for again; the others are not.
func TestPagesAreReadOnce(t *testing.T) {
	for _, f := range []fault.Fault{
		{Kind: fault.Refuse, Status: 500},
		{Kind: fault.Refuse, Status: 503, RetryAfter: 7 * time.Second},
		{Kind: fault.Refuse, Status: 429, RetryAfter: 7 * time.Second},
		{Kind: fault.Refuse, Status: 408},
		{Kind: fault.Lost},
		{Kind: fault.Unanswered},
		{Kind: fault.Slow, Delay: 59 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, cloudsim.Config{PageSize: 1})
			for i := range 5 {
				s.machine(t, s.in(one), fmt.Sprint("vm", i), space(i))
			}
			f.Type, f.Skip, f.Times = "Microsoft.Network/networkInterfaces", 2, 3
			s.Inject(f)
			if e := complete(t, s.reader(t)); len(e.VMs) != 5 {
				t.Errorf("%s %d: %s", f.Kind, f.Status, names(e))
			}
			if n := s.of("/networkInterfaces?", 200); n != 5 {
				t.Errorf("%s %d: %d pages were read instead of 5", f.Kind, f.Status, n)
			}
		})
	}
}

// After a refusal nobody calls in that subscription until it is time, and in the
// other one everybody does.
func TestRefusedCallsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{PageSize: 1})
		s.config.Subscriptions = []string{one, two}
		for i := range 3 {
			s.machine(t, s.in(one), fmt.Sprint("a", i), space(i))
			s.machine(t, s.in(two), fmt.Sprint("b", i), space(3+i))
		}
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 40 * time.Second, Type: "Microsoft.Network/firewallPolicies", ID: "/subscriptions/" + one, Times: 1})
		s.Inject(fault.Fault{Kind: fault.Slow, Delay: time.Second}) // so that not everything is under way at once
		begin := time.Now()
		complete(t, s.reader(t))
		refused := s.calls[slices.IndexFunc(s.calls, func(c answered) bool { return c.status == 429 })].at
		after := 0
		for _, c := range s.calls {
			if !strings.HasPrefix(c.url, "GET") {
				continue
			}
			if strings.Contains(c.url, one) && c.at.After(refused) {
				after++
				if waited := c.at.Sub(refused); waited < 40*time.Second {
					t.Errorf("%v after the refusal: %s", waited, c.url)
				}
			}
			if strings.Contains(c.url, two) && c.at.Sub(begin) > 20*time.Second {
				t.Errorf("the other subscription waited %v for %s", c.at.Sub(begin), c.url)
			}
		}
		if after == 0 {
			t.Error("nothing was asked for again")
		}
	})
}

// With the limits that Azure documents a large estate is read without one refusal,
// and what is left is enough for others.
func TestSlowsDownBeforeItIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{PageSize: 1, Limits: gate.Documented()})
		for i := range 60 {
			s.machine(t, s.in(one), fmt.Sprint("vm", i), space(i))
		}
		begin := time.Now()
		complete(t, s.reader(t))
		calls := s.of("", 200)
		if n := s.of("", 429); n > 0 || calls < 300 {
			t.Errorf("%d of %d calls were refused", n, calls)
		}
		t.Logf("%d calls in %v", calls, time.Since(begin))
	})
}

// A storm of refusals ends the reading of a page, and not that of everything.
func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{})
		id := s.machine(t, s.in(one), "a", space(0))
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 17 * time.Second, Type: "Microsoft.Network/loadBalancers"})
		begin := time.Now()
		e := read(t, s.reader(t))
		if took := time.Since(begin); took > 2*s.config.Patience {
			t.Errorf("it took %v", took)
		}
		if v := find(t, e, id); len(v.Missing) != 1 || !strings.Contains(v.Missing[0], `load balancers of subscription `+one+` could not be read: 429 SubscriptionRequestsThrottled`) {
			t.Errorf("missing: %q", v.Missing)
		}
	})
}

// Who is told to come back in hours does not wait for that, and does not call either.
func TestRefusedForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{})
		s.config.Subscriptions = []string{one, two}
		s.machine(t, s.in(one), "a", space(0))
		s.machine(t, s.in(two), "b", space(1))
		r := s.reader(t)
		complete(t, r)
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 2 * time.Hour, ID: "/subscriptions/" + one, Times: 1})
		for range 3 {
			time.Sleep(30 * time.Minute)
			s.calls = nil
			begin := time.Now()
			e := read(t, r)
			if took := time.Since(begin); took > s.config.Patience || names(e) != "a b" || len(e.VMs[0].Missing) == 0 {
				t.Errorf("after %v: %s, %q", took, names(e), e.Unread)
			}
			if n := s.of("GET", 200); n > 25 || s.of(two, 200) == 0 {
				t.Errorf("%d calls", n)
			}
		}
		time.Sleep(time.Hour)
		complete(t, r)
	})
}

// A credential that knows that it has no token is asked once for each call.
func TestNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{})
		var none noToken
		s.config.Credential = &none
		begin := time.Now()
		if _, err := s.reader(t).Read(t.Context()); !errors.Is(err, noTokenError{}) || time.Since(begin) > 0 || none.asked.Load() > 12 {
			t.Errorf("%v after %v and %d tries", err, time.Since(begin), none.asked.Load())
		}
	})
}

type noToken struct{ asked atomic.Int32 }

func (n *noToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	n.asked.Add(1)
	return azcore.AccessToken{}, noTokenError{}
}

type noTokenError struct{}

func (noTokenError) Error() string { return "nobody is signed in" }

// NonRetriable is how the SDK knows it.
func (noTokenError) NonRetriable() {}

// A page that is broken is not asked for as long as one that is refused.
func TestTriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{})
		s.machine(t, s.in(one), "a", space(0))
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 500, Type: "Microsoft.Network/loadBalancers"})
		begin := time.Now()
		e := read(t, s.reader(t))
		if n, took := s.of("/loadBalancers?", 500), time.Since(begin); n != 5 || took > 20*time.Second || e.Complete() {
			t.Errorf("%d tries in %v, not read: %q", n, took, e.Unread)
		}
	})
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, cloudsim.Config{})
		s.machine(t, s.in(one), "a", space(0))
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 30 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		if e, err := s.reader(t).Read(ctx); err == nil || time.Since(begin) > 10*time.Second {
			t.Errorf("%v, %v after %v", e, err, time.Since(begin))
		}
	})
}

// What becomes of two machines, one in each subscription, when a list of the first
// subscription cannot be read: at the first reading, and after a complete one.
func TestListsThatFail(t *testing.T) {
	const network = "Microsoft.Network/"
	for _, tt := range []struct {
		kind   string
		method string
		// which machines say that something is missing: at the first reading, later
		first, later string
		shown        string // the machines at the first reading, if not both
	}{
		// A machine that was never seen is known by its interface.
		{kind: "Microsoft.Compute/virtualMachines", first: "a", later: "a"},
		{kind: network + "networkInterfaces", first: "a", later: "a"},
		{kind: network + "virtualNetworks", first: "a", later: "a"},
		{kind: network + "networkSecurityGroups", first: "a", later: "a"},
		{kind: network + "applicationSecurityGroups"},
		{kind: network + "publicIPAddresses"},
		{kind: network + "routeTables"},
		{kind: network + "ipGroups"},
		{kind: network + "virtualNetworks", method: http.MethodPost},
		{kind: network + "loadBalancers", first: "a b", later: "a b"},
		{kind: network + "azureFirewalls", first: "a b", later: "a b"},
		{kind: network + "firewallPolicies", first: "a b", later: "a b"},
		{kind: network + "firewallPolicies/ruleCollectionGroups", first: "a b", later: "a b"},
	} {
		s := newStage(t, cloudsim.Config{})
		s.config.Subscriptions = []string{one, two}
		a, b := s.machine(t, s.in(one), "a", space(0)), s.machine(t, s.in(two), "b", space(1))
		if err := s.Put(s.in(one).ID("firewallPolicies", "p"), `{"location":"westeurope","properties":{}}`); err != nil {
			t.Fatal(err)
		}
		f := fault.Fault{Kind: fault.Refuse, Status: 403, Type: tt.kind, Method: tt.method, ID: "/subscriptions/" + one}
		if f.Method == "" {
			f.Method = http.MethodGet
		}
		says := func(e *estate.Estate) string {
			var out []string
			for _, v := range e.VMs {
				if len(v.Missing) > 0 {
					out = append(out, v.Name)
				}
			}
			return strings.Join(out, " ")
		}
		check := func(when string, e *estate.Estate, want string) {
			t.Helper()
			if got := says(e); got != want || names(e) != "a b" {
				t.Errorf("%s %s, %s: %q say that something is missing, and not %q; shown are %q", f.Method, tt.kind, when, got, want, names(e))
			}
			if len(e.Unread) == 0 || !strings.Contains(e.Unread[0], "403 AuthorizationFailed") {
				t.Errorf("%s %s, %s: not read: %q", f.Method, tt.kind, when, e.Unread)
			}
			find(t, e, a)
			find(t, e, b)
		}
		s.Inject(f)
		check("the first time", read(t, s.reader(t)), tt.first)
		s.Heal()
		r := s.reader(t)
		before := complete(t, r)
		s.Inject(f)
		for range 2 {
			after := read(t, r)
			check("later", after, tt.later)
			for i, v := range after.VMs {
				if len(v.Paths) != len(before.VMs[i].Paths) || len(v.Firewalls()) < len(before.VMs[i].Firewalls()) || !slices.Equal(v.Addresses, before.VMs[i].Addresses) {
					t.Errorf("%s %s: %s had the paths %+v, and has %+v", f.Method, tt.kind, v.Name, before.VMs[i].Paths, v.Paths)
				}
			}
		}
		s.Heal()
		complete(t, r)
	}
}

// A list that breaks off behind its first page does not make the inventory smaller,
// what is new in it counts, and a complete list is believed again.
func TestNeverSmaller(t *testing.T) {
	s := newStage(t, cloudsim.Config{PageSize: 2})
	var ids []string
	for i := range 6 {
		ids = append(ids, s.machine(t, s.in(one), fmt.Sprint("vm", i), space(i)))
	}
	r := s.reader(t)
	complete(t, r)
	if err := s.Delete(ids[5]); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ids[0]); err != nil {
		t.Fatal(err)
	}
	late := s.machine(t, s.in(one), "vm00", space(9))
	s.change = func(url, body string) string {
		if strings.Contains(url, "/virtualMachines?") && strings.Contains(url, "skipToken") && !strings.Contains(url, "statusOnly") {
			return ""
		}
		return body
	}
	e := read(t, r)
	if names(e) != "vm0 vm00 vm1 vm2 vm3 vm4 vm5" {
		t.Errorf("shown are %s", names(e))
	}
	for _, v := range e.VMs {
		read := v.Name == "vm00" || v.Name == "vm1"
		if (len(v.Missing) == 0) != read {
			t.Errorf("%s: missing %q", v.Name, v.Missing)
		}
	}
	s.change = func(string, string) string { return "" }
	if e := read(t, r); names(e) != "vm0 vm00 vm1 vm2 vm3 vm4 vm5" || find(t, e, late).Tags["env"] != "prod" {
		t.Errorf("of what was seen last is left %s", names(e))
	}
	s.change = nil
	if e := complete(t, r); names(e) != "vm00 vm1 vm2 vm3 vm4" {
		t.Errorf("then shown are %s", names(e))
	}
}

// Who else may be in an application security group is not known while interfaces are
// not, those of no machine among them.
func TestMembersThatNobodySaw(t *testing.T) {
	s := newStage(t, cloudsim.Config{PageSize: 1})
	b := s.in(one)
	web := must(b.ASG("web"))(t)
	g := must(b.NSG("g", fleet.Rule{Name: "web", Priority: 300, FromASGs: []string{web}, Ports: []string{"22"}}, fleet.Rule{Name: "rest", Priority: 310, Access: "Deny", Protocol: "*"}))(t)
	network := must(b.Network("net", "10.0.0.0/16", fleet.Subnet{Name: "default", Prefix: "10.0.0.0/24"}))(t)
	nic := must(b.NIC("a", g, fleet.IP{Subnet: network + "/subnets/default", Address: "10.0.0.4"}))(t)
	must(b.NIC("z", "", fleet.IP{Subnet: network + "/subnets/default", Address: "10.0.0.9", ASGs: []string{web}}))(t)
	id := must(b.VM("a", "Linux", nil, nic))(t)
	at := func(e *estate.Estate, address string) reach.Verdict {
		v := find(t, e, id)
		return reach.VM(v, e.Layers, firewall.Door{VM: v.ID, Protocol: firewall.TCP, Port: 22}).At(netip.MustParseAddr(address)).Verdict
	}
	fw := firewall.ID(g)
	e := complete(t, s.reader(t))
	if got := must(e.Reading(fw))(t).Attachments[0].View.Groups[strings.ToLower(web)]; len(got.Sure) != 1 || got.Perhaps != nil || at(e, "10.0.0.9") != reach.Open || at(e, "10.0.0.10") != reach.Closed {
		t.Errorf("members %v, %v, %v", got, at(e, "10.0.0.9"), at(e, "10.0.0.10"))
	}
	s.Inject(fault.Fault{Kind: fault.Refuse, Status: 403, Type: "Microsoft.Network/networkInterfaces", Skip: 1})
	e = read(t, s.reader(t))
	if got := must(e.Reading(fw))(t).Attachments[0].View.Groups[strings.ToLower(web)]; got.Perhaps == nil || at(e, "10.0.0.10") != reach.Unknown {
		t.Errorf("members %v, %v", got, at(e, "10.0.0.10"))
	}
}

// A subscription that is not found any more says nothing about its machines, and a
// management group that does not answer nothing about its subscriptions.
func TestScopesThatFail(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	s.config.Subscriptions, s.config.ManagementGroups = []string{one}, []string{"platform"}
	s.machine(t, s.in(one), "a", space(0))
	s.machine(t, s.in(two), "b", space(1))
	r := s.reader(t)
	complete(t, r)
	s.Inject(fault.Fault{Kind: fault.Refuse, Status: 403, Type: "/providers/microsoft.management/managementgroups/platform/descendants"})
	if e := read(t, r); names(e) != "a b" || len(e.Unread) != 1 {
		t.Errorf("shown are %q, not read: %q", names(e), e.Unread)
	}
	s.config.Subscriptions = nil
	if e, err := s.reader(t).Read(t.Context()); err == nil {
		t.Errorf("a scope that nobody knows has %s", names(e))
	}
	s.Heal()
	s.Inject(fault.Fault{Kind: fault.Refuse, Status: 404, Code: "SubscriptionNotFound", ID: "/subscriptions/" + two})
	if e := read(t, r); names(e) != "a b" || len(find(t, e, string(e.VMs[1].ID)).Missing) == 0 {
		t.Errorf("shown are %q", names(e))
	}
	s.Heal()
	s.Inject(fault.Fault{Kind: fault.Refuse, Status: 403})
	if e := read(t, r); names(e) != "a b" {
		t.Errorf("shown are %q", names(e))
	}
	if e, err := s.reader(t).Read(t.Context()); err == nil {
		t.Errorf("of an estate that nobody may read there is %s", names(e))
	}
}

// A subscription where nobody ever had a network has none, and that is complete.
func TestSubscriptionWithoutProviders(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	s.config.Subscriptions = []string{one, two}
	s.machine(t, s.in(one), "a", space(0))
	s.Inject(fault.Fault{Kind: fault.Refuse, Status: 409, Code: "MissingSubscriptionRegistration", ID: "/subscriptions/" + two})
	if e := complete(t, s.reader(t)); names(e) != "a" {
		t.Errorf("shown are %s", names(e))
	}
	s.Heal()
	s.Inject(fault.Fault{Kind: fault.Refuse, Status: 409, ID: "/subscriptions/" + two})
	if e := read(t, s.reader(t)); e.Complete() || len(e.VMs[0].Missing) == 0 {
		t.Errorf("another conflict: %+v", e)
	}
}

// What is no page makes a list incomplete, and never short.
func TestPagesThatAreNone(t *testing.T) {
	for name, change := range map[string]func(body string) string{
		"cut off":     func(body string) string { return body[:len(body)/2] },
		"empty":       func(string) string { return "" },
		"a list":      func(string) string { return "[]" },
		"no value":    func(string) string { return "{}" },
		"null":        func(string) string { return `{"value":null}` },
		"no id":       func(string) string { return `{"value":[{}]}` },
		"no document": func(string) string { return `{"value":[7]}` },
		"value twice": func(string) string { return `{"value":[],"value":[]}` },
		"more behind": func(string) string { return `{"value":[]}{}` },
		"a proxy":     func(string) string { return "<html>Sign in</html>" },
		"a loop": func(string) string {
			return `{"value":[],"nextLink":"https://management.example/subscriptions/` + one + `/providers/Microsoft.Network/networkInterfaces?api-version=2025-05-01&page=2"}`
		},
		"elsewhere":     func(string) string { return `{"value":[],"nextLink":"https://evil.example/?page=2"}` },
		"another port":  func(string) string { return `{"value":[],"nextLink":"https://management.example:8443/?page=2"}` },
		"in the open":   func(string) string { return `{"value":[],"nextLink":"http://management.example/?page=2"}` },
		"user in it":    func(string) string { return `{"value":[],"nextLink":"https://a:b@management.example/?page=2"}` },
		"no link":       func(string) string { return `{"value":[],"nextLink":7}` },
		"crooked":       func(string) string { return `{"value":[],"nextLink":"https://management.example/%zz"}` },
		"relative":      func(string) string { return `{"value":[],"nextLink":"/subscriptions"}` },
		"unusual space": func(string) string { return `{"value":[],"nextLink":" "}` },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, cloudsim.Config{})
			s.machine(t, s.in(one), "a", space(0))
			r := s.reader(t)
			before := complete(t, r)
			s.change = func(url, body string) string {
				if strings.Contains(url, "/networkInterfaces?") || strings.Contains(url, "page=2") {
					return change(body)
				}
				return body
			}
			e := read(t, r)
			if len(e.VMs) != 1 || len(e.VMs[0].Missing) != 1 || len(e.Unread) != 1 || len(e.VMs[0].Paths) != len(before.VMs[0].Paths) {
				t.Errorf("%+v, not read %q", e.VMs, e.Unread)
			}
			if n := s.of("page=2", 200); name == "a loop" && (n != 1 || !strings.HasSuffix(e.Unread[0], "its pages do not come to an end")) {
				t.Errorf("after %d pages: %s", n, e.Unread)
			}
		})
	}
}

// A next page may be at the same place in other words.
func TestNextPageInOtherWords(t *testing.T) {
	s := newStage(t, cloudsim.Config{PageSize: 1})
	s.machine(t, s.in(one), "a", space(0))
	s.machine(t, s.in(one), "b", space(1))
	s.change = func(_, body string) string {
		return strings.ReplaceAll(body, `"nextLink":"https://management.example/`, `"nextLink":"https://MANAGEMENT.example:443/`)
	}
	s.ports = true
	if e := complete(t, s.reader(t)); names(e) != "a b" {
		t.Errorf("shown are %s", names(e))
	}
}

// Azure does not keep to one spelling of an id; a machine has one.
func TestIDsKnowNoCase(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	id := s.machine(t, s.in(one), "Web", space(0))
	r := s.reader(t)
	before := complete(t, r)
	turn := func(part string, to func(string) string) {
		s.change = func(url, body string) string {
			if strings.Contains(url, part) {
				body = strings.ReplaceAll(body, "/resourceGroups/rg/", to("/resourceGroups/rg/"))
				body = strings.ReplaceAll(body, "/virtualMachines/Web", to("/virtualMachines/Web"))
			}
			return body
		}
	}
	for _, part := range []string{"", "/virtualMachines", "/networkInterfaces", "/virtualNetworks", "/networkSecurityGroups", "listNetworkManager"} {
		for _, to := range []func(string) string{strings.ToUpper, strings.ToLower} {
			turn(part, to)
			e := complete(t, r)
			v := find(t, e, id)
			if len(e.VMs) != 1 || e.Machines[v.ID].Power != "running" || !slices.Equal(v.Firewalls(), before.VMs[0].Firewalls()) {
				t.Errorf("%s: %+v", part, e.VMs)
			}
			r := must(e.Reading(v.Firewalls()[0]))(t)
			if len(r.Attachments) != 1 || r.Attachments[0].VM != v.ID || r.Attachments[0].Interface == nil {
				t.Errorf("%s: attachments %+v", part, r.Attachments)
			}
		}
	}
}

func TestDeallocatedMachine(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	id := s.machine(t, s.in(one), "a", space(0))
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "https://management.example"+id+"/deallocate?api-version=2025-04-01", nil))(t)
	req.Header.Set("Authorization", "Bearer "+s.Token())
	answer, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatal(answer.Status)
	}
	e := complete(t, s.reader(t))
	v := find(t, e, id)
	if e.Machines[v.ID].Power != "deallocated" || len(v.Paths) != 1 {
		t.Errorf("%+v %+v", e.Machines, v)
	}
	// Without an address nothing comes to it, and nothing of it is missing.
	s.change = func(_, body string) string { return strings.ReplaceAll(body, `"privateIPAddress":"10.7.0.4",`, "") }
	if v := find(t, complete(t, s.reader(t)), id); len(v.Addresses) != 0 || len(v.Paths) != 1 || len(v.Paths[0].Hops) != 0 || v.Paths[0].From == nil {
		t.Errorf("%+v", v)
	}
}

func TestConfigurations(t *testing.T) {
	for _, c := range []estate.Config{
		{},
		{Subscriptions: []string{"a/b"}},
		{Subscriptions: []string{""}},
		{ManagementGroups: []string{"a?b"}},
	} {
		c.Credential = token("x")
		if _, err := estate.New(c); err == nil {
			t.Errorf("%q and %q are in scope", c.Subscriptions, c.ManagementGroups)
		}
	}
}

func TestProgress(t *testing.T) {
	s := newStage(t, cloudsim.Config{PageSize: 1})
	s.machine(t, s.in(one), "a", space(0))
	s.machine(t, s.in(one), "b", space(1))
	var all []estate.Progress
	s.config.Progress = func(p estate.Progress) { all = append(all, p) }
	complete(t, s.reader(t))
	last := all[len(all)-1]
	// Machines and their power, interfaces, networks and groups of two, on two pages
	// each; 7 empty lists, and the admin rules of two networks.
	if len(all) != 2*5+7+2 || last.Pages != len(all) || last.Documents != 2*5 || !slices.ContainsFunc(all, func(p estate.Progress) bool {
		return p.Reading == "the network interfaces of subscription "+one
	}) {
		t.Errorf("%d times, at last %+v", len(all), last)
	}
}
