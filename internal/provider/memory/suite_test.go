package memory_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/provider/providertest"
)

var keys = firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}

const fw firewall.ID = "fw"

var (
	web1, web2 = firewall.HostVM("web-1"), firewall.HostVM("web-2")
	ssh        = firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 22}
	rdp        = firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 3389}
	ssh2       = firewall.Door{VM: web2, Protocol: firewall.TCP, Port: 22}
)

// newFirewall returns a world with two VMs behind one firewall.
func newFirewall(c memory.Config) (*memory.World, *memory.Firewall) {
	w := memory.NewWorld(keys)
	c.ID = fw
	f := w.Add(c)
	for _, id := range []firewall.VMID{web1, web2} {
		w.AddVM(inventory.VM{ID: id, Name: id.Name(), Paths: []inventory.Path{{Name: "direct", Hops: []inventory.Hop{{Firewall: fw}}}}})
	}
	return w, f
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// rule returns a foreign rule for any VM.
func rule(name string, priority int, action firewall.Action, proto firewall.Protocol, first, last uint16, from ...string) memory.Rule {
	r := memory.Rule{Name: name, Priority: priority, Action: action, Protocol: proto, First: first, Last: last, Extra: "theirs"}
	for _, s := range from {
		r.From = append(r.From, prefix(s))
	}
	return r
}

func put(t *testing.T, f *memory.Firewall, rules ...memory.Rule) {
	t.Helper()
	for _, r := range rules {
		if err := f.Put(r); err != nil {
			t.Fatal(err)
		}
	}
}

// dialects are the firewalls that the suite runs on, with foreign rules that
// make it hard: catch-alls above and below, ranges, a rule for one VM only.
func dialects() map[string]struct {
	config memory.Config
	rules  []memory.Rule
} {
	type d = struct {
		config memory.Config
		rules  []memory.Rule
	}
	numbered := []memory.Rule{
		rule("web", 200, firewall.Allow, firewall.TCP, 80, 80),
		rule("old-admin", 300, firewall.Allow, firewall.TCP, 20, 30),
		rule("office", 310, firewall.Allow, 0, 0, 65535, "192.0.2.0/24"),
		rule("everything", 400, firewall.Allow, 0, 0, 65535),
		rule("deny-all", 4096, firewall.Deny, 0, 0, 65535),
	}
	union := []memory.Rule{
		rule("ssh-4", 0, firewall.Allow, firewall.TCP, 22, 22, "0.0.0.0/0"),
		rule("low", 0, firewall.Allow, firewall.TCP, 0, 1023, "198.51.100.0/24"),
		rule("everything-6", 0, firewall.Allow, 0, 0, 65535, "::/0"),
		rule("rdp", 0, firewall.Allow, firewall.TCP, 3380, 3390, "203.0.113.0/24"),
	}
	one := rule("ssh-web-1", 0, firewall.Allow, firewall.TCP, 22, 22, "203.0.113.0/25")
	one.VM = web1
	union = append(union, one)
	return map[string]d{
		"numbered": {memory.Config{Dialect: memory.Numbered, Rooms: 80, VirtualNetwork: []netip.Prefix{prefix("192.0.2.0/24")}}, numbered},
		"numbered, single slow writes": {
			memory.Config{Dialect: memory.Numbered, Rooms: 80, Single: true, WriteTime: 3 * time.Second, MayOutrank: []string{"deny-all"}}, numbered,
		},
		"numbered, a small window": {memory.Config{Dialect: memory.Numbered, Rooms: 80, First: 120, Last: 299}, numbered[1:2]},
		"union":                    {memory.Config{Dialect: memory.Union}, union},
		"union, lagging":           {memory.Config{Dialect: memory.Union, ReadLag: 5 * time.Second, WriteTime: time.Second}, union},
		"keyed":                    {memory.Config{Dialect: memory.Keyed, Rooms: 50}, nil},
	}
}

func TestConformance(t *testing.T) {
	for name, d := range dialects() {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				t.Helper()
				w, f := newFirewall(d.config)
				put(t, f, d.rules...)
				return fixture(t, w, f)
			}, synctest.Test)
		})
	}
}

func fixture(t *testing.T, w *memory.World, f *memory.Firewall) providertest.Fixture {
	t.Helper()
	c := f.State().Config
	return providertest.Fixture{
		Provider: w, Firewall: fw, Doors: [2]firewall.Door{ssh, rdp}, Sibling: ssh2, Keys: keys,
		Admits: f.Admits, Now: time.Now, Wait: time.Sleep, Settle: c.ReadLag,
		History: func() []func(firewall.Door, netip.Addr) bool {
			var out []func(firewall.Door, netip.Addr) bool
			for _, s := range f.History() {
				out = append(out, s.Admits)
			}
			return out
		},
		Foreign: f.Foreign,
		Connect: func(d firewall.Door, from netip.Addr) func() bool {
			s := f.Connect(d, from)
			return func() bool { return s != nil && s.Alive() }
		},
		Crowd:  func(left int) { crowd(t, f, left) },
		Faults: faults(f),
		Tamper: tamper(t, f),
	}
}

