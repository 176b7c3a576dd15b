package access

import (
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// OverdueAfter is how long after its end a grant may still be closing before it
// is shown as overdue.
const OverdueAfter = 60 * time.Second

// A Grant opens one door to some sources during [Start, Deadline).
type Grant struct {
	ID        string
	Request   string // the request it answers; several doors, several grants
	Principal Principal
	Door      firewall.Door
	Sources   []netip.Prefix // masked, sorted
	Reason    string
	Policy    string // the policy that allowed it
	Start     time.Time
	Deadline  Deadline
	Created   time.Time
	// Ended is set when the grant is ended before its deadline.
	Ended Ending
	// Epoch counts every change to the grant. Opening checks it right before
	// the write: a plan made for an older epoch opens nothing.
	Epoch int64
	// Opened and Closed are when the firewall was first read back to show every
	// source open, and none of them any more; zero before.
	Opened, Closed time.Time
	// Impeded says why the firewall does not show the grant although it should;
	// empty when nothing is in the way.
	Impeded string
}

// An Ending says who ended a grant early, when and why.
type Ending struct {
	At  time.Time
	By  Principal
	Why EndReason
}

// EndReason says why a grant ended before its deadline.
type EndReason string

// The reasons for an early end.
const (
	ClosedByUser  EndReason = "closed"     // close-now, by its owner or somebody with the right
	DoorUnlocked  EndReason = "disabled"   // the door is not just-in-time any more
	PolicyRemoved EndReason = "policy"     // no policy allows it any more
	NeverOpened   EndReason = "unopened"   // it could not be opened in time
	RoleLost      EndReason = "role"       // its owner may not ask for the door any more
	VMGone        EndReason = "vm"         // a complete inventory does not name the VM any more
	Superseded    EndReason = "superseded" // its owner asked for the same anew
)

// State is where a grant stands at one reading of the clocks. It is derived,
// never stored.
type State string

// The states. A grant moves through them in this order and never goes back.
const (
	Scheduled State = "scheduled" // before its start
	Opening   State = "opening"   // should be open, not read back yet
	Open      State = "open"      // read back open
	Closing   State = "closing"   // ended, not read back closed yet
	Overdue   State = "overdue"   // closing for longer than OverdueAfter
	Closed    State = "closed"    // ended, and read back closed
)

// Live reports whether the door should be open for g.
func (g Grant) Live(now Reading) bool { return g.Started(now) && !g.Over(now) }

// Started reports whether the start of g has come. A grant that was made for its
// start on, or was seen open, has started whatever the wall clock says now: a
// step back does not undo it.
func (g Grant) Started(now Reading) bool {
	asked := !g.Created.IsZero() && !g.Start.After(g.Created)
	return asked || !g.Opened.IsZero() || !wall(now.Wall).Before(g.Start)
}

// Over reports whether g has ended, by its deadline or early. What was read back
// closed stays over, whatever the clocks are set to.
func (g Grant) Over(now Reading) bool {
	return !g.Closed.IsZero() || !g.Ended.At.IsZero() || g.Deadline.Passed(now) || g.damaged()
}

// damaged reports whether g lasts longer than any grant may. No such grant was
// ever given: somebody's hand or a broken disk has been at its row.
func (g Grant) damaged() bool { return wall(g.Deadline.Wall).Sub(wall(g.Start)) > MaxDuration }

// End returns the instant at which g ended or will end, by the wall clock.
func (g Grant) End() time.Time {
	if !g.Ended.At.IsZero() && g.Ended.At.Before(g.Deadline.Wall) {
		return g.Ended.At
	}
	return g.Deadline.Wall
}

// StateAt returns the state of g at a reading of the clocks.
func (g Grant) StateAt(now Reading) State {
	switch {
	case !g.Over(now) && !g.Started(now):
		return Scheduled
	case !g.Over(now) && g.Opened.IsZero():
		return Opening
	case !g.Over(now):
		return Open
	case !g.Closed.IsZero():
		return Closed
	case g.overdue(now):
		return Overdue
	}
	return Closing
}

// overdue reports whether g, which is over, has been so for longer than
// OverdueAfter by the clock that is furthest along.
func (g Grant) overdue(now Reading) bool {
	left, _ := g.Deadline.Left(now)
	early := !g.Ended.At.IsZero() && wall(now.Wall).Sub(wall(g.Ended.At)) > OverdueAfter
	return early || left < -OverdueAfter || g.damaged()
}
