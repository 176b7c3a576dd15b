package packet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

const (
	internet = "203.0.113.7"
	target   = "10.0.1.5"     // of eni-web, public 198.51.100.5
	sibling  = "10.0.1.6"     // of eni-sib, in the same subnet
	neighbor = "10.0.2.7"     // of eni-far, in another subnet of the VPC
	peer     = "172.16.0.8"   // of eni-peer, in a peered VPC
	office   = "192.168.1.9"  // behind a virtual gateway
	target6  = "2001:db8::5"  // of eni-web
	sibling6 = "2001:db8::6"  // of eni-sib
	remote6  = "2001:db9::77" // somewhere
)

// docs is a world in which nothing but the default ACLs lets anybody in.
func docs() *World {
	open := []Entry{
		{Number: 100, Allow: true, CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: All}},
		{Number: 100, Egress: true, Allow: true, CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: All}},
		{Number: 101, Allow: true, CIDR: prefix("::/0"), Match: Match{Protocol: All}},
		{Number: 101, Egress: true, Allow: true, CIDR: prefix("::/0"), Match: Match{Protocol: All}},
	}
	routes := []Route{
		{Destination: prefix("10.0.0.0/16"), Target: "local"},
		{Destination: prefix("2001:db8::/56"), Target: "local"},
		{Destination: prefix("172.16.0.0/16"), Target: "pcx-1"},
		{Destination: prefix("192.168.0.0/16"), Target: "vgw-1"},
		{Destination: prefix("0.0.0.0/0"), Target: "igw-1"},
		{Destination: prefix("::/0"), Target: "igw-1"},
	}
	return &World{
		Subnets: []Subnet{
			{ID: "subnet-a", VPC: "vpc-1", CIDRs: []netip.Prefix{prefix("10.0.1.0/24"), prefix("2001:db8::/64")}, Routes: routes, ACL: "acl-a", Entries: open},
			{ID: "subnet-b", VPC: "vpc-1", CIDRs: []netip.Prefix{prefix("10.0.2.0/24")}, Routes: routes, ACL: "acl-b", Entries: open},
			{ID: "subnet-p", VPC: "vpc-2", CIDRs: []netip.Prefix{prefix("172.16.0.0/24")}, ACL: "acl-p", Entries: open},
		},
		Interfaces: []Interface{
			{ID: "eni-web", Instance: "i-web", Subnet: "subnet-a", Groups: []string{"sg-web"}, Addresses: []Address{
				{Private: addr(target), Public: addr("198.51.100.5")}, {Private: addr("10.0.1.55")}, {Private: addr(target6)},
			}},
			{ID: "eni-sib", Instance: "i-sib", Subnet: "subnet-a", Groups: []string{"sg-sib"}, Addresses: []Address{
				{Private: addr(sibling), Public: addr("198.51.100.6")}, {Private: addr(sibling6)},
			}},
			{ID: "eni-far", Instance: "i-far", Subnet: "subnet-b", Groups: []string{"sg-far"}, Addresses: []Address{{Private: addr(neighbor)}}},
			{ID: "eni-peer", Instance: "i-peer", Subnet: "subnet-p", Groups: []string{"sg-peer"}, Addresses: []Address{{Private: addr(peer)}}},
		},
		Groups: []Group{
			{ID: "sg-web", VPC: "vpc-1"}, {ID: "sg-sib", VPC: "vpc-1"}, {ID: "sg-far", VPC: "vpc-1"}, {ID: "sg-peer", VPC: "vpc-2"},
		},
		Peerings: []Peering{{ID: "pcx-1", Requester: "vpc-1", Accepter: "vpc-2", Active: true}},
	}
}

// ssh is a connection to port 22 of eni-web.
func ssh(from, to string) Packet {
	return Packet{From: addr(from), FromPort: 50000, Interface: "eni-web", To: addr(to), Protocol: TCP, Port: 22}
}

// allow gives sg-web one ingress rule.
func allow(r Rule) func(*World) {
	return func(w *World) { r.ID = "sgr-1"; w.Groups[0].Rules = append(w.Groups[0].Rules, r) }
}

var tcp22 = Match{Protocol: TCP, First: 22, Last: 22}

