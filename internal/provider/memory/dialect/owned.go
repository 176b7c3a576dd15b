package dialect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// timerSlack is how far an element's timer may be off its mark's deadline.
const timerSlack = time.Second

// LockRule is the rule, or in a union the tag, that locks d.
func (s State) LockRule(d firewall.Door, cut bool) Rule {
	return Rule{
		Name: s.ownName("lock", d, netip.Prefix{}), Action: firewall.Deny, VM: d.VM, Protocol: d.Protocol,
		First: d.Port, Last: d.Port, Cut: cut && s.Config.Dialect == Keyed,
	}
}

// OpenRule is the rule that lets o through d, before it is numbered and marked.
func (s State) OpenRule(d firewall.Door, o firewall.Opening) Rule {
	r := Rule{
		Action: firewall.Allow, VM: d.VM, Protocol: d.Protocol,
		First: d.Port, Last: d.Port, From: []netip.Prefix{o.From},
	}
	if r.Name = r.Content(); s.Config.Dialect != Union {
		r.Name = s.ownName("open", d, o.From)
	}
	return r
}

// ownName names a rule of ours after what it is about, the same every time.
func (s State) ownName(what string, d firewall.Door, from netip.Prefix) string {
	const longest = 24
	short := strings.Map(func(r rune) rune {
		if r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, strings.ToLower(d.VM.Name()))
	sum := sha256.Sum256([]byte(d.String() + " " + from.String()))
	return fmt.Sprintf("%s%s-%s-%d-%s-%s", namePrefix(s.Keys.Instance), what,
		short[:min(len(short), longest)], d.Port, d.Protocol, hex.EncodeToString(sum[:6]))
}

// MarkOf is the mark that says why o is let in.
func MarkOf(o firewall.Opening) firewall.Mark {
	m := firewall.Mark{Instance: "", Grant: "", More: 0, Until: o.Until}
	if ids := o.Grants.IDs(); len(ids) > 0 {
		m.Grant, m.More = ids[0], len(ids)-1
	}
	return m
}

// Sealed returns r with the mark for o.
func (s State) Sealed(r Rule, o firewall.Opening) Rule {
	r.Note = s.Keys.Seal(MarkOf(o), s.place(r))
	return r
}

// SealedRest returns r with the mark of what is kept of a displaced rule.
func (s State) SealedRest(r Rule) Rule {
	r.Note = s.Keys.Seal(firewall.Mark{Instance: "", Grant: "", More: 0, Until: time.Time{}}, s.restPlace(r))
	return r
}

// place is where the mark of an opening belongs. A rule that no opening can look
// like gets a place that no mark was made for.
func (s State) place(r Rule) firewall.Place {
	p := firewall.Place{Firewall: s.Config.ID, Door: r.Door(), From: r.Source(), Detail: ""}
	if s.Config.Dialect == Numbered {
		p.Detail = fmt.Sprintf("priority %d", r.Priority)
	}
	if r.VM == "" || r.Protocol == 0 || r.First != r.Last || !p.From.IsValid() {
		p.Detail = "not an opening: " + r.Content()
	}
	return p
}

func (s State) restPlace(r Rule) firewall.Place {
	return firewall.Place{
		Firewall: s.Config.ID, Door: firewall.Door{VM: "", Protocol: 0, Port: 0},
		From: netip.Prefix{}, Detail: "rest: " + r.Content(),
	}
}

// Mark reads the mark of r. A rest is what is kept of a displaced rule.
func (s State) Mark(r Rule) (m firewall.Mark, state firewall.MarkState, rest bool) {
	m, state = s.Keys.Open(r.Note, s.place(r))
	if state == firewall.MarkBroken && s.Config.Dialect == Union {
		if kept, good := s.Keys.Open(r.Note, s.restPlace(r)); good == firewall.MarkGood {
			return kept, good, true
		}
	}
	return m, state, false
}

// ReadOwned returns what of r concerns Sesame: rules of ours, and rules that carry a
// mark although they are not.
func (s State) ReadOwned(r Rule) (provider.Owned, bool) {
	var nobody firewall.Opening // a lock and a rest open for nobody
	m, state, rest := s.Mark(r)
	ours := s.Ours(r)
	if !ours && state == firewall.MarkAbsent {
		return provider.Owned{}, false
	}
	o := provider.Owned{
		Kind: provider.OwnedOpening, Door: r.Door(), Opening: firewall.Opening{From: r.Source(), Until: m.Until, Grants: ""},
		Mark: state, Closes: r.Closes, Uses: 0, Native: r.Text(), Wrong: "",
	}
	if m.Grant != "" {
		o.Opening.Grants = firewall.HoldersOf(m.Grant)
	}
	switch {
	case ours && r.Action == firewall.Deny:
		o.Kind, o.Mark, o.Opening = provider.OwnedLock, firewall.MarkAbsent, nobody
		if lock := s.LockRule(r.Door(), r.Cut); lock.Name != r.Name || !r.SameButPlace(lock) {
			o.Wrong = "the lock was changed by somebody else"
		}
	case rest:
		o.Kind, o.Opening = provider.OwnedRest, nobody
	case !ours && state == firewall.MarkForeign:
		o.Wrong = "written by another installation: " + m.Instance
	case !ours || state != firewall.MarkGood:
		if o.Mark == firewall.MarkAbsent || o.Mark == firewall.MarkGood || o.Mark == firewall.MarkForeign {
			o.Mark = firewall.MarkBroken // a name or a mark of ours alone does not make it ours
		}
		o.Wrong = "its mark was not made for this rule"
	case s.Mistimed(r, m.Until):
		o.Wrong = "its timer does not end it at its deadline"
	}
	return o, true
}

// Mistimed reports whether a keyed element would not end when it should.
func (s State) Mistimed(r Rule, until time.Time) bool {
	if s.Config.Dialect != Keyed {
		return false
	}
	if until.IsZero() || r.Closes.IsZero() {
		return until.IsZero() != r.Closes.IsZero()
	}
	return r.Closes.Sub(until).Abs() > timerSlack
}

// SameButPlace reports whether r and o say the same, wherever they stand and
// whatever note they carry.
func (r Rule) SameButPlace(o Rule) bool {
	r.Priority, r.Note, r.Closes = o.Priority, o.Note, o.Closes
	return r.Text() == o.Text()
}

// Owned returns everything of ours in s, sorted.
func (s State) Owned(uses map[string]uint64) []provider.Owned {
	var out []provider.Owned
	for _, r := range s.Rules {
		if o, ok := s.ReadOwned(r); ok {
			o.Uses = uses[r.Name]
			out = append(out, o)
		}
	}
	slices.SortFunc(out, provider.CompareOwned)
	return out
}
