package packet

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
)

const base = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Network/"

// A plain is a world of documents under construction: one network with one
// subnet, 10.0.0.0/16 and 10.0.0.0/24, unless a test adds others.
type plain struct {
	docs map[string]json.RawMessage
	tags map[string][]netip.Prefix
}

func newPlain() plain {
	return plain{docs: map[string]json.RawMessage{}, tags: map[string][]netip.Prefix{}}
}

func (w plain) put(kind, name, properties string) plain {
	id := base + kind + "/" + name
	w.docs[id] = fmt.Appendf(nil, `{"id":%q,"name":%q,"sku":{"name":"Basic"},"properties":{%s}}`, id, name, properties)
	return w
}

// network adds a virtual network with one subnet, s, of its whole space.
func (w plain) network(name, space, more string) plain {
	return w.put("virtualNetworks", name, fmt.Sprintf(
		`"addressSpace":{"addressPrefixes":[%q]},"subnets":[{"name":"s","properties":{"addressPrefix":%q%s}}]`, space, space, more))
}

// nic adds a network interface with one IP configuration in network's subnet s.
func (w plain) nic(name, network, address, nicMore, configMore string) plain {
	return w.put("networkInterfaces", name, fmt.Sprintf(
		`"ipConfigurations":[{"id":%q,"properties":{"privateIPAddress":%q,"subnet":{"id":%q}%s}}]%s`,
		config(name), address, base+"virtualNetworks/"+network+"/subnets/s", configMore, nicMore))
}

func config(nic string) string { return base + "networkInterfaces/" + nic + "/ipConfigurations/c" }

// nsg adds a group; each rule is "NAME PRIORITY DIRECTION ACCESS PROTOCOL FROM TO PORTS".
func (w plain) nsg(name string, rules ...string) plain {
	var out []string
	for _, r := range rules {
		f := strings.Fields(r)
		out = append(out, fmt.Sprintf(
			`{"name":%q,"properties":{"priority":%s,"direction":%q,"access":%q,"protocol":%q,"sourcePortRange":"*","destinationPortRange":"","destinationPortRanges":[%s],%s,%s}}`,
			f[0], f[1], f[2], f[3], f[4], list(f[7]), end("source", f[5]), end("destination", f[6])))
	}
	return w.put("networkSecurityGroups", name, `"securityRules":[`+strings.Join(out, ",")+`]`)
}

// end writes an address (singular), a list of them (plural) or asg:NAME.
func end(side, text string) string {
	if name, ok := strings.CutPrefix(text, "asg:"); ok {
		return fmt.Sprintf(`"%sAddressPrefix":"","%sAddressPrefixes":[],"%sApplicationSecurityGroups":[{"id":%q}]`,
			side, side, side, base+"applicationSecurityGroups/"+name)
	}
	if strings.Contains(text, ",") {
		return fmt.Sprintf(`"%sAddressPrefix":"","%sAddressPrefixes":[%s]`, side, side, list(text))
	}
	return fmt.Sprintf(`"%sAddressPrefix":%q,"%sAddressPrefixes":[]`, side, text, side)
}

func list(text string) string {
	var out []string
	for x := range strings.SplitSeq(text, ",") {
		out = append(out, fmt.Sprintf("%q", x))
	}
	return strings.Join(out, ",")
}

func behind(name string) string {
	return fmt.Sprintf(`,"networkSecurityGroup":{"id":%q}`, strings.ToUpper(base)+"networksecuritygroups/"+name)
}

func asg(name string) string {
	return fmt.Sprintf(`,"applicationSecurityGroups":[{"id":%q}]`, base+"applicationSecurityGroups/"+name)
}

func public() string {
	return fmt.Sprintf(`,"publicIPAddress":{"id":%q}`, base+"publicIPAddresses/p")
}