func TestArrive(t *testing.T) {
	everyone := allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: tcp22})
	for _, tt := range []struct {
		name   string
		world  []func(*World)
		packet Packet
		want   Outcome
		by     string
	}{
		{"no rule", nil, ssh(internet, "198.51.100.5"), Denied, "eni-web: no rule of its groups"},
		{"public address", []func(*World){everyone}, ssh(internet, "198.51.100.5"), Delivered, "sg-web: sgr-1"},
		{"private address from the Internet", []func(*World){everyone}, ssh(internet, target), Denied, "the destination is not public"},
		{"an address without a public one", []func(*World){everyone}, ssh(internet, "10.0.1.55"), Denied, "the destination is not public"},
		{"somebody else's address", []func(*World){everyone}, ssh(internet, "198.51.100.6"), Denied, "is no address of eni-web"},
		{"no such interface", nil, Packet{From: addr(internet), Interface: "eni-x", To: addr(target), Protocol: TCP, Port: 22}, Denied, "there is no interface eni-x"},
		{"no internet gateway", []func(*World){everyone, func(w *World) { w.Subnets[0].Routes = w.Subnets[0].Routes[:4] }}, ssh(internet, "198.51.100.5"), Denied, "no route to 203.0.113.7"},
		{"a gateway that is gone", []func(*World){everyone, func(w *World) { w.Subnets[0].Routes[4].Blackhole = true }}, ssh(internet, "198.51.100.5"), Denied, "a black hole"},
		{"a NAT gateway", []func(*World){everyone, func(w *World) { w.Subnets[0].Routes[4].Target = "nat-1" }}, ssh(internet, target), Denied, "lets nobody in"},
		{"the answer goes elsewhere", []func(*World){everyone}, ssh(office, "198.51.100.5"), Denied, "not the internet gateway"},
		{"a gateway of a kind unheard of", []func(*World){everyone, func(w *World) { w.Subnets[0].Routes[3].Target = "xyz-1" }}, ssh(office, target), Unknown, "192.168.0.0/16 via xyz-1"},
		{"through a virtual gateway", []func(*World){everyone}, ssh(office, target), Delivered, "sg-web: sgr-1"},
		{"inside the VPC", []func(*World){everyone}, ssh(neighbor, target), Delivered, "sg-web: sgr-1"},

		{"IPv6 from outside", []func(*World){allow(Rule{CIDR: prefix("::/0"), Match: tcp22})}, ssh(remote6, target6), Delivered, "sg-web: sgr-1"},
		{"IPv6 and an IPv4 rule", []func(*World){everyone}, ssh(remote6, target6), Denied, "no rule"},
		{"an egress-only gateway", []func(*World){allow(Rule{CIDR: prefix("::/0"), Match: tcp22}), func(w *World) { w.Subnets[0].Routes[5].Target = "eigw-1" }}, ssh(remote6, target6), Denied, "lets nobody in"},

		{"another port", []func(*World){allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: TCP, First: 23, Last: 65535}})}, ssh(neighbor, target), Denied, "no rule"},
		{"a range", []func(*World){allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: TCP, First: 0, Last: 22}})}, ssh(neighbor, target), Delivered, "sgr-1"},
		{"another protocol", []func(*World){allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: UDP, First: 0, Last: 65535}})}, ssh(neighbor, target), Denied, "no rule"},
		{"every protocol", []func(*World){allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: All, First: All, Last: All}})}, ssh(neighbor, target), Delivered, "sgr-1"},
		{"an egress rule", []func(*World){allow(Rule{Egress: true, CIDR: prefix("0.0.0.0/0"), Match: tcp22})}, ssh(neighbor, target), Denied, "no rule"},
		{"union of groups", []func(*World){func(w *World) {
			w.Interfaces[0].Groups = []string{"sg-far", "sg-web"}
		}, everyone}, ssh(neighbor, target), Delivered, "sg-web: sgr-1"},
		{"a group that was not read", []func(*World){func(w *World) { w.Interfaces[0].Groups = []string{"sg-gone"} }}, ssh(neighbor, target), Unknown, "sg-gone: not read"},

		{"a group's member", []func(*World){allow(Rule{Group: "sg-far", Match: tcp22})}, ssh(neighbor, target), Delivered, "sgr-1"},
		{"a group's member, IPv6", []func(*World){allow(Rule{Group: "sg-sib", Match: tcp22})}, ssh(sibling6, target6), Delivered, "sgr-1"},
		{"not a member", []func(*World){allow(Rule{Group: "sg-far", Match: tcp22})}, ssh(sibling, target), Denied, "no rule"},
		{"a member's public address", []func(*World){allow(Rule{Group: "sg-sib", Match: tcp22})}, ssh("198.51.100.6", "198.51.100.5"), Denied, "no rule"},
		{"a member over a peering", []func(*World){allow(Rule{Group: "sg-peer", Match: tcp22})}, ssh(peer, target), Delivered, "sgr-1"},
		{"a member over a peering that ended", []func(*World){allow(Rule{Group: "sg-peer", Match: tcp22}), func(w *World) { w.Peerings[0].Active = false }}, ssh(peer, target), Denied, "no rule"},
		{"a group that nobody can list", []func(*World){allow(Rule{Group: "sg-other", Match: tcp22})}, ssh(peer, target), Unknown, "sgr-1"},
		{"a group that nobody can list, from the Internet", []func(*World){allow(Rule{Group: "sg-other", Match: tcp22})}, ssh(internet, "198.51.100.5"), Denied, "no rule"},
		{"itself", []func(*World){allow(Rule{Group: "sg-web", Match: Match{Protocol: All}})}, ssh(neighbor, target), Denied, "no rule"},

		{"a prefix list", []func(*World){allow(Rule{PrefixList: "pl-1", Match: tcp22}), list(true, "203.0.113.0/24")}, ssh(internet, "198.51.100.5"), Delivered, "sgr-1"},
		{"not in the prefix list", []func(*World){allow(Rule{PrefixList: "pl-1", Match: tcp22}), list(true, "203.0.114.0/24")}, ssh(internet, "198.51.100.5"), Denied, "no rule"},
		{"a prefix list that was not resolved", []func(*World){allow(Rule{PrefixList: "pl-1", Match: tcp22}), list(false)}, ssh(internet, "198.51.100.5"), Unknown, "sgr-1"},
		{"a prefix list that is missing", []func(*World){allow(Rule{PrefixList: "pl-1", Match: tcp22})}, ssh(internet, "198.51.100.5"), Unknown, "sgr-1"},
		{"an unresolved list for another port", []func(*World){allow(Rule{PrefixList: "pl-1", Match: Match{Protocol: TCP, First: 80, Last: 80}})}, ssh(internet, "198.51.100.5"), Denied, "no rule"},
		{"an unresolved list and a rule that admits", []func(*World){allow(Rule{PrefixList: "pl-1", Match: tcp22}), everyone}, ssh(internet, "198.51.100.5"), Delivered, "sgr-1"},

		{"ACL denies first", []func(*World){everyone, entry(Entry{Number: 99, CIDR: prefix("203.0.113.0/24"), Match: tcp22})}, ssh(internet, "198.51.100.5"), Denied, "acl-a: entry 99"},
		{"ACL denies too late", []func(*World){everyone, entry(Entry{Number: 150, CIDR: prefix("203.0.113.0/24"), Match: tcp22})}, ssh(internet, "198.51.100.5"), Delivered, "sgr-1"},
		{"ACL without an entry", []func(*World){everyone, func(w *World) { w.Subnets[0].Entries = nil }}, ssh(internet, "198.51.100.5"), Denied, "acl-a: entry *"},
		{"ACL, same subnet", []func(*World){everyone, func(w *World) { w.Subnets[0].Entries = nil }}, ssh(sibling, target), Delivered, "sgr-1"},
		{"ACL keeps the answer", []func(*World){everyone, entry(Entry{Number: 1, Egress: true, CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: TCP, First: 49152, Last: 65535}})}, ssh(internet, "198.51.100.5"), Denied, "acl-a: entry 1"},
		{"ACL about the port of the question does not", []func(*World){everyone, entry(Entry{Number: 1, Egress: true, CIDR: prefix("0.0.0.0/0"), Match: tcp22})}, ssh(internet, "198.51.100.5"), Delivered, "sgr-1"},
		{"ACL of the other family", []func(*World){everyone, entry(Entry{Number: 1, CIDR: prefix("::/0"), Match: Match{Protocol: All}})}, ssh(internet, "198.51.100.5"), Delivered, "sgr-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := docs()
			for _, change := range tt.world {
				change(w)
			}
			got := w.Arrive(tt.packet)
			if got.Outcome != tt.want || !strings.Contains(got.String(), tt.by) {
				t.Errorf("%+v\ngot  %s\nwant %s by %s", tt.packet, got, tt.want, tt.by)
			}
		})
	}
}

