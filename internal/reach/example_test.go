package reach_test

import (
	"fmt"
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// A network security group on a subnet and one on the interface, behind admin
// rules: three hops, each a layer. A service tag that nobody could resolve is any
// source, with Maybe.
func Example() {
	ssh := func(name string, a firewall.Action, from ...string) firewall.LayerRule {
		r := firewall.LayerRule{Name: name, Action: a, Protocol: firewall.TCP, First: 22, Last: 22}
		for _, s := range from {
			r.From = append(r.From, netip.MustParsePrefix(s))
		}
		return r
	}
	tag := ssh("200 corp-vpn", firewall.Allow)
	tag.Maybe = true
	layers := map[firewall.ID]firewall.Layer{
		"avnm": {Firewall: "avnm", Default: firewall.Allow, Rules: []firewall.LayerRule{
			ssh("10 scanners", firewall.Deliver, "192.0.2.0/24"),
		}},
		"nsg-subnet": {Firewall: "nsg-subnet", Default: firewall.Deny, Rules: []firewall.LayerRule{
			ssh("100 ssh", firewall.Allow, "203.0.113.0/24"), tag,
		}},
		"nsg-web": {Firewall: "nsg-web", Default: firewall.Deny, Rules: []firewall.LayerRule{
			ssh("310 old-office", firewall.Allow, "203.0.113.0/25", "198.51.100.0/24"),
		}},
	}
	web := inventory.VM{ID: "host://web-1", Paths: []inventory.Path{{
		Name: "eth0", To: []netip.Addr{netip.MustParseAddr("10.0.0.4")},
		Hops: []inventory.Hop{{Firewall: "avnm"}, {Firewall: "nsg-subnet"}, {Firewall: "nsg-web"}},
	}}}
	door := firewall.Door{VM: web.ID, Protocol: firewall.TCP, Port: 22}

	m := reach.NewModel(layers)
	var q reach.Query
	set := q.VM(web, m, door)
	for x := range set.All() {
		if x.Verdict != reach.Closed {
			fmt.Println(x.Range, x.Verdict, x.Steps())
		}
	}
	fmt.Println("proved closed to everybody else:", set.MaybeOpen())

	// Without the Deliver, scanners would have to pass both groups.
	after := q.VM(web, m.With(firewall.Layer{Firewall: "avnm", Default: firewall.Allow}), door)
	for _, x := range reach.Diff(set, after) {
		fmt.Println(x.Range, "from", x.Before.Verdict, "to", x.After.Verdict, "by", x.After.By())
	}
	// Output:
	// 192.0.2.0/24 open [avnm: 10 scanners]
	// 198.51.100.0/24 unknown [avnm: default nsg-subnet: 200 corp-vpn nsg-web: 310 old-office]
	// 203.0.113.0/25 open [avnm: default nsg-subnet: 100 ssh nsg-web: 310 old-office]
	// proved closed to everybody else: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/25
	// 192.0.2.0/24 from open to closed by nsg-web: default
}
