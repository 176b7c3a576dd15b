package dialect_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	azrule "github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/reach"
)

const (
	web firewall.VMID = "/vm/web"
	db  firewall.VMID = "/vm/db"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// rule returns a rule for anybody to anywhere, with other properties.
func rule(priority int, access string, changes ...string) string {
	props := map[string]string{
		"access": `"` + access + `"`, "protocol": `"*"`, "direction": `"Inbound"`, "priority": fmt.Sprint(priority),
		"sourceAddressPrefix": `"*"`, "sourcePortRange": `"*"`, "destinationAddressPrefix": `"*"`, "destinationPortRange": `"*"`,
	}
	for i := 0; i < len(changes); i += 2 {
		props[changes[i]] = changes[i+1]
	}
	var parts []string
	for k, v := range props {
		parts = append(parts, fmt.Sprintf("%q:%s", k, v))
	}
	return fmt.Sprintf(`{"name":"r%d","properties":{%s}}`, priority, strings.Join(parts, ","))
}

// reading is of a group with the given rules.
func reading(t *testing.T, rules ...string) dialect.Reading {
	t.Helper()
	g, err := resource.Parse(fmt.Appendf(nil, `{"id":"/nsg","properties":{"securityRules":[%s],"defaultSecurityRules":[]}}`, strings.Join(rules, ",")))
	if err != nil {
		t.Fatal(err)
	}
	view := viewOf(prefix("10.0.0.0/16"), prefix("172.20.0.0/16"))
	return dialect.Reading{
		Group: g, Keys: firewall.Keyring{Instance: "main"},
		Attachments: []dialect.Attachment{
			{ID: "/nic/web", VM: web, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}, Groups: []string{"/asg/front"}, View: view},
			{ID: "/nic/db", VM: db, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}, Groups: []string{"/asg/back"}, View: view},
		},
	}
}

// viewOf is how names are seen in a network of these addresses.
func viewOf(network ...netip.Prefix) *azrule.View {
	return &azrule.View{
		VirtualNetwork: azrule.Set{Sure: network}, Known: true,
		Tags:   map[string][]netip.Prefix{"storage": {prefix("20.0.0.0/16")}, "nothing": {}},
		Groups: map[string]azrule.Set{"/asg/back": {Sure: []netip.Prefix{prefix("10.0.0.5/32")}}, "/asg/empty": {}},
	}
}

// ask returns what becomes of a packet to port 22 of a VM.
func ask(r dialect.Reading, vm firewall.VMID, from string, protocol firewall.Protocol) string {
	to := map[firewall.VMID]string{web: "10.0.0.4", db: "10.0.0.5"}[vm]
	v := inventory.VM{ID: vm, Paths: []inventory.Path{{To: []netip.Addr{netip.MustParseAddr(to)}, Hops: []inventory.Hop{{Firewall: "/nsg"}}}}}
	d := firewall.Door{VM: vm, Protocol: protocol, Port: 22}
	if protocol != firewall.TCP && protocol != firewall.UDP {
		d.Port = 0
	}
	return reach.VM(v, map[firewall.ID]firewall.Layer{"/nsg": r.Layer()}, d).At(netip.MustParseAddr(from)).Verdict.String()
}

