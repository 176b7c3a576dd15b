package path_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/path"
	"github.com/sesame-access/sesame/internal/reach"
)

// plain is an account with two machines in one subnet, which the Internet reaches;
// web, 10.0.1.5 and 2001:db8::5, wears sg-web, and far, 10.0.1.6, sg-far.
func plain(rules ...path.Rule) path.Estate {
	open := func(number int, egress bool, cidr string) path.Entry {
		return path.Entry{Number: number, Egress: egress, Allow: true, CIDR: netip.MustParsePrefix(cidr), Match: path.Match{Protocol: path.All, First: path.All, Last: path.All}}
	}
	addr := netip.MustParseAddr
	return path.Estate{
		Machines: []path.Machine{{ID: "web", Name: "web"}, {ID: "far", Name: "far"}},
		Subnets: []path.Subnet{{
			ID: "subnet-a", VPC: "vpc-1", CIDRs: prefixes("10.0.1.0/24", "2001:db8::/64"),
			Routes: []path.Route{
				{Destination: netip.MustParsePrefix("10.0.0.0/16"), Target: "local"},
				{Destination: netip.MustParsePrefix("0.0.0.0/0"), Target: "igw-1"},
				{Destination: netip.MustParsePrefix("::/0"), Target: "igw-1"},
			},
			ACL: &path.ACL{ID: "acl-a", Entries: []path.Entry{open(100, false, "0.0.0.0/0"), open(101, false, "::/0"), open(100, true, "0.0.0.0/0"), open(101, true, "::/0")}},
		}},
		Interfaces: []path.Interface{
			{ID: "eni-web", Machine: "web", Subnet: "subnet-a", Groups: []string{"sg-web"}, Addresses: []path.Address{{Private: addr("10.0.1.5"), Public: addr("198.51.100.5")}, {Private: addr("2001:db8::5")}}},
			{ID: "eni-far", Machine: "far", Subnet: "subnet-a", Groups: []string{"sg-far"}, Addresses: []path.Address{{Private: addr("10.0.1.6"), Public: addr("198.51.100.6")}}},
		},
		Groups: []path.Group{{ID: "sg-web", Rules: rules}, {ID: "sg-far"}},
	}
}

func ssh(r path.Rule) path.Rule {
	r.ID = "sgr-1"
	r.Match = path.Match{Protocol: 6, First: 22, Last: 22}
	return r
}

func from(cidr string) path.Rule { return ssh(path.Rule{CIDR: netip.MustParsePrefix(cidr)}) }

// expect checks lines of "MACHINE SOURCE PORT VERDICT [RULE]".
func expect(t *testing.T, e path.Estate, lines ...string) {
	t.Helper()
	vms, layers := path.Machines(e)
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
			if got.Verdict.String() != f[3] || len(f) > 4 && !strings.Contains(fmt.Sprint(got.Steps()), f[4]) {
				t.Errorf("%s: %s by %s, %v", line, got.Verdict, got.Path(), got.Steps())
			}
		}
	}
}

func TestUnionOfGroups(t *testing.T) {
	e := plain(from("8.8.8.0/24"))
	e.Interfaces[0].Groups = []string{"sg-far", "sg-web"}
	expect(t, e, "web 8.8.8.8 22 open sgr-1", "web 9.9.9.9 22 closed", "web 8.8.8.8 23 closed")
	e.Interfaces[0].Groups = nil
	expect(t, e, "web 8.8.8.8 22 closed")
}

func TestHalvesOfTheInternetAreTheInternet(t *testing.T) {
	low, high := from("0.0.0.0/1"), from("128.0.0.0/1")
	expect(t, plain(low, high), "web 8.8.8.8 22 open", "web 200.0.0.1 22 open", "web 2600::1 22 closed")
	expect(t, plain(from("::/0")), "web 2600::1 22 open", "web 8.8.8.8 22 closed")
}

