package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach"
)

// rule returns a rule over TCP port 22 of one VM; more is edited in.
func rule(name string, a firewall.Action, vm firewall.VMID, from ...string) firewall.LayerRule {
	return firewall.LayerRule{Name: name, Action: a, VM: vm, Protocol: firewall.TCP, First: 22, Last: 22, From: sources(from...), Owned: false}
}

func layer(id firewall.ID, rules ...firewall.LayerRule) firewall.Layer {
	return firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: rules, Default: firewall.Allow}
}

func behind(id firewall.VMID, hops ...inventory.Hop) inventory.VM {
	return inventory.VM{ID: id, Paths: []inventory.Path{{Name: "eth0", Hops: hops}}}
}

func change(op plan.Op, d firewall.Door, o firewall.Opening) plan.Change {
	return plan.Change{Step: 1, Op: op, Door: d, Opening: o, Why: "test", Native: "", Undo: ""}
}

// proven returns w with proof demanded.
func proven(w firewall.Want) firewall.Want {
	w.Proof = true
	return w
}

// A situation is what a plan for the firewall "host" is judged in: two VMs
// behind it, web with a lock and db without.
type situation struct {
	before, after []firewall.LayerRule
	changes       []plan.Change
	want          firewall.Wants
	edit          func(*plan.Case)
}

func (s situation) verify() []plan.Refusal {
	hop := inventory.Hop{Firewall: "host"}
	c := plan.Case{
		Plan:     plan.Plan{Firewall: "host", Changes: s.changes, After: layer("host", s.after...)},
		Want:     s.want,
		VMs:      []inventory.VM{behind(web.VM, hop), behind(db.VM, hop)},
		Observed: map[firewall.ID]firewall.Layer{"host": layer("host", s.before...)},
	}
	if s.edit != nil {
		s.edit(&c)
	}
	return plan.Verify(c)
}

