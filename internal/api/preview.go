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
	Door     Door   `json:"door"`
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
	Admits *Shift `json:"admits,omitempty" doc:"Who gets in only after."`
	Shuts  *Shift `json:"shuts,omitempty" doc:"Who got in only before."`
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
	shift := func(r reach.Ranges) *Shift {
		if r.Empty() {
			return nil
		}
		w := r.Witness()
		return &Shift{Sources: r.String(), Witness: w.String(), By: after.At(w).By()}
	}
	return ReachChange{
		Door: DoorOf(d), Before: ReachOf(before), After: ReachOf(after),
		Admits: shift(after.MaybeOpen().Minus(before.MaybeOpen())),
		Shuts:  shift(before.MaybeOpen().Minus(after.MaybeOpen())),
	}
}

// Reach is who can open a connection to a door.
type Reach struct {
	Open    string `json:"open" doc:"Who gets in: nobody, anybody, or ranges."`
	Unknown string `json:"unknown,omitzero" doc:"Of whom that is not known."`
	Spans   []Span `json:"spans" doc:"Every source, each range with the rule that decides; at most 256."`
	Omitted int    `json:"omitted,omitzero" doc:"How many more spans there are."`
}

// A Span is a range of sources that one rule decides.
type Span struct {
	Sources string `json:"sources"`
	Verdict string `json:"verdict" enum:"closed,unknown,open"`
	By      string `json:"by"`
}

// mostSpans is how much of a set is written out.
const mostSpans = 256

// ReachOf returns s as it goes over the wire.
func ReachOf(s reach.Set) Reach {
	out := Reach{Open: s.Sources(reach.Open).String(), Unknown: "", Spans: []Span{}, Omitted: 0}
	if unknown := s.Sources(reach.Unknown); !unknown.Empty() {
		out.Unknown = unknown.String()
	}
	if len(s) > mostSpans {
		s, out.Omitted = s[:mostSpans], len(s)-mostSpans
	}
	for _, x := range s {
		out.Spans = append(out.Spans, SpanOf(x))
	}
	return out
}

// SpanOf returns x as it goes over the wire.
func SpanOf(x reach.Span) Span {
	return Span{Sources: x.Range.String(), Verdict: VerdictOf(x.Verdict), By: x.By()}
}

// VerdictOf returns the name of v.
func VerdictOf(v reach.Verdict) string {
	switch v {
	case reach.Closed:
		return "closed"
	case reach.Open:
		return "open"
	case reach.Unknown:
	}
	return "unknown"
}

// An Explanation says who can come through a door, why, and since when.
type Explanation struct {
	Door   Door       `json:"door"`
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
	for _, x := range s.Within(source) {
		verdict := VerdictOf(x.Verdict)
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
