package reach_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/sentence"
)

// What other engines fell into, each as a test. Sources: an analysis of open
// reachability engines in autumn 2026, and the clouds' own documentation.

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// line returns a rule for TCP port 22.
func line(name string, a firewall.Action, from ...string) firewall.LayerRule {
	return firewall.LayerRule{Name: name, Action: a, Protocol: firewall.TCP, First: 22, Last: 22, From: prefixes(from...)}
}

func all(name string, a firewall.Action, from ...string) firewall.LayerRule {
	return firewall.LayerRule{Name: name, Action: a, Last: 65535, From: prefixes(from...)}
}

func ordered(id firewall.ID, rules ...firewall.LayerRule) firewall.Layer {
	return firewall.Layer{Firewall: id, Rules: rules, Default: firewall.Deny}
}

// A front is what stands before the one VM of a test.
type front struct {
	path   inventory.Path
	layers []firewall.Layer
}

// behind returns a front of one path past the layers, in order.
func behind(layers ...firewall.Layer) front {
	f := front{path: inventory.Path{Name: "nic", To: addrs("10.0.0.4")}, layers: layers}
	for _, l := range layers {
		f.path.Hops = append(f.path.Hops, inventory.Hop{Firewall: l.Firewall})
	}
	return f
}

func (f front) ask(d firewall.Door) reach.Set {
	layers := map[firewall.ID]firewall.Layer{}
	for _, l := range f.layers {
		layers[l.Firewall] = l
	}
	return reach.VM(inventory.VM{ID: d.VM, Paths: []inventory.Path{f.path}}, layers, d)
}

// expect fails unless each source gets the verdict and rule that are wanted:
// "open nsg: office".
func expect(t *testing.T, s reach.Set, want map[string]string) {
	t.Helper()
	for from, w := range want {
		x := s.At(netip.MustParseAddr(from))
		if got := x.Verdict.String() + " " + x.By(); got != w {
			t.Errorf("%s is %s, want %s", from, got, w)
		}
	}
}

func TestDenyOnAnUnresolvedTagDoesNotVanish(t *testing.T) {
	tag := all("200 no-partners", firewall.Deny)
	tag.Maybe = true
	expect(t, behind(ordered("nsg", tag, all("300 all", firewall.Allow))).ask(ssh), map[string]string{"203.0.113.7": "unknown nsg: 200 no-partners"})
	tag.Action = firewall.Allow
	expect(t, behind(ordered("nsg", tag)).ask(ssh), map[string]string{"203.0.113.7": "unknown nsg: 200 no-partners"})
	// What comes before it is as certain as ever, and what agrees with it, too.
	expect(t, behind(ordered("nsg", line("100 office", firewall.Deny, "203.0.113.0/24"), tag, all("300 all", firewall.Allow))).ask(ssh), map[string]string{
		"203.0.113.7": "closed nsg: 100 office", "198.51.100.7": "open nsg: 300 all",
	})
}

func TestRuleWithSeveralPrefixesIsNotAnySource(t *testing.T) {
	s := behind(ordered("nsg", line("office", firewall.Allow, "203.0.113.0/24", "198.51.100.0/24"))).ask(ssh)
	expect(t, s, map[string]string{"203.0.113.7": "open nsg: office", "198.51.100.7": "open nsg: office", "192.0.2.1": "closed nsg: default"})
	damaged := line("odd", firewall.Allow)
	damaged.From = []netip.Prefix{{}}
	expect(t, behind(ordered("nsg", damaged)).ask(ssh), map[string]string{"192.0.2.1": "unknown nsg: odd"})
	damaged = line("odd", firewall.Allow)
	damaged.To = []netip.Prefix{{}}
	expect(t, behind(ordered("nsg", damaged)).ask(ssh), map[string]string{"192.0.2.1": "unknown nsg: odd"})
}

