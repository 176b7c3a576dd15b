// Package provider is the contract between Sesame and a firewall.
//
// The neutral part of Sesame says what a firewall must show for each door; the
// provider compiles that against its own document. Numbers, splits, placement,
// timeouts and translations stay inside the provider. The order of the writes,
// the reason for each, what undoes it and the layer that results come out as
// data that can be stored, verified together with other plans, and compared
// with what is read back.
//
// A provider knows one cloud's API or one kernel and nothing else: it does not
// know policies, principals or schedules, and it never decides who gets in.
//
// # Guarantees
//
// Every method is safe for concurrent use, honours ctx, and reads the firewall
// itself rather than a cache. The caller is the only writer of a firewall's
// owned rules; everybody else writes whenever they like.
//
//   - Foreign rules are never changed, renumbered, re-created or re-serialised.
//     The one exception is a displaced rule, where a firewall has no Deny.
//   - Every Allow written for a grant carries its mark.
//   - What was right before a plan is right after every single write of it.
//   - A plan that was applied compiles to an empty plan.
package provider

import (
	"context"
	"errors"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
)

// ErrConflict reports that the firewall changed after it was observed and that
// nothing was written. The caller observes again; it never forces the change.
var ErrConflict = errors.New("provider: the firewall changed since it was observed")

// ErrRefused reports that the firewall refused the content of a write (a quota,
// an invalid rule) and that nothing of that write was made. The same plan will
// be refused again; a smaller one may not be. Every error that is neither
// ErrConflict nor ErrRefused leaves the outcome unknown: observe.
var ErrRefused = errors.New("provider: the firewall refused the write")

// A Provider reads and writes the firewalls of one kind.
type Provider interface {
	// Inventory returns the VMs behind the provider's firewalls, sorted by id.
	// What could not be read is said in the VM's Missing; a VM is never left out
	// because something failed. The error is for when nothing at all is known.
	Inventory(ctx context.Context) ([]inventory.VM, error)

	// Observe returns fw as it is now. With keys, a keyed firewall (see Limits)
	// may answer with a partial snapshot of at least those keys; any other
	// firewall, and every firewall without keys, answers in full.
	Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (Snapshot, error)

	// Compile returns the plan that makes s show want. It is pure: no I/O, no
	// clock, the same arguments give the same plan. A door that s shows and want
	// does not mention is given back. Of a partial snapshot only the openings
	// with one of its keys are compared and changed. Displaced are the stored
	// displace changes that were not undone yet. What cannot be shown is refused
	// door by door in the plan; the error is for a snapshot or a want that is
	// itself impossible. What is lost to others with a lock is judged by the
	// caller, who looks at the layer afterwards; a want that Spares is to have no
	// foreign rule displaced.
	Compile(s Snapshot, want firewall.Wants, displaced []plan.Change) (plan.Plan, error)

	// Apply makes the changes of p, step by step, provided the firewall still is
	// as s saw it where it can tell. Deleting what is gone and writing what is
	// there already succeed. An opening whose deadline has passed is not written.
	Apply(ctx context.Context, s Snapshot, p plan.Plan) error

	// Limits returns what fw can do. It is cheap and does no I/O.
	Limits(fw firewall.ID) Limits
}

// A Watcher is a provider that notices changes by itself.
type Watcher interface {
	// Watch calls wake with each firewall that somebody else changed, or may
	// have, until ctx is done. An event only says: look again. Who changed what is
	// ours is by, as far as the firewall tells it, and empty where it does not.
	Watch(ctx context.Context, wake func(fw firewall.ID, by string)) error
}

// Limits are the numbers of one firewall.
type Limits struct {
	// Openings is how many openings it can hold in all; 0 means no limit known.
	Openings int
	// WriteTime is how long a write takes until it has effect, as measured;
	// closing starts this much earlier.
	WriteTime time.Duration
	// Resync is how long the firewall may go unread when nothing happens, where
	// reading it costs more than the caller's own resync is worth; 0 where it does
	// not.
	Resync time.Duration
	// Line is how long a call may have to wait for its turn, where a cloud counts
	// calls and the provider lines them up; the caller gives it so much more time.
	Line time.Duration
	// Conditional says that Apply changes nothing when the firewall changed.
	Conditional bool
	// Atomic says that a step is made as a whole or not at all.
	Atomic bool
	// Closes says that the firewall ends an opening at its deadline by itself,
	// with no process of ours alive.
	Closes bool
	// Keyed says that Observe can look up single keys cheaply.
	Keyed bool
	// NewIDs says that a displaced rule comes back under a new id.
	NewIDs bool
	// Cuts says that established connections of one opening can be ended
	// without touching others.
	Cuts bool
}

