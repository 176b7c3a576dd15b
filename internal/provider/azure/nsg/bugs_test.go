package nsg_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
)

// Bugs that other programs had with network security groups, each by what went
// wrong there. Those of the document are tested with package resource (opaque
// rules, partial models), those of Azure's answers in TestAnswers (lost updates,
// superseded operations), the others here.

// Removing one service from a shared Deny opened another: every lock follows from
// the wants alone, and is nobody else's.
func TestBug2EveryDoorHasItsOwnLock(t *testing.T) {
	c := alone()
	shown(t, c, locked(ssh), locked(rdp), locked(ssh2))
	for _, gone := range []firewall.Door{ssh, rdp} {
		p := shown(t, c, slices.DeleteFunc([]firewall.Want{locked(rdp), locked(ssh2)}, func(w firewall.Want) bool { return w.Door == gone })...)
		if len(p.Changes) != 1 || p.Changes[0].Op != plan.Drop {
			t.Errorf("giving back %v is\n%v", gone, p)
		}
		if c.packets(c.text)(ssh2, netip.MustParseAddr("10.0.0.9")) {
			t.Errorf("giving back %v opens %v to its network", gone, ssh2)
		}
	}
}

// Destinations kept the addresses of machines that were gone: TestMoves has the
// long story.
func TestBug3DestinationsFollowTheInventory(t *testing.T) {
	c := alone()
	shown(t, c, locked(ssh, alice))
	c.reading.Attachments = []dialect.Attachment{attached(web2, "10.0.0.4")}
	p := shown(t, c, locked(ssh2))
	if p.Changes[0].Op != plan.Close || c.packets(c.text)(ssh2, alice.From.Addr()) {
		t.Errorf("who had access to another VM has it to this one:\n%v", p)
	}
}

// One rule served two, and went with the first (also bugs 20 and 21).
func TestBug4SharedUntilTheLastIsGone(t *testing.T) {
	c := alone()
	both, one := alice, alice
	both.Grants, one.Grants = firewall.HoldersOf("g-1", "g-2"), "g-2"
	shown(t, c, locked(ssh, both))
	if n := strings.Count(c.text, `"sesame-main-open-`); n != 1 {
		t.Errorf("%d rules for one source", n)
	}
	shown(t, c, locked(ssh, one))
	if !c.packets(c.text)(ssh, alice.From.Addr()) {
		t.Error("the rule went with its first grant")
	}
	shown(t, c, locked(ssh))
	if c.packets(c.text)(ssh, alice.From.Addr()) {
		t.Error("the rule did not go with its last grant")
	}
}

// Rules were matched by their names only: TestMarkIsBoundToItsRule changes every
// other field of an opening, this of a lock.
func TestBug6EveryFieldIsCompared(t *testing.T) {
	for name, change := range map[string][]any{
		"access": {"access", "Allow"}, "source": {"sourceAddressPrefix", "203.0.113.0/24"}, "destination": {"destinationAddressPrefix", "10.0.0.5"},
		"ports": {"destinationPortRange", "23"}, "protocol": {"protocol", "Udp"}, "source ports": {"sourcePortRange", "1-1023"},
		"direction": {"direction", "Outbound"}, "unknown": {"protocol", "Quic"}, "group": {"destinationAddressPrefix", nil, "destinationApplicationSecurityGroups", []any{map[string]any{"id": "/a"}}},
	} {
		c := alone()
		shown(t, c, locked(ssh, alice))
		c.edit(t, func(rules []string) []string {
			for i, r := range rules {
				if strings.HasPrefix(nameIn(r), "sesame-main-lock") {
					rules[i] = changed(r, change...)
				}
			}
			return rules
		})
		if o, _ := owned(t, c, "lock"); o.Wrong == "" || o.Door != ssh {
			t.Errorf("%s: nothing is wrong with %v", name, o)
		}
		shown(t, c, locked(ssh, alice))
		if _, p := compiled(t, c, locked(ssh, alice)); !p.Empty() || c.packets(c.text)(ssh, netip.MustParseAddr("10.0.0.9")) {
			t.Errorf("%s: it is not repaired:\n%v", name, p)
		}
	}
}