func TestAnyProtocolDoesNotMeanAnyPort(t *testing.T) {
	r := line("star", firewall.Allow)
	r.Protocol = 0
	f := behind(ordered("nsg", r))
	for port, want := range map[uint16]string{21: "closed nsg: default", 22: "open nsg: star", 23: "closed nsg: default"} {
		expect(t, f.ask(firewall.Door{VM: ssh.VM, Protocol: firewall.UDP, Port: port}), map[string]string{"192.0.2.1": want})
	}
	// A protocol without ports is not meant by a rule about some.
	expect(t, f.ask(firewall.Door{VM: ssh.VM, Protocol: 47, Port: 0}), map[string]string{"192.0.2.1": "closed nsg: default"})
}

func TestTwoHalvesAreEverybody(t *testing.T) {
	s := behind(ordered("nsg", line("1", firewall.Allow, "0.0.0.0/1"), line("2", firewall.Allow, "128.0.0.0/1"))).ask(ssh)
	if got := s.Sources(reach.Open).String(); got != "0.0.0.0/0" {
		t.Errorf("open to %s", got)
	}
}

func TestPublicDestinationNeverMatches(t *testing.T) {
	public, private := line("public", firewall.Allow), line("private", firewall.Allow, "198.51.100.0/24")
	public.To, private.To = prefixes("203.0.113.50/32"), prefixes("10.0.0.0/24")
	f := behind(ordered("nsg", public, private))
	expect(t, f.ask(ssh), map[string]string{"192.0.2.1": "closed nsg: default", "198.51.100.7": "open nsg: private"})
	f.path.To = nil // not known which address the VM has
	expect(t, f.ask(ssh), map[string]string{"192.0.2.1": "unknown nsg: public", "198.51.100.7": "unknown nsg: public"})
}

// Azure's rule 65000 lets the virtual network in, whatever that is there.
func TestLockBelowTheVirtualNetworkRule(t *testing.T) {
	vnet, lock := all("65000 AllowVnetInBound", firewall.Allow, "10.0.0.0/16", "172.31.0.0/16"), line("sesame-lock", firewall.Deny)
	expect(t, behind(ordered("nsg", vnet, lock)).ask(ssh), map[string]string{
		"10.0.9.9": "open nsg: 65000 AllowVnetInBound", "10.1.0.1": "closed nsg: sesame-lock", "203.0.113.7": "closed nsg: sesame-lock",
	})
	expect(t, behind(ordered("nsg", lock, vnet)).ask(ssh), map[string]string{"10.0.9.9": "closed nsg: sesame-lock"})
	vnet.From, vnet.Maybe = nil, true // peerings and routes are not known: it may be the whole Internet
	expect(t, behind(ordered("nsg", vnet, lock)).ask(ssh), map[string]string{
		"10.0.9.9": "unknown nsg: 65000 AllowVnetInBound", "203.0.113.7": "unknown nsg: 65000 AllowVnetInBound",
	})
}

// gcp returns the list of a policy, or the rules of a network, on GCP, where a
// rule's number is the first word of its name. "goto_next" and what a network's
// rules allow are Allow, what a policy allows is Deliver.
func gcp(id firewall.ID, otherwise firewall.Action, rules ...firewall.LayerRule) firewall.Layer {
	firewall.ByNumber(rules, func(r firewall.LayerRule) int {
		text, _, _ := strings.Cut(r.Name, " ")
		n, _ := strconv.Atoi(text)
		return n
	})
	return firewall.Layer{Firewall: id, Rules: rules, Default: otherwise}
}

// On GCP a Deny goes before an Allow of the same number, wherever it stands.
func TestEqualPriorities(t *testing.T) {
	want := map[string]string{"203.0.113.7": "closed vpc: 1000 no", "192.0.2.1": "open vpc: 1000 yes", "198.51.100.7": "open vpc: 900 before"}
	before, deny, allow := line("900 before", firewall.Allow, "198.51.100.0/24"), line("1000 no", firewall.Deny, "203.0.113.0/24", "198.51.100.0/24"), line("1000 yes", firewall.Allow)
	expect(t, behind(gcp("vpc", firewall.Deny, deny, allow, before)).ask(ssh), want)
	expect(t, behind(gcp("vpc", firewall.Deny, allow, before, deny)).ask(ssh), want)
}

