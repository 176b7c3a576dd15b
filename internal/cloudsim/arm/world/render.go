package world

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

// Render returns r as it is shown.
func (w *World) Render(r *Resource) json.RawMessage { return w.render(r, r.Text) }

// render puts what the server adds around text: first, in Azure's order, what
// names the resource, then what was written.
func (w *World) render(r *Resource, text rawjson.Object) json.RawMessage {
	out := rawjson.Object{
		{Name: "name", Value: rawjson.Quote(r.ID.Name())},
		{Name: "id", Value: rawjson.Quote(r.ID.String())},
	}
	etag := ""
	if r.Kind.inNetwork() {
		etag = r.ETag()
		out.Set("etag", rawjson.Quote(etag))
	}
	out.Set("type", rawjson.Quote(r.Kind.Type))
	for _, m := range text {
		if m.Name != "properties" {
			out = append(out, m)
		}
	}
	properties := rawjson.Object{{Name: "provisioningState", Value: rawjson.Quote(r.State)}}
	if r.Kind.inNetwork() && r.Kind.Located {
		properties.Set("resourceGuid", rawjson.Quote(guid("resource", r.ID.Key())))
	}
	if r.Kind.is(machineType) {
		properties.Set("vmId", rawjson.Quote(guid("machine", r.ID.Key())))
	}
	for _, m := range text.Object("properties") {
		if property, ok := r.Kind.Embeds(m.Name); ok && property == m.Name {
			m.Value = renderChildren(r, property, m.Value, etag)
		}
		properties = append(properties, m)
	}
	for _, m := range w.projected(r, etag) {
		properties.Set(m.Name, m.Value)
	}
	out.Set("properties", properties.Bytes())
	return out.Bytes()
}

func renderChildren(r *Resource, property string, list json.RawMessage, etag string) json.RawMessage {
	var items []json.RawMessage
	if json.Unmarshal(list, &items) != nil {
		return list
	}
	for i, text := range items {
		o, err := rawjson.Parse(text)
		if err == nil {
			items[i] = renderChild(r.ID.Child(property, o.Text("name")), r.Kind.Type+"/"+property, o, etag, r.State)
		}
	}
	return rawjson.Array(items)
}

func renderChild(id ID, fullType string, text rawjson.Object, etag, state string) json.RawMessage {
	out := rawjson.Object{
		{Name: "name", Value: rawjson.Quote(id.Name())},
		{Name: "id", Value: rawjson.Quote(id.String())},
		{Name: "etag", Value: rawjson.Quote(etag)},
		{Name: "type", Value: rawjson.Quote(fullType)},
	}
	for _, m := range text {
		if m.Name != "name" && m.Name != "properties" {
			out = append(out, m)
		}
	}
	properties := append(rawjson.Object{{Name: "provisioningState", Value: rawjson.Quote(state)}}, text.Object("properties")...)
	out.Set("properties", properties.Bytes())
	return out.Bytes()
}

// Child returns the embedded child of r with this id as it is shown.
func (w *World) Child(r *Resource, id ID) (json.RawMessage, bool) {
	var shown struct {
		Properties map[string]json.RawMessage
	}
	if json.Unmarshal(w.Render(r), &shown) != nil {
		return nil, false
	}
	kind, name := id.Types[len(id.Types)-1], id.Name()
	for property, list := range shown.Properties {
		if !strings.EqualFold(property, kind) {
			continue
		}
		var items []json.RawMessage
		if json.Unmarshal(list, &items) != nil {
			return nil, false
		}
		for _, text := range items {
			var child struct{ Name string }
			if json.Unmarshal(text, &child) == nil && strings.EqualFold(child.Name, name) {
				return text, true
			}
		}
	}
	return nil, false
}

