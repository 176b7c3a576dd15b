package path_test

import (
	"fmt"
	"testing"

	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// A fleet of a hub and spokes: 10,000 machines in 50 networks of 4 subnets, each
// with a group of 20 rules and a route through the hub's firewall.
func fleet() documents {
	d := documents{}
	subnets := list{thing{"name": "AzureFirewallSubnet", "properties": thing{"addressPrefix": "10.0.0.0/26"}}}
	var spokes list
	d.put("azureFirewalls", "f", thing{"ipConfigurations": list{thing{"properties": thing{
		"privateIPAddress": "10.0.0.4", "subnet": thing{"id": base + "virtualNetworks/hub/subnets/AzureFirewallSubnet"},
	}}}})
	d.put("routeTables", "t", thing{"routes": list{thing{"name": "all", "properties": thing{"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.0.4"}}}})
	peering := func(to, space string) thing {
		return thing{"properties": thing{"peeringState": "Connected", "allowVirtualNetworkAccess": true, "remoteVirtualNetwork": ref("virtualNetworks", to), "remoteAddressSpace": thing{"addressPrefixes": []string{space}}}}
	}
	for n := range 50 {
		name := fmt.Sprint("v", n)
		spokes = append(spokes, peering(name, fmt.Sprintf("10.%d.0.0/16", n+1)))
		var own list
		for s := range 4 {
			group := fmt.Sprintf("g%d-%d", n, s)
			own = append(own, thing{"name": fmt.Sprint("s", s), "properties": thing{
				"addressPrefix": fmt.Sprintf("10.%d.%d.0/24", n+1, s), "networkSecurityGroup": ref("networkSecurityGroups", group), "routeTable": ref("routeTables", "t"),
			}})
			var rules list
			for i := range 20 {
				rules = append(rules, thing{"name": fmt.Sprint("r", i), "properties": thing{
					"priority": 100 + i, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourcePortRange": "*", "destinationPortRange": "22",
					"sourceAddressPrefix": fmt.Sprintf("203.0.113.%d", i), "destinationAddressPrefix": "*",
				}})
			}
			d.put("networkSecurityGroups", group, thing{"securityRules": rules})
			for m := range 50 {
				d.vm(fmt.Sprintf("m%d-%d-%d", n, s, m), thing{}, config(name, fmt.Sprint("s", s), fmt.Sprintf("10.%d.%d.%d", n+1, s, m+4)))
			}
		}
		d.put("virtualNetworks", name, thing{"addressSpace": thing{"addressPrefixes": []string{fmt.Sprintf("10.%d.0.0/16", n+1)}}, "subnets": own, "virtualNetworkPeerings": list{peering("hub", "10.0.0.0/16")}})
		d.write(base+"virtualNetworks/"+name+topology.AdminRules, thing{"value": list{}})
	}
	d.put("virtualNetworks", "hub", thing{"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}}, "subnets": subnets, "virtualNetworkPeerings": spokes})
	return d
}

func BenchmarkFleetRead(b *testing.B) {
	d := fleet()
	b.ReportAllocs()
	for b.Loop() {
		topology.Read(d)
	}
}

func BenchmarkFleetPaths(b *testing.B) {
	e := topology.Read(fleet())
	b.ReportAllocs()
	for b.Loop() {
		if vms, _ := path.Machines(e, path.Known{}); len(vms) != 10_000 {
			b.Fatalf("%d machines", len(vms))
		}
	}
}
