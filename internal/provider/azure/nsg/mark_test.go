package nsg_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

func locked(d firewall.Door, open ...firewall.Opening) firewall.Want {
	return firewall.Want{Door: d, Locked: true, Cut: false, Open: open}
}

var tomorrow = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func grant(from, id string) firewall.Opening {
	return firewall.Opening{From: prefix(from), Until: tomorrow, Grants: firewall.HoldersOf(id)}
}

func exempt(from string) firewall.Opening {
	return firewall.Opening{From: prefix(from), Until: time.Time{}, Grants: ""}
}

// compiled returns the plan for what c holds now.
func compiled(t *testing.T, c *cloud, want ...firewall.Want) (provider.Snapshot, plan.Plan) {
	t.Helper()
	s := c.read().Snapshot(c.now)
	p, err := nsg.Compile(s, want)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// shown makes c show want.
func shown(t *testing.T, c *cloud, want ...firewall.Want) plan.Plan {
	t.Helper()
	s, p := compiled(t, c, want...)
	if err := c.Apply(t.Context(), s, p); err != nil {
		t.Fatalf("%v\n%v", err, p)
	}
	return p
}

// longest is a cloud in which everything is as long as it may be.
func longest() (*cloud, firewall.Door) {
	c := newCloud()
	c.reading.Keys = firewall.Keyring{Instance: strings.Repeat("z", 12), Keys: []firewall.MarkKey{{ID: "zzzz", Secret: make([]byte, 32)}}}
	vm := firewall.VMID("/subscriptions/s/resourceGroups/" + strings.Repeat("r", 90) + "/providers/Microsoft.Compute/virtualMachines/" + strings.Repeat("Vm_", 21))
	c.reading.Attachments = []dialect.Attachment{attached(vm, "10.0.0.4"), attached(vm, "fd00::ffff:ffff:ffff:ffff")}
	return c, firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 65535}
}

// TestLimits: names and descriptions fit with the longest of everything, and are
// still there for people.
func TestLimits(t *testing.T) {
	c, door := longest()
	long := grant("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128", "g-"+strings.Repeat("z", 16))
	long.Until = firewall.Instant(time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC))
	for i := range 2000 {
		long.Grants = long.Grants.Join(firewall.Holders("g-" + strings.Repeat("z", 12) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))))
	}
	want := locked(door, long, exempt("203.0.113.255/32"))
	shown(t, c, want)
	descriptions := ""
	for _, r := range rulesIn(c.text) {
		w := wireOf(r)
		if n, m := len(w.Name), len(w.Properties.Description); n > 80 || m > 140 || !regexp.MustCompile(`^[a-z][a-z0-9-]*[a-z0-9]$`).MatchString(w.Name) {
			t.Errorf("%s (%d) is described as %q (%d)", w.Name, n, w.Properties.Description, m)
		}
		descriptions += w.Properties.Description + "\n"
	}
	for _, text := range []string{
		"Sesame: port 65535/tcp of vm-vm-vm-vm-vm-vm-vm is locked. Only the Sesame rules above let somebody in.",
		"Sesame: open until 9999-12-31 23:59:59Z, then deleted. sesame1.", "Sesame: exempt from the lock, for good. sesame1.",
	} {
		if !strings.Contains(descriptions, text) {
			t.Errorf("%q is missing among\n%s", text, descriptions)
		}
	}
	s, p := compiled(t, c, want)
	if !p.Empty() || len(s.Shown()) != 1 || len(s.Shown()[0].Open) != 2 {
		t.Errorf("what was written is not read back: %v\n%v", s.Shown(), p)
	}
}

