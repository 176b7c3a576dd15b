package path_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/provider/azure/path"
)

// walled is plain with a firewall in 10.0.9.0/28, which has the public address
// 20.0.0.2, and the rules of a classic one.
func walled(more thing, rules ...string) documents {
	d := plain(rules...)
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets": list{
			thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24", "routeTable": ref("routeTables", "t")}},
			thing{"name": "AzureFirewallSubnet", "properties": thing{"addressPrefix": "10.0.9.0/28"}},
		},
	})
	d.put("routeTables", "t", thing{"routes": list{thing{"name": "all", "properties": thing{"addressPrefix": "10.0.0.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.4"}}}})
	d.put("publicIPAddresses", "f", thing{"ipAddress": "20.0.0.2"})
	more["ipConfigurations"] = list{thing{"properties": thing{
		"privateIPAddress": "10.0.9.4", "subnet": thing{"id": base + "virtualNetworks/v/subnets/AzureFirewallSubnet"}, "publicIPAddress": ref("publicIPAddresses", "f"),
	}}}
	d.put("azureFirewalls", "f", more)
	return d
}

// collected is a collection of one rule.
func collected(action string, rule thing) list {
	rule["name"] = "r"
	return list{thing{"name": "c", "properties": thing{"priority": 100, "action": thing{"type": action}, "rules": list{rule}}}}
}

func dnat(to string) thing {
	return thing{
		"protocols": []string{"TCP"}, "sourceAddresses": []string{"8.8.8.0/24"}, "destinationAddresses": []string{"20.0.0.2"},
		"destinationPorts": []string{"2201"}, "translatedAddress": to, "translatedPort": "22",
	}
}

func TestTranslationShowsTheFirewall(t *testing.T) {
	nat := thing{"natRuleCollections": collected("Dnat", dnat("10.0.0.4"))}
	client := walled(nat, "client 100 Allow Tcp 8.8.8.8 * 22", "no 200 Deny * * * *")
	delete(client, base+"publicIPAddresses/p")
	client.put("publicIPAddresses", "p", thing{})
	client.expect(t, path.Known{}, "a 8.8.8.8 22 closed")
	wall := walled(nat, "wall 100 Allow Tcp 10.0.9.0/28 * 22", "no 200 Deny * * * *")
	wall.expect(t, path.Known{}, "a 8.8.8.8 22 open c/r", "a 8.8.9.8 22 closed", "a 8.8.8.8 23 closed")
	one := walled(nat, "one 100 Allow Tcp 10.0.9.4 * 22", "no 200 Deny * * * *")
	one.expect(t, path.Known{}, "a 8.8.8.8 22 unknown one")
}

// A translation of the firewall's private address is for who comes to that one.
func TestTranslationOfPrivateAddress(t *testing.T) {
	private := func(to string, rules ...string) documents {
		x := dnat(to)
		x["destinationAddresses"], x["sourceAddresses"] = []string{"10.0.9.4"}, []string{"10.0.5.0/24"}
		d := walled(thing{"natRuleCollections": collected("Dnat", x)}, rules...)
		d.put("virtualNetworks", "v", thing{
			"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
			"subnets": list{
				thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24"}},
				thing{"name": "office", "properties": thing{"addressPrefix": "10.0.5.0/24", "routeTable": ref("routeTables", "t")}},
				thing{"name": "AzureFirewallSubnet", "properties": thing{"addressPrefix": "10.0.9.0/28"}},
			},
		})
		return d
	}
	wall := []string{"wall 100 Allow Tcp 10.0.9.0/28 * 22", "no 200 Deny * * * *"}
	private("10.0.0.4", wall...).expect(t, path.Known{}, "a 10.0.5.7 22 open c/r", "a 10.0.0.7 22 closed", "a 8.8.8.8 22 closed", "a 10.0.5.7 23 closed")
	private("10.0.0.4", "client 100 Allow Tcp 10.0.5.0/24 10.0.0.9 22", "no 200 Deny * * * *").expect(t, path.Known{}, "a 10.0.5.7 22 closed")
	d := private("10.0.0.4", wall...)
	route := func(hop, to string) {
		d.put("routeTables", "t", thing{"routes": list{thing{"name": "wall", "properties": thing{"addressPrefix": "10.0.9.0/24", "nextHopType": hop, "nextHopIpAddress": to}}}})
	}
	route("VirtualAppliance", "10.0.9.4") // to the firewall, through the firewall
	d.expect(t, path.Known{}, "a 10.0.5.7 22 open c/r")
	route("None", "")
	d.expect(t, path.Known{}, "a 10.0.5.7 22 closed")
	route("VirtualAppliance", "10.0.9.9")
	d.expect(t, path.Known{}, "a 10.0.5.7 22 unknown wall")
	d = private("10.0.0.4", wall...)
	name := dnat("")
	name["destinationAddresses"], name["translatedFqdn"] = []string{"10.0.9.4"}, "db.example.com"
	walled(thing{"natRuleCollections": collected("Dnat", name)}, wall...).expect(t, path.Known{}, "a 10.0.0.7 22 unknown", "a 10.0.0.7 23 closed")
}

