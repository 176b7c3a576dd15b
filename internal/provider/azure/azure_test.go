package azure_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/reach"
)

func writes(s sent) bool { return s.method != http.MethodGet }

// gets reports whether source i of locked gets in.
func (g *ground) gets(t *testing.T, d firewall.Door, i int) bool {
	t.Helper()
	return g.admits(g.now(t), d, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
}

// converge makes passes until there is nothing to do.
func (g *ground) converge(t *testing.T, want firewall.Wants) {
	t.Helper()
	for range 60 {
		if p, err := g.pass(t.Context(), want); err == nil && p.Empty() {
			return
		}
		time.Sleep(10 * time.Second)
	}
	t.Fatal("it does not converge")
}

// The probe is a write that Azure refuses whatever it thinks of entity tags, and
// one for each group.
func TestProbeChangesNothing(t *testing.T) {
	for _, blind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := newGround(t, arm.Config{Config: rp.Config{IgnoreIfMatch: blind}}, 1, everything()...)
			if g.provider.Limits(g.nsg).Atomic {
				t.Error("nobody has tried, and it is atomic")
			}
			before := g.foreign(t)
			if _, err := g.pass(t.Context(), locked(g.ssh, 3)); err != nil {
				t.Fatal(err)
			}
			made := g.calls(writes)
			if first := made[0]; first.method != http.MethodPut || !strings.EqualFold(first.path, g.named) || !strings.Contains(first.ifMatch, "00000000-0000") || first.status/100 != 4 {
				t.Errorf("the first write is %+v", first)
			}
			// Two locks and three openings.
			if want := map[bool]int{false: 2, true: 6}[blind]; len(made) != want {
				t.Errorf("blind %v: %d writes, want %d: %v", blind, len(made), want, made)
			}
			if g.foreign(t) != before || len(g.rules(t)) != len(everything())+5 {
				t.Errorf("the probe left something:\n%s", strings.Join(g.rules(t), "\n"))
			}
			if _, err := g.pass(t.Context(), locked(g.ssh, 0)); err != nil {
				t.Fatal(err)
			}
			if made := g.calls(writes); len(made) != map[bool]int{false: 1, true: 3}[blind] {
				t.Errorf("blind %v, the second time: %v", blind, made)
			}
			if l := g.provider.Limits(g.nsg); l.Atomic == blind || l.Conditional == blind {
				t.Errorf("blind %v, and atomic is %v, conditional %v", blind, l.Atomic, l.Conditional)
			}
		})
	}
}

// One rule is a child, and nobody else's business.
func TestOneRuleIsAChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: 3 * time.Second}}, 1, everything()...)
		for _, n := range []int{0, 1, 2, 1} {
			if _, err := g.pass(t.Context(), locked(g.ssh, n)); err != nil {
				t.Fatal(err)
			}
			if made := g.calls(writes); n > 0 && (len(made) != 1 || !strings.Contains(made[0].path, "/securityRules/sesame-main-open-")) {
				t.Errorf("%d openings: %v", n, made)
			}
		}
		if took := g.provider.Limits(g.nsg).WriteTime; took < 3*time.Second || took > 6*time.Second {
			t.Errorf("a write that takes three seconds took %v", took)
		}
		if n := g.provider.Limits(g.nsg).Openings; n != 1000-len(everything())-2 {
			t.Errorf("there is room for %d openings", n)
		}
	})
}

func identities() []gate.Identity {
	const group = "Microsoft.Network/networkSecurityGroups"
	who := func(name string, actions ...string) gate.Identity {
		return gate.Identity{Name: name, Token: name, Object: name, Actions: actions}
	}
	return []gate.Identity{
		who("reader", "*/read"),
		who("opener", "*/read", group+"/securityRules/write"),
		who("closer", "*/read", group+"/securityRules/write", group+"/securityRules/delete"),
		who("locker", "*/read", group+"/write", group+"/securityRules/write", group+"/securityRules/delete", "*/join/action"),
	}
}

// Everybody does their own part, with the least rights, also where they may not
// write a whole group.
func TestIdentities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Identities: identities()}, 1, everything()...)
		g.provider = azure.New(azure.Config{Keys: keys, Surveyor: g, Clients: azure.Clients{
			Reader: g.client(t, "reader"), Opener: g.client(t, "opener"), Closer: g.client(t, "closer"), Locker: g.client(t, "locker"),
		}})
		for _, x := range []struct {
			openings int
			by       string
		}{{0, "locker"}, {1, "opener"}, {4, "opener"}, {3, "closer"}, {0, "closer"}} {
			if p, err := g.pass(t.Context(), locked(g.ssh, x.openings)); err != nil {
				t.Fatalf("%v\n%v", err, p)
			}
			for _, s := range g.calls(func(sent) bool { return true }) {
				polls := strings.Contains(s.path, "/operations/")
				if want := map[bool]string{true: x.by, false: "reader"}[s.write() || polls]; s.token != want {
					t.Errorf("%d openings: %s %s by %s, want %s", x.openings, s.method, s.path, s.token, want)
				}
			}
		}
		if _, err := g.pass(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if made := g.calls(writes); len(made) == 0 || slices.ContainsFunc(made, func(s sent) bool { return s.token != "locker" }) {
			t.Errorf("disabled by %v", made)
		}
	})
}

