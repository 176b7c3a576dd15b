package posture_test

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/reach"
)

// awsCloud builds machines in a simulated region, each in a VPC of its own.
func awsCloud(tb testing.TB, machines []*machine) *cloud {
	tb.Helper()
	sim := must(ec2.New(ec2.Config{Unthrottled: true}))(tb)
	c := &cloud{machines: machines}
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		b := fleet.NewBuilder(w, ec2.DefaultAccount)
		for i, m := range machines {
			id := awsMachine(tb, b, i, m)
			c.ids = append(c.ids, firewall.VMID("arn:aws:ec2:"+ec2.DefaultRegion+":"+ec2.DefaultAccount+":instance/"+id))
		}
	})
	c.lookAt(tb, sim)
	return c
}

// lookAt reads the account as the provider does.
func (c *cloud) lookAt(tb testing.TB, sim *ec2.Simulator) {
	tb.Helper()
	regions := must(aws.Access{
		Endpoint: "http://ec2.example", Key: ec2.DefaultKey, Secret: ec2.DefaultSecret, Client: sim.Client(),
	}.Connect(tb.Context(), aws.Account{Regions: []string{ec2.DefaultRegion}}))(tb)
	p := aws.New(aws.Config{Regions: regions})
	c.vms, c.layers = must(p.Inventory(tb.Context()))(tb), map[firewall.ID]firewall.Layer{}
	for _, v := range c.vms {
		for _, fw := range v.Firewalls() {
			if _, read := c.layers[fw]; !read {
				c.layers[fw] = must(p.Observe(tb.Context(), fw, nil))(tb).Layer
			}
		}
	}
	c.connect = func(from netip.Addr, vm firewall.VMID, port uint16) reach.Verdict {
		switch sim.Connect(from, vm.Name(), int(port)).Outcome {
		case packet.Delivered:
			return reach.Open
		case packet.Unknown:
			return reach.Unknown
		case packet.Denied:
		}
		return reach.Closed
	}
}

// awsMachine builds what the lines of a machine say:
//
//	public               it has a public address
//	private              its subnet has no way to the Internet
//	six                  it has an IPv6 address
//	group, group2 [RULE] as [fleet.Builder.Group] reads it; without one, an empty group
//	acl NUMBER in|out allow|deny FIRST LAST NETWORK
//	tag KEY VALUE
//	stopped
func awsMachine(tb testing.TB, b *fleet.Builder, i int, m *machine) string {
	tb.Helper()
	n := number(i)
	leg := fleet.Leg{}
	x := world.Instance{Resource: world.Resource{Tags: world.Tags{}}}
	groups := map[string][]string{}
	var entries []world.Entry
	private := false
	for _, words := range m.build {
		switch words[0] {
		case "public":
			leg.Public = true
		case "private":
			private = true
		case "six":
			leg.IPv6 = true
		case "group", "group2":
			groups[words[0]] = append(groups[words[0]], strings.Join(words[1:], " "))
		case "acl":
			entries = append(entries, world.Entry{
				Number: mustNumber(tb, words[1]), Egress: words[2] == "out", Allow: words[3] == "allow", Protocol: 6,
				First: mustNumber(tb, words[4]), Last: mustNumber(tb, words[5]), CIDR: netip.MustParsePrefix(words[6]),
			})
		case "tag":
			x.Tags[words[1]] = words[2]
		case "stopped":
			x.State = "stopped"
		default:
			tb.Fatalf("%s: what is %v?", m.name, words)
		}
	}
	v := b.VPC("net-"+n, "10."+n+".0.0/16", "2001:db8:"+n+"::/56")
	routes := []string{"10." + n + ".0.0/16", "local", "2001:db8:" + n + "::/56", "local"}
	if !private {
		gateway := b.Gateway(v.ID)
		routes = append(routes, "0.0.0.0/0", gateway, "::/0", gateway)
	}
	b.Routes(v.ID, true, routes...)
	leg.Subnet = b.Subnet(v.ID, "a", "10."+n+".0.0/24", "2001:db8:"+n+"::/64", true)
	if len(entries) > 0 {
		acl, _ := b.World.NetworkACLs.Get(time.Time{}, leg.Subnet.ACL)
		acl.Entries = append(slices.Clone(acl.Entries), entries...)
		b.World.NetworkACLs.Put(time.Time{}, acl)
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		rules := slices.DeleteFunc(groups[name], func(r string) bool { return r == "" })
		leg.Groups = append(leg.Groups, b.Group(v.ID, name+"-"+n, name, rules...))
	}
	return b.Instance(m.name, x, leg).ID
}

func mustNumber(tb testing.TB, s string) int {
	tb.Helper()
	return must(strconv.Atoi(s))(tb)
}

// In fleets that were drawn, too, the naive packet test agrees with every verdict.
func TestAWSFleets(t *testing.T) {
	for seed := range uint64(3) {
		sim := must(ec2.New(ec2.Config{Unthrottled: true, Seed: seed}))(t)
		if err := sim.Fleet(ec2.DefaultRegion, 60, seed); err != nil {
			t.Fatal(err)
		}
		c := &cloud{}
		c.lookAt(t, sim)
		agree(t, c, func(v inventory.VM) (out []netip.Addr) { // others of the account, wherever they are
			for _, other := range c.vms {
				if other.ID != v.ID && len(out) < 5 {
					out = append(out, other.Addresses...)
				}
			}
			return out
		})
	}
}

// agree fails unless the packet test says of every machine what its findings say: of
// strangers from the Internet, of neighbours, and of every witness.
func agree(t *testing.T, c *cloud, near func(inventory.VM) []netip.Addr) {
	t.Helper()
	found := map[firewall.VMID][]posture.Finding{}
	seen := map[posture.Verdict]int{}
	for f := range posture.Judge(posture.Estate{VMs: c.vms, Model: reach.NewModel(c.layers)}, settings(), now) {
		found[f.VM] = append(found[f.VM], f)
		if f.Check.OfPort() {
			seen[f.Verdict]++
		}
	}
	for _, v := range c.vms {
		m := &machine{name: v.Name}
		m.probe(t, c, found[v.ID], append(m.strangers(), near(v)...))
	}
	t.Log(seen)
	if seen[posture.Unhealthy] == 0 || seen[posture.Healthy] == 0 {
		t.Errorf("nothing to agree about: %v", seen)
	}
}