func list(known bool, entries ...string) func(*World) {
	return func(w *World) {
		l := PrefixList{ID: "pl-1", Known: known}
		for _, e := range entries {
			l.Entries = append(l.Entries, prefix(e))
		}
		w.PrefixLists = []PrefixList{l}
	}
}

func entry(e Entry) func(*World) {
	return func(w *World) { w.Subnets[0].Entries = append(w.Subnets[0].Entries, e) }
}

func TestPing(t *testing.T) {
	ping := Packet{From: addr(internet), Interface: "eni-web", To: addr("198.51.100.5"), Protocol: ICMP, Port: 8}
	for _, tt := range []struct {
		match Match
		want  Outcome
	}{
		{Match{Protocol: ICMP, First: 8, Last: 0}, Delivered},
		{Match{Protocol: ICMP, First: 8, Last: All}, Delivered},
		{Match{Protocol: ICMP, First: All, Last: All}, Delivered},
		{Match{Protocol: ICMP, First: 8, Last: 1}, Denied},
		{Match{Protocol: ICMP, First: 0, Last: All}, Denied},
		{Match{Protocol: ICMPv6, First: All, Last: All}, Denied},
		{Match{Protocol: 50}, Denied},
	} {
		w := docs()
		allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: tt.match})(w)
		if got := w.Arrive(ping); got.Outcome != tt.want {
			t.Errorf("%+v: %s, want %s", tt.match, got, tt.want)
		}
	}
	w := docs()
	allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: ICMP, First: All, Last: All}})(w)
	entry(Entry{Number: 1, Egress: true, CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: ICMP, First: 0, Last: All}})(w)
	if got := w.Arrive(ping); got.Outcome != Denied {
		t.Errorf("the ACL keeps echo replies: %s", got)
	}
}