func TestUnreadGroupOrListMayBeAnybody(t *testing.T) {
	expect(t, plain(ssh(path.Rule{PrefixList: "pl-1"})), "web 8.8.8.8 22 unknown sgr-1", "web 8.8.8.8 23 closed")
	known := plain(ssh(path.Rule{PrefixList: "pl-1"}))
	known.PrefixLists = []path.PrefixList{{ID: "pl-1"}}
	expect(t, known, "web 8.8.8.8 22 closed")
	known.PrefixLists[0].Entries = prefixes("8.8.8.0/24")
	expect(t, known, "web 8.8.8.8 22 open", "web 9.9.9.9 22 closed")
	// A member is known by its private address, and comes by a private way.
	expect(t, plain(ssh(path.Rule{Group: "sg-elsewhere"})), "web 8.8.8.8 22 closed", "web 10.0.1.6 22 unknown sgr-1")
	worn := plain(from("8.8.8.0/24"))
	worn.Interfaces[0].Groups = []string{"sg-web", "sg-gone"}
	expect(t, worn, "web 8.8.8.8 22 open", "web 9.9.9.9 22 unknown sg-gone")
}

func TestMembersOfGroup(t *testing.T) {
	e := plain(ssh(path.Rule{Group: "sg-far"}))
	expect(t, e, "web 10.0.1.6 22 open sgr-1", "web 10.0.1.7 22 closed", "web 198.51.100.6 22 closed")
	// A rule for its own group is about who wears it, not about anybody.
	own := plain(ssh(path.Rule{Group: "sg-web"}))
	expect(t, own, "web 10.0.1.5 22 open", "web 10.0.1.6 22 closed")
}

// A member in a subnet that was not read is perhaps one.
func TestMemberInUnreadSubnet(t *testing.T) {
	e := plain(ssh(path.Rule{Group: "sg-far"}))
	e.Interfaces = append(e.Interfaces, path.Interface{ID: "eni-x", Subnet: "subnet-x", Groups: []string{"sg-far"}, Addresses: []path.Address{{Private: netip.MustParseAddr("10.0.9.9")}}})
	expect(t, e, "web 10.0.9.9 22 unknown sgr-1", "web 10.0.1.6 22 open sgr-1", "web 10.0.9.8 22 closed", "web 10.0.9.9 23 closed")
}

// Where routes are not known, members come, and who else does is not known.
func TestMembersWithoutRoutes(t *testing.T) {
	e := plain(ssh(path.Rule{Group: "sg-far"}))
	e.Interfaces[1].Addresses[0].Private = netip.MustParseAddr("100.99.0.6") // by a route to the Internet it is nobody's member
	expect(t, e, "web 100.99.0.6 22 closed")
	e.Subnets[0].Unrouted = true
	expect(t, e, "web 100.99.0.6 22 unknown", "web 100.99.0.7 22 closed")
}

// An answer to port 0 alone cannot be said; it may be about any.
func TestAnswerToPortZero(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	e.Subnets[0].ACL.Entries[2].Match = path.Match{Protocol: 6, First: 0, Last: 0}
	expect(t, e, "web 8.8.8.8 22 unknown", "web 10.0.1.6 22 open")
}

// An endpoint of a service, which is routed to by a list, brings nobody. One that
// hands packets on is routed to by networks, and may.
func TestEndpoints(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	e.PrefixLists = []path.PrefixList{{ID: "pl-s3", Entries: prefixes("52.0.0.0/8")}}
	e.Subnets[0].Routes = append(e.Subnets[0].Routes, path.Route{PrefixList: "pl-s3", Target: "vpce-1"}, path.Route{Destination: netip.MustParsePrefix("53.0.0.0/8"), Target: "vpce-2"})
	expect(t, e, "web 52.0.0.1 22 closed", "web 53.0.0.1 22 unknown vpce-2", "web 8.8.8.8 22 open")
}

// Security groups remember who called, network ACLs do not.
func TestAnswersNeedEphemeralPorts(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	entries := e.Subnets[0].ACL.Entries
	entries[2].Match = path.Match{Protocol: 6, First: 32768, Last: 60999}
	expect(t, e, "web 8.8.8.8 22 open", "web 10.0.1.6 22 open")
	entries[2].Allow = false
	expect(t, e, "web 8.8.8.8 22 closed")
	entries[2].Number = 300
	entries = append(entries, path.Entry{Number: 200, Egress: true, Allow: true, CIDR: netip.MustParsePrefix("8.8.8.8/32"), Match: path.Match{Protocol: 6, First: 1024, Last: 65535}})
	e.Subnets[0].ACL.Entries = entries
	expect(t, e, "web 8.8.8.8 22 open acl-a/return", "web 9.9.9.9 22 closed")
	// A client may call from whatever port is left.
	entries[4].Allow, entries[4].CIDR = false, netip.MustParsePrefix("0.0.0.0/0")
	entries[2].Allow, entries[2].Match = true, path.Match{Protocol: path.All, First: path.All, Last: path.All}
	expect(t, e, "web 8.8.8.8 22 open acl-a/return")
	entries[4].Match.First = 0
	expect(t, e, "web 8.8.8.8 22 closed")
}

