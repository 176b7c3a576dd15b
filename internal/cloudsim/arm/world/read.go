package world

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

// serverMembers are those of a resource that only the server writes.
func serverMembers() []string { return []string{"name", "id", "etag", "type"} }

// Read reads what somebody writes under id, judges it, and returns it as it is
// stored. What was read before can be written back.
func (w *World) Read(id ID, k Kind, body []byte) (rawjson.Object, *Problem) {
	o, err := rawjson.Parse(body)
	if err != nil {
		return nil, Refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	if p := sameNames(o, id, k.Type); p != nil {
		return nil, p
	}
	o.Delete(serverMembers()...)
	if !validName(id.Name()) {
		return nil, invalidName(id.Name())
	}
	if p := w.located(id, k, o); p != nil {
		return nil, p
	}
	if k.is(nsgType) && o.Object("properties").Get("securityRules") == nil {
		o = o.With("securityRules", json.RawMessage("[]"))
	}
	if raw := o.Get("properties"); raw != nil {
		properties, err := rawjson.Parse(raw)
		if err != nil {
			return nil, malformed("properties: %s", err)
		}
		properties.Delete("provisioningState", "resourceGuid")
		properties.Delete(k.readOnly...)
		for i, m := range properties {
			if property, ok := k.Embeds(m.Name); ok && property == m.Name {
				items, p := w.readChildren(canonical(id, k), k, property, m.Value)
				if p != nil {
					return nil, p
				}
				properties[i].Value = items
			}
		}
		o.Delete("properties")
		o.Set("properties", properties.Bytes()) // where it is shown
	}
	if p := w.check(id, k, o); p != nil {
		return nil, p
	}
	return o, nil
}

// ReadChild reads what somebody writes under id, a child in property of r, and
// returns the document of r with it, and whether the child is new there.
func (w *World) ReadChild(r *Resource, property string, id ID, body []byte) (rawjson.Object, bool, *Problem) {
	o, err := rawjson.Parse(body)
	if err != nil {
		return nil, false, Refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	if p := sameNames(o, id, r.Kind.Type+"/"+property); p != nil {
		return nil, false, p
	}
	if o.Get("name") == nil {
		o.Set("name", rawjson.Quote(id.Name()))
	}
	text, p := w.readChild(r.ID, r.Kind, property, o.Bytes())
	if p != nil {
		return nil, false, p
	}
	items := r.Text.Object("properties").List(property)
	at := indexOf(items, id.Name())
	created := at < 0
	if created {
		items = append(items, text)
	} else {
		items[at] = text
	}
	out := r.Text.With(property, rawjson.Array(items))
	if p := w.check(r.ID, r.Kind, out); p != nil {
		return nil, false, p
	}
	return out, created, nil
}

// Without returns the document of r without the child in property of the given
// name, and whether there was one.
func (w *World) Without(r *Resource, property, name string) (rawjson.Object, bool) {
	items := r.Text.Object("properties").List(property)
	at := indexOf(items, name)
	if at < 0 {
		return r.Text, false
	}
	return r.Text.With(property, rawjson.Array(slices.Delete(items, at, at+1))), true
}

// Stored returns the child in property of this name as it is stored, nil if
// there is none.
func (r *Resource) Stored(property, name string) json.RawMessage {
	items := r.Text.Object("properties").List(property)
	if at := indexOf(items, name); at >= 0 {
		return items[at]
	}
	return nil
}

// indexOf returns where the child of this name is; names have no case.
func indexOf(items []json.RawMessage, name string) int {
	return slices.IndexFunc(items, func(text json.RawMessage) bool {
		var child struct{ Name string }
		return json.Unmarshal(text, &child) == nil && strings.EqualFold(child.Name, name)
	})
}

func (w *World) readChildren(parent ID, k Kind, property string, list json.RawMessage) (json.RawMessage, *Problem) {
	var items []json.RawMessage
	if json.Unmarshal(list, &items) != nil {
		return nil, malformed("%s is not a list", property)
	}
	var names []string
	for i, text := range items {
		child, p := w.readChild(parent, k, property, text)
		if p != nil {
			return nil, p
		}
		var o struct{ Name string }
		if json.Unmarshal(child, &o) != nil || slices.Contains(names, strings.ToLower(o.Name)) {
			return nil, malformed("%s: the name %q is there twice", property, o.Name)
		}
		names = append(names, strings.ToLower(o.Name))
		items[i] = child
	}
	return rawjson.Array(items), nil
}

func (w *World) readChild(parent ID, k Kind, property string, text json.RawMessage) (json.RawMessage, *Problem) {
	o, err := rawjson.Parse(text)
	if err != nil {
		return nil, malformed("%s: %s", property, err)
	}
	if !validName(o.Text("name")) {
		return nil, invalidName(o.Text("name"))
	}
	if p := sameNames(o, parent.Child(property, o.Text("name")), k.Type+"/"+property); p != nil {
		return nil, p
	}
	// A child is stored in the order in which it is shown: its name first, its
	// properties last.
	name := o.Get("name")
	o.Delete("name", "id", "etag", "type")
	o = append(rawjson.Object{{Name: "name", Value: name}}, o...)
	raw := o.Get("properties")
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	properties, err := rawjson.Parse(raw)
	if err != nil {
		return nil, malformed("%s: properties: %s", property, err)
	}
	properties.Delete("provisioningState")
	if k.is(nsgType) && property == "securityRules" {
		if p := w.checkRule(parent.Child(property, o.Text("name")), properties); p != nil {
			return nil, p
		}
		for _, twin := range []string{"sourcePortRanges", "destinationPortRanges", "sourceAddressPrefixes", "destinationAddressPrefixes"} {
			if properties.Get(twin) == nil {
				properties.Set(twin, json.RawMessage("[]"))
			}
		}
	}
	o.Delete("properties")
	o.Set("properties", properties.Bytes())
	return o.Bytes(), nil
}

// sameNames refuses a document that says that it is another one.
func sameNames(o rawjson.Object, id ID, fullType string) *Problem {
	for name, want := range map[string]string{"name": id.Name(), "id": id.String(), "type": fullType} {
		if got := o.Get(name); got != nil && !strings.EqualFold(o.Text(name), want) {
			return malformed("the document says that its %s is %s; it is written to %s", name, got, want)
		}
	}
	return nil
}

// located judges the location of o, which must be there and stay as it is.
func (w *World) located(id ID, k Kind, o rawjson.Object) *Problem {
	if !k.Located {
		return nil
	}
	location := plainLocation(o.Text("location"))
	if location == "" {
		return Refuse(400, "LocationRequired", "The location property is required for this definition.")
	}
	if old := w.Get(id); old != nil && plainLocation(old.Text.Text("location")) != location {
		return Refuse(409, "InvalidResourceLocation",
			"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.",
			id.Name(), old.Text.Text("location"), id.Group, location)
	}
	return nil
}

// plainLocation returns "westeurope" for "West Europe".
func plainLocation(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

// validName follows the naming rules of network resources, which are the
// strictest of those here.
func validName(s string) bool {
	const word = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
	if s == "" || len(s) > 80 || !strings.Contains(word, s[:1]) || !strings.Contains(word, s[len(s)-1:]) {
		return false
	}
	return strings.Trim(s, word+".-") == ""
}

func invalidName(s string) *Problem {
	return Refuse(400, "InvalidResourceName",
		"Resource name %s is invalid. The name can be up to 80 characters long. It must begin with a word character, and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.", s)
}
