package nsg_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
)

// alone is a cloud in which web-1 has one address.
func alone(rules ...string) *cloud {
	c := newCloud(rules...)
	c.reading.Attachments = []dialect.Attachment{attached(web1, "10.0.0.4"), attached(web2, "10.0.0.5")}
	return c
}

// numbers returns the inbound rules by number: "200 web", and of ours only what
// sort they are of.
func numbers(c *cloud) []string {
	var out []string
	for _, r := range parse(c.text).Rules {
		name := r.Name
		if rest, ours := strings.CutPrefix(name, "sesame-main-"); ours {
			sort, rest, _ := strings.Cut(rest, "-")
			part := strings.Split(rest, "-")
			name = sort + " " + part[len(part)-3]
			if strings.Contains(r.Description, "exempt") {
				name = "exempt " + part[len(part)-3]
			}
		}
		out = append(out, fmt.Sprintf("%4d %s", r.Priority, name))
	}
	slices.Sort(out)
	return out
}

func stands(t *testing.T, c *cloud, want ...string) {
	t.Helper()
	want = slices.Clone(want)
	for i := range want {
		n, rest, _ := strings.Cut(want[i], " ")
		want[i] = fmt.Sprintf("%4s %s", n, rest)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, numbers(c), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the rules stand (-want +got):\n%s", diff)
	}
}

// refuses checks that the plan refuses one thing, naming what is in the way.
func refuses(t *testing.T, p plan.Plan, source bool, names ...string) {
	t.Helper()
	for _, name := range names {
		if len(p.Refused) != 1 || p.Refused[0].From.IsValid() != source || !strings.Contains(p.Refused[0].Why, name) {
			t.Errorf("want one refusal (of a source: %v) that names %q, got\n%v", source, name, p)
		}
	}
}

var (
	alice = grant("203.0.113.7/32", "g-1")
	bob   = grant("203.0.113.9/32", "g-2")
)

func TestPlacement(t *testing.T) {
	everything := locked(ssh, exempt("192.0.2.0/24"), alice, bob)
	for name, x := range map[string]struct {
		rules []string
		want  []string
	}{
		"windows": {nil, []string{"2999 open 22", "2998 open 22", "3499 exempt 22", "4096 lock 22"}},
		"taken numbers, in one direction": {
			[]string{
				foreign("a", 4096, "Allow", "80"), foreign("b", 2999, "Deny", "80"),
				changed(foreign("c", 4095, "Allow", "*"), "direction", "Outbound"),
			},
			[]string{"4096 a", "2999 b", "4095 c", "2998 open 22", "2997 open 22", "3499 exempt 22", "4095 lock 22"},
		},
		"above a foreign Allow": {
			[]string{foreign("admin", 300, "Allow", "20-30"), foreign("taken", 299, "Allow", "80")},
			[]string{"300 admin", "299 taken", "298 lock 22", "297 exempt 22", "296 open 22", "295 open 22"},
		},
		"above a foreign Allow in a window": {
			[]string{foreign("admin", 3600, "Allow", "*", "198.51.100.0/24")},
			[]string{"3600 admin", "3599 lock 22", "3499 exempt 22", "2999 open 22", "2998 open 22"},
		},
		"of other ports, protocols, families, addresses and directions nothing is said": {
			[]string{
				foreign("port", 100, "Allow", "443"), changed(foreign("udp", 101, "Allow", "*"), "protocol", "Udp"),
				foreign("six", 102, "Allow", "*", "2001:db8::/32"), changed(foreign("other", 103, "Allow", "*"), "destinationAddressPrefix", "10.0.0.5"),
				changed(foreign("out", 104, "Allow", "*"), "direction", "outbound"),
			},
			[]string{"100 port", "101 udp", "102 six", "103 other", "104 out", "2999 open 22", "2998 open 22", "3499 exempt 22", "4096 lock 22"},
		},
		"an Allow behind a Deny lets nobody in": {
			[]string{foreign("never", 100, "Deny", "*", "198.51.0.0/16"), foreign("dead", 101, "Allow", "22", "198.51.100.0/24")},
			[]string{"100 never", "101 dead", "2999 open 22", "2998 open 22", "3499 exempt 22", "4096 lock 22"},
		},
		"a Deny for some source ports closes nothing": {
			[]string{changed(foreign("half", 200, "Deny", "*", "198.51.0.0/16"), "sourcePortRange", "1-1023"), foreign("alive", 201, "Allow", "22", "198.51.100.0/24")},
			[]string{"200 half", "201 alive", "199 lock 22", "198 exempt 22", "197 open 22", "196 open 22"},
		},
		"what may let somebody in": {
			[]string{foreign("tag", 210, "Allow", "22", "Storage.WestUS"), changed(foreign("odd", 209, "Allow", "22"), "sourcePortRange", "odd")},
			[]string{"210 tag", "209 odd", "208 lock 22", "207 exempt 22", "206 open 22", "205 open 22"},
		},
		"people's numbers only when nothing else is left": {
			[]string{foreign("admin", 202, "Allow", "22")},
			[]string{"202 admin", "201 lock 22", "200 exempt 22", "199 open 22", "198 open 22"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := alone(x.rules...)
			p := shown(t, c, everything)
			if len(p.Refused) > 0 {
				t.Errorf("refused:\n%v", p)
			}
			stands(t, c, x.want...)
			if _, p := compiled(t, c, everything); !p.Empty() {
				t.Errorf("a second plan:\n%v", p)
			}
		})
	}
}

