package resource_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

const id = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/RG/providers/Microsoft.Network/networkSecurityGroups/nsg-1"

// document returns a group with the given rules, as the API writes one.
func document(rules ...string) string {
	return `{"name":"nsg-1","id":"` + id + `","etag":"W/\"8ff3b7e0-9d48-4bcc-a4a0-4d6ec0b5f0b5\"",` +
		`"type":"Microsoft.Network/networkSecurityGroups","location":"westus","properties":{"provisioningState":"Succeeded",` +
		`"resourceGuid":"e2d5d0b5","flushConnection":false,"securityRules":[` + strings.Join(rules, ",") + `],"defaultSecurityRules":[` +
		`{"name":"DenyAllInBound","id":"x","etag":"y","properties":{"description":"Deny all inbound traffic","protocol":"*",` +
		`"sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"*","destinationAddressPrefix":"*",` +
		`"access":"Deny","priority":65500,"direction":"Inbound","sourcePortRanges":[],"destinationPortRanges":[],` +
		`"sourceAddressPrefixes":[],"destinationAddressPrefixes":[]}}],"subnets":[{"id":"/subscriptions/s/subnets/a"}]}}`
}

// rule returns a rule with some of its properties replaced; "-" takes one out.
func rule(name string, changes ...string) string {
	props := map[string]string{
		"protocol": `"Tcp"`, "access": `"Allow"`, "direction": `"Inbound"`, "priority": "300",
		"sourceAddressPrefix": `"*"`, "sourcePortRange": `"*"`, "destinationAddressPrefix": `"10.0.0.4"`, "destinationPortRange": `"22"`,
	}
	order := []string{"protocol", "access", "direction", "priority", "sourceAddressPrefix", "sourcePortRange", "destinationAddressPrefix", "destinationPortRange"}
	for i := 0; i < len(changes); i += 2 {
		if _, ok := props[changes[i]]; !ok {
			order = append(order, changes[i])
		}
		props[changes[i]] = changes[i+1]
	}
	var parts []string
	for _, k := range order {
		if props[k] != "-" {
			parts = append(parts, fmt.Sprintf("%q:%s", k, props[k]))
		}
	}
	return `{"name":"` + name + `","properties":{` + strings.Join(parts, ",") + `}}`
}

func parse(t *testing.T, text string) *resource.Group {
	t.Helper()
	g, err := resource.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var equal = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()}