// What Azure fills in, leaves out and spells in its own way was written again at
// every pass (also bug 8): both twins, null and an empty list, the case of words.
func TestBug7AnotherLookIsNoChange(t *testing.T) {
	want := []firewall.Want{locked(ssh, alice, exempt("192.0.2.0/24"))}
	for name, change := range map[string][]any{
		"empty lists": {
			"sourceAddressPrefixes",
			[]any{},
			"destinationAddressPrefixes",
			[]any{},
			"sourcePortRanges",
			[]any{},
			"destinationPortRanges",
			[]any{},
			"sourceApplicationSecurityGroups",
			[]any{},
			"destinationApplicationSecurityGroups",
			[]any{},
		},
		"null":             {"sourceAddressPrefixes", json.RawMessage("null"), "destinationAddressPrefixes", json.RawMessage("null"), "sourcePortRanges", json.RawMessage("null")},
		"upper case":       {"protocol", "TCP", "direction", "INBOUND"},
		"lower case":       {"protocol", "tcp", "direction", "inbound"},
		"the plural twins": {"destinationPortRange", "", "destinationPortRanges", []any{"22"}, "destinationAddressPrefix", "", "destinationAddressPrefixes", []any{"10.0.0.4"}},
		"a state":          {"provisioningState", "Succeeded", "zzz", []any{nil}},
	} {
		c := alone()
		shown(t, c, want...)
		c.edit(t, func(rules []string) []string {
			for i, r := range rules {
				rules[i] = changed(r, change...)
			}
			return rules
		})
		if _, p := compiled(t, c, want...); !p.Empty() {
			t.Errorf("%s: written again:\n%v", name, p)
		}
	}
}

// A whole PUT reset other controllers' rules (also bugs 11 and 12): what others
// wrote since the reading is neither lost nor overwritten.
func TestBug9NothingIsWrittenOverANewerVersion(t *testing.T) {
	c := alone(foreign("a", 500, "Allow", "80"))
	s, p := compiled(t, c, locked(ssh, alice))
	writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now)
	if err != nil || len(writes) != 1 {
		t.Fatal(calls(writes), err)
	}
	c.edit(t, func(rules []string) []string { return append(rules, foreign("b", 501, "Allow", "81")) })
	if a := c.send(writes[0]); a.Status != 412 || !strings.Contains(c.text, `"b"`) {
		t.Errorf("the answer is %d, the group\n%v", a.Status, c.read())
	}
	// A snapshot whose version was exchanged is not taken for a newer document.
	s.Version = c.read().Group.ETag
	if writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now); err != nil || strings.Contains(calls(writes), "if") {
		t.Errorf("%s, %v", calls(writes), err)
	}
}

// Rules that nobody wanted any more stayed: whatever has our name goes, known or
// not.
func TestBug10WhatIsNotWantedGoes(t *testing.T) {
	for name, r := range map[string]string{
		"a name nobody gave":  foreign("sesame-main-something", 700, "Allow", "22"),
		"a short name":        foreign("sesame-main-open-x", 700, "Allow", "22"),
		"an opaque rule":      changed(foreign("sesame-main-open-web-1-22-tcp-0", 700, "Allow", "22"), "protocol", "Quic"),
		"a VM that is gone":   foreign("sesame-main-open-old-22-tcp-0123456789abcdef", 700, "Allow", "22"),
		"outbound":            changed(foreign("sesame-main-open-web-1-22-tcp-0", 700, "Allow", "22"), "direction", "Outbound"),
		"a Deny of that name": foreign("sesame-main-open-web-1-22-tcp-0123456789abcdef", 700, "Deny", "22"),
	} {
		c := alone(foreign("a", 500, "Allow", "80"), r)
		p := shown(t, c, locked(rdp))
		if p.Changes[0].Op != plan.Close || p.Changes[0].Door.VM == "" {
			t.Errorf("%s: the plan is\n%v", name, p)
		}
		stands(t, c, "500 a", "4096 lock 3389")
	}
	// The names of others only begin alike.
	c := alone(foreign("sesame-mainframe", 700, "Allow", "80"), foreign("sesame-main2-open-web-1-22-tcp-0", 701, "Allow", "80"))
	shown(t, c, locked(ssh))
	shown(t, c)
	stands(t, c, "700 sesame-mainframe", "701 sesame-main2-open-web-1-22-tcp-0")
}

