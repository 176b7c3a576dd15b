package estate_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// westEurope is what the service tag stands for, in both worlds.
var westEurope = map[string][]netip.Prefix{"AzureCloud.westeurope": {netip.MustParsePrefix("13.69.0.0/17")}}

// furnish puts into subscription two what fleets do not have: a hub with a classic
// firewall, one with a policy and its parent, a load balancer, security admin rules,
// two families, several interfaces, groups at both places; peered with the fleet.
func furnish(t testing.TB, s *stage) {
	t.Helper()
	b := s.in(two)
	put := func(id, document string) {
		t.Helper()
		if err := s.Put(id, document); err != nil {
			t.Fatal(err)
		}
	}
	table := b.ID("routeTables", "by-wall")
	put(table, `{"location":"westeurope","properties":{"routes":[{"name":"all","properties":{"addressPrefix":"0.0.0.0/0","nextHopType":"VirtualAppliance","nextHopIpAddress":"10.200.9.4"}}]}}`)
	hub := must(b.Network("hub", "10.200.0.0/16",
		fleet.Subnet{Name: "vms", Prefix: "10.200.0.0/24"}, fleet.Subnet{Name: "AzureFirewallSubnet", Prefix: "10.200.9.0/26"}, fleet.Subnet{Name: "AzureBastionSubnet", Prefix: "10.200.8.0/26"}))(t)
	shut := must(b.NSG("shut", fleet.Rule{Name: "hub", Priority: 200, From: []string{"10.200.9.0/26"}, Ports: []string{"22"}}, fleet.Rule{Name: "rest", Priority: 4000, Access: "Deny", Protocol: "*"}))(t)
	spoke := must(b.Network("spoke", "10.201.0.0/16", fleet.Subnet{Name: "vms", Prefix: "10.201.0.0/24", Group: shut, Table: table}, fleet.Subnet{Name: "open", Prefix: "10.201.1.0/24"}))(t)
	for _, x := range [][2]string{{hub, spoke}, {hub, strings.ReplaceAll(b.ID("virtualNetworks", "vnet-0"), two+"/resourceGroups/"+group, one+"/resourceGroups/fleet")}} {
		if err := b.Peer(x[0], x[1]); err != nil {
			t.Fatal(err)
		}
	}
	must(b.PublicIP("wall-ip", "20.200.0.1", "Standard"))(t)
	parent, policy := b.ID("firewallPolicies", "parent"), b.ID("firewallPolicies", "policy")
	collection := func(name, kind, action, rules string) string {
		return fmt.Sprintf(`{"name":%q,"priority":200,"ruleCollectionType":%q,"action":{"type":%q},"rules":[%s]}`, name, kind, action, rules)
	}
	put(parent, `{"location":"westeurope","properties":{}}`)
	put(parent+"/ruleCollectionGroups/base", `{"properties":{"priority":100,"ruleCollections":[`+
		collection("net", "FirewallPolicyFilterRuleCollection", "Deny", `{"name":"no","ruleType":"NetworkRule","ipProtocols":["TCP"],"sourceAddresses":["10.200.0.5"],"destinationAddresses":["*"],"destinationPorts":["22"]}`)+`]}}`)
	put(policy, `{"location":"westeurope","properties":{"basePolicy":{"id":"`+strings.ToUpper(parent)+`"}}}`)
	put(policy+"/ruleCollectionGroups/own", `{"properties":{"priority":100,"ruleCollections":[`+
		collection("nat", "FirewallPolicyNatRuleCollection", "DNAT", `{"name":"in","ruleType":"NatRule","ipProtocols":["TCP"],"sourceAddresses":["198.51.100.0/24"],"destinationAddresses":["20.200.0.1"],"destinationPorts":["2222"],"translatedAddress":"10.201.0.4","translatedPort":"22"}`)+`,`+
		collection("net", "FirewallPolicyFilterRuleCollection", "Allow", `{"name":"ssh","ruleType":"NetworkRule","ipProtocols":["TCP"],"sourceAddresses":["10.200.0.0/24"],"destinationAddresses":["10.201.0.0/24"],"destinationPorts":["22"]}`)+`]}}`)
	put(b.ID("azureFirewalls", "wall"), fmt.Sprintf(`{"location":"westeurope","properties":{"firewallPolicy":{"id":%q},"ipConfigurations":[{"name":"c","properties":{"privateIPAddress":"10.200.9.4","subnet":{"id":%q},"publicIPAddress":{"id":%q}}}]}}`,
		policy, hub+"/subnets/AzureFirewallSubnet", b.ID("publicIPAddresses", "wall-ip")))
	lb := b.ID("loadBalancers", "lb")
	put(lb, fmt.Sprintf(`{"location":"westeurope","properties":{"frontendIPConfigurations":[{"name":"f","properties":{"publicIPAddress":{"id":%q}}}],"probes":[{"name":"ssh","properties":{"protocol":"Tcp","port":22}}],"inboundNatRules":[{"name":"ssh","properties":{"frontendIPConfiguration":{"id":"%s/frontendIPConfigurations/f"},"protocol":"Tcp","frontendPort":50022,"backendPort":22}}]}}`,
		must(b.PublicIP("lb-ip", "20.200.0.9", "Standard"))(t), lb))
	in := func(network, subnet, address, public string, nat ...string) fleet.IP {
		return fleet.IP{Subnet: network + "/subnets/" + subnet, Address: address, Public: public, NATRules: nat}
	}
	ssh := must(b.NSG("ssh", fleet.Rule{Name: "ssh", Priority: 300, From: []string{"198.51.100.0/24", "10.0.0.0/8", "20.0.0.0/7"}, Ports: []string{"22"}}, fleet.Rule{Name: "cloud", Priority: 400, From: []string{"AzureCloud.westeurope"}, Ports: []string{"22-80"}}))(t)
	must(b.VM("behind", "Linux", nil, must(b.NIC("behind-nic", ssh, in(spoke, "vms", "10.201.0.4", "")))(t)))(t)
	must(b.VM("many", "Linux", nil,
		must(b.NIC("many-1", ssh, in(spoke, "open", "10.201.1.4", "", lb+"/inboundNatRules/ssh"), in(spoke, "open", "10.201.1.5", "")))(t),
		must(b.NIC("many-2", "", in(spoke, "vms", "10.201.0.5", "")))(t)))(t)
	must(b.VM("bare", "Linux", nil, must(b.NIC("bare-nic", "", in(hub, "vms", "10.200.0.4", must(b.PublicIP("bare-ip", "20.200.0.7", "Basic"))(t))))(t)))(t)
	if err := s.AdminRules(hub, `{"kind":"Custom","id":"/x/deny","properties":{"priority":5,"direction":"Inbound","access":"Deny","protocol":"Tcp","sources":[{"addressPrefix":"198.51.100.0/25","addressPrefixType":"IPPrefix"}],"destinations":[],"sourcePortRanges":["0-65535"],"destinationPortRanges":["22"]}}`); err != nil {
		t.Fatal(err)
	}
}

