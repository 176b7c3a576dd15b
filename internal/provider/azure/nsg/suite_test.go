package nsg_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/providertest"
)

func TestConformance(t *testing.T) {
	hard := []string{
		foreign("web", 200, "Allow", "80"),
		foreign("old-admin", 300, "Allow", "20-30"),
		foreign("office", 310, "Allow", "*", "192.0.2.0/24"),
		changed(foreign("outbound", 199, "Deny", "*"), "direction", "Outbound"),
		foreign("everything", 400, "allow", "*"),
		foreign("deny-all", 4096, "Deny", "*"),
	}
	for name, open := range map[string]func() *cloud{
		"foreign rules":        func() *cloud { return newCloud(hard...) },
		"rule by rule":         func() *cloud { c := newCloud(hard...); c.conditional = false; return c },
		"may outrank deny-all": func() *cloud { c := newCloud(hard[5]); c.reading.MayOutrank = []string{"Deny-ALL"}; return c },
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				t.Helper()
				return fixture(t, open())
			})
		})
	}
}

func fixture(t *testing.T, c *cloud) providertest.Fixture {
	t.Helper()
	c.rooms, c.reading.Rooms = 80, 80
	asked, test := "", c.packets(c.text)
	return providertest.Fixture{
		Provider: c, Firewall: fw, Doors: [2]firewall.Door{ssh, rdp}, Sibling: ssh2, Keys: keys,
		Admits: func(d firewall.Door, from netip.Addr) bool {
			if asked != c.text {
				asked, test = c.text, c.packets(c.text)
			}
			return test(d, from)
		},
		Now:  func() time.Time { return c.now },
		Wait: func(d time.Duration) { c.now = c.now.Add(d) },
		History: func() []func(firewall.Door, netip.Addr) bool {
			var out []func(firewall.Door, netip.Addr) bool
			for _, text := range c.history {
				out = append(out, c.packets(text))
			}
			c.history = nil
			return out
		},
		Foreign: c.foreign,
		Crowd: func(left int) {
			c.edit(t, func(rules []string) []string {
				for i := len(rules); i < c.rooms-left; i++ {
					rules = append(rules, foreign(fmt.Sprintf("filler-%d", i), 1000+i, "Allow", "9999", fmt.Sprintf("10.1.%d.0/24", i)))
				}
				return rules
			})
		},
		Faults: faults(c),
		Tamper: tamper(t, c),
		Never:  map[string]string{"Connect": "established connections are Azure's business"},
	}
}

func faults(c *cloud) []providertest.Fault {
	var out []providertest.Fault
	for _, name := range []string{"lost", "down", "busy", "refused", "refused as a whole", "conflicts", "ambiguous"} {
		out = append(out, providertest.Fault{Name: name, Set: func() { c.fault = name }, Mend: func() { c.fault = "" }})
	}
	return out
}

func tamper(t *testing.T, c *cloud) providertest.Tamper {
	t.Helper()
	free := func() int {
		n := 150
		for slices.ContainsFunc(rulesIn(c.text), func(r string) bool { return wireOf(r).Properties.Priority == n }) {
			n++
		}
		return n
	}
	at := func(k firewall.Key) (to string) {
		for _, a := range c.reading.Attachments {
			if a.VM == k.Door.VM && a.Addresses[0].Is4() == k.From.Addr().Is4() {
				to = a.Addresses[0].String()
			}
		}
		return to
	}
	return providertest.Tamper{
		Flush: func() {
			c.edit(t, func(rules []string) []string {
				return slices.DeleteFunc(rules, func(r string) bool { return strings.HasPrefix(nameIn(r), "sesame-main-") })
			})
		},
		Remove: func(o provider.Owned) {
			c.edit(t, func(rules []string) []string {
				return slices.DeleteFunc(rules, func(r string) bool { return nameIn(r) == nameIn(o.Native) })
			})
		},
		Widen: func(o provider.Owned) {
			c.edit(t, func(rules []string) []string {
				for i, r := range rules {
					if nameIn(r) == nameIn(o.Native) {
						rules[i] = changed(r, "sourceAddressPrefix", "*", "destinationPortRange", "*")
					}
				}
				return rules
			})
		},
		Copy: func(o provider.Owned, to firewall.Key) {
			c.edit(t, func(rules []string) []string {
				w := wireOf(o.Native)
				copied := changed(o.Native, "priority", free(), "sourceAddressPrefix", to.From.Addr().String(),
					"destinationAddressPrefix", at(to), "destinationPortRange", fmt.Sprint(to.Door.Port))
				return append(rules, strings.Replace(copied, w.Name, "sesame-main-open-copy", 1))
			})
		},
		Stranger: func(other firewall.Keyring, k firewall.Key, until time.Time) func() bool {
			mark := other.Seal(firewall.Mark{Grant: "g-0", Until: until}, firewall.Place{Firewall: fw, Door: k.Door, From: k.From})
			r := changed(foreign("sesame-other-open-x", free(), "Allow", fmt.Sprint(k.Door.Port), k.From.String()),
				"destinationAddressPrefix", at(k), "description", "Sesame: "+mark)
			c.edit(t, func(rules []string) []string { return append(rules, r) })
			return func() bool { return slices.Contains(rulesIn(c.text), r) }
		},
		Touch: func() {
			c.edit(t, func(rules []string) []string {
				return append(rules, foreign("touched", 2000, "Allow", "7777", "10.9.9.0/24"))
			})
		},
	}
}