// Policies of the organization, of a folder and of the network are asked in turn,
// around the network's own rules. What one allows is delivered past all others,
// what it denies is denied, and the rest goes on to the next.
func TestLayeredPoliciesOfGCP(t *testing.T) {
	organization := gcp("org", firewall.Allow,
		line("100 scanners", firewall.Deliver, "192.0.2.0/25"), line("100 not these", firewall.Deny, "192.0.2.0/28"), line("200 look on", firewall.Allow, "203.0.113.0/24"),
		line("300 never", firewall.Deny, "198.51.100.0/24", "203.0.113.0/25"))
	folder := gcp("folder", firewall.Allow, line("100 bastion", firewall.Deliver, "10.9.0.0/24"), line("200 not from here", firewall.Deny, "203.0.113.128/25"))
	vpc := gcp("vpc", firewall.Allow, line("1000 ssh", firewall.Deliver, "203.0.113.0/24", "198.51.100.0/24"), all("65535 others", firewall.Allow)) // goes on: the network's policy is next
	network := gcp("network", firewall.Deny, line("100 office", firewall.Deliver, "8.8.8.0/24"))
	expect(t, behind(organization, folder, vpc, network).ask(ssh), map[string]string{
		"192.0.2.100":   "open org: 100 scanners",
		"192.0.2.1":     "closed org: 100 not these", // at one number
		"192.0.2.200":   "closed network: default",
		"198.51.100.7":  "closed org: 300 never",
		"203.0.113.7":   "open vpc: 1000 ssh", // the number 200 goes on before 300 could deny
		"203.0.113.200": "closed folder: 200 not from here",
		"10.9.0.7":      "open folder: 100 bastion",
		"8.8.8.8":       "open network: 100 office",
	})
}

// An engine of IPv4 alone says nothing of half the clients.
func TestIPv6IsNotLeftOut(t *testing.T) {
	f := behind(ordered("nsg", line("no", firewall.Deny, "2001:db8:0:1::/64"), line("yes", firewall.Allow, "2001:db8::/32", "203.0.113.0/24")))
	f.path.To = addrs("10.0.0.4", "2001:db8::4")
	want := map[string]string{
		"2001:db8::7": "open nsg: yes", "2001:db8:0:1::7": "closed nsg: no", "2001:db8:0:2::7": "open nsg: yes", "2001:db9::": "closed nsg: default", "203.0.113.7": "open nsg: yes",
	}
	expect(t, f.ask(ssh), want)
	f.path.To = addrs("10.0.0.4") // a VM without an address of that family
	expect(t, f.ask(ssh), map[string]string{"2001:db8::7": "closed nobody comes from there by path nic", "203.0.113.7": "open nsg: yes"})
}

func TestIPv4MappedIsNotIPv4(t *testing.T) {
	mapped := behind(ordered("nsg", line("mapped", firewall.Allow, "::ffff:10.0.0.0/104")))
	mapped.path.To = nil
	expect(t, mapped.ask(ssh), map[string]string{"10.0.0.1": "closed nsg: default", "::ffff:10.0.0.1": "open nsg: mapped"})
	plain := behind(ordered("nsg", line("plain", firewall.Allow, "10.0.0.0/8")))
	plain.path.To = nil
	expect(t, plain.ask(ssh), map[string]string{"10.0.0.1": "open nsg: plain", "::ffff:10.0.0.1": "closed nsg: default", "::a00:1": "closed nsg: default"})
}

