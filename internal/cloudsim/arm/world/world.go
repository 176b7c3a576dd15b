package world

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

// A World is everything in the simulated subscriptions. It is not safe for
// concurrent use.
type World struct {
	// AdminRules are the effective security admin rules of virtual networks, by
	// the key of the network: the elements of the listing's value.
	AdminRules map[string][]json.RawMessage

	subscriptions []Subscription
	resources     map[string]*Resource // by key
	order         map[string][]string  // keys by lower-case type, sorted
	referrers     map[string][]reference
}

// A Subscription is one of the tenant's.
type Subscription struct {
	ID, Name, Tenant string
	// ManagementGroup is the name of the group that it is in.
	ManagementGroup string
}

// A Resource is one document.
type Resource struct {
	ID   ID
	Kind Kind
	// Text is what is shown, less what the server adds; nil while the resource
	// is only remembered because packets still meet it.
	Text rawjson.Object
	// Live is what packets meet; nil for nothing.
	Live rawjson.Object
	// State is the provisioning state.
	State string
	// Version is raised by every change, and by the end of every operation.
	Version int
	// Power is the power state of a virtual machine, such as running.
	Power string

	mentions []Mention // of Text
}

// A reference is how one document mentions another.
type reference struct {
	from     ID     // the resource, or the child, that mentions
	resource string // key of the resource
	member   string // name of the member that mentions, such as networkSecurityGroup
}

// New returns an empty world.
func New() *World {
	return &World{
		AdminRules: map[string][]json.RawMessage{}, subscriptions: nil, resources: map[string]*Resource{},
		order: map[string][]string{}, referrers: map[string][]reference{},
	}
}

// AddSubscription adds a subscription.
func (w *World) AddSubscription(s Subscription) { w.subscriptions = append(w.subscriptions, s) }

// Subscriptions returns the subscriptions, in the order in which they came.
func (w *World) Subscriptions() []Subscription { return w.subscriptions }

// Subscription returns the subscription with this id.
func (w *World) Subscription(id string) (Subscription, bool) {
	for _, s := range w.subscriptions {
		if strings.EqualFold(s.ID, id) {
			return s, true
		}
	}
	return Subscription{}, false
}

// Get returns the resource with this id, nil if none is shown.
func (w *World) Get(id ID) *Resource {
	r := w.resources[id.Key()]
	if r == nil || r.Text == nil {
		return nil
	}
	return r
}

// Page returns at most resources of a type whose keys begin with prefix and
// follow after, and whether there are more.
func (w *World) Page(fullType, prefix, after string, most int) ([]*Resource, bool) {
	keys := w.order[strings.ToLower(fullType)]
	at, found := slices.BinarySearch(keys, max(prefix, after))
	if found && after >= prefix {
		at++
	}
	var out []*Resource
	for ; at < len(keys) && strings.HasPrefix(keys[at], prefix); at++ {
		r := w.resources[keys[at]]
		if r.Text == nil {
			continue
		}
		if len(out) == most {
			return out, true
		}
		out = append(out, r)
	}
	return out, false
}

// Store shows text under id.
func (w *World) Store(id ID, k Kind, text rawjson.Object, state string) *Resource {
	key := id.Key()
	r := w.resources[key]
	if r == nil {
		r = &Resource{ID: canonical(id, k), Kind: k, Text: nil, Live: nil, State: "", Version: 0, Power: "", mentions: nil}
		w.resources[key] = r
		keys := w.order[strings.ToLower(k.Type)]
		at, _ := slices.BinarySearch(keys, key)
		w.order[strings.ToLower(k.Type)] = slices.Insert(keys, at, key)
	}
	w.forget(r)
	r.Text, r.State = text, state
	r.Version++
	w.remember(r)
	return r
}

// Settle makes live what is shown of r, and ends its operation in state.
func (w *World) Settle(r *Resource, state string) {
	r.Live, r.State = r.Text, state
	r.Version++
}