// A judge asks the simulator packet by packet.
type judge struct {
	*packet.World

	homes   []*topology.Network
	publics []netip.Addr
	ports   []uint16 // in front of translations
	packets int
}

// starts returns where a packet from a may start: networks, and "" for the Internet.
func (j *judge) starts(a netip.Addr) []string {
	out := []string{""}
	for _, n := range j.homes {
		if n.SubnetOf(a) != nil {
			out = append(out, n.ID)
		}
	}
	return out
}

// gets returns the most that packets from a to port of the machine's configurations
// get.
func (j *judge) gets(own []*topology.Endpoint, a netip.Addr, port uint16) reach.Verdict {
	best := reach.Closed
	send := func(in string, to netip.Addr, at uint16) {
		if a.Is4() != to.Is4() {
			return
		}
		for _, client := range []uint16{1, 50000} {
			j.packets++
			v := j.Judge(packet.Packet{In: in, From: a, FromPort: client, To: to, ToPort: at, Protocol: packet.TCP, Left: true})
			ours := slices.ContainsFunc(own, func(e *topology.Endpoint) bool {
				return topology.Same(e.ID, v.Reached) || v.Reached == "" && v.To == e.Address
			})
			if ours && v.Port == port {
				best = max(best, map[packet.Outcome]reach.Verdict{packet.Denied: reach.Closed, packet.Unknown: reach.Unknown, packet.Delivered: reach.Open}[v.Outcome])
			}
		}
	}
	if a == netip.MustParseAddr("168.63.129.16") { // the platform is in every network
		for _, e := range own {
			send(e.Subnet.Network.ID, e.Address, port)
		}
	}
	for _, in := range j.starts(a) {
		for _, e := range own {
			if in != "" {
				send(in, e.Address, port)
			}
		}
		if in == "" && !a.IsPrivate() {
			for _, to := range j.publics {
				for _, at := range append(j.ports, port) {
					send(in, to, at)
				}
			}
		}
	}
	return best
}

