package dialect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Rule is one line of a simulated firewall, ours or foreign.
type Rule struct {
	// Name is unique in its firewall. Names that begin with "sesame-" and the
	// name of an installation belong to that installation.
	Name string `json:"name"`
	// Priority is 100 to 4096 in a numbered firewall and 0 elsewhere.
	Priority int             `json:"priority,omitzero"`
	Action   firewall.Action `json:"-"`
	// VM is empty for every VM behind the firewall.
	VM firewall.VMID `json:"vm,omitzero"`
	// Protocol is 0 for any.
	Protocol firewall.Protocol `json:"protocol,omitzero"`
	First    uint16            `json:"first,omitzero"`
	Last     uint16            `json:"last"`
	// From is empty for any source; a union wants exactly one.
	From []netip.Prefix `json:"from,omitempty"`
	// Note is the description or comment; a mark is kept there.
	Note string `json:"note,omitzero"`
	// Cut makes a keyed lock judge every packet, not only a connection's first.
	Cut bool `json:"cut,omitzero"`
	// Closes is when a keyed element ends by itself, by the firewall's timer.
	Closes time.Time `json:"closes,omitzero"`
	// Opaque hides from Sesame what the rule does: its action is read as unknown.
	Opaque bool `json:"opaque,omitzero"`
	// Extra is whatever else its owner keeps with the rule.
	Extra string `json:"extra,omitzero"`
}

type plainRule Rule

type wireRule struct {
	Action string `json:"action"`
	plainRule
}

// MarshalJSON writes the rule with its action by name.
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireRule{Action: r.Action.String(), plainRule: plainRule(r)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Rule) UnmarshalJSON(text []byte) error {
	var w wireRule
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	*r = Rule(w.plainRule)
	switch w.Action {
	case firewall.Allow.String():
		r.Action = firewall.Allow
	case firewall.Deny.String():
		r.Action = firewall.Deny
	default:
		return fmt.Errorf("memory: %q is no action of a rule", w.Action)
	}
	return nil
}

// Text is r in the simulator's own encoding. Two rules are the same, byte for
// byte, if their texts are.
func (r Rule) Text() string { return Encode(r) }

// Encode writes v, an edit or a rule, in the simulator's own encoding.
func Encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // a time beyond the year 9999; no firewall decodes this
	}
	return string(text)
}

// An Edit is one native write: a rule is put in place, over the one of that
// name if there is one, or deleted.
type Edit struct {
	Put    *Rule  `json:"put,omitempty"`
	Delete string `json:"delete,omitempty"`
	// Was makes a deletion conditional: only the rule as it was read goes.
	Was *Rule `json:"was,omitempty"`
}

// Name is the name of the rule that e is about.
func (e Edit) Name() string {
	if e.Put != nil {
		return e.Put.Name
	}
	return e.Delete
}

// On returns rules after e.
func (e Edit) On(rules []Rule) []Rule {
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == e.Name() })
	switch {
	case e.Put != nil && i >= 0:
		rules = slices.Clone(rules)
		rules[i] = *e.Put
	case e.Put != nil:
		rules = append(slices.Clone(rules), *e.Put)
	case i >= 0 && (e.Was == nil || e.Was.Text() == rules[i].Text()):
		rules = slices.Delete(slices.Clone(rules), i, i+1)
	}
	return rules
}

// Door is the door that r is about, if it is about only one.
func (r Rule) Door() firewall.Door {
	return firewall.Door{VM: r.VM, Protocol: r.Protocol, Port: r.First}
}

// Source is the one source that r lets in; invalid when it is not one.
func (r Rule) Source() netip.Prefix {
	if len(r.From) != 1 {
		return netip.Prefix{}
	}
	return r.From[0]
}

// Line is r as the reach engine sees it.
func (r Rule) Line(owned bool) firewall.LayerRule {
	action := r.Action
	if r.Opaque {
		action = firewall.Unknown
	}
	return firewall.LayerRule{
		Name: r.Name, Action: action, VM: r.VM, Protocol: r.Protocol,
		First: r.First, Last: r.Last, From: slices.Clone(r.From), Owned: owned,
	}
}

// Is reports whether r and o are the same rule.
func (r Rule) Is(o Rule) bool { return r.Name == o.Name }

// Within reports whether all that r speaks about, outer speaks about too.
func (r Rule) Within(outer Rule) bool {
	if outer.VM != "" && outer.VM != r.VM || outer.Protocol != 0 && outer.Protocol != r.Protocol ||
		r.First < outer.First || outer.Last < r.Last {
		return false
	}
	if len(outer.From) == 0 || len(r.From) == 0 {
		return len(outer.From) == 0
	}
	return !slices.ContainsFunc(r.From, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(outer.From, func(o netip.Prefix) bool { return firewall.Covers(o, p) })
	})
}

// Content names what r speaks about: who, which ports, where.
func (r Rule) Content() string {
	vm, proto := cmp.Or(string(r.VM), "any VM"), "any"
	if r.Protocol != 0 {
		proto = r.Protocol.String()
	}
	ports := fmt.Sprintf("%d-%d", r.First, r.Last)
	if r.First == r.Last {
		ports = fmt.Sprint(r.First)
	}
	from := "anybody"
	if len(r.From) > 0 {
		var parts []string
		for _, p := range r.From {
			parts = append(parts, firewall.FormatSource(p))
		}
		from = strings.Join(parts, ",")
	}
	return fmt.Sprintf("%s %s/%s from %s", vm, ports, proto, from)
}

// Decode reads a native write.
func Decode(native string) (Edit, error) {
	var e Edit
	err := json.Unmarshal([]byte(native), &e)
	if err == nil && (e.Put == nil) == (e.Delete == "") {
		err = errors.New("neither puts nor deletes")
	}
	if err != nil {
		return Edit{}, fmt.Errorf("read the native write %q: %w", native, err)
	}
	return e, nil
}