// judge reads "[NETWORK:]FROM>TO:PORT[/PROTOCOL]".
func (w plain) judge(t *testing.T, text string) Verdict {
	t.Helper()
	world, err := New(w.docs, w.tags)
	if err != nil {
		t.Fatal(err)
	}
	left, right, _ := strings.Cut(text, ">")
	p := Packet{In: "", From: netip.Addr{}, FromPort: 50000, To: netip.Addr{}, ToPort: 0, Protocol: TCP}
	if n, rest, ok := strings.Cut(left, ":"); ok && !strings.Contains(rest, ":") {
		p.In, left = base+"virtualNetworks/"+n, rest
	}
	right, protocol, _ := strings.Cut(right, "/")
	p.Protocol = map[string]Protocol{"": TCP, "udp": UDP, "icmp": ICMP, "esp": ESP}[protocol]
	to := netip.MustParseAddrPort(right)
	p.From, p.To, p.ToPort = netip.MustParseAddr(left), to.Addr(), to.Port()
	return world.Judge(p)
}

// expect checks lines of "PACKET OUTCOME [RULE]".
func (w plain) expect(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		f := strings.Fields(line)
		v := w.judge(t, f[0])
		if v.Outcome.String() != f[1] || len(f) > 2 && !strings.HasSuffix(v.By().Rule, f[2]) {
			t.Errorf("%s: %s by %s\n%v", line, v.Outcome, v.By(), v.Steps)
		}
	}
}

func addressed() plain {
	w := newPlain().network("v", "10.0.0.0/16", "")
	return w.put("publicIPAddresses", "p", `"ipAddress":"20.0.0.1"`)
}

// The table of default rules in the overview of network security groups.
func TestDefaultRules(t *testing.T) {
	w := addressed().nsg("g").nic("a", "v", "10.0.0.4", behind("g"), public()).nic("b", "v", "10.0.0.5", "", "")
	w.expect(t,
		"8.8.8.8>20.0.0.1:22 denied defaultSecurityRules/DenyAllInBound",
		"v:10.0.0.5>10.0.0.4:22 delivered defaultSecurityRules/AllowVnetInBound",
		"v:168.63.129.16>10.0.0.4:22 delivered defaultSecurityRules/AllowVnetInBound",
		"v:10.0.9.9>10.0.0.4:22 delivered defaultSecurityRules/AllowVnetInBound",
		"v:172.16.0.9>10.0.0.4:22 denied defaultSecurityRules/DenyAllInBound",
		"v:10.0.0.4>10.0.0.5:22 delivered", // out by AllowVnetOutBound, and no group there
	)
}

// The four ways in which another analyser gets network security groups wrong.
func TestKnownFallacies(t *testing.T) {
	tests := []struct {
		name  string
		rules []string
		want  []string
	}{
		{"VirtualNetwork is not RFC 1918", []string{"vnet 100 Inbound Allow Tcp VirtualNetwork * 22"}, []string{
			"v:172.16.0.9>10.0.0.4:22 denied", "v:10.0.3.9>10.0.0.4:22 delivered",
		}},
		{"a tag that nobody knows is not empty", []string{"tag 100 Inbound Deny Tcp SomeService * 22", "all 200 Inbound Allow * * * *"}, []string{
			"8.8.8.8>20.0.0.1:22 unknown tag", "8.8.8.8>20.0.0.1:23 delivered all",
		}},
		{"any protocol does not mean any port", []string{"ssh 100 Inbound Allow * * * 22"}, []string{
			"8.8.8.8>20.0.0.1:22 delivered ssh", "8.8.8.8>20.0.0.1:23 denied", "8.8.8.8>20.0.0.1:22/icmp unknown",
		}},
		{"a plural list is not any", []string{"two 100 Inbound Allow Tcp 1.1.1.1,2.2.2.0/24 * 22,80-90"}, []string{
			"8.8.8.8>20.0.0.1:22 denied", "1.1.1.1>20.0.0.1:22 delivered two", "2.2.2.9>20.0.0.1:85 delivered two", "2.2.2.9>20.0.0.1:91 denied",
		}},
		{"nor is an application security group", []string{"asg 100 Inbound Allow Tcp asg:web * 22", "no 200 Inbound Deny * * * *"}, []string{
			"8.8.8.8>20.0.0.1:22 denied no", "v:10.0.0.5>10.0.0.4:22 delivered asg", "v:10.0.0.6>10.0.0.4:22 denied no",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := addressed().nsg("g", tt.rules...).nic("a", "v", "10.0.0.4", behind("g"), public()).nic("b", "v", "10.0.0.5", "", asg("WEB"))
			w.expect(t, tt.want...)
		})
	}
}