// A firewall in a virtual hub has its addresses in its own document.
func TestFirewallInHub(t *testing.T) {
	hub := func(d documents, rules ...thing) {
		var all list
		for _, r := range rules {
			r["ruleType"], r["ipProtocols"] = "NatRule", r["protocols"]
			all = append(all, r)
		}
		d.put("azureFirewalls", "f", thing{
			"virtualHub": ref("virtualHubs", "h"), "firewallPolicy": ref("firewallPolicies", "p"),
			"hubIPAddresses": thing{"privateIPAddress": "10.9.9.4", "publicIPs": thing{"count": 1, "addresses": list{thing{"address": "20.0.0.2"}}}},
		})
		d.put("firewallPolicies", "p", thing{})
		d.put("firewallPolicies/p/ruleCollectionGroups", "g", thing{"priority": 100, "ruleCollections": list{thing{
			"name": "c", "priority": 100, "ruleCollectionType": "FirewallPolicyNatRuleCollection", "action": thing{"type": "DNAT"}, "rules": all,
		}}})
	}
	d := plain("hub 100 Allow Tcp 10.9.9.0/24 * 22", "no 200 Deny * * * *")
	hub(d)
	d.expect(t, path.Known{}, "a 8.8.8.8 22 closed")
	hub(d, dnat("10.0.0.4"))
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown hub", "a 8.8.9.8 22 closed", "a 8.8.8.8 23 closed", "b 8.8.8.8 22 closed")
	private := dnat("10.0.0.4")
	private["destinationAddresses"], private["sourceAddresses"] = []string{"10.9.9.4"}, []string{"10.5.0.0/24"}
	hub(d, private)
	d.expect(t, path.Known{}, "a 10.5.0.7 22 unknown hub", "a 8.8.8.8 22 closed")
	d.put("azureFirewalls", "f", thing{"virtualHub": ref("virtualHubs", "h"), "hubIPAddresses": thing{"publicIPs": thing{"addresses": list{thing{"address": "?"}}}}})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown")
}

// Parents are followed to the end, however many there are.
func TestChainOfPolicies(t *testing.T) {
	rules := []string{"wall 100 Allow Tcp 10.0.9.0/28 * 22", "no 200 Deny * * * *"}
	d := walled(thing{"firewallPolicy": ref("firewallPolicies", "p0")}, rules...)
	for i := range 12 {
		d.put("firewallPolicies", fmt.Sprint("p", i), thing{"basePolicy": ref("firewallPolicies", fmt.Sprint("P", i+1))})
	}
	d.put("firewallPolicies", "p12", thing{})
	r := dnat("10.0.0.4")
	r["ruleType"], r["ipProtocols"] = "NatRule", r["protocols"]
	d.put("firewallPolicies/p12/ruleCollectionGroups", "g", thing{"priority": 100, "ruleCollections": list{thing{
		"name": "c", "priority": 100, "ruleCollectionType": "FirewallPolicyNatRuleCollection", "rules": list{r},
	}}})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open c/", "a 8.8.9.8 22 closed")
	d.put("firewallPolicies", "p12", thing{"basePolicy": ref("firewallPolicies", "p3")})
	d.expect(t, path.Known{}, "a 8.8.9.8 22 unknown parent")
}