// TestLayer holds the layer against what Azure documents, and what it does not:
// among these are four traps of other engines, with a network that is not all
// private space, tags that are not known, any protocol with some ports, and lists
// without a single prefix.
func TestLayer(t *testing.T) {
	front := `[{"id":"/asg/FRONT"}]`
	for name, x := range map[string]struct {
		rules    []string
		vm       firewall.VMID
		from     string
		protocol firewall.Protocol
		want     string
	}{
		"the default rules decide last":         {nil, web, "8.8.8.8", firewall.TCP, "closed"},
		"and let the network in":                {nil, web, "10.0.0.9", firewall.TCP, "open"},
		"the network":                           {[]string{rule(100, "Allow", "sourceAddressPrefix", `"VirtualNetwork"`)}, web, "172.20.3.4", firewall.TCP, "open"},
		"private space outside it":              {[]string{rule(100, "Allow", "sourceAddressPrefix", `"virtualnetwork"`)}, web, "172.21.3.4", firewall.TCP, "closed"},
		"the Internet":                          {[]string{rule(100, "Allow", "sourceAddressPrefix", `"Internet"`)}, web, "8.8.8.8", firewall.TCP, "open"},
		"the network is not the Internet":       {[]string{rule(100, "Deny", "sourceAddressPrefix", `"Internet"`)}, web, "10.0.9.9", firewall.TCP, "open"},
		"a tag that is known":                   {[]string{rule(100, "Allow", "sourceAddressPrefix", `"Storage"`)}, web, "20.0.1.1", firewall.TCP, "open"},
		"and others":                            {[]string{rule(100, "Allow", "sourceAddressPrefix", `"Storage"`)}, web, "20.1.1.1", firewall.TCP, "closed"},
		"a tag that is not known may allow":     {[]string{rule(100, "Allow", "sourceAddressPrefix", `"AzureCloud"`)}, web, "20.1.1.1", firewall.TCP, "unknown"},
		"a tag that is not known may deny":      {[]string{rule(100, "Deny", "sourceAddressPrefix", `"AzureCloud"`), rule(101, "Allow")}, web, "20.1.1.1", firewall.TCP, "unknown"},
		"a tag of nobody":                       {[]string{rule(100, "Deny", "sourceAddressPrefix", `"Nothing"`), rule(101, "Allow")}, web, "20.1.1.1", firewall.TCP, "open"},
		"probes":                                {[]string{rule(100, "Allow", "sourceAddressPrefix", `"AzureLoadBalancer"`)}, web, "168.63.129.16", firewall.TCP, "open"},
		"what is balanced is no probe":          {[]string{rule(100, "Allow", "sourceAddressPrefix", `"AzureLoadBalancer"`)}, web, "8.8.8.8", firewall.TCP, "closed"},
		"any protocol, some ports":              {[]string{rule(100, "Allow", "destinationPortRange", `"443"`)}, web, "8.8.8.8", firewall.TCP, "closed"},
		"any protocol, this port":               {[]string{rule(100, "Allow", "destinationPortRange", `"22"`)}, web, "8.8.8.8", firewall.UDP, "open"},
		"ICMP":                                  {[]string{rule(100, "Allow", "protocol", `"Icmp"`)}, web, "8.8.8.8", 1, "open"},
		"ICMP is not TCP":                       {[]string{rule(100, "Allow", "protocol", `"ICMP"`)}, web, "8.8.8.8", firewall.TCP, "closed"},
		"ESP":                                   {[]string{rule(100, "Allow", "protocol", `"Esp"`)}, web, "8.8.8.8", 50, "open"},
		"a list":                                {[]string{rule(100, "Allow", "sourceAddressPrefix", `""`, "sourceAddressPrefixes", `["10.1.0.0/16","8.8.8.8"]`)}, web, "8.8.8.8", firewall.TCP, "open"},
		"not on the list":                       {[]string{rule(100, "Allow", "sourceAddressPrefix", `""`, "sourceAddressPrefixes", `["10.1.0.0/16","8.8.8.8"]`)}, web, "8.8.8.9", firewall.TCP, "closed"},
		"from a group":                          {[]string{rule(100, "Allow", "sourceAddressPrefix", `""`, "sourceApplicationSecurityGroups", `[{"id":"/asg/Back"}]`)}, web, "10.0.0.5", firewall.TCP, "open"},
		"not of the group":                      {[]string{rule(100, "Allow", "sourceAddressPrefix", `""`, "sourceApplicationSecurityGroups", `[{"id":"/asg/Back"}]`), rule(101, "Deny")}, web, "10.0.0.6", firewall.TCP, "closed"},
		"from an empty group":                   {[]string{rule(100, "Deny", "sourceAddressPrefix", `""`, "sourceApplicationSecurityGroups", `[{"id":"/asg/empty"}]`), rule(101, "Allow")}, web, "10.0.0.6", firewall.TCP, "open"},
		"from a group that is not known":        {[]string{rule(100, "Allow", "sourceAddressPrefix", `""`, "sourceApplicationSecurityGroups", `[{"id":"/asg/x"}]`), rule(101, "Deny")}, web, "10.0.0.6", firewall.TCP, "unknown"},
		"to a group":                            {[]string{rule(100, "Allow", "destinationAddressPrefix", `""`, "destinationApplicationSecurityGroups", front)}, web, "8.8.8.8", firewall.TCP, "open"},
		"to another group":                      {[]string{rule(100, "Allow", "destinationAddressPrefix", `""`, "destinationApplicationSecurityGroups", front)}, db, "8.8.8.8", firewall.TCP, "closed"},
		"to the address":                        {[]string{rule(100, "Allow", "destinationAddressPrefix", `"10.0.0.4/30"`)}, db, "8.8.8.8", firewall.TCP, "open"},
		"to another address":                    {[]string{rule(100, "Allow", "destinationAddressPrefix", `"10.0.0.4"`)}, db, "8.8.8.8", firewall.TCP, "closed"},
		"to the public address, never":          {[]string{rule(100, "Allow", "destinationAddressPrefix", `"20.9.9.9"`)}, web, "8.8.8.8", firewall.TCP, "closed"},
		"to the network":                        {[]string{rule(100, "Allow", "destinationAddressPrefix", `"VirtualNetwork"`)}, web, "8.8.8.8", firewall.TCP, "open"},
		"to the Internet":                       {[]string{rule(100, "Allow", "destinationAddressPrefix", `"Internet"`)}, web, "8.8.8.8", firewall.TCP, "closed"},
		"to a tag that is not known":            {[]string{rule(100, "Allow", "destinationAddressPrefix", `"Sql"`)}, web, "8.8.8.8", firewall.TCP, "unknown"},
		"the client chooses its port":           {[]string{rule(100, "Deny", "sourcePortRange", `"0-1023"`), rule(101, "Allow")}, web, "8.8.8.8", firewall.TCP, "open"},
		"outbound rules are not about it":       {[]string{rule(100, "Allow", "direction", `"Outbound"`)}, web, "8.8.8.8", firewall.TCP, "closed"},
		"by number, not by place":               {[]string{rule(200, "Allow"), rule(100, "Deny")}, web, "8.8.8.8", firewall.TCP, "closed"},
		"what is not understood":                {[]string{rule(100, "Perhaps"), rule(101, "Allow")}, web, "8.8.8.8", firewall.TCP, "unknown"},
		"what is not understood, of one action": {[]string{rule(100, "Deny", "protocol", `"Quic"`), rule(101, "Deny")}, web, "8.8.8.8", firewall.TCP, "closed"},
	} {
		if got := ask(reading(t, x.rules...), x.vm, x.from, x.protocol); got != x.want {
			t.Errorf("%s: %s at %s is %s, want %s", name, x.from, x.vm, got, x.want)
		}
	}
}

