package table

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// longest is more than any grant may last, extensions included, and uptime more
// than any machine runs.
const (
	longest = 366 * 24 * time.Hour
	uptime  = 100 * longest
)

// GrantRow returns the row of a new grant.
func GrantRow(g access.Grant) Grant {
	return Grant{
		ID: g.ID, Request: g.Request,
		Issuer: g.Principal.Issuer, Subject: g.Principal.Subject, Display: g.Principal.Display,
		VM: string(g.Door.VM), Port: int64(g.Door.Port), Protocol: int64(g.Door.Protocol),
		Sources: prefixes(g.Sources), Reason: g.Reason, Policy: g.Policy,
		Start: Millis(g.Start), Created: Millis(g.Created),
		Deadline: Millis(g.Deadline.Wall), DeadlineBoot: g.Deadline.Boot.Milliseconds(),
		BootID: g.Deadline.BootID, DeadlineThird: Millis(g.Deadline.Third),
		Ended: Millis(g.Ended.At), EndedIssuer: g.Ended.By.Issuer, EndedSubject: g.Ended.By.Subject,
		EndedDisplay: g.Ended.By.Display, EndedWhy: string(g.Ended.Why),
		Epoch: g.Epoch, Opened: Millis(g.Opened), Closed: Millis(g.Closed), Impeded: g.Impeded,
	}
}

// Value returns the grant that the row holds.
func (g Grant) Value() access.Grant {
	d, ok := door(g.VM, g.Port, g.Protocol)
	v := access.Grant{
		ID: g.ID, Request: g.Request, Principal: principal(g.Issuer, g.Subject, g.Display),
		Door: d, Sources: parsePrefixes(g.Sources), Reason: g.Reason, Policy: g.Policy,
		Start: Instant(g.Start), Deadline: g.deadline(), Created: Instant(g.Created),
		Ended: access.Ending{
			At: past(g.Ended), By: principal(g.EndedIssuer, g.EndedSubject, g.EndedDisplay),
			Why: access.EndReason(g.EndedWhy),
		},
		Epoch: g.Epoch, Opened: Instant(g.Opened), Closed: Instant(g.Closed), Impeded: g.Impeded,
	}
	if !ok {
		v.Door, v.Sources, v.Deadline = firewall.Door{VM: firewall.VMID(g.VM), Protocol: 0, Port: 0}, nil, access.Deadline{}
	}
	return v
}

// Grants returns the grants that rows hold, sorted by id, each once.
func Grants(rows []Grant) []access.Grant {
	grants := make([]access.Grant, len(rows))
	for i, row := range rows {
		grants[i] = row.Value()
	}
	slices.SortFunc(grants, func(a, b access.Grant) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(grants, func(a, b access.Grant) bool { return a.ID == b.ID })
}

// deadline reads the deadline; the zero Deadline, which has passed, if any part
// of it makes no sense.
func (g Grant) deadline() access.Deadline {
	wall, third := Instant(g.Deadline), Instant(g.DeadlineThird)
	start := max(g.Start, g.Created)
	started := 0 < start && start <= latest
	switch {
	case wall.IsZero(),
		third.IsZero() && g.DeadlineThird != 0,
		started && wall.Sub(Instant(start)) > longest,
		started && third.Sub(Instant(start)) > longest,
		g.DeadlineBoot < 0 || g.DeadlineBoot > uptime.Milliseconds():
		return access.Deadline{}
	}
	return access.Deadline{Wall: wall, Boot: duration(g.DeadlineBoot), BootID: g.BootID, Third: third}
}

// Sources returns the rows that find a pending grant by its sources.
func Sources(g access.Grant) []AddGrantSourceParams {
	rows := make([]AddGrantSourceParams, 0, len(g.Sources))
	for _, s := range g.Sources {
		key := KeyRow(firewall.Key{Door: g.Door, From: s})
		rows = append(rows, AddGrantSourceParams{VM: key.VM, Port: key.Port, Protocol: key.Protocol, Source: key.Source, GrantID: g.ID})
	}
	return rows
}

// KeyRow returns the columns that a key is looked up by.
func KeyRow(k firewall.Key) GrantsAtParams {
	return GrantsAtParams{VM: string(k.Door.VM), Port: int64(k.Door.Port), Protocol: int64(k.Door.Protocol), Source: k.From.String()}
}

// RequestRow returns the row of a request.
func RequestRow(r access.Request, d access.Decision) Request {
	row := Request{
		ID: r.ID, Issuer: r.Principal.Issuer, Subject: r.Principal.Subject, Display: r.Principal.Display,
		Doors: doors(r.Doors), Sources: prefixes(r.Sources), Caller: "",
		Start: Millis(r.Start), Duration: r.Duration.Milliseconds(), Reason: r.Reason, Asked: Millis(r.Asked),
		Allowed:  flag(d.Allow),
		Decision: text(decision{NeedsApproval: d.NeedsApproval, By: d.By, Not: d.Not}),
		Until:    Millis(r.Until), Ticket: r.Ticket, Glass: flag(r.Glass),
	}
	if r.Caller.IsValid() {
		row.Caller = r.Caller.String()
	}
	return row
}

// VMs returns the rows that find a request by what it asks for.
func VMs(r access.Request) []AddRequestVMParams {
	var rows []AddRequestVMParams
	for _, d := range r.Doors {
		rows = append(rows, AddRequestVMParams{VM: string(d.VM), Request: r.ID})
	}
	return slices.Compact(rows)
}

// decision is the JSON of an access.Decision, but for what it comes down to.
type decision struct {
	NeedsApproval bool     `json:"needs_approval,omitempty"`
	By            []string `json:"by,omitempty"`
	Not           []string `json:"not,omitempty"`
}

// Value returns the request and the decision that the row holds.
func (r Request) Value() (access.Request, access.Decision) {
	v := access.Request{
		ID: r.ID, Principal: principal(r.Issuer, r.Subject, r.Display), Doors: parseDoors(r.Doors),
		Sources: parsePrefixes(r.Sources), Caller: netip.Addr{},
		Start: Instant(r.Start), Duration: duration(r.Duration), Reason: r.Reason, Asked: Instant(r.Asked),
		Until: Instant(r.Until), Ticket: r.Ticket, Glass: r.Glass != 0,
	}
	if caller, err := netip.ParseAddr(r.Caller); err == nil {
		v.Caller = caller
	}
	var d decision
	if !parse(r.Decision, &d) {
		d = decision{}
	}
	return v, access.Decision{Allow: r.Allowed == 1, NeedsApproval: d.NeedsApproval, By: d.By, Not: d.Not}
}