func TestParse(t *testing.T) {
	g := parse(t, document(
		rule("ssh"),
		// The API returns both twins, the unused one empty.
		rule("twins", "sourceAddressPrefix", `""`, "sourceAddressPrefixes", `["2001:db8::1/32","10.0.0.7","AzureCloud.westus"]`,
			"destinationPortRange", `""`, "destinationPortRanges", `["443","20-30","443"]`, "sourcePortRanges", `[]`, "description", `"for \u0061ll"`),
		// Neither enums nor ids come in one case.
		rule("asg", "protocol", `"TCP"`, "access", `"deny"`, "direction", `"OUTBOUND"`, "sourceAddressPrefix", "-",
			"sourceApplicationSecurityGroups", `[{"id":"/S/B"},{"id":"/s/a","x":1}]`),
	))
	if g.ID != firewall.ID(strings.ToLower(id)) || g.ETag != `W/"8ff3b7e0-9d48-4bcc-a4a0-4d6ec0b5f0b5"` || g.State != "Succeeded" || g.Busy() {
		t.Errorf("the group is read as %q %q %q", g.ID, g.ETag, g.State)
	}
	any22 := resource.Side{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.4/32")}, Ports: []resource.Ports{{First: 22, Last: 22}}}
	want := []resource.Rule{
		{Name: "ssh", Priority: 300, Action: firewall.Allow, Protocol: "tcp", Source: resource.Side{Any: true, Ports: []resource.Ports{resource.AnyPort()}}, Destination: any22},
		{
			Name: "twins", Description: "for all", Priority: 300, Action: firewall.Allow, Protocol: "tcp",
			Source: resource.Side{
				Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32"), netip.MustParsePrefix("2001:db8::/32")},
				Tags:     []string{"azurecloud.westus"}, Ports: []resource.Ports{resource.AnyPort()},
			},
			Destination: resource.Side{Prefixes: any22.Prefixes, Ports: []resource.Ports{{First: 20, Last: 30}, {First: 443, Last: 443}}},
		},
		{
			Name: "asg", Priority: 300, Direction: resource.Outbound, Action: firewall.Deny, Protocol: "tcp",
			Source: resource.Side{Groups: []string{"/s/a", "/s/b"}, Ports: []resource.Ports{resource.AnyPort()}}, Destination: any22,
		},
	}
	if diff := cmp.Diff(want, g.Rules, equal, cmpopts.IgnoreFields(resource.Rule{}, "Text")); diff != "" {
		t.Errorf("the rules (-want +got):\n%s", diff)
	}
}

// TestBug1OpaqueRules: a rule of a shape that is not understood is neither
// guessed at nor an error, and a rule that uses groups is not one without
// addresses (cloud-provider-azure 6342 deleted such rules).
func TestBug1OpaqueRules(t *testing.T) {
	for name, r := range map[string]string{
		"no source":            rule("r", "sourceAddressPrefix", "-"),
		"an empty source":      rule("r", "sourceAddressPrefix", `""`, "sourceAddressPrefixes", "[]"),
		"two sources":          rule("r", "sourceAddressPrefixes", `["10.0.0.1"]`),
		"address and group":    rule("r", "sourceApplicationSecurityGroups", `[{"id":"/a"}]`),
		"group without an id":  rule("r", "sourceAddressPrefix", "-", "sourceApplicationSecurityGroups", `[{}]`),
		"no ports":             rule("r", "destinationPortRange", "-"),
		"ports backwards":      rule("r", "destinationPortRange", `"30-20"`),
		"no port":              rule("r", "destinationPortRange", `"ssh"`),
		"another action":       rule("r", "access", `"AlwaysAllow"`),
		"another direction":    rule("r", "direction", `"Sideways"`),
		"another protocol":     rule("r", "protocol", `"Quic"`),
		"no protocol":          rule("r", "protocol", "-"),
		"priority as text":     rule("r", "priority", `"300"`),
		"priority as fraction": rule("r", "priority", `300.5`),
		"priority 0":           rule("r", "priority", `0`),
		"a number for a text":  rule("r", "sourceAddressPrefix", `7`),
		"null in a list":       rule("r", "sourceAddressPrefix", "-", "sourceAddressPrefixes", `[null]`),
		"a key twice":          strings.Replace(rule("r"), `"access":"Allow"`, `"access":"Deny","access":"Allow"`, 1),
		"a key in other case":  rule("r", "Access", `"Deny"`),
		"name twice":           strings.Replace(rule("r"), `"name":"r"`, `"name":"q","name":"r"`, 1),
		"no properties":        `{"name":"r"}`,
		"no name":              rule(""),
		"no object":            `"r"`,
		"null":                 `null`,
	} {
		g := parse(t, document(rule("before"), r, rule("behind")))
		if len(g.Rules) != 3 || g.Rules[1].Opaque == "" {
			t.Errorf("%s: read as %+v", name, g.Rules[1])
		}
		after, err := g.Edit("sesame-", resource.Put(resource.Rule{Name: "sesame-x", Action: firewall.Deny}))
		if err != nil || !strings.Contains(after, rule("before")+","+r+","+rule("behind")) {
			t.Errorf("%s: %v, the bytes are not what they were:\n%s", name, err, after)
		}
	}
	if r := parse(t, document(rule("r", "priority", "4000000000000", "x", "1"))).Rules[0]; r.Priority != 0 || r.Opaque == "" {
		t.Errorf("a number that is too large: %+v", r)
	}
	if r := parse(t, document(rule("r", "futureField", `{"deep":[1,{"deep":2,"deep":3}]}`))).Rules[0]; r.Opaque != "" {
		t.Errorf("a field that is not known: %s", r.Opaque)
	}
}

func TestParseRefuses(t *testing.T) {
	good := document(rule("ssh"))
	for name, text := range map[string]string{
		"nothing":              "",
		"no object":            "[]",
		"trailing data":        good + "{}",
		"half":                 good[:len(good)-3],
		"no id":                strings.Replace(good, `"id":"/s`, `"idx":"/s`, 1),
		"properties twice":     strings.Replace(good, `"location"`, `"properties":{},"location"`, 1),
		"rules twice":          strings.Replace(good, `"resourceGuid"`, `"securityRules":[],"resourceGuid"`, 1),
		"rules in other case":  strings.Replace(good, `"resourceGuid"`, `"SecurityRules":[],"resourceGuid"`, 1),
		"no rules":             strings.Replace(good, `"securityRules"`, `"rules"`, 1),
		"rules that are none":  strings.Replace(good, `"securityRules":[`, `"securityRules":{},"x":[`, 1),
		"rules that are null":  strings.Replace(good, `"securityRules":[`, `"securityRules":null,"x":[`, 1),
		"state that is a list": strings.Replace(good, `"Succeeded"`, `[]`, 1),
	} {
		if g, err := resource.Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %d rules of %s", name, len(g.Rules), g.ID)
		}
	}
}

