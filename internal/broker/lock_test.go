package broker_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

// letIn adds a foreign rule that lets everybody in to port 22.
func (b bench) letIn(t *testing.T) {
	t.Helper()
	r := memory.Rule{Name: "everybody", Priority: 300, Action: firewall.Allow, First: 22, Last: 22}
	if err := b.world.Firewall("fw").Put(r); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func TestEnable(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.letIn(t)
		if b.gets() {
			t.Error("a foreign rule defeats the lock")
		}
		other := ssh()
		other.Name = "other"
		_, err := b.Broker().Enable(b.ctx, root(), other, broker.Agreed{})
		wants(t, err, errkind.Conflict, "policy ssh covers")
		_, err = b.Broker().Enable(b.ctx, alice(), ssh(), broker.Agreed{})
		wants(t, err, errkind.Denied, "may not enable web-1")
		gone := ssh()
		gone.VMs = []firewall.VMID{firewall.HostVM("web-9")}
		_, err = b.Broker().Enable(b.ctx, root(), gone, broker.Agreed{})
		wants(t, err, errkind.NotFound, "web-9")

		time.Sleep(time.Hour)
		saved := b.enable(t, ssh())
		rules, err := b.Store().Rules(b.ctx)
		if err != nil || saved.Version != 2 || rules.Policies[0].Version != 2 {
			t.Errorf("version %d, saved as %d, %v", saved.Version, rules.Policies[0].Version, err)
		}
		if age := b.clocks.Now().Sub(rules.Locks[0].Since); age != time.Hour {
			t.Errorf("the lock is %s old; saving the policy again made it younger", age)
		}
		if n := len(b.records(t, audit.PolicySaved)); n != 2 {
			t.Errorf("%d policies recorded, want 2", n)
		}
		if n := len(b.records(t, audit.LockShown)); n != 1 {
			t.Errorf("%d locks shown, want 1", n)
		}
		if n := len(b.records(t, audit.Locked)); n != 1 {
			t.Errorf("%d locks added, want 1: the second policy locked nothing that was not", n)
		}
	})
}

func TestSesamesOwnPortIsNotLockedByAccident(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		own := b.Broker()
		own.Own = []firewall.Door{{VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, Port: 8443}}
		p := ssh()
		p.Ports[0].Port = 8443
		_, err := own.PreviewEnable(b.ctx, root(), p)
		wants(t, err, errkind.Conflict, "where Sesame itself listens")
		_, err = own.Enable(b.ctx, root(), p, broker.Agreed{})
		wants(t, err, errkind.Conflict, "exempt those who must reach it")
		p.Exempt = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		if _, err := own.Enable(b.ctx, root(), p, broker.Agreed{}); err != nil {
			t.Errorf("with somebody exempt: %v", err)
		}
	})
}

func TestDropPolicyLeavesAnOrphan(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.letIn(t)
		g := b.open(t)
		wants(t, b.Broker().DropPolicy(b.ctx, alice(), "ssh"), errkind.Denied, "may not enable")
		wants(t, b.Broker().DropPolicy(b.ctx, root(), "none"), errkind.NotFound, "none")
		if err := b.Broker().DropPolicy(b.ctx, root(), "ssh"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b.gets() {
			t.Error("the policy is gone, and its grant is not")
		}
		saved, err := b.Store().Grant(b.ctx, g.ID)
		if err != nil || saved.Ended.Why != access.PolicyRemoved || saved.StateAt(b.clocks.Read()) != access.Closed {
			t.Errorf("the grant is %+v, %v", saved, err)
		}
		rules, err := b.Store().Rules(b.ctx)
		if err != nil || len(rules.Policies) != 0 || len(rules.Locks) != 1 {
			t.Errorf("%d policies, %d locks, %v; want an orphan lock", len(rules.Policies), len(rules.Locks), err)
		}
		_, err = b.Broker().Request(b.ctx, alice(), ask())
		wants(t, err, errkind.Denied, "no policy covers")
		time.Sleep(time.Hour)
		if b.gets() {
			t.Error("the orphan lock does not hold")
		}
	})
}