func TestAdminRules(t *testing.T) {
	admin := firewall.Layer{Firewall: "avnm", Default: firewall.Allow, Rules: []firewall.LayerRule{
		line("10 monitoring", firewall.Deliver, "192.0.2.0/24"), line("20 never", firewall.Deny, "203.0.113.0/24"), line("30 look on", firewall.Allow, "198.51.100.0/24"),
	}}
	nsg := ordered("nsg", line("office", firewall.Allow, "203.0.113.0/24", "198.51.100.7/32"))
	host := ordered("host", line("sshd", firewall.Allow, "192.0.2.1/32", "198.51.100.7/32"))
	f := behind(admin, nsg, host)
	expect(t, f.ask(ssh), map[string]string{
		"192.0.2.1":    "open avnm: 10 monitoring", // delivered past the NSG's default
		"192.0.2.2":    "open avnm: 10 monitoring",
		"203.0.113.7":  "closed avnm: 20 never", // the NSG's Allow is of no use
		"198.51.100.7": "open host: sshd",
		"198.51.100.8": "closed nsg: default",
	})
	f.path.Hops[2].Always = true // nothing in the network skips the VM's own firewall
	expect(t, f.ask(ssh), map[string]string{"192.0.2.1": "open avnm: 10 monitoring", "192.0.2.2": "closed host: default"})
	unread := firewall.Unread("avnm", "403 Forbidden", true)
	expect(t, behind(unread, nsg).ask(ssh), map[string]string{
		"203.0.113.7": "unknown avnm: 403 Forbidden", "192.0.2.1": "unknown avnm: 403 Forbidden", // which may be delivered
	})
	expect(t, behind(firewall.Unread("hub", "403 Forbidden", false), nsg).ask(ssh), map[string]string{"203.0.113.7": "unknown hub: 403 Forbidden", "192.0.2.1": "closed nsg: default"})
}

// The client chooses its port, once for all layers.
func TestSourcePortsAreChosenJointly(t *testing.T) {
	from := func(name string, a firewall.Action, first, last uint16) firewall.LayerRule {
		r := line(name, a)
		r.SourceFirst, r.SourceLast = first, last
		return r
	}
	low, high := ordered("in", from("low", firewall.Allow, 1, 1023)), ordered("back", from("high", firewall.Allow, 1024, 65535))
	expect(t, behind(low, high).ask(ssh), map[string]string{"192.0.2.1": "closed in: default"})
	expect(t, behind(low, ordered("back", from("mixed", firewall.Allow, 1000, 2000))).ask(ssh), map[string]string{"192.0.2.1": "open back: mixed"})
	// A Deny of some source ports keeps nobody out.
	expect(t, behind(ordered("in", from("no", firewall.Deny, 1, 65534), line("yes", firewall.Allow))).ask(ssh), map[string]string{"192.0.2.1": "open in: yes"})
	// Behind a translation the port is not the client's to choose.
	f := behind(ordered("in", from("low", firewall.Allow, 1, 1023)))
	f.path.Hops[0].Sees = netip.MustParsePrefix("10.9.0.0/28")
	expect(t, f.ask(ssh), map[string]string{"192.0.2.1": "unknown in: low"})
}

// A network ACL sees the reply, too: to the client's port.
func TestSecurityGroupsAndNetworkACL(t *testing.T) {
	back := all("return", firewall.Allow, "203.0.113.0/24")
	back.SourceFirst, back.SourceLast = 1024, 65535
	group := func(id firewall.ID, rules ...firewall.LayerRule) firewall.Layer {
		return firewall.Layer{Firewall: id, Kind: firewall.Union, Rules: rules, Default: firewall.Deny}
	}
	one, two := line("sgr-1", firewall.Allow, "203.0.113.0/25"), line("sgr-2", firewall.Allow, "203.0.113.128/25", "198.51.100.0/24")
	f := behind(ordered("acl in", all("100", firewall.Allow)), ordered("acl out", back), group("groups", one, two))
	expect(t, f.ask(ssh), map[string]string{
		"203.0.113.7": "open groups: sgr-1", "203.0.113.200": "open groups: sgr-2",
		"198.51.100.7": "closed acl out: default", "203.0.112.1": "closed acl out: default",
	})
	f.path.Hops = f.path.Hops[2:]
	expect(t, f.ask(ssh), map[string]string{"203.0.113.7": "open groups: sgr-1", "198.51.100.7": "open groups: sgr-2", "192.0.2.1": "closed groups: default"})
	two.From, two.Maybe = nil, true // a group that nobody could read
	expect(t, behind(group("groups", one, two)).ask(ssh), map[string]string{"203.0.113.7": "open groups: sgr-1", "192.0.2.1": "unknown groups: sgr-2"})
}