func TestWindowsAreReserved(t *testing.T) {
	c := alone(foreign("admin", 3550, "Allow", "22"))
	c.reading.Windows = nsg.Windows{Grants: nsg.Window{First: 300, Last: 301}, Exempt: nsg.Window{First: 302, Last: 303}, Locks: nsg.Window{First: 304, Last: 305}}
	p := shown(t, c, locked(ssh, exempt("192.0.2.0/24"), alice, bob, grant("203.0.113.10/32", "g-3")), locked(rdp))
	refuses(t, p, true, "no free number in nsg-1 above the lock (305)")
	stands(t, c, "300 open 22", "301 open 22", "303 exempt 22", "305 lock 22", "304 lock 3389", "3550 admin")
	// Rules that stand outside when the windows are drawn move, closings make room.
	c.reading.Windows.Grants = nsg.Window{First: 200, Last: 201}
	shown(t, c, locked(ssh, grant("203.0.113.10/32", "g-3"), alice))
	stands(t, c, "200 open 22", "201 open 22", "305 lock 22", "3550 admin")
	c.reading.Windows.Grants = nsg.Window{First: 201, Last: 201}
	refuses(t, shown(t, c, locked(ssh, bob, grant("203.0.113.10/32", "g-3"))), true, "no free number")
	stands(t, c, "201 open 22", "305 lock 22", "3550 admin")
}

// TestNumberOfAClosingRule: a rule that moves does not take the number of one that
// goes, for its own write may come first.
func TestNumberOfAClosingRule(t *testing.T) {
	c := alone()
	c.conditional = false
	c.reading.Windows = nsg.Windows{Grants: nsg.Window{First: 300, Last: 301}, Exempt: nsg.Window{First: 302, Last: 303}, Locks: nsg.Window{First: 304, Last: 305}}
	shown(t, c, locked(ssh, bob))
	shown(t, c, locked(ssh, alice, bob))
	c.reading.Windows.Grants.First = 301
	refuses(t, shown(t, c, locked(ssh, alice)), true, "no free number")
	shown(t, c, locked(ssh, alice))
	stands(t, c, "301 open 22", "305 lock 22")
}