func TestMembersOverPeering(t *testing.T) {
	e := plain(ssh(path.Rule{Group: "sg-peer"}))
	e.Groups = append(e.Groups, path.Group{ID: "sg-peer"})
	e.Subnets[0].Routes = append(e.Subnets[0].Routes, path.Route{Destination: netip.MustParsePrefix("172.16.0.0/16"), Target: "pcx-1"})
	e.Subnets = append(e.Subnets, path.Subnet{ID: "subnet-p", VPC: "vpc-2", CIDRs: prefixes("172.16.0.0/24", "2001:db8:1::/64")})
	e.Interfaces = append(e.Interfaces, path.Interface{ID: "eni-peer", Subnet: "subnet-p", Groups: []string{"sg-peer"}, Addresses: []path.Address{
		{Private: netip.MustParseAddr("172.16.0.8")}, {Private: netip.MustParseAddr("2001:db8:1::8")},
	}})
	expect(t, e, "web 172.16.0.8 22 closed")
	e.Peerings = []path.Peering{{Requester: "vpc-2", Accepter: "vpc-1", Active: true}}
	// Its IPv6 packets have no route but that to the Internet, where it is nobody's member.
	expect(t, e, "web 172.16.0.8 22 open sgr-1", "web 172.16.0.9 22 closed", "web 2001:db8:1::8 22 closed")
	e.Peerings[0].Active = false
	expect(t, e, "web 172.16.0.8 22 closed")
}

func TestNobodyAnswers(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	e.Subnets[0].ACL.Entries = e.Subnets[0].ACL.Entries[:2]
	expect(t, e, "web 8.8.8.8 22 closed", "web 10.0.1.6 22 open") // inside of the subnet nothing is asked
	e.Subnets[0].ACL = nil
	expect(t, e, "web 8.8.8.8 22 unknown", "web 10.0.1.6 22 open")
}

func TestNoWayFromTheInternet(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	e.Interfaces[0].Addresses[0].Public = netip.Addr{}
	expect(t, e, "web 8.8.8.8 22 closed", "far 8.8.8.8 22 closed", "web 10.0.1.6 22 open")
	e = plain(from("0.0.0.0/0"))
	e.Subnets[0].Routes[1].Target = "nat-1"
	expect(t, e, "web 8.8.8.8 22 closed")
	e.Subnets[0].Routes[1].Target = "xyz-1"
	expect(t, e, "web 8.8.8.8 22 unknown xyz-1")
	e.Subnets[0].Unrouted = true
	expect(t, e, "web 8.8.8.8 22 unknown", "web 10.0.1.6 22 open")
	e.Subnets = nil
	expect(t, e, "web 8.8.8.8 22 unknown subnet-a")
}

// A route for a list that was not resolved may be the one that decides.
func TestRouteForUnknownList(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	e.Subnets[0].Routes = append(e.Subnets[0].Routes, path.Route{PrefixList: "pl-1", Target: "tgw-1"})
	expect(t, e, "web 8.8.8.8 22 unknown")
	e.PrefixLists = []path.PrefixList{{ID: "pl-1", Entries: prefixes("8.8.8.0/24")}}
	expect(t, e, "web 8.8.8.8 22 open", "web 9.9.9.9 22 open")
	e.Interfaces[0].Addresses[0].Public = netip.Addr{}
	expect(t, e, "web 8.8.8.8 22 open", "web 9.9.9.9 22 closed")
}

func TestMachineWithoutAddress(t *testing.T) {
	e := plain(from("0.0.0.0/0"))
	e.Interfaces = e.Interfaces[1:]
	expect(t, e, "web 8.8.8.8 22 closed")
}

func TestSameEstateSameAnswer(t *testing.T) {
	for seed := range uint64(20) {
		e := estateOf(roll(rand.New(rand.NewPCG(seed, 3))))
		vms, layers := path.Machines(e)
		again, layersAgain := path.Machines(e)
		if !reflect.DeepEqual(vms, again) || !reflect.DeepEqual(layers, layersAgain) {
			t.Fatalf("seed %d: two answers", seed)
		}
	}
}
