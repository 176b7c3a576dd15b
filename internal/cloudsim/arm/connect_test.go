package arm_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
)

// Every way in, and each of them shut by the one thing that stands on it.
func TestWaysIn(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	b := s.Builder(group)
	subnet := networkPath + "virtualNetworks/net/subnets/default"
	public := must(b.PublicIP("lb-ip", "20.0.0.9", "Standard"))(t)
	lb, rules := b.ID("loadBalancers", "lb"), "inboundNatRules"
	put := func(id, document string) {
		t.Helper()
		if err := s.Put(id, document); err != nil {
			t.Fatal(err)
		}
	}
	put(lb, fmt.Sprintf(`{"location":"westeurope","properties":{"frontendIPConfigurations":[{"name":"f","properties":{"publicIPAddress":{"id":%q}}}],%q:[{"name":"ssh","properties":{"frontendIPConfiguration":{"id":"%s/frontendIPConfigurations/f"},"protocol":"Tcp","frontendPort":50022,"backendPort":22}}]}}`, public, rules, lb))
	nsg := must(b.NSG("db-nsg", fleet.Rule{Name: "us", Priority: 100, From: []string{"8.8.8.8"}, Ports: []string{"22"}}, fleet.Rule{Name: "firewall", Priority: 101, From: []string{"10.0.9.0/26"}, Ports: []string{"22"}}, fleet.Rule{Name: "no", Priority: 4096, Access: "Deny", Protocol: "*"}))(t)
	nic := must(b.NIC("db-nic", nsg, fleet.IP{Subnet: subnet, Address: "10.0.0.5", NATRules: []string{lb + "/inboundNatRules/ssh"}}))(t)
	vm := must(b.VM("db", "Linux", nil, nic))(t)
	reach := func(client, want string) {
		t.Helper()
		if v := s.Connect(netip.MustParseAddr(client), vm, 22); v.Outcome.String() != want {
			t.Errorf("%s: %v by %v\n%v", client, v.Outcome, v.By(), v.Steps)
		}
	}
	reach("8.8.8.8", "delivered") // through the load balancer
	reach("9.9.9.9", "denied")
	reach("10.0.0.4", "denied") // from the web server beside it
	put(lb, `{"location":"westeurope","properties":{"frontendIPConfigurations":[]}}`+"")
	reach("8.8.8.8", "denied")
	if by := s.Connect(netip.MustParseAddr("8.8.8.8"), vm, 22).By(); by.Why != "no way leads there from 8.8.8.8" {
		t.Errorf("it is denied by %v", by)
	}

	put(b.ID("virtualNetworks", "net")+"/subnets/AzureFirewallSubnet", `{"properties":{"addressPrefix":"10.0.9.0/26"}}`)
	put(b.ID("firewallPolicies", "p"), `{"location":"westeurope","properties":{}}`)
	put(b.ID("firewallPolicies", "p")+"/ruleCollectionGroups/g", `{"properties":{"priority":100,"ruleCollections":[{"name":"nat","priority":100,"ruleCollectionType":"FirewallPolicyNatRuleCollection","action":{"type":"DNAT"},"rules":[{"ruleType":"NatRule","name":"ssh","ipProtocols":["TCP"],"sourceAddresses":["9.9.9.9"],"destinationAddresses":["20.0.0.9"],"destinationPorts":["2222"],"translatedAddress":"10.0.0.5","translatedPort":"22"}]}]}}`)
	put(b.ID("azureFirewalls", "f"), fmt.Sprintf(`{"location":"westeurope","properties":{"firewallPolicy":{"id":%q},"ipConfigurations":[{"name":"c","properties":{"privateIPAddress":"10.0.9.4","subnet":{"id":%q},"publicIPAddress":{"id":%q}}}]}}`,
		b.ID("firewallPolicies", "p"), b.ID("virtualNetworks", "net")+"/subnets/AzureFirewallSubnet", public))
	reach("9.9.9.9", "delivered")
	reach("8.8.8.8", "denied")
	s.do(t, "GET", b.ID("firewallPolicies", "p"), "").want(t, 200, "properties.ruleCollectionGroups.0.id", b.ID("firewallPolicies", "p")+"/ruleCollectionGroups/g", "properties.firewalls.0.id", b.ID("azureFirewalls", "f"))
	s.do(t, "GET", b.ID("firewallPolicies", "p")+"/ruleCollectionGroups", "").want(t, 200, "value.0.name", "g")

	if err := s.AdminRules(b.ID("virtualNetworks", "net"), `{"id":"deny-ssh","kind":"Custom","properties":{"priority":1,"direction":"Inbound","access":"Deny","protocol":"Tcp","destinationPortRanges":["22"],"sources":[{"addressPrefixType":"IPPrefix","addressPrefix":"10.0.9.0/26"}]}}`); err != nil {
		t.Fatal(err)
	}
	reach("9.9.9.9", "denied")
	s.do(t, "POST", b.ID("virtualNetworks", "net")+"/listNetworkManagerEffectiveSecurityAdminRules", "{}").want(t, 200, "value.0.id", "deny-ssh")

	hub := must(b.Network("hub", "10.9.0.0/16", fleet.Subnet{Name: "default", Prefix: "10.9.0.0/24"}))(t)
	reach("10.9.0.4", "denied")
	put(nsg+"/securityRules/hub", strings.Replace(rule(102, `"sourceAddressPrefix":"10.9.0.0/16","destinationAddressPrefix":"*"`), "8.8.8.8", "", 1))
	if err := b.Peer(b.ID("virtualNetworks", "net"), hub); err != nil {
		t.Fatal(err)
	}
	reach("10.9.0.4", "delivered")
}