// Two installations work on one group, and neither touches the other's rules.
func TestTwoInstallations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Second}}, 2, everything()...)
		mine := g.provider
		theirs := azure.New(azure.Config{
			Keys:    firewall.Keyring{Instance: "other", Keys: []firewall.MarkKey{{ID: "z", Secret: []byte("another secret of 32 bytes length")}}},
			Clients: everybody(g.client(t, g.sim.Token())), Surveyor: g,
		})
		of := func(instance string) (out []string) {
			for _, r := range g.rules(t) {
				if strings.HasPrefix(nameIn(r), "sesame-"+instance+"-") {
					out = append(out, r)
				}
			}
			return out
		}
		show := func(p *azure.Provider, want firewall.Wants, other string) {
			t.Helper()
			before := of(other)
			g.provider = p
			g.converge(t, want)
			if after := of(other); !slices.Equal(before, after) {
				t.Errorf("the rules of %s were\n%v\nand are\n%v", other, before, after)
			}
		}
		show(mine, locked(g.ssh, 2), "other")
		s, err := theirs.Observe(t.Context(), g.nsg, nil)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, o := range s.Others {
			if o.Door != g.ssh {
				t.Errorf("%+v is about another door", o)
			}
			what, _, _ := strings.Cut(o.Wrong, " (rule sesame-main-")
			said = append(said, what)
		}
		until := locked(g.ssh, 1)[0].Open[0].Until.Format("2006-01-02 15:04:05Z")
		want := []string{
			"installation main has locked it", "installation main has locked it",
			"installation main lets in 203.0.113.0 until " + until + " for g-0", "installation main lets in 203.0.113.1 until " + until + " for g-1",
		}
		if !slices.Equal(said, want) {
			t.Errorf("the other sees\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
		}
		show(theirs, locked(g.ssh2, 3), "main")
		show(mine, locked(g.ssh, 5), "other")
		show(theirs, nil, "main")
		show(mine, nil, "other")
		if n := len(g.rules(t)); n != len(everything()) {
			t.Errorf("%d rules are left", n)
		}
	})
}

func writesFail(f fault.Fault) []fault.Fault {
	put, del := f, f
	put.Method, del.Method = http.MethodPut, http.MethodDelete
	return []fault.Fault{put, del}
}

// A closing outlives every outage, and is made as soon as it can be.
func TestOutage(t *testing.T) {
	for name, all := range map[string][]fault.Fault{
		"throttled":         {{Kind: fault.Refuse, Status: 429, RetryAfter: 30 * time.Second, For: 4 * time.Minute}},
		"down":              {{Kind: fault.Refuse, Status: 500, For: 3 * time.Minute}},
		"lost":              {{Kind: fault.Lost, For: 2 * time.Minute}},
		"unanswered":        {{Kind: fault.Unanswered, Method: http.MethodDelete, Times: 2}},
		"failed operations": {{Kind: fault.Fail, Times: 3}},
		"half done":         {{Kind: fault.Partial, Times: 3}},
		"superseded":        {{Kind: fault.Supersede, Times: 3}},
		"storm of conflict": {{Kind: fault.Refuse, Status: 412, Method: http.MethodPut, For: time.Minute}},

		"locked by Azure":     writesFail(fault.Fault{Kind: fault.Refuse, Status: 409, Code: "ScopeLocked", For: 4 * time.Minute}),
		"forbidden by policy": writesFail(fault.Fault{Kind: fault.Refuse, Status: 403, Code: "RequestDisallowedByPolicy", For: 4 * time.Minute}),
		"credentials revoked": {{Kind: fault.Refuse, Status: 401, Code: "ExpiredAuthenticationToken", For: 3 * time.Minute}},
		"a right is lost":     {{Kind: fault.Refuse, Status: 403, Code: "AuthorizationFailed", For: 5 * time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGround(t, arm.Config{Config: rp.Config{Latency: 2 * time.Second}}, 1, everything()...)
				g.converge(t, locked(g.ssh, 4))
				less := locked(g.ssh, 4)
				less[0].Open = less[0].Open[2:]
				start := time.Now()
				for _, f := range all {
					g.sim.Inject(f)
				}
				g.converge(t, less)
				if g.gets(t, g.ssh, 0) || g.gets(t, g.ssh, 1) || !g.gets(t, g.ssh, 2) || !g.gets(t, g.ssh, 3) {
					t.Error("not who should get in does")
				}
				if took := time.Since(start); took > all[0].For+time.Minute+30*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// While Azure says how long to wait, nobody calls.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{}, 1, everything()...)
		g.converge(t, locked(g.ssh, 1))
		g.calls(writes)
		g.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 40 * time.Second, Method: http.MethodDelete, Times: 1})
		start := time.Now()
		for {
			_, err := g.pass(t.Context(), locked(g.ssh, 0))
			if err == nil {
				break
			}
			if busy, told := errors.AsType[*nsg.BusyError](err); !told || busy.After == 0 || !strings.Contains(err.Error(), "HTTP 429") {
				t.Fatalf("who has to wait is told %v", err)
			}
			time.Sleep(3 * time.Second)
		}
		if made := g.calls(writes); len(made) != 2 || time.Since(start) < 40*time.Second {
			t.Errorf("%d writes in %v", len(made), time.Since(start))
		}
	})
}

