package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory/compile"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
)

// mostStates is how many past states a firewall remembers.
const mostStates = 256

// A Firewall is one simulated firewall of a World.
type Firewall struct {
	changed func() // tells the watchers

	mu        sync.Mutex
	state     State
	past      []State   // what was there before, oldest first
	unseen    int       // how many states History has not returned yet
	flights   []*flight // writes under way, by when they land
	faults    []standing
	skew      time.Duration // of the firewall's clock against the true one
	obstacles []provider.Obstacle
	beside    firewall.Layer // of somebody else, at the same place
	uses      map[string]uint64
	sessions  []*Session
}

// A flight is a write under way.
type flight struct {
	due     time.Time
	edits   []dialect.Edit
	match   string // the version that must still stand when it lands; "" for any
	done    chan struct{}
	landed  bool
	version string // after landing
}

// settle lets everything happen that is due by now, in its order.
func (f *Firewall) settle(now time.Time) {
	for len(f.flights) > 0 && !f.flights[0].due.After(now) {
		x := f.flights[0]
		f.flights = f.flights[1:]
		f.expire(x.due)
		f.land(x)
	}
	f.expire(now)
}

// expire ends the elements whose timers have run out, one after the other.
func (f *Firewall) expire(now time.Time) {
	for {
		next := -1
		for i, r := range f.state.Rules {
			if !r.Closes.IsZero() && !r.Closes.After(now) && (next < 0 || r.Closes.Before(f.state.Rules[next].Closes)) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		r := f.state.Rules[next]
		f.become(r.Closes, dialect.Edit{Delete: r.Name})
	}
}

// land makes the edits of x, all or none.
func (f *Firewall) land(x *flight) {
	defer close(x.done)
	if x.match != "" && x.match != tag(f.state) {
		return
	}
	if f.refuses(x.edits) != nil {
		return
	}
	f.become(x.due, x.edits...)
	x.landed, x.version = true, tag(f.state)
}

// refuses says why the firewall does not take the edits; nil when it does.
func (f *Firewall) refuses(edits []dialect.Edit) error {
	s := f.state
	for _, e := range edits {
		if e.Put != nil {
			if err := s.Admissible(*e.Put); err != nil {
				return err
			}
		}
		s = s.Holding(e.On(s.Rules))
	}
	return nil
}

// become changes the state, and ends the connections that a lock cuts.
func (f *Firewall) become(at time.Time, edits ...dialect.Edit) {
	rules := f.state.Rules
	for _, e := range edits {
		rules = e.On(rules)
		if e.Put == nil {
			delete(f.uses, e.Delete)
		}
	}
	if f.past = append(f.past, f.state); len(f.past) > mostStates {
		f.past = slices.Delete(f.past, 0, len(f.past)-mostStates)
	}
	f.state = f.state.Holding(rules)
	f.state.At = at
	f.state.Version++
	f.unseen++
	f.sessions = slices.DeleteFunc(f.sessions, func(s *Session) bool { return f.cuts(s) })
}

// tag is the version of s as callers see it.
func tag(s State) string {
	if !s.Config.Versioned() {
		return ""
	}
	return strconv.Itoa(s.Version)
}

// observe returns what a read shows to the installation with the given keys.
func (f *Firewall) observe(keys firewall.Keyring, vms []firewall.VMID, only []firewall.Key) (provider.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.settle(now)
	s := f.state
	for i := len(f.past) - 1; i >= 0 && s.At.After(now.Add(-f.state.Config.ReadLag)); i-- {
		s = f.past[i]
	}
	x := f.meet(suffersRead)
	if x.Kind == Down {
		return provider.Snapshot{}, errDown
	}
	if x.Kind == Stale {
		s = x.since
	}
	r := compile.Reading{State: s, VMs: vms, Only: nil}
	r.Rules, r.Keys = slices.Clone(s.Rules), keys
	for i := range r.Rules {
		if !r.Rules[i].Closes.IsZero() { // as its own clock has it
			r.Rules[i].Closes = firewall.Instant(r.Rules[i].Closes.Add(f.skew))
		}
	}
	if s.Config.Dialect == Keyed && only != nil {
		restrict(&r, only)
	}
	return provider.Snapshot{
		Firewall: s.Config.ID, Version: tag(s), Only: r.Only, Clock: firewall.Instant(now.Add(f.skew)),
		Layer: r.Layer(), Beside: f.beside, Owned: r.Owned(f.uses), Obstacles: slices.Clone(f.obstacles), Raw: r,
	}, nil
}

// restrict leaves of r the openings with the given keys.
func restrict(r *compile.Reading, only []firewall.Key) {
	r.Only = slices.Compact(slices.SortedFunc(slices.Values(only), firewall.CompareKeys))
	r.Rules = slices.DeleteFunc(r.Rules, func(x dialect.Rule) bool {
		_, found := slices.BinarySearchFunc(r.Only, firewall.Key{Door: x.Door(), From: x.Source()}, firewall.CompareKeys)
		return r.Ours(x) && x.Action == firewall.Allow && !found
	})
}

// apply makes the changes, write by write.
func (f *Firewall) apply(ctx context.Context, version string, changes []plan.Change) error {
	writes := [][]plan.Change{changes}
	if !f.config().Whole() {
		writes = slices.Collect(slices.Chunk(changes, 1))
	}
	for i, w := range writes {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("write %s: %w", f.config().ID, err)
		}
		next, err := f.write(ctx, version, w)
		if i > 0 && errors.Is(err, provider.ErrConflict) {
			return errBetween // something was done
		}
		if err != nil {
			return err
		}
		version = next
	}
	return nil
}