func TestTranslationThatIsNotCertain(t *testing.T) {
	rules := []string{"wall 100 Allow Tcp 10.0.9.0/28 * 22", "no 200 Deny * * * *"}
	name := dnat("")
	name["translatedFqdn"] = "db.example.com"
	walled(thing{"natRuleCollections": collected("Dnat", name)}, rules...).expect(t, path.Known{}, "a 8.8.8.8 22 unknown", "a 8.8.8.8 23 closed")
	walled(thing{"firewallPolicy": ref("firewallPolicies", "gone")}, rules...).expect(t, path.Known{}, "a 8.8.8.8 22 unknown", "a 8.8.8.8 23 closed")
	d := walled(thing{"natRuleCollections": collected("Dnat", dnat("10.0.0.4"))}, rules...)
	delete(d, base+"publicIPAddresses/f") // it may be the one that the rule is about
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown", "a 8.8.9.8 22 closed")
}

// A firewall may lead to a frontend in its network, which leads on.
func TestTranslationToFrontend(t *testing.T) {
	to := dnat("10.0.0.100")
	d := walled(thing{"natRuleCollections": collected("Dnat", to)})
	pool := thing{"id": base + "loadBalancers/lb/backendAddressPools/b"}
	c := config("v", "s", "10.0.0.4")
	c["loadBalancerBackendAddressPools"] = list{pool}
	d.vm("a", thing{}, c)
	balance := func(port int) {
		d.put("loadBalancers", "lb", thing{
			"frontendIPConfigurations": list{thing{"name": "f", "properties": thing{"privateIPAddress": "10.0.0.100", "subnet": thing{"id": base + "virtualNetworks/v/subnets/s"}}}},
			"loadBalancingRules": list{thing{"name": "r", "properties": thing{
				"frontendIPConfiguration": thing{"id": base + "loadBalancers/lb/frontendIPConfigurations/f"}, "protocol": "Tcp", "frontendPort": port, "backendPort": 80, "backendAddressPool": pool,
			}}},
		})
	}
	balance(22)
	d.expect(t, path.Known{}, "a 8.8.8.8 80 open c/r", "a 8.8.8.8 22 closed", "a 8.8.9.8 80 closed")
	balance(23)
	d.expect(t, path.Known{}, "a 8.8.8.8 80 closed", "a 8.8.8.8 22 closed")
	balance(0) // all ports, and each to itself
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open c/r", "a 8.8.8.8 80 closed")
}

func TestOneFirewallBetweenSubnets(t *testing.T) {
	between := thing{"protocols": []string{"Any"}, "sourceAddresses": []string{"10.0.0.5"}, "destinationAddresses": []string{"*"}, "destinationPorts": []string{"22"}}
	d := walled(thing{"networkRuleCollections": collected("Allow", between)})
	d.expect(t, path.Known{}, "a 10.0.0.5 22 open c/r", "a 10.0.0.6 22 closed", "a 10.0.0.5 23 closed")
	d = walled(thing{"networkRuleCollections": collected("Allow", between), "additionalProperties": thing{"Network.SNAT.PrivateRanges": "0.0.0.0/0"}})
	d.expect(t, path.Known{}, "a 10.0.0.5 22 unknown")
	// Application rules decide by names, and only about their ports.
	web := thing{"sourceAddresses": []string{"10.0.0.5"}, "protocols": list{thing{"protocolType": "Http", "port": 80}}, "targetFqdns": []string{"*"}}
	d = walled(thing{"applicationRuleCollections": collected("Allow", web)})
	d.expect(t, path.Known{}, "a 10.0.0.5 80 unknown", "a 10.0.0.5 22 closed", "a 10.0.0.6 80 closed")
}

