package access

import (
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// The limits of one request. They bound work before anything is decided.
const (
	MaxDoors        = 16
	MaxSources      = 16
	MaxReasonLength = 500 // characters
)

// A Request asks for doors, from sources, for a time.
type Request struct {
	ID        string
	Principal Principal
	Doors     []firewall.Door // sorted, no duplicates
	Sources   []netip.Prefix  // masked, sorted, no duplicates
	// Caller is the address that the request came from; invalid when it came
	// over a local socket.
	Caller   netip.Addr
	Start    time.Time // zero means now
	Duration time.Duration
	// Until, unless zero, is when access ends, however late it begins. Duration is
	// then what was left of it when it was asked for.
	Until  time.Time
	Reason string // never executed, never used as a template
	Ticket string // as plain as the reason: where else this is written down
	// Glass says that it is an emergency, for which nobody's approval is waited for.
	Glass bool
	Asked time.Time
}

// Foreign reports whether r asks for a source other than the caller's own
// address. It is false when the caller's address is not known.
func (r Request) Foreign() bool {
	for _, s := range r.Sources {
		if r.Caller.IsValid() && !(s.IsSingleIP() && s.Addr() == r.Caller) {
			return true
		}
	}
	return false
}

// A Decision is the answer to a request, with everything that led to it.
type Decision struct {
	Allow bool
	// NeedsApproval says that Allow stands only after somebody else agreed.
	NeedsApproval bool
	// By lists what allowed it, Not lists everything that did not and why.
	By, Not []string
}
