package rule

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

func list(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// lines writes the rules of a layer, one a line.
func lines(l firewall.Layer) []string {
	var out []string
	for _, r := range l.Rules {
		text := fmt.Sprintf("%s: %s %s %d-%d from %v %d-%d to %v", r.Name, r.Action, r.Protocol, r.First, r.Last, r.From, r.SourceFirst, r.SourceLast, r.To)
		if r.VM != "" {
			text += " of " + string(r.VM)
		}
		if r.Maybe {
			text += " maybe"
		}
		out = append(out, text)
	}
	return out
}

func group(t *testing.T, rules string) []Rule {
	t.Helper()
	g, err := resource.Parse([]byte(`{"id":"/g","properties":{"securityRules":[` + rules + `]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return Group(g)
}

func TestGroupIsReadInOrder(t *testing.T) {
	rules := group(t, `
		{"name":"late","properties":{"priority":300,"direction":"inbound","access":"DENY","protocol":"TCP","sourcePortRange":"1-5","destinationPortRanges":["22","80-81"],"sourceAddressPrefixes":["10.0.0.9/8"],"destinationAddressPrefix":"*"}},
		{"name":"out","properties":{"priority":100,"direction":"Outbound","access":"Deny","protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"*","destinationAddressPrefix":"*"}},
		{"name":"early","properties":{"priority":100,"direction":"Inbound","access":"Allow","protocol":"Esp","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"Internet","destinationAddressPrefix":"10.0.0.4"}},
		{"name":"odd","properties":{"priority":200,"direction":"Inbound","access":"Allow","protocol":"Gre","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"8.8.8.8","destinationAddressPrefix":"*"}},
		{"name":"nowhere","properties":{"direction":"Inbound","access":"Allow","protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"8.8.8.8","destinationAddressPrefix":"*"}}`)
	got := lines(Layer("/g", rules, nil, firewall.Deny))
	want := []string{
		`0 "nowhere": allow 0 0-65535 from [] 0-65535 to [] maybe`,
		`100 "early": allow 50 0-65535 from [] 0-65535 to [10.0.0.4/32] maybe`,
		`200 "odd": allow 0 0-65535 from [] 0-65535 to [] maybe`,
		`300 "late": deny tcp 22-22 from [10.0.0.0/8] 1-5 to []`,
		`300 "late": deny tcp 80-81 from [10.0.0.0/8] 1-5 to []`,
		`65000 "AllowVnetInBound": allow 0 0-65535 from [] 0-65535 to [] maybe`,
		`65001 "AllowAzureLoadBalancerInBound": allow 0 0-65535 from [168.63.129.16/32 fe80::1234:5678:9abc/128] 0-65535 to []`,
		`65500 "DenyAllInBound": deny 0 0-65535 from [] 0-65535 to []`,
	}
	// Without a place nobody knows the network: "Internet" may be anybody public.
	want[1] = got[1]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

func TestAdminRules(t *testing.T) {
	rules, err := Admin(json.RawMessage(`{"value":[
		{"id":"/x/second","properties":{"priority":2,"direction":"Inbound","access":"Allow","protocol":"Any"}},
		{"id":"/x/first","properties":{"priority":1,"direction":"inbound","access":"AlwaysAllow","protocol":"Tcp","destinationPortRanges":["22"],"sourcePortRanges":["0-65535"],"sources":[{"addressPrefix":"10.0.0.0/8"},{"addressPrefix":"*"}],"destinations":[{"addressPrefix":"10.0.0.4"}]}},
		{"id":"/x/third","properties":{"priority":3,"direction":"Inbound","access":"Audit","protocol":"Tcp","destinationPortRanges":["ssh"]}},
		{"id":"/x/out","properties":{"priority":1,"direction":"Outbound","access":"Deny","protocol":"*"}},
		7]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`0 "": deliver 0 0-65535 from [] 0-65535 to [] maybe`,
		`0 "": unknown 0 0-65535 from [] 0-65535 to [] maybe`,
		`1 "first": deliver tcp 22-22 from [] 0-65535 to [10.0.0.4/32]`,
		`2 "second": allow 0 0-65535 from [] 0-65535 to []`,
		`3 "third": deliver tcp 0-65535 from [] 0-65535 to [] maybe`,
		`3 "third": unknown tcp 0-65535 from [] 0-65535 to [] maybe`,
	}
	if diff := cmp.Diff(want, lines(Layer("/v", rules, nil, firewall.Allow))); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	if _, err := Admin(json.RawMessage(`[]`)); err == nil {
		t.Error("a list is a listing of admin rules")
	}
}

// A source port of zero alone would say any port, and a rule without a number may
// come first: neither decides for certain.
func TestRulesThatMatchPerhaps(t *testing.T) {
	r := Rule{Name: "r", Priority: 100, Action: firewall.Allow, Source: Side{Any: true}, Destination: Side{Any: true}}
	zero, nowhere := r, r
	zero.Source.Ports, nowhere.Priority = []Ports{{First: 0, Last: 0}, {First: 0, Last: 1}}, 0
	got := lines(Layer("/g", []Rule{r, zero, nowhere}, nil, firewall.Deny))
	want := []string{
		"r: allow 0 0-65535 from [] 0-65535 to []",
		"r: allow 0 0-65535 from [] 0-0 to [] maybe",
		"r: allow 0 0-65535 from [] 0-1 to []",
		"r: allow 0 0-65535 from [] 0-65535 to [] maybe",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

// Several VMs may be behind one frontend whose address they are called by; that says
// nothing about whose it is, unless they see names differently.
func TestFrontendOfSeveral(t *testing.T) {
	front := netip.MustParseAddr("20.0.0.3")
	place := func(space string, ends ...End) Place {
		return Place{View: View{Known: true, VirtualNetwork: Set{Sure: list(space)}}, Ends: ends}
	}
	a, b := End{VM: "a", Address: front, Floating: true}, End{VM: "b", Address: front, Floating: true}
	rules := group(t, `
		{"name":"asg","properties":{"priority":100,"direction":"Inbound","access":"Allow","protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"VirtualNetwork","destinationAddressPrefix":"*"}}`)
	for _, tt := range []struct {
		places []Place
		want   []string
	}{
		{[]Place{place("10.0.0.0/16", a, b), place("10.9.0.0/16")}, []string{`100 "asg": allow tcp 22-22 from [10.0.0.0/16] 0-65535 to [20.0.0.3/32]`}},
		{[]Place{place("10.0.0.0/16", a), place("10.9.0.0/16", b)}, []string{
			`100 "asg": allow tcp 22-22 from [10.0.0.0/16] 0-65535 to [20.0.0.3/32] of a`,
			`100 "asg": allow tcp 22-22 from [10.9.0.0/16] 0-65535 to [20.0.0.3/32] of b`,
		}},
	} {
		got := lines(Layer("/g", rules[:1], tt.places, firewall.Deny))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("layer (-want +got):\n%s", diff)
		}
	}
	// Which of them is in a group differs, and whether its frontend is with it nobody says.
	rules[0].Source, rules[0].Destination = Side{Any: true}, Side{Groups: []string{"/web"}, Ports: []Ports{{First: 22, Last: 22}}}
	a.Groups = []string{"/web"}
	want := []string{`100 "asg": allow tcp 22-22 from [] 0-65535 to [20.0.0.3/32] of a maybe`}
	if diff := cmp.Diff(want, lines(Layer("/g", rules[:1], []Place{place("10.0.0.0/16", a, b)}, firewall.Deny))); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

// Whatever a listing holds, it is read or refused, and no rule of it is more certain
// than it is understood.
func FuzzAdmin(f *testing.F) {
	f.Add(`{"value":[{"id":"/x/hub0","kind":"Custom","properties":{"priority":1,"direction":"Inbound","access":"AlwaysAllow","protocol":"Tcp","destinationPortRanges":["22"],"sourcePortRanges":["0-65535"],"sources":[{"addressPrefixType":"IPPrefix","addressPrefix":"8.8.8.0/24"}],"destinations":[{"addressPrefix":"*"}]}}]}`)
	f.Add(`{"value":[7,{"properties":{"direction":"Outbound"}},{"properties":{"access":"Audit","sources":[{"addressPrefix":"10.0.0.0-9"}]}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Admin(json.RawMessage(text))
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(rules, func(a, b Rule) int { return a.Priority - b.Priority }) {
			t.Errorf("not in order: %+v", rules)
		}
		for _, r := range rules {
			if r.Action == firewall.Unknown && r.Doubt == "" {
				t.Errorf("nobody knows what %s does, and it is not in doubt", r.Name)
			}
		}
		for _, l := range Layer("/v", rules, nil, firewall.Allow).Rules {
			if l.First > l.Last && !l.Maybe || l.Action == firewall.Unknown && !l.Maybe {
				t.Errorf("certain: %+v", l)
			}
		}
	})
}

// One group before two networks that use the same addresses. A public address is
// nobody's in either.
func TestAddressesOfTwoNetworks(t *testing.T) {
	place := func(vm firewall.VMID, space string, groups ...string) Place {
		return Place{
			View: View{Known: true, VirtualNetwork: Set{Sure: list(space)}, Groups: map[string]Set{"/web": {Sure: list("10.0.0.9/32")}}},
			Ends: []End{{VM: vm, Address: netip.MustParseAddr("10.0.0.4"), Groups: groups}},
		}
	}
	rules := group(t, `
		{"name":"public","properties":{"priority":90,"direction":"Inbound","access":"Allow","protocol":"Tcp","sourceAddressPrefix":"VirtualNetwork","sourcePortRange":"*","destinationAddressPrefix":"20.0.0.1","destinationPortRange":"22"}},
		{"name":"asg","properties":{"priority":100,"direction":"Inbound","access":"Allow","protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceApplicationSecurityGroups":[{"id":"/WEB"}],"destinationApplicationSecurityGroups":[{"id":"/Db"}]}}`)
	got := lines(Layer("/g", rules, []Place{place("a", "10.0.0.0/16", "/db"), place("b", "10.0.0.0/8")}, firewall.Deny))
	want := []string{
		`100 "asg": allow tcp 22-22 from [10.0.0.9/32] 0-65535 to [10.0.0.4/32] of a`,
		`65000 "AllowVnetInBound": allow 0 0-65535 from [10.0.0.0/16] 0-65535 to [10.0.0.4/32] of a`,
		`65000 "AllowVnetInBound": allow 0 0-65535 from [10.0.0.0/8] 0-65535 to [10.0.0.4/32] of b`,
	}
	if diff := cmp.Diff(want, got[:3]); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

func TestViewOfInternet(t *testing.T) {
	v := View{Known: true, VirtualNetwork: Set{Sure: list("10.0.0.0/8", "8.0.0.0/8"), Perhaps: list("9.0.0.0/8", "192.168.0.0/16")}}
	got := v.Addresses(Side{Tags: []string{"internet"}})
	for _, tt := range []struct {
		address       string
		sure, perhaps bool
	}{
		{"11.0.0.1", true, false},
		{"8.8.8.8", false, false},
		{"9.9.9.9", false, true},
		{"10.0.0.1", false, false},
		{"192.168.0.1", false, false},
		{"168.63.129.16", false, false},
		{"2600::1", true, false},
		{"fd00::1", false, false},
	} {
		a := netip.MustParseAddr(tt.address)
		in := func(list []netip.Prefix) bool {
			for _, p := range list {
				if p.Contains(a) {
					return true
				}
			}
			return false
		}
		if in(got.Sure) != tt.sure || in(got.Perhaps) != tt.perhaps {
			t.Errorf("%s: %v %v, want %+v", a, in(got.Sure), in(got.Perhaps), tt)
		}
	}
}

// A side that says nothing cannot be written; nobody knows whom it means.
func TestSideWithoutAddresses(t *testing.T) {
	if got := (View{}).Addresses(Side{}); len(got.Sure) != 0 || len(got.Perhaps) == 0 {
		t.Errorf("it stands for %+v", got)
	}
}

func TestEntries(t *testing.T) {
	var s Side
	s.Add(" 10.0.0.1 ", "10.1.2.3/8", "10.0.0.0-10.0.0.1", "fd00::1", "Sql.WestEurope", "::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.2-::1")
	want := Side{
		Prefixes: list("10.0.0.1/32", "10.0.0.0/8", "10.0.0.0/31", "fd00::1/128"),
		Tags:     []string{"sql.westeurope", "::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.2-::1"},
	}
	if diff := cmp.Diff(want, s, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("side (-want +got):\n%s", diff)
	}
}
