package reach

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

// An Effect is what becomes of reach when one firewall changes.
//
// What is not known elsewhere must not hide that: behind a layer that was not
// read everybody is unknown before and after, whatever the change does. So where
// a source is unknown both times it is asked again as if all that is not known
// let it pass: the other layers, the way there, and the rules of unknown sources
// that come before the first one that changed. A rule that may deliver does so
// where that does not skip the firewall that changes. What differs then, on any
// single path, is a change that may be real. This holds for firewalls that deliver
// nothing, which is all that Sesame writes.
//
// It keeps working memory between questions. It is not safe for concurrent use.
type Effect struct {
	// Rules are those that the change adds, removes or moves; see [firewall.Layer.Changed].
	Rules []firewall.LayerRule

	ask           Query
	layers        map[firewall.ID]firewall.Layer
	was, is       firewall.Layer // the one that changes
	before, after Model
	// The same, as if what is not known let everything pass; nil until needed.
	// Of the others once as if what may deliver passed, and once as if it delivered.
	supposedWas, supposedIs *sieve.Layer
	passing, delivering     Model
}

// NewEffect returns the effect of after taking the place of the layer of its
// firewall. A layer that is not there was not read.
func NewEffect(layers map[firewall.ID]firewall.Layer, after firewall.Layer) *Effect {
	was, seen := layers[after.Firewall]
	if !seen {
		was = firewall.Unread(after.Firewall, "not read", false)
	}
	e := &Effect{Rules: was.Changed(after), layers: layers, was: was, is: after, before: NewModel(layers)}
	e.after = e.before.With(after)
	return e
}

// suppose makes the layers that let pass what is not known, when they are needed.
func (e *Effect) suppose() {
	if e.passing != nil {
		return
	}
	was, is := reaching(e.was, e.is)
	e.supposedWas, e.supposedIs = sieve.Compile(was), sieve.Compile(is)
	e.passing, e.delivering = Model{}, Model{}
	for _, l := range e.layers {
		e.passing.Put(passing(l, false))
		e.delivering.Put(passing(l, true))
	}
}

// After returns who can come through d of v.
func (e *Effect) After(v inventory.VM, d firewall.Door) Set { return e.ask.VM(v, e.after, d) }

// Of returns what becomes of the sources of d, of v.
func (e *Effect) Of(v inventory.VM, d firewall.Door) Change {
	before, after := e.ask.VM(v, e.before, d), e.After(v, d)
	out := Diff(before, after)
	doubt := before.Sources(Unknown).Intersect(after.Sources(Unknown))
	if doubt.Empty() {
		return out
	}
	e.suppose()
	for _, p := range v.Paths {
		v := inventory.VM{ID: v.ID, Paths: []inventory.Path{e.supposed(p)}}
		out = append(out, Diff(e.supposing(&v, e.supposedWas, d), e.supposing(&v, e.supposedIs, d)).Within(doubt)...)
	}
	return out
}

// supposing returns who can come through d of v, which has one path, when own is
// the layer that changes. What delivers before it would hide it, unless nothing
// skips it.
func (e *Effect) supposing(v *inventory.VM, own *sieve.Layer, d firewall.Door) Set {
	hops := v.Paths[0].Hops
	layers := make([]*sieve.Layer, len(hops))
	late := slices.ContainsFunc(hops, func(h inventory.Hop) bool { return h.Always && h.Firewall == e.is.Firewall })
	for i, h := range hops {
		switch {
		case h.Firewall == e.is.Firewall:
			layers[i], late = own, true
		case late:
			layers[i] = e.delivering[h.Firewall]
		default:
			layers[i] = e.passing[h.Firewall]
		}
	}
	e.ask.EnterPast(v, layers)
	return e.ask.Ask(d)
}

// supposed returns p as if everybody who may come that way did, past firewalls
// that were not read.
func (e *Effect) supposed(p inventory.Path) inventory.Path {
	if p.Unsure {
		p.From, p.Unsure = nil, false
	}
	var hops []inventory.Hop
	for _, h := range p.Hops {
		if h.Firewall == e.is.Firewall || e.passing[h.Firewall] != nil {
			hops = append(hops, h)
		}
	}
	p.Hops = hops
	return p
}

// passing returns l as if what is not known about it let packets pass: to be judged
// by the layers behind it, or past these where it may deliver and deliver is set.
func passing(l firewall.Layer, deliver bool) firewall.Layer {
	rules := make([]firewall.LayerRule, 0, len(l.Rules))
	for _, r := range l.Rules {
		switch {
		case r.Maybe && (r.Action == firewall.Deny || r.Action == firewall.Deliver && !deliver):
			continue
		case r.Action == firewall.Unknown:
			r.Action = firewall.Allow
		}
		r.Maybe = false
		rules = append(rules, r)
	}
	l.Rules = rules
	if l.Default == firewall.Unknown {
		l.Default = firewall.Allow
	}
	return l
}

// reaching returns two states of a layer without the rules that may come into
// the way of a packet before it gets to where they differ.
func reaching(before, after firewall.Layer) (was, is firewall.Layer) {
	if before.Kind != after.Kind || before.Kind == firewall.Union {
		return before, after
	}
	n := 0
	for n < min(len(before.Rules), len(after.Rules)) && before.Rules[n].Same(after.Rules[n]) {
		n++
	}
	doubtful := func(r firewall.LayerRule) bool { return r.Maybe }
	head := slices.DeleteFunc(slices.Clone(after.Rules[:n]), doubtful)
	before.Rules = slices.Concat(head, before.Rules[n:])
	after.Rules = slices.Concat(head, after.Rules[n:])
	return before, after
}