func TestWaysThatNobodySeesInto(t *testing.T) {
	d := walled(thing{}, "b 100 Allow Tcp 10.0.0.5 * 22", "no 200 Deny * * * *")
	d.put("routeTables", "t", thing{"routes": list{thing{"name": "nva", "properties": thing{"addressPrefix": "10.0.0.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.9"}}}})
	// Who is behind 10.0.9.9 is not known: it may have an interface next to 10.0.0.5.
	d.expect(t, path.Known{}, "a 10.0.0.5 22 unknown nva", "a 10.0.0.6 22 unknown nva", "a 10.0.0.5 23 closed")
	delete(d, base+"routeTables/t")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 unknown table", "a 10.0.0.5 23 closed")
}

// Appliances have an interface in every subnet that they stand between: a packet may
// come with the address of any of them, and of no other.
func TestApplianceWithTwoInterfaces(t *testing.T) {
	d := walled(thing{}, "b 100 Allow Tcp 10.0.0.5 * 22", "no 200 Deny * * * *")
	d.put("routeTables", "t", thing{"routes": list{thing{"name": "nva", "properties": thing{"addressPrefix": "10.0.0.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.9"}}}})
	d.vm("nva", thing{}, config("v", "AzureFirewallSubnet", "10.0.9.9"))
	d.expect(t, path.Known{}, "a 10.0.0.5 22 unknown nva", "a 10.0.0.6 22 closed", "a 10.0.0.5 23 closed")
	c := config("v", "s", "10.0.0.99")
	d.put("networkInterfaces", "inner", thing{
		"virtualMachine":   thing{"id": compute + "nva"},
		"ipConfigurations": list{thing{"id": base + "networkInterfaces/inner/ipConfigurations/c0", "properties": c}},
	})
	two := list{ref("networkInterfaces", "nva"), ref("networkInterfaces", "inner")}
	d.write(compute+"nva", thing{"properties": thing{"networkProfile": thing{"networkInterfaces": two}}})
	d.expect(t, path.Known{}, "a 10.0.0.6 22 unknown nva", "a 10.0.0.6 23 closed")
	delete(d, base+"networkInterfaces/inner")
	d.expect(t, path.Known{}, "a 10.0.0.6 22 unknown nva")
}

// Somebody in another network has the same address, and does not matter.
func TestApplianceOfAnotherNetwork(t *testing.T) {
	d := walled(thing{}, "b 100 Allow Tcp 10.0.0.5 * 22", "no 200 Deny * * * *")
	d.put("routeTables", "t", thing{"routes": list{thing{"name": "nva", "properties": thing{"addressPrefix": "10.0.0.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.9"}}}})
	d.put("virtualNetworks", "w", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.9.0/24"}},
		"subnets":      list{thing{"name": "s", "properties": thing{"addressPrefix": "10.0.9.0/24"}}},
	})
	d.vm("nva", thing{}, config("w", "s", "10.0.9.9"))
	d.expect(t, path.Known{}, "a 10.0.0.6 22 unknown nva")
}

func TestPeerThatWasNotRead(t *testing.T) {
	d := plain("peer 100 Allow Tcp 10.9.0.0/24 * 22")
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets":      list{thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24"}}},
		"virtualNetworkPeerings": list{thing{"properties": thing{
			"peeringState": "Connected", "allowVirtualNetworkAccess": false, "remoteVirtualNetwork": ref("virtualNetworks", "hub"), "remoteAddressSpace": thing{"addressPrefixes": []string{"10.9.0.0/16"}},
		}}},
	})
	d.expect(t, path.Known{}, "a 10.9.0.7 22 unknown hub", "a 10.8.0.7 22 closed", "a 10.0.0.5 22 open")
	// If it lends a gateway, anybody may come through it.
	v := base + "virtualNetworks/v"
	d.rules("all 100 Allow Tcp * * 22")
	d.expect(t, path.Known{}, "a 192.168.7.1 22 closed")
	d[v] = json.RawMessage(strings.Replace(string(d[v]), `"peeringState"`, `"useRemoteGateways":true,"peeringState"`, 1))
	d.expect(t, path.Known{}, "a 192.168.7.1 22 unknown", "a 192.168.7.1 23 unknown AllowVnet")
}