func fleetOf(t testing.TB, n int, seed uint64) (*cloudsim.Simulator, []fleet.Machine) {
	t.Helper()
	s := cloudsim.New(cloudsim.Config{})
	return s, must(s.Fleet(n, seed))(t)
}

// A fleet depends on its seed only, every document of it is accepted, and real
// life is in it.
func TestFleet(t *testing.T) {
	one, machines := fleetOf(t, 120, 1)
	two, again := fleetOf(t, 120, 1)
	other, _ := fleetOf(t, 120, 2)
	kinds, outcomes, differs := map[string]int{}, map[packet.Outcome]int{}, false
	for i, m := range machines {
		if len(m.Groups) > 2 || m.ID != again[i].ID {
			t.Fatalf("%+v and %+v", m, again[i])
		}
		kinds[fmt.Sprint(len(m.Groups))]++
		for _, g := range m.Groups {
			text := string(must(one.Document(g))(t))
			if text != string(must(two.Document(g))(t)) {
				t.Fatalf("%s is not what it was", g)
			}
			for _, word := range []string{"JITRule_", "sourceApplicationSecurityGroups", "AzureLoadBalancer", "x-reviewed", `"TCP"`, "5985-5986", `"Deny"`, "::/0", `"priority":137`} {
				if strings.Contains(text, word) {
					kinds[word]++
				}
			}
			if o, err := other.Document(g); err != nil || string(o) != text {
				differs = true
			}
		}
		outcomes[one.Connect(netip.MustParseAddr("198.18.0.1"), m.ID, 22).Outcome]++
	}
	for _, word := range []string{"0", "1", "2", "JITRule_", "sourceApplicationSecurityGroups", "AzureLoadBalancer", "x-reviewed", `"TCP"`, "5985-5986", `"Deny"`, "::/0", `"priority":137`} {
		if kinds[word] == 0 {
			t.Errorf("nothing has %s: %v", word, kinds)
		}
	}
	if !differs || outcomes[packet.Delivered] == 0 || outcomes[packet.Denied] == 0 {
		t.Errorf("differs from another seed: %v; reach: %v", differs, outcomes)
	}
}

func BenchmarkFleet(b *testing.B) {
	for b.Loop() {
		fleetOf(b, 1000, 1)
	}
}

// A whole group of a thousand rules is written, again and again.
func BenchmarkPutThousandRules(b *testing.B) {
	s := cloudsim.New(cloudsim.Config{})
	builder := s.Builder(group)
	rules := make([]fleet.Rule, 1000)
	for i := range rules {
		rules[i] = fleet.Rule{Name: fmt.Sprintf("r%d", i), Priority: 100 + i, From: []string{"198.51.100.7"}, To: []string{"10.0.0.4"}, Ports: []string{"22"}}
	}
	for b.Loop() {
		if _, err := builder.NSG("g", rules...); err != nil {
			b.Fatal(err)
		}
	}
}