func TestVerify(t *testing.T) {
	lock := rule("lock", firewall.Deny, web.VM)
	me := opening("203.0.113.7", time.Hour, "g-1")
	allow := rule("grant", firewall.Allow, web.VM, "203.0.113.7")
	opens := change(plan.Open, web, me)
	closes := change(plan.Close, web, me)
	locks := change(plan.Lock, web, firewall.Opening{})
	drops := change(plan.Drop, web, firewall.Opening{})
	upstream := func(rules ...firewall.LayerRule) func(*plan.Case) {
		return func(c *plan.Case) {
			for i := range c.VMs {
				c.VMs[i].Paths[0].Hops = append([]inventory.Hop{{Firewall: "hub"}}, c.VMs[i].Paths[0].Hops...)
			}
			if rules != nil {
				c.Observed["hub"] = layer("hub", rules...)
			}
		}
	}
	anyPort := func(r firewall.LayerRule) firewall.LayerRule {
		r.First, r.Last = 0, 65535
		return r
	}
	for name, c := range map[string]struct {
		situation

		want []string // what each refusal says, "DOOR FROM: ..."; none when the plan is fine
	}{
		"nothing to do": {situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{lock}, nil, firewall.Wants{locked(web)}, nil}, nil},
		"a grant opens": {situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, nil}, nil},
		"a lock shuts":  {situation{nil, []firewall.LayerRule{lock}, []plan.Change{locks}, firewall.Wants{locked(web)}, nil}, nil},
		"a close":       {situation{[]firewall.LayerRule{allow, lock}, []firewall.LayerRule{lock}, []plan.Change{closes}, firewall.Wants{locked(web)}, nil}, nil},
		"a close of what nobody locks any more": {
			situation{[]firewall.LayerRule{allow, anyPort(lock)}, []firewall.LayerRule{anyPort(lock)}, []plan.Change{closes}, nil, nil}, nil,
		},

		// What a change newly admits.
		"wider than the grant": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{rule("grant", firewall.Allow, web.VM, "203.0.113.0/24"), lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, nil},
			[]string{"host://web:22/tcp *: the change would let 203.0.113.0-203.0.113.6, 203.0.113.8-203.0.113.255 reach host://web:22/tcp (by host: grant); nothing allows that"},
		},
		"another source": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{rule("grant", firewall.Allow, web.VM, "198.51.100.1"), lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, nil},
			[]string{
				"host://web:22/tcp *: the change would let 198.51.100.1 reach host://web:22/tcp (by host: grant); nothing allows that",
				"host://web:22/tcp 203.0.113.7: 203.0.113.7 would still not get through to host://web:22/tcp: host: lock blocks it",
			},
		},
		"a rule that grows in its place": {
			situation{[]firewall.LayerRule{allow, lock}, []firewall.LayerRule{rule("grant", firewall.Allow, web.VM, "203.0.113.6/31"), lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, nil},
			[]string{"host://web:22/tcp *: the change would let 203.0.113.6 reach host://web:22/tcp (by host: grant); nothing allows that"},
		},
		"what no rule decides": {
			situation{[]firewall.LayerRule{allow}, []firewall.LayerRule{allow}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, func(c *plan.Case) {
				c.Observed["host"] = firewall.Layer{Firewall: "host", Rules: []firewall.LayerRule{allow}, Default: firewall.Deny}
				c.VMs = c.VMs[:1]
			}},
			[]string{
				"host://web:22/tcp *: the change would let 0.0.0.0-203.0.113.6, 203.0.113.8-255.255.255.255, ::/0 reach host://web:22/tcp (by host: default); nothing allows that",
				"host://web:22/tcp *: the change would let anybody reach host://web:0/0 (by host: default); nothing allows that",
				"host://web:22/tcp *: the change would let anybody reach host://web:0/tcp (by host: default); nothing allows that",
				"host://web:22/tcp *: the change would let anybody reach host://web:0/udp (by host: default); nothing allows that",
				"host://web:22/tcp *: the change would let anybody reach host://web:23/tcp (by host: default); nothing allows that",
			},
		},
		"the neighbour, too": {
			situation{[]firewall.LayerRule{rule("lock", firewall.Deny, "")}, []firewall.LayerRule{rule("grant", firewall.Allow, "", "203.0.113.7"), rule("lock", firewall.Deny, "")}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, nil},
			[]string{"host://web:22/tcp *: the change would let 203.0.113.7 reach host://db:22/tcp (by host: grant); nothing allows that"},
		},
		"other ports, too": {
			situation{[]firewall.LayerRule{anyPort(lock)}, []firewall.LayerRule{anyPort(allow), anyPort(lock)}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, nil},
			[]string{
				"host://web:22/tcp *: the change would let 203.0.113.7 reach host://web:0/tcp (by host: grant); nothing allows that",
				"host://web:22/tcp *: the change would let 203.0.113.7 reach host://web:23/tcp (by host: grant); nothing allows that",
			},
		},
		"another protocol, too": {
			situation{
				[]firewall.LayerRule{{Name: "lock", Action: firewall.Deny, VM: web.VM, Last: 65535}},
				[]firewall.LayerRule{allow, {Name: "odd", Action: firewall.Allow, VM: web.VM, Protocol: 132, Last: 65535, From: sources("203.0.113.7")}, {Name: "lock", Action: firewall.Deny, VM: web.VM, Last: 65535}},
				[]plan.Change{opens},
				firewall.Wants{locked(web, me)},
				nil,
			},
			[]string{"host://web:22/tcp *: the change would let 203.0.113.7 reach host://web:0/132 (by host: odd); nothing allows that"},
		},
		"a lock that goes without an unlock": {
			situation{[]firewall.LayerRule{lock}, nil, []plan.Change{drops}, nil, nil},
			[]string{"host://web:22/tcp *: the change would let anybody reach host://web:22/tcp (by host: default); nothing allows that"},
		},
		"an unlock": {
			situation{[]firewall.LayerRule{allow, lock}, nil, []plan.Change{closes, drops}, nil, func(c *plan.Case) { c.Unlocking = []firewall.Door{web} }}, nil,
		},
		"a close that widens": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{rule("grant", firewall.Allow, web.VM, "198.51.100.1"), lock}, []plan.Change{closes}, firewall.Wants{locked(web)}, nil},
			[]string{"host://web:22/tcp *: the change would let 198.51.100.1 reach host://web:22/tcp (by host: grant); nothing allows that"},
		},
		"unknown becomes open": {
			situation{
				[]firewall.LayerRule{rule("tag", firewall.Unknown, web.VM), lock},
				[]firewall.LayerRule{rule("grant", firewall.Allow, web.VM, "203.0.113.0/24"), rule("tag", firewall.Unknown, web.VM), lock},
				[]plan.Change{opens},
				firewall.Wants{locked(web, me)},
				nil,
			},
			[]string{"host://web:22/tcp *: the change would let 203.0.113.0-203.0.113.6, 203.0.113.8-203.0.113.255 reach host://web:22/tcp (by host: grant); nothing allows that"},
		},
		"only behind a door that is shut upstream": {
			situation{
				[]firewall.LayerRule{anyPort(lock)},
				[]firewall.LayerRule{{Name: "wide", Action: firewall.Allow, VM: web.VM, Protocol: firewall.TCP, First: 1, Last: 1000}, anyPort(lock)},
				[]plan.Change{opens},
				firewall.Wants{locked(web, me)},
				// The hub lets only port 500 through: the class of port 1 looks fine.
				upstream(firewall.LayerRule{Name: "500", Action: firewall.Allow, Protocol: firewall.TCP, First: 500, Last: 500}, firewall.LayerRule{Name: "no", Action: firewall.Deny, Last: 65535}),
			},
			[]string{
				"host://web:22/tcp *: the change would let anybody reach host://web:500/tcp (by host: wide); nothing allows that",
				"host://web:22/tcp 203.0.113.7: 203.0.113.7 would still not get through to host://web:22/tcp: hub: no blocks it",
			},
		},

		// What a change newly shuts.
		"a lock that shuts the neighbour": {
			situation{nil, []firewall.LayerRule{rule("lock", firewall.Deny, "")}, []plan.Change{locks}, firewall.Wants{locked(web)}, nil},
			[]string{"host://web:22/tcp *: the change would keep anybody from reaching host://db:22/tcp (by host: lock); that is not a just-in-time port"},
		},
		"of two locks the one on the same port": {
			situation{
				nil,
				[]firewall.LayerRule{rule("lock", firewall.Deny, ""), {Name: "lock 9", Action: firewall.Deny, VM: web.VM, Protocol: firewall.UDP, First: 9, Last: 9}},
				[]plan.Change{locks, change(plan.Lock, firewall.Door{VM: web.VM, Protocol: firewall.UDP, Port: 9}, firewall.Opening{})},
				firewall.Wants{locked(firewall.Door{VM: web.VM, Protocol: firewall.UDP, Port: 9}), locked(web)},
				nil,
			},
			[]string{"host://web:22/tcp *: the change would keep anybody from reaching host://db:22/tcp (by host: lock); that is not a just-in-time port"},
		},
		"a lock that shuts another port": {
			situation{nil, []firewall.LayerRule{anyPort(lock)}, []plan.Change{locks}, firewall.Wants{locked(web)}, nil},
			[]string{
				"host://web:22/tcp *: the change would keep anybody from reaching host://web:0/tcp (by host: lock); that is not a just-in-time port",
				"host://web:22/tcp *: the change would keep anybody from reaching host://web:23/tcp (by host: lock); that is not a just-in-time port",
			},
		},
		"a lock that shuts every protocol": {
			situation{nil, []firewall.LayerRule{{Name: "lock", Action: firewall.Deny, VM: web.VM, First: 22, Last: 22}}, []plan.Change{locks}, firewall.Wants{locked(web)}, nil},
			[]string{"host://web:22/tcp *: the change would keep anybody from reaching host://web:22/udp (by host: lock); that is not a just-in-time port"},
		},
		"a lock that shuts everything else": {
			situation{nil, []firewall.LayerRule{rule("keep", firewall.Allow, web.VM), {Name: "lock", Action: firewall.Deny, VM: web.VM, Last: 65535}}, []plan.Change{locks}, firewall.Wants{locked(web)}, func(c *plan.Case) {
				// TCP and UDP were shut before, other protocols were not.
				for _, p := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
					r := firewall.LayerRule{Name: "no", Action: firewall.Deny, VM: web.VM, Protocol: p, Last: 65535}
					c.Observed["host"] = layer("host", append(c.Observed["host"].Rules, r)...)
					c.Plan.After.Rules = append([]firewall.LayerRule{r}, c.Plan.After.Rules...)
				}
			}},
			[]string{"host://web:22/tcp *: the change would keep anybody from reaching host://web:0/0 (by host: lock); that is not a just-in-time port"},
		},
		"a lock over what was unknown": {
			situation{[]firewall.LayerRule{rule("tag", firewall.Unknown, db.VM)}, []firewall.LayerRule{rule("lock", firewall.Deny, "")}, []plan.Change{locks}, firewall.Wants{locked(web)}, nil},
			[]string{"host://web:22/tcp *: the change would keep anybody from reaching host://db:22/tcp (by host: lock); that is not a just-in-time port"},
		},
		"a close beside a shared lock is not to blame": {
			situation{
				[]firewall.LayerRule{allow, lock},
				[]firewall.LayerRule{lock, rule("lock", firewall.Deny, db.VM)},
				[]plan.Change{closes, change(plan.Lock, firewall.Door{VM: db.VM, Protocol: firewall.UDP, Port: 9}, firewall.Opening{})},
				firewall.Wants{locked(web)},
				nil,
			},
			[]string{"host://db:9/udp *: the change would keep anybody from reaching host://db:22/tcp (by host: lock); that is not a just-in-time port"},
		},

		// Whether those who are opened for get in.
		"blocked by a foreign rule": {
			situation{
				[]firewall.LayerRule{rule("corp deny", firewall.Deny, web.VM, "203.0.113.0/24"), lock},
				[]firewall.LayerRule{rule("corp deny", firewall.Deny, web.VM, "203.0.113.0/24"), allow, lock},
				[]plan.Change{opens},
				firewall.Wants{locked(web, me)},
				nil,
			},
			[]string{"host://web:22/tcp 203.0.113.7: 203.0.113.7 would still not get through to host://web:22/tcp: host: corp deny blocks it"},
		},
		"blocked in another layer": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, upstream(rule("no ssh", firewall.Deny, ""))},
			[]string{"host://web:22/tcp 203.0.113.7: 203.0.113.7 would still not get through to host://web:22/tcp: hub: no ssh blocks it"},
		},
		"blocked in another layer that opens, too": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, func(c *plan.Case) {
				upstream(rule("no ssh", firewall.Deny, ""))(c)
				c.Joint = map[firewall.ID]firewall.Layer{"host": c.Plan.After, "hub": layer("hub", allow, rule("no ssh", firewall.Deny, ""))}
			}},
			nil,
		},
		"half of a prefix is blocked": {
			situation{
				[]firewall.LayerRule{rule("corp deny", firewall.Deny, web.VM, "198.51.100.128/25"), lock},
				[]firewall.LayerRule{rule("corp deny", firewall.Deny, web.VM, "198.51.100.128/25"), rule("grant", firewall.Allow, web.VM, "198.51.100.0/24"), lock},
				[]plan.Change{change(plan.Open, web, opening("198.51.100.0/24", time.Hour, "g-1"))},
				firewall.Wants{locked(web, opening("198.51.100.0/24", time.Hour, "g-1"))},
				nil,
			},
			[]string{"host://web:22/tcp 198.51.100.0/24: 198.51.100.128/25 would still not get through to host://web:22/tcp: host: corp deny blocks it"},
		},
		"an unread layer does not refuse": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, upstream()}, nil,
		},
		"an unread layer where proof is demanded": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{proven(locked(web, me))}, upstream()},
			[]string{"host://web:22/tcp 203.0.113.7: it is not proven that 203.0.113.7 would get through to host://web:22/tcp, which its policy demands: hub: not read is not known"},
		},
		"proof that is there": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{proven(locked(web, me))}, upstream([]firewall.LayerRule{}...)}, nil,
		},
		"proof of an exempt source": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{change(plan.Open, web, opening("203.0.113.7", 0, ""))}, firewall.Wants{proven(locked(web, opening("203.0.113.7", 0, "")))}, upstream()}, nil,
		},
		"an unresolved rule does not refuse": {
			situation{
				[]firewall.LayerRule{rule("tag", firewall.Unknown, web.VM), lock},
				[]firewall.LayerRule{rule("tag", firewall.Unknown, web.VM), allow, lock},
				[]plan.Change{opens},
				firewall.Wants{locked(web, me)},
				nil,
			},
			nil,
		},

		// What the want does not have.
		"for longer": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{change(plan.Open, web, opening("203.0.113.7", time.Hour+time.Millisecond, "g-1"))}, firewall.Wants{locked(web, me)}, nil},
			[]string{"host://web:22/tcp 203.0.113.7: no opening of host://web:22/tcp is for 203.0.113.7 for that long"},
		},
		"for ever": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{change(plan.Open, web, opening("203.0.113.7", 0, ""))}, firewall.Wants{locked(web, me)}, nil},
			[]string{"host://web:22/tcp 203.0.113.7: no opening of host://web:22/tcp is for 203.0.113.7 for that long"},
		},
		"for less": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{change(plan.Open, web, opening("203.0.113.7", time.Minute, "g-1"))}, firewall.Wants{locked(web, me)}, nil}, nil,
		},

		// Half an input.
		"something about the VM is missing": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, func(c *plan.Case) { c.VMs[0].Missing = []string{"eth1 could not be read"} }},
			[]string{"host://web:22/tcp 203.0.113.7: not everything about host://web is known: eth1 could not be read"},
		},
		"something about another VM is missing": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, func(c *plan.Case) { c.VMs[1].Missing = []string{"eth1 could not be read"} }}, nil,
		},
		"an exempt source while something is missing": {
			situation{
				[]firewall.LayerRule{lock},
				[]firewall.LayerRule{allow, lock},
				[]plan.Change{change(plan.Open, web, opening("203.0.113.7", 0, ""))},
				firewall.Wants{locked(web, opening("203.0.113.7", 0, ""))},
				func(c *plan.Case) { c.VMs[0].Missing = []string{"eth1 could not be read"} },
			},
			nil,
		},
		"a lock while something is missing": {
			situation{nil, []firewall.LayerRule{lock}, []plan.Change{locks}, firewall.Wants{locked(web)}, func(c *plan.Case) { c.VMs[0].Missing = []string{"eth1 could not be read"} }}, nil,
		},
		"a close while something is missing": {
			situation{[]firewall.LayerRule{allow, lock}, []firewall.LayerRule{lock}, []plan.Change{closes}, firewall.Wants{locked(web)}, func(c *plan.Case) { c.VMs[0].Missing = []string{"eth1 could not be read"} }}, nil,
		},
		"a rule comes back for a VM that has left the inventory": {
			situation{[]firewall.LayerRule{lock}, nil, []plan.Change{drops, change(plan.Restore, web, firewall.Opening{})}, nil, func(c *plan.Case) { c.VMs, c.Unlocking = c.VMs[1:], []firewall.Door{web} }},
			[]string{"host://web:22/tcp *: nothing is known about host://web any more, so nothing is opened there"},
		},
		"the VM has left the inventory": {
			situation{[]firewall.LayerRule{lock}, []firewall.LayerRule{allow, lock}, []plan.Change{opens}, firewall.Wants{locked(web, me)}, func(c *plan.Case) { c.VMs = c.VMs[1:] }},
			[]string{"host://web:22/tcp *: nothing is known about host://web any more, so nothing is opened there"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range c.verify() {
				from := "*"
				if r.From.IsValid() {
					from = firewall.FormatSource(r.From)
				}
				got = append(got, fmt.Sprintf("%s %s: %s", r.Door, from, r.Why))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

// A firewall behind an address translation opens for the translated address; the
// clients it opens for are the desired ones.
func TestVerifyBehindATranslation(t *testing.T) {
	snat := sources("10.9.9.9")[0]
	desired := firewall.Wants{locked(web, opening("203.0.113.7", time.Hour, "g-1"), opening("203.0.113.8", time.Hour, "g-2"))}
	merged := opening("10.9.9.9", time.Hour, "g-1,g-2")
	lock := rule("lock", firewall.Deny, web.VM)
	hubOpen := []firewall.LayerRule{rule("grants", firewall.Allow, "", "203.0.113.7", "203.0.113.8"), rule("no", firewall.Deny, "")}
	for name, c := range map[string]struct {
		hub    []firewall.LayerRule
		inside string
		want   int
	}{
		"both get in":     {hubOpen, "10.9.9.9", 0},
		"one gets in":     {append([]firewall.LayerRule{rule("not him", firewall.Deny, "", "203.0.113.7")}, hubOpen...), "10.9.9.9", 0},
		"none gets in":    {[]firewall.LayerRule{rule("no", firewall.Deny, "")}, "10.9.9.9", 1},
		"others get in":   {[]firewall.LayerRule{rule("all", firewall.Allow, "")}, "10.9.9.9", 1},
		"the wrong inner": {hubOpen, "10.9.9.8", 1},
	} {
		t.Run(name, func(t *testing.T) {
			v := behind(web.VM, inventory.Hop{Firewall: "hub"}, inventory.Hop{Firewall: "inner", Sees: snat})
			got := plan.Verify(plan.Case{
				Plan: plan.Plan{
					Firewall: "inner", Changes: []plan.Change{change(plan.Open, web, merged)},
					After: layer("inner", rule("grant", firewall.Allow, web.VM, c.inside), lock),
				},
				Want: firewall.Wants{locked(web, merged)}, Desired: desired, VMs: []inventory.VM{v},
				Observed: map[firewall.ID]firewall.Layer{"hub": layer("hub", c.hub...), "inner": layer("inner", lock)},
			})
			if len(got) != c.want {
				t.Errorf("got %v, want %d refusals", got, c.want)
			}
		})
	}
}

// TestVerifiedPlansAdmitOnlyWhatIsWanted draws whatever a faulty provider could
// make of a want, and checks every verdict against single packets.
func TestVerifiedPlansAdmitOnlyWhatIsWanted(t *testing.T) {
	drawRule := func(t *rapid.T) firewall.LayerRule {
		r := rule(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Unknown}).Draw(t, "action"), "")
		r.VM = rapid.SampledFrom([]firewall.VMID{"", web.VM, db.VM}).Draw(t, "vm")
		r.From = rapid.SliceOfN(rapid.Custom(drawSource), 0, 2).Draw(t, "from")
		r.First = rapid.SampledFrom([]uint16{0, 22, 23}).Draw(t, "first")
		r.Last = max(r.First, rapid.SampledFrom([]uint16{22, 65535}).Draw(t, "last"))
		r.Protocol = rapid.SampledFrom([]firewall.Protocol{0, firewall.TCP}).Draw(t, "protocol")
		return r
	}
	rules := rapid.SliceOfN(rapid.Custom(drawRule), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		s := situation{before: rules.Draw(t, "before"), after: rules.Draw(t, "after"), changes: []plan.Change{change(plan.Lock, web, firewall.Opening{})}}
		w := locked(web)
		for range rapid.IntRange(0, 2).Draw(t, "openings") {
			o := drawOpening(t)
			if !slices.ContainsFunc(w.Open, func(x firewall.Opening) bool { return x.From == o.From }) {
				w.Open = append(w.Open, o)
			}
		}
		s.want = firewall.Wants{w}
		s.want.Sort()
		refused := s.verify()
		wrong := ""
		for _, d := range []firewall.Door{web, db, {VM: web.VM, Protocol: firewall.TCP, Port: 23}, {VM: web.VM, Protocol: firewall.TCP, Port: 80}, {VM: web.VM, Protocol: 1}, {VM: db.VM, Protocol: firewall.TCP}} {
			before, after := reach.Layer(layer("host", s.before...), d), reach.Layer(layer("host", s.after...), d)
			for _, text := range []string{"203.0.113.7", "203.0.113.8", "203.0.113.9", "10.1.1.1", "198.51.100.1", "2001:db8::7", "2001:db8::8", "2001:db9::"} {
				a := netip.MustParseAddr(text)
				was, is := before.At(a).Verdict, after.At(a).Verdict
				allowed := d == web && slices.ContainsFunc(w.Open, func(o firewall.Opening) bool { return o.From.Contains(a) })
				if is > was && !allowed || is < was && d != web {
					wrong = fmt.Sprintf("%v at %v goes from %v to %v", a, d, was, is)
				}
			}
		}
		if wrong != "" && len(refused) == 0 {
			t.Fatalf("verified, but %s", wrong)
		}
		for _, r := range refused {
			if r.Door != web || r.Why == "" {
				t.Fatalf("%+v names no door of the plan", r)
			}
		}
	})
}

