package path_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/reach"
)

// plain is a network 10.0.0.0/16 with two machines, of which a, 10.0.0.4, has a
// public address and the group g, whose rules are "NAME PRIORITY ACCESS PROTOCOL
// FROM TO PORTS".
func plain(rules ...string) documents {
	d := documents{}
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets":      list{thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24"}}},
	})
	d.write(base+"virtualNetworks/v"+topology.AdminRules, thing{"value": list{}})
	d.put("applicationSecurityGroups", "web", thing{})
	d.put("applicationSecurityGroups", "nobody", thing{})
	d.put("publicIPAddresses", "p", thing{"ipAddress": "20.0.0.1"})
	d.rules(rules...)
	a := config("v", "s", "10.0.0.4")
	a["publicIPAddress"] = ref("publicIPAddresses", "p")
	d.vm("a", thing{"networkSecurityGroup": ref("networkSecurityGroups", "G")}, a)
	b := config("v", "s", "10.0.0.5")
	b["applicationSecurityGroups"] = list{ref("applicationSecurityGroups", "WEB")}
	d.vm("b", thing{}, b)
	return d
}

func (d documents) rules(rules ...string) {
	all := list{}
	for _, text := range rules {
		f := strings.Fields(text)
		p := thing{"priority": 0, "direction": "Inbound", "access": f[2], "protocol": f[3], "sourcePortRange": "*", "destinationPortRange": "", "destinationPortRanges": strings.Split(f[6], ",")}
		fmt.Sscan(f[1], new(int))
		var n int
		fmt.Sscan(f[1], &n)
		p["priority"] = n
		for side, text := range map[string]string{"source": f[4], "destination": f[5]} {
			switch name, group := strings.CutPrefix(text, "asg:"); {
			case group:
				p[side+"ApplicationSecurityGroups"] = list{ref("applicationSecurityGroups", name)}
			case strings.Contains(text, ","):
				p[side+"AddressPrefix"], p[side+"AddressPrefixes"] = "", strings.Split(text, ",")
			default:
				p[side+"AddressPrefix"] = text
			}
		}
		all = append(all, thing{"name": f[0], "properties": p})
	}
	d.put("networkSecurityGroups", "g", thing{"securityRules": all})
}

// expect checks lines of "MACHINE SOURCE PORT VERDICT [RULE]".
func (d documents) expect(t *testing.T, known path.Known, lines ...string) {
	t.Helper()
	vms, layers := path.Machines(topology.Read(d), known)
	m := reach.NewModel(layers)
	for _, line := range lines {
		f := strings.Fields(line)
		for _, v := range vms {
			if v.Name != f[0] {
				continue
			}
			door := firewall.Door{VM: v.ID, Protocol: firewall.TCP}
			fmt.Sscan(f[2], &door.Port)
			var q reach.Query
			got := q.VM(v, m, door).At(netip.MustParseAddr(f[1]))
			if got.Verdict.String() != f[3] || len(f) > 4 && !strings.Contains(explain(got), f[4]) {
				t.Errorf("%s: %s by %s", line, got.Verdict, explain(got))
			}
		}
	}
}

func TestVirtualNetworkIsNotRFC1918(t *testing.T) {
	d := plain("vnet 100 Allow Tcp VirtualNetwork * 22")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 open vnet", "a 10.0.0.255 22 open", "a 10.1.0.5 22 closed", "a 172.16.0.9 22 closed", "a 192.168.0.9 22 closed")
	// And what a gateway leads to may be anything, until somebody knows.
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets": list{
			thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24"}}, thing{"name": "gatewaysubnet", "properties": thing{"addressPrefix": "10.0.8.0/27"}},
		},
	})
	d.expect(t, path.Known{}, "a 10.0.0.5 22 open", "a 172.16.0.9 22 unknown", "a 8.8.8.8 22 unknown", "b 172.16.0.9 22 unknown")
	known := path.Known{Gateways: map[string][]netip.Prefix{strings.ToUpper(base + "virtualnetworks/v"): {netip.MustParsePrefix("172.16.0.0/24")}}}
	d.expect(t, known, "a 172.16.0.9 22 open vnet", "a 172.16.1.9 22 closed", "a 8.8.8.8 22 closed")
}

func TestDefaultRouteMaySwallowTheInternet(t *testing.T) {
	d := plain()
	d.put("virtualNetworks", "v", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets":      list{thing{"name": "s", "properties": thing{"addressPrefix": "10.0.0.0/24", "routeTable": ref("routeTables", "t")}}},
	})
	route := func(prefix string) {
		d.put("routeTables", "t", thing{"routes": list{thing{"name": "r", "properties": thing{"addressPrefix": prefix, "nextHopType": "Internet"}}}})
	}
	route("0.0.0.0/0")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown AllowVnetInBound", "a 10.0.0.5 22 open")
	route("8.0.0.0/8")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open AllowVnetInBound", "a 9.9.9.9 22 closed")
	route("ApiManagement") // a service tag
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown")
}

func TestUnknownTagIsNotEmpty(t *testing.T) {
	d := plain("tag 100 Allow Tcp SomeService * 22")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown tag")
	known := path.Known{Tags: map[string][]netip.Prefix{"someSERVICE": {netip.MustParsePrefix("8.8.8.0/24")}}}
	d.expect(t, known, "a 8.8.8.8 22 open tag", "a 9.9.9.9 22 closed")
}

func TestDenyOnUnknownTagDoesNotVanish(t *testing.T) {
	d := plain("no 100 Deny Tcp SomeService * 22", "all 200 Allow * * * *")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown no", "a 8.8.8.8 23 open all")
}