// A door that leaves its policy stays locked and takes its grants along, be it
// that its port leaves or its VM.
func TestLeavingAPolicyEndsGrants(t *testing.T) {
	port22 := policy.Port{Port: 22, Max: time.Hour}
	for name, without := range map[string]func(p *policy.Policy){
		"port": func(p *policy.Policy) { p.Ports = []policy.Port{port22}; p.Ports[0].Port = 23 },
		"VM":   func(p *policy.Policy) { p.VMs = []firewall.VMID{firewall.HostVM("web-2")} },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				b.letIn(t)
				b.enable(t, ssh())
				g := b.open(t)
				kept := ssh()
				kept.Ports[0].Max = time.Minute
				b.enable(t, kept)
				if !b.gets() {
					t.Error("a grant ended although its door is still covered")
				}
				next := ssh()
				without(&next)
				preview, err := b.Broker().PreviewEnable(b.ctx, root(), next.WithDefaults())
				if err != nil || len(preview.Doors) != 2 {
					t.Errorf("the preview shows %+v, %v; want the new door and the one that closes", preview.Doors, err)
				}
				b.enable(t, next.WithDefaults())
				if b.gets() {
					t.Error("the door has left the policy, and the grant is still open")
				}
				saved, err := b.Store().Grant(b.ctx, g.ID)
				if err != nil || saved.Ended.Why != access.PolicyRemoved {
					t.Errorf("the grant is %+v, %v", saved, err)
				}
				time.Sleep(time.Hour)
				if b.world.Admits(door(22), laptop().Next()) {
					t.Error("the orphan lock does not hold")
				}
			})
		})
	}
}

func TestDisableGivesBack(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.letIn(t)
		g := b.open(t)
		wants(t, b.Broker().Disable(b.ctx, alice(), []firewall.Door{door(22)}, broker.Agreed{}), errkind.Denied, "may not disable web-1")
		wants(t, b.Broker().Disable(b.ctx, root(), []firewall.Door{door(23)}, broker.Agreed{}), errkind.NotFound, "not locked")
		wants(t, b.Broker().Disable(b.ctx, root(), []firewall.Door{door(22), door(23)}, broker.Agreed{}), errkind.NotFound, "not locked")
		wants(t, b.Broker().Disable(b.ctx, root(), nil, broker.Agreed{}), errkind.Invalid, "no door")
		if b.world.Admits(door(22), laptop().Next()) {
			t.Fatal("a refused disable gave the door back")
		}

		preview, err := b.Broker().PreviewDisable(b.ctx, root(), []firewall.Door{door(22)})
		if err != nil || len(preview.Plans) != 1 || len(preview.Doors) != 1 {
			t.Fatalf("preview %+v, %v", preview, err)
		}
		if b.world.Admits(door(22), laptop().Next()) {
			t.Fatal("a preview gave the door back")
		}

		if err := b.Broker().Disable(b.ctx, root(), []firewall.Door{door(22)}, broker.Agreed{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !b.world.Admits(door(22), laptop().Next()) {
			t.Error("the door was not given back to who governed it before")
		}
		rules, err := b.Store().Rules(b.ctx)
		if err != nil || len(rules.Policies)+len(rules.Locks) != 0 {
			t.Errorf("left: %d policies, %d locks, %v", len(rules.Policies), len(rules.Locks), err)
		}
		if r := b.records(t, audit.PolicyDeleted); len(r) != 1 || !strings.Contains(r[0].Text, "policy ssh") {
			t.Errorf("the policy went with its last door, and the records of that are %+v", r)
		}
		time.Sleep(time.Minute)
		saved, err := b.Store().Grant(b.ctx, g.ID)
		if err != nil || saved.Ended.Why != access.DoorUnlocked || saved.Closed.IsZero() {
			t.Errorf("the grant is %+v, %v", saved, err)
		}
		wants(t, b.Broker().Disable(b.ctx, root(), []firewall.Door{door(22)}, broker.Agreed{}), errkind.NotFound, "not locked")
	})
}

