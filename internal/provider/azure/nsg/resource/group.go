package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Group is a network security group as it was read. It does not change.
type Group struct {
	// ID is the group's id, in lower case.
	ID firewall.ID
	// ETag is what a conditional write names. It changes with everything, the end
	// of a write included, so that it is good only when State is "Succeeded".
	ETag  string
	State string
	// Rules are in the order of the document, which means nothing.
	Rules []Rule

	text  string
	list  span   // of the array of rules
	items []span // of each rule
}

// Parse reads a group. The error is for a text that is no group, or one of which
// not even the list of rules is certain.
func Parse(text []byte) (*Group, error) {
	g, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read a network security group: %w", err)
	}
	return g, nil
}

func parse(text string) (*Group, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(text), maxBytes)
	}
	all, err := read(text)
	if err != nil {
		return nil, err
	}
	outer, err := objectOf(text, all, "id", "etag", "properties")
	if err != nil {
		return nil, err
	}
	id, err := outer.string("id")
	if err != nil || id == "" {
		return nil, errors.New("it has no id")
	}
	etag, err := outer.string("etag")
	if err != nil {
		return nil, err
	}
	props, ok := outer.at("properties")
	if !ok {
		return nil, errors.New("it has no properties")
	}
	inner, err := objectOf(text, props, "provisioningState", "securityRules")
	if err != nil {
		return nil, err
	}
	for _, key := range []string{outer.unclear, inner.unclear} {
		if key != "" {
			return nil, fmt.Errorf("%q is there twice or in another case", key)
		}
	}
	g := &Group{ID: firewall.ID(strings.ToLower(id)), ETag: etag, text: text}
	if g.State, err = inner.string("provisioningState"); err != nil {
		return nil, err
	}
	if g.list, ok = inner.at("securityRules"); !ok {
		return nil, errors.New("it has no list of rules")
	}
	if g.items, err = elements(text, g.list); err != nil {
		return nil, err
	}
	g.Rules = slices.Grow(g.Rules, len(g.items))
	for _, at := range g.items {
		g.Rules = append(g.Rules, ruleOf(text, at))
	}
	return g, nil
}

// Text returns the document as it was read, byte for byte.
func (g *Group) Text() string { return g.text }

// InForce reports whether packets meet what the document shows. While a write is
// under way, and once one has failed, they may meet what was there before, or
// parts of both.
func (g *Group) InForce() bool { return g.State == "" || strings.EqualFold(g.State, "Succeeded") }

// Busy reports whether a write is under way.
func (g *Group) Busy() bool { return strings.EqualFold(g.State, "Updating") }

// Rule returns the rule called name.
func (g *Group) Rule(name string) (Rule, bool) {
	for _, r := range g.Rules {
		if r.Is(name) {
			return r, true
		}
	}
	return Rule{}, false
}