// Parallel writes met each other: everything that waits is one write.
func TestBug14EverythingIsOneWrite(t *testing.T) {
	c := newCloud()
	var wants []firewall.Want
	c.reading.Attachments = nil
	for i := range 9 {
		vm := firewall.VMID("/vm/vm-" + string(rune('a'+i)))
		c.reading.Attachments = append(c.reading.Attachments, attached(vm, netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}).String()))
		w := locked(firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 22})
		for j := range 10 {
			o := alice
			o.From = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), byte(j)}), 32)
			w.Open = append(w.Open, o)
		}
		wants = append(wants, w)
	}
	shown(t, c, wants...)
	if len(c.writes) != 1 || len(rulesIn(c.text)) != 99 {
		t.Errorf("%d writes for %d rules", len(c.writes), len(rulesIn(c.text)))
	}
	shown(t, c)
	if len(c.writes) != 2 || len(rulesIn(c.text)) != 0 {
		t.Errorf("%d writes leave %d rules", len(c.writes), len(rulesIn(c.text)))
	}
}

// Two rules could not swap their numbers: a rule only moves to a number that is
// free while it moves, whether or not the plan is one write.
func TestBug16NumbersAreNeverSwapped(t *testing.T) {
	for _, conditional := range []bool{true, false} {
		c := alone()
		c.conditional = conditional
		shown(t, c, locked(ssh, alice, bob))
		c.edit(t, func(rules []string) []string {
			a, b := wireOf(rules[0]), wireOf(rules[1])
			rules[0], rules[1] = changed(rules[0], "priority", b.Properties.Priority), changed(rules[1], "priority", a.Properties.Priority)
			return rules
		})
		shown(t, c, locked(ssh, alice, bob)) // the API refuses a number that is there twice
		if s, p := compiled(t, c, locked(ssh, alice, bob)); !p.Empty() {
			t.Errorf("it is not repaired:\n%v%v", p, s.Owned)
		}
	}
}

// Rooms were counted when it was too late: what does not fit is refused by the
// plan, closings make room, and a lock goes before openings.
func TestBug22RoomIsCountedBefore(t *testing.T) {
	c := alone(foreign("a", 500, "Allow", "80"))
	c.rooms, c.reading.Rooms = 4, 4
	p := shown(t, c, locked(ssh, alice, exempt("192.0.2.0/24"), bob))
	refuses(t, p, true, "no room for another rule: 4 of 4 used")
	if p.Refused[0].From == prefix("192.0.2.0/24") {
		t.Error("the exempt source had to wait for grants")
	}
	other := grant("203.0.113.200/32", "g-9")
	if p := shown(t, c, locked(ssh, other, exempt("192.0.2.0/24"))); len(p.Refused) > 0 || !p.Has(plan.Close) {
		t.Errorf("closing makes no room:\n%v", p)
	}
	refuses(t, shown(t, c, locked(ssh, other, exempt("192.0.2.0/24")), locked(rdp)), false, "no room for another rule: 4 of 4 used")
	// Over the limit already, closing goes on.
	c.reading.Rooms = 2
	if p := shown(t, c, locked(ssh)); len(p.Changes) != 2 || !p.Has(plan.Close) {
		t.Errorf("closing:\n%v", p)
	}
}

// Prefixes are counted over all rules of a group, not for each.
func TestBug22PrefixesAreCounted(t *testing.T) {
	var many []string
	for i := range 3998 {
		many = append(many, netip.AddrFrom4([4]byte{20, 0, byte(i / 256), byte(i % 256)}).String())
	}
	c := alone(foreign("many", 500, "Allow", "80", many...))
	p := shown(t, c, locked(ssh, alice, bob))
	refuses(t, p, true, "no room for another rule: 3 of 3 used")
	if p := shown(t, c, locked(ssh, bob)); len(p.Refused) > 0 {
		t.Errorf("closing makes no room:\n%v", p)
	}
}