func TestOrderOfRules(t *testing.T) {
	w := addressed().nic("a", "v", "10.0.0.4", behind("g"), public()).nsg("g",
		"late 300 Inbound Allow Tcp * * *",
		"early 100 INBOUND deny TCP 8.8.8.0/24 10.0.0.4 22",
		"public 90 Inbound Allow * * 20.0.0.1 *",
		"out 100 Outbound Deny * * * *",
		"same 299 inbound Deny udp * * 53")
	w.expect(t,
		"8.8.8.8>20.0.0.1:22 denied early", // its private address is what the group sees
		"8.8.9.8>20.0.0.1:22 delivered late",
		"8.8.8.8>20.0.0.1:53/udp denied same",
		"8.8.8.8>20.0.0.1:54/udp denied DenyAllInBound",
		"v:10.0.0.4>10.0.0.9:1 denied out",
	)
}

// Both groups have to let a packet pass; one that is missing does.
func TestTwoGroups(t *testing.T) {
	open, shut := "open 100 Inbound Allow Tcp * * 22", "shut 100 Inbound Deny Tcp * * 22"
	tests := []struct{ subnet, nic, want string }{
		{"", "", "delivered"},
		{open, "", "delivered"},
		{"", open, "delivered"},
		{open, open, "delivered"},
		{shut, open, "denied"},
		{open, shut, "denied"},
		{shut, "", "denied"},
		{"", shut, "denied"},
	}
	for _, tt := range tests {
		ofSubnet, ofNIC := "", ""
		w := newPlain()
		if tt.subnet != "" {
			w, ofSubnet = w.nsg("s", tt.subnet), behind("s")
		}
		if tt.nic != "" {
			w, ofNIC = w.nsg("n", tt.nic), behind("n")
		}
		w = w.network("v", "10.0.0.0/16", ofSubnet).nic("a", "v", "10.0.0.4", ofNIC, public()).put("publicIPAddresses", "p", `"ipAddress":"20.0.0.1"`)
		w.expect(t, "8.8.8.8>20.0.0.1:22 "+tt.want)
	}
}

func TestStandardAddressWithoutGroup(t *testing.T) {
	w := addressed().nic("a", "v", "10.0.0.4", "", public())
	id := base + "publicIPAddresses/p"
	w.docs[id] = []byte(strings.Replace(string(w.docs[id]), "Basic", "Standard", 1))
	w.expect(t, "8.8.8.8>20.0.0.1:22 unknown")
}

func TestAdminRules(t *testing.T) {
	rule := func(access, source string) string {
		return fmt.Sprintf(`{"id":"R","kind":"Custom","properties":{"priority":1,"direction":"Inbound","access":%q,"protocol":"Tcp","destinationPortRanges":["22"],"sourcePortRanges":["0-65535"],"sources":[{"addressPrefixType":"IPPrefix","addressPrefix":%q}],"destinations":[{"addressPrefixType":"IPPrefix","addressPrefix":"*"}]}}`, access, source)
	}
	open, shut := "open 100 Inbound Allow Tcp * * 22", "shut 100 Inbound Deny Tcp * * 22"
	tests := []struct{ admin, group, want string }{
		{rule("Deny", "*"), open, "denied R"},
		{rule("AlwaysAllow", "*"), shut, "delivered R"},
		{rule("Allow", "*"), shut, "denied shut"},
		{rule("Allow", "*"), open, "delivered open"},
		{rule("Deny", "9.9.9.9"), open, "delivered open"},
		{rule("Deny", "SomeService"), open, "unknown R"},
		{rule("Deny", "SomeService"), shut, "denied"},
		{rule("AlwaysAllow", "SomeService"), open, "delivered"},
		{rule("AlwaysAllow", "SomeService"), shut, "unknown R"},
	}
	for _, tt := range tests {
		w := addressed().nsg("g", tt.group).nic("a", "v", "10.0.0.4", behind("g"), public())
		w.docs[base+"virtualNetworks/v"+topology.AdminRules] = json.RawMessage(`{"value":[` + tt.admin + `]}`)
		w.expect(t, "8.8.8.8>20.0.0.1:22 "+tt.want)
	}
}