// A plan that only closes is never refused, whatever else is going on.
func TestVerifyNeverRefusesAClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		foreign := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) firewall.LayerRule {
			return rule("foreign", rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Unknown}).Draw(t, "action"), "", "203.0.113.0/24")
		}), 0, 3).Draw(t, "foreign")
		shown := locked(web)
		var allows []firewall.LayerRule
		var changes []plan.Change
		left := locked(web)
		for i, p := range []string{"203.0.113.7", "10.0.0.0/8", "2001:db8::7"} {
			o := opening(p, time.Hour, "g-1")
			shown.Open = append(shown.Open, o)
			r := rule(fmt.Sprint("grant ", i), firewall.Allow, web.VM, p)
			if rapid.Bool().Draw(t, "closes") {
				changes = append(changes, change(plan.Close, web, o))
				allows = append(allows, r)
				continue
			}
			left.Open = append(left.Open, o)
			foreign = append(foreign, r)
		}
		after := append(slices.Clone(foreign), rule("lock", firewall.Deny, web.VM))
		s := situation{before: append(allows, after...), after: after, changes: changes, want: firewall.Wants{left}}
		s.want.Sort()
		if rapid.Bool().Draw(t, "no want") {
			s.want = nil
		}
		s.edit = func(c *plan.Case) {
			if rapid.Bool().Draw(t, "missing") {
				c.VMs[0].Missing = []string{"half of it"}
			}
			if rapid.Bool().Draw(t, "gone") {
				c.VMs = c.VMs[1:]
			}
		}
		if got := s.verify(); len(got) > 0 {
			t.Fatalf("a close was refused: %v", got)
		}
	})
}