// Remove takes r away, for readers and for packets.
func (w *World) Remove(r *Resource) {
	w.forget(r)
	key, kind := r.ID.Key(), strings.ToLower(r.Kind.Type)
	delete(w.resources, key)
	if at, found := slices.BinarySearch(w.order[kind], key); found {
		w.order[kind] = slices.Delete(w.order[kind], at, at+1)
	}
}

// Live returns the documents that packets meet, by id: everything but virtual
// machines, which are behind their interfaces, and resource groups.
func (w *World) Live() map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(w.resources))
	for _, r := range w.resources {
		if r.Live != nil && !r.Kind.is(machineType) && !r.Kind.is(groupType) {
			out[r.ID.String()] = w.render(r, r.Live)
		}
	}
	for key, rules := range w.AdminRules {
		if r := w.resources[key]; r != nil {
			o := rawjson.Object{{Name: "value", Value: rawjson.Array(rules)}}
			out[r.ID.String()+topology.AdminRules] = o.Bytes()
		}
	}
	return out
}

// remember notes what r mentions.
func (w *World) remember(r *Resource) {
	r.mentions = mentions(r)
	for _, m := range r.mentions {
		key := strings.ToLower(m.Target)
		w.referrers[key] = append(w.referrers[key], reference{from: m.From, resource: r.ID.Key(), member: m.Member})
	}
}

// forget takes back what remember noted.
func (w *World) forget(r *Resource) {
	for _, m := range r.mentions {
		key := strings.ToLower(m.Target)
		w.referrers[key] = slices.DeleteFunc(w.referrers[key], func(x reference) bool { return x.resource == r.ID.Key() })
	}
}

// A Mention is one {"id": ...} in a document.
type Mention struct {
	From   ID     // the resource, or the child of it, that mentions
	Member string // name of the member that has it, such as networkSecurityGroup
	Target string // id
}

// Mentions returns what the document text of a resource mentions.
func Mentions(id ID, k Kind, text rawjson.Object) []Mention {
	return mentions(&Resource{ID: canonical(id, k), Kind: k, Text: text, Live: nil, State: "", Version: 0, Power: "", mentions: nil})
}

func mentions(r *Resource) []Mention {
	var out []Mention
	for _, m := range r.Text.Object("properties") {
		property, embedded := r.Kind.Embeds(m.Name)
		if !mayMention(m.Value) {
			continue
		}
		var items []json.RawMessage
		if !embedded || json.Unmarshal(m.Value, &items) != nil {
			out = append(out, mentioned(r.ID, m.Name, m.Value)...)
			continue
		}
		for _, text := range items {
			var child struct{ Name string }
			if mayMention(text) && json.Unmarshal(text, &child) == nil {
				out = append(out, mentioned(r.ID.Child(property, child.Name), property, text)...)
			}
		}
	}
	return out
}

// mayMention saves looking into what has no id at all, as most rules.
func mayMention(text json.RawMessage) bool { return bytes.Contains(text, []byte(`"id"`)) }

// mentioned returns what one value mentions, which is what member of from has.
func mentioned(from ID, member string, text json.RawMessage) []Mention {
	var out []Mention
	var walk func(member string, v any)
	walk = func(member string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if id, ok := v["id"].(string); ok && strings.HasPrefix(id, "/") {
				out = append(out, Mention{From: from, Member: member, Target: id})
			}
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(name, v[name])
			}
		case []any:
			for _, x := range v {
				walk(member, x)
			}
		}
	}
	var v any
	if json.Unmarshal(text, &v) == nil {
		walk(member, v)
	}
	return out
}

// guid returns a GUID that depends on nothing but its argument.
func guid(of ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	h := hex.EncodeToString(sum[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// ETag returns the entity tag of r, which its children share.
func (r *Resource) ETag() string {
	return `W/"` + guid("etag", r.ID.Key(), strconv.Itoa(r.Version)) + `"`
}
