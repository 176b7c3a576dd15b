package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

const base = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/"

func id(t testing.TB, text string) ID {
	t.Helper()
	out, err := ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// anything draws a JSON value that no server knows, spaces and all.
func anything() *rapid.Generator[json.RawMessage] {
	return rapid.Custom(func(t *rapid.T) json.RawMessage {
		texts := []string{`1e2`, `null`, `{"a": [1,  2.50]}`, `"\u0041"`, `[ ]`, `{"id":"not a path"}`, `true`}
		return json.RawMessage(rapid.SampledFrom(texts).Draw(t, "value"))
	})
}

// strange puts members that nobody knows between those of o.
func strange(t *rapid.T, o rawjson.Object) rawjson.Object {
	var out rawjson.Object
	for i, m := range o {
		if rapid.Bool().Draw(t, "strange") {
			out = append(out, rawjson.Member{Name: fmt.Sprintf("x%d", i), Value: anything().Draw(t, "unknown")})
		}
		out = append(out, m)
	}
	return out
}

func ruleOf(t *rapid.T, i int) json.RawMessage {
	text := func(name string, of ...string) rawjson.Member {
		return rawjson.Member{Name: name, Value: rawjson.Quote(rapid.SampledFrom(of).Draw(t, name))}
	}
	properties := rawjson.Object{
		text("protocol", "Tcp", "TCP", "*", "udp"), text("access", "Allow", "Deny", "deny"), text("direction", "Inbound", "Outbound"),
		{Name: "priority", Value: json.RawMessage(fmt.Sprint(100 + i))},
		text("sourcePortRange", "*", "1-5"), text("destinationPortRange", "22", "*"),
		text("sourceAddressPrefix", "*", "Internet", "10.0.0.0/8"), text("destinationAddressPrefix", "*", "10.0.0.4"),
	}
	if rapid.Bool().Draw(t, "echoed") {
		properties.Set("sourcePortRanges", json.RawMessage("[]"))
	}
	o := rawjson.Object{
		{Name: "name", Value: rawjson.Quote(fmt.Sprintf("r%d", i))},
		{Name: "properties", Value: strange(t, properties).Bytes()},
	}
	return strange(t, o).Bytes()
}

// What is shown can be written back, and nothing changes: not the stored
// document, and no foreign byte when one rule is written or deleted beside.
func TestWritingBackChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, k := New(), kinds()[2]
		nsg, err := ParseID(base + "networkSecurityGroups/n")
		if err != nil || !k.is(nsgType) {
			t.Fatal(err, k)
		}
		var rules []json.RawMessage
		for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
			rules = append(rules, ruleOf(t, i))
		}
		properties := strange(t, rawjson.Object{{Name: "securityRules", Value: rawjson.Array(rules)}})
		body := strange(t, rawjson.Object{{Name: "location", Value: rawjson.Quote("westeurope")}, {Name: "properties", Value: properties.Bytes()}})
		text, p := w.Read(nsg, k, body.Bytes())
		if p != nil {
			t.Fatalf("%s is refused: %v", body.Bytes(), p)
		}
		r := w.Store(nsg, k, text, "Succeeded")
		again, p := w.Read(nsg, k, w.Render(r))
		if p != nil || !bytes.Equal(again.Bytes(), text.Bytes()) {
			t.Fatalf("%s\nbecame\n%s (%v)", text.Bytes(), again.Bytes(), p)
		}
		child := nsg.Child("securityRules", "mine")
		with, created, p := w.ReadChild(r, "securityRules", child, []byte(strings.ReplaceAll(string(ruleOf(t, 50)), `"name":"r50"`, `"name":"mine"`)))
		if p != nil || !created {
			t.Fatal(p, created)
		}
		r = w.Store(nsg, k, with, "Succeeded")
		for i := range rules {
			name := fmt.Sprintf("R%d", i)
			before := (&Resource{ID: nsg, Kind: k, Text: text}).Stored("securityRules", name)
			if !bytes.Equal(before, r.Stored("securityRules", name)) {
				t.Fatalf("rule %s changed", name)
			}
		}
		without, found := w.Without(r, "securityRules", "MINE")
		if !found || !bytes.Equal(without.Bytes(), text.Bytes()) {
			t.Fatalf("%s\nbecame\n%s", text.Bytes(), without.Bytes())
		}
	})
}

func TestIDs(t *testing.T) {
	for text, want := range map[string]string{
		"/subscriptions/s":                             "Microsoft.Resources/subscriptions s",
		"/subscriptions/s/resourcegroups/g/":           groupType + " g",
		base + "virtualNetworks/v":                     "Microsoft.Network/virtualNetworks v",
		base + "virtualNetworks/v/subnets/a":           "Microsoft.Network/virtualNetworks/subnets a",
		"/subscriptions/s/providers/N/locations/l/x/y": "N/locations/x y",
		"": "", "subscriptions/s": "", "/subscriptions/": "", base: "", base + "virtualNetworks": "", "/subscriptions/s//x": "", "/x/s": "",
		"/subscriptions/s/resourceGroups/g/elsewhere/a/b/c": "",
	} {
		got, err := ParseID(text)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is read as %v", text, got)
		case want != "" && (err != nil || got.Type()+" "+got.Name() != want):
			t.Errorf("%q is %s %s (%v), want %s", text, got.Type(), got.Name(), err, want)
		}
	}
	child := id(t, base+"virtualNetworks/v/subnets/a")
	if parent := child.Parent(); parent.String() != base+"virtualNetworks/v" || parent.Child("subnets", "b").Name() != "b" || child.Name() != "a" || parent.Parent().String() != "/subscriptions/s/resourceGroups/g" {
		t.Errorf("%v and its parents", child)
	}
}

// Names and pages: a group is not mistaken for one whose name begins like it.
func TestPageStopsAtItsScope(t *testing.T) {
	w := New()
	k, _ := KindOf("microsoft.network/applicationsecuritygroups")
	for _, g := range []string{"g", "g2", "f"} {
		for i := range 3 {
			text := strings.Replace(base, "/g/", "/"+g+"/", 1) + fmt.Sprintf("applicationSecurityGroups/a%d", i)
			w.Store(id(t, text), k, rawjson.Object{{Name: "location", Value: rawjson.Quote("x")}}, "Succeeded")
		}
	}
	page, more := w.Page(k.Type, "/subscriptions/s/resourcegroups/g/", "", 2)
	if len(page) != 2 || !more {
		t.Fatalf("%d elements, more: %v", len(page), more)
	}
	page, more = w.Page(k.Type, "/subscriptions/s/resourcegroups/g/", page[1].ID.Key(), 2)
	if len(page) != 1 || more || page[0].ID.Name() != "a2" {
		t.Fatalf("then %v, more: %v", page, more)
	}
}
