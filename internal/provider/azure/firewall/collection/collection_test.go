package collection

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

// policyOf makes a policy of "GROUP PRIORITY COLLECTION PRIORITY" lines; what a
// collection holds, its name says. Rules are about port 22 from 1.1.1.1.
func policyOf(t *testing.T, action string, lines ...string) *Policy {
	t.Helper()
	p, err := ReadPolicy(json.RawMessage(`{"id":"/p","properties":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		f := strings.Fields(line)
		kind, ruleType, more := "FirewallPolicyFilterRuleCollection", "NetworkRule", ""
		switch {
		case strings.Contains(f[2], "DNAT"):
			kind, ruleType, more = "FirewallPolicyNatRuleCollection", "NatRule", `,"translatedAddress":"10.0.0.4","translatedPort":"22"`
		case strings.Contains(f[2], "App"):
			ruleType, more = "ApplicationRule", `,"protocols":[{"protocolType":"Https","port":443}]`
		}
		err := p.Add(fmt.Appendf(nil, `{"properties":{"priority":%s,"ruleCollections":[{"name":%q,"priority":%s,"ruleCollectionType":%q,"action":{"type":%q},
			"rules":[{"ruleType":%q,"name":"r","ipProtocols":["TCP"],"sourceAddresses":["1.1.1.1"],"destinationAddresses":["*"],"destinationPorts":["22"]%s}]}]}}`,
			f[1], f[2], f[3], kind, action, ruleType, more))
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// The worked example of Azure's page on rule processing.
func TestWorkedOrderOfParentAndChild(t *testing.T) {
	parent := policyOf(t, "Allow", "BaseRCG1 200 DNATRC1 600", "BaseRCG1 200 DNATRC3 610", "BaseRCG1 200 NetworkRC1 800", "BaseRCG2 300 AppRC2 1200", "BaseRCG2 300 NetworkRC2 1300")
	child := policyOf(t, "Allow", "ChildRCG1 300 ChNetRC1 700", "ChildRCG1 300 ChAppRC1 900", "ChildRCG2 650 ChNetRC2 1100", "ChildRCG2 650 ChAppRC2 2000", "ChildRCG2 650 ChDNATRC3 3000")
	r := RulesOf([]*Policy{child, parent}, nil)
	var got []string
	for _, x := range r.Translations {
		got = append(got, x.Name)
	}
	for _, x := range append(r.Network, r.Application...) {
		got = append(got, x.Name)
	}
	want := []string{
		`600 "DNATRC1/r" (taken as: inherited)`, `610 "DNATRC3/r" (taken as: inherited)`, `3000 "ChDNATRC3/r"`,
		`800 "NetworkRC1/r"`, `1300 "NetworkRC2/r"`, `700 "ChNetRC1/r"`, `1100 "ChNetRC2/r"`,
		`1200 "AppRC2/r"`, `900 "ChAppRC1/r"`, `2000 "ChAppRC2/r"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// The older text lets a network rule close what a translation opens.
func TestNetworkDenyDoesNotCloseTranslation(t *testing.T) {
	p := policyOf(t, "Deny", "g 100 DNAT 100", "g 100 Net 100")
	r := RulesOf([]*Policy{p}, nil)
	if got := r.Translations[0].Name; got != `100 "DNAT/r" (taken as: no network rule is asked after it)` {
		t.Errorf("the translation is called %s, which does not say how it was read", got)
	}
	if a := r.Translations[0].Action; a != firewall.Allow {
		t.Errorf("the translation does %v", a)
	}
}

func TestEmptyIPGroupSkipsItsRule(t *testing.T) {
	f, err := ReadFirewall(json.RawMessage(`{"id":"/f","properties":{"networkRuleCollections":[
		{"name":"c","properties":{"priority":100,"action":{"type":"Deny"},"rules":[
			{"name":"empty","protocols":["Any"],"sourceIpGroups":["/G/EMPTY"],"sourceAddresses":["9.9.9.9"],"destinationAddresses":["*"],"destinationPorts":["*"]},
			{"name":"full","protocols":["Any"],"sourceIpGroups":["/g/full"],"destinationAddresses":["*"],"destinationPorts":["*"]},
			{"name":"unread","protocols":["Any"],"sourceIpGroups":["/g/unread"],"destinationAddresses":["*"],"destinationPorts":["*"]}]}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]rule.Set{"/g/empty": {}, "/g/full": {Sure: []netip.Prefix{netip.MustParsePrefix("8.8.8.8/32")}}}
	r := RulesOf([]*Policy{f.Own}, groups)
	var got []string
	for _, x := range r.Network {
		got = append(got, x.Name)
	}
	if diff := cmp.Diff([]string{`100 "c/full"`, `100 "c/unread"`}, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotUnderstoodIsInDoubt(t *testing.T) {
	for _, tt := range []struct{ name, text, doubt string }{
		{"protocol", `"protocols":["GRE"],"destinationPorts":["22"]`, `protocol "GRE" is not known`},
		{"no protocol", `"destinationPorts":["22"]`, "its protocols could not be read"},
		{"port", `"protocols":["TCP"],"destinationPorts":["ssh"]`, `"ssh" is no port range`},
		{"no ports", `"protocols":["TCP"]`, "it has no ports"},
		{"action", `"protocols":["TCP"],"destinationPorts":["22"]`, `action "Alert" is not known`},
	} {
		f, err := ReadFirewall(json.RawMessage(`{"id":"/f","properties":{"networkRuleCollections":[{"name":"c","properties":{"priority":100,"action":{"type":"Alert"},"rules":[
			{"name":"r","sourceAddresses":["*"],"destinationAddresses":["*"],` + tt.text + `}]}}]}}`))
		if err != nil {
			t.Fatal(err)
		}
		r := RulesOf([]*Policy{f.Own}, nil).Network[0]
		if r.Doubt != tt.doubt || r.Action != firewall.Unknown {
			t.Errorf("%s: %v, in doubt because %q, want %q", tt.name, r.Action, r.Doubt, tt.doubt)
		}
	}
	for _, text := range []string{`7`, `{"properties":7}`, `{"properties":{"ruleCollections":7}}`} {
		p := &Policy{}
		if _, err := ReadFirewall(json.RawMessage(text)); err == nil && text != `{"properties":{"ruleCollections":7}}` {
			t.Errorf("%s is a firewall", text)
		}
		if p.Add(json.RawMessage(text)) == nil {
			t.Errorf("%s is a rule collection group", text)
		}
	}
	if _, err := ReadPolicy(json.RawMessage(`[]`)); err == nil {
		t.Error("a list is a policy")
	}
}