func TestEdit(t *testing.T) {
	ours := resource.Rule{Name: "sesame-main-1", Description: `a "b"`, Priority: 100, Action: firewall.Allow, Protocol: "tcp"}
	ours.Source = resource.Side{Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, Ports: []resource.Ports{resource.AnyPort()}}
	ours.Destination = resource.Side{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.4/32"), netip.MustParsePrefix("10.0.0.8/29")}, Ports: []resource.Ports{{First: 22, Last: 22}}}
	other := ours
	other.Name, other.Priority = "sesame-main-2", 101
	for _, list := range []string{"[ ]", "[]", "[\n\t" + rule("a") + "\n]", "[" + rule("a") + " , " + rule("b") + "\t]", "[" + rule("SESAME-MAIN-9") + "," + rule("b") + "]"} {
		text := strings.Replace(document(), `"securityRules":[]`, `"securityRules": `+list, 1)
		g := parse(t, text)
		added, err := g.Edit("sesame-main-", resource.Put(ours), resource.Put(other))
		if err != nil {
			t.Fatal(err)
		}
		after := parse(t, added)
		if n := len(g.Rules); len(after.Rules) != n+2 {
			t.Fatalf("%s: %d rules became %d", list, n, len(after.Rules))
		}
		if diff := cmp.Diff(ours, after.Rules[len(g.Rules)], equal, cmpopts.IgnoreFields(resource.Rule{}, "Text")); diff != "" {
			t.Errorf("%s: what is written is not what is read (-want +got):\n%s", list, diff)
		}
		moved := ours
		moved.Name, moved.Priority = "Sesame-MAIN-1", 200
		if again, err := after.Edit("sesame-main-", resource.Put(moved)); err != nil || len(parse(t, again).Rules) != len(after.Rules) {
			t.Errorf("%s: replacing: %v\n%s", list, err, again)
		}
		for _, gone := range [][]resource.Edit{
			{resource.Delete(ours.Name), resource.Delete(other.Name)},
			{resource.Delete("SESAME-main-2"), resource.Delete("sesame-main-1"), resource.Delete("sesame-main-never")},
			{resource.Put(moved), resource.Delete(ours.Name), resource.Delete(other.Name)},
		} {
			if back, err := after.Edit("sesame-main-", gone...); err != nil || back != text {
				t.Errorf("%s: %v, adding and deleting gives\n%s\nof\n%s", list, err, back, text)
			}
		}
	}
	g := parse(t, document(rule("a"), rule("sesame-other-1")))
	for _, e := range []resource.Edit{resource.Delete("a"), resource.Delete("sesame-other-1"), resource.Delete(""), resource.Put(resource.Rule{Name: "a"})} {
		if _, err := g.Edit("sesame-main-", e); err == nil {
			t.Errorf("a foreign rule is edited: %+v", e)
		}
		if _, err := g.Edit("", e); err == nil {
			t.Errorf("without a prefix everything is ours: %+v", e)
		}
	}
}

func TestNative(t *testing.T) {
	for _, e := range []resource.Edit{resource.Delete("sesame-x"), resource.Put(parse(t, document(rule("r"))).Rules[0])} {
		if back, err := resource.Decode(e.Encode()); err != nil || back.Name != e.Name || string(back.Put) != string(e.Put) {
			t.Errorf("%s is read as %+v, %v", e.Encode(), back, err)
		}
	}
	for _, text := range []string{"", "{}", "null", `{"name":""}`, `{"name":"a","put":null}`, `{"put":{"name":"a"}}`, `{"name":7}`, `{"name":"a"}{}`} {
		if e, err := resource.Decode(text); err == nil {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
}

func TestCompare(t *testing.T) {
	before := parse(t, document(rule("a"), rule("b"), rule("c"), rule("sesame-main-1")))
	touched := strings.Replace(rule("a", "provisioningState", `"Updating"`), `{"name"`, `{"etag":"new", "name"`, 1)
	after := parse(t, document(rule("d"), rule("c", "priority", "301"), touched, rule("sesame-main-1", "priority", "7")))
	want := []resource.Difference{
		{Name: "b", Before: rule("b")},
		{Name: "c", Before: rule("c"), After: rule("c", "priority", "301")},
		{Name: "d", After: rule("d")},
	}
	if diff := cmp.Diff(want, resource.Compare(before, after, "sesame-main-")); diff != "" {
		t.Errorf("what differs (-want +got):\n%s", diff)
	}
	if got := resource.Compare(before, before, ""); len(got) > 0 {
		t.Errorf("a group differs from itself: %v", got)
	}
}

// FuzzEdit holds the promise for any text: what can be read can be edited, and
// adding and deleting a rule gives back every byte.
func FuzzEdit(f *testing.F) {
	f.Add(document(), 0)
	f.Add(document(rule("a"), rule("sesame-main-1"), rule("b", "\\u0061ccess", `"Deny"`)), 1)
	f.Add(strings.ReplaceAll(document(rule("a", "x", `{"y":[1,2,{"y":"\ud83d"}],"y":-0.0e+10}`)), ",", " ,\r\n\t"), 2)
	f.Fuzz(func(t *testing.T, text string, at int) {
		g, err := resource.Parse([]byte(text))
		if err != nil {
			return
		}
		const prefix = "sesame-main-"
		r := resource.Rule{Name: prefix + "fuzz-1", Action: firewall.Deny, Protocol: "*", Priority: 4096}
		if _, taken := g.Rule(r.Name); taken {
			return
		}
		added, err := g.Edit(prefix, resource.Put(r))
		if err != nil {
			t.Fatal(err)
		}
		after, err := resource.Parse([]byte(added))
		if err != nil {
			t.Fatalf("%v in\n%s\nof\n%s", err, added, text)
		}
		back, err := after.Edit(prefix, resource.Delete(r.Name))
		if err != nil || back != text {
			t.Fatalf("%v, the bytes changed from\n%q\nto\n%q", err, text, back)
		}
		if len(g.Rules) == 0 {
			return
		}
		// Deleting any rule leaves all others as they are.
		gone := g.Rules[(at%len(g.Rules)+len(g.Rules))%len(g.Rules)].Name
		left, err := g.Edit(gone, resource.Delete(gone))
		if err != nil {
			return // it has no name
		}
		now, err := resource.Parse([]byte(left))
		if err != nil {
			t.Fatalf("%v in\n%s\nof\n%s", err, left, text)
		}
		var stay []string
		for _, r := range g.Rules {
			if !r.Is(gone) {
				stay = append(stay, r.Text)
			}
		}
		var have []string
		for _, r := range now.Rules {
			have = append(have, r.Text)
		}
		if diff := cmp.Diff(stay, have, equal); diff != "" {
			t.Fatalf("deleting %q (-want +got):\n%s", gone, diff)
		}
	})
}

// TestRandomDocuments edits documents of every look: unknown fields everywhere,
// keys that are there twice, escapes, odd white space.
func TestRandomDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []string
		var foreign []string
		n := rapid.IntRange(0, 8).Draw(t, "rules")
		blank := func() string { return rapid.SampledFrom([]string{"", " ", "\n", "\t\r\n  "}).Draw(t, "blank") }
		junk := func() string {
			return rapid.SampledFrom([]string{`null`, `{"a":1,"a":[2,{"A":-1.50e+3}]}`, `"\u0000\ud83d\ude00\/é"`, `[[],{ },"" ]`, `1E400`}).Draw(t, "junk")
		}
		for i := range n {
			name, ours := fmt.Sprintf("rule-%d", i), rapid.Bool().Draw(t, "ours")
			if ours {
				name = fmt.Sprintf("sesame-main-%d", i)
			}
			r := strings.ReplaceAll(rule(name, "zone", junk(), "Zone", junk()), `,"`, blank()+","+blank()+`"`)
			items = append(items, blank()+r+blank())
			if !ours {
				foreign = append(foreign, r)
			}
		}
		text := strings.ReplaceAll(strings.Replace(document(), `"securityRules":[]`, `"`+rapid.SampledFrom([]string{"securityRules", `security\u0052ules`}).Draw(t, "key")+`":[`+strings.Join(items, ",")+blank()+`]`, 1), `"resourceGuid"`, `"future":`+junk()+`,"resourceGuid"`)
		head, tail := text[:strings.Index(text, "Rules\":[")+8], text[strings.Index(text, `,"defaultSecurityRules"`):]
		if strings.Contains(text, `security\u0052ules`) {
			head = text[:strings.Index(text, "ules\":[")+7]
		}
		now := text
		for range rapid.IntRange(1, 4).Draw(t, "edits") {
			var edits []resource.Edit
			for i := range n + 2 {
				name := fmt.Sprintf("sesame-main-%d", i)
				switch rapid.IntRange(0, 2).Draw(t, "edit") {
				case 0:
					edits = append(edits, resource.Delete(name))
				case 1:
					edits = append(edits, resource.Put(resource.Rule{Name: name, Action: firewall.Allow, Protocol: "tcp", Priority: 100 + i}))
				}
			}
			g, err := resource.Parse([]byte(now))
			if err != nil {
				t.Fatal(err)
			}
			if now, err = g.Edit("sesame-main-", edits...); err != nil {
				t.Fatal(err)
			}
			read, err := resource.Parse([]byte(now))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(read.Rules, g.After(edits...), equal); diff != "" {
				t.Fatalf("the edits were to lead to (-read +foretold):\n%s", diff)
			}
		}
		if !strings.HasPrefix(now, head) || !strings.HasSuffix(now, tail) {
			t.Fatalf("what is around the rules changed, from\n%s\nto\n%s", text, now)
		}
		g, err := resource.Parse([]byte(now))
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, r := range g.Rules {
			if !strings.HasPrefix(r.Name, "sesame-") {
				left = append(left, r.Text)
			}
		}
		if diff := cmp.Diff(foreign, left, equal); diff != "" {
			t.Fatalf("foreign rules (-want +got):\n%s", diff)
		}
	})
}
