package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const base = "/subscriptions/1/resourceGroups/RG/providers/Microsoft.Network/"

func TestIdsKnowNoCase(t *testing.T) {
	e := Read(map[string]json.RawMessage{
		base + "virtualNetworks/V": json.RawMessage(`{"PROPERTIES":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"subnets":[
			{"name":"S","properties":{"addressPrefix":"10.0.0.0/24","networkSecurityGroup":{"id":"/G/One"},"routeTable":{"id":"/T"}}},
			{"name":"gatewaySUBNET","properties":{"addressPrefixes":["10.0.8.0/27","10.0.8.32/27"]}}]}}`),
		strings.ToUpper(base) + "networkInterfaces/n": json.RawMessage(`{"properties":{"virtualMachine":{"id":"/VM/A"},"ipConfigurations":[
			{"id":"/c","properties":{"privateIPAddress":"10.0.0.4","subnet":{"id":"` + strings.ToUpper(base+"virtualNetworks/v/subnets/s") + `"},"applicationSecurityGroups":[{"id":"/ASG"}]}},
			{"id":"/d","properties":{"subnet":{"id":"/x"}}}]}}`),
	})
	if len(e.Machines) != 1 || e.Machines[0].ID != "/VM/A" || len(e.Machines[0].Configs) != 1 {
		t.Fatalf("machines: %+v", e.Machines)
	}
	c := e.Machines[0].Configs[0]
	if c.Subnet != e.Networks[0].Subnets[0] || c.Subnet.Group != "/g/one" || c.Subnet.Table != "/t" || c.ASGs[0] != "/asg" {
		t.Errorf("the configuration is %+v in %+v", c, c.Subnet)
	}
	if g := e.Networks[0].Gateway; g == nil || len(g.Prefixes) != 2 {
		t.Errorf("the gateway subnet is %+v", g)
	}
	if _, known := e.RoutesOf(c.Subnet); known {
		t.Error("the routes of a table that was not read are known")
	}
}

// What cannot be read is said where it matters.
func TestUnreadableDocuments(t *testing.T) {
	machine := "/subscriptions/1/providers/Microsoft.Compute/virtualMachines/m"
	for _, tt := range []struct {
		id, text string
		missing  string // of the machine, or of all of them
	}{
		{base + "networkInterfaces/n", `7`, "network interface n was not read"},
		{base + "networkInterfaces/n", `{"properties":{"ipConfigurations":[{"id":"/c","properties":{"privateIPAddress":"ten"}}]}}`, "network interface n was not read"},
		{base + "networkInterfaces/n", `{"properties":{"ipConfigurations":[{"id":"/c","properties":{"privateIPAddress":"10.0.0.4","subnet":{"id":"/s"}}}]}}`, "n/c is in a subnet that was not read: /s"},
		{base + "loadBalancers/lb", `{"properties":7}`, "loadBalancers/lb could not be read and may lead here"},
		{base + "azureFirewalls/f", `7`, "azureFirewalls/f could not be read and may lead here"},
		{base + "firewallPolicies/p", `7`, "firewallPolicies/p could not be read and may lead here"},
		{base + "firewallPolicies/p/ruleCollectionGroups/g", `{}`, "ruleCollectionGroups/g could not be read and may lead here: its policy was not read"},
		{machine, `7`, "its document could not be read"},
	} {
		docs := map[string]json.RawMessage{machine: json.RawMessage(`{"properties":{"networkProfile":{"networkInterfaces":[{"id":"` + base + `networkInterfaces/n"}]}}}`)}
		docs[tt.id] = json.RawMessage(tt.text)
		e := Read(docs)
		all := slices.Concat(e.Machines[0].Missing, e.Missing)
		if !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, tt.missing) }) {
			t.Errorf("%s: missing is %q, want %q", tt.id, all, tt.missing)
		}
	}
	for _, id := range []string{"virtualNetworks/v", "networkSecurityGroups/g", "routeTables/t", "publicIPAddresses/p", "ipGroups/i", "virtualNetworks/v" + AdminRules} {
		e := Read(map[string]json.RawMessage{base + id: json.RawMessage(`[]`)})
		if e.Unread[strings.ToLower(base+id)] == "" {
			t.Errorf("%s was read", id)
		}
	}
	for id, text := range map[string]string{
		"virtualNetworks/v":   `{"properties":{"subnets":[{"name":"s","properties":{"addressPrefix":"ten"}}]}}`,
		"routeTables/t":       `{"properties":{"routes":[{"name":"tag","properties":{"addressPrefix":"Sql"}}]}}`,
		"publicIPAddresses/p": `{"properties":{"ipAddress":"ten"}}`,
	} {
		e := Read(map[string]json.RawMessage{base + id: json.RawMessage(text)})
		if e.Unread[strings.ToLower(base+id)] == "" {
			t.Errorf("%s was read", id)
		}
	}
}

