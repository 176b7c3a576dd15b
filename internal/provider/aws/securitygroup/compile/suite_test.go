package compile_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup/compile"
	"github.com/sesame-access/sesame/internal/provider/providertest"
)

var keys = firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}

const vpc firewall.ID = "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1"

var (
	network = securitygroup.Network{ID: vpc, Quotas: securitygroup.DefaultQuotas()}
	web1    = network.VM("i-1")
	web2    = network.VM("i-2")
	ssh     = firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 22}
	rdp     = firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 3389}
	ssh2    = firewall.Door{VM: web2, Protocol: firewall.TCP, Port: 22}
)

// A cloud is a VPC that does what it is told, one write after the other.
type cloud struct {
	mu   sync.Mutex
	r    securitygroup.Reading
	past []securitygroup.Reading
	deny func(securitygroup.Write) error
}

func (c *cloud) write(w securitygroup.Write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r = c.r.On(w)
	c.past = append(c.past, c.r)
}

func (c *cloud) read() securitygroup.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r
}

// Inventory implements [provider.Provider].
func (c *cloud) Inventory(ctx context.Context) ([]inventory.VM, error) {
	path := []inventory.Path{{Name: "direct", Hops: []inventory.Hop{{Firewall: vpc}}}}
	return []inventory.VM{{ID: web1, Paths: path}, {ID: web2, Paths: path}}, ctx.Err()
}

// Observe implements [provider.Provider].
func (c *cloud) Observe(ctx context.Context, fw firewall.ID, _ []firewall.Key) (provider.Snapshot, error) {
	r := c.read()
	return provider.Snapshot{Firewall: fw, Layer: r.Layer(), Owned: r.Owned(), Raw: r}, ctx.Err()
}

// Compile implements [provider.Provider].
func (c *cloud) Compile(s provider.Snapshot, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	r, read := s.Raw.(securitygroup.Reading)
	if !read {
		return plan.Plan{}, fmt.Errorf("%s was not read", s.Firewall)
	}
	return compile.Plan(r, want, displaced)
}

// Apply implements [provider.Provider].
func (c *cloud) Apply(ctx context.Context, _ provider.Snapshot, p plan.Plan) error {
	for _, x := range p.Changes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w, due, err := securitygroup.At(x, time.Now())
		if err != nil {
			return err
		}
		if due && c.deny != nil {
			if err := c.deny(w); err != nil {
				return err
			}
		}
		if due {
			c.write(w)
		}
	}
	return nil
}

// Limits implements [provider.Provider].
func (c *cloud) Limits(firewall.ID) provider.Limits { return provider.Limits{NewIDs: true} }

// admits is a packet test that does not ask the reach engine.
func admits(r securitygroup.Reading, d firewall.Door, from netip.Addr) bool {
	for _, n := range r.Interfaces {
		for _, g := range r.Groups {
			if n.VM != d.VM || !slices.Contains(n.Groups, g.ID) {
				continue
			}
			for _, x := range g.Ingress {
				port := x.Protocol == -1 || x.Protocol == int(d.Protocol) && x.First <= int(d.Port) && int(d.Port) <= x.Last
				source := x.CIDR.IsValid() && x.CIDR.Contains(from)
				for _, other := range r.Interfaces {
					source = source || x.Group != "" && slices.Contains(other.Groups, x.Group) && slices.Contains(other.Addresses, from)
				}
				for _, p := range r.Lists[x.List].Entries {
					source = source || p.Contains(from)
				}
				if port && source {
					return true
				}
			}
		}
	}
	return false
}