// TestNothingHoldsAClose plays what the reconciler does with a plan that closes and
// opens at once, in worlds of every kind: whatever is refused, by whatever
// firewalls, unknowns and demands, what has ended is gone in the end.
func TestNothingHoldsAClose(t *testing.T) {
	sources := []string{"203.0.113.7", "10.0.0.0/8", "2001:db8::7", "198.51.100.0/24"}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) bool { return rapid.Bool().Draw(t, label) }
		drawRules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) firewall.LayerRule {
			r := rule("foreign", rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Unknown, firewall.Deliver}).Draw(t, "action"), "")
			r.From = rapid.SliceOfN(rapid.Custom(drawSource), 0, 2).Draw(t, "from")
			r.Maybe = rapid.Bool().Draw(t, "maybe")
			return r
		}), 0, 3)
		foreign := drawRules.Draw(t, "foreign")
		shown, want := locked(web), locked(web)
		want.Proof = draw("proof")
		var ended []netip.Prefix
		for _, p := range sources {
			o := opening(p, time.Hour, "g-1")
			is, be := draw("shown "+p), draw("wanted "+p)
			if is {
				shown.Open = append(shown.Open, o)
			}
			if be {
				want.Open = append(want.Open, o)
			}
			if is && !be {
				ended = append(ended, o.From)
			}
		}
		was, wants := firewall.Wants{shown}, firewall.Wants{want}
		was.Sort()
		wants.Sort()
		show := func(ws firewall.Wants) (l firewall.Layer) {
			w, _ := ws.Of(web)
			for _, o := range w.Open {
				r := rule("grant", firewall.Allow, web.VM)
				r.From = []netip.Prefix{o.From}
				l.Rules = append(l.Rules, r)
			}
			return layer("host", slices.Concat(foreign, l.Rules, []firewall.LayerRule{rule("lock", firewall.Deny, web.VM)})...)
		}
		c := plan.Case{
			VMs:      []inventory.VM{behind(web.VM, inventory.Hop{Firewall: "hub"}, inventory.Hop{Firewall: "host"}), behind(db.VM, inventory.Hop{Firewall: "host"})},
			Observed: map[firewall.ID]firewall.Layer{"host": show(was)},
		}
		if draw("hub is read") {
			c.Observed["hub"] = layer("hub", drawRules.Draw(t, "hub")...)
		}
		if draw("missing") {
			c.VMs[0].Missing = []string{"half of it"}
		}
		if draw("gone") {
			c.VMs = c.VMs[1:]
		}
		for round := 0; ; round++ {
			changes := []plan.Change{}
			now, before := plan.Index(wants), plan.Index(was)
			for k, o := range before {
				if _, stays := now[k]; !stays {
					changes = append(changes, change(plan.Close, web, o))
				}
			}
			for k, o := range now {
				if _, is := before[k]; !is {
					changes = append(changes, change(plan.Open, web, o))
				}
			}
			c.Plan, c.Want = plan.Plan{Firewall: "host", Changes: changes, After: show(wants)}, wants
			refused := plan.Verify(c)
			if len(refused) == 0 {
				break
			}
			if wants = plan.Hold(wants, was, refused...); round == 8 {
				wants = plan.Closings(wants, was)
				break
			}
		}
		for _, p := range ended {
			if _, held := plan.Index(wants)[firewall.Key{Door: web, From: p}]; held {
				t.Fatalf("%s has ended and is held open", p)
			}
		}
	})
}

