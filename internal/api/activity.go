package api

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Record is one fact of the activity: what happened, to what, by whom.
type Record struct {
	Index    int64      `json:"index" doc:"Its place in the audit log, from 0."`
	Kind     string     `json:"kind" doc:"Such as grant.opened."`
	Time     Time       `json:"time" doc:"Order is by index, not by time."`
	Actor    *Principal `json:"actor,omitempty"`
	Caller   string     `json:"caller,omitzero" doc:"The address that the actor came from."`
	Request  string     `json:"request,omitzero"`
	Grant    string     `json:"grant,omitzero"`
	VM       string     `json:"vm,omitzero"`
	Door     *Door      `json:"door,omitempty"`
	Firewall string     `json:"firewall,omitzero"`
	Sources  []string   `json:"sources,omitempty"`
	Reason   string     `json:"reason,omitzero"`
	By       []string   `json:"by,omitempty" doc:"What a decision allowed; of a repair, who changed what was put right, as far as the firewall tells."`
	Not      []string   `json:"not,omitempty" doc:"What a decision did not allow it by."`
	Deadline Time       `json:"deadline,omitzero"`
	Plan     []string   `json:"plan,omitempty" doc:"The changes, one line each."`
	Measures []Measure  `json:"measures,omitempty"`
	Level    string     `json:"level,omitzero" doc:"How far a closing was proven."`
	Text     string     `json:"text,omitzero"`
	Erased   bool       `json:"erased,omitzero" doc:"The personal part of the record is gone."`
}

// A Measure is one measured time.
type Measure struct {
	Name string `json:"name"`
	Took string `json:"took" doc:"Such as 1.5ms."`
}

// RecordOf returns the record at an index of the log as it goes over the wire.
// What the clocks showed stays in the log.
func RecordOf(index int64, r audit.Record, erased bool) Record {
	out := Record{
		Index: index, Kind: string(r.Kind), Time: TimeOf(r.Time), Actor: nil, Caller: "",
		Request: r.Request, Grant: r.Grant, VM: string(r.Door.VM), Door: nil, Firewall: string(r.Firewall),
		Sources: SourcesOf(r.Sources), Reason: r.Reason, By: r.By, Not: r.Not, Deadline: TimeOf(r.Deadline),
		Plan: r.Plan, Measures: nil, Level: string(r.Level), Text: r.Text, Erased: erased,
	}
	if r.Actor != (access.Principal{}) {
		actor := PrincipalOf(r.Actor)
		out.Actor = &actor
	}
	if r.Caller.IsValid() {
		out.Caller = r.Caller.String()
	}
	if r.Door.Port != 0 {
		door := DoorOf(r.Door)
		out.Door = &door
	}
	for _, m := range r.Measures {
		out.Measures = append(out.Measures, Measure{Name: m.Name, Took: m.Took.String()})
	}
	return out
}

// Domain returns the record that RecordOf was given, but for its clocks.
func (r Record) Domain() (audit.Record, error) {
	out := audit.Record{
		Kind: audit.Kind(r.Kind), Time: r.Time.Time, Actor: access.Principal{}, Caller: netip.Addr{},
		Request: r.Request, Grant: r.Grant, Door: firewall.Door{VM: firewall.VMID(r.VM), Protocol: 0, Port: 0},
		Firewall: firewall.ID(r.Firewall), Sources: nil, Reason: r.Reason, By: r.By, Not: r.Not,
		Deadline: r.Deadline.Time, Clocks: access.Reading{}, Plan: r.Plan, Measures: nil,
		Level: audit.Level(r.Level), Text: r.Text,
	}
	var err error
	if r.Actor != nil {
		out.Actor = r.Actor.Domain()
	}
	if r.Caller != "" {
		if out.Caller, err = netip.ParseAddr(r.Caller); err != nil {
			return audit.Record{}, errkind.Bad("caller", r.Caller, "an address")
		}
	}
	if r.Door != nil {
		if out.Door, err = r.Door.Domain(); err != nil {
			return audit.Record{}, errkind.In("door", err)
		}
	}
	if out.Sources, err = ParseSources("sources", r.Sources); err != nil {
		return audit.Record{}, err
	}
	for i, m := range r.Measures {
		took, err := time.ParseDuration(m.Took)
		if err != nil {
			return audit.Record{}, errkind.Bad(fmt.Sprintf("measures[%d].took", i), m.Took, "a duration")
		}
		out.Measures = append(out.Measures, audit.Measure{Name: m.Name, Took: took})
	}
	return out, nil
}

// A Checkpoint commits to the whole log up to its size.
type Checkpoint struct {
	Origin string `json:"origin" doc:"The log's name."`
	Key    string `json:"key" doc:"The public key of the log; keep it elsewhere to compare."`
	Size   int64  `json:"size"`
	Root   string `json:"root" doc:"The root of the tree, in base64."`
	Signed string `json:"signed" doc:"The checkpoint as a signed note."`
}

// An AuditReport is what a verification of the log found.
type AuditReport struct {
	OK          bool       `json:"ok"`
	Fault       string     `json:"fault,omitzero" doc:"The first thing that is wrong."`
	FaultIndex  *int64     `json:"fault_index,omitempty" doc:"The first bad record; absent when it is not a record."`
	Checkpoint  Checkpoint `json:"checkpoint"`
	Checkpoints int        `json:"checkpoints" doc:"How many signed checkpoints the records agree with."`
	Personal    int64      `json:"personal" doc:"Records with their personal part."`
	Erased      int64      `json:"erased" doc:"Records whose personal part was erased."`
	History     History    `json:"history"`
}

// History is what the log says about its grants.
type History struct {
	Granted int64  `json:"granted"`
	Opened  int64  `json:"opened"`
	Closed  int64  `json:"closed"`
	Ongoing int64  `json:"ongoing"`
	Closing int64  `json:"closing"`
	Overdue int64  `json:"overdue"`
	MaxLate string `json:"max_late" doc:"The longest time between the end of a grant and its closing."`
	Latest  string `json:"latest,omitzero" doc:"The grant that was closed that late."`
}

// HistoryOf returns h as it goes over the wire.
func HistoryOf(h audit.History) History {
	return History{
		Granted: h.Granted, Opened: h.Opened, Closed: h.Closed, Ongoing: h.Ongoing, Closing: h.Closing,
		Overdue: h.Overdue, MaxLate: h.MaxLate.String(), Latest: h.Latest,
	}
}