// A tag may be everybody.
func TestTagOfTheWholeInternet(t *testing.T) {
	d := plain("tag 100 Allow Tcp Everything * 22")
	known := path.Known{Tags: map[string][]netip.Prefix{"Everything": {netip.MustParsePrefix("0.0.0.0/0")}}}
	d.expect(t, known, "a 8.8.8.8 22 open tag")
}

func TestAnyProtocolKeepsItsPorts(t *testing.T) {
	d := plain("ssh 100 Allow * * * 22")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open ssh", "a 8.8.8.8 23 closed")
}

func TestPluralPrefixesAreNotAny(t *testing.T) {
	d := plain("two 100 Allow Tcp 1.1.1.1,2.2.2.0/24 * 22,80-90")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 closed", "a 1.1.1.1 22 open two", "a 2.2.2.9 85 open two", "a 2.2.2.9 91 closed")
}

func TestApplicationSecurityGroupIsNotAny(t *testing.T) {
	d := plain("asg 100 Allow Tcp asg:web * 22", "no 200 Deny * * * *")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 closed no", "a 10.0.0.5 22 open asg", "a 10.0.0.6 22 closed no")
}

func TestEmptyGroupIsNobody(t *testing.T) {
	d := plain("asg 100 Allow Tcp asg:nobody * 22", "no 200 Deny * * * *")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 closed no")
	d.rules("asg 100 Allow Tcp * asg:nobody 22", "no 200 Deny * * * *")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 closed no")
}

func TestUnreadGroupMayBeAnybody(t *testing.T) {
	d := plain("asg 100 Allow Tcp asg:elsewhere * 22", "no 200 Deny * * * *")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 unknown asg")
	// An interface that was not read may be a member of any.
	d = plain("asg 100 Allow Tcp asg:nobody * 22", "no 200 Deny * * * *")
	delete(d, base+"networkInterfaces/b")
	d.expect(t, path.Known{}, "a 10.0.0.9 22 unknown asg", "b 10.0.0.9 22 unknown b")
}

func TestHalvesOfTheInternetAreTheInternet(t *testing.T) {
	d := plain("halves 100 Allow Tcp 0.0.0.0/1,128.0.0.0/1 * 22")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open halves", "a 200.0.0.1 22 open halves", "a 8.8.8.8 23 closed")
}

func TestPublicAddressAsDestinationNeverMatches(t *testing.T) {
	d := plain("public 100 Allow Tcp * 20.0.0.1 22", "private 110 Allow Tcp * 10.0.0.4 23", "no 200 Deny * * * *")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 closed no", "a 8.8.8.8 23 open private")
	d.rules("public 100 Deny Tcp * 20.0.0.1 22", "all 200 Allow * * * *")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open all")
}

// What has no lock below 65000 has the whole network behind it.
func TestLockAtNoNumberLetsTheNetworkIn(t *testing.T) {
	d := plain("grant 100 Allow Tcp 8.8.8.8 10.0.0.4 22")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 open AllowVnetInBound", "a 9.9.9.9 22 closed", "a 168.63.129.16 22 open AllowVnetInBound")
	d.rules("grant 100 Allow Tcp 8.8.8.8 10.0.0.4 22", "lock 4096 Deny * * 10.0.0.4 22")
	d.expect(t, path.Known{}, "a 10.0.0.5 22 closed lock", "a 8.8.8.8 22 open grant", "a 168.63.129.16 22 closed lock")
}

// Which packets a rule for IPv4-mapped IPv6 means is nowhere said.
func TestMappedAddressesAreNotBelieved(t *testing.T) {
	d := plain("mapped 100 Allow Tcp ::ffff:8.8.8.8/128 * 22", "no 200 Deny * * * *")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown mapped", "a 9.9.9.9 22 unknown mapped", "a 9.9.9.9 23 closed no")
}

func TestUnreadDocumentsAreNotOpen(t *testing.T) {
	d := plain("grant 100 Allow Tcp 8.8.8.8 10.0.0.4 22")
	delete(d, base+"networkSecurityGroups/g")
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown", "b 10.0.0.4 22 open")
	d.write(base+"networkSecurityGroups/g", thing{"properties": 7})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown")
	d = plain("lock 100 Deny * * * *")
	delete(d, base+"virtualNetworks/v"+topology.AdminRules)
	d.expect(t, path.Known{}, "a 10.0.0.5 22 unknown admin") // they may deliver
	d = plain("lock 100 Deny * * * *")
	d.put("loadBalancers", "lb", thing{"frontendIPConfigurations": 7})
	d.expect(t, path.Known{}, "a 9.9.9.9 22 unknown lb")
	delete(d, base+"virtualNetworks/v")
	d.expect(t, path.Known{}, "a 9.9.9.9 22 unknown")
}

func TestStandardAddressWithoutGroup(t *testing.T) {
	d := plain()
	d.vm("a", thing{}, func() thing {
		c := config("v", "s", "10.0.0.4")
		c["publicIPAddress"] = ref("publicIPAddresses", "p")
		return c
	}())
	d.expect(t, path.Known{}, "a 8.8.8.8 22 open")
	d.write(base+"publicIPAddresses/p", thing{"sku": thing{"name": "Standard"}, "properties": thing{"ipAddress": "20.0.0.1"}})
	d.expect(t, path.Known{}, "a 8.8.8.8 22 unknown standard", "a 10.0.0.5 22 open")
}

// Maps have no order, and what is made of them has one.
func TestSameDocumentsSameAnswer(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(seed)
		vms, layers := path.Machines(topology.Read(w.documents), path.Known{Tags: w.tags})
		again, layersAgain := path.Machines(topology.Read(w.documents), path.Known{Tags: w.tags})
		if !reflect.DeepEqual(vms, again) || !reflect.DeepEqual(layers, layersAgain) {
			t.Fatalf("seed %d: two answers", seed)
		}
	}
}