// endpoints returns the IP configurations of a machine.
func (j *judge) endpoints(t testing.TB, s *stage, v inventory.VM) []*topology.Endpoint {
	var out []*topology.Endpoint
	document := strings.ToLower(string(must(s.Document(string(v.ID)))(t)))
	for _, e := range j.Endpoints {
		nic, _, _ := strings.Cut(strings.ToLower(e.ID), "/ipconfigurations/")
		if strings.Contains(document, `"`+nic+`"`) {
			out = append(out, e)
		}
	}
	return out
}

// Reach over the inventory says of every packet what the simulator says of it, over
// real HTTP, in a fleet and around a hub.
func TestAgainstPackets(t *testing.T) {
	for seed := range uint64(2) {
		s := newStage(t, cloudsim.Config{PageSize: 7, Config: rp.Config{Tags: westEurope}})
		must(s.Fleet(50, seed))(t)
		furnish(t, s)
		server := httptest.NewTLSServer(s.Simulator)
		s.config.Options.Transport = server.Client()
		s.config.Options.Cloud.Services[cloud.ResourceManager] = cloud.ServiceConfiguration{Endpoint: server.URL, Audience: "https://management.example"}
		s.config.Subscriptions, s.config.ManagementGroups = nil, []string{"platform"}
		s.config.Known.Tags = westEurope
		e := complete(t, s.reader(t))
		server.Close()

		j := &judge{World: must(s.Ground())(t), ports: []uint16{2222, 50022}}
		for _, x := range j.Endpoints {
			if !slices.Contains(j.homes, x.Subnet.Network) {
				j.homes = append(j.homes, x.Subnet.Network)
			}
		}
		for _, p := range j.PublicAddresses {
			j.publics = append(j.publics, p.Address)
		}
		model := reach.NewModel(e.Layers)
		r := rand.New(rand.NewPCG(seed, 1))
		var q reach.Query
		seen := map[reach.Verdict]int{}
		for _, v := range e.VMs {
			own := j.endpoints(t, s, v)
			for _, port := range []uint16{22, 80, 3389, 5986} {
				set := q.VM(v, model, firewall.Door{VM: v.ID, Protocol: firewall.TCP, Port: port})
				for _, a := range edges(r, set, 8) {
					got, want := set.At(a), j.gets(own, a, port)
					seen[want]++
					if got.Verdict != want {
						t.Fatalf("seed %d: %s to %s:%d is %s, want %s: %s %v", seed, a, v.Name, port, got.Verdict, want, got.Path(), got.Steps())
					}
				}
			}
		}
		if len(e.VMs) != 53 || seen[reach.Open] == 0 || seen[reach.Closed] == 0 || seen[reach.Unknown] == 0 {
			t.Errorf("%d machines, %v", len(e.VMs), seen)
		}
		t.Logf("seed %d: %d packets, verdicts %v", seed, j.packets, seen)
	}
}

// edges returns addresses at and beside the ends of spans.
func edges(r *rand.Rand, s reach.Set, most int) []netip.Addr {
	var out []netip.Addr
	for span := range s.All() {
		for _, a := range []netip.Addr{span.From.Prev(), span.From, span.To, span.To.Next()} {
			if a.IsValid() && a.Is4() {
				out = append(out, a)
			}
		}
	}
	r.Shuffle(len(out), func(i, k int) { out[i], out[k] = out[k], out[i] })
	return out[:min(most, len(out))]
}
