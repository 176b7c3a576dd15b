package aws_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/providertest"
)

var keys = firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}

// A ground is a simulated region with two instances in one VPC, and what happened
// to it.
type ground struct {
	sim      *ec2.Simulator
	provider *aws.Provider
	vpc      firewall.ID
	own      string // the name of the first instance's owned group
	ssh, rdp firewall.Door
	ssh2     firewall.Door

	mu   sync.Mutex
	past []state
}

// A state is what decides about packets.
type state struct {
	groups     []world.Group
	interfaces []world.Interface
}

func newGround(t testing.TB, c ec2.Config) *ground {
	t.Helper()
	g := &ground{}
	c.Written = func(ec2.Write) {
		s := g.now()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.past = append(g.past, s)
	}
	sim, err := ec2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	g.sim = sim
	var network world.VPC
	var one, two world.Instance
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		b := fleet.NewBuilder(w, ec2.DefaultAccount)
		network = b.VPC("net", "10.0.0.0/16", "2001:db8:a::/56")
		igw := b.Gateway(network.ID)
		b.Routes(network.ID, true, "10.0.0.0/16", "local", "2001:db8:a::/56", "local", "0.0.0.0/0", igw, "::/0", igw)
		s := b.Subnet(network.ID, "a", "10.0.0.0/20", "2001:db8:a:1::/64", true)
		web := b.Group(network.ID, "web", "web", "tcp 22 0.0.0.0/0 # everybody", "tcp 0:1023 198.51.100.0/24", "-1 ::/0")
		rdp := b.Group(network.ID, "rdp", "rdp", "tcp 3380:3390 203.0.113.0/24 # office", "udp 53 @web", "tcp 443 @web")
		other := b.Group(network.ID, "other", "other", "tcp 22 203.0.113.0/25")
		leg := fleet.Leg{Subnet: s, Groups: []string{web, rdp}, Addresses: 1, IPv6: true, Public: true}
		one = b.Instance("one", world.Instance{State: "running"}, leg)
		leg.Groups = []string{other}
		two = b.Instance("two", world.Instance{State: "running"}, leg)
	})
	prefix := "arn:aws:ec2:" + ec2.DefaultRegion + ":" + ec2.DefaultAccount + ":"
	g.vpc = firewall.ID(prefix + "vpc/" + network.ID)
	first := firewall.VMID(prefix + "instance/" + one.ID)
	g.ssh = firewall.Door{VM: first, Protocol: firewall.TCP, Port: 22}
	g.rdp = firewall.Door{VM: first, Protocol: firewall.TCP, Port: 3389}
	g.ssh2 = firewall.Door{VM: firewall.VMID(prefix + "instance/" + two.ID), Protocol: firewall.TCP, Port: 22}
	g.own = "sesame-main-" + one.ID
	g.provider = connected(t, awssdk.Config{
		Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: sim.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	})
	return g
}

// wall denies somebody in the network ACL who is nobody in the tests, so that it
// has to be reckoned with.
func (g *ground) wall() {
	g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
		for a := range w.NetworkACLs.All(now) {
			a.Entries = append([]world.Entry{{Number: 50, Protocol: world.All, First: world.All, Last: world.All, CIDR: netip.MustParsePrefix("233.252.0.0/24")}}, a.Entries...)
			w.NetworkACLs.Put(now, a)
		}
	})
}

// connected returns the provider of the default account.
func connected(t testing.TB, base awssdk.Config) *aws.Provider {
	t.Helper()
	regions, err := aws.Connect(t.Context(), base, aws.Account{})
	if err != nil {
		t.Fatal(err)
	}
	return aws.New(aws.Config{Keys: keys, Regions: regions})
}

func (g *ground) now() state {
	return state{groups: g.sim.Groups(ec2.DefaultRegion), interfaces: g.sim.Interfaces(ec2.DefaultRegion)}
}

