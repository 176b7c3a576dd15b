package memory_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

// displacedBy returns what the reconciler would have stored.
func displacedBy(p plan.Plan) []plan.Change {
	var out []plan.Change
	for _, c := range p.Changes {
		if c.Op == plan.Displace {
			out = append(out, c)
		}
	}
	return out
}

func TestUnionDisplaces(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Union})
	put(t, f,
		rule("admin", 0, firewall.Allow, firewall.TCP, 20, 30, "0.0.0.0/0"),
		rule("also", 0, firewall.Allow, firewall.TCP, 22, 30, "0.0.0.0/0"),
		rule("web", 0, firewall.Allow, firewall.TCP, 80, 80, "0.0.0.0/0"),
	)
	before := f.Foreign()
	p := shown(t, w, nil, lock(ssh, grant("g-1", tomorrow)))
	prints(t, f,
		"allow any VM 20-21/tcp from 0.0.0.0/0  # ours: kept of a displaced rule",
		// One rule serves both displaced ones.
		"allow any VM 23-30/tcp from 0.0.0.0/0  # ours: kept of a displaced rule",
		"allow host://web-1 22/tcp from 203.0.113.7  # ours: g-1 until 2030-01-02T12:00:00.000Z",
		"allow host://web-2 22/tcp from 0.0.0.0/0  # ours: kept of a displaced rule",
		"deny  host://web-1 22/tcp from anybody  # ours: lock",
		"allow any VM 80/tcp from 0.0.0.0/0  # foreign: web",
	)
	stored := displacedBy(p)
	if len(stored) != 2 {
		t.Fatalf("%d displaced rules, want 2:\n%v", len(stored), p)
	}
	order := ""
	for _, c := range p.Changes {
		if s := " " + c.Op.String(); !strings.HasSuffix(order, s) {
			order += s
		}
	}
	// The source gets in as it is: its own rule comes before it would be cut.
	if order != " keep open lock displace" {
		t.Errorf("the order is%s", order)
	}
	// Without the list of what is displaced nobody is cut off.
	if _, p := compiled(t, w, nil, lock(ssh, grant("g-1", tomorrow))); !p.Empty() {
		t.Errorf("half a list of displaced rules is acted on:\n%v", p)
	}
	// An original that its owner has put back needs nothing from us.
	shown(t, w, stored)
	if f.Foreign() != before || len(f.State().Rules) != 3 {
		t.Errorf("not what was:\n%v", f)
	}
	shown(t, w, stored)
	if f.Foreign() != before {
		t.Errorf("given back twice:\n%v", f)
	}
}

func TestUnionDisplacesOnlyWhatItSaw(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Union})
	put(t, f, rule("admin", 0, firewall.Allow, firewall.TCP, 22, 22, "0.0.0.0/0"))
	s, p := compiled(t, w, nil, lock(ssh))
	f.Edit("admin", func(r *memory.Rule) { r.Last = 25 })
	if err := w.Apply(t.Context(), s, p); err != nil {
		t.Fatal(err)
	}
	if r, ok := f.Rule("admin"); !ok || r.Last != 25 {
		t.Fatal("a rule that was changed meanwhile was taken out without a record of it")
	}
	p = shown(t, w, displacedBy(p), lock(ssh))
	if len(displacedBy(p)) != 1 || f.Admits(ssh, prefix("203.0.113.7/32").Addr()) {
		t.Errorf("the changed rule was not displaced:\n%v", f)
	}
}

func TestUnionRestIsExact(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Union, Rooms: 200})
	put(t, f, rule("everything", 0, firewall.Allow, 0, 0, 65535, "0.0.0.0/0"))
	shown(t, w, nil, lock(ssh), lock(rdp))
	from := prefix("203.0.113.7/32").Addr()
	for _, vm := range []firewall.VMID{web1, web2} {
		for _, proto := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
			for port := range 65536 {
				d := firewall.Door{VM: vm, Protocol: proto, Port: uint16(port)}
				if got, want := f.Admits(d, from), d != ssh && d != rdp; got != want {
					t.Fatalf("%v: admitted %v, want %v", d, got, want)
				}
				if port > 4000 {
					break // the rest is one run
				}
			}
		}
	}
}