// TestRankedTooHigh: an opening that somebody moved up outranks what it should not;
// putting it back is a close.
func TestRankedTooHigh(t *testing.T) {
	c := alone()
	c.reading.Windows = nsg.Windows{Grants: nsg.Window{First: 300, Last: 301}, Exempt: nsg.Window{First: 302, Last: 303}, Locks: nsg.Window{First: 304, Last: 305}}
	shown(t, c, locked(ssh, alice))
	c.edit(t, func(rules []string) []string {
		for i, r := range rules {
			if strings.HasPrefix(nameIn(r), "sesame-main-open") {
				rules[i] = changed(r, "priority", 150)
			}
		}
		return rules
	})
	p := shown(t, c, locked(ssh, alice))
	if len(p.Changes) != 1 || p.Changes[0].Op != plan.Close {
		t.Errorf("putting it back is\n%v", p)
	}
	stands(t, c, "301 open 22", "305 lock 22")
	// To be extended and to be moved down at once is an extension.
	c.reading.Windows.Grants = nsg.Window{First: 302, Last: 302}
	longer := alice
	longer.Until = longer.Until.AddDate(0, 0, 1)
	if p := shown(t, c, locked(ssh, longer)); len(p.Changes) != 1 || p.Changes[0].Op != plan.Open {
		t.Errorf("extending is\n%v", p)
	}
	// To be shortened and to be moved up is both, in this order.
	c.reading.Windows.Grants = nsg.Window{First: 300, Last: 300}
	if p := shown(t, c, locked(ssh, alice)); len(p.Changes) != 2 || p.Changes[0].Op != plan.Close || p.Changes[1].Op != plan.Open {
		t.Errorf("shortening is\n%v", p)
	}
	stands(t, c, "300 open 22", "305 lock 22")
}

func TestForeignDenies(t *testing.T) {
	deny := foreign("Corp-Deny", 150, "Deny", "*")
	c := alone(deny)
	refuses(t, shown(t, c, locked(ssh, alice)), true, "the foreign rule Corp-Deny (150) in nsg-1 denies 203.0.113.7, and may not be outranked")
	stands(t, c, "150 Corp-Deny", "4096 lock 22")

	c = alone(deny, foreign("free", 149, "Allow", "80"))
	c.reading.MayOutrank = []string{"corp-DENY"}
	shown(t, c, locked(ssh, alice, exempt("192.0.2.0/24")))
	stands(t, c, "150 Corp-Deny", "149 free", "148 exempt 22", "147 open 22", "4096 lock 22")

	// Listed or not, a Deny for some is no catch-all.
	c = alone(foreign("some", 150, "Deny", "*", "203.0.113.0/24"))
	c.reading.MayOutrank = []string{"some"}
	refuses(t, shown(t, c, locked(ssh, alice, grant("198.51.100.7/32", "g-2"))), true, "some (150)")
	stands(t, c, "150 some", "2999 open 22", "4096 lock 22")

	// Part of a source is a part too much.
	c = alone(foreign("some", 150, "Deny", "22", "203.0.113.128/25"))
	refuses(t, shown(t, c, locked(ssh, grant("203.0.113.0/24", "g-1"))), true, "some (150)")

	// Who is let in before the Deny is not kept out by it.
	c = alone(foreign("office", 140, "Allow", "22", "203.0.113.0/24"), deny)
	if p := shown(t, c, locked(ssh, alice)); len(p.Refused) > 0 {
		t.Errorf("refused:\n%v", p)
	}

	// What may deny is no proof; but it is not outranked either.
	c = alone(foreign("cloud", 2990, "Deny", "*", "AzureCloud"), foreign("cloud2", 90+10, "Deny", "*", "AzureCloud"))
	if p := shown(t, c, locked(ssh, alice)); len(p.Refused) > 0 {
		t.Errorf("refused:\n%v", p)
	}
	stands(t, c, "2990 cloud", "100 cloud2", "2999 open 22", "4096 lock 22")
	c = alone(foreign("cloud", 2990, "Deny", "*", "AzureCloud"), foreign("admin", 2989, "Allow", "22", "198.51.100.0/24"))
	refuses(t, shown(t, c, locked(ssh, alice)), true, "cloud (2990), which may deny 203.0.113.7 and may not be outranked, and the lock (2988)")
	// An opening that is there already goes below what may deny, too.
	c = alone()
	shown(t, c, locked(ssh, alice))
	c.edit(t, func(rules []string) []string { return append(rules, foreign("cloud", 3100, "Deny", "*", "AzureCloud")) })
	shown(t, c, locked(ssh, alice))
	stands(t, c, "3100 cloud", "4095 open 22", "4096 lock 22")
	c = alone(foreign("cloud", 2990, "Deny", "*", "AzureCloud"), foreign("admin", 2989, "Allow", "22", "198.51.100.0/24"))
	// What is known to be about others is not in the way.
	view := *network
	view.Tags = map[string][]netip.Prefix{"azurecloud": {prefix("13.64.0.0/11")}}
	c.reading.Attachments[0].View = &view
	if p := shown(t, c, locked(ssh, alice)); len(p.Refused) > 0 {
		t.Errorf("refused:\n%v", p)
	}
}

