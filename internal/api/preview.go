package api

import (
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach"
)

// A Preview shows what would be written to the firewalls, and who would get in
// then.
type Preview struct {
	Changes []Change      `json:"changes" doc:"In the order in which they would be made."`
	Reach   []ReachChange `json:"reach" doc:"Who can come through each locked door, before and after."`
	Refused []Refusal     `json:"refused,omitempty" doc:"What would be held back."`
}

// A Change is one write to a firewall.
type Change struct {
	Firewall string `json:"firewall"`
	Step     int    `json:"step" doc:"A step is made when the one before it is acknowledged."`
	Op       string `json:"op" enum:"close,keep,displace,lock,open,restore,drop"`
	Door     Door   `json:"door,omitzero" doc:"Absent where the change is about no one port."`
	From     string `json:"from,omitzero" doc:"The source that a close or an open is about."`
	Until    Time   `json:"until,omitzero"`
	Why      string `json:"why"`
	Native   string `json:"native,omitzero" doc:"The write in the firewall's own language."`
	Text     string `json:"text" doc:"The change on one line, for people."`
}

// ChangesOf returns the changes of p as they go over the wire.
func ChangesOf(p plan.Plan) []Change {
	return mapped(p.Changes, func(c plan.Change) Change {
		out := Change{
			Firewall: string(p.Firewall), Step: c.Step, Op: c.Op.String(), Door: DoorOf(c.Door),
			From: "", Until: TimeOf(c.Opening.Until), Why: c.Why, Native: c.Native, Text: c.String(),
		}
		if c.Door.Port == 0 {
			out.Door = Door{}
		}
		if c.Opening.From.IsValid() {
			out.From = firewall.FormatSource(c.Opening.From)
		}
		return out
	})
}

// A Refusal is a part of what is wanted that cannot be had.
type Refusal struct {
	Door Door   `json:"door"`
	From string `json:"from,omitzero" doc:"The source that cannot be let in; absent when it is the lock."`
	Why  string `json:"why"`
}

// RefusalsOf returns refusals as they go over the wire.
func RefusalsOf(refused []plan.Refusal) []Refusal {
	return mapped(refused, func(r plan.Refusal) Refusal {
		out := Refusal{Door: DoorOf(r.Door), From: "", Why: r.Why}
		if r.From.IsValid() {
			out.From = firewall.FormatSource(r.From)
		}
		return out
	})
}

// A ReachChange compares who can come through a door before and after.
type ReachChange struct {
	Door   Door   `json:"door"`
	Before Reach  `json:"before"`
	After  Reach  `json:"after"`
	Admits *Shift `json:"admits,omitempty" doc:"Who gets in only after, or may."`
	Shuts  *Shift `json:"shuts,omitempty" doc:"Who got in only before, or may have."`
	Doubts *Shift `json:"doubts,omitempty" doc:"Who got in before and may not after."`
}

// A Shift is a set of sources whose fate changes, with one of them as a witness
// and the rule that decides for it afterwards.
type Shift struct {
	Sources string `json:"sources"`
	Witness string `json:"witness"`
	By      string `json:"by"`
}

// ReachChangeOf compares two sets as they go over the wire. Who is not proven to
// be kept out counts as getting in.
func ReachChangeOf(d firewall.Door, before, after reach.Set) ReachChange {
	shift := func(c reach.Change) *Shift {
		if len(c) == 0 {
			return nil
		}
		return &Shift{Sources: c.Sources().String(), Witness: c[0].From.String(), By: c[0].After.By()}
	}
	change := reach.Diff(before, after)
	return ReachChange{
		Door: DoorOf(d), Before: ReachOf(before), After: ReachOf(after),
		Admits: shift(change.From(reach.Closed)),
		Shuts:  shift(change.To(reach.Closed)),
		Doubts: shift(change.From(reach.Open).To(reach.Unknown)),
	}
}

// Reach is who can open a connection to a door.
type Reach struct {
	Open    string `json:"open" doc:"Who gets in: nobody, anybody, or ranges."`
	Unknown string `json:"unknown,omitzero" doc:"Of whom that is not known."`
	Spans   []Span `json:"spans" doc:"Every source, each range with the rule that decides; at most 256."`
	Omitted int    `json:"omitted,omitzero" doc:"How many more spans there are."`
}

// A Span is a range of sources that have the same verdict for the same reasons.
type Span struct {
	Sources string `json:"sources"`
	Verdict string `json:"verdict" enum:"closed,unknown,open"`
	By      string `json:"by" doc:"The layer and rule that stand for all."`
	Path    string `json:"path,omitzero" doc:"The way that lets most in."`
	Steps   []Step `json:"steps" doc:"Every layer on that way that decides: of an open way all, of a closed one that which closes it."`
}

// A Step is what one layer does to a packet.
type Step struct {
	Firewall string   `json:"firewall,omitzero" doc:"Absent when rule is no rule but a reason."`
	Rule     string   `json:"rule"`
	Maybe    string   `json:"maybe,omitzero" doc:"A rule that may come before, as far as is known."`
	Can      []string `json:"can" doc:"What the layer does, of deny, pass and deliver; more than one when it is not known which."`
}

// mostSpans is how much of a set is written out.
const mostSpans = 256

// ReachOf returns s as it goes over the wire.
func ReachOf(s reach.Set) Reach {
	out := Reach{Open: s.Sources(reach.Open).String(), Unknown: "", Spans: []Span{}, Omitted: max(0, s.Len()-mostSpans)}
	if unknown := s.Sources(reach.Unknown); !unknown.Empty() {
		out.Unknown = unknown.String()
	}
	for x := range s.All() {
		if len(out.Spans) < mostSpans {
			out.Spans = append(out.Spans, SpanOf(x))
		}
	}
	return out
}

// SpanOf returns x as it goes over the wire.
func SpanOf(x reach.Span) Span {
	return Span{
		Sources: x.Range.String(), Verdict: x.Verdict.String(), By: x.By(), Path: x.Path(),
		Steps: mapped(x.Steps(), func(s reach.Step) Step {
			return Step{Firewall: string(s.Firewall), Rule: s.Rule, Maybe: s.Maybe, Can: s.Can.Names()}
		}),
	}
}

// An Explanation says who can come through a door, why, and since when.
type Explanation struct {
	Door   Door       `json:"door"`
	Says   string     `json:"says" doc:"The whole answer in one sentence."`
	Lock   *DoorState `json:"lock,omitempty" doc:"Absent when the door is not just-in-time."`
	Reach  Reach      `json:"reach"`
	Source *Answer    `json:"source,omitempty" doc:"About the source that was asked about."`
	Grants []Grant    `json:"grants,omitempty" doc:"The grants of this door that are not closed yet and that you may see."`
}

// An Answer says whether a source gets in.
type Answer struct {
	Source string `json:"source"`
	// Verdict is open or closed only where that is so for the whole source.
	Verdict string `json:"verdict" enum:"closed,unknown,open,mixed"`
	Spans   []Span `json:"spans"`
}

// AnswerOf returns what s says about source.
func AnswerOf(s reach.Set, source netip.Prefix) Answer {
	out := Answer{Source: firewall.FormatSource(source), Verdict: "", Spans: []Span{}}
	for x := range s.Within(source) {
		verdict := x.Verdict.String()
		if out.Verdict != "" && out.Verdict != verdict {
			verdict = "mixed"
		}
		out.Verdict = verdict
		if len(out.Spans) < mostSpans {
			out.Spans = append(out.Spans, SpanOf(x))
		}
	}
	return out
}