// TestNetworksDiffer: VirtualNetwork is another one for each VM.
func TestNetworksDiffer(t *testing.T) {
	r := reading(t, rule(100, "Allow", "sourceAddressPrefix", `"VirtualNetwork"`))
	r.Attachments[1].View = viewOf(prefix("10.50.0.0/16"))
	for at, want := range map[[2]string]string{
		{string(web), "10.0.9.9"}: "open", {string(web), "10.50.9.9"}: "closed",
		{string(db), "10.0.9.9"}: "closed", {string(db), "10.50.9.9"}: "open",
	} {
		if got := ask(r, firewall.VMID(at[0]), at[1], firewall.TCP); got != want {
			t.Errorf("%s at %s is %s, want %s", at[1], at[0], got, want)
		}
	}
	r.Attachments[1].View = viewOf()
	if got := ask(r, db, "10.0.9.9", firewall.TCP); got != "closed" {
		t.Errorf("in no network: %s", got)
	}
	r.Attachments[1].View = nil
	for vm, want := range map[firewall.VMID]string{web: "open", db: "unknown"} {
		if got := ask(r, vm, "10.0.9.9", firewall.TCP); got != want {
			t.Errorf("%s while the other's network is not known: %s, want %s", vm, got, want)
		}
	}
}

func TestSpots(t *testing.T) {
	addr := netip.MustParseAddr
	r := dialect.Reading{Attachments: []dialect.Attachment{
		{ID: "/nic/B", VM: web, Addresses: []netip.Addr{addr("10.0.0.7"), addr("fd00::4"), addr("10.0.0.6"), addr("10.0.0.7")}},
		{ID: "/nic/a", VM: web, Addresses: []netip.Addr{addr("10.0.0.4")}},
		{ID: "/nic/c", VM: db, Addresses: nil},
	}}
	var got []string
	for _, s := range r.Spots() {
		got = append(got, fmt.Sprint(s.ID, s.To, s.V4()))
	}
	want := "[/nic/a[10.0.0.4/32] true /nic/B[10.0.0.6/32 10.0.0.7/32] true /nic/B[fd00::4/128] false]"
	if fmt.Sprint(got) != want {
		t.Errorf("the spots are %v, want %s", got, want)
	}
}