// TestC10NoFreeNumber: a lock that has no number is refused with the rule named,
// nothing is half done, and what is there stays.
func TestC10NoFreeNumber(t *testing.T) {
	top := foreign("top", 100, "Allow", "22", "198.51.100.0/24")
	c := alone(top)
	p := shown(t, c, locked(ssh, alice), locked(rdp, bob))
	refuses(t, p, false, "no free number in nsg-1 above the foreign rule top (100)")
	stands(t, c, "100 top", "2999 open 3389", "4096 lock 3389")
	// A lock that is shadowed later and cannot move up stays, and so do its
	// openings; closing goes on.
	c = alone()
	want := locked(ssh, alice, bob)
	shown(t, c, want)
	c.edit(t, func(rules []string) []string { return append(rules, top) })
	refuses(t, shown(t, c, want), false, "top (100)")
	stands(t, c, "100 top", "2999 open 22", "2998 open 22", "4096 lock 22")
	if p := shown(t, c, locked(ssh, bob, grant("203.0.113.77/32", "g-7"))); !p.Has(plan.Close) || p.Has(plan.Open) {
		t.Errorf("a door that is held:\n%v", p)
	}
	stands(t, c, "100 top", "2998 open 22", "4096 lock 22")
	// What is not understood may deny as well as allow, and neither is outranked.
	c = alone(changed(foreign("odd", 209, "Allow", "22"), "access", "Sometimes"))
	refuses(t, shown(t, c, locked(ssh, alice)), true, "odd (209), which may deny 203.0.113.7 and may not be outranked, and the lock (208)")
	// A rule whose place nobody knows may stand before everything.
	c = alone(changed(foreign("where", 500, "Allow", "22"), "priority", "500"))
	s, p := compiled(t, c, locked(ssh))
	refuses(t, p, false, "where (0)")
	if r := s.Layer.Rules[0]; r.Name != `0 "where"` || r.Action == firewall.Deny || !r.Maybe {
		t.Errorf("the layer begins with %+v", r)
	}
}

func TestShadowedLockMovesUp(t *testing.T) {
	for _, conditional := range []bool{true, false} {
		c := alone()
		c.conditional = conditional
		want := locked(ssh, exempt("192.0.2.0/24"), alice)
		shown(t, c, want)
		c.edit(t, func(rules []string) []string { return append(rules, foreign("shadow", 200, "Allow", "*")) })
		s := c.read().Snapshot(c.now)
		before := c.packets(c.text)
		c.history = nil
		p := shown(t, c, want)
		stands(t, c, "200 shadow", "199 lock 22", "198 exempt 22", "197 open 22")
		for i, text := range c.history {
			for _, a := range []string{"192.0.2.9", "203.0.113.7"} {
				if from := netip.MustParseAddr(a); before(ssh, from) && !c.packets(text)(ssh, from) {
					t.Errorf("after write %d %s is cut:\n%v", i+1, a, p)
				}
			}
		}
		if !strings.Contains(s.Layer.Rules[0].Name, "shadow") {
			t.Errorf("the layer begins with %+v", s.Layer.Rules[0])
		}
	}
}

// TestSharedAddress: an address that two IP configurations have, in networks that
// overlap, is not locked for one of them.
func TestSharedAddress(t *testing.T) {
	c := alone()
	c.reading.Attachments = append(c.reading.Attachments, attached("/subscriptions/s/vm/twin", "10.0.0.4"))
	p := shown(t, c, locked(ssh, alice), locked(ssh2))
	refuses(t, p, false, "10.0.0.4 is the address of /subscriptions/s/vm/twin")
	refuses(t, p, false, "give one of them a network security group of its own")
	stands(t, c, "4096 lock 22")
	if c.packets(c.text)(ssh2, netip.MustParseAddr("192.0.2.9")) {
		t.Error("the other VM is not locked")
	}
}