// TestMarkTooLong: a mark that fits only alone stands alone; one that does not
// fit at all refuses its opening and nothing else.
func TestMarkTooLong(t *testing.T) {
	for n, refused := range map[int]bool{60: false, 70: false, 100: true} {
		c := newCloud()
		p := shown(t, c, locked(ssh, grant("203.0.113.7/32", "g-"+strings.Repeat("x", n)), grant("203.0.113.8/32", "g-1")))
		if (len(p.Refused) == 1) != refused || !strings.Contains(c.text, "g-1.") {
			t.Errorf("a grant's id of %d characters:\n%v", n+2, p)
		}
		if s, again := compiled(t, c, locked(ssh, grant("203.0.113.7/32", "g-"+strings.Repeat("x", n)), grant("203.0.113.8/32", "g-1"))); !again.Empty() {
			t.Errorf("a second plan is not empty:\n%v%v", again, s.Owned)
		}
	}
}

// owned returns the rule of ours whose name begins so.
func owned(t *testing.T, c *cloud, what string) (provider.Owned, string) {
	t.Helper()
	for _, o := range c.read().Snapshot(c.now).Owned {
		if name := nameIn(o.Native); strings.HasPrefix(name, "sesame-main-"+what) {
			return o, name
		}
	}
	t.Fatalf("nothing of ours is called %s in\n%v", what, c.read())
	return provider.Owned{}, ""
}

// TestMarkIsBoundToItsRule: whatever decides what a rule does breaks the mark when
// it changes; and what does not, does not.
func TestMarkIsBoundToItsRule(t *testing.T) {
	for name, change := range map[string][]any{
		"priority":     {"priority", 101},
		"source":       {"sourceAddressPrefix", "203.0.113.0/24"},
		"another":      {"sourceAddressPrefix", "203.0.113.8"},
		"sources":      {"sourceAddressPrefix", nil, "sourceAddressPrefixes", []string{"203.0.113.7", "203.0.113.9"}},
		"tag":          {"sourceAddressPrefix", nil, "sourceAddressPrefixes", []string{"203.0.113.7", "Internet"}},
		"group":        {"sourceAddressPrefix", nil, "sourceApplicationSecurityGroups", []any{map[string]any{"id": "/asg/a"}}},
		"destination":  {"destinationAddressPrefix", "*"},
		"other VM":     {"destinationAddressPrefix", "10.0.0.5"},
		"port":         {"destinationPortRange", "3389"},
		"ports":        {"destinationPortRange", "*"},
		"protocol":     {"protocol", "*"},
		"source port":  {"sourcePortRange", "1024-65535"},
		"unknown form": {"access", "Permit"},
	} {
		c := newCloud()
		shown(t, c, locked(ssh, grant("203.0.113.7/32", "g-1")))
		_, rule := owned(t, c, "open")
		c.edit(t, func(rules []string) []string {
			for i, r := range rules {
				if nameIn(r) == rule {
					rules[i] = changed(r, change...)
				}
			}
			return rules
		})
		o, _ := owned(t, c, "open")
		if o.Mark != firewall.MarkBroken || o.Wrong == "" || o.Door != ssh {
			t.Errorf("%s: the mark is %v at %v: %s", name, o.Mark, o.Door, o.Wrong)
		}
		if _, p := compiled(t, c); !p.Has(plan.Close) {
			t.Errorf("%s: it is not closed:\n%v", name, p)
		}
		shown(t, c, locked(ssh, grant("203.0.113.7/32", "g-1")))
		if o, _ := owned(t, c, "open"); o.Mark != firewall.MarkGood || o.Wrong != "" {
			t.Errorf("%s: it is not repaired: %v", name, o)
		}
	}
	c := newCloud()
	shown(t, c, locked(ssh, grant("203.0.113.7/32", "g-1")))
	c.edit(t, func(rules []string) []string {
		for i, r := range rules { // as the API may return it
			rules[i] = changed(r, "protocol", "TCP", "access", strings.ToLower(wireOf(r).Properties.Access), "sourceAddressPrefixes", []string{},
				"destinationPortRanges", []string{}, "provisioningState", "Succeeded", "destinationApplicationSecurityGroups", []string{})
		}
		return rules
	})
	if _, p := compiled(t, c, locked(ssh, grant("203.0.113.7/32", "g-1"))); !p.Empty() {
		t.Errorf("another way of writing the same is a change:\n%v", p)
	}
}

