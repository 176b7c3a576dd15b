package authz_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

var (
	now   = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	alice = access.Principal{Issuer: "local", Subject: "u-alice", Display: "Alice"}
	bob   = access.Principal{Issuer: "local", Subject: "u-bob", Display: "Bob"}
	me    = netip.MustParseAddr("203.0.113.7")
	ssh   = firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	dns   = firewall.Door{VM: "host://web-1", Protocol: firewall.UDP, Port: 53}
)

func who(p access.Principal) access.Identity {
	return access.Identity{Principal: p, Kind: access.Person}
}

func given(list ...authz.Assignment) *authz.Engine { return authz.New(authz.Rules{Assignments: list}) }

// TestMayMatrix states what every role may do: every action on the VM it is
// assigned for, on another, and on what is about no single VM.
func TestMayMatrix(t *testing.T) {
	can := map[authz.Role][]authz.Action{
		authz.Viewer:      {authz.View},
		authz.Requester:   {authz.View, authz.Request},
		authz.Approver:    {authz.View, authz.Approve, authz.Close},
		authz.Admin:       {authz.View, authz.Request, authz.Approve, authz.Close, authz.Enable, authz.Disable, authz.Manage},
		"Reader":          {authz.View},
		"Security Reader": {authz.View},
		"Security Admin":  {authz.View, authz.Request, authz.Close},
		"Contributor":     {authz.View, authz.Request, authz.Close, authz.Enable, authz.Disable},
		"Owner":           {authz.View, authz.Request, authz.Close, authz.Enable, authz.Disable},
		"JIT Access Role": {authz.View, authz.Request},
		"owner":           nil,
		"":                nil,
		"ADMIN":           nil,
	}
	actions := append(authz.Actions(), authz.Skip, "", "View", "delete")
	for role, includes := range can {
		for _, action := range actions {
			for _, assigned := range []scope.Scope{"/", "host://", "host://web-1", ""} {
				for _, asked := range []firewall.VMID{"", "host://web-1", "host://web-10", "host://web"} {
					covers := assigned == "/" || assigned == "host://" && asked != "" || string(assigned) == string(asked) && asked != ""
					want := slices.Contains(includes, action) && covers
					e := given(authz.Assignment{Principal: alice, Role: role, Scope: assigned})
					d := e.May(who(alice), action, authz.Target{VM: asked})
					if d.Allow != want || d.NeedsApproval || len(d.By)+len(d.Not) != 1 || (len(d.By) == 1) != want || e.Allows(who(alice), action, authz.Target{VM: asked}) != want {
						t.Errorf("%s on %q asks to %s %q: %+v, want %v", role, assigned, action, asked, d, want)
					}
				}
			}
		}
	}
}