// crowd fills f with foreign rules for a port that nobody cares about.
func crowd(t *testing.T, f *memory.Firewall, left int) {
	t.Helper()
	s := f.State()
	used := 0
	for _, r := range s.Rules {
		if s.Config.Dialect != memory.Union || r.Action == firewall.Allow {
			used++
		}
	}
	number := 3000
	for i := range s.Config.Rooms - used - left {
		r := rule(fmt.Sprintf("filler-%d", i), 0, firewall.Allow, firewall.TCP, 9999, 9999, fmt.Sprintf("10.%d.%d.0/24", i/200, i%200))
		if s.Config.Dialect == memory.Numbered {
			number++
			r.Priority = number
		}
		put(t, f, r)
	}
}

func faults(f *memory.Firewall) []providertest.Fault {
	var out []providertest.Fault
	for name, x := range map[string]memory.Fault{
		"lost":                {Kind: memory.Lost},
		"lost once":           {Kind: memory.Lost, Times: 1},
		"partial":             {Kind: memory.Partial},
		"partial once":        {Kind: memory.Partial, Times: 1},
		"ambiguous":           {Kind: memory.Ambiguous},
		"late, failing":       {Kind: memory.Late, Delay: 4 * time.Second, Times: 1},
		"late, succeeding":    {Kind: memory.Late, Delay: 4 * time.Second, Quiet: true, Times: 1},
		"lying":               {Kind: memory.Lying},
		"refused":             {Kind: memory.Refuse},
		"refused at one door": {Kind: memory.Refuse, Door: rdp},
		"stale":               {Kind: memory.Stale},
		"down":                {Kind: memory.Down},
	} {
		out = append(out, providertest.Fault{Name: name, Set: func() { f.Fail(x) }, Mend: f.Mend, Lies: x.Kind == memory.Lying || x.Quiet})
	}
	slices.SortFunc(out, func(a, b providertest.Fault) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// name finds the rule that o was read from.
func name(t *testing.T, f *memory.Firewall, o provider.Owned) string {
	t.Helper()
	for _, r := range f.State().Rules {
		if strings.Contains(o.Native, fmt.Sprintf("%q", r.Name)) {
			return r.Name
		}
	}
	t.Fatalf("no rule like %s", o.Native)
	return ""
}

func tamper(t *testing.T, f *memory.Firewall) providertest.Tamper {
	t.Helper()
	free := func() int {
		s := f.State()
		if s.Config.Dialect != memory.Numbered {
			return 0
		}
		n := 150
		for slices.ContainsFunc(s.Rules, func(r memory.Rule) bool { return r.Priority == n }) {
			n++
		}
		return n
	}
	return providertest.Tamper{
		Flush:  f.FlushOwned,
		Remove: func(o provider.Owned) { f.Remove(name(t, f, o)) },
		Widen: func(o provider.Owned) {
			if !f.Edit(name(t, f, o), func(r *memory.Rule) {
				r.First, r.Last, r.From = 0, 65535, []netip.Prefix{prefix("0.0.0.0/0")}
			}) {
				t.Error("not widened")
			}
		},
		Copy: func(o provider.Owned, to firewall.Key) {
			r, _ := f.Rule(name(t, f, o))
			r.Name, r.VM, r.First, r.Last = "sesame-main-open-copy", to.Door.VM, to.Door.Port, to.Door.Port
			r.From, r.Priority = []netip.Prefix{to.From}, free()
			put(t, f, r)
		},
		Stranger: func(other firewall.Keyring, at firewall.Key, until time.Time) func() bool {
			r := rule("sesame-other-open-x", free(), firewall.Allow, at.Door.Protocol, at.Door.Port, at.Door.Port)
			r.VM, r.From = at.Door.VM, []netip.Prefix{at.From}
			r.Note = other.Seal(firewall.Mark{Grant: "g-0", Until: until}, firewall.Place{Firewall: fw, Door: at.Door, From: at.From})
			put(t, f, r)
			return func() bool {
				now, found := f.Rule(r.Name)
				return found && now.Text() == r.Text()
			}
		},
		Prolong: func(o provider.Owned, by time.Duration) {
			f.Edit(name(t, f, o), func(r *memory.Rule) { r.Closes = r.Closes.Add(by) })
		},
		Touch: func() {
			r := rule("touched", 0, firewall.Allow, firewall.TCP, 7777, 7777, "10.9.9.0/24")
			if f.State().Config.Dialect == memory.Numbered {
				r.Priority = 2000
			}
			put(t, f, r)
		},
	}
}