// A public address that was not read is one.
func TestPublicAddressThatWasNotRead(t *testing.T) {
	d := plain("all 100 Allow Tcp * * 22")
	delete(d, base+"publicIPAddresses/p")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open all", "b 8.8.8.8 22 closed")
}

// Behind a translation there are routes, too.
func TestTranslationMeetsRoutes(t *testing.T) {
	d := walled(thing{"natRuleCollections": collected("Dnat", dnat("10.0.0.4"))}, "wall 100 Allow Tcp 10.0.9.0/28 * 22", "no 200 Deny * * * *")
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets": list{
			thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24"}},
			thing{"name": "AzureFirewallSubnet", "properties": thing{"addressPrefix": "10.0.9.0/28", "routeTable": ref("routeTables", "t")}},
		},
	})
	for _, tt := range []struct{ hop, to, want string }{{"VnetLocal", "", "open"}, {"VirtualAppliance", "10.0.9.9", "unknown"}, {"None", "", "closed"}} {
		d.put("routeTables", "t", thing{"routes": list{thing{"name": "r", "properties": thing{"addressPrefix": "10.0.0.0/24", "nextHopType": tt.hop, "nextHopIpAddress": tt.to}}}})
		d.expect(t, path.Known{}, "a 8.8.8.8 22 "+tt.want, "a 8.8.9.8 22 closed")
	}
}

// The space of a network may be a longer prefix than a route for some addresses of a
// subnet, and not for others.
func TestSpaceThatSplitsASubnet(t *testing.T) {
	d := plain()
	d.put("routeTables", "t", thing{"routes": list{thing{"name": "r", "properties": thing{"addressPrefix": "10.0.0.0/24", "nextHopType": "None"}}}})
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16", "10.0.0.4/32"}},
		"subnets":      list{thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24", "routeTable": ref("routeTables", "t")}}},
	})
	d.expect(t, path.Known{}, "a 10.0.0.9 22 open", "b 10.0.0.9 22 closed")
}

func TestPoolOfSeveral(t *testing.T) {
	d := plain("lb 100 Allow Tcp 8.8.8.8 * 22")
	pool := list{thing{"id": base + "loadBalancers/lb/backendAddressPools/b"}}
	d.put("publicIPAddresses", "lb", thing{"ipAddress": "20.0.0.3"})
	front := thing{"id": base + "loadBalancers/lb/frontendIPConfigurations/f"}
	balance := func(rules string, properties thing) {
		properties["frontendIPConfiguration"], properties["protocol"], properties["backendPort"] = front, "Tcp", 22
		properties["backendAddressPool"] = pool[0]
		d.put("loadBalancers", "lb", thing{
			"frontendIPConfigurations": list{thing{"name": "f", "properties": thing{"publicIPAddress": ref("publicIPAddresses", "lb")}}},
			rules:                      list{thing{"name": "r", "properties": properties}},
		})
	}
	for i, name := range []string{"a", "b"} {
		c := config("v", "s", fmt.Sprintf("10.0.0.%d", 4+i))
		c["loadBalancerBackendAddressPools"] = pool
		d.vm(name, thing{"networkSecurityGroup": ref("networkSecurityGroups", "g")}, c)
	}
	balance("loadBalancingRules", thing{"frontendPort": 2201})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open", "b 8.8.8.8 22 open", "b 9.9.9.9 22 closed", "a 8.8.8.8 2201 closed")
	balance("inboundNatRules", thing{"frontendPortRangeStart": 2200, "frontendPortRangeEnd": 2300})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown", "b 8.8.8.8 22 unknown", "b 9.9.9.9 22 closed")
}

// A machine of which only its interface speaks, and one without any.
func TestMachinesThatWereNotRead(t *testing.T) {
	d := plain("lock 100 Deny * * * *")
	delete(d, compute+"a")
	d.expect(t, path.Known{}, "a 9.9.9.9 22 unknown document")
	d.write(compute+"c", thing{"properties": thing{}})
	d.expect(t, path.Known{}, "c 9.9.9.9 22 closed address")
}