// The same address in two networks is two machines.
func TestOverlappingNetworks(t *testing.T) {
	w := newPlain().network("v", "10.0.0.0/16", "").network("w", "10.0.0.0/16", "")
	w.nsg("g", "asg 100 Inbound Allow Tcp asg:web * 22", "no 200 Inbound Deny * * * *")
	w.nic("a", "v", "10.0.0.4", behind("g"), "").nic("b", "v", "10.0.0.5", "", "")
	w.nic("c", "w", "10.0.0.4", behind("g"), "").nic("d", "w", "10.0.0.5", "", asg("web"))
	w.expect(t, "v:10.0.0.5>10.0.0.4:22 denied", "w:10.0.0.5>10.0.0.4:22 delivered")
}

func TestPeering(t *testing.T) {
	peer := func(w plain, a, space, b, bSpace, state string, access bool) {
		w.put("virtualNetworks", a, fmt.Sprintf(
			`"addressSpace":{"addressPrefixes":[%q]},"subnets":[{"name":"s","properties":{"addressPrefix":%q}}],"virtualNetworkPeerings":[{"name":"p","properties":{"peeringState":%q,"allowVirtualNetworkAccess":%v,"remoteVirtualNetwork":{"id":%q},"remoteAddressSpace":{"addressPrefixes":[%q]}}}]`,
			space, space, state, access, base+"virtualNetworks/"+b, bSpace))
	}
	tests := []struct {
		there, back string
		access      bool
		want        string
	}{
		{"Connected", "Connected", true, "delivered"},
		{"Connected", "Disconnected", true, "denied"},
		{"Initiated", "Connected", true, "denied"},
		{"Connected", "Connected", false, "denied"}, // not in the tag VirtualNetwork any more
	}
	for _, tt := range tests {
		w := newPlain().nsg("g")
		peer(w, "v", "10.0.0.0/16", "w", "10.1.0.0/16", tt.there, true)
		peer(w, "w", "10.1.0.0/16", "v", "10.0.0.0/16", tt.back, tt.access)
		w.nic("a", "v", "10.0.0.4", "", "").nic("b", "w", "10.1.0.4", behind("g"), "")
		w.expect(t, "v:10.0.0.4>10.1.0.4:22 "+tt.want)
	}
}

func TestRoutes(t *testing.T) {
	table := fmt.Sprintf(`,"routeTable":{"id":%q}`, base+"routeTables/t")
	w := newPlain().network("v", "10.0.0.0/16", table).nsg("g").put("publicIPAddresses", "p", `"ipAddress":"20.0.0.1"`)
	w.nic("a", "v", "10.0.0.4", "", "").nic("b", "v", "10.0.0.5", behind("g"), public())
	w.put("routeTables", "t", `"routes":[{"name":"hole","properties":{"addressPrefix":"10.0.0.5/32","nextHopType":"None"}}]`)
	w.expect(t, "v:10.0.0.4>10.0.0.5:22 denied")
	w.put("routeTables", "t", `"routes":[{"name":"nva","properties":{"addressPrefix":"10.0.0.0/24","nextHopType":"VirtualAppliance","nextHopIpAddress":"10.0.0.99"}}]`)
	w.expect(t, "v:10.0.0.4>10.0.0.5:22 unknown")
	// The prefixes of routes are in the tag VirtualNetwork, the default route perhaps.
	w.put("routeTables", "t", `"routes":[{"name":"wide","properties":{"addressPrefix":"8.0.0.0/8","nextHopType":"Internet"}}]`)
	w.expect(t, "8.8.8.8>20.0.0.1:22 delivered AllowVnetInBound", "9.9.9.9>20.0.0.1:22 denied")
	w.put("routeTables", "t", `"routes":[{"name":"all","properties":{"addressPrefix":"0.0.0.0/0","nextHopType":"Internet"}}]`)
	w.expect(t, "8.8.8.8>20.0.0.1:22 unknown AllowVnetInBound", "v:10.0.0.4>10.0.0.5:22 delivered")
}