// A rule of a firewall in front of an address translation is about the port that
// clients knock at, and its effect is on the port behind.
func TestVerifySeesThroughTranslations(t *testing.T) {
	edge := func(from ...string) firewall.Layer {
		r := rule("dnat", firewall.Allow, "", from...)
		r.First, r.Last = 50022, 50022
		return firewall.Layer{Firewall: "edge", Rules: []firewall.LayerRule{r}, Default: firewall.Deny}
	}
	v := behind(web.VM, inventory.Hop{Firewall: "edge", Port: 50022})
	v.Paths[0].Protocol, v.Paths[0].Port = firewall.TCP, 22
	me := opening("203.0.113.7", time.Hour, "g-1")
	c := plan.Case{
		Plan:     plan.Plan{Firewall: "edge", Changes: []plan.Change{change(plan.Open, web, me)}, After: edge("203.0.113.0/24")},
		Want:     firewall.Wants{locked(web, me)},
		VMs:      []inventory.VM{v},
		Observed: map[firewall.ID]firewall.Layer{"edge": edge("203.0.113.7")},
	}
	if got := plan.Verify(c); len(got) != 1 || !strings.Contains(got[0].Why, "(by edge: dnat); nothing allows that") {
		t.Errorf("wider: %v", got)
	}
	c.Plan.After = edge("203.0.113.7")
	if got := plan.Verify(c); len(got) != 0 {
		t.Errorf("as wanted: %v", got)
	}
}

