package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A State is what one firewall holds at one moment. It does not change.
type State struct {
	At time.Time
	// Version counts the changes.
	Version int
	Rules   []Rule // sorted: by priority, or by name
	Config  Config
	Keys    firewall.Keyring
}

// Holding returns s with other rules.
func (s State) Holding(rules []Rule) State {
	s.Rules = slices.SortedFunc(slices.Values(rules), func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// Ours reports whether r belongs to this installation: by its name, which
// nobody can change without making another rule of it, or, in a union, where
// names are the cloud's, by its mark.
func (s State) Ours(r Rule) bool {
	if s.Config.Dialect != Union || r.Action == firewall.Deny {
		return strings.HasPrefix(r.Name, namePrefix(s.Keys.Instance))
	}
	m, state, _ := s.Mark(r)
	return state == firewall.MarkGood || state == firewall.MarkBroken && m.Instance == s.Keys.Instance
}

// Admits reports whether a packet from the given address gets through to d. It
// is a packet test on its own, so that it can contradict what Sesame computes.
func (s State) Admits(d firewall.Door, from netip.Addr) bool {
	r, found := s.Decides(d, from)
	if found {
		return r.Action == firewall.Allow
	}
	if s.Config.Dialect == Numbered {
		for _, p := range s.Config.VirtualNetwork {
			if p.Contains(from) {
				return true
			}
		}
	}
	return s.Config.Dialect == Keyed
}

// Decides returns the rule that decides about a packet.
func (s State) Decides(d firewall.Door, from netip.Addr) (decider Rule, found bool) {
	best := 0
	for _, r := range s.Rules {
		hit := len(r.From) == 0
		for _, p := range r.From {
			hit = hit || p.Contains(from)
		}
		if !hit || r.VM != "" && r.VM != d.VM || r.Protocol != 0 && r.Protocol != d.Protocol ||
			d.Port < r.First || d.Port > r.Last {
			continue
		}
		// The lower the weight, the sooner a rule is asked.
		weight := 0
		switch s.Config.Dialect {
		case Numbered:
			weight = r.Priority
		case Union:
			if r.Action != firewall.Allow {
				continue // a tag
			}
			weight = 1
		case Keyed:
			mine := strings.HasPrefix(r.Name, namePrefix(s.Keys.Instance))
			switch {
			case !mine && r.Action == firewall.Deny:
				weight = 1 // another table's drop is final
			case mine && r.Action == firewall.Allow:
				weight = 2
			case mine:
				weight = 3
			default:
				continue // another table's accept decides nothing for ours
			}
		}
		if !found || weight < best {
			decider, best, found = r, weight, true
		}
	}
	return decider, found
}

// Layer is s as the reach engine sees it.
func (s State) Layer() firewall.Layer {
	l := firewall.Layer{Firewall: s.Config.ID, Kind: firewall.Ordered, Rules: nil, Default: firewall.Deny}
	var dropped, opened, locked []firewall.LayerRule
	for _, r := range s.Rules {
		owned := s.Ours(r)
		line := r.Line(owned)
		switch {
		case s.Config.Dialect == Numbered:
			l.Rules = append(l.Rules, line)
		case s.Config.Dialect == Union && r.Action == firewall.Allow:
			l.Rules = append(l.Rules, line)
		case s.Config.Dialect == Union: // a tag, which no packet meets
		case !owned && r.Action == firewall.Deny:
			dropped = append(dropped, line)
		case owned && r.Action == firewall.Allow:
			opened = append(opened, line)
		case owned:
			locked = append(locked, line)
		}
	}
	switch s.Config.Dialect {
	case Numbered:
		if len(s.Config.VirtualNetwork) > 0 {
			l.Rules = append(l.Rules, firewall.LayerRule{
				Name: "AllowVirtualNetwork", Action: firewall.Allow, VM: "", Protocol: 0,
				First: 0, Last: 65535, From: slices.Clone(s.Config.VirtualNetwork), Owned: false,
			})
		}
	case Union:
		l.Kind = firewall.Union
	case Keyed:
		l.Rules, l.Default = slices.Concat(dropped, opened, locked), firewall.Allow
	}
	return l
}

// Admissible says why the firewall refuses to hold r; nil when it does not.
func (s State) Admissible(r Rule) error {
	c := s.Config
	exists := false
	for _, other := range s.Rules {
		same := other.Name == r.Name
		exists = exists || same
		if !same && c.Dialect == Numbered && other.Priority == r.Priority {
			return fmt.Errorf("SecurityRuleConflict: %s and %s have priority %d", r.Name, other.Name, r.Priority)
		}
		if !same && c.Dialect == Union && other.Content() == r.Content() && other.Action == r.Action && s.Ours(other) == s.Ours(r) {
			return fmt.Errorf("InvalidPermission.Duplicate: %s says the same as %s", r.Name, other.Name)
		}
	}
	switch {
	case !c.spellable(r.Name):
		return fmt.Errorf("InvalidName: %q", r.Name)
	case len(r.Note) > c.noteLength():
		return fmt.Errorf("InvalidDescription: %d bytes, more than %d", len(r.Note), c.noteLength())
	case c.Dialect == Numbered && (r.Priority < MinPriority || r.Priority > MaxPriority):
		return fmt.Errorf("InvalidPriority: %d", r.Priority)
	case c.Dialect != Numbered && r.Priority != 0:
		return errors.New("InvalidPriority: there are none here")
	case r.First > r.Last:
		return fmt.Errorf("InvalidPortRange: %d-%d", r.First, r.Last)
	case c.Dialect == Union && r.Action == firewall.Deny && !strings.HasPrefix(r.Name, namesOfSesame):
		return errors.New("InvalidPermission: a security group cannot deny")
	case c.Dialect == Union && r.Action == firewall.Allow && len(r.From) != 1:
		return errors.New("InvalidPermission: one source a rule")
	case !exists && s.Used() >= c.Rooms && !s.Tag(r):
		return fmt.Errorf("LimitExceeded: %d of %d rules", s.Used(), c.Rooms)
	}
	for _, p := range r.From {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("InvalidAddressPrefix: %s", p)
		}
		if p.Addr().Is4() != r.From[0].Addr().Is4() {
			return errors.New("ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies")
		}
	}
	return nil
}

// Tag reports whether r is no rule but a tag, which says that a door of a union
// is locked. Tags take no room.
func (s State) Tag(r Rule) bool { return s.Config.Dialect == Union && r.Action == firewall.Deny }

// Used is how many rules there are.
func (s State) Used() int {
	n := 0
	for _, r := range s.Rules {
		if !s.Tag(r) {
			n++
		}
	}
	return n
}

// String prints the state, one rule a line, in the firewall's own order.
func (s State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "simulated %s firewall %s (nothing real is protected)\n", s.Config.Dialect, s.Config.ID)
	for _, r := range s.Rules {
		b.WriteString("  ")
		if s.Config.Dialect == Numbered {
			fmt.Fprintf(&b, "%4d ", r.Priority)
		}
		fmt.Fprintf(&b, "%-5s %s  # %s\n", r.Action, r.Content(), s.remark(r))
	}
	return b.String()
}

// remark says whose r is and what for.
func (s State) remark(r Rule) string {
	m, state, rest := s.Mark(r)
	switch {
	case !s.Ours(r):
		return "foreign: " + r.Name
	case r.Action == firewall.Deny:
		return "ours: lock"
	case state != firewall.MarkGood:
		return "ours: mark " + state.String()
	case rest:
		return "ours: kept of a displaced rule"
	case m.Until.IsZero():
		return "ours: exempt"
	}
	more := ""
	if m.More > 0 {
		more = fmt.Sprintf(" and %d more", m.More)
	}
	return "ours: " + m.Grant + more + " until " + m.Until.Format("2006-01-02T15:04:05.000Z07:00")
}