func TestSeveralInterfacesAndFamilies(t *testing.T) {
	c := alone()
	c.reading.Attachments = []dialect.Attachment{attached(web1, "10.0.0.4"), attached(web1, "10.0.1.4"), attached(web1, "fd00::4"), attached(web2, "10.0.0.5")}
	p := shown(t, c, locked(ssh, alice, grant("2001:db8::7/128", "g-2")), locked(ssh2, grant("2001:db8::8/128", "g-3")))
	refuses(t, p, true, "Web_2 has no address of that family behind nsg-1")
	stands(t, c, "4096 lock 22", "4095 lock 22", "4094 lock 22", "4093 lock 22", "2999 open 22", "2998 open 22", "2997 open 22")
	if w, _ := c.read().Snapshot(c.now).Shown().Of(ssh); len(w.Open) != 2 {
		t.Errorf("two interfaces show %v", w)
	}
	test := tableOf(c.text)
	for to, froms := range map[string][]string{"10.0.0.4": {"203.0.113.7", "192.0.2.9"}, "10.0.1.4": {"203.0.113.7", "192.0.2.9"}, "fd00::4": {"2001:db8::7", "fd00::5"}} {
		for i, from := range froms {
			if got := test.admits(netip.MustParseAddr(to), ssh, netip.MustParseAddr(from)); got != (i == 0) {
				t.Errorf("%s at %s: admitted %v", from, to, got)
			}
		}
	}
	c.reading.Attachments = c.reading.Attachments[3:]
	refuses(t, shown(t, c, locked(ssh2), locked(firewall.Door{VM: "/other/vm/db", Protocol: firewall.TCP, Port: 22})), false, "no IP configuration of /other/vm/db is behind nsg-1")
}

// front puts web-1 behind two groups, this one at the interface.
func front(inner, outer *cloud) {
	const other = "/subscriptions/0b1f6471/resourceGroups/RG/providers/Microsoft.Network/networkSecurityGroups/Subnet-NSG"
	at := func(c *cloud, id string) dialect.Attachment {
		a := attached(web1, "10.0.0.4")
		a.Interface, a.Subnet = parse(inner.text), parse(strings.Replace(outer.text, `"id":"`+group+`"`, `"id":"`+other+`"`, 1))
		c.text = strings.Replace(c.text, `"id":"`+group+`"`, `"id":"`+id+`"`, 1)
		return a
	}
	inner.reading.Attachments = []dialect.Attachment{at(inner, group)}
	outer.reading.Attachments = []dialect.Attachment{at(outer, other)}
}

func TestOneOfTwoGroupsLocks(t *testing.T) {
	top := foreign("top", 100, "Allow", "22")
	for name, x := range map[string]struct {
		inner, outer []string
		want         [2][]string
		refused      bool
	}{
		"the interface's":     {nil, nil, [2][]string{{"4096 lock 22", "2999 open 22"}, {"2999 open 22"}}, false},
		"else the subnet's":   {[]string{top}, nil, [2][]string{{"100 top", "2999 open 22"}, {"4096 lock 22", "2999 open 22"}}, false},
		"else it is refused":  {[]string{top}, []string{top}, [2][]string{{"100 top"}, {"100 top"}}, true},
		"not for the other's": {nil, []string{top}, [2][]string{{"4096 lock 22", "2999 open 22"}, {"100 top", "2999 open 22"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inner, outer := alone(x.inner...), alone(x.outer...)
			want := locked(ssh, alice)
			for range 3 {
				front(inner, outer)
				for i, c := range []*cloud{inner, outer} {
					s, p := compiled(t, c, want)
					if err := c.Apply(t.Context(), s, p); err != nil {
						t.Fatal(err)
					}
					if (len(p.Refused) > 0) != x.refused {
						t.Errorf("group %d: refused %v:\n%v", i, x.refused, p)
					}
				}
			}
			stands(t, inner, x.want[0]...)
			stands(t, outer, x.want[1]...)
			// Both show the lock, wherever it stands, so that nobody misses it.
			front(inner, outer)
			for i, c := range []*cloud{inner, outer} {
				w, _ := c.read().Snapshot(c.now).Shown().Of(ssh)
				if w.Locked == x.refused {
					t.Errorf("group %d shows %v", i, w)
				}
				if _, p := compiled(t, c, want); !p.Empty() {
					t.Errorf("group %d: %v", i, p)
				}
				shown(t, c)
				stands(t, c, foreigners(x.want[i])...)
			}
		})
	}
}

func foreigners(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return !strings.HasSuffix(x, "top") })
}