// An operation that fails leaves a document that says more than is true.
func TestFailedOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Second}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 1))
		g.sim.Inject(fault.Fault{Kind: fault.Fail, Method: http.MethodDelete})
		_, err := g.pass(t.Context(), locked(g.ssh, 0))
		if err == nil || errors.Is(err, provider.ErrConflict) || errors.Is(err, provider.ErrRefused) || !strings.Contains(err.Error(), "InternalServerError") {
			t.Errorf("an operation that fails is %v", err)
		}
		g.sim.Heal()
		if !g.gets(t, g.ssh, 0) {
			t.Fatal("the closing was made after all")
		}
		s, err := g.provider.Observe(t.Context(), g.nsg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := reach.Layer(s.Layer, g.ssh).At(netip.MustParseAddr("203.0.113.0")); v.Verdict != reach.Unknown || !strings.Contains(v.By(), "Failed") {
			t.Errorf("it is %v by %s", v.Verdict, v.By())
		}
		p, err := g.pass(t.Context(), locked(g.ssh, 0))
		if err != nil || len(p.Changes) != 1 || !p.Has(plan.Close) {
			t.Errorf("%v\n%v", err, p)
		}
		if g.gets(t, g.ssh, 0) {
			t.Error("the closing is not in force")
		}
		// The same with nothing of ours left.
		g.sim.Inject(fault.Fault{Kind: fault.Fail})
		if _, err := g.pass(t.Context(), nil); err == nil {
			t.Error("an operation that fails is fine")
		}
		g.sim.Heal()
		g.converge(t, nil)
		if !g.gets(t, g.ssh, 9) || len(g.rules(t)) != len(everything()) {
			t.Error("the lock is still there")
		}
	})
}

// What is being written is not taken for what is in force.
func TestReadOnceItIsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: 5 * time.Second}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.pass(ctx, locked(g.ssh, 0)); err == nil {
			t.Fatal("a write of five seconds is made in one")
		}
		s, err := g.provider.Observe(t.Context(), g.nsg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := s.Shown().Of(g.ssh); len(w.Open) > 0 || g.gets(t, g.ssh, 0) {
			t.Errorf("%d openings are shown, and it is %v that one gets in", len(w.Open), g.gets(t, g.ssh, 0))
		}
	})
}

// A group that was deleted is an error for as long as it is not there, and locked
// again as soon as somebody makes it anew.
func TestGroupThatWasDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Second}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 2))
		g.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: 404, Code: "ResourceNotFound", ID: g.named})
		for range 10 {
			if seen, err := g.provider.Observe(t.Context(), g.nsg, nil); err == nil || !strings.Contains(err.Error(), "ResourceNotFound") {
				t.Fatalf("what is not there is %v, %v", seen, err)
			}
		}
		g.sim.Heal()
		if _, err := g.sim.Builder("rg").NSG("web-NSG", everything()...); err != nil {
			t.Fatal(err)
		}
		if !g.gets(t, g.ssh, 9) {
			t.Fatal("the new group is locked")
		}
		g.converge(t, locked(g.ssh, 1))
		if !g.gets(t, g.ssh, 0) || g.gets(t, g.ssh, 1) || g.gets(t, g.ssh, 9) {
			t.Error("not who should get in does")
		}
	})
}

