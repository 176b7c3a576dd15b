package path_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// proposed writes what is proposed for a machine, one a line.
func (d documents) proposed(name string) []string {
	vms, _ := path.Machines(topology.Read(d), path.Known{})
	var out []string
	for _, v := range vms {
		if v.Name != name {
			continue
		}
		for _, p := range v.Proposed {
			out = append(out, fmt.Sprintf("%s %s %s/%d %v", p.Kind, p.Name, p.Protocol, p.Port, p.From))
		}
	}
	return out
}

func TestManagersAreProposed(t *testing.T) {
	for _, tt := range []struct {
		rule string
		want []string
	}{
		{"office 300 Allow Tcp 198.51.100.7 * 22", []string{"management g/office tcp/22 [198.51.100.7/32]"}},
		{"office 300 allow TCP 198.51.100.0/24,192.0.2.9 10.0.0.4 20-30,3389", []string{"management g/office tcp/22 [192.0.2.9/32 198.51.100.0/24]", "management g/office tcp/3389 [192.0.2.9/32 198.51.100.0/24]"}},
		{"all 300 Allow * 10.0.0.9 * *", []string{"management g/all tcp/22 [10.0.0.9/32]", "management g/all tcp/3389 [10.0.0.9/32]", "management g/all tcp/5985 [10.0.0.9/32]", "management g/all tcp/5986 [10.0.0.9/32]"}},
		{"group 300 Allow Tcp asg:web * 22", []string{"management g/group tcp/22 [10.0.0.5/32]"}},
		// Nobody, too many, or something else.
		{"group 300 Allow Tcp asg:nobody * 22", nil},
		{"group 300 Allow Tcp asg:unread * 22", nil},
		{"wide 300 Allow Tcp 198.51.0.0/16 * 22", nil},
		{"some 300 Allow Tcp 198.51.0.0/16,198.51.100.7 * 22", nil},
		{"any 300 Allow Tcp * * 22", nil},
		{"tag 300 Allow Tcp VirtualNetwork * 22", nil},
		{"deny 300 Deny Tcp 198.51.100.7 * 22", nil},
		{"web 300 Allow Tcp 198.51.100.7 * 80,443", nil},
		{"udp 300 Allow Udp 198.51.100.7 * 22", nil},
		{"other 300 Allow Tcp 198.51.100.7 10.0.0.5 22", nil},
		{"six 300 Allow Tcp 2001:db8::/64 * 22", nil},
		{"public 300 Allow Tcp 198.51.100.7 20.0.0.1 22", nil},
		{"odd 300 Allow Gre 198.51.100.7 * 22", nil},
		// What ends by itself.
		{"Sesame-main-open-a-22-tcp-0123 300 Allow Tcp 198.51.100.7 * 22", nil},
		{"SecurityCenter-JITRule_1_2 300 Allow Tcp 198.51.100.7 * 22", nil},
		{"MicrosoftDefenderForCloud-JITRule_1 300 Allow Tcp 198.51.100.7 * 22", nil},
		// Below a rule that keeps everybody out nobody gets in.
		{"late 900 Allow Tcp 198.51.100.7 * 22", nil},
		{"behind 300 Allow Tcp 192.168.7.7 * 22", nil},
	} {
		got := plain(tt.rule, "rest 500 Deny * * * *").proposed("a")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.rule, diff)
		}
	}
	// Each rule speaks for itself, although another one lets the same machine in.
	if got := plain("other 300 Allow Tcp 198.51.100.7 10.0.0.5 22", "office 310 Allow Tcp 198.51.100.7 * 22").proposed("a"); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if got := plain("office 300 Allow Tcp 198.51.100.7 * 22").proposed("b"); got != nil {
		t.Errorf("for a machine that is not behind the group: %q", got)
	}
}