func TestPreviewEnableChangesNothing(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		rdp := ssh()
		rdp.Name = "rdp"
		rdp.Ports[0].Port = 3389
		_, err := b.Broker().PreviewEnable(b.ctx, alice(), rdp)
		wants(t, err, errkind.Denied, "may not enable")
		before, err := b.Store().Tree(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		preview, err := b.Broker().PreviewEnable(b.ctx, root(), rdp)
		if err != nil || len(preview.Plans) != 1 || len(preview.Doors) != 2 {
			t.Fatalf("preview %+v, %v", preview, err)
		}
		after, err := b.Store().Tree(b.ctx)
		if err != nil || before != after {
			t.Errorf("the log grew from %d to %d, %v", before.N, after.N, err)
		}
		if p, err := b.Broker().Plan(b.ctx, root()); err != nil || len(p.Plans) != 0 {
			t.Errorf("after a preview there is something to do: %+v, %v", p, err)
		}
		_, err = b.Broker().Plan(b.ctx, nobody())
		wants(t, err, errkind.Denied, "may not view")
	})
}

// Who may change some of a policy's VMs changes none of it, and does not learn
// what the others are called.
func TestPoliciesAreChangedWhole(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		both := ssh()
		both.VMs = []firewall.VMID{firewall.HostVM("web-1"), firewall.HostVM("web-2")}
		b.enable(t, both)
		n := broker.NewToken{Name: "ci", Role: authz.Admin, VMs: []firewall.VMID{firewall.HostVM("web-1")}}
		if _, _, err := b.Broker().CreateToken(b.ctx, root(), n); err != nil {
			t.Fatal(err)
		}
		const why = "policy ssh also covers 1 VM that ci may not view"
		_, err := b.Broker().PreviewEnable(b.ctx, holder(), ssh())
		wants(t, err, errkind.Denied, why)
		_, err = b.Broker().Enable(b.ctx, holder(), ssh(), broker.Agreed{})
		wants(t, err, errkind.Denied, why)
		err = b.Broker().DropPolicy(b.ctx, holder(), "ssh")
		wants(t, err, errkind.Denied, why)
		if strings.Contains(errkind.Public(err), "web-2") {
			t.Errorf("the refusal names what is hidden: %v", err)
		}
		if denied := b.records(t, audit.Denied); len(denied) != 3 || denied[0].Door.VM != firewall.HostVM("web-2") {
			t.Errorf("records %+v, want three denials about web-2", denied)
		}
		rules, err := b.Store().Rules(b.ctx)
		if err != nil || len(rules.Policies) != 1 || len(rules.Policies[0].VMs) != 2 {
			t.Errorf("policies %+v, %v", rules.Policies, err)
		}
	})
}

// A policy that says what it was made from replaces nothing else.
func TestPolicyVersions(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		mine, other := ssh(), ssh()
		mine.Version, other.Version = 1, 1
		other.Ports[0].Max = 2 * time.Hour
		b.enable(t, other)
		mine.Proof = true
		_, err := b.Broker().PreviewEnable(b.ctx, root(), mine)
		wants(t, err, errkind.Conflict, "at version 2 by now")
		_, err = b.Broker().Enable(b.ctx, root(), mine, broker.Agreed{})
		wants(t, err, errkind.Conflict, "22/tcp max: 2h → 1h; proof: false → true")
		b.enable(t, other) // the same again loses nothing
		mine.Version = 0
		if saved := b.enable(t, mine); saved.Version != 4 {
			t.Errorf("version %d, want 4", saved.Version)
		}
		gone := ssh()
		gone.Name, gone.Version = "none", 3
		_, err = b.Broker().Enable(b.ctx, root(), gone, broker.Agreed{})
		wants(t, err, errkind.Conflict, "no policy none any more")
		for _, r := range b.records(t, audit.PolicySaved) {
			if strings.Contains(r.Text, "version:") {
				t.Errorf("the record has the version that the document was made from:\n%s", r.Text)
			}
		}
	})
}

// Where nothing can end connections nobody promises to.
func TestCutNeedsAFirewallThatCuts(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		p := ssh()
		p.Cut = true
		_, err := b.Broker().PreviewEnable(b.ctx, root(), p)
		wants(t, err, errkind.Invalid, "nothing in front of web-1 can")
		_, err = b.Broker().Enable(b.ctx, root(), p, broker.Agreed{})
		wants(t, err, errkind.Invalid, "nothing in front of web-1 can")
		b.world.Add(memory.Config{ID: "kernel", Dialect: memory.Keyed})
		host := machine("web-1")
		host.Paths[0].Hops = append(host.Paths[0].Hops, inventory.Hop{Firewall: "kernel"})
		b.world.AddVM(host)
		b.Kill()
		b.Start(b.ctx)
		<-b.Fleet().Known()
		b.enable(t, p)
	})
}
