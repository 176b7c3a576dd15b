package api

import (
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Grant is a time-bound right to one door, and how it stands.
type Grant struct {
	ID        string    `json:"id"`
	Request   string    `json:"request" doc:"The request it answers."`
	Principal Principal `json:"principal"`
	Door      Door      `json:"door"`
	Sources   []string  `json:"sources"`
	Reason    string    `json:"reason,omitzero"`
	Policy    string    `json:"policy,omitzero" doc:"The policy that allowed it."`
	Created   Time      `json:"created"`
	Start     Time      `json:"start"`
	Deadline  Time      `json:"deadline" doc:"The first instant at which the door is closed."`
	Ended     *Ending   `json:"ended,omitempty" doc:"When the grant ended before its deadline."`
	Opened    Time      `json:"opened,omitzero" doc:"When every source was first read back open."`
	Closed    Time      `json:"closed,omitzero" doc:"When no source was read back open any more."`
	State     string    `json:"state" enum:"scheduled,opening,open,closing,overdue,closed"`
	Pending   string    `json:"pending,omitzero" doc:"Why a grant that should be open is not yet, or not for as long as it was extended."`
}

// An Ending says who ended a grant early, when and why.
type Ending struct {
	At  Time      `json:"at"`
	By  Principal `json:"by"`
	Why string    `json:"why" enum:"closed,disabled,policy,unopened,role,vm,superseded"`
}

// GrantOf returns g as it stands at a reading of the clocks.
func GrantOf(g access.Grant, now access.Reading) Grant {
	return GrantIn(g, g.StateAt(now), g.Impeded)
}

// GrantIn returns g in the given state, as it goes over the wire.
func GrantIn(g access.Grant, state access.State, pending string) Grant {
	out := Grant{
		ID: g.ID, Request: g.Request, Principal: PrincipalOf(g.Principal), Door: DoorOf(g.Door),
		Sources: SourcesOf(g.Sources), Reason: g.Reason, Policy: g.Policy, Created: TimeOf(g.Created),
		Start: TimeOf(g.Start), Deadline: TimeOf(g.Deadline.Wall), Ended: nil,
		Opened: TimeOf(g.Opened), Closed: TimeOf(g.Closed), State: string(state), Pending: "",
	}
	if state == access.Opening || state == access.Open {
		out.Pending = pending
	}
	if !g.Ended.At.IsZero() {
		out.Ended = &Ending{At: TimeOf(g.Ended.At), By: PrincipalOf(g.Ended.By), Why: string(g.Ended.Why)}
	}
	return out
}

// Domain returns what GrantIn was given as far as it goes over the wire: the
// deadline on the wall clock only, and no epoch.
func (g Grant) Domain() (access.Grant, error) {
	door, err := g.Door.Domain()
	if err != nil {
		return access.Grant{}, errkind.In("door", err)
	}
	sources, err := ParseSources("sources", g.Sources)
	if err != nil {
		return access.Grant{}, err
	}
	out := access.Grant{
		ID: g.ID, Request: g.Request, Principal: g.Principal.Domain(), Door: door, Sources: sources,
		Reason: g.Reason, Policy: g.Policy, Start: g.Start.Time,
		Deadline: access.Deadline{Wall: g.Deadline.Time, Boot: 0, BootID: "", Third: time.Time{}},
		Created:  g.Created.Time, Ended: access.Ending{}, Epoch: 0,
		Opened: g.Opened.Time, Closed: g.Closed.Time, Impeded: g.Pending,
	}
	if e := g.Ended; e != nil {
		out.Ended = access.Ending{At: e.At.Time, By: e.By.Domain(), Why: access.EndReason(e.Why)}
	}
	return out, nil
}

// An Extend asks that a grant last longer: for the given time from now.
type Extend struct {
	Duration string `json:"duration" doc:"From now, such as 1h."`
}

// Parse reads e.
func (e Extend) Parse() (time.Duration, error) {
	if e.Duration == "" {
		return 0, missing("duration", "how long the grant is to last from now on, such as 1h")
	}
	return access.ParseDuration("duration", e.Duration)
}