// document prints the foreign rules, without ids.
func document(r securitygroup.Reading) string {
	var lines []string
	for _, g := range r.Groups {
		if strings.HasPrefix(g.Name, "sesame-main-") {
			continue
		}
		for _, x := range g.Ingress {
			if r.IsRest(g.ID, x) {
				continue
			}
			x.ID = ""
			lines = append(lines, g.ID+" "+x.Text()+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func ingress(protocol, first, last int, cidr string) securitygroup.Rule {
	return securitygroup.Rule{Protocol: protocol, First: first, Last: last, CIDR: netip.MustParsePrefix(cidr), Description: "theirs", Tags: []securitygroup.Tag{{Key: "team", Value: "blue"}}}
}

// newCloud returns two instances, the first with two interfaces.
func newCloud() *cloud {
	return &cloud{r: securitygroup.Reading{
		Network: network, Keys: keys,
		Groups: []securitygroup.Group{
			{ID: "sg-1", Name: "web", Ingress: []securitygroup.Rule{
				ingress(6, 22, 22, "0.0.0.0/0"), ingress(6, 0, 1023, "198.51.100.0/24"), ingress(-1, -1, -1, "::/0"),
			}},
			{ID: "sg-2", Name: "rdp", Ingress: []securitygroup.Rule{
				ingress(6, 3380, 3390, "203.0.113.0/24"),
				{Protocol: -1, First: -1, Last: -1, Group: "sg-2", Description: "the default group's self rule"},
			}},
			{ID: "sg-3", Name: "other", Ingress: []securitygroup.Rule{ingress(6, 22, 22, "203.0.113.0/25")}},
		},
		Interfaces: []securitygroup.Interface{
			{ID: "eni-1", VM: web1, Groups: []string{"sg-1", "sg-2"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
			{ID: "eni-2", VM: web1, Groups: []string{"sg-1", "sg-2"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
			{ID: "eni-3", VM: web2, Groups: []string{"sg-3"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
		},
	}}
}

func TestConformance(t *testing.T) {
	providertest.Run(t, func(*testing.T) providertest.Fixture {
		c := newCloud()
		return fixture(c)
	}, synctest.Test)
}

func fixture(c *cloud) providertest.Fixture {
	return providertest.Fixture{
		Provider: c, Firewall: vpc, Doors: [2]firewall.Door{ssh, rdp}, Sibling: ssh2, Keys: keys,
		Admits: func(d firewall.Door, from netip.Addr) bool { return admits(c.read(), d, from) },
		Now:    time.Now, Wait: time.Sleep,
		History: func() []func(firewall.Door, netip.Addr) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			var out []func(firewall.Door, netip.Addr) bool
			for _, r := range c.past {
				out = append(out, func(d firewall.Door, from netip.Addr) bool { return admits(r, d, from) })
			}
			c.past = nil
			return out
		},
		Foreign: func() string { return document(c.read()) },
		Tamper:  tamper(c),
		Never: map[string]string{
			"Crowd":   "the group with the openings is ours, and nothing foreign stays in it",
			"Connect": "the provider has no part in it",
			"Faults":  "they are the SDK's",
		},
	}
}

// native returns where an owned rule is, and the rule.
func native(c *cloud, o provider.Owned) (string, securitygroup.Rule) {
	group, text, _ := strings.Cut(o.Native, " ")
	for _, g := range c.read().Groups {
		for _, x := range g.Ingress {
			if (g.Name == group || g.ID == group) && x.Text() == text {
				return group, x
			}
		}
	}
	return group, securitygroup.Rule{}
}

func tamper(c *cloud) providertest.Tamper {
	own := c.r.OwnName(web1)
	return providertest.Tamper{
		Flush: func() {
			for _, n := range c.read().Interfaces {
				c.write(securitygroup.Write{Do: securitygroup.Detach, Group: c.r.OwnName(n.VM), Interface: n.ID})
			}
			for _, vm := range []firewall.VMID{web1, web2} {
				c.write(securitygroup.Write{Do: securitygroup.Delete, Group: c.r.OwnName(vm)})
			}
			r := c.read()
			for _, g := range r.Groups {
				for _, x := range g.Ingress {
					if r.IsRest(g.ID, x) {
						c.write(securitygroup.Write{Do: securitygroup.Revoke, Group: g.ID, Rule: &x})
					}
				}
			}
		},
		Remove: func(o provider.Owned) {
			group, x := native(c, o)
			if o.Kind == provider.OwnedLock {
				_, key, _ := strings.Cut(o.Native, " ")
				c.write(securitygroup.Write{Do: securitygroup.Untag, Group: group, Tag: &securitygroup.Tag{Key: key}})
				return
			}
			c.write(securitygroup.Write{Do: securitygroup.Revoke, Group: group, Rule: &x})
		},
		Widen: func(o provider.Owned) {
			group, x := native(c, o)
			c.write(securitygroup.Write{Do: securitygroup.Revoke, Group: group, Rule: &x})
			x.Protocol, x.First, x.Last, x.CIDR = -1, -1, -1, netip.MustParsePrefix("0.0.0.0/0")
			c.write(securitygroup.Write{Do: securitygroup.Authorize, Group: group, Rule: &x})
		},
		Copy: func(o provider.Owned, to firewall.Key) {
			_, x := native(c, o)
			x.First, x.Last, x.CIDR = int(to.Door.Port), int(to.Door.Port), to.From
			c.write(securitygroup.Write{Do: securitygroup.Authorize, Group: own, Rule: &x})
		},
		Stranger: func(other firewall.Keyring, at firewall.Key, until time.Time) func() bool {
			r := c.read()
			r.Keys = other
			x := r.Opening(at.Door, firewall.Opening{From: at.From, Until: until, Grants: "g-0"})
			c.mu.Lock()
			c.r.Groups = append(c.r.Groups, securitygroup.Group{ID: "sg-9", Name: r.OwnName(web1), Ingress: []securitygroup.Rule{x}})
			c.r.Interfaces = slices.Clone(c.r.Interfaces)
			c.r.Interfaces[0].Groups = append(slices.Clone(c.r.Interfaces[0].Groups), "sg-9")
			c.mu.Unlock()
			return func() bool {
				now := c.read()
				return slices.ContainsFunc(now.Groups[now.Find("sg-9")].Ingress, func(o securitygroup.Rule) bool { return o.Text() == x.Text() })
			}
		},
		Touch: func() {
			x := ingress(6, 7777, 7777, "10.9.9.0/24")
			c.write(securitygroup.Write{Do: securitygroup.Authorize, Group: "sg-3", Rule: &x})
		},
	}
}