// admits is a packet test that asks neither the reach engine nor the provider.
func (s state) admits(d firewall.Door, from netip.Addr) bool {
	for _, n := range s.interfaces {
		for _, g := range s.groups {
			if n.Instance != d.VM.Name() || !slices.Contains(n.Groups, g.ID) {
				continue
			}
			for _, r := range g.Rules {
				port := r.Protocol == "-1" || world.Number(r.Protocol) == int(d.Protocol) && r.First <= int(d.Port) && int(d.Port) <= r.Last
				if !r.Egress && port && r.CIDR.IsValid() && r.CIDR.Contains(from) {
					return true
				}
			}
		}
	}
	return false
}

// foreign prints the rules that are not ours.
func (g *ground) foreign() string {
	var out strings.Builder
	for _, x := range g.now().groups {
		if strings.HasPrefix(x.Name, "sesame-main-") {
			continue
		}
		x.Rules = slices.DeleteFunc(slices.Clone(x.Rules), func(r world.Rule) bool { return strings.HasPrefix(r.Description, "sesame1.main.") })
		fmt.Fprintf(&out, "%s %v\n%s", x.ID, x.Tags, x.Document())
	}
	return out.String()
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]ec2.Config{
		"prompt":  {Seed: 1, Unthrottled: true},
		"walled":  {Seed: 3, Unthrottled: true},
		"lagging": {Seed: 2, Unthrottled: true, ReadLag: 3 * time.Second, WriteTime: 200 * time.Millisecond, ShortPages: true},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				t.Helper()
				g := newGround(t, c)
				if name == "walled" {
					g.wall()
				}
				return g.fixture(t, c)
			}, synctest.Test)
		})
	}
}

func (g *ground) fixture(t *testing.T, c ec2.Config) providertest.Fixture {
	t.Helper()
	return providertest.Fixture{
		Provider: g.provider, Firewall: g.vpc, Doors: [2]firewall.Door{g.ssh, g.rdp}, Sibling: g.ssh2, Keys: keys,
		Admits: func(d firewall.Door, from netip.Addr) bool { return g.now().admits(d, from) },
		Now:    time.Now, Wait: time.Sleep, Settle: c.ReadLag,
		History: func() []func(firewall.Door, netip.Addr) bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			var out []func(firewall.Door, netip.Addr) bool
			for _, s := range g.past {
				out = append(out, s.admits)
			}
			g.past = nil
			return out
		},
		Foreign: g.foreign,
		Connect: func(d firewall.Door, from netip.Addr) func() bool {
			s := g.sim.Dial(from, d.VM.Name(), int(d.Port))
			return func() bool { return s != nil && s.Use() }
		},
		Faults: g.faults(),
		Tamper: g.tamper(t),
		Never:  map[string]string{"Crowd": "the group with the openings is ours, and nothing foreign stays in it"},
	}
}

func (g *ground) faults() []providertest.Fault {
	var out []providertest.Fault
	for _, x := range []ec2.Fault{
		{Kind: ec2.Lost},
		{Kind: ec2.Broken},
		{Kind: ec2.Throttled, Times: 2},
		{Kind: ec2.Partial},
		{Kind: ec2.Partial, Times: 1},
		{Kind: ec2.Ambiguous},
		{Kind: ec2.Failed},
		{Kind: ec2.Failed, Times: 1},
		{Kind: ec2.Late, Delay: 4 * time.Second, Times: 1},
		{Kind: ec2.Lying},
		{Kind: ec2.Stale},
		{Kind: ec2.Slow, Delay: time.Second},
	} {
		out = append(out, providertest.Fault{
			Name: fmt.Sprintf("%s %d", x.Kind, x.Times), Set: func() { g.sim.Fail(x) },
			Mend: func() { g.sim.Mend(); time.Sleep(5 * time.Second) },
			Lies: x.Kind == ec2.Lying || x.Kind == ec2.Late,
		})
	}
	return out
}

// edit changes a group by hand.
func (g *ground) edit(t *testing.T, ref string, change func(*world.Group)) {
	t.Helper()
	g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
		for x := range w.Groups.All(now) {
			if x.ID == ref || x.Name == ref {
				x.Rules, x.Tags = slices.Clone(x.Rules), maps.Clone(x.Tags)
				change(&x)
				w.Groups.Put(now, x)
				return
			}
		}
		t.Errorf("there is no group %s", ref)
	})
}