// Others delete, rename, renumber and widen what is ours: theirs is kept, ours is
// put right, and a mark on a rule that is not ours is reported and left alone.
func TestC04OthersEditWhatIsOurs(t *testing.T) {
	want := []firewall.Want{locked(ssh, alice, exempt("192.0.2.0/24")), locked(rdp)}
	for name, edit := range map[string]func(i int, r string) string{
		"delete":   func(int, string) string { return "" },
		"renumber": func(i int, r string) string { return changed(r, "priority", 600+i) },
		"widen": func(_ int, r string) string {
			return changed(r, "sourceAddressPrefix", "*", "destinationAddressPrefix", "*")
		},
		"turn":   func(_ int, r string) string { return changed(r, "direction", "Outbound") },
		"rename": func(_ int, r string) string { return strings.Replace(r, `"sesame-main-`, `"renamed-`, 1) },
	} {
		c := alone(foreign("a", 500, "Allow", "80"))
		shown(t, c, want...)
		c.edit(t, func(rules []string) (out []string) {
			for i, r := range rules {
				if strings.HasPrefix(nameIn(r), "sesame-main-") {
					r = edit(i, r)
				}
				if r != "" {
					out = append(out, r)
				}
			}
			return out
		})
		theirs := c.foreign()
		shown(t, c, want...)
		if _, p := compiled(t, c, want...); !p.Empty() {
			t.Errorf("%s: it is not repaired:\n%v", name, p)
		}
		if got := c.foreign(); got != theirs {
			t.Errorf("%s: what is foreign changed from\n%s\nto\n%s", name, theirs, got)
		}
		test := c.packets(c.text)
		if !test(ssh, alice.From.Addr()) || test(ssh, bob.From.Addr()) || test(rdp, alice.From.Addr()) {
			t.Errorf("%s: the wrong people are let in:\n%v", name, c.read())
		}
		for _, o := range c.read().Snapshot(c.now).Owned {
			if renamed := strings.HasPrefix(nameIn(o.Native), "renamed-"); renamed != (o.Wrong != "") || renamed && o.Mark != firewall.MarkBroken {
				t.Errorf("%s: %s is read as %v, %s", name, nameIn(o.Native), o.Mark, o.Wrong)
			}
		}
	}
}

// A prefix that was not canonical never matched: host bits that somebody left are
// no drift, and nobody is let in by a prefix of ours that has some.
func TestBug23PrefixesAreCanonical(t *testing.T) {
	c := alone()
	team := grant("203.0.113.16/28", "g-1")
	shown(t, c, locked(ssh, team, alice))
	c.edit(t, func(rules []string) []string {
		for i, r := range rules {
			switch wireOf(r).Properties.From {
			case "203.0.113.16/28":
				rules[i] = changed(r, "sourceAddressPrefix", "203.0.113.17/28")
			case "203.0.113.7":
				rules[i] = changed(r, "sourceAddressPrefix", "203.0.113.7/32", "destinationAddressPrefix", nil, "destinationAddressPrefixes", []string{"10.0.0.4/32"})
			}
		}
		return rules
	})
	if _, p := compiled(t, c, locked(ssh, team, alice)); !p.Empty() {
		t.Errorf("another way of writing the same:\n%v", p)
	}
}

// An allow-list was useless because Azure's default rules let the network in.
func TestBug24TheDefaultRulesAreOutranked(t *testing.T) {
	c := alone()
	inside := netip.MustParseAddr("10.0.0.9")
	if !c.packets(c.text)(ssh, inside) {
		t.Fatal("the network is not let in by default")
	}
	shown(t, c, locked(ssh))
	if c.packets(c.text)(ssh, inside) {
		t.Error("the lock is below the default rules")
	}
	shown(t, c, locked(ssh, exempt("10.0.0.0/24")))
	if !c.packets(c.text)(ssh, inside) {
		t.Error("who is exempt is not let in")
	}
}

// Numbers went below 100 when it was done again and again.
func TestBug25NumbersStayInTheirWindows(t *testing.T) {
	c := alone(foreign("low", 104, "Allow", "22"))
	for i := range 50 {
		o := alice
		o.From = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32)
		shown(t, c, locked(ssh, o))
		shown(t, c, locked(ssh))
	}
	stands(t, c, "104 low", "103 lock 22")
	p := shown(t, c, locked(ssh, alice, bob, grant("198.51.100.1/32", "g-3"), grant("198.51.100.2/32", "g-4")))
	refuses(t, p, true, "no free number in nsg-1 above the lock (103)")
}