// benchmarkCase opens one more door on a firewall with n grants.
func benchmarkCase(n, fresh int) plan.Case {
	w := locked(web)
	var rules []firewall.LayerRule
	var changes []plan.Change
	for i := range n + fresh {
		a := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		o := firewall.Opening{From: a, Until: noon.Add(time.Hour), Grants: "g-1"}
		w.Open = append(w.Open, o)
		r := rule("grant", firewall.Allow, web.VM)
		r.From = []netip.Prefix{a}
		rules = append(rules, r)
		if i >= n {
			changes = append(changes, change(plan.Open, web, o))
		}
	}
	lock := rule("lock", firewall.Deny, web.VM)
	return plan.Case{
		Plan:     plan.Plan{Firewall: "host", Changes: changes, After: layer("host", append(slices.Clone(rules), lock)...)},
		Want:     firewall.Wants{w},
		VMs:      []inventory.VM{behind(web.VM, inventory.Hop{Firewall: "host"}), behind(db.VM, inventory.Hop{Firewall: "host"})},
		Observed: map[firewall.ID]firewall.Layer{"host": layer("host", append(slices.Clone(rules[:n]), lock)...)},
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct{ live, fresh int }{{10, 1}, {1_000, 1}, {10_000, 1}, {0, 10_000}} {
		k := benchmarkCase(c.live, c.fresh)
		b.Run(fmt.Sprintf("live=%d/opening=%d", c.live, c.fresh), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := plan.Verify(k); r != nil {
					b.Fatal(r)
				}
			}
		})
	}
}

