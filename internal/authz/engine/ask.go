package engine

import (
	"net/netip"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// An Ask is what a request asks for at one port, from one source: the
// circumstances of a question.
type Ask struct {
	Port     uint16
	Protocol firewall.Protocol
	Source   netip.Prefix
	// Caller is where the caller's packets come from; invalid where nobody knows.
	Caller netip.Addr
	// Start is when access is to begin, in the zone whose hours and days are meant.
	Start    time.Time
	Duration time.Duration
	Reason   string
	Ticket   string
	// Live is how many live grants the requester has.
	Live int
}

// Request returns the circumstances of asking for a, and of skipping approval.
func (a Ask) Request() types.Record {
	foreign := !a.Caller.IsValid() || !a.Source.IsSingleIP() || a.Source.Addr() != a.Caller
	r := types.RecordMap{
		"port": types.Long(a.Port), "protocol": types.String(a.Protocol.String()),
		"source": types.IPAddr(a.Source), "foreign": types.Boolean(foreign && a.Caller.IsValid()),
		"start": types.NewDatetime(a.Start), "hour": types.Long(a.Start.Hour()),
		"weekday":  types.String(strings.ToLower(a.Start.Weekday().String())),
		"duration": types.NewDuration(a.Duration),
		"reason":   types.String(a.Reason), "ticket": types.String(a.Ticket), "live": types.Long(a.Live),
	}
	if a.Caller.IsValid() {
		r["caller"] = types.IPAddr(netip.PrefixFrom(a.Caller, a.Caller.BitLen()))
	}
	return types.NewRecord(r)
}

// An Approval is what somebody approves: what a requester asked for, at a stage.
type Approval struct {
	Ask       Ask
	Requester access.Identity
	Stage     string
}

// Approve decides the case in the circumstances of an approval.
func (c *Case) Approve(a Approval) Verdict {
	requester, ok := principalEntity(a.Requester)
	if !ok {
		return Verdict{}
	}
	// Who asks whether they may approve what they asked for themselves stays who
	// they are.
	if requester.UID != c.question.Principal {
		c.entities[requester.UID] = requester
	}
	return c.Decide(types.NewRecord(types.RecordMap{
		"ask": a.Ask.Request(), "requester": requester.UID, "stage": types.String(a.Stage),
	}))
}

// Request decides the case in the circumstances of asking for a.
func (c *Case) Request(a Ask) Verdict { return c.Decide(a.Request()) }

// Plain decides the case where there are no circumstances.
func (c *Case) Plain() Verdict { return c.Decide(types.Record{}) }