// What application rules let pass comes from the firewall, as does what it has its
// own ranges for, perhaps.
func TestConnectionsThatTheFirewallMakes(t *testing.T) {
	web := thing{"sourceAddresses": []string{"10.0.0.5"}, "protocols": list{thing{"protocolType": "Http", "port": 80}}, "targetFqdns": []string{"*"}}
	between := thing{"protocols": []string{"Any"}, "sourceAddresses": []string{"10.0.0.5"}, "destinationAddresses": []string{"*"}, "destinationPorts": []string{"22"}}
	for _, tt := range []struct{ from, app, own string }{
		{"10.0.9.0/28", "unknown", "unknown"},
		{"10.0.0.5", "closed", "unknown"},
		{"10.0.0.6", "closed", "closed"},
	} {
		rules := []string{"in 100 Allow Tcp " + tt.from + " * *", "no 200 Deny * * * *"}
		walled(thing{"applicationRuleCollections": collected("Allow", web)}, rules...).expect(t, path.Known{}, "a 10.0.0.5 80 "+tt.app)
		own := thing{"networkRuleCollections": collected("Allow", between), "additionalProperties": thing{"Network.SNAT.PrivateRanges": "0.0.0.0/0"}}
		walled(own, rules...).expect(t, path.Known{}, "a 10.0.0.5 22 "+tt.own)
	}
}

func TestBorrowedGateways(t *testing.T) {
	for _, tt := range []struct {
		borrowed         bool
		known, otherwise string
	}{{true, "open", "unknown"}, {false, "closed", "closed"}} {
		d := plain()
		peering := func(to string, gateways bool) list {
			return list{thing{"properties": thing{"peeringState": "Connected", "allowVirtualNetworkAccess": true, "useRemoteGateways": gateways, "remoteVirtualNetwork": ref("virtualNetworks", to)}}}
		}
		d.put("virtualNetworks", "v", thing{
			"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}}, "subnets": list{thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24"}}},
			"virtualNetworkPeerings": peering("hub", tt.borrowed),
		})
		d.put("virtualNetworks", "hub", thing{
			"addressSpace": thing{"addressPrefixes": []string{"10.9.0.0/16"}}, "subnets": list{thing{"name": "GatewaySubnet", "properties": thing{"addressPrefix": "10.9.0.0/27"}}},
			"virtualNetworkPeerings": peering("v", false),
		})
		office := path.Known{Gateways: map[string][]netip.Prefix{base + "virtualNetworks/hub": {netip.MustParsePrefix("192.168.7.0/24")}}}
		d.expect(t, office, "a 192.168.7.1 22 "+tt.known, "b 192.168.7.1 22 "+tt.known, "a 192.168.8.1 22 closed", "a 10.9.0.1 22 open")
		d.expect(t, path.Known{}, "a 192.168.7.1 22 "+tt.otherwise, "b 192.168.7.1 22 "+tt.otherwise)
	}
}

// balanced is plain with a pool of the machine a, of which a document with more says
// how it is in there, behind the address 20.0.0.3 and ports that rule has.
func balanced(members list, pool, rule thing, rules ...string) documents {
	d := plain(rules...)
	d.vm("a", thing{"networkSecurityGroup": ref("networkSecurityGroups", "g")}, config("v", "s", "10.0.0.4"))
	d.put("publicIPAddresses", "lb", thing{"ipAddress": "20.0.0.3"})
	rule["frontendIPConfiguration"] = thing{"id": base + "loadBalancers/lb/frontendIPConfigurations/f"}
	rule["protocol"], rule["backendPort"] = "Tcp", 22
	rule["backendAddressPool"] = thing{"id": base + "loadBalancers/lb/backendAddressPools/b"}
	pool["loadBalancerBackendAddresses"] = members
	d.put("loadBalancers", "lb", thing{
		"frontendIPConfigurations": list{thing{"name": "f", "properties": thing{"publicIPAddress": ref("publicIPAddresses", "lb")}}},
		"backendAddressPools":      list{thing{"name": "b", "properties": pool}},
		"loadBalancingRules":       list{thing{"name": "r", "properties": rule}},
	})
	return d
}

