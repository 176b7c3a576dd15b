package azure_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/providertest"
)

const groups = "Microsoft.Network/networkSecurityGroups"

// A weather is how a simulated Azure is.
type weather struct {
	arm.Config

	stale  time.Duration // how old what is read may be
	estate bool          // the machines are found, and not known
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]weather{
		"prompt, with an inventory": {estate: true},
		"slow, with stale readings": {Config: arm.Config{Config: rp.Config{Latency: 2 * time.Second}}, stale: 3 * time.Second},
		"blind to entity tags":      {Config: arm.Config{Config: rp.Config{IgnoreIfMatch: true, IgnoreIfMatchOnChildren: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				t.Helper()
				return newGround(t, c.Config, 2, everything()...).fixture(t, c)
			}, synctest.Test)
		})
	}
}

func (g *ground) fixture(t *testing.T, c weather) providertest.Fixture {
	t.Helper()
	mend := func() {
		g.sim.Heal()
		if c.stale > 0 {
			g.sim.Inject(fault.Fault{Kind: fault.Stale, Method: http.MethodGet, Type: groups, Delay: c.stale})
		}
	}
	mend()
	if c.estate {
		g.provider.Surveyor = g.estate(t)
	}
	f := providertest.Fixture{
		Provider: g.provider, Firewall: g.nsg, Doors: [2]firewall.Door{g.ssh, g.rdp}, Sibling: g.ssh2, Keys: keys,
		Admits: func(d firewall.Door, from netip.Addr) bool { return g.admits(g.now(t), d, from) },
		Now:    time.Now, Wait: time.Sleep, Settle: c.stale,
		History: func() []func(firewall.Door, netip.Addr) bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			var out []func(firewall.Door, netip.Addr) bool
			for _, w := range g.past {
				out = append(out, func(d firewall.Door, from netip.Addr) bool { return g.admits(w, d, from) })
			}
			g.past = nil
			return out
		},
		Foreign: func() string { return g.foreign(t) },
		Tamper:  g.tamper(t),
		Crowd:   func(left int) { g.crowd(t, left) },
		Never:   map[string]string{"Connect": "established connections are Azure's business"},
	}
	for _, x := range faults() {
		f.Faults = append(f.Faults, providertest.Fault{
			Name: fmt.Sprintf("%s %d %s, %d times", x.Kind, x.Status, x.Code, x.Times), Set: func() { g.sim.Inject(x) },
			Mend: func() { mend(); time.Sleep(30 * time.Second) },
			Lies: x.Kind == fault.Lie || x.Kind == fault.Late,
		})
	}
	return f
}

// faults are the ways in which Azure fails.
func faults() []fault.Fault {
	out := []fault.Fault{
		{Kind: fault.Slow, Delay: time.Second},
		{Kind: fault.Stale, Method: http.MethodGet, Type: groups, Delay: time.Minute},
		{Kind: fault.Late, Delay: 4 * time.Second, Times: 1},
		{Kind: fault.Lie},
		{Kind: fault.Refuse, Status: 429, RetryAfter: 2 * time.Second, Times: 2},
		{Kind: fault.Refuse, Status: 429, RetryAfter: 20 * time.Second},
		{Kind: fault.Refuse, Status: 412, Method: http.MethodPut},
		{Kind: fault.Refuse, Status: 403},
		{Kind: fault.Refuse, Status: 409},
		{Kind: fault.Refuse, Status: 503},
		{Kind: fault.Refuse, Status: 500, Times: 3},
	}
	for _, kind := range []fault.Kind{fault.Lost, fault.Unanswered, fault.Disowned, fault.Fail, fault.FailApplied, fault.Partial, fault.Supersede} {
		out = append(out, fault.Fault{Kind: kind}, fault.Fault{Kind: kind, Times: 1})
	}
	return out
}

// crowd fills the group with rules about something else.
func (g *ground) crowd(t *testing.T, left int) {
	t.Helper()
	b := g.sim.Builder("rg")
	rules := everything()
	ours := g.rules(t)[len(rules):]
	for i := len(rules) + len(ours); i < 1000-left; i++ {
		rules = append(rules, fleet.Rule{Name: fmt.Sprintf("filler-%d", i), Priority: 600 + i, Ports: []string{"9999"}, From: []string{fmt.Sprintf("10.1.%d.%d", i>>8, i&255)}})
	}
	if _, err := b.NSG("web-NSG", rules...); err != nil {
		t.Fatal(err)
	}
	for _, r := range ours {
		g.put(t, r)
	}
}

func (g *ground) tamper(t *testing.T) providertest.Tamper {
	t.Helper()
	at := func(k firewall.Key) (to string) {
		for _, m := range g.machines {
			for _, a := range m.to {
				if m.id == k.Door.VM && a.Is4() == k.From.Addr().Is4() {
					to = a.String()
				}
			}
		}
		return to
	}
	return providertest.Tamper{
		Flush: func() {
			for _, r := range g.rules(t) {
				if strings.HasPrefix(nameIn(r), "sesame-main-") {
					g.remove(t, nameIn(r))
				}
			}
		},
		Remove: func(o provider.Owned) { g.remove(t, nameIn(o.Native)) },
		Widen: func(o provider.Owned) {
			g.put(t, byHand(t, o.Native, "sourceAddressPrefix", `"*"`, "destinationPortRange", `"*"`))
		},
		Copy: func(o provider.Owned, to firewall.Key) {
			copied := byHand(t, o.Native, "priority", "150", "sourceAddressPrefix", `"`+to.From.Addr().String()+`"`,
				"destinationAddressPrefix", `"`+at(to)+`"`, "destinationPortRange", fmt.Sprintf(`"%d"`, to.Door.Port))
			g.put(t, strings.Replace(copied, nameIn(o.Native), "sesame-main-open-copy", 1))
		},
		Stranger: func(other firewall.Keyring, k firewall.Key, until time.Time) func() bool {
			r := dialect.Reading{Group: &resource.Group{ID: g.nsg}, Keys: other, Attachments: []dialect.Attachment{{ID: "x", VM: k.Door.VM, Addresses: []netip.Addr{netip.MustParseAddr(at(k))}}}}
			o := firewall.Opening{From: k.From, Until: until, Grants: "g-0"}
			x := r.Sealed(r.OpenRule(k.Door, r.Spots()[0], k.From).At(151), k.Door, r.Spots()[0], o)
			g.put(t, resource.Body(x.Rule))
			there := g.foreign(t)
			return func() bool { return g.foreign(t) == there }
		},
		Touch: func() {
			g.put(t, byHand(t, g.rules(t)[0], "priority", "2000", "destinationPortRange", `"7777"`))
		},
	}
}