// A Snapshot is one firewall as it was read.
type Snapshot struct {
	Firewall firewall.ID
	// Version is opaque: an ETag, a generation. Empty where there is none.
	Version string
	// Only is the keys that a partial snapshot covers, sorted; nil for a full one.
	Only []firewall.Key
	// Clock is the firewall's own UTC at the time of reading; zero if it has none.
	Clock time.Time
	// Layer is what the reach engine sees of the firewall.
	Layer firewall.Layer
	// Beside is what other people do to the same packets at the same place, where
	// that is no part of the layer because nothing of ours is in it: a packet has
	// to pass both. Zero when there is nothing, or nothing is known of it.
	Beside firewall.Layer
	// Owned is everything of ours on it, sorted by CompareOwned.
	Owned []Owned
	// Others are the locks and openings of other installations, as far as the provider
	// can tell, sorted by CompareOwned; Wrong says whose each is. Nothing is done about
	// them: the layer has what they do.
	Others []Owned
	// Obstacles are foreign things that defeat a lock or a grant here although no
	// rule of the layer shows it, each as a sentence naming the thing.
	Obstacles []Obstacle
	// Raw is the provider's own reading; opaque to everybody else.
	Raw any
}

// OwnedKind says what a rule of ours is for.
type OwnedKind uint8

// The kinds of owned rules.
const (
	OwnedLock    OwnedKind = iota // closes a door
	OwnedOpening                  // lets a source in, for a grant or as exempt
	OwnedRest                     // keeps a part of a displaced foreign rule reachable
)

// Owned is one rule of ours as it was read.
type Owned struct {
	Kind OwnedKind
	Door firewall.Door
	// Opening is what the rule lets in, as far as it says so itself: the deadline
	// comes from its mark. Zero for a lock.
	Opening firewall.Opening
	// Mark says whether the rule's mark verifies; MarkAbsent for a lock.
	Mark firewall.MarkState
	// Cut says of a lock that connections end with their opening.
	Cut bool
	// Closes is when the firewall will end the opening by itself; zero if it
	// does not.
	Closes time.Time
	// Uses counts the connections that the rule let in, where the firewall counts.
	Uses uint64
	// Native is the rule in the provider's own encoding.
	Native string
	// Wrong says what about the rule is not as we wrote it; empty when nothing is.
	Wrong string
}

// An Obstacle is something foreign on the same machine or firewall that Sesame
// cannot see as a rule of the layer and will not touch.
type Obstacle struct {
	Door firewall.Door
	// Blocks says that it keeps out people with a grant; otherwise it lets in
	// people without one.
	Blocks bool
	Text   string
}

// Shown returns what the snapshot shows, in the terms of a want: the doors that
// are locked, and the openings whose marks verify. Of rules that let one source
// through one door, as on two interfaces, the last to end counts.
func (s Snapshot) Shown() firewall.Wants {
	var out firewall.Wants
	at := map[firewall.Door]int{}
	door := func(d firewall.Door) *firewall.Want {
		i, ok := at[d]
		if !ok {
			i = len(out)
			at[d] = i
			out = append(out, firewall.Want{Door: d, Locked: false, Cut: false, Open: nil})
		}
		return &out[i]
	}
	for _, o := range s.Owned {
		switch o.Kind {
		case OwnedLock:
			w := door(o.Door)
			w.Locked, w.Cut = true, o.Cut
		case OwnedOpening:
			if o.Mark == firewall.MarkGood {
				w := door(o.Door)
				w.Open = append(w.Open, o.Opening)
			}
		case OwnedRest:
		}
	}
	out.Sort()
	for i := range out {
		out[i].Open = lasting(out[i].Open)
	}
	return out
}

// lasting returns sorted openings with one for each source: the last to end, which
// is one without an end if there is one.
func lasting(open []firewall.Opening) []firewall.Opening {
	out := open[:0]
	for _, o := range open {
		switch n := len(out); {
		case n == 0 || out[n-1].From != o.From:
			out = append(out, o)
		case !out[n-1].Exempt():
			out[n-1] = o
		}
	}
	return out
}

// CompareOwned orders owned rules by door, kind, opening and native text.
func CompareOwned(a, b Owned) int {
	if c := firewall.CompareDoors(a.Door, b.Door); c != 0 {
		return c
	}
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	if c := firewall.CompareOpenings(a.Opening, b.Opening); c != 0 {
		return c
	}
	switch {
	case a.Native < b.Native:
		return -1
	case a.Native > b.Native:
		return 1
	}
	return 0
}