func TestProtocolsWithoutPorts(t *testing.T) {
	w := docs()
	allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: Match{Protocol: 50, First: 7, Last: 7}})(w)
	esp := Packet{From: addr(internet), Interface: "eni-web", To: addr("198.51.100.5"), Protocol: 50}
	if got := w.Arrive(esp); got.Outcome != Delivered {
		t.Error(got)
	}
}

func TestLeave(t *testing.T) {
	p := ssh(neighbor, target)
	w := docs()
	if got := w.Leave("eni-far", p); got.Outcome != Denied || got.Steps[0].Layer != SecurityGroup {
		t.Errorf("a group without egress rules: %s", got)
	}
	w.Groups[2].Rules = []Rule{{ID: "sgr-out", Egress: true, Group: "sg-web", Match: tcp22}}
	if got := w.Leave("eni-far", p); got.Outcome != Delivered {
		t.Errorf("an egress rule to a group: %s", got)
	}
	w.Subnets[1].Entries = append(w.Subnets[1].Entries, Entry{Number: 5, CIDR: prefix("10.0.0.0/16"), Match: Match{Protocol: TCP, First: 50000, Last: 50000}})
	if got := w.Leave("eni-far", p); got.Outcome != Denied || got.Steps[2].By != "acl-b: entry 5" {
		t.Errorf("the answer is kept by the ACL: %s", got)
	}
}

func TestVerdictTellsTheWholeWay(t *testing.T) {
	w := docs()
	allow(Rule{CIDR: prefix("0.0.0.0/0"), Match: tcp22})(w)
	want := "delivered: routing: delivered by subnet-a: 0.0.0.0/0 via igw-1; network ACL, inbound: delivered by acl-a: entry 100; " +
		"security groups: delivered by sg-web: sgr-1; network ACL, outbound: delivered by acl-a: entry 100"
	if diff := cmp.Diff(want, w.Arrive(ssh(internet, "198.51.100.5")).String()); diff != "" {
		t.Error(diff)
	}
}

// More rules never keep anybody out, and their order means nothing.
func TestGroupsOnlyAllow(t *testing.T) {
	sources := []string{internet, sibling, neighbor, peer, office}
	rapid.Check(t, func(t *rapid.T) {
		w := docs()
		rule := rapid.Custom(func(t *rapid.T) Rule {
			r := Rule{ID: "sgr", Match: Match{Protocol: rapid.SampledFrom([]int{All, TCP, UDP}).Draw(t, "protocol"), First: rapid.IntRange(0, 30).Draw(t, "first")}}
			r.Last = r.First + rapid.IntRange(0, 20).Draw(t, "length")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				r.CIDR, _ = addr(rapid.SampledFrom(sources).Draw(t, "cidr")).Prefix(rapid.IntRange(0, 32).Draw(t, "bits"))
			case 1:
				r.Group = rapid.SampledFrom([]string{"sg-web", "sg-sib", "sg-far", "sg-peer", "sg-unseen"}).Draw(t, "group")
			case 2:
				r.PrefixList = "pl-unseen"
			}
			return r
		})
		w.Groups[0].Rules = rapid.SliceOfN(rule, 0, 5).Draw(t, "rules")
		p := ssh(rapid.SampledFrom(sources).Draw(t, "from"), target)
		before := w.Arrive(p).Outcome
		w.Groups[0].Rules = append(w.Groups[0].Rules, rule.Draw(t, "more"))
		if after := w.Arrive(p).Outcome; after < before {
			t.Fatalf("a rule more made %s of %s", after, before)
		}
		w.Groups[0].Rules = rapid.Permutation(w.Groups[0].Rules).Draw(t, "order")
		if other := w.Arrive(p).Outcome; other < before {
			t.Fatalf("another order made %s of %s", other, before)
		}
	})
}