func TestLoadBalancer(t *testing.T) {
	lb := base + "loadBalancers/lb"
	w := newPlain().network("v", "10.0.0.0/16", "").put("publicIPAddresses", "p", `"ipAddress":"20.0.0.1"`)
	w.put("loadBalancers", "lb", fmt.Sprintf(`"frontendIPConfigurations":[{"name":"f","properties":{"publicIPAddress":{"id":%q}}}],
		"inboundNatRules":[{"name":"ssh","properties":{"frontendIPConfiguration":{"id":%q},"protocol":"Tcp","frontendPort":50001,"backendPort":22}}],
		"loadBalancingRules":[{"name":"web","properties":{"frontendIPConfiguration":{"id":%q},"protocol":"Tcp","frontendPort":80,"backendPort":8080,"backendAddressPool":{"id":%q}}}]`,
		base+"publicIPAddresses/p", lb+"/frontendIPConfigurations/f", lb+"/frontendIPConfigurations/f", lb+"/backendAddressPools/b"))
	pool := fmt.Sprintf(`,"loadBalancerBackendAddressPools":[{"id":%q}]`, lb+"/backendAddressPools/b")
	w.nsg("g", "me 100 Inbound Allow Tcp 8.8.8.8 10.0.0.4 22", "web 110 Inbound Allow Tcp * * 8080")
	w.nsg("shut")
	w.nic("a", "v", "10.0.0.4", behind("g"), pool+fmt.Sprintf(`,"loadBalancerInboundNatRules":[{"id":%q}]`, lb+"/inboundNatRules/ssh"))
	w.nic("b", "v", "10.0.0.5", behind("g"), pool)
	w.expect(t,
		"8.8.8.8>20.0.0.1:50001 delivered me", // the client's address stays
		"9.9.9.9>20.0.0.1:50001 denied", "8.8.8.8>20.0.0.1:22 denied", "8.8.8.8>20.0.0.1:50001/udp denied",
		"9.9.9.9>20.0.0.1:80 delivered web",
	)
	if v := w.judge(t, "8.8.8.8>20.0.0.1:50001"); v.Reached != config("a") || v.Port != 22 || v.To.String() != "10.0.0.4" {
		t.Errorf("the packet reached %+v", v)
	}
	w.nic("b", "v", "10.0.0.5", behind("shut"), pool)
	w.expect(t, "9.9.9.9>20.0.0.1:80 unknown")
}

