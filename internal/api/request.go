package api

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// An Ask asks for ports of a VM, from sources, for a time.
type Ask struct {
	VM        string   `json:"vm" doc:"An id or an unambiguous name."`
	Ports     []Port   `json:"ports" minItems:"1" maxItems:"16"`
	Sources   []string `json:"sources,omitempty" maxItems:"16" doc:"Addresses or prefixes; absent for the caller's own address."`
	Duration  string   `json:"duration,omitzero" doc:"Such as 1h30m; absent for the longest that the policy allows."`
	Start     string   `json:"start,omitzero" format:"date-time" doc:"RFC 3339 with a zone; absent for now."`
	Reason    string   `json:"reason,omitzero" maxLength:"500"`
	Also      []Target `json:"also,omitempty" maxItems:"15" doc:"Further VMs: all of them are granted, or none."`
	Until     string   `json:"until,omitzero" format:"date-time" doc:"When access ends, instead of a duration; RFC 3339 with a zone."`
	Ticket    string   `json:"ticket,omitzero" maxLength:"500"`
	Glass     bool     `json:"break_glass,omitzero" doc:"An emergency: nobody's approval is waited for, and somebody reviews it afterwards."`
	Supersede bool     `json:"supersede,omitzero" doc:"End what was asked for before at the same ports from the same sources."`
}

// A Target is ports of one more VM.
type Target struct {
	VM    string `json:"vm" doc:"An id or an unambiguous name."`
	Ports []Port `json:"ports" minItems:"1" maxItems:"16"`
}

// An Asked is an Ask that was read: its values are of the right kind, and
// nothing is judged yet.
type Asked struct {
	VM        string
	Ports     []AskedPort
	Sources   []netip.Prefix
	Duration  time.Duration // 0 for the longest that the policy allows
	Start     time.Time     // zero for now
	Reason    string
	Also      []AskedTarget
	Until     time.Time // zero for none
	Ticket    string
	Glass     bool
	Supersede bool // ends what was asked for before
}

// An AskedTarget is ports of one more VM.
type AskedTarget struct {
	VM    string
	Ports []AskedPort
}

// An AskedPort is one port with its protocol.
type AskedPort struct {
	Number   uint16
	Protocol firewall.Protocol
}

// Parse reads a. Instants are judged at now, because they must lie near it.
func (a Ask) Parse(now time.Time) (Asked, error) {
	out := Asked{VM: a.VM, Glass: a.Glass, Supersede: a.Supersede}
	var err error
	if out.Ports, err = parsePorts(a.VM, a.Ports); err != nil {
		return Asked{}, err
	}
	if len(a.Sources) > access.MaxSources {
		return Asked{}, tooMany("sources", len(a.Sources), access.MaxSources)
	}
	if out.Sources, err = ParseSources("sources", a.Sources); err != nil {
		return Asked{}, err
	}
	if a.Duration != "" {
		if out.Duration, err = access.ParseDuration("duration", a.Duration); err != nil {
			return Asked{}, err
		}
	}
	if a.Start != "" {
		if out.Start, err = access.ParseTime("start", a.Start, now); err != nil {
			return Asked{}, err
		}
	}
	if a.Until != "" {
		if out.Until, err = access.ParseTime("until", a.Until, now); err != nil {
			return Asked{}, err
		}
	}
	if len(a.Also) >= access.MaxDoors {
		return Asked{}, tooMany("also", len(a.Also), access.MaxDoors-1)
	}
	for i, t := range a.Also {
		ports, err := parsePorts(t.VM, t.Ports)
		if err != nil {
			return Asked{}, errkind.In(place("also", i), err)
		}
		out.Also = append(out.Also, AskedTarget{VM: t.VM, Ports: ports})
	}
	if out.Ticket, err = access.ParseReason("ticket", a.Ticket); err != nil {
		return Asked{}, err
	}
	out.Reason, err = access.ParseReason("reason", a.Reason)
	return out, err
}

// Parse reads the ports of d.
func (d Disable) Parse() ([]AskedPort, error) { return parsePorts(d.VM, d.Ports) }