// ruleOf finds the rule that o was read from.
func ruleOf(t *testing.T, x *world.Group, o provider.Owned) int {
	t.Helper()
	i := slices.IndexFunc(x.Rules, func(r world.Rule) bool { return strings.Contains(o.Native, `"id":"`+r.ID+`"`) })
	if i < 0 {
		t.Fatalf("no rule like %s", o.Native)
	}
	return i
}

func (g *ground) tamper(t *testing.T) providertest.Tamper {
	t.Helper()
	return providertest.Tamper{
		Flush: func() { g.flush() },
		Remove: func(o provider.Owned) {
			group, key, _ := strings.Cut(o.Native, " ")
			g.edit(t, group, func(x *world.Group) {
				if o.Kind == provider.OwnedLock {
					delete(x.Tags, key)
					return
				}
				i := ruleOf(t, x, o)
				x.Rules = slices.Delete(x.Rules, i, i+1)
			})
		},
		Widen: func(o provider.Owned) {
			group, _, _ := strings.Cut(o.Native, " ")
			g.edit(t, group, func(x *world.Group) {
				r := &x.Rules[ruleOf(t, x, o)]
				r.Protocol, r.First, r.Last, r.CIDR = "-1", -1, -1, netip.MustParsePrefix("0.0.0.0/0")
			})
		},
		Copy: func(o provider.Owned, to firewall.Key) {
			g.edit(t, g.own, func(x *world.Group) {
				r := x.Rules[ruleOf(t, x, o)]
				r.ID, r.First, r.Last, r.CIDR = "sgr-0000000000000c0b1", int(to.Door.Port), int(to.Door.Port), to.From
				x.Rules = append(x.Rules, r)
			})
		},
		Stranger: g.stranger,
		Touch: func() {
			g.edit(t, "other", func(x *world.Group) {
				x.Rules = append(x.Rules, world.Rule{ID: "sgr-0000000000000d0b1", Protocol: "tcp", First: 7777, Last: 7777, CIDR: netip.MustParsePrefix("10.9.9.0/24")})
			})
		},
	}
}

// flush deletes everything of ours.
func (g *ground) flush() {
	g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
		var ours []string
		for x := range w.Groups.All(now) {
			if strings.HasPrefix(x.Name, "sesame-main-") {
				ours = append(ours, x.ID)
				continue
			}
			x.Rules = slices.DeleteFunc(slices.Clone(x.Rules), func(r world.Rule) bool { return strings.HasPrefix(r.Description, "sesame1.main.") })
			w.Groups.Put(now, x)
		}
		for n := range w.Interfaces.All(now) {
			n.Groups = slices.DeleteFunc(slices.Clone(n.Groups), func(id string) bool { return slices.Contains(ours, id) })
			w.Interfaces.Put(now, n)
		}
		for _, id := range ours {
			w.Groups.Drop(now, id)
		}
	})
}

// stranger makes the owned group of another installation.
func (g *ground) stranger(other firewall.Keyring, at firewall.Key, until time.Time) func() bool {
	r := securitygroup.Reading{Network: securitygroup.Network{ID: g.vpc}, Keys: other}
	rule := r.Opening(at.Door, firewall.Opening{From: at.From, Until: until, Grants: "g-0"})
	const id = "sg-000000000000000ff"
	theirs := world.Rule{ID: "sgr-0000000000000e0b1", Description: rule.Description, Protocol: "tcp", First: rule.First, Last: rule.Last, CIDR: at.From}
	g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
		i, _ := w.Instances.Get(now, at.Door.VM.Name())
		w.Groups.Put(now, world.Group{Resource: world.Resource{ID: id, Owner: ec2.DefaultAccount}, VPC: i.VPC, Name: r.OwnName(at.Door.VM), Description: "theirs", Rules: []world.Rule{theirs}})
		n, _ := w.Interfaces.Get(now, i.Interfaces[0])
		n.Groups = append(slices.Clone(n.Groups), id)
		w.Interfaces.Put(now, n)
	})
	return func() bool {
		for _, x := range g.now().groups {
			if x.ID == id {
				return x.Document() == world.Group{Rules: []world.Rule{theirs}}.Document()
			}
		}
		return false
	}
}