// projected returns the properties of r that are other documents' doing.
func (w *World) projected(r *Resource, etag string) rawjson.Object {
	var out rawjson.Object
	switch {
	case r.Kind.is(nsgType):
		out.Set("defaultSecurityRules", defaultRules(r, etag))
		w.project(&out, r, "networkInterfaces", "networkSecurityGroup", interfaceType)
		w.project(&out, r, "subnets", "networkSecurityGroup", networkType+"/subnets")
	case r.Kind.is(tableType):
		w.project(&out, r, "subnets", "routeTable", networkType+"/subnets")
	case r.Kind.is("Microsoft.Network/firewallPolicies"):
		w.project(&out, r, "firewalls", "firewallPolicy", "Microsoft.Network/azureFirewalls")
		w.project(&out, r, "childPolicies", "basePolicy", r.Kind.Type)
		groups, _ := w.Page(r.Kind.Type+"/ruleCollectionGroups", r.ID.Key()+"/", "", 1000)
		var ids []json.RawMessage
		for _, g := range groups {
			ids = append(ids, pointer(g.ID.String()))
		}
		out.Set("ruleCollectionGroups", rawjson.Array(ids))
	case r.Kind.is(publicType):
		for _, x := range w.referrers[r.ID.Key()] {
			if x.member == "publicIPAddress" {
				out.Set("ipConfiguration", pointer(x.from.String()))
			}
		}
	case r.Kind.is(interfaceType):
		for _, x := range w.referrers[r.ID.Key()] {
			if x.member == "networkInterfaces" && strings.EqualFold(x.from.Type(), machineType) {
				out.Set("virtualMachine", pointer(x.from.String()))
			}
		}
	}
	return out
}

// project sets name to who mentions r in member, of those of the given type, and
// leaves it out where nobody does, as Azure does.
func (w *World) project(out *rawjson.Object, r *Resource, name, member, fullType string) {
	var ids []string
	for _, x := range w.referrers[r.ID.Key()] {
		if x.member == member && strings.EqualFold(x.from.Type(), fullType) {
			ids = append(ids, x.from.String())
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	var items []json.RawMessage
	for _, id := range slices.Compact(ids) {
		items = append(items, pointer(id))
	}
	out.Set(name, rawjson.Array(items))
}

func pointer(id string) json.RawMessage {
	return rawjson.Object{{Name: "id", Value: rawjson.Quote(id)}}.Bytes()
}

// defaultRules returns the six rules that every network security group has, as
// they were recorded.
func defaultRules(r *Resource, etag string) json.RawMessage {
	var items []json.RawMessage
	for _, d := range []struct{ name, description, from, to, access, priority, direction string }{
		{"AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", "VirtualNetwork", "VirtualNetwork", "Allow", "65000", "Inbound"},
		{"AllowAzureLoadBalancerInBound", "Allow inbound traffic from azure load balancer", "AzureLoadBalancer", "*", "Allow", "65001", "Inbound"},
		{"DenyAllInBound", "Deny all inbound traffic", "*", "*", "Deny", "65500", "Inbound"},
		{"AllowVnetOutBound", "Allow outbound traffic from all VMs to all VMs in VNET", "VirtualNetwork", "VirtualNetwork", "Allow", "65000", "Outbound"},
		{"AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "*", "Internet", "Allow", "65001", "Outbound"},
		{"DenyAllOutBound", "Deny all outbound traffic", "*", "*", "Deny", "65500", "Outbound"},
	} {
		text := rawjson.Object{{Name: "properties", Value: json.RawMessage(fmt.Sprintf(
			`{"description":%q,"protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":%q,"destinationAddressPrefix":%q,"access":%q,"priority":%s,"direction":%q,"sourcePortRanges":[],"destinationPortRanges":[],"sourceAddressPrefixes":[],"destinationAddressPrefixes":[]}`,
			d.description, d.from, d.to, d.access, d.priority, d.direction))}}
		items = append(items, renderChild(r.ID.Child("defaultSecurityRules", d.name), nsgType+"/defaultSecurityRules", text, etag, r.State))
	}
	return rawjson.Array(items)
}
