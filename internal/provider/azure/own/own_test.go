package own_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/own"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

const (
	home = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/"
	nic  = "/subscriptions/s/resourcegroups/rg/providers/microsoft.network/networkinterfaces/"
)

// world is an estate of one machine with one interface, with other members of its IP
// configuration, of the subnet and of the interface.
func world(name, configuration, subnet, properties string) (t *topology.Estate, document func(string) json.RawMessage) {
	docs := map[string]json.RawMessage{
		home + "virtualNetworks/net": json.RawMessage(`{"properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},
			"subnets":[{"id":"` + home + `virtualNetworks/net/subnets/a","name":"a","properties":{` + subnet + `"addressPrefix":"10.0.0.0/24"}}]}}`),
		home + "publicIPAddresses/standard": json.RawMessage(`{"sku":{"name":"Standard"},"properties":{"ipAddress":"20.0.0.1"}}`),
		home + "publicIPAddresses/basic":    json.RawMessage(`{"sku":{"name":"Basic"},"properties":{"ipAddress":"20.0.0.2"}}`),
		home + "networkInterfaces/" + name: json.RawMessage(`{"location":"westeurope","properties":{` + properties + `"virtualMachine":{"id":"/vm/web"},
			"ipConfigurations":[{"id":"` + home + `networkInterfaces/` + name + `/ipConfigurations/one","properties":{` + configuration + `
			"privateIPAddress":"10.0.0.4","subnet":{"id":"` + home + `virtualNetworks/net/subnets/a"}}}]}}`),
	}
	return topology.Read(docs), func(id string) json.RawMessage {
		for key, text := range docs {
			if strings.EqualFold(key, id) {
				return text
			}
		}
		return nil
	}
}

func TestWhereAGroupMayBe(t *testing.T) {
	group := func(name string) string {
		return `"networkSecurityGroup":{"id":"` + home + `networkSecurityGroups/` + name + `"},`
	}
	long := strings.Repeat("n", 80)
	for name, x := range map[string]struct {
		nic, configuration, subnet, properties string
		more                                   bool
		want                                   string
		there                                  bool
	}{
		"no group at all":           {"Web", "", "", "", true, "sesame-main-nic-web", false},
		"nobody asked":              {"web", "", "", "", false, "", false},
		"it is there":               {"web", "", "", group("Sesame-main-nic-web"), false, "sesame-main-nic-web", true},
		"there is another":          {"web", "", "", group("web"), true, "", false},
		"another installation's":    {"web", "", "", group("sesame-b-nic-web"), true, "", false},
		"the subnet has one":        {"web", "", group("web"), "", true, "", false},
		"a basic public address":    {"web", `"publicIPAddress":{"id":"` + home + `publicIPAddresses/basic"},`, "", "", true, "sesame-main-nic-web", false},
		"a standard public address": {"web", `"publicIPAddress":{"id":"` + home + `publicIPAddresses/standard"},`, "", "", true, "", false},
		"one that was not read":     {"web", `"publicIPAddress":{"id":"` + home + `publicIPAddresses/x"},`, "", "", true, "", false},
		"a pool":                    {"web", `"loadBalancerBackendAddressPools":[{"id":"/lb/pool"}],`, "", "", true, "", false},
		"translations":              {"web", `"loadBalancerInboundNatRules":[{"id":"/lb/nat"}],`, "", "", true, "", false},
		"a long name":               {long, "", "", "", true, "sesame-main-nic-" + long[:48] + "-", false},
	} {
		topo, document := world(x.nic, x.configuration, x.subnet, x.properties)
		groups := own.Into(topo, document, "main", x.more)
		if len(groups) == 0 && x.want == "" {
			continue
		}
		for id, g := range groups {
			called := string(id)[strings.LastIndexByte(string(id), '/')+1:]
			if x.want == "" || !strings.HasPrefix(called, x.want) || len(called) > 80 || g.There != x.there {
				t.Errorf("%s: it gets %+v", name, g)
			}
			if topo.NICs[g.Interface].Group != string(id) || !g.There && len(topo.Groups[string(id)]) != 4 {
				t.Errorf("%s: the estate does not show it: %v", name, topo.Groups)
			}
			read, err := resource.Parse([]byte(g.Text))
			if err != nil || !own.Bare(read) || !strings.Contains(g.Text, `"location":"westeurope"`) {
				t.Errorf("%s: it is %s, %v", name, g.Text, err)
			}
		}
		if len(groups) != 1 {
			t.Errorf("%s: there are %d", name, len(groups))
		}
	}
}

