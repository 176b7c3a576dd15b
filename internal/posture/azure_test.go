package posture_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
	"github.com/sesame-access/sesame/internal/reach"
)

// azureCloud builds machines in a simulated subscription, each in a virtual network
// of its own.
func azureCloud(tb testing.TB, machines []*machine) *cloud {
	tb.Helper()
	sim := arm.New(arm.Config{})
	b := azureBuilder{Builder: sim.Builder("rg"), sim: sim}
	c := &cloud{machines: machines}
	for i, m := range machines {
		id := b.machine(tb, i, m)
		c.ids = append(c.ids, must(firewall.ParseVMID(id))(tb))
	}
	c.look(tb, sim)
	return c
}

// look reads the subscription as the provider does.
func (c *cloud) look(tb testing.TB, sim *arm.Simulator) {
	tb.Helper()
	surveyor := must(azure.Cloud{
		Endpoint: "https://management.example", Audience: "https://management.example", Token: sim.Token(), Client: sim.Client(),
	}.Survey(estate.Config{Subscriptions: []string{arm.SubscriptionID}}))(tb)
	s := must(surveyor.Survey(tb.Context()))(tb)
	c.vms, c.layers = s.VMs, s.Layers
	c.connect = func(from netip.Addr, vm firewall.VMID, port uint16) reach.Verdict {
		switch sim.Connect(from, string(vm), port).Outcome {
		case packet.Delivered:
			return reach.Open
		case packet.Denied:
			return reach.Closed
		case packet.Unknown:
		}
		return reach.Unknown
	}
}

// An azureBuilder builds what the lines of a machine say:
//
//	public [Basic|Standard]                                 it has a public address
//	nic, nic2, subnet [NUMBER ACTION PORTS SOURCES NAME [PROTOCOL [TO]]]
//	admin NUMBER ACTION PORT NAME                           a security admin rule
//	tag KEY VALUE
//	deallocated
type azureBuilder struct {
	fleet.Builder

	sim *arm.Simulator
}

func (b azureBuilder) machine(tb testing.TB, i int, m *machine) string {
	tb.Helper()
	n := number(i)
	groups := map[string][]fleet.Rule{}
	tags := map[string]string{}
	ip := fleet.IP{Address: "10." + n + ".0.4"}
	network := b.ID("virtualNetworks", "net-"+n)
	ip.Subnet = network + "/subnets/default"
	off := false
	var admin []string
	for _, words := range m.build {
		switch words[0] {
		case "public":
			ip.Public = must(b.PublicIP("ip-"+n, "20.0.0."+n, words[1]))(tb)
		case "nic", "nic2", "subnet":
			groups[words[0]] = append(groups[words[0]], rules(tb, words[1:])...)
		case "admin":
			admin = append(admin, fmt.Sprintf(`{"kind":"Custom","id":"/x/%s","properties":{"priority":%s,"direction":"Inbound","access":%q,"protocol":"Tcp","sources":[{"addressPrefix":"*","addressPrefixType":"IPPrefix"}],"destinations":[],"sourcePortRanges":["0-65535"],"destinationPortRanges":[%q]}}`,
				words[4], words[1], words[2], words[3]))
		case "tag":
			tags[words[1]] = words[2]
		case "deallocated":
			off = true
		default:
			tb.Fatalf("%s: what is %v?", m.name, words)
		}
	}
	group := func(at string) string {
		if rules, some := groups[at]; some {
			return must(b.NSG(at+"-"+n, rules...))(tb)
		}
		return ""
	}
	must(b.Network("net-"+n, "10."+n+".0.0/16", fleet.Subnet{Name: "default", Prefix: "10." + n + ".0.0/24", Group: group("subnet"), Table: ""}))(tb)
	nics := []string{must(b.NIC("nic-"+n, group("nic"), ip))(tb)}
	if _, two := groups["nic2"]; two {
		nics = append(nics, must(b.NIC("nic2-"+n, group("nic2"), fleet.IP{Subnet: ip.Subnet, Address: "10." + n + ".0.5"}))(tb))
	}
	id := must(b.VM(m.name, "Linux", tags, nics...))(tb)
	if len(admin) > 0 {
		if err := b.sim.AdminRules(network, admin...); err != nil {
			tb.Fatal(err)
		}
	}
	if off {
		b.deallocate(tb, id)
	}
	return id
}

// rules reads NUMBER ACTION PORTS SOURCES NAME [PROTOCOL [TO]]; no words are no rule.
func rules(tb testing.TB, words []string) []fleet.Rule {
	tb.Helper()
	if len(words) == 0 {
		return []fleet.Rule{}
	}
	r := fleet.Rule{Name: words[4], Access: words[1], Ports: strings.Split(words[2], ","), From: strings.Split(words[3], ",")}
	r.Priority = must(strconv.Atoi(words[0]))(tb)
	if len(words) > 5 {
		r.Protocol = words[5]
	}
	if len(words) > 6 {
		r.To = []string{words[6]}
	}
	return []fleet.Rule{r}
}

func (b azureBuilder) deallocate(tb testing.TB, id string) {
	tb.Helper()
	r := must(http.NewRequestWithContext(tb.Context(), http.MethodPost, "https://management.example"+id+"/deallocate?api-version=2024-07-01", nil))(tb)
	r.Header.Set("Authorization", "Bearer "+b.sim.Token())
	answer, err := b.sim.Client().Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode >= 300 {
		tb.Fatalf("deallocate: %s", answer.Status)
	}
}

// In fleets that were drawn, too, the naive packet test agrees with every verdict.
func TestAzureFleets(t *testing.T) {
	for seed := range uint64(3) {
		sim := arm.New(arm.Config{})
		made := must(sim.Fleet(60, seed))(t)
		c := &cloud{}
		c.look(t, sim)
		near := []string{}
		for _, m := range made {
			near = append(near, m.Address)
		}
		agree(t, c, func(v inventory.VM) []netip.Addr {
			// Everybody in its network, where a neighbour is.
			var out []netip.Addr
			for _, s := range near {
				a := netip.MustParseAddr(s)
				if slash24(a) == slash24(v.Addresses[0]) && a != v.Addresses[0] {
					out = append(out, a)
				}
			}
			return out[:min(len(out), 3)]
		})
	}
}

func slash24(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 24).Masked() }