func TestPoolOfAddresses(t *testing.T) {
	member := func(properties thing) list { return list{thing{"properties": properties}} }
	network := ref("virtualNetworks", "V")
	for _, tt := range []struct {
		members list
		pool    thing
		want    string
	}{
		{member(thing{"ipAddress": "10.0.0.4", "virtualNetwork": network}), thing{}, "open"},
		{member(thing{"ipAddress": "10.0.0.4"}), thing{"virtualNetwork": network}, "open"},
		{member(thing{"ipAddress": "10.0.0.4", "subnet": thing{"id": base + "virtualNetworks/v/subnets/S"}}), thing{}, "open"},
		{member(thing{"networkInterfaceIPConfiguration": thing{"id": base + "networkInterfaces/A/ipConfigurations/c0"}}), thing{}, "open"},
		{member(thing{"ipAddress": "10.0.0.4"}), thing{}, "unknown"}, // of which network?
		{member(thing{"ipAddress": "10.0.0.4", "virtualNetwork": ref("virtualNetworks", "other")}), thing{"virtualNetwork": network}, "closed"},
		{member(thing{"ipAddress": "10.0.0.9", "virtualNetwork": network}), thing{}, "closed"},
		{member(thing{"ipAddress": "ten"}), thing{}, "unknown"},
		{nil, thing{}, "closed"},
	} {
		d := balanced(tt.members, tt.pool, thing{"frontendPort": 2201}, "all 100 Allow * * * 22")
		d.expect(t, path.Known{}, "a 8.8.8.8 22 "+tt.want)
	}
}

// With a floating IP nothing translates the destination, and the group's rules see
// the frontend's address: cloud-provider-azure writes its rules for that one.
func TestFloatingAddress(t *testing.T) {
	members := list{thing{"properties": thing{"ipAddress": "10.0.0.4", "virtualNetwork": ref("virtualNetworks", "v")}}}
	float := func(rules ...string) documents {
		return balanced(members, thing{}, thing{"frontendPort": 22, "enableFloatingIP": true}, rules...)
	}
	float("front 100 Allow Tcp * 20.0.0.3 22").expect(t, path.Known{}, "a 8.8.8.8 22 open front", "a 8.8.8.8 23 closed")
	float("own 100 Allow Tcp * 10.0.0.4 22").expect(t, path.Known{}, "a 8.8.8.8 22 closed")
	float("lock 100 Deny Tcp * 10.0.0.4 22", "all 200 Allow * * * *").expect(t, path.Known{}, "a 8.8.8.8 22 open all")
	// Whether the frontend's address is in a group with its machine, nobody says.
	d := float("asg 100 Allow Tcp * asg:web 22")
	c := config("v", "s", "10.0.0.4")
	c["applicationSecurityGroups"] = list{ref("applicationSecurityGroups", "web")}
	d.vm("a", thing{"networkSecurityGroup": ref("networkSecurityGroups", "g")}, c)
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown asg")
	d = float("front 100 Allow Tcp * 20.0.0.3 22")
	delete(d, base+"publicIPAddresses/lb")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown front")
}

// A scale set makes its inbound NAT rules from a pool of them, and says at the
// interface which ones are its own.
func TestPoolOfNATRules(t *testing.T) {
	d := balanced(nil, thing{}, thing{"frontendPort": 80}, "all 100 Allow * * * 22")
	d.put("loadBalancers", "lb", thing{
		"frontendIPConfigurations": list{thing{"name": "f", "properties": thing{"publicIPAddress": ref("publicIPAddresses", "lb")}}},
		"inboundNatPools": list{thing{"name": "ssh", "properties": thing{
			"frontendIPConfiguration": thing{"id": base + "loadBalancers/lb/frontendIPConfigurations/f"}, "protocol": "Tcp",
			"frontendPortRangeStart": 50000, "frontendPortRangeEnd": 50119, "backendPort": 22,
		}}},
	})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 closed")
	c := config("v", "s", "10.0.0.4")
	c["loadBalancerInboundNatRules"] = list{thing{"id": base + "loadBalancers/lb/inboundNatRules/ssh.7"}}
	d.vm("a", thing{"networkSecurityGroup": ref("networkSecurityGroups", "g")}, c)
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown", "a 8.8.8.8 23 closed")
}