func TestVacant(t *testing.T) {
	topo, document := world("web", "", "", "")
	var text string
	for _, g := range own.Into(topo, document, "main", true) {
		text = g.Text
	}
	add := func(name string) string {
		return strings.Replace(text, `"securityRules":[`, `"securityRules":[{"name":"`+name+`","properties":{}},`, 1)
	}
	for document, want := range map[string]string{
		text:                    "",
		add("sesame-main-lock"): "",
		add("sesame-b-lock"):    "with the rule sesame-b-lock of somebody else's",
		add("web"):              "with the rule web of somebody else's",
		strings.Replace(text, `"properties":{`, `"properties":{"subnets":[{"id":"/s"}],`, 1): "in front of somebody else",
		"{}": "it has no id",
	} {
		err := own.Vacant([]byte(document), "main")
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", document, err, want)
		}
		if g, err := resource.Parse([]byte(document)); err == nil && own.Bare(g) != (len(g.Rules) == 2) {
			t.Errorf("%s: nothing is in it: %v", document, own.Bare(g))
		}
	}
}

// An interface is written as it was read, but for its group.
func TestInterface(t *testing.T) {
	for before, want := range map[string]string{
		`{"etag":"1", "properties": { "a" : [1] }}`:                                          `{"etag":"1", "properties": {"networkSecurityGroup":{"id":"/g"}, "a" : [1] }}`,
		`{"etag":"1","properties":{}}`:                                                       `{"etag":"1","properties":{"networkSecurityGroup":{"id":"/g"}}}`,
		`{"etag":"1","properties":{"networkSecurityGroup":{"id":"/h","x":1},"z":null}}`:      `{"etag":"1","properties":{"networkSecurityGroup":{"id":"/g"},"z":null}}`,
		`{"etag":"1","properties":{"a":1, "NetworkSecurityGroup" : {"id":"/h"} , "z":null}}`: `{"etag":"1","properties":{"a":1, "NetworkSecurityGroup" : {"id":"/g"} , "z":null}}`,
	} {
		n, err := own.ReadInterface([]byte(before))
		if err != nil {
			t.Fatal(err)
		}
		with, err := n.With("/g")
		if diff := cmp.Diff(want, with); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", before, err, diff)
		}
		if n, err = own.ReadInterface([]byte(with)); err != nil || n.Group != "/g" {
			t.Errorf("%s: its group is %q, %v", with, n.Group, err)
		}
		without, err := n.With("")
		n, again := own.ReadInterface([]byte(without))
		if err != nil || again != nil || n.Group != "" {
			t.Errorf("%s: without it %s, %v, %v", with, without, err, again)
		}
	}
	for _, text := range []string{`{}`, `[]`, `{"properties":{}}`} {
		if _, err := own.ReadInterface([]byte(text)); err == nil {
			t.Errorf("%s is an interface", text)
		}
	}
	n, err := own.ReadInterface([]byte(`{"etag":"1","properties":{"networkSecurityGroup":{"id":"/a"},"networksecuritygroup":{"id":"/b"}}}`))
	if err == nil {
		if with, err := n.With("/g"); err == nil {
			t.Errorf("which of two is meant nobody knows, and it becomes %s", with)
		}
	}
}