func TestUnionNoRoomToKeep(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Union, Rooms: 3})
	put(t, f, rule("admin", 0, firewall.Allow, firewall.TCP, 20, 30, "0.0.0.0/0"))
	before := f.Foreign()
	p := shown(t, w, nil, lock(ssh))
	refuses(t, p, false, "3 rules that would keep")
	if !p.Empty() || f.Foreign() != before {
		t.Errorf("something was written:\n%v", p)
	}
}

func TestUnionNoRoomToGiveBack(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Union, Rooms: 4})
	put(t, f, rule("admin", 0, firewall.Allow, firewall.TCP, 20, 30, "0.0.0.0/0"))
	before := f.Foreign()
	stored := displacedBy(shown(t, w, nil, lock(ssh)))
	put(t, f, rule("filler", 0, firewall.Allow, firewall.TCP, 9999, 9999, "10.0.0.0/8"))
	p := shown(t, w, stored)
	refuses(t, p, false, "no room to give admin back")
	if f.Admits(ssh, prefix("203.0.113.7/32").Addr()) || !f.Admits(firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 23}, prefix("203.0.113.7/32").Addr()) {
		t.Errorf("half given back:\n%v", f)
	}
	f.Remove("filler")
	shown(t, w, stored)
	if f.Foreign() != before {
		t.Errorf("not what was:\n%v", f)
	}
}

func TestUnionReadsLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Union, ReadLag: 10 * time.Second})
		time.Sleep(time.Minute)
		s, p := compiled(t, w, nil, lock(ssh, grant("g-1", time.Now().Add(time.Hour))))
		if err := w.Apply(t.Context(), s, p); err != nil {
			t.Fatal(err)
		}
		if s, _ = compiled(t, w, nil); len(s.Owned) > 0 {
			t.Error("the read does not lag")
		}
		// On what it saw, it writes the same again, and that is no error.
		if err := w.Apply(t.Context(), s, p); err != nil {
			t.Errorf("writing what is there: %v", err)
		}
		time.Sleep(10 * time.Second)
		if s, _ = compiled(t, w, nil); len(s.Owned) != 2 {
			t.Errorf("the read lags for ever: %v\n%v", s.Owned, f)
		}
	})
}

func TestUnionIsStrict(t *testing.T) {
	_, f := newFirewall(memory.Config{Dialect: memory.Union})
	put(t, f, rule("a", 0, firewall.Allow, firewall.TCP, 22, 22, "10.0.0.0/8"))
	for i, r := range []memory.Rule{
		rule("same", 0, firewall.Allow, firewall.TCP, 22, 22, "10.0.0.0/8"),
		rule("deny", 0, firewall.Deny, firewall.TCP, 22, 22, "10.0.0.0/8"),
		rule("nobody", 0, firewall.Allow, firewall.TCP, 22, 22),
		rule("two", 0, firewall.Allow, firewall.TCP, 22, 22, "10.0.0.0/8", "11.0.0.0/8"),
		rule("numbered", 100, firewall.Allow, firewall.TCP, 23, 23, "10.0.0.0/8"),
	} {
		if err := f.Put(r); err == nil {
			t.Errorf("rule %d is taken: %s", i, fmt.Sprint(r))
		}
	}
}

// TestUnionSpares: for a lock that spares no foreign rule is taken out, unless
// another lock needs it out, and what was taken out before stays out.
func TestUnionSpares(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Union})
	put(t, f, rule("old", 0, firewall.Allow, firewall.TCP, 22, 22, "10.0.0.0/8"))
	stored := displacedBy(shown(t, w, nil, lock(ssh)))
	put(t, f, rule("new", 0, firewall.Allow, firewall.TCP, 20, 30, "10.0.0.0/8"))
	spared := lock(ssh)
	spared.Spares = true
	if _, p := compiled(t, w, stored, spared); p.Has(plan.Displace, plan.Restore, plan.Close) {
		t.Errorf("it is not spared:\n%v", p)
	}
	other := ssh
	other.Port = 23
	if _, p := compiled(t, w, stored, spared, lock(other)); !p.Has(plan.Displace) || p.Has(plan.Restore) {
		t.Errorf("the other lock needs it out:\n%v", p)
	}
	if _, p := compiled(t, w, stored, lock(ssh)); !p.Has(plan.Displace) || len(stored) != 1 || stored[0].Rule != "old" {
		t.Errorf("not displaced:\n%v\n%v", p, stored)
	}
}