func TestMaySaysWhy(t *testing.T) {
	all := []authz.Assignment{
		{Principal: alice, Role: authz.Requester, Scope: "host://web-2"},
		{Principal: alice, Role: authz.Viewer, Scope: "/"},
		{Principal: bob, Role: authz.Admin, Scope: "/"},
		{Principal: alice, Role: authz.Requester, Scope: "host://web-1"},
		{Principal: access.Principal{Issuer: "local", Subject: "u-alice", Display: "another name"}, Role: authz.Requester, Scope: "host://web-1"},
	}
	want := access.Decision{
		Allow: true,
		By:    []string{"assignment requester on host://web-1"},
		Not:   []string{"assignment requester on host://web-2: does not cover host://web-1", "assignment viewer on all VMs: does not include request"},
	}
	for range 5 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if diff := cmp.Diff(want, given(all...).May(who(alice), authz.Request, authz.Target{VM: "host://web-1"})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	want = access.Decision{Not: []string{"no role is assigned; an administrator assigns one"}}
	if diff := cmp.Diff(want, given().May(who(alice), authz.View, authz.Target{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = access.Decision{Not: []string{"assignment requester on host://web-1: does not cover all VMs"}}
	one := []authz.Assignment{{Principal: alice, Role: authz.Requester, Scope: "host://web-1"}}
	if diff := cmp.Diff(want, given(one...).May(who(alice), authz.View, authz.Target{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The name that somebody is displayed by, and half of an identity, give nothing.
func TestIdentityIsIssuerAndSubject(t *testing.T) {
	admin := []authz.Assignment{{Principal: alice, Role: authz.Admin, Scope: "/"}, {Principal: access.Principal{}, Role: authz.Admin, Scope: "/"}, {Principal: access.Principal{Issuer: "local"}, Role: authz.Admin, Scope: "/"}}
	for _, p := range []access.Principal{
		{},
		{Display: "Alice"},
		{Issuer: "local", Display: "Alice"},
		{Subject: "u-alice", Display: "Alice"},
		{Issuer: "https://idp", Subject: "u-alice", Display: "Alice"},
		{Issuer: "local", Subject: "U-ALICE"},
		{Issuer: "local", Subject: "u-alice "},
		{Issuer: "LOCAL", Subject: "u-alice"},
	} {
		if d := given(admin...).May(who(p), authz.View, authz.Target{VM: "host://web-1"}); d.Allow {
			t.Errorf("%+v may: %v", p, d.By)
		}
	}
	if d := given(admin...).May(who(access.Principal{Issuer: "local", Subject: "u-alice", Display: "Mallory"}), authz.Manage, authz.Target{}); !d.Allow {
		t.Errorf("the display name decides: %v", d.Not)
	}
}

func TestParseRole(t *testing.T) {
	for _, r := range authz.Roles() {
		if got, err := authz.ParseRole(string(r)); err != nil || got != r {
			t.Errorf("ParseRole(%q) = %q, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "Admin", "ADMIN", "admin ", "admin\n", "root", "owner", "аdmin", "viewer,admin", strings.Repeat("a", 1<<16)} {
		if got, err := authz.ParseRole(s); err == nil || got != "" || errkind.FieldOf(err).Name != "role" {
			t.Errorf("ParseRole(%.20q) = %q, %v", s, got, err)
		}
	}
}

func request(doors ...firewall.Door) access.Request {
	return access.Request{
		ID: "r-1", Principal: alice, Doors: doors, Sources: []netip.Prefix{netip.PrefixFrom(me, 32)}, Caller: me, Duration: time.Hour, Asked: now,
	}
}

func pol(name string, max time.Duration, doors ...firewall.Door) policy.Policy {
	p := policy.Policy{Name: name}
	for _, d := range doors {
		p.VMs = append(p.VMs, d.VM)
		p.Ports = append(p.Ports, policy.Port{Port: d.Port, Protocol: d.Protocol, Max: max})
	}
	p.VMs = slices.Compact(p.VMs)
	return p.WithDefaults()
}

func locks(doors ...firewall.Door) (out []access.Lock) {
	for _, d := range doors {
		out = append(out, access.Lock{Door: d})
	}
	return out
}

func TestDecide(t *testing.T) {
	requester := []authz.Assignment{{Principal: alice, Role: authz.Requester, Scope: "/"}}
	foreign := request(ssh)
	foreign.Sources = []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32")}
	socket := foreign
	socket.Caller = netip.Addr{}
	long := request(ssh)
	long.Duration = 4 * time.Hour
	crowd := request()
	for i := range access.MaxDoors + 1 {
		crowd.Doors = append(crowd.Doors, firewall.Door{VM: ssh.VM, Protocol: firewall.TCP, Port: uint16(i + 1)})
	}
	const role = "assignment requester on all VMs"
	for name, c := range map[string]struct {
		assignments []authz.Assignment
		policies    []policy.Policy
		locks       []access.Lock
		req         access.Request
		policy      []string // of each door
		want        access.Decision
	}{
		"allowed": {
			requester,
			[]policy.Policy{pol("prod-ssh", time.Hour, ssh)},
			locks(ssh), request(ssh),
			[]string{"prod-ssh"},
			access.Decision{Allow: true, By: []string{role, "policy prod-ssh"}},
		},
		"nothing at all": {
			nil, nil, nil, request(ssh),
			[]string{""},
			access.Decision{Not: []string{
				"no role is assigned; an administrator assigns one",
				"it is not a just-in-time port: it is not locked, and no policy covers it; an administrator runs `sesame enable web-1 --port 22`",
			}},
		},
		"only seeing": {
			[]authz.Assignment{{Principal: alice, Role: authz.Viewer, Scope: "/"}},
			[]policy.Policy{pol("prod-ssh", time.Hour, ssh)},
			locks(ssh), request(ssh),
			[]string{"prod-ssh"},
			access.Decision{By: []string{"policy prod-ssh"}, Not: []string{"assignment viewer on all VMs: does not include request"}},
		},
		"no lock": {
			requester,
			[]policy.Policy{pol("dns", time.Hour, dns)},
			locks(ssh), request(dns),
			[]string{"dns"},
			access.Decision{By: []string{role, "policy dns"}, Not: []string{"it is not locked, so there is nothing to open; an administrator runs `sesame enable web-1 --port 53/udp`"}},
		},
		"an orphan lock": {
			requester,
			[]policy.Policy{pol("dns", time.Hour, dns)},
			locks(ssh), request(ssh),
			[]string{""},
			access.Decision{By: []string{role}, Not: []string{"no policy covers it; an administrator runs `sesame enable web-1 --port 22`"}},
		},
		"too long": {
			requester,
			[]policy.Policy{pol("prod-ssh", 3*time.Hour, ssh)},
			locks(ssh), long,
			[]string{""},
			access.Decision{By: []string{role}, Not: []string{"policy prod-ssh: asks for 4h, at most 3h"}},
		},
		"one policy of three": {
			requester,
			[]policy.Policy{pol("c", 5*time.Hour, ssh), pol("a", 3*time.Hour, ssh), pol("b", 4*time.Hour, ssh), pol("d", 9*time.Hour, dns)},
			locks(ssh), long,
			[]string{"b"},
			access.Decision{Allow: true, By: []string{role, "policy b", "policy c"}, Not: []string{"policy a: asks for 4h, at most 3h"}},
		},
		"another address": {
			requester,
			[]policy.Policy{pol("prod-ssh", time.Hour, ssh)},
			locks(ssh), foreign,
			[]string{"prod-ssh"},
			access.Decision{Allow: true, By: []string{role, "policy prod-ssh", "asks for another address than the caller's own (203.0.113.7)"}},
		},
		"over the local socket": {
			requester,
			[]policy.Policy{pol("prod-ssh", time.Hour, ssh)},
			locks(ssh), socket,
			[]string{"prod-ssh"},
			access.Decision{Allow: true, By: []string{role, "policy prod-ssh"}},
		},
		"two doors": {
			requester,
			[]policy.Policy{pol("dns", time.Hour, dns), pol("ssh", time.Hour, ssh)},
			locks(ssh, dns), request(dns, ssh),
			[]string{"ssh", "dns"},
			access.Decision{Allow: true, By: []string{
				"host://web-1:22/tcp: " + role, "host://web-1:22/tcp: policy ssh",
				"host://web-1:53/udp: " + role, "host://web-1:53/udp: policy dns",
			}},
		},
		"one of two doors": {
			requester,
			[]policy.Policy{pol("ssh", time.Hour, ssh)},
			locks(ssh, dns), request(dns, ssh, dns),
			[]string{"ssh", ""},
			access.Decision{
				By:  []string{"host://web-1:22/tcp: " + role, "host://web-1:22/tcp: policy ssh", "host://web-1:53/udp: " + role},
				Not: []string{"host://web-1:53/udp: no policy covers it; an administrator runs `sesame enable web-1 --port 53/udp`"},
			},
		},
		"no door": {
			requester,
			[]policy.Policy{pol("ssh", time.Hour, ssh)},
			locks(ssh), request(),
			nil,
			access.Decision{Not: []string{"the request names no door, at least one"}},
		},
		"too many doors": {
			requester, nil, nil, crowd,
			nil,
			access.Decision{Not: []string{"the request names 17 doors, at most 16"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := given(c.assignments...).Decide(who(c.req.Principal), c.req, authz.Situation{Policies: c.policies, Locks: c.locks, Now: now})
			if diff := cmp.Diff(c.want, got.Decision); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var policies []string
			for i, d := range got.Doors {
				policies = append(policies, d.Policy)
				if i > 0 && firewall.CompareDoors(got.Doors[i-1].Door, d.Door) >= 0 {
					t.Errorf("doors %v and %v are out of order", got.Doors[i-1].Door, d.Door)
				}
				if d.Allow && d.Policy == "" {
					t.Errorf("%v is allowed by no policy", d.Door)
				}
			}
			if !slices.Equal(policies, c.policy) {
				t.Errorf("policies %q, want %q", policies, c.policy)
			}
		})
	}
}

// TestDecideDefaultsToNo takes anything away that an allowed request needs.
func TestDecideDefaultsToNo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawDoor := rapid.SampledFrom([]firewall.Door{ssh, dns, {VM: "host://db-1", Protocol: firewall.TCP, Port: 22}})
		role := rapid.SampledFrom([]authz.Role{authz.Viewer, authz.Requester, authz.Admin})
		anybody := rapid.SampledFrom([]access.Principal{alice, bob, {}})
		var assignments []authz.Assignment
		for range rapid.IntRange(0, 3).Draw(t, "assignments") {
			assignments = append(assignments, authz.Assignment{Principal: anybody.Draw(t, "who"), Role: role.Draw(t, "role"), Scope: rapid.SampledFrom([]scope.Scope{"/", scope.OfVM(ssh.VM)}).Draw(t, "scope")})
		}
		var policies []policy.Policy
		for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
			policies = append(policies, pol(fmt.Sprint("p", i), rapid.SampledFrom([]time.Duration{time.Minute, 2 * time.Hour}).Draw(t, "max"), drawDoor.Draw(t, "door")))
		}
		var doors []firewall.Door
		for range rapid.IntRange(0, 3).Draw(t, "locks") {
			doors = append(doors, drawDoor.Draw(t, "locked"))
		}
		req := request(rapid.SliceOfN(drawDoor, 0, 3).Draw(t, "asked")...)
		req.Principal = anybody.Draw(t, "asks")
		got := given(assignments...).Decide(who(req.Principal), req, authz.Situation{Policies: policies, Locks: locks(doors...), Now: now})

		want := len(req.Doors) > 0
		for _, d := range req.Doors {
			covered := slices.ContainsFunc(policies, func(p policy.Policy) bool { return len(policy.Check(p, req, d, now)) == 0 })
			assigned := slices.ContainsFunc(assignments, func(a authz.Assignment) bool {
				return a.Principal.Subject != "" && a.Principal == req.Principal && a.Role != authz.Viewer && (a.Scope == "/" || a.Scope == scope.OfVM(d.VM))
			})
			want = want && covered && assigned && slices.Contains(doors, d)
		}
		if got.Allow != want {
			t.Fatalf("allowed: %v, want %v\nby %q\nnot %q", got.Allow, want, got.By, got.Not)
		}
		if !got.Allow && len(got.Not) == 0 {
			t.Fatal("denied without a reason")
		}
		rand.Shuffle(len(assignments), func(i, j int) { assignments[i], assignments[j] = assignments[j], assignments[i] })
		rand.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
		if diff := cmp.Diff(got, given(assignments...).Decide(who(req.Principal), req, authz.Situation{Policies: policies, Locks: locks(doors...), Now: now})); diff != "" {
			t.Fatalf("another order, another decision (-first +second):\n%s", diff)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 100, 1_000} {
		var assignments []authz.Assignment
		var policies []policy.Policy
		var all []access.Lock
		for i := range n {
			d := firewall.Door{VM: firewall.HostVM(fmt.Sprint("vm-", i)), Protocol: firewall.TCP, Port: 22}
			p := access.Principal{Issuer: "local", Subject: fmt.Sprint("u-", i)}
			assignments = append(assignments, authz.Assignment{Principal: p, Role: authz.Requester, Scope: scope.OfVM(d.VM)})
			policies = append(policies, pol(fmt.Sprintf("p-%04d", i), time.Hour, d))
			all = append(all, locks(d)...)
		}
		req := request(all[n/2].Door)
		req.Principal = assignments[n/2].Principal
		e := given(assignments...)
		b.Run(fmt.Sprintf("vms=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := e.Decide(who(req.Principal), req, authz.Situation{Policies: policies, Locks: all, Now: now}); !d.Allow {
					b.Fatal(d.Not)
				}
			}
		})
	}
}
