package securitygroup

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

// Verb says what a write does.
type Verb string

// The verbs. All of them succeed where they find their work done.
const (
	Make      Verb = "make"      // an owned group
	Strip     Verb = "strip"     // an owned group of everything it lets out
	Attach    Verb = "attach"    // an owned group to an interface
	Tagged    Verb = "tag"       // an owned group with a lock
	Untag     Verb = "untag"     // an owned group
	Authorize Verb = "authorize" // a rule
	Revoke    Verb = "revoke"    // a rule, by content
	Describe  Verb = "describe"  // a rule that is there: description and tags
	Detach    Verb = "detach"    // an owned group from an interface
	Swap      Verb = "swap"      // a group on an interface for another
	Delete    Verb = "delete"    // an owned group
)

// A Write is one native write.
type Write struct {
	Do Verb `json:"do"`
	// Group is the id of a foreign group or the name of an owned one.
	Group     string        `json:"group"`
	VM        firewall.VMID `json:"vm,omitzero"`        // of Make
	Interface string        `json:"interface,omitzero"` // of Attach, Detach and Swap
	Instead   string        `json:"instead,omitzero"`   // of Swap: the group that Group replaces
	Tag       *Tag          `json:"tag,omitempty"`      // of Tagged and Untag
	Rule      *Rule         `json:"rule,omitempty"`     // of Authorize, Revoke and Describe
}

// Text is w as data: what Decode reads.
func (w Write) Text() string {
	text, err := json.Marshal(w)
	if err != nil {
		return err.Error() // cannot be: strings, numbers and a prefix
	}
	return string(text)
}

// Decode reads the native write of a change.
func Decode(native string) (Write, error) {
	var w Write
	if err := json.Unmarshal([]byte(native), &w); err != nil {
		return Write{}, fmt.Errorf("read the native write %q: %w", native, err)
	}
	needs := map[Verb]bool{
		Make: w.VM != "", Strip: true, Delete: true,
		Attach: w.Interface != "", Detach: w.Interface != "", Swap: w.Interface != "" && w.Instead != "",
		Tagged: w.Tag != nil, Untag: w.Tag != nil,
		Authorize: w.Rule != nil, Revoke: w.Rule != nil, Describe: w.Rule != nil,
	}
	if !needs[w.Do] || w.Group == "" {
		return Write{}, fmt.Errorf("read the native write %q: it does not say what to do", native)
	}
	return w, nil
}

// Contest names what w is for, the same each time that it has to be made again;
// empty for a write that nobody fights over.
func (w Write) Contest() string {
	switch w.Do { //nolint:exhaustive // what closes and what is ours alone is made as often as it takes
	case Revoke:
		return w.Group + " " + w.Rule.Content()
	case Attach, Swap:
		return w.Interface + " wears " + w.Group
	}
	return ""
}

// At returns the write of c as it is due at now: an opening past its deadline is
// not written, and what was to be shortened until then goes. It is false when
// there is nothing to write any more.
func At(c plan.Change, now time.Time) (Write, bool, error) {
	w, err := Decode(c.Native)
	if err != nil {
		return Write{}, false, err
	}
	until := c.Opening.Until
	switch late := !until.IsZero() && !until.After(now); {
	case late && w.Do == Authorize:
		return Write{}, false, nil
	case late && w.Do == Describe && c.Op == plan.Close:
		w.Do = Revoke
	case late && w.Do == Describe:
		return Write{}, false, nil
	}
	return w, true, nil
}

// On returns r after writes.
func (r Reading) On(writes ...Write) Reading {
	if len(writes) == 0 {
		return r
	}
	r.Groups, r.Interfaces = slices.Clone(r.Groups), slices.Clone(r.Interfaces)
	for _, w := range writes {
		i := r.Find(w.Group)
		switch {
		case w.Do == Make && i < 0:
			r.Groups = append(r.Groups, Group{ID: w.Group, Name: w.Group, Tags: r.ownTags(), Egress: 1})
		case w.Do == Make || i < 0:
		case w.Do == Delete:
			r.Groups = slices.Delete(r.Groups, i, i+1)
		case w.Do == Attach || w.Do == Detach || w.Do == Swap:
			for n, x := range r.Interfaces {
				if x.ID != w.Interface {
					continue
				}
				if w.Do == Swap {
					if other := r.Find(w.Instead); other >= 0 {
						x.Groups = wearing(x.Groups, r.Groups[other].ID, false)
					}
					r.Interfaces[n].Groups = wearing(x.Groups, r.Groups[i].ID, true)
				} else {
					r.Interfaces[n].Groups = wearing(x.Groups, r.Groups[i].ID, w.Do == Attach)
				}
			}
		default:
			r.Groups[i] = w.in(r.Groups[i])
		}
	}
	return r
}

// wearing returns groups with or without id.
func wearing(groups []string, id string, on bool) []string {
	out := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g == id })
	if on {
		out = append(out, id)
	}
	return out
}

// in returns g after w.
func (w Write) in(g Group) Group {
	switch w.Do {
	case Strip:
		g.Egress = 0
	case Tagged, Untag:
		g.Tags = slices.DeleteFunc(slices.Clone(g.Tags), func(t Tag) bool { return t.Key == w.Tag.Key })
		if w.Do == Tagged {
			g.Tags = append(g.Tags, *w.Tag)
			SortTags(g.Tags)
		}
	case Authorize, Revoke, Describe:
		at := slices.IndexFunc(g.Ingress, func(r Rule) bool { return r.Content() == w.Rule.Content() })
		g.Ingress = slices.Clone(g.Ingress)
		switch {
		case w.Do == Authorize && at < 0:
			g.Ingress = append(g.Ingress, *w.Rule)
		case w.Do == Revoke && at >= 0:
			g.Ingress = slices.Delete(g.Ingress, at, at+1)
		case w.Do == Describe && at >= 0:
			g.Ingress[at].Description, g.Ingress[at].Tags = w.Rule.Description, w.Rule.Tags
		}
	case Make, Attach, Detach, Swap, Delete: // are not about what is in a group
	}
	return g
}

// A Call is writes that are one request to the cloud: the same verb at the same
// group, and of new rules those with the same tags, which a request gives to all
// of its rules alike.
type Call struct {
	Do     Verb
	Group  string
	Writes []Write
}

// Calls puts the writes of one step together, whose order among each other does
// not matter.
func Calls(writes []Write) []Call {
	var out []Call
	for _, w := range writes {
		if i := slices.IndexFunc(out, func(c Call) bool { return c.takes(w) }); i >= 0 {
			out[i].Writes = append(out[i].Writes, w)
			continue
		}
		out = append(out, Call{Do: w.Do, Group: w.Group, Writes: []Write{w}})
	}
	return out
}

// takes reports whether w can go into c, too.
func (c Call) takes(w Write) bool {
	if c.Do != w.Do || c.Group != w.Group {
		return false
	}
	switch w.Do {
	case Authorize, Describe:
		return slices.Equal(c.Writes[0].Rule.Tags, w.Rule.Tags)
	case Revoke, Tagged, Untag:
		return true
	case Make, Strip, Attach, Detach, Swap, Delete:
	}
	return false
}