// write sends one write and waits until it has effect. It returns the version
// that results.
func (f *Firewall) write(ctx context.Context, version string, changes []plan.Change) (string, error) {
	x, err := f.send(version, changes)
	if err != nil || x == nil {
		return version, err
	}
	fault := x.fault
	if wait := time.Until(x.due); wait > 0 && fault.Kind != Late {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done(): // the write goes its way without us
			return "", fmt.Errorf("write %s: %w", f.config().ID, ctx.Err())
		case <-x.done:
		case <-timer.C:
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(time.Now())
	switch {
	case fault.Kind == Late && fault.Quiet:
		return version, nil
	case fault.Kind == Late || fault.Kind == Ambiguous:
		return "", errAmbiguous
	case fault.Kind == Partial:
		return "", errPartial
	case !x.landed:
		return "", errSuperseded
	}
	return x.version, nil
}

// sent is a flight with the fault that it met.
type sent struct {
	*flight
	fault Fault
}

// send starts a write; nil means that there was nothing to do, or that the
// firewall says so.
func (f *Firewall) send(version string, changes []plan.Change) (*sent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.settle(now)
	edits, err := f.edits(changes, now)
	if err != nil {
		return nil, err
	}
	fault := f.meet(suffersWrite(edits)).Fault
	if err := map[FaultKind]error{Down: errDown, Lost: errLost}[fault.Kind]; err != nil {
		return nil, err
	}
	if fault.Kind == Lying {
		return nil, nil
	}
	if version != tag(f.state) {
		return nil, fmt.Errorf("%s: version %s, not %s: %w", f.state.Config.ID, tag(f.state), version, provider.ErrConflict)
	}
	if fault.Kind == Refuse {
		return nil, fmt.Errorf("%s: InvalidRule: simulated fault: %w", f.state.Config.ID, provider.ErrRefused)
	}
	if err := f.refuses(edits); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", f.state.Config.ID, err, provider.ErrRefused)
	}
	if fault.Kind == Partial {
		edits = edits[:min(1, len(edits))]
	}
	x := &flight{due: now.Add(f.state.Config.WriteTime), edits: edits, match: "", done: make(chan struct{})}
	if fault.Kind == Late {
		x.due, x.match = x.due.Add(fault.Delay), version
	} else if f.supersede(); f.state.Config.WriteTime > 0 && f.state.Config.Dialect == Numbered {
		f.state.Version++ // "Updating" is a version too
	}
	f.launch(x)
	f.settle(now)
	return &sent{flight: x, fault: fault}, nil
}

// launch puts x among the writes under way.
func (f *Firewall) launch(x *flight) {
	f.flights = append(f.flights, x)
	slices.SortStableFunc(f.flights, func(a, b *flight) int { return a.due.Compare(b.due) })
}

// supersede cancels the write that is under way on a numbered firewall, which
// makes one at a time.
func (f *Firewall) supersede() {
	if f.state.Config.Dialect != Numbered {
		return
	}
	f.flights = slices.DeleteFunc(f.flights, func(x *flight) bool {
		if x.match == "" { // what is late has not arrived yet
			close(x.done)
			return true
		}
		return false
	})
}

// edits reads the native writes. An opening past its deadline is not written,
// whichever clock says so; what such a write would have shortened goes.
func (f *Firewall) edits(changes []plan.Change, now time.Time) ([]dialect.Edit, error) {
	var out []dialect.Edit
	for _, c := range changes {
		e, err := dialect.Decode(c.Native)
		if err != nil {
			return nil, err
		}
		if until := c.Opening.Until; e.Put != nil && !until.IsZero() {
			if left := min(until.Sub(now), until.Sub(now.Add(f.skew))); left <= 0 {
				if c.Op != plan.Close {
					continue
				}
				e = dialect.Edit{Put: nil, Delete: e.Put.Name, Was: nil}
			} else if f.state.Config.Dialect == Keyed {
				e.Put.Closes = now.Add(until.Sub(now.Add(f.skew)))
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (f *Firewall) config() Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Config
}
