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

// A group of which not all is known is not empty.
func TestIPGroupThatIsNotKnownIsNotEmpty(t *testing.T) {
	f, err := ReadFirewall(json.RawMessage(`{"id":"/f","properties":{"networkRuleCollections":[{"name":"c","properties":{"priority":100,"action":{"type":"Allow"},"rules":[
		{"name":"r","protocols":["Any"],"sourceIpGroups":["/g"],"destinationAddresses":["*"],"destinationPorts":["*"]}]}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := RulesOf([]*Policy{f.Own}, map[string]rule.Set{"/g": rule.Anybody()}).Network; len(got) != 1 {
		t.Errorf("rules: %+v", got)
	}
}

// A protocol of an application rule that names no port may be on any.
func TestApplicationProtocolWithoutPort(t *testing.T) {
	for protocols, want := range map[string]int{`{"port":80}`: 1, `{"port":80},{"port":443}`: 2, `{"port":80},{"protocolType":"Https"}`: 0} {
		f, err := ReadFirewall(json.RawMessage(`{"id":"/f","properties":{"applicationRuleCollections":[{"name":"c","properties":{"priority":100,"action":{"type":"Allow"},"rules":[
			{"name":"r","protocols":[` + protocols + `],"sourceAddresses":["*"],"targetFqdns":["*"]}]}}]}}`))
		if err != nil {
			t.Fatal(err)
		}
		r := RulesOf([]*Policy{f.Own}, nil).Application[0]
		if got := len(r.Destination.Ports); got != want || r.Doubt != "" {
			t.Errorf("%s: %d ports, want %d; in doubt because %q", protocols, got, want, r.Doubt)
		}
	}
}

func TestOwnRanges(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: false, `{"snat":{}}`: false, `{"snat":{"privateRanges":["10.0.0.0/8"]}}`: true,
		`{"snat":{"autoLearnPrivateRanges":"enabled"}}`: true, `{"snat":{"autoLearnPrivateRanges":"Disabled"}}`: false,
	} {
		p, err := ReadPolicy(json.RawMessage(`{"id":"/p","properties":` + text + `}`))
		if err != nil || p.OwnRanges != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

// Whatever the documents hold, they are read or refused, and what a rule does is
// never more certain than it is understood.
func FuzzDocuments(f *testing.F) {
	f.Add(`{"id":"/f","properties":{"virtualHub":{"id":"/h"},"hubIPAddresses":{"privateIPAddress":"10.9.9.4","publicIPs":{"addresses":[{"address":"20.0.0.2"}]}}}}`)
	f.Add(`{"id":"/f","properties":{"ipConfigurations":[{"properties":{"privateIPAddress":"10.0.9.4","subnet":{"id":"/s"},"publicIPAddress":{"id":"/p"}}}],"natRuleCollections":[{"name":"nat0","properties":{"priority":300,"action":{"type":"DNAT"},"rules":[{"name":"r0","protocols":["TCP"],"sourceAddresses":["8.8.8.0/24"],"destinationAddresses":["20.0.2.1"],"destinationPorts":["22-80"],"translatedAddress":"10.0.0.4","translatedPort":"22"}]}}]}}`)
	f.Add(`{"id":"/p/g","properties":{"priority":100,"ruleCollections":[{"name":"c","priority":200,"ruleCollectionType":"FirewallPolicyFilterRuleCollection","action":{"type":"Deny"},"rules":[{"name":"r","ruleType":"NetworkRule","ipProtocols":["Any"],"sourceIpGroups":["/who"],"destinationFqdns":["db.example.com"],"destinationPorts":["*"]}]}]}}`)
	f.Add(`{"id":"/p","properties":{"basePolicy":{"id":"/q"},"snat":{"privateRanges":["0.0.0.0/0"]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		chain := []*Policy{{}}
		if p, err := ReadPolicy(json.RawMessage(text)); err == nil {
			chain = append(chain, p)
		}
		if x, err := ReadFirewall(json.RawMessage(text)); err == nil {
			chain = append(chain, x.Own)
		}
		added := chain[0].Add(json.RawMessage(text)) == nil
		r := RulesOf(chain, map[string]rule.Set{"/who": rule.Anybody()})
		if !added && len(chain) == 1 && len(r.Network)+len(r.Translations)+len(r.Application) > 0 {
			t.Error("rules of nothing")
		}
		for _, x := range r.Network {
			if x.Action == firewall.Unknown && x.Doubt == "" {
				t.Errorf("nobody knows what %s does, and it is not in doubt", x.Name)
			}
		}
		for _, x := range r.Translations {
			if x.Action != firewall.Allow {
				t.Errorf("a translation does %v", x.Action)
			}
		}
	})
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