func TestALockStaysInItsSeat(t *testing.T) {
	top := foreign("top", 100, "Allow", "22")
	inner, outer := alone(top), alone()
	want := locked(ssh, alice)
	pass := func() {
		t.Helper()
		for _, c := range []*cloud{inner, outer} {
			front(inner, outer)
			s, p := compiled(t, c, want)
			if err := c.Apply(t.Context(), s, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass()
	// When there is room at the interface again, the lock does not move.
	inner.edit(t, func([]string) []string { return []string{foreign("low", 1000, "Allow", "22")} })
	pass()
	stands(t, inner, "1000 low", "2999 open 22")
	stands(t, outer, "4096 lock 22", "2999 open 22")
	// When it is shadowed at the subnet for good, the interface locks, and the
	// lock that was is no harm.
	outer.edit(t, func(rules []string) []string { return append(rules, top) })
	pass()
	stands(t, inner, "999 lock 22", "998 open 22", "1000 low")
	stands(t, outer, "100 top", "4096 lock 22", "2999 open 22")
	want = locked(ssh)
	pass()
	stands(t, outer, "100 top", "4096 lock 22")
	want = firewall.Want{Door: ssh}
	pass()
	stands(t, inner, "1000 low")
	stands(t, outer, "100 top")
}

func TestSeat(t *testing.T) {
	full, free := parse(document(1, foreign("top", 100, "Allow", "22"))), parse(document(1))
	full.ID = "/full"
	for name, x := range map[string]struct {
		a    dialect.Attachment
		want nsg.Seat
		why  string
	}{
		"both free":                {dialect.Attachment{Interface: free, Subnet: full}, nsg.AtInterface, ""},
		"the same twice":           {dialect.Attachment{Interface: free, Subnet: free}, nsg.AtInterface, ""},
		"the same twice, full":     {dialect.Attachment{Interface: full, Subnet: full}, nsg.Nowhere, "no free number in full above the foreign rule top (100)"},
		"interface full":           {dialect.Attachment{Interface: full, Subnet: free}, nsg.AtSubnet, ""},
		"subnet only":              {dialect.Attachment{Subnet: free}, nsg.AtSubnet, ""},
		"interface only":           {dialect.Attachment{Interface: free}, nsg.AtInterface, ""},
		"none":                     {dialect.Attachment{}, nsg.Nowhere, "no network security group stands in front of ip"},
		"subnet full":              {dialect.Attachment{Subnet: full}, nsg.Nowhere, "top (100)"},
		"one is there, and full":   {dialect.Attachment{Interface: full}, nsg.Nowhere, "top (100)"},
		"both are there, and full": {dialect.Attachment{Interface: full, Subnet: full}, nsg.Nowhere, "top (100)"},
	} {
		x.a.ID, x.a.VM, x.a.Addresses = "ip", web1, []netip.Addr{netip.MustParseAddr("10.0.0.4")}
		r := nsg.Reading{Reading: dialect.Reading{Group: free, Keys: keys}}
		if got, why := r.Seat(ssh, x.a); got != x.want || !strings.Contains(why, x.why) || (why == "") != (x.why == "") {
			t.Errorf("%s: %v, %q; want %v, %q", name, got, why, x.want, x.why)
		}
	}
}

// TestMoves: an address that goes to another VM carries neither lock nor opening
// with it. The stale opening goes at once, the stale lock last.
func TestMoves(t *testing.T) {
	c := alone()
	c.reading.Settled = false
	web := locked(ssh, alice)
	shown(t, c, web)
	// web-1 gets another address; nobody has the old one.
	c.reading.Attachments[0] = attached(web1, "10.0.0.44")
	c.reading.Attachments[0].ID = attached(web1, "10.0.0.4").ID
	p := shown(t, c, web)
	if p.Changes[0].Op != plan.Close || p.Changes[0].Door != ssh || !p.Has(plan.Lock, plan.Open) || p.Has(plan.Drop) {
		t.Errorf("web-1 moves:\n%v", p)
	}
	stands(t, c, "2998 open 22", "4096 lock 22", "4095 lock 22")
	if s, p := compiled(t, c, web); !p.Empty() || len(s.Shown()) != 1 {
		t.Errorf("before the inventory settles:\n%v%v", p, s.Shown())
	}
	c.reading.Settled = true
	if p := shown(t, c, web); len(p.Changes) != 1 || p.Changes[0].Op != plan.Drop {
		t.Errorf("the stale lock goes last:\n%v", p)
	}
	stands(t, c, "2998 open 22", "4095 lock 22")

	// However settled, not before the new lock was read back.
	c.reading.Attachments[0].Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.45")}
	if p := shown(t, c, web); !p.Has(plan.Lock) || p.Has(plan.Drop) {
		t.Errorf("web-1 moves again:\n%v", p)
	}
	if p := shown(t, c, web); len(p.Changes) != 1 || p.Changes[0].Op != plan.Drop {
		t.Errorf("the stale lock goes last again:\n%v", p)
	}

	// The address goes to web-2, and web-1 goes away.
	c = alone()
	c.reading.Settled = false
	shown(t, c, web)
	c.reading.Attachments = []dialect.Attachment{attached(web2, "10.0.0.4")}
	c.reading.Machines = []firewall.VMID{web1, web2}
	s := c.read().Snapshot(c.now)
	if w, _ := s.Shown().Of(ssh2); w.Locked || len(w.Open) > 0 {
		t.Errorf("web-2 is given what was web-1's: %v", s.Owned)
	}
	if w, _ := s.Shown().Of(ssh); !w.Locked || len(w.Open) > 0 {
		t.Errorf("web-1's lock is forgotten: %v", s.Owned)
	}
	p = shown(t, c, locked(ssh)) // sticky, as nobody disabled it
	if len(p.Changes) != 1 || p.Changes[0].Op != plan.Close || p.Changes[0].Opening.From != alice.From {
		t.Errorf("the stale opening goes:\n%v", p)
	}
	if c.reading.Settled = true; len(shown(t, c, locked(ssh)).Changes) != 1 {
		t.Error("the stale lock keeps locking another VM")
	}
	stands(t, c)
	// An orphan lock on an address that nobody has stays until it is disabled.
	c = alone()
	shown(t, c, web)
	c.reading.Attachments = c.reading.Attachments[1:]
	c.reading.Machines = []firewall.VMID{web1, web2}
	shown(t, c, locked(ssh))
	stands(t, c, "4096 lock 22")
	shown(t, c)
	stands(t, c)
}

func TestAddressesAreTheVMsOwn(t *testing.T) {
	c := alone()
	shown(t, c, locked(ssh, alice))
	for _, r := range rulesIn(c.text) {
		if w := wireOf(r); w.Properties.To != "10.0.0.4" || len(w.Properties.Tos) > 0 {
			t.Errorf("%s is for %s", w.Name, w.Properties.To)
		}
	}
	if s, p := compiled(t, c, firewall.Want{Door: ssh2, Open: []firewall.Opening{bob}}, locked(ssh, alice)); !p.Empty() {
		t.Errorf("a door that is not locked is opened:\n%v%v", p, s.Owned)
	}
	if _, err := nsg.Compile(provider.Snapshot{Raw: 7}, nil); err == nil {
		t.Error("a snapshot of something else")
	}
}
