// Package fault says what goes wrong in the simulated Azure Resource Manager: on
// which calls, how often and for how long, and how.
//
// The menu is that of a cloud which loses calls and answers, takes what it
// refuses and refuses what it takes, lies, comes late, shows the past, and lets
// others write at the worst moment.
package fault

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	// Refuse answers Status and does nothing: 429 for hours, 412 storms, 5xx.
	Refuse Kind = "refuse"
	// Lost drops the call before anything is done, without an answer.
	Lost Kind = "lost"
	// Unanswered does what was asked and drops the answer.
	Unanswered Kind = "unanswered"
	// Disowned does what was asked and answers Status, 500 if none is given.
	Disowned Kind = "disowned"
	// Fail accepts a write and lets its operation fail: it is shown, and packets
	// do not meet it.
	Fail Kind = "fail"
	// FailApplied is Fail, but packets do meet it.
	FailApplied Kind = "fail-applied"
	// Partial is Fail, but the first half of what differs is done.
	Partial Kind = "partial"
	// Supersede lets the operation be canceled by another one. Nothing is done.
	Supersede Kind = "supersede"
	// Lie answers that all is well and does nothing.
	Lie Kind = "lie"
	// Late answers that all is well and does what was asked Delay after that, to
	// whatever is there by then.
	Late Kind = "late"
	// Slow answers only after Delay. What was asked is done at once.
	Slow Kind = "slow"
	// Stale shows readers what was there Delay ago, of the changes that were made
	// since the fault was injected.
	Stale Kind = "stale"
	// Meddle makes Edits right before the call is handled.
	Meddle Kind = "meddle"
)

// kinds lists them all.
func kinds() []Kind {
	return []Kind{Refuse, Lost, Unanswered, Disowned, Fail, FailApplied, Partial, Supersede, Lie, Late, Slow, Stale, Meddle}
}

// Valid returns an error where k is no kind.
func (k Kind) Valid() error {
	if !slices.Contains(kinds(), k) {
		return fmt.Errorf("%q is no kind of fault; there are %v", k, kinds())
	}
	return nil
}

// A Fault makes calls go wrong. Its zero fields match everything.
type Fault struct {
	Kind Kind

	// Which calls: of a method, of a type such as
	// Microsoft.Network/networkSecurityGroups/securityRules, on ids that begin
	// with ID, by the identity of this name.
	Method, Type, ID, Identity string

	// How often: not the first Skip calls, then Times of them (0 for all), each
	// with probability Rate (0 for 1), for a while (0 for ever).
	Skip, Times int
	Rate        float64
	For         time.Duration

	// How: see the kinds.
	Status     int
	Code       string
	RetryAfter time.Duration
	Delay      time.Duration
	Edits      []Edit
}

// An Edit is somebody else's: a PUT or DELETE that takes effect at once.
type Edit struct {
	Method string
	ID     string
	Body   string
}

// A Call is what a fault may match.
type Call struct {
	Method   string
	Type     string // of what it is about
	Key      string // id, in lower case
	Identity string
	At       time.Time
}

// A Set is the faults that are in force. It is not safe for concurrent use.
type Set struct {
	faults []*injected
	random *rand.Rand
}

type injected struct {
	Fault

	since     time.Time
	seen, hit int
}

// NewSet returns a set without faults, whose chances depend on seed only.
func NewSet(seed uint64) *Set {
	return &Set{faults: nil, random: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // faults are meant to be repeatable
}

// Add puts f behind the others.
func (s *Set) Add(f Fault, now time.Time) {
	s.faults = append(s.faults, &injected{Fault: f, since: now, seen: 0, hit: 0})
}

// Clear takes all faults away.
func (s *Set) Clear() { s.faults = nil }

// Has reports whether there is a fault of kind k.
func (s *Set) Has(k Kind) bool {
	return slices.ContainsFunc(s.faults, func(f *injected) bool { return f.Kind == k })
}

// Draw returns the first fault that c meets, nil for none.
func (s *Set) Draw(c Call) *Fault {
	for _, f := range s.faults {
		switch {
		case f.Method != "" && f.Method != c.Method,
			f.Type != "" && !strings.EqualFold(f.Type, c.Type),
			!strings.HasPrefix(c.Key, strings.ToLower(f.ID)),
			f.Identity != "" && f.Identity != c.Identity,
			f.For > 0 && c.At.Sub(f.since) >= f.For,
			f.Times > 0 && f.hit >= f.Times,
			f.Kind == Stale && c.Method != http.MethodGet,
			f.Kind.spoils() && c.Method != http.MethodPut && c.Method != http.MethodDelete:
			continue
		}
		if f.seen++; f.seen <= f.Skip || f.Rate > 0 && s.random.Float64() >= f.Rate {
			continue
		}
		f.hit++
		return &f.Fault
	}
	return nil
}

// spoils reports whether k is about how a write ends.
func (k Kind) spoils() bool {
	return slices.Contains([]Kind{Fail, FailApplied, Partial, Supersede, Lie, Late}, k)
}

// Hides reports whether what was written is not even shown.
func (f *Fault) Hides() bool { return f != nil && (f.Kind == Lie || f.Kind == Late) }
