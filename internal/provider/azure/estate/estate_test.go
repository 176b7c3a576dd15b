package estate_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

func TestReadsTwoSubscriptions(t *testing.T) {
	s := newStage(t, cloudsim.Config{PageSize: 2})
	var ids []string
	for i := range 5 {
		b := s.in([]string{one, two}[i%2])
		ids = append(ids, s.machine(t, b, "vm"+string(rune('a'+i)), space(i)))
	}
	if e := complete(t, s.reader(t)); names(e) != "vma vmc vme" {
		t.Errorf("in the first subscription there are %s", names(e))
	}
	for _, scope := range []estate.Config{
		{Subscriptions: []string{two, one, strings.ToUpper(two)}},
		{ManagementGroups: []string{"Platform"}},
		{Subscriptions: []string{two}, ManagementGroups: []string{"platform"}},
	} {
		s.config.Subscriptions, s.config.ManagementGroups = scope.Subscriptions, scope.ManagementGroups
		e := complete(t, s.reader(t))
		if names(e) != "vma vmc vme vmb vmd" {
			t.Errorf("in %q and %q there are %s", scope.Subscriptions, scope.ManagementGroups, names(e))
		}
		v := find(t, e, ids[3])
		if v.Tags["env"] != "prod" || !slices.Equal(v.Addresses, []netip.Addr{netip.MustParseAddr("10.7.3.4")}) || len(v.Paths) != 1 {
			t.Errorf("%+v", v)
		}
		if got := e.Machines[v.ID]; v.System != got.System || v.State != got.Power || got != (estate.Machine{Region: "westeurope", System: "Linux", Power: "running"}) {
			t.Errorf("%+v", got)
		}
	}
}

// Admin rules come in pages with tokens of their own, and are one document.
func TestAdminRulesInPages(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	id := s.machine(t, s.in(one), "a", space(0))
	rule := func(name, priority, access, from string) string {
		return `{"kind":"Custom","id":"/x/` + name + `","properties":{"priority":` + priority + `,"direction":"Inbound","access":"` + access + `","protocol":"Tcp","sources":[{"addressPrefix":"` + from + `"}],"destinationPortRanges":["22"]}}`
	}
	s.change = func(url, body string) string {
		if !strings.Contains(url, "AdminRules?") {
			return body
		}
		if s.of("AdminRules?", 200) == 1 {
			return `{"value":[` + rule("late", "9", "Deny", "10.0.0.0/8") + `],"skipToken":"t&1"}`
		}
		return `{"skipToken":"","value":[` + rule("early", "1", "Deny", "10.7.0.0/25") + `]}`
	}
	e := complete(t, s.reader(t))
	v := find(t, e, id)
	if hops := v.Paths[0].Hops; len(hops) != 2 || len(e.Layers[hops[0].Firewall].Rules) != 2 || !strings.Contains(e.Layers[hops[0].Firewall].Rules[0].Name, "early") {
		t.Errorf("%+v %+v", hops, e.Layers[hops[0].Firewall])
	}
	var sent []string
	for _, c := range s.calls {
		if strings.Contains(c.url, "AdminRules?") {
			sent = append(sent, c.sent)
		}
	}
	if !slices.Equal(sent, []string{`{}`, `{"skipToken":"t\u00261"}`}) {
		t.Errorf("asked was %q", sent)
	}
	// Half of them is not known to be half.
	s.change = func(url, body string) string {
		if strings.Contains(url, "AdminRules?") {
			return `{"value":[],"skipToken":"again"}`
		}
		return body
	}
	e = read(t, s.reader(t))
	if v = find(t, e, id); e.Complete() || e.Layers[v.Paths[0].Hops[0].Firewall].Default != firewall.Unknown {
		t.Errorf("not read: %q, %+v", e.Unread, e.Layers[v.Paths[0].Hops[0].Firewall])
	}
}

// A policy's parent may be in a subscription that is not in scope, and its parent in
// a third.
func TestParentsOutOfScope(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	id := s.machine(t, s.in(one), "a", space(0))
	grand, parent, own := s.in(two).ID("firewallPolicies", "Grand"), s.in(two).ID("firewallPolicies", "parent"), s.in(one).ID("firewallPolicies", "own")
	put := func(id, document string) {
		t.Helper()
		if err := s.Put(id, document); err != nil {
			t.Fatal(err)
		}
	}
	put(grand, `{"location":"westeurope","properties":{}}`)
	put(parent, `{"location":"westeurope","properties":{"basePolicy":{"id":"`+strings.ToLower(grand)+`"}}}`)
	put(own, `{"location":"westeurope","properties":{"basePolicy":{"id":"`+parent+`"}}}`)
	complete(t, s.reader(t))
	for _, part := range []string{"/Parent?", "/parent/ruleCollectionGroups?", "/grand?", "/grand/ruleCollectionGroups?", "/own/ruleCollectionGroups?"} {
		n := 0
		for _, c := range s.calls {
			if strings.Contains(strings.ToLower(c.url), strings.ToLower(part)) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s was asked for %d times", part, n)
		}
	}
	if s.of(two+"/providers", 200) != 0 {
		t.Error("a subscription that is not in scope was read")
	}
	for name, change := range map[string]func(string) string{
		"of another": func(body string) string {
			return strings.ReplaceAll(body, "firewallPolicies/parent", "firewallPolicies/other")
		},
		"no JSON": func(string) string { return "{" },
	} {
		s.change = func(url, body string) string {
			if strings.Contains(url, "/parent?") {
				return change(body)
			}
			return body
		}
		// Which rules are above those of the firewall, nobody knows; that it leads
		// here would say the firewall, of which there is none.
		if e := read(t, s.reader(t)); len(e.Unread) != 1 || !strings.HasPrefix(e.Unread[0], "the parent "+parent+" could not be read: ") || len(find(t, e, id).Missing) != 0 {
			t.Errorf("%s: %q", name, e.Unread)
		}
	}
}

