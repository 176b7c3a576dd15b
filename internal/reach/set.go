package reach

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

// A Set is the verdict for every source: a partition of both families, sorted.
// The zero value says nothing about anybody. A Set is immutable, small, and can
// be shared; what it says is written out only when somebody asks.
type Set struct {
	stretches []stretch
	links     []link
	places    []place
}

// A Span is a range of sources that have the same verdict for the same reasons.
type Span struct {
	Range

	Verdict Verdict

	links  []link
	places []place
}

// A Step is what one layer does to a packet.
type Step struct {
	// Firewall is whose layer it is; empty when Rule is no rule but a reason.
	Firewall firewall.ID
	Rule     string
	// Maybe is a rule that may come before Rule, if one makes the step uncertain.
	Maybe string
	Can   firewall.Outcomes
}

// String writes s as "FIREWALL: RULE", with the rule that is to be looked at.
func (s Step) String() string {
	if s.Firewall == "" {
		return s.Named()
	}
	return string(s.Firewall) + ": " + s.Named()
}

// Named is the rule that is to be looked at, or the reason where no rule is.
func (s Step) Named() string {
	if s.Maybe != "" {
		return s.Maybe
	}
	return s.Rule
}

// Identity is equal for what is one answer, given to several doors; it is comparable,
// and holds s, which must not be the zero Set, in memory.
func (s Set) Identity() any { return &s.stretches[0] }

// Len returns how many spans there are.
func (s Set) Len() int { return len(s.stretches) }

// All returns the spans, in order.
func (s Set) All() iter.Seq[Span] {
	return func(yield func(Span) bool) {
		for i := range s.stretches {
			if !yield(s.span(i)) {
				return
			}
		}
	}
}

func (s Set) span(i int) Span {
	x := &s.stretches[i]
	return Span{
		Range:   Range{From: x.at.Addr(x.family), To: s.to(i).Addr(x.family)},
		Verdict: x.verdict, links: s.links[x.from:x.to()], places: s.places,
	}
}

// to returns where stretch i ends.
func (s Set) to(i int) sieve.Key {
	if x := s.stretches[i]; i+1 == len(s.stretches) || s.stretches[i+1].family != x.family {
		return x.family.Last()
	}
	return s.stretches[i+1].at.Prev()
}

// At returns the span that a lies in.
func (s Set) At(a netip.Addr) Span {
	if i := s.find(a); a.IsValid() && i >= 0 {
		return s.span(i)
	}
	return Span{}
}

// find returns the stretch that a lies in, -1 when there is none.
func (s Set) find(a netip.Addr) int {
	f, k := sieve.FamilyOf(a), sieve.KeyOf(a)
	i, exact := slices.BinarySearchFunc(s.stretches, k, func(x stretch, k sieve.Key) int {
		return cmp.Or(cmp.Compare(x.family, f), x.at.Compare(k))
	})
	if !exact {
		i--
	}
	return i
}

// Within returns the spans that p touches, cut to p. It costs a search and the
// spans that it returns.
func (s Set) Within(p netip.Prefix) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		if !p.IsValid() || s.Len() == 0 {
			return
		}
		from, to := p.Masked().Addr(), last(p)
		for i := s.find(from); i < s.Len(); i++ {
			x := s.span(i)
			if to.Less(x.From) {
				return
			}
			if x.From.Less(from) {
				x.From = from
			}
			if to.Less(x.To) {
				x.To = to
			}
			if !yield(x) {
				return
			}
		}
	}
}

// Sources returns the addresses whose verdict is one of those given.
func (s Set) Sources(verdicts ...Verdict) Ranges {
	var r Ranges
	for i, x := range s.stretches {
		if slices.Contains(verdicts, x.verdict) {
			r = append(r, s.span(i).Range)
		}
	}
	return r.normal()
}

// MaybeOpen returns the addresses that are not proven to be kept out.
func (s Set) MaybeOpen() Ranges { return s.Sources(Open, Unknown) }

// Path returns the name of the path that the verdict is about: the one that lets
// most in; empty when it is about the whole VM.
func (x Span) Path() string {
	if len(x.links) == 0 {
		return ""
	}
	return x.places[x.links[0].place].path
}

// Steps returns the layers that decide, in the order of the path: of an open
// path, all that the packet comes to; of a closed one, that which stops it.
func (x Span) Steps() []Step {
	var out []Step
	for _, l := range x.links {
		out = append(out, x.step(l))
	}
	return out
}

func (x Span) step(l link) Step {
	p := &x.places[l.place]
	s := Step{Firewall: p.firewall, Rule: p.text(l.Can), Maybe: "", Can: l.Can}
	if p.layer != nil {
		s.Rule = p.layer.Name(l.Rule)
		if l.Maybe != sieve.Nobody {
			s.Maybe = p.layer.Name(l.Maybe)
		}
	}
	return s
}

// By names the step that stands for all; see Decides.
func (x Span) By() string { return x.Decides().String() }

// Decides returns the step that stands for all: of an unknown span the first that
// is not certain; of an open one that which delivers, or else the last at which a
// rule decides.
func (x Span) Decides() Step {
	if len(x.links) == 0 {
		return Step{}
	}
	by := x.step(x.links[0])
	for _, l := range x.links {
		s := x.step(l)
		switch {
		case x.Verdict == Unknown && !s.Can.Certain(), x.Verdict == Open && s.Can == firewall.Delivers:
			return s
		case s.Rule != sieve.Default && x.Verdict == Open:
			by = s
		}
	}
	return by
}