// The worked example of Azure's page on rule processing: which collections are
// asked, in which order.
func TestOrderOfPolicyCollections(t *testing.T) {
	w := newPlain().put("firewallPolicies", "parent", "").put("firewallPolicies", "child", fmt.Sprintf(`"basePolicy":{"id":%q}`, base+"firewallPolicies/parent"))
	group := func(policy, name string, priority int, collections ...string) {
		var out []string
		for _, c := range collections {
			f := strings.Fields(c)
			kind, ruleType := "FirewallPolicyFilterRuleCollection", "NetworkRule"
			switch {
			case strings.Contains(f[0], "DNAT"):
				kind, ruleType = "FirewallPolicyNatRuleCollection", "NatRule"
			case strings.Contains(f[0], "App"):
				ruleType = "ApplicationRule"
			}
			out = append(out, fmt.Sprintf(`{"name":%q,"priority":%s,"ruleCollectionType":%q,"rules":[{"ruleType":%q,"name":"r"}]}`, f[0], f[1], kind, ruleType))
		}
		w.put("firewallPolicies/"+policy+"/ruleCollectionGroups", name, fmt.Sprintf(`"priority":%d,"ruleCollections":[%s]`, priority, strings.Join(out, ",")))
	}
	group("parent", "BaseRCG1", 200, "DNATRC1 600", "DNATRC3 610", "NetworkRC1 800")
	group("parent", "BaseRCG2", 300, "AppRC2 1200", "NetworkRC2 1300")
	group("child", "ChildRCG1", 300, "ChNetRC1 700", "ChAppRC1 900")
	group("child", "ChildRCG2", 650, "ChNetRC2 1100", "ChAppRC2 2000", "ChDNATRC3 3000")
	w.put("azureFirewalls", "f", fmt.Sprintf(`"firewallPolicy":{"id":%q}`, strings.ToLower(base+"firewallPolicies/child")))
	world, err := New(w.docs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, kind := range []topology.CollectionKind{topology.Translation, topology.NetworkRules, topology.ApplicationRules} {
		for _, c := range world.CollectionsOf(world.Firewalls[0], kind) {
			got = append(got, c.Name)
		}
	}
	want := []string{"DNATRC1", "DNATRC3", "ChDNATRC3", "NetworkRC1", "NetworkRC2", "ChNetRC1", "ChNetRC2", "AppRC2", "ChAppRC1", "ChAppRC2"}
	if !slices.Equal(got, want) {
		t.Errorf("order\n%v, want\n%v", got, want)
	}
}

func TestFirewall(t *testing.T) {
	const dnat = `"name":"ssh","sourceAddresses":["8.8.8.0/24"],"destinationAddresses":["20.0.0.1"],"destinationPorts":["2201"],"translatedAddress":"10.0.0.4","translatedPort":"22"`
	build := func(policy bool, groupRules ...string) plain {
		w := newPlain().put("publicIPAddresses", "p", `"ipAddress":"20.0.0.1"`)
		w.put("virtualNetworks", "v", fmt.Sprintf(
			`"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"subnets":[{"name":"s","properties":{"addressPrefix":"10.0.0.0/24","routeTable":{"id":%q}}},{"name":"AzureFirewallSubnet","properties":{"addressPrefix":"10.0.9.0/26"}}]`,
			base+"routeTables/t"))
		w.put("routeTables", "t", `"routes":[{"name":"fw","properties":{"addressPrefix":"10.0.0.0/24","nextHopType":"VirtualAppliance","nextHopIpAddress":"10.0.9.4"}}]`)
		own := fmt.Sprintf(`"ipConfigurations":[{"properties":{"privateIPAddress":"10.0.9.4","subnet":{"id":%q},"publicIPAddress":{"id":%q}}}]`,
			base+"virtualNetworks/v/subnets/AzureFirewallSubnet", base+"publicIPAddresses/p")
		if policy {
			w.put("azureFirewalls", "f", own+fmt.Sprintf(`,"firewallPolicy":{"id":%q}`, base+"firewallPolicies/fp"))
			w.put("firewallPolicies", "fp", "")
			w.put("firewallPolicies/fp/ruleCollectionGroups", "g", `"priority":100,"ruleCollections":[{"name":"nat","priority":100,"ruleCollectionType":"FirewallPolicyNatRuleCollection","action":{"type":"DNAT"},"rules":[{"ruleType":"NatRule","ipProtocols":["TCP"],`+dnat+`}]},
				{"name":"net","priority":100,"ruleCollectionType":"FirewallPolicyFilterRuleCollection","action":{"type":"Allow"},"rules":[{"ruleType":"NetworkRule","name":"in","ipProtocols":["Any"],"sourceAddresses":["10.0.0.5"],"destinationAddresses":["*"],"destinationPorts":["22"]}]}]`)
		} else {
			w.put("azureFirewalls", "f", own+`,"natRuleCollections":[{"name":"nat","properties":{"priority":100,"action":{"type":"Dnat"},"rules":[{"protocols":["TCP"],`+dnat+`}]}}],
				"networkRuleCollections":[{"name":"net","properties":{"priority":100,"action":{"type":"Allow"},"rules":[{"name":"in","protocols":["Any"],"sourceAddresses":["10.0.0.5"],"destinationAddresses":["*"],"destinationPorts":["22"]}]}}]`)
		}
		return w.nsg("g", groupRules...).nic("a", "v", "10.0.0.4", behind("g"), "").nic("b", "v", "10.0.0.5", "", "").nic("c", "v", "10.0.0.6", "", "")
	}
	for _, policy := range []bool{false, true} {
		// The VM sees the firewall, not the client.
		build(policy, "client 100 Inbound Allow Tcp 8.8.8.8 * 22", "no 200 Inbound Deny * * * *").expect(t,
			"8.8.8.8>20.0.0.1:2201 denied no")
		build(policy, "firewall 100 Inbound Allow Tcp 10.0.9.0/26 * 22", "no 200 Inbound Deny * * * *").expect(t,
			"8.8.8.8>20.0.0.1:2201 delivered firewall", "8.8.8.8>20.0.0.1:22 denied", "9.9.9.9>20.0.0.1:2201 denied")
		// One address of it is not all of them.
		build(policy, "one 100 Inbound Allow Tcp 10.0.9.4 * 22", "no 200 Inbound Deny * * * *").expect(t,
			"8.8.8.8>20.0.0.1:2201 unknown")
		build(policy).expect(t, "v:10.0.0.5>10.0.0.4:22 delivered", "v:10.0.0.6>10.0.0.4:22 denied", "v:10.0.0.5>10.0.0.4:23 denied")
	}
}

// A rule that uses an IP group which is empty is skipped.
func TestIPGroups(t *testing.T) {
	w := newPlain().network("v", "10.0.9.0/26", "").put("publicIPAddresses", "p", `"ipAddress":"20.0.0.1"`).nic("a", "v", "10.0.9.40", "", "")
	w.put("azureFirewalls", "f", fmt.Sprintf(
		`"ipConfigurations":[{"properties":{"privateIPAddress":"10.0.9.4","subnet":{"id":%q},"publicIPAddress":{"id":%q}}}],
		"natRuleCollections":[{"name":"nat","properties":{"priority":100,"action":{"type":"Dnat"},"rules":[{"name":"r","protocols":["TCP"],"sourceIpGroups":[%q],"sourceAddresses":["7.7.7.7"],"destinationAddresses":["20.0.0.1"],"destinationPorts":["22"],"translatedAddress":"10.0.9.40","translatedPort":"22"}]}}]`,
		base+"virtualNetworks/v/subnets/s", base+"publicIPAddresses/p", base+"ipGroups/who"))
	w.put("ipGroups", "who", `"ipAddresses":["8.8.8.8","9.0.0.0-9.0.0.9"]`)
	w.expect(t, "8.8.8.8>20.0.0.1:22 delivered", "9.0.0.9>20.0.0.1:22 delivered", "9.0.0.10>20.0.0.1:22 denied", "7.7.7.7>20.0.0.1:22 delivered")
	w.put("ipGroups", "who", `"ipAddresses":[]`)
	w.expect(t, "8.8.8.8>20.0.0.1:22 denied", "7.7.7.7>20.0.0.1:22 denied")
}

func TestTags(t *testing.T) {
	w := addressed().nic("a", "v", "10.0.0.4", behind("g"), public()).nsg("g",
		"probe 100 Inbound Deny Tcp AzureLoadBalancer * 22", "cloud 110 Inbound Deny * AzureCloud.WestEurope * *", "internet 120 Inbound Allow Tcp Internet * 22")
	w.tags["azurecloud.westeurope"] = []netip.Prefix{netip.MustParsePrefix("13.0.0.0/8")}
	w.tags["VirtualNetwork"] = []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}
	w.expect(t,
		"v:168.63.129.16>10.0.0.4:22 denied probe", "13.1.1.1>20.0.0.1:22 denied cloud", "8.8.8.8>20.0.0.1:22 delivered internet",
		"v:192.168.7.1>10.0.0.4:22 delivered AllowVnetInBound", "v:192.168.8.1>10.0.0.4:22 denied DenyAllInBound",
	)
}

func TestIPv6(t *testing.T) {
	w := newPlain().network("v", "fd00::/64", "").put("publicIPAddresses", "p", `"ipAddress":"2603::1"`)
	w.nic("a", "v", "fd00::4", behind("g"), public()).nsg("g", "four 100 Inbound Allow Tcp 0.0.0.0/0 * 22", "six 110 Inbound Allow Tcp ::/0 * 23")
	w.expect(t, "2001:db8::1>[2603::1]:22 denied", "2001:db8::1>[2603::1]:23 delivered six")
}

func TestNobodyThere(t *testing.T) {
	w := addressed().nic("a", "v", "10.0.0.4", "", "")
	w.expect(t, "8.8.8.8>20.0.0.1:22 denied", "8.8.8.8>20.0.0.2:22 denied", "10.0.0.4>20.0.0.1:22 denied", "8.8.8.8>10.0.0.4:22 denied",
		"nowhere:10.0.0.4>10.0.0.4:22 denied", "v:10.0.0.4>10.0.0.77:22 denied", "v:10.0.0.4>8.8.8.8:22 unknown")
}
