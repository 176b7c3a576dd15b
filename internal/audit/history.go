package audit

import (
	"errors"
	"slices"
	"time"
)

// A History is what a log says about its grants, once it is known to make sense:
// every grant.opened comes after a request.granted of the same grant, and every
// grant.closed after a grant.expired or grant.ended of it.
type History struct {
	// Granted, Opened and Closed count grants that reached each stage.
	Granted, Opened, Closed int64
	// Ongoing counts grants without an end at the end of the log, Closing those
	// that have ended and were not read back closed.
	Ongoing, Closing int64
	// Overdue counts grants that were reported as not closed in time.
	Overdue int64
	// MaxLate is the longest time between the end of a grant and the moment it
	// was read back closed, by the wall clock, and Latest the id of that grant.
	// Those that a firewall closed by itself while nobody looked do not count, and
	// those that ended before their start: nothing was there to be closed.
	MaxLate time.Duration
	Latest  string
}

// life is how far one grant is.
type life struct {
	deadline, end                    int64 // milliseconds
	granted, opened, closed, overdue bool
	over                             bool
}

// historian follows the grants through a log.
type historian struct {
	history History
	grants  map[string]*life
}

func newHistory() *historian { return &historian{history: History{}, grants: map[string]*life{}} }

// add takes in the next record. The error says what makes no sense about it.
func (h *historian) add(l leaf) error {
	if l.Grant == "" {
		return nil
	}
	g := h.grants[l.Grant]
	if g == nil {
		g = &life{}
		h.grants[l.Grant] = g
	}
	if l.Deadline != 0 && !g.over {
		g.deadline = l.Deadline
	}
	switch l.Kind {
	case Requested, Adopted:
		count(&g.granted, &h.history.Granted)
	case Opened:
		if !g.granted {
			return errors.New("a grant was opened that was never granted")
		}
		count(&g.opened, &h.history.Opened)
	case Ended, Expired:
		if !g.over {
			g.over, g.end = true, l.Time
			if g.deadline != 0 && (l.Kind == Expired || g.deadline < l.Time) {
				g.end = g.deadline
			}
		}
	case Closed:
		if !g.over {
			return errors.New("a grant was closed that had not ended")
		}
		beside := slices.ContainsFunc(l.Measures, func(m measure) bool { return m.Name == EndToSeenClosed || m.Name == EndBeforeItBegan })
		if late := time.Duration(l.Time-g.end) * time.Millisecond; !g.closed && !beside && late > h.history.MaxLate {
			h.history.MaxLate, h.history.Latest = late, l.Grant
		}
		count(&g.closed, &h.history.Closed)
	case OverdueClosing:
		count(&g.overdue, &h.history.Overdue)
	case Denied, Waiting, Agreed, Refused, Cancelled, Lapsed, GlassBroken, GlassReviewed, CodeCreated, Impeded, Extended,
		Locked, LockShown, LossAccepted, Unlocked, Returned, Exposed, Unproven, Proven, Repaired, Obstructed, WriteFailed,
		PolicySaved, PolicyDeleted, TokenCreated, TokenRevoked, SignedIn, SignedOut, Linked, Unlinked, RoleAssigned,
		RoleUnassigned, AccessSaved, AccessDeleted, Started, ClockJumped, Swept, Lost, LogBroken, Erased:
		// Nothing that changes how far a grant is.
	}
	return nil
}

// count notes that a grant reached a stage, once.
func count(reached *bool, n *int64) {
	if !*reached {
		*reached = true
		*n++
	}
}

// end returns what the whole log says.
func (h *historian) end() History {
	for _, g := range h.grants {
		switch {
		case g.closed:
		case g.over:
			h.history.Closing++
		case g.granted:
			h.history.Ongoing++
		}
	}
	return h.history
}