func TestBastionsAreProposed(t *testing.T) {
	for _, tt := range []struct {
		name         string
		there, back  string // states of the two halves of the peering
		own, foreign string // subnets
		want         []string
	}{
		{"none", "Connected", "Connected", "AzureFirewallSubnet", "GatewaySubnet", nil},
		{"its own", "Connected", "Connected", "AzureBastionSubnet", "x", []string{"bastion AzureBastionSubnet of v tcp/22 [10.0.1.0/26]", "bastion AzureBastionSubnet of v tcp/3389 [10.0.1.0/26]"}},
		{"a peer's", "Connected", "Connected", "x", "azurebastionsubnet", []string{"bastion AzureBastionSubnet of hub tcp/22 [10.1.1.0/26]", "bastion AzureBastionSubnet of hub tcp/3389 [10.1.1.0/26]"}},
		{"half a peer's", "Connected", "Disconnected", "x", "AzureBastionSubnet", nil},
		{"somebody's", "", "", "x", "AzureBastionSubnet", nil},
	} {
		d := plain()
		network := func(name, space string, subnet string, peer, state string) {
			var v thing
			if err := json.Unmarshal(d[base+"virtualNetworks/v"], &v); err != nil {
				t.Fatal(err)
			}
			p := v["properties"].(thing)
			subnets := list{thing{"name": subnet, "properties": thing{"addressPrefixes": []string{space + ".1.0/26"}}}}
			if name == "v" {
				subnets = append(subnets, p["subnets"].(list)...)
			}
			p = thing{"addressSpace": thing{"addressPrefixes": []string{space + ".0.0/16"}}, "subnets": subnets}
			if state != "" {
				p["virtualNetworkPeerings"] = list{thing{"properties": thing{"peeringState": state, "remoteVirtualNetwork": ref("virtualNetworks", peer)}}}
			}
			d.put("virtualNetworks", name, p)
		}
		network("hub", "10.1", tt.foreign, "v", tt.back)
		network("v", "10.0", tt.own, "HUB", tt.there)
		if diff := cmp.Diff(tt.want, d.proposed("a")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestProbesAreProposed(t *testing.T) {
	d := plain()
	lb := base + "loadBalancers/lb"
	pool := func(name string) thing { return thing{"id": lb + "/backendAddressPools/" + name} }
	rule := func(name, probe string, pools ...any) thing {
		p := thing{"protocol": "Tcp", "frontendPort": 80, "backendPort": 8080, "backendAddressPools": pools}
		if probe != "" {
			p["probe"] = thing{"id": strings.ToUpper(lb) + "/PROBES/" + probe}
		}
		return thing{"name": name, "properties": p}
	}
	probe := func(name, protocol string, port int) thing {
		return thing{"name": name, "properties": thing{"protocol": protocol, "port": port}}
	}
	d.put("loadBalancers", "lb", thing{
		"probes":             list{probe("ssh", "Tcp", 22), probe("web", "Http", 8080), probe("idle", "Tcp", 1)},
		"loadBalancingRules": list{rule("one", "ssh", pool("p")), rule("two", "web", pool("q"), pool("P")), rule("again", "ssh", pool("p")), rule("blind", "", pool("p")), rule("elsewhere", "idle", pool("r")), rule("gone", "none", pool("p"))},
	})
	member := config("v", "s", "10.0.0.6")
	member["loadBalancerBackendAddressPools"] = list{pool("p")}
	d.vm("c", thing{}, member)
	const from = "[168.63.129.16/32 fe80::1234:5678:9abc/128]"
	if diff := cmp.Diff([]string{"probe lb/ssh tcp/22 " + from, "probe lb/web tcp/8080 " + from}, d.proposed("c")); diff != "" {
		t.Errorf("of a member (-want +got):\n%s", diff)
	}
	if got := d.proposed("a"); got != nil {
		t.Errorf("for a machine that is in no pool: %q", got)
	}
}

// Proposals are sorted, and do not depend on the order of anything.
func TestProposalsAreSorted(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(seed)
		one, _ := path.Machines(topology.Read(w.documents), path.Known{Tags: w.tags})
		two, _ := path.Machines(topology.Read(maps.Clone(w.documents)), path.Known{Tags: w.tags})
		if diff := cmp.Diff(fmt.Sprint(one), fmt.Sprint(two)); diff != "" {
			t.Fatal(diff)
		}
		for _, v := range one {
			if !slices.IsSortedFunc(v.Proposed, func(a, b inventory.Proposal) int { return int(a.Kind) - int(b.Kind) }) {
				t.Errorf("%v", v.Proposed)
			}
		}
	}
}