// What package nsg is told of a machine with two interfaces, one of which has two
// configurations, and of groups at either place, at both and at none.
func TestReadingOfGroups(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	b := s.in(one)
	atNIC := must(b.NSG("at-nic"))(t)
	atSubnet := must(b.NSG("at-subnet"))(t)
	web := must(b.ASG("web"))(t)
	network := must(b.Network("net", "10.0.0.0/16",
		fleet.Subnet{Name: "a", Prefix: "10.0.0.0/24", Group: atSubnet}, fleet.Subnet{Name: "b", Prefix: "10.0.1.0/24"}, fleet.Subnet{Name: "c", Prefix: "10.0.2.0/24", Group: atNIC}))(t)
	in := func(subnet, address string, asgs ...string) fleet.IP {
		return fleet.IP{Subnet: network + "/subnets/" + subnet, Address: address, ASGs: asgs}
	}
	both := must(b.NIC("both", atNIC, in("a", "10.0.0.4", web), in("a", "10.0.0.5")))(t)
	plain := must(b.NIC("plain", "", in("a", "10.0.0.6")))(t)
	alone := must(b.NIC("alone", atNIC, in("b", "10.0.1.4")))(t)
	bare := must(b.NIC("bare", "", in("b", "10.0.1.5")))(t)
	twice := must(b.NIC("twice", atNIC, in("c", "10.0.2.4")))(t)
	first := must(b.VM("first", "Windows", nil, both, plain))(t)
	must(b.VM("second", "Linux", nil, alone))(t)
	last := must(b.VM("third", "Linux", nil, bare))(t)
	must(b.VM("fourth", "Linux", nil, twice))(t)

	e := complete(t, s.reader(t))
	fw := func(id string) firewall.ID { return firewall.ID(strings.ToLower(id)) }
	if got := e.Groups(); !slices.Equal(got, []firewall.ID{fw(atNIC), fw(atSubnet)}) {
		t.Errorf("groups %v", got)
	}
	if v := find(t, e, last); len(v.Firewalls()) != 0 || len(v.Paths) == 0 {
		t.Errorf("in front of a machine without groups: %+v", v)
	}
	if v := find(t, e, first); len(v.Addresses) != 3 || len(v.Paths) != 3 {
		t.Errorf("%+v", v)
	}
	for _, tt := range []struct{ id, want string }{
		{atNIC, "first/10.0.0.4 nic subnet web, first/10.0.0.5 nic subnet, fourth/10.0.2.4 nic subnet, second/10.0.1.4 nic"},
		{atSubnet, "first/10.0.0.4 nic subnet web, first/10.0.0.5 nic subnet, first/10.0.0.6 subnet"},
	} {
		r := must(e.Reading(firewall.ID(tt.id)))(t)
		var got []string
		for _, a := range r.Attachments {
			text := a.VM.Name() + "/" + a.Addresses[0].String()
			if a.Interface != nil {
				text += " nic"
			}
			if a.Subnet != nil {
				text += " subnet"
			}
			if len(a.Groups) > 0 {
				text += " " + a.Groups[0][strings.LastIndexByte(a.Groups[0], '/')+1:]
			}
			if len(a.View.VirtualNetwork.Sure) != 2 { // its space and the address of probes
				t.Errorf("%s sees the network %v", text, a.View.VirtualNetwork)
			}
			if (a.Interface == nil || a.Interface.ID != r.Group.ID) && (a.Subnet == nil || a.Subnet.ID != r.Group.ID) {
				t.Errorf("%s is not behind the group", text)
			}
			got = append(got, text)
		}
		slices.Sort(got)
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("behind %s: %s", tt.id, text)
		}
		if members := r.Attachments[0].View.Groups[strings.ToLower(web)]; len(r.Machines) != 4 || len(members.Sure) != 1 {
			t.Errorf("%v %v", r.Machines, members)
		}
	}
}