func TestJoined(t *testing.T) {
	docs := map[string]json.RawMessage{}
	network := func(name string, peers ...string) {
		var all []string
		for _, p := range peers {
			all = append(all, fmt.Sprintf(`{"properties":{"peeringState":"Connected","remoteVirtualNetwork":{"id":%q},"remoteAddressSpace":{"addressPrefixes":["10.9.0.0/16"]}}}`, base+"virtualNetworks/"+p))
		}
		docs[base+"virtualNetworks/"+name] = json.RawMessage(`{"properties":{"virtualNetworkPeerings":[` + strings.Join(all, ",") + `]}}`)
	}
	network("hub", "a", "b", "c", "gone")
	network("a", "hub")
	network("b", "hub")
	network("c") // one side is not enough
	e := Read(docs)
	var got []string
	for _, n := range e.Joined(e.Network(strings.ToLower(base + "virtualNetworks/a"))) {
		got = append(got, n.ID[strings.LastIndexByte(n.ID, '/')+1:])
	}
	if diff := cmp.Diff([]string{"a", "hub", "b"}, got); diff != "" {
		t.Errorf("joined (-want +got):\n%s", diff)
	}
	hub := e.Network(strings.ToLower(base + "virtualNetworks/hub"))
	if s := e.SpaceOf(hub.Peerings[3]); len(s) != 1 {
		t.Errorf("the space of a peer that was not read is %v", s)
	}
}

// Whatever a document holds, it is read or said to be unread, and what may lead
// anywhere is then said for every machine.
func FuzzDocuments(f *testing.F) {
	f.Add("loadBalancers/lb", `{"properties":{"frontendIPConfigurations":[{"name":"in","properties":{"privateIPAddress":"10.1.0.100","subnet":{"id":"/s"}}}],"backendAddressPools":[{"name":"b","properties":{"loadBalancerBackendAddresses":[{"properties":{"ipAddress":"10.1.0.4","virtualNetwork":{"id":"/v"}}}]}}],"inboundNatPools":[{"name":"p","properties":{"frontendPortRangeStart":50000,"frontendPortRangeEnd":50119,"backendPort":22}}],"loadBalancingRules":[{"name":"web","properties":{"protocol":"Tcp","frontendPort":80,"enableFloatingIP":true}}]}}`)
	f.Add("loadBalancers/lb", `{"properties":{"backendAddressPools":[{"properties":{"loadBalancerBackendAddresses":[{"properties":{"subnet":{"id":"/SUBNETS/"}}},{"properties":{"ipAddress":"ten"}}]}}]}}`)
	f.Add("azureFirewalls/f", `{"properties":{"virtualHub":{"id":"/h"},"hubIPAddresses":{"publicIPs":{"addresses":[{"address":"?"}]}}}}`)
	f.Add("virtualNetworks/v", `{"properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"subnets":[{"name":"GatewaySubnet","properties":{"addressPrefix":"10.0.8.0/27"}}]}}`)
	f.Add("networkInterfaces/n", `{"properties":{"virtualMachine":{"id":"/VM/A"},"ipConfigurations":[{"id":"/c","properties":{"privateIPAddress":"10.0.0.4","subnet":{"id":"/s"}}}]}}`)
	f.Add("routeTables/t", `{"properties":{"routes":[{"name":"r","properties":{"addressPrefix":"0.0.0.0/0","nextHopType":"VirtualAppliance","nextHopIpAddress":"10.0.9.4"}}]}}`)
	f.Fuzz(func(t *testing.T, id, text string) {
		id = base + id
		e := Read(map[string]json.RawMessage{id: json.RawMessage(text)})
		unread := e.Unread[key(id)] != ""
		leads := map[string]int{"loadbalancers": len(e.Balancers), "azurefirewalls": len(e.Firewalls)}
		for kind, read := range leads {
			if kindOf(id) == kind && (read == 1) == unread {
				t.Errorf("%s: read %d, unread %t", id, read, unread)
			}
			if kindOf(id) == kind && unread && len(e.Missing) == 0 {
				t.Errorf("%s may lead anywhere, and nobody says so", id)
			}
		}
	})
}
