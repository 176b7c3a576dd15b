package estate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// mostPages is how many pages a list may have.
const mostPages = 100_000

// A list is documents that are read together, page by page.
type list struct {
	call         string // what people call it
	subscription string
	use          use
	first        request
	shape        shape
	// under is the id of the one document that is made of a list that is no list of
	// resources.
	under string
}

// name tells lists apart. Ids in it know no case.
func (l list) name() string { return strings.ToLower(l.call) }

// A shape is how a list is answered.
type shape uint8

const (
	resources shape = iota // pages of documents
	result                 // pages of one reply, asked for with tokens
	single                 // one document
)

// A reply is what a list held, by id in lower case; err says why that is not all.
type reply struct {
	list

	documents map[string]document
	err       error
}

// listsOf returns the lists of a subscription.
func (r *Reader) listsOf(subscription string) []list {
	var out []list
	for _, k := range listed() {
		out = append(out, list{
			call: "the " + k.call + " of subscription " + subscription, subscription: subscription, use: k.use,
			first: request{subscription: subscription, address: r.address("/subscriptions/"+subscription+"/providers/"+k.name, k.version, k.query...)},
		})
	}
	return out
}

// more returns the lists that documents call for, of those that were not asked for
// yet.
func (r *Reader) more(documents []document, asked map[string]bool) []list {
	var out []list
	add := func(id, rest, call string, u use, s shape) {
		l := list{call: call + " " + id, subscription: subscriptionOf(id), use: u, shape: s, under: id + rest}
		l.first = request{subscription: l.subscription, address: r.address(id+rest, networkVersion)}
		if s == result {
			l.first.body = struct{}{}
		}
		if name := strings.ToLower(l.under); !asked[name] {
			asked[name] = true
			out = append(out, l)
		}
	}
	for _, d := range documents {
		switch typeOf(d.id) {
		case "microsoft.network/virtualnetworks":
			add(d.id, topology.AdminRules, "the security admin rules of", named, result)
		case strings.ToLower(policyType):
			add(d.id, "/ruleCollectionGroups", "the rule collection groups of", leading, resources)
			if parent := parentOf(d.text); parent != "" {
				add(parent, "", "the parent", named, single)
			}
		}
	}
	return out
}

// parentOf returns the id of a policy's parent.
func parentOf(text json.RawMessage) string {
	var d struct {
		Properties struct{ BasePolicy struct{ ID string } }
	}
	if json.Unmarshal(text, &d) != nil {
		return "" // package topology says so
	}
	id := d.Properties.BasePolicy.ID
	if subscriptionOf(id) == "" || typeOf(id) != strings.ToLower(policyType) {
		return ""
	}
	return id
}

// read reads a list to its end.
func (r *Reader) read(ctx context.Context, l list) reply {
	out := reply{list: l, documents: map[string]document{}}
	next, seen := l.first, map[string]bool{}
	var parts []json.RawMessage
	for n := 0; ; n++ {
		text, err := r.ask(ctx, next)
		if n == 0 && l.shape == resources && unregistered(err) {
			return out
		}
		if err != nil {
			out.err = err
			return out
		}
		items, more, err := l.page(text)
		if err != nil {
			out.err = err
			return out
		}
		for _, d := range items.documents {
			out.documents[strings.ToLower(d.id)] = d
		}
		parts = append(parts, items.parts...)
		r.tell(l.call, len(items.documents)+len(items.parts))
		if more == "" {
			break
		}
		if seen[more] || n >= mostPages {
			out.err = errors.New("its pages do not come to an end")
			return out
		}
		seen[more] = true
		if next, out.err = r.after(l, more); out.err != nil {
			return out
		}
	}
	if l.shape == result {
		text, err := json.Marshal(map[string]any{"value": slices.Concat([]json.RawMessage{}, parts)})
		if err != nil {
			out.err = fmt.Errorf("join the pages: %w", err)
			return out
		}
		out.documents[strings.ToLower(l.under)] = document{id: l.under, text: text}
	}
	return out
}

// after returns the call for the page after this one.
func (r *Reader) after(l list, more string) (request, error) {
	next := l.first
	if l.shape == result {
		next.body = struct {
			SkipToken string `json:"skipToken"`
		}{more}
		return next, nil
	}
	var err error
	next.address, err = r.here(more)
	return next, err
}

// A part is the elements of one page.
type part struct {
	documents []document
	parts     []json.RawMessage // of a reply that is one document
}

// page reads one answer, and returns where the next page is.
func (l list) page(text []byte) (part, string, error) {
	switch l.shape {
	case single:
		if id, err := idOf(text); err != nil || !strings.EqualFold(id, l.under) {
			return part{}, "", fmt.Errorf("the answer is about %s", errkind.Quote(id))
		}
		return part{documents: []document{{id: l.under, text: text}}}, "", nil
	case result:
		items, next, err := listing(text)
		if err != nil {
			return part{}, "", fmt.Errorf("read a page: %w", err)
		}
		return part{parts: items}, next, nil
	case resources:
	}
	p, err := readPage(text)
	return part{documents: p.documents}, p.next, err
}

// sorted returns documents in the order of their ids.
func sorted(documents map[string]document) []document {
	var out []document
	for _, id := range slices.Sorted(maps.Keys(documents)) {
		out = append(out, documents[id])
	}
	return out
}

// subscriptionOf returns the subscription that a resource is in.
func subscriptionOf(id string) string {
	parts := strings.Split(id, "/")
	const name = 2 // /subscriptions/NAME
	if len(parts) <= name || parts[0] != "" || !strings.EqualFold(parts[1], "subscriptions") {
		return ""
	}
	return parts[name]
}

// typeOf returns the full type of a resource, in lower case.
func typeOf(id string) string {
	_, rest, _ := strings.Cut(strings.ToLower(id), "/providers/")
	parts := strings.Split(rest, "/")
	types := parts[:1:1]
	for i := 1; i < len(parts); i += 2 {
		types = append(types, parts[i])
	}
	return strings.Join(types, "/")
}