// What cannot be read is an error, with what Azure said, and never an empty group.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{}, 1, everything()...)
		gone := firewall.ID(strings.Replace(string(g.nsg), "web-nsg", "gone", 1))
		for id, want := range map[firewall.ID]string{gone: "ResourceNotFound", "/subscriptions/x": "does not name it", "host": "does not name it"} {
			if s, err := g.provider.Observe(t.Context(), id, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s is %v, %v", id, s, err)
			}
		}
		g.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: 403})
		if s, err := g.provider.Observe(t.Context(), g.nsg, nil); err == nil || !strings.Contains(err.Error(), "403 AuthorizationFailed") {
			t.Errorf("not to be read is %v, %v", s, err)
		}
		g.sim.Heal()
		if s, err := g.provider.Observe(t.Context(), "/wall", nil); err != nil || s.Layer.Default != firewall.Allow {
			t.Errorf("what is no group is %v, %v", s, err)
		} else if p, err := g.provider.Compile(s, locked(g.ssh, 1), nil); err != nil || !p.Empty() || len(p.Refused) > 0 || g.provider.Apply(t.Context(), s, p) != nil {
			t.Errorf("and is planned as %v, %v", p, err)
		}
	})
}

// A lock of Azure's on a group, or one of its rules, stops neither our write nor
// anybody else's of the whole group: what becomes of a rule of ours only looking
// tells, and it comes back.
func TestB19OthersWriteTheWholeGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Second}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 2))
		// Somebody applies their own idea of the group between our look and our write.
		s, err := g.provider.Observe(t.Context(), g.nsg, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.provider.Compile(s, locked(g.ssh, 5), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.sim.Builder("rg").NSG("web-NSG", everything()...); err != nil {
			t.Fatal(err)
		}
		if err := g.provider.Apply(t.Context(), s, p); !errors.Is(err, provider.ErrConflict) {
			t.Errorf("the group was written by somebody else: %v", err)
		}
		g.converge(t, locked(g.ssh, 5))
		if !g.gets(t, g.ssh, 4) || g.gets(t, g.ssh, 9) {
			t.Error("not who should get in does")
		}
	})
}

// Foreign rules that change while we write are told, with both versions.
func TestStrange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{}, 1, everything()...)
		g.converge(t, locked(g.ssh, 1))
		web := g.rules(t)[0]
		g.sim.Inject(fault.Fault{Kind: fault.Meddle, Method: http.MethodDelete, Times: 1, Edits: []fault.Edit{
			{Method: http.MethodPut, ID: g.named + "/securityRules/web", Body: byHand(t, web, "destinationPortRange", `"443"`)},
		}})
		g.converge(t, locked(g.ssh, 0))
		if len(g.strange) != 1 || g.strange[0].Name != "web" || !strings.Contains(g.strange[0].After, "443") || strings.Contains(g.strange[0].Before, "443") {
			t.Errorf("%+v", g.strange)
		}
	})
}

// An opening whose time is over while it waits for its turn is not made.
func TestOverWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Minute, IgnoreIfMatch: true}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 0))
		want := locked(g.ssh, 3)
		for i := range want[0].Open {
			want[0].Open[i].Until = firewall.Instant(time.Now().Add(90 * time.Second))
		}
		if _, err := g.pass(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		in := 0
		for i := range 3 {
			if g.gets(t, g.ssh, i) {
				in++
			}
		}
		if in != 2 {
			t.Errorf("%d openings were made in 90 seconds", in)
		}
	})
}

// How long a write takes is Azure's time, and not that of the line before it: closings
// start so much early.
func TestTheLineIsNoPartOfAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: 2 * time.Second}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 1))
		before := g.provider.Limits(g.nsg).WriteTime
		g.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 12 * time.Second, Method: http.MethodPut, Times: 1})
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := g.pass(impatient, locked(g.ssh, 2)); err == nil {
			t.Error("Azure refused a write, and it was made")
		}
		if _, err := g.pass(t.Context(), locked(g.ssh, 2)); err != nil {
			t.Error(err)
		}
		if waited, now := time.Since(start), g.provider.Limits(g.nsg).WriteTime; waited < 12*time.Second || now > before+time.Second {
			t.Errorf("after %v in line a write is said to take %v; it was %v", waited, now, before)
		}
	})
}

// Openings leave the last calls to closings.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Limits: gate.Limits{
			Reads: gate.Size{Burst: 1000, PerSecond: 100}, Writes: gate.Size{Burst: 21, PerSecond: 1}, Deletes: gate.Size{Burst: 21, PerSecond: 1}, Principals: 15,
			NetworkReads: gate.Size{Burst: 1000, PerSecond: 100}, NetworkWrites: gate.Size{Burst: 1000, PerSecond: 100},
		}}, 1, everything()...)
		g.converge(t, locked(g.ssh, 0))
		took := func(n int) time.Duration {
			start := time.Now()
			if _, err := g.pass(t.Context(), locked(g.ssh, n)); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		took(1)
		took(2)
		if opening, closing := took(3), took(2); opening < time.Second || closing >= time.Second {
			t.Errorf("with few calls left an opening takes %v and a closing %v", opening, closing)
		}
	})
}
