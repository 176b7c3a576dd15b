package path_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

const (
	base    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Network/"
	compute = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/"
)

// A thing is a JSON object, a list one array.
type (
	thing = map[string]any
	list  = []any
)

func ref(kind, name string) thing { return thing{"id": base + kind + "/" + name} }

// documents are a world under construction.
type documents map[string]json.RawMessage

func (d documents) put(kind, name string, properties thing) {
	d.write(base+kind+"/"+name, thing{"name": name, "sku": thing{"name": "Basic"}, "properties": properties})
}

func (d documents) write(id string, x thing) {
	x["id"] = id
	text, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	d[id] = text
}

// vm adds a machine with one interface, which has the given IP configurations.
func (d documents) vm(name string, nic thing, configs ...thing) {
	d.write(compute+name, thing{"properties": thing{"networkProfile": thing{"networkInterfaces": list{ref("networkInterfaces", name)}}}})
	var all list
	for i, c := range configs {
		all = append(all, thing{"id": fmt.Sprintf("%snetworkInterfaces/%s/ipConfigurations/c%d", base, name, i), "properties": c})
	}
	nic["ipConfigurations"] = all
	nic["virtualMachine"] = thing{"id": strings.ToUpper(compute) + name}
	d.put("networkInterfaces", name, nic)
}

func config(network, subnet, address string) thing {
	return thing{"privateIPAddress": address, "subnet": thing{"id": base + "virtualNetworks/" + network + "/subnets/" + subnet}}
}

// A world is a random estate, and what about it is worth trying.
type world struct {
	documents

	r        *rand.Rand
	tags     map[string][]netip.Prefix
	onPrem   []netip.Prefix
	gateway  bool // the hub has one
	borrowed bool // and lends it to the spoke
	// addressed says that the load balancer's pool is one of addresses.
	addressed bool
	subnets   map[string][]netip.Prefix
	vms       map[string][]placed // the private addresses of VMs
	fronts    []placed            // private addresses of load balancers and firewalls
	publics   []netip.Addr
}