// TestDescriptionsAreRepaired: without its description an opening is still known
// by its name, and is closed or written again.
func TestDescriptionsAreRepaired(t *testing.T) {
	for _, what := range []string{"open", "lock"} {
		for _, text := range []any{nil, "", "somebody's note", "Sesame: open for ever. "} {
			c := newCloud()
			want := locked(ssh, grant("203.0.113.7/32", "g-1"))
			shown(t, c, want)
			o, rule := owned(t, c, what)
			if s, ok := text.(string); ok && strings.HasSuffix(s, " ") { // the mark itself stays
				old := wireOf(o.Native).Properties.Description
				text = s + old[strings.LastIndexByte(old, ' ')+1:]
			}
			c.edit(t, func(rules []string) []string {
				for i, r := range rules {
					if nameIn(r) == rule {
						rules[i] = changed(r, "description", text)
					}
				}
				return rules
			})
			if o, _ := owned(t, c, what); o.Wrong == "" || o.Door != ssh {
				t.Errorf("%s: nothing is wrong with %v", what, o)
			}
			if p := shown(t, c, want); len(p.Changes) != 1 {
				t.Errorf("the repair is\n%v", p)
			}
			if _, p := compiled(t, c, want); !p.Empty() {
				t.Errorf("after the repair:\n%v", p)
			}
		}
	}
}

// TestLockTurnedAround: a lock that was made an Allow is deleted before anything.
func TestLockTurnedAround(t *testing.T) {
	c := newCloud()
	want := locked(ssh)
	shown(t, c, want)
	_, lock := owned(t, c, "lock")
	c.edit(t, func(rules []string) []string {
		for i, r := range rules {
			if nameIn(r) == lock {
				rules[i] = changed(r, "access", "Allow")
			}
		}
		return rules
	})
	_, p := compiled(t, c, want)
	if len(p.Changes) != 2 || p.Changes[0].Op != plan.Close || p.Changes[1].Op != plan.Lock {
		t.Errorf("the repair is\n%v", p)
	}
	if _, p = compiled(t, c); !p.Has(plan.Close) || p.Has(plan.Lock, plan.Open) {
		t.Errorf("giving it back is\n%v", p)
	}
}

// FuzzMark: no text is taken for a mark but those that were made for the rule.
func FuzzMark(f *testing.F) {
	c := newCloud()
	r := c.read()
	p, err := nsg.Compile(r.Snapshot(c.now), firewall.Wants{locked(ssh, grant("203.0.113.7/32", "g-1"))})
	if err != nil {
		f.Fatal(err)
	}
	var good resource.Rule
	for _, x := range p.Changes {
		if e, err := resource.Decode(x.Native); err == nil && x.Op == plan.Open {
			good = e.Rule()
		}
	}
	f.Add(good.Description)
	f.Add("Sesame: " + good.Description)
	f.Add("sesame1.main.a.0.-.AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("a  \u00a0 sesame1")
	f.Fuzz(func(t *testing.T, description string) {
		x := good
		x.Description = description
		text, err := parse(document(1)).Edit("sesame-", resource.Put(x))
		if err != nil {
			t.Fatal(err)
		}
		now := r
		now.Group = parse(text)
		s := now.Snapshot(c.now)
		if len(s.Owned) != 1 || s.Owned[0].Door != ssh {
			t.Fatalf("%q: read as %v", description, s.Owned)
		}
		mark := description[strings.LastIndexByte(description, ' ')+1:]
		made := mark == good.Description[strings.LastIndexByte(good.Description, ' ')+1:]
		if o := s.Owned[0]; (o.Mark == firewall.MarkGood) != made || o.Wrong == "" && description != good.Description {
			t.Fatalf("%q: the mark is %v, %s", description, o.Mark, o.Wrong)
		}
	})
}
