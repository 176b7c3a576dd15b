package memory

import (
	"errors"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
)

// The errors of the simulated clouds. After each of them only looking tells what
// was done.
var (
	errDown       = errors.New("memory: simulated fault: the firewall does not answer")
	errLost       = errors.New("memory: simulated fault: the write was lost")
	errPartial    = errors.New("memory: simulated fault: the write stopped half-way")
	errAmbiguous  = errors.New("memory: simulated fault: no answer to the write")
	errSuperseded = errors.New("memory: Canceled: superseded by a later write")
	errBetween    = errors.New("memory: the firewall was changed between two writes of the plan")
)

// A FaultKind is a way in which a cloud goes wrong.
type FaultKind uint8

// The kinds of faults. Ambiguous is the one that hurts, Lying the one that only
// reading back finds.
const (
	Lost      FaultKind = iota + 1 // a write is not made, and fails
	Partial                        // the first change of a write is made, and it fails
	Ambiguous                      // a write is made, and fails
	Late                           // a write is made after Delay; it fails at once
	Lying                          // a write is not made, and succeeds
	Refuse                         // a write that puts a rule for Door is refused
	Stale                          // a read shows what was there when the fault began
	Down                           // reads and writes fail
)

// A Fault makes a firewall go wrong.
type Fault struct {
	Kind FaultKind
	// Times is how many calls suffer; 0 means all until Mend.
	Times int
	// Delay is how late a Late write is made.
	Delay time.Duration
	// Quiet makes a Late write succeed at once.
	Quiet bool
	// Door is whose rules a Refuse refuses; the zero Door means every door.
	Door firewall.Door
}

// standing is a fault that waits for its victims.
type standing struct {
	Fault
	since State // what a Stale read shows
}

// Fail makes f suffer x from now on. Faults are met in the order in which they
// were set, one for each call.
func (f *Firewall) Fail(x Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(time.Now())
	f.faults = append(f.faults, standing{Fault: x, since: f.state})
}

// Mend ends all faults.
func (f *Firewall) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// meet returns the first fault that a call of the given sort suffers.
func (f *Firewall) meet(suffers func(Fault) bool) standing {
	for i, x := range f.faults {
		if !suffers(x.Fault) {
			continue
		}
		if x.Times--; x.Times == 0 {
			f.faults = append(f.faults[:i:i], f.faults[i+1:]...)
		} else if x.Times > 0 {
			f.faults[i].Times = x.Times
		}
		return x
	}
	return standing{}
}

func suffersRead(x Fault) bool { return x.Kind == Stale || x.Kind == Down }

// suffersWrite returns the test for a write of the given edits. Only what is put
// can be refused: a deletion has no content.
func suffersWrite(edits []dialect.Edit) func(Fault) bool {
	var every firewall.Door
	return func(x Fault) bool {
		if x.Kind != Refuse {
			return x.Kind != Stale
		}
		for _, e := range edits {
			if e.Put != nil && (x.Door == every || e.Put.Door() == x.Door) {
				return true
			}
		}
		return false
	}
}