// A placed address is one of a network.
type placed struct {
	network string
	address netip.Addr
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (w *world) chance(percent int) bool { return w.r.IntN(100) < percent }

// doors are the ports worth trying, in front and behind.
func doors() []uint16 { return []uint16{22, 80, 2201, 3389} }

// sources are prefixes at whose ends verdicts may change.
func sources() []string {
	return []string{
		"8.8.8.0/24", "8.8.8.8/32", "9.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0", "13.0.0.0/16", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.5/32", "10.0.0.4/31",
		"10.1.0.0/24", "10.1.1.0/25", "10.2.0.0/24", "10.0.9.0/28", "192.168.0.0/24", "192.168.0.128/25", "168.63.129.16/32", "172.16.0.0/12",
	}
}

func sixes() []string {
	return []string{"fd00::/64", "fd00::4/127", "fd00:0:0:9::/64", "fd00:1::/64", "2001:db8::/32", "2001:db8:8000::/33", "::/0", "fe80::1234:5678:9abc/128"}
}

func clientPorts() []uint16 { return []uint16{0, 1, 499, 500, 501, 1023, 1024, 65535} }

func newWorld(seed uint64) *world {
	w := &world{
		documents: documents{}, r: rand.New(rand.NewPCG(seed, 7)),
		tags:    map[string][]netip.Prefix{"Cloud.West": {netip.MustParsePrefix("13.0.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}, "Everything": {netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
		onPrem:  []netip.Prefix{netip.MustParsePrefix("192.168.0.0/24")},
		subnets: map[string][]netip.Prefix{}, vms: map[string][]placed{},
	}
	w.gateway = w.chance(40)
	w.borrowed = w.gateway && w.chance(50)
	w.networks()
	for _, name := range []string{"ga", "gb", "gc"} {
		w.group(name)
	}
	for _, name := range []string{"web", "db", "nobody"} {
		w.put("applicationSecurityGroups", name, thing{})
	}
	w.machines()
	w.balancer()
	if w.chance(70) {
		w.firewall()
	}
	return w
}

func (w *world) networks() {
	subnet := func(network, name string, prefixes ...string) thing {
		p := thing{"addressPrefix": prefixes[0]}
		if len(prefixes) > 1 {
			p = thing{"addressPrefix": "", "addressPrefixes": prefixes}
		}
		for _, x := range prefixes {
			w.subnets[network] = append(w.subnets[network], netip.MustParsePrefix(x))
		}
		if w.chance(40) {
			p["networkSecurityGroup"] = ref("networkSecurityGroups", pick(w.r, "ga", "GB", "gc"))
		}
		if w.chance(50) {
			p["routeTable"] = ref("routeTables", pick(w.r, "ta", "tb"))
		}
		return thing{"name": name, "properties": p}
	}
	peering := func(from, to string, space ...string) thing {
		return thing{"name": "to-" + to, "properties": thing{
			"peeringState": pick(w.r, "Connected", "Connected", "Connected", "Initiated"), "allowVirtualNetworkAccess": w.chance(80),
			"useRemoteGateways": from == "spoke" && w.borrowed, "remoteVirtualNetwork": ref("virtualNetworks", to), "remoteAddressSpace": thing{"addressPrefixes": space},
		}}
	}
	hub := list{
		subnet("hub", "vms", "10.0.0.0/24", "fd00::/64"),
		thing{"name": "AzureFirewallSubnet", "properties": thing{"addressPrefixes": []string{"10.0.9.0/28", "fd00:0:0:9::/124"}}},
	}
	w.subnets["hub"] = append(w.subnets["hub"], netip.MustParsePrefix("10.0.9.0/28"), netip.MustParsePrefix("fd00:0:0:9::/124"))
	if w.gateway {
		hub = append(hub, subnet("hub", "GatewaySubnet", "10.0.8.0/27"))
	}
	w.put("virtualNetworks", "hub", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16", "fd00::/48"}}, "subnets": hub,
		"virtualNetworkPeerings": list{peering("hub", "spoke", "10.1.0.0/16", "fd00:1::/48"), peering("hub", "far", "10.2.0.0/16")},
	})
	w.put("virtualNetworks", "spoke", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.1.0.0/16", "fd00:1::/48"}},
		"subnets":      list{subnet("spoke", "a", "10.1.0.0/24", "fd00:1::/64"), subnet("spoke", "b", "10.1.1.0/24")}, "virtualNetworkPeerings": list{peering("spoke", "hub", "10.0.0.0/16", "fd00::/48")},
	})
	w.put("virtualNetworks", "far", thing{
		"addressSpace": thing{"addressPrefixes": []string{"10.2.0.0/16"}}, "subnets": list{subnet("far", "vms", "10.2.0.0/24")},
		"virtualNetworkPeerings": list{peering("far", "hub", "10.0.0.0/16", "fd00::/48")},
	})
	w.put("virtualNetworks", "lone", thing{"addressSpace": thing{"addressPrefixes": []string{"10.0.0.0/16"}}, "subnets": list{subnet("lone", "vms", "10.0.0.0/24")}})
	for _, name := range []string{"ta", "tb"} {
		routes := list{}
		for i := range w.r.IntN(4) {
			routes = append(routes, thing{"name": fmt.Sprint("r", i), "properties": thing{
				"addressPrefix": pick(w.r, "10.0.0.0/24", "10.0.0.5/32", "10.1.0.0/24", "10.2.0.0/24", "0.0.0.0/0", "10.0.0.0/8", "fd00::/64", "10.0.0.0/16", "9.0.0.0/8"),
				"nextHopType":   pick(w.r, "VirtualAppliance", "VirtualAppliance", "VirtualAppliance", "VirtualAppliance", "VirtualAppliance", "None", "VnetLocal", "Internet"), "nextHopIpAddress": pick(w.r, "10.0.9.4", "10.0.9.4", "10.0.9.4", "10.0.9.4", "10.0.0.99"),
			}})
		}
		w.put("routeTables", name, thing{"routes": routes})
	}
	for _, name := range []string{"hub", "spoke", "far", "lone"} {
		rules := list{}
		for i := range w.r.IntN(4) {
			p := thing{
				"priority": 1 + i, "direction": pick(w.r, "Inbound", "inbound", "Outbound"), "access": pick(w.r, "Deny", "AlwaysAllow", "Allow", "alwaysAllow"),
				"protocol": w.protocol(), "destinationPortRanges": []string{w.ports()}, "sourcePortRanges": []string{"0-65535"},
				"sources": list{thing{"addressPrefixType": "IPPrefix", "addressPrefix": w.source()}}, "destinations": list{thing{"addressPrefix": pick(w.r, "*", "10.0.0.0/24", "10.1.0.4", "fd00::/64")}},
			}
			if w.chance(20) {
				p["sourcePortRanges"] = []string{"1024-65535"}
			}
			rules = append(rules, thing{"id": fmt.Sprint("/x/", name, i), "kind": "Custom", "properties": p})
		}
		w.write(base+"virtualNetworks/"+name+topology.AdminRules, thing{"value": rules})
	}
}

func (w *world) protocol() string { return pick(w.r, "*", "Tcp", "TCP", "Udp", "tcp", "Icmp") }
func (w *world) ports() string {
	return pick(w.r, "*", "22", "22", "80-3388", "3389", "0-65535", "1-22", "2201")
}

// source is an address, a prefix or a tag.
func (w *world) source() string {
	switch w.r.IntN(9) {
	case 0:
		return pick(w.r, "VirtualNetwork", "virtualnetwork", "Internet", "AzureLoadBalancer")
	case 1:
		return pick(w.r, "Cloud.West", "cloud.west", "Everything", "SomeService")
	case 2:
		return "*"
	case 3, 4:
		return pick(w.r, sixes()...)
	}
	return pick(w.r, sources()...)
}

// end fills in one side of a security rule, in one of its three forms.
func (w *world) end(rule thing, side string) {
	rule[side+"AddressPrefix"], rule[side+"AddressPrefixes"] = "", []string{}
	switch w.r.IntN(6) {
	case 0:
		n := 1 + w.r.IntN(2)
		var groups list
		for range n {
			groups = append(groups, ref("applicationSecurityGroups", pick(w.r, "web", "WEB", "db", "nobody")))
		}
		rule[side+"ApplicationSecurityGroups"] = groups
	case 1:
		family := pick(w.r, sources(), sixes())
		rule[side+"AddressPrefixes"] = []string{pick(w.r, family...), pick(w.r, family...)}
	case 2, 3:
		if side == "destination" {
			rule[side+"AddressPrefix"] = pick(w.r, "*", "VirtualNetwork", "10.0.0.0/24", "10.0.0.4", "10.1.0.4", "20.0.0.1", "20.0.1.1", "10.1.0.100", "Internet", "fd00::4", "fd00::/64", "SomeService")
			return
		}
		fallthrough
	default:
		rule[side+"AddressPrefix"] = w.source()
		if side == "destination" {
			rule[side+"AddressPrefix"] = "*"
		}
	}
}

func (w *world) group(name string) {
	rules := list{}
	for i := range w.r.IntN(7) {
		p := thing{
			"priority": 100 + 10*w.r.IntN(40)*8 + i, "direction": pick(w.r, "Inbound", "Inbound", "Inbound", "INBOUND", "Outbound"), "access": pick(w.r, "Allow", "Deny", "allow", "deny"),
			"protocol": w.protocol(), "sourcePortRange": pick(w.r, "*", "*", "*", "1024-65535", "500", "1-499"), "destinationPortRange": w.ports(),
			"sourcePortRanges": []string{}, "destinationPortRanges": []string{},
		}
		if w.chance(25) {
			p["destinationPortRange"], p["destinationPortRanges"] = "", []string{w.ports(), w.ports()}
		}
		w.end(p, "source")
		w.end(p, "destination")
		rules = append(rules, thing{"name": fmt.Sprint(name, "-", i), "properties": p})
	}
	w.put("networkSecurityGroups", name, thing{"securityRules": rules})
	if w.chance(50) {
		id := base + "networkSecurityGroups/" + name
		w.documents[strings.ToUpper(id)] = w.documents[id]
		delete(w.documents, id)
	}
}

func (w *world) machines() {
	for i, at := range []struct{ network, subnet, four, six string }{
		{"hub", "vms", "10.0.0.4", "fd00::4"}, {"hub", "vms", "10.0.0.5", ""}, {"spoke", "a", "10.1.0.4", "fd00:1::4"}, {"spoke", "b", "10.1.1.4", ""}, {"lone", "vms", "10.0.0.4", ""}, {"far", "vms", "10.2.0.4", ""},
	} {
		name := fmt.Sprint("vm", i)
		var configs []thing
		for _, text := range []string{at.four, at.six} {
			if text == "" || text == at.six && w.chance(50) {
				continue
			}
			c := config(at.network, at.subnet, text)
			for _, g := range []string{"web", "DB"} {
				if w.chance(30) {
					c["applicationSecurityGroups"] = list{ref("applicationSecurityGroups", g)}
				}
			}
			if w.chance(50) {
				address := fmt.Sprintf("20.0.0.%d", i+1)
				if text == at.six {
					address = fmt.Sprintf("2603::%d", i+1)
				}
				p := fmt.Sprint(name, "-", len(configs))
				c["publicIPAddress"] = ref("publicIPAddresses", p)
				w.public(p, address)
			}
			configs = append(configs, c)
			w.vms[strings.ToLower(compute+name)] = append(w.vms[strings.ToLower(compute+name)], placed{at.network, netip.MustParseAddr(text)})
		}
		switch i {
		case 0:
			configs[0]["loadBalancerInboundNatRules"] = list{thing{"id": base + "loadBalancers/lb/inboundNatRules/ssh"}}
		case 2:
			if w.addressed = w.chance(50); w.addressed {
				break
			}
			configs[0]["loadBalancerBackendAddressPools"] = list{thing{"id": base + "loadBalancers/lb/backendAddressPools/b"}}
		}
		nic := thing{}
		if w.chance(60) {
			nic["networkSecurityGroup"] = ref("networkSecurityGroups", pick(w.r, "ga", "gb", "GC"))
		}
		w.vm(name, nic, configs...)
	}
}

func (w *world) public(name, address string) {
	w.put("publicIPAddresses", name, thing{"ipAddress": address})
	if w.chance(50) {
		w.write(base+"publicIPAddresses/"+name, thing{"sku": thing{"name": "Standard"}, "properties": thing{"ipAddress": address}})
	}
	w.publics = append(w.publics, netip.MustParseAddr(address))
}

// balancer adds a load balancer whose pool is of interfaces or of addresses.
func (w *world) balancer() {
	front := func(name string) thing {
		return thing{"id": base + "loadBalancers/LB/frontendIPConfigurations/" + name}
	}
	pool := thing{"id": base + "loadBalancers/lb/backendAddressPools/b"}
	// One is somebody's, so that it is certain where a packet goes.
	members := list{thing{"name": "nobody", "properties": thing{"ipAddress": "10.0.0.4", "virtualNetwork": ref("virtualNetworks", "SPOKE")}}}
	if w.addressed {
		at := pick(w.r, placed{"spoke", netip.MustParseAddr("10.1.0.4")}, placed{"SPOKE", netip.MustParseAddr("10.1.1.4")}, placed{"hub", netip.MustParseAddr("10.0.0.5")})
		members = append(members, thing{"name": "one", "properties": thing{"ipAddress": at.address.String(), "virtualNetwork": ref("virtualNetworks", at.network)}})
	}
	rule := func(front, protocol any, from, to int) thing {
		p := thing{"frontendIPConfiguration": front, "protocol": protocol, "frontendPort": from, "backendPort": to, "backendAddressPool": pool, "enableFloatingIP": w.chance(40)}
		if p["enableFloatingIP"] == true {
			p["backendPort"] = from
		}
		return p
	}
	w.public("lb", "20.0.1.1")
	w.fronts = append(w.fronts, placed{"spoke", netip.MustParseAddr("10.1.0.100")})
	ssh := rule(front("out"), pick(w.r, "Tcp", "All"), 2201, pick(w.r, 22, 80))
	delete(ssh, "backendAddressPool")
	w.put("loadBalancers", "lb", thing{
		"frontendIPConfigurations": list{
			thing{"name": "out", "properties": thing{"publicIPAddress": ref("publicIPAddresses", "lb")}},
			thing{"name": "in", "properties": thing{"privateIPAddress": "10.1.0.100", "subnet": thing{"id": base + "virtualNetworks/spoke/subnets/a"}}},
		},
		"backendAddressPools": list{thing{"name": "b", "properties": thing{"loadBalancerBackendAddresses": members}}},
		"inboundNatRules":     list{thing{"name": "ssh", "properties": ssh}},
		"loadBalancingRules": list{
			thing{"name": "web", "properties": rule(front("out"), "Tcp", 80, pick(w.r, 80, 22))},
			thing{"name": "inner", "properties": rule(front("in"), pick(w.r, "Tcp", "Udp", "All"), pick(w.r, 0, 22, 3389), 22)},
		},
	})
}

// firewall adds an Azure Firewall, classic or with a policy that has a parent.
func (w *world) firewall() {
	w.public("fw", "20.0.2.1")
	w.public("fw2", "20.0.2.2")
	w.fronts = append(w.fronts, placed{"hub", netip.MustParseAddr("10.0.9.4")})
	w.put("ipGroups", "who", thing{"ipAddresses": []string{"8.8.8.8", "9.0.0.0-9.0.0.9", "10.1.0.0/24"}})
	w.put("ipGroups", "empty", thing{"ipAddresses": []string{}})
	own := thing{"ipConfigurations": list{
		thing{"properties": thing{"privateIPAddress": "10.0.9.4", "subnet": thing{"id": base + "virtualNetworks/hub/subnets/AzureFirewallSubnet"}, "publicIPAddress": ref("publicIPAddresses", "fw")}},
		thing{"properties": thing{"publicIPAddress": ref("publicIPAddresses", "fw2")}},
	}}
	if w.chance(50) {
		collections := func(of func(string) thing, kinds ...string) (out list) {
			for i, kind := range kinds {
				x := of(fmt.Sprint(kind, i))
				out = append(out, thing{"name": x["name"], "properties": x})
			}
			return out
		}
		own["natRuleCollections"] = collections(w.translations, "nat", "nat")
		own["networkRuleCollections"] = collections(w.network, "net", "net")
		if w.chance(30) {
			own["applicationRuleCollections"] = collections(w.application, "app")
		}
		w.put("azureFirewalls", "f", own)
		return
	}
	own["firewallPolicy"] = ref("firewallPolicies", "child")
	w.put("azureFirewalls", "f", own)
	w.put("firewallPolicies", "child", thing{"basePolicy": ref("firewallPolicies", "parent")})
	w.put("firewallPolicies", "parent", thing{})
	for _, policy := range []string{"child", "parent"} {
		for i := range 1 + w.r.IntN(2) {
			var all list
			for j := range 1 + w.r.IntN(3) {
				x := pick(w.r, w.translations, w.network)(fmt.Sprint("c", i, j))
				if w.chance(10) {
					x = w.application(fmt.Sprint("c", i, j))
				}
				all = append(all, x)
			}
			w.put("firewallPolicies/"+policy+"/ruleCollectionGroups", fmt.Sprint("g", i), thing{"priority": 100 * (1 + w.r.IntN(5)), "ruleCollections": all})
		}
	}
}

func (w *world) sides(x thing) {
	x["sourceAddresses"], x["sourceIpGroups"] = []string{}, []string{}
	switch w.r.IntN(5) {
	case 0:
		x["sourceIpGroups"] = []string{base + "ipGroups/" + pick(w.r, "who", "WHO", "empty")}
	case 1:
		x["sourceAddresses"] = []string{"*"}
	default:
		x["sourceAddresses"] = []string{pick(w.r, sources()...), pick(w.r, sources()...)}
	}
}

func (w *world) translations(name string) thing {
	rules := list{}
	for i := range 1 + w.r.IntN(3) {
		x := thing{
			"name": fmt.Sprint("r", i), "ruleType": "NatRule", "destinationAddresses": []string{pick(w.r, "20.0.2.1", "20.0.2.2", "*", "10.0.9.4", "10.0.9.4")}, "destinationPorts": []string{pick(w.r, "22", "2201", "80", "22-80")},
			"translatedAddress": pick(w.r, "10.0.0.4", "10.0.0.5", "10.1.0.4", "10.1.0.100"), "translatedPort": pick(w.r, "22", "80", "3389"),
		}
		x["protocols"] = []string{pick(w.r, "TCP", "UDP", "Any")}
		x["ipProtocols"] = x["protocols"]
		w.sides(x)
		rules = append(rules, x)
	}
	return thing{"name": name, "priority": 100 + w.r.IntN(900), "ruleCollectionType": "FirewallPolicyNatRuleCollection", "action": thing{"type": "DNAT"}, "rules": rules}
}

func (w *world) network(name string) thing {
	rules := list{}
	for i := range 1 + w.r.IntN(3) {
		x := thing{"name": fmt.Sprint("r", i), "ruleType": "NetworkRule", "destinationPorts": []string{w.ports()}}
		x["destinationAddresses"] = []string{pick(w.r, "*", "10.0.0.0/24", "10.1.0.0/24", "10.0.0.5", "10.1.0.4-10.1.0.99", "SomeService")}
		if w.chance(10) {
			x["destinationAddresses"], x["destinationFqdns"] = []string{}, []string{"db.example.com"}
		}
		x["protocols"] = []string{pick(w.r, "TCP", "Any", "UDP")}
		x["ipProtocols"] = x["protocols"]
		w.sides(x)
		rules = append(rules, x)
	}
	return thing{"name": name, "priority": 100 + w.r.IntN(900), "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "action": thing{"type": pick(w.r, "Allow", "Allow", "Deny")}, "rules": rules}
}

func (w *world) application(name string) thing {
	x := thing{"name": "r", "ruleType": "ApplicationRule", "targetFqdns": []string{"*"}, "protocols": list{thing{"protocolType": "Http", "port": pick(w.r, 80, 22)}}}
	w.sides(x)
	return thing{"name": name, "priority": 100 + w.r.IntN(900), "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "action": thing{"type": "Allow"}, "rules": list{x}}
}