// An inbound NAT rule: clients knock at 203.0.113.50:50022, the VM sees port 22.
func TestTranslatedDestination(t *testing.T) {
	edge := line("dnat", firewall.Allow)
	edge.First, edge.Last, edge.To = 50022, 50022, prefixes("203.0.113.50/32")
	f := behind(ordered("edge", edge), ordered("nsg", line("ssh", firewall.Allow, "198.51.100.0/24")))
	f.path.Protocol, f.path.Port = firewall.TCP, 22
	f.path.Hops[0].To, f.path.Hops[0].Port = addrs("203.0.113.50"), 50022
	expect(t, f.ask(ssh), map[string]string{"198.51.100.7": "open nsg: ssh", "192.0.2.1": "closed nsg: default", "2001:db8::1": "closed nobody comes from there by path nic"})
	other := ssh
	other.Port = 23
	expect(t, f.ask(other), map[string]string{"198.51.100.7": "closed no way leads to host://a:23/tcp"})
}

func TestWhoCanComeAtAll(t *testing.T) {
	f := behind(ordered("nsg", all("any", firewall.Allow)))
	f.path.From = prefixes("10.0.0.0/8", "0.0.0.0/8", "255.0.0.0/8")
	expect(t, f.ask(ssh), map[string]string{
		"10.0.0.1": "open nsg: any", "0.0.0.0": "open nsg: any", "255.255.255.255": "open nsg: any", "11.0.0.0": "closed nobody comes from there by path nic",
	})
	f.path.Unsure = true
	expect(t, f.ask(ssh), map[string]string{"10.0.0.1": "open nsg: any", "11.0.0.0": "unknown not known who comes by path nic"})
	f.path.From = nil
	expect(t, f.ask(ssh), map[string]string{"10.0.0.1": "unknown not known who comes by path nic", "2001:db8::1": "closed nobody comes from there by path nic"})
	f.path.Unsure, f.path.From = false, []netip.Prefix{{}}
	expect(t, f.ask(ssh), map[string]string{"10.0.0.1": "unknown not known who comes by path nic"})
	expect(t, reach.VM(inventory.VM{ID: ssh.VM}, nil, ssh), map[string]string{"10.0.0.1": "open no firewall in front of host://a"})
}

// One line of a document may be several rules; it is one line in the answer.
func TestRulesOfOneNameAreOneLine(t *testing.T) {
	s := behind(ordered("nsg", line("office", firewall.Allow, "203.0.113.0/25"), line("office", firewall.Allow, "203.0.113.128/25"), all("default", firewall.Deny, "203.0.114.0/24"))).ask(ssh)
	checkPartition(t, s)
	if got := sentence.Of(s, ssh); got != `203.0.113.0/24 → a tcp/22: open, by nsg rule office; ::/0: closed, nobody comes from there by path nic; everything else: closed, by nsg rule default` {
		t.Error(got)
	}
}

// The client chooses its source port where its protocol has ports, and where it has
// none no rule about some of them is about it.
func TestWhichProtocolsHavePorts(t *testing.T) {
	l := firewall.Layer{Firewall: "nsg", Default: firewall.Deny, Rules: []firewall.LayerRule{
		{Name: "from 500", Action: firewall.Allow, Last: 65535, SourceFirst: 500, SourceLast: 500},
	}}
	for p, want := range map[firewall.Protocol]reach.Verdict{
		firewall.TCP: reach.Open, firewall.UDP: reach.Open, 33: reach.Open, 132: reach.Open, 136: reach.Open,
		1: reach.Closed, 47: reach.Closed, 50: reach.Closed, 58: reach.Closed, 0: reach.Closed,
	} {
		d := firewall.Door{VM: ssh.VM, Protocol: p}
		if got := reach.Layer(l, d).At(netip.MustParseAddr("203.0.113.7")).Verdict; got != want {
			t.Errorf("protocol %d: %s, want %s", p, got, want)
		}
	}
}