// What is not known on the way hides neither an opening that is too wide nor what
// a lock takes from others.
func TestVerifyBehindWhatIsNotKnown(t *testing.T) {
	me := opening("203.0.113.7", time.Hour, "g-1")
	hidden := func(delivers bool) func(*plan.Case) {
		return func(c *plan.Case) {
			for i := range c.VMs {
				c.VMs[i].Paths[0].Hops = append([]inventory.Hop{{Firewall: "admin"}}, c.VMs[i].Paths[0].Hops...)
			}
			c.Observed["admin"] = firewall.Unread("admin", "no rights", delivers)
		}
	}
	missing := func(c *plan.Case) { c.VMs[0].Missing = []string{"a network interface could not be read"} }
	everything := rule("lock of everything", firewall.Deny, web.VM)
	everything.Protocol, everything.First, everything.Last = 0, 0, 65535
	lock := rule("lock", firewall.Deny, web.VM)
	for name, edit := range map[string]func(*plan.Case){"unread": hidden(false), "unread, may deliver": hidden(true), "missing": missing} {
		wide := situation{
			before: []firewall.LayerRule{lock}, after: []firewall.LayerRule{rule("grant", firewall.Allow, web.VM), lock},
			changes: []plan.Change{change(plan.Open, web, me)},
			want:    firewall.Wants{{Door: web, Locked: true, Open: []firewall.Opening{me}}}, edit: edit,
		}
		if got := wide.verify(); !slices.ContainsFunc(got, func(r plan.Refusal) bool { return strings.Contains(r.Why, "nothing allows that") }) {
			t.Errorf("%s: opening for everybody under a grant for one: %v", name, got)
		}
		greedy := situation{
			before: nil, after: []firewall.LayerRule{everything},
			changes: []plan.Change{change(plan.Lock, web, firewall.Opening{})},
			want:    firewall.Wants{{Door: web, Locked: true}}, edit: edit,
		}
		if got := greedy.verify(); !slices.ContainsFunc(got, func(r plan.Refusal) bool { return strings.Contains(r.Why, "not a just-in-time port") }) {
			t.Errorf("%s: a lock that takes every port: %v", name, got)
		}
		exact := situation{
			before: []firewall.LayerRule{lock}, after: []firewall.LayerRule{rule("grant", firewall.Allow, web.VM, "203.0.113.7"), lock},
			changes: []plan.Change{change(plan.Open, web, me)},
			want:    firewall.Wants{{Door: web, Locked: true, Open: []firewall.Opening{me}}}, edit: edit,
		}
		if got := exact.verify(); name != "missing" && len(got) > 0 {
			t.Errorf("%s: an opening for who asked: %v", name, got)
		}
	}
}
