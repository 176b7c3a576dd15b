package api

import (
	"fmt"
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach"
)

// A Preview shows what would be written to the firewalls, and who would get in
// then.
type Preview struct {
	Changes []Change      `json:"changes" doc:"In the order in which they would be made."`
	Reach   []ReachChange `json:"reach" doc:"Who can come through each locked door, before and after."`
	Refused []Refusal     `json:"refused,omitempty" doc:"What would be held back."`

	Losses   []Loss     `json:"losses,omitempty" doc:"What locks would take away from others; it has to be agreed to."`
	Agree    string     `json:"agree,omitzero" doc:"Say this as accept_losses to agree to exactly these losses."`
	Proposed []Proposal `json:"proposed,omitempty" doc:"Who uses the ports and is not exempt yet."`
	Restored []Restored `json:"restored,omitempty" doc:"The displaced rules that would come back."`

	Others []Other `json:"others,omitempty" doc:"What other installations of Sesame have at the doors already; neither touches the other's."`

	Names map[string]string `json:"names,omitempty" doc:"What people call the VMs that this is about, by id, where the id does not say."`
}

// An Other is a lock or an opening of another installation.
type Other struct {
	Door Door   `json:"door"`
	Text string `json:"text" doc:"Whose it is and what it does, for people."`
}

// A Loss is reach that goes with a lock although the lock is not about it.
type Loss struct {
	VM       string `json:"vm"`
	Protocol string `json:"protocol,omitzero" doc:"tcp, udp or a number; absent for every protocol but some."`
	But      []int  `json:"but,omitempty" doc:"The numbers of the protocols that are not lost, where protocol is absent."`
	First    uint16 `json:"first,omitzero" doc:"The first port; absent with last where there are none."`
	Last     uint16 `json:"last,omitzero"`
	Sources  string `json:"sources" doc:"Who loses it."`
	By       string `json:"by" doc:"What decides about them then."`
	Locks    []Door `json:"locks" doc:"The locks that it is for."`
	Text     string `json:"text" doc:"The loss on one line, for people."`
}

// LossOf returns l as it goes over the wire.
func LossOf(l plan.Loss) Loss {
	out := Loss{
		VM: string(l.VM), Protocol: "", But: nil, First: l.First, Last: l.Last,
		Sources: reach.Of(l.From...).String(), By: l.By, Locks: DoorsOf(l.Locks), Text: l.String(),
	}
	if out.But = mapped(l.But, func(p firewall.Protocol) int { return int(p) }); l.Protocol != 0 {
		out.Protocol = l.Protocol.String()
	}
	return out
}

// A Proposal is a source that a VM's surroundings show to need it without asking.
type Proposal struct {
	VM       string     `json:"vm"`
	Kind     string     `json:"kind" enum:"probe,bastion,backup,management"`
	Name     string     `json:"name"`
	Protocol string     `json:"protocol,omitzero" doc:"Absent for all."`
	Port     PortNumber `json:"port,omitzero" doc:"Absent for all."`
	From     []string   `json:"from" doc:"What is not exempt yet of where it comes from."`
}

// ProposalOf returns p, about vm, as it goes over the wire.
func ProposalOf(vm firewall.VMID, p inventory.Proposal) Proposal {
	out := Proposal{VM: string(vm), Kind: p.Kind.String(), Name: p.Name, Protocol: "", Port: PortNumber(p.Port), From: SourcesOf(p.From)}
	if p.Protocol != 0 {
		out.Protocol = p.Protocol.String()
	}
	return out
}

// A Restored is a displaced rule that comes back.
type Restored struct {
	Firewall string   `json:"firewall"`
	Rule     string   `json:"rule,omitzero" doc:"As the firewall's owner knows it."`
	Why      string   `json:"why"`
	Opens    []string `json:"opens,omitempty" doc:"What it lets in."`
	Since    Time     `json:"since,omitzero" doc:"When it was taken out; absent if nobody knows."`
	Age      string   `json:"age,omitzero" doc:"How long it has been out, such as 49h."`
	Original string   `json:"original" doc:"The rule as it was read."`
	NewID    bool     `json:"new_id,omitzero" doc:"It comes back under another id."`
	Asks     string   `json:"asks,omitzero" doc:"Why it comes back only with restore_open."`
}

// opens says what a line of a layer lets in: "22/tcp from 10.0.0.0/8".
func opens(r firewall.LayerRule) string {
	ports := fmt.Sprintf("%d-%d/", r.First, r.Last)
	switch {
	case r.First == r.Last:
		ports = fmt.Sprintf("%d/", r.First)
	case r.First == 0 && r.Last == 65535:
		ports = "all ports, "
	}
	protocol := "every protocol"
	if r.Protocol != 0 {
		protocol = r.Protocol.String()
	}
	from := "anybody"
	if len(r.From) > 0 {
		from = reach.Of(r.From...).String()
	}
	text := ports + protocol + " from " + from
	if r.VM != "" {
		text = r.VM.Name() + ": " + text
	}
	return text
}

// RestoredOf returns a change of fw that gives back a displaced rule with the
// given lines, as it goes over the wire.
func RestoredOf(fw firewall.ID, c plan.Change, rules []firewall.LayerRule) Restored {
	return Restored{
		Firewall: string(fw), Rule: c.Rule, Why: c.Why, Opens: mapped(rules, opens), Since: TimeOf(c.Since), Original: c.Undo,
	}
}

// A Change is one write to a firewall.
type Change struct {
	Firewall string `json:"firewall"`
	Step     int    `json:"step" doc:"A step is made when the one before it is acknowledged."`
	Op       string `json:"op" enum:"close,keep,displace,lock,open,restore,drop"`
	Door     Door   `json:"door,omitzero" doc:"Absent when it is about no single door, as what is kept of a displaced rule is."`
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
			Firewall: string(p.Firewall), Step: c.Step, Op: c.Op.String(), Door: Door{},
			From: "", Until: TimeOf(c.Opening.Until), Why: c.Why, Native: c.Native, Text: c.String(),
		}
		if d := c.Door; d.Port != 0 && (d.Protocol == firewall.TCP || d.Protocol == firewall.UDP) {
			out.Door = DoorOf(d)
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