// parsePorts reads the ports of vm, which must be named, too.
func parsePorts(vm string, ports []Port) ([]AskedPort, error) {
	const wantPorts = "a list of at least one port, such as [{\"port\": 22}]"
	switch {
	case vm == "":
		return nil, missing("vm", "the id or the name of a VM, such as web-1")
	case len(ports) == 0:
		return nil, missing("ports", wantPorts)
	case len(ports) > access.MaxDoors:
		return nil, tooMany("ports", len(ports), access.MaxDoors)
	}
	var out []AskedPort
	for i, p := range ports {
		number, protocol, err := p.Domain()
		if err != nil {
			return nil, errkind.In(place("ports", i), err)
		}
		out = append(out, AskedPort{Number: number, Protocol: protocol})
	}
	return out, nil
}

func tooMany(field string, n, most int) error {
	want := fmt.Sprintf("a list of at most %d", most)
	return errkind.Wrong(field, strconv.Itoa(n), want, "it has %d entries, and may have %d at most", n, most)
}

// A Request is a request with the decision that answered it, and its grants.
type Request struct {
	ID        string    `json:"id"`
	Principal Principal `json:"principal"`
	Doors     []Door    `json:"doors"`
	Sources   []string  `json:"sources"`
	Caller    string    `json:"caller,omitzero" doc:"Where the request came from; absent for the local socket."`
	Start     Time      `json:"start,omitzero" doc:"Absent for at once."`
	Duration  string    `json:"duration"`
	Reason    string    `json:"reason,omitzero"`
	Asked     Time      `json:"asked"`
	Decision  Decision  `json:"decision"`
	Grants    []Grant   `json:"grants,omitempty" doc:"One for each door; none after a no, and while others have to agree."`
	Until     Time      `json:"until,omitzero" doc:"When access ends, however late it begins."`
	Ticket    string    `json:"ticket,omitzero"`
	Glass     bool      `json:"break_glass,omitzero" doc:"It is an emergency."`
	Approval  *Approval `json:"approval,omitempty" doc:"How it stands with others; absent where it is not known."`
}

// A Decision is the answer to a request, with everything that led to it.
type Decision struct {
	Allow         bool     `json:"allow"`
	NeedsApproval bool     `json:"needs_approval,omitzero"`
	By            []string `json:"by,omitempty" doc:"What allowed it."`
	Not           []string `json:"not,omitempty" doc:"Everything that did not, and why."`
}

// RequestOf returns r and its decision, without grants, as they go over the
// wire.
func RequestOf(r access.Request, d access.Decision) Request {
	caller := ""
	if r.Caller.IsValid() {
		caller = r.Caller.String()
	}
	return Request{
		ID: r.ID, Principal: PrincipalOf(r.Principal), Doors: DoorsOf(r.Doors), Sources: SourcesOf(r.Sources),
		Caller: caller, Start: TimeOf(r.Start), Duration: access.FormatDuration(r.Duration), Reason: r.Reason,
		Asked: TimeOf(r.Asked), Decision: DecisionOf(d), Grants: nil,
		Until: TimeOf(r.Until), Ticket: r.Ticket, Glass: r.Glass, Approval: nil,
	}
}

// DecisionOf returns d as it goes over the wire.
func DecisionOf(d access.Decision) Decision {
	return Decision{Allow: d.Allow, NeedsApproval: d.NeedsApproval, By: d.By, Not: d.Not}
}

// Domain returns what RequestOf was given.
func (r Request) Domain() (access.Request, access.Decision, error) {
	out := access.Request{
		ID: r.ID, Principal: r.Principal.Domain(), Doors: nil, Sources: nil, Caller: netip.Addr{},
		Start: r.Start.Time, Duration: 0, Reason: r.Reason, Asked: r.Asked.Time,
		Until: r.Until.Time, Ticket: r.Ticket, Glass: r.Glass,
	}
	decision := access.Decision{
		Allow: r.Decision.Allow, NeedsApproval: r.Decision.NeedsApproval, By: r.Decision.By, Not: r.Decision.Not,
	}
	for i, d := range r.Doors {
		door, err := d.Domain()
		if err != nil {
			return access.Request{}, access.Decision{}, errkind.In(place("doors", i), err)
		}
		out.Doors = append(out.Doors, door)
	}
	var err error
	if out.Sources, err = ParseSources("sources", r.Sources); err != nil {
		return access.Request{}, access.Decision{}, err
	}
	if r.Caller != "" {
		if out.Caller, err = netip.ParseAddr(r.Caller); err != nil {
			return access.Request{}, access.Decision{}, errkind.Bad("caller", r.Caller, "an address")
		}
	}
	out.Duration, err = access.ParseSpan("duration", r.Duration, 0, access.MaxDuration)
	return out, decision, err
}
