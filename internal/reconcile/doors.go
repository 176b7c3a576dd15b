package reconcile

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reach/proof"
	"github.com/sesame-access/sesame/internal/reconcile/adopt"
	"github.com/sesame-access/sesame/internal/reconcile/news"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// recordDoors adds to c what is new about the doors themselves: locks that are
// shown, drift that was put right, what something foreign opens or obstructs.
func (p *pass) recordDoors(ctx context.Context, at access.Reading, c *store.Change) {
	p.recordRepairs(at, c)
	p.recordLocks(at, c)
	if p.keys != nil {
		return // a partial snapshot cannot tell who else gets in
	}
	open, unproven, obstructed := map[firewall.Door]string{}, map[firewall.Door]string{}, map[firewall.Door]string{}
	for _, w := range p.asked {
		exposed, doubt := p.lock(w)
		if exposed != "" {
			open[w.Door] = exposed
		}
		if doubt != "" {
			unproven[w.Door] = doubt
		}
	}
	for _, o := range p.back.Obstacles { // at any door: a lock that no book knows is somebody's, too
		if o.Blocks {
			obstructed[o.Door] = p.obstructed(o.Door)
		}
	}
	p.notice(ctx, audit.Exposed, open, at, c)
	for _, d := range p.notice(ctx, audit.Unproven, unproven, at, c) {
		if _, asked := p.asked.Of(d); asked && open[d] == "" {
			c.Records = append(c.Records, p.doorRecord(audit.Proven, d, at))
		}
	}
	p.notice(ctx, audit.Obstructed, obstructed, at, c)
	p.recordStrangers(at, c)
}

// recordRepairs adds a record of the drift that was put right since the last one.
func (p *pass) recordRepairs(at access.Reading, c *store.Change) {
	var drift []plan.Change
	if !p.doubtful { // what is in doubt was not put right
		drift = p.drift()
		p.loop.news.Blame(drift)
	}
	told, by := p.loop.news.Repairs(drift, at.Boot)
	if len(told) == 0 {
		return
	}
	rec := p.doorRecord(audit.Repaired, told[0].Door, at)
	rec.By = by
	rec.Plan, rec.Text = news.Repaired(told, p.woken)
	if len(drift) > 0 {
		rec.Measures = []audit.Measure{{Name: "noticed to repaired", Took: at.Wall.Sub(p.now.Wall)}}
	}
	c.Records = append(c.Records, rec)
}

// recordLocks adds a record for every lock that is shown now and was not before.
func (p *pass) recordLocks(at access.Reading, c *store.Change) {
	known := p.loop.news.Locked
	shown := map[firewall.Door]news.Lock{}
	for _, s := range p.back.Shown() {
		if !s.Locked {
			continue
		}
		want, _ := p.want.Of(s.Door)
		shown[s.Door] = news.Lock{Cut: want.Cut}
		_, before := known[s.Door]
		written := func(c plan.Change) bool { return c.Op == plan.Lock && c.Door == s.Door }
		if !before && slices.ContainsFunc(p.plan.Changes, written) {
			c.Records = append(c.Records, p.doorRecord(audit.LockShown, s.Door, at))
		}
	}
	if p.doubtful {
		maps.Copy(known, shown) // what is not shown may be there all the same
		return
	}
	p.loop.news.Locked = shown
}

// recordStrangers adds a record for every opening that is gone and that the book
// knows no grant of: one of before the book was lost, or put back.
func (p *pass) recordStrangers(at access.Reading, c *store.Change) {
	seen, left := adopt.Strangers(p.book.Grants, p.seen.Shown()), adopt.Strangers(p.book.Grants, p.back.Shown())
	maps.Copy(seen, p.loop.news.Strangers)
	for _, key := range slices.SortedFunc(maps.Keys(seen), firewall.CompareKeys) {
		if _, there := left[key]; there {
			continue
		}
		o := seen[key]
		rec := p.doorRecord(audit.Swept, key.Door, at)
		rec.Sources, rec.Deadline = []netip.Prefix{o.From}, o.Until
		rec.Text = "the book does not know of " + string(o.Grants) + "; it was closed by its mark"
		c.Records = append(c.Records, rec)
	}
	p.loop.news.Strangers = left
}

// drift returns the changes of the plan that put right what somebody else did.
func (p *pass) drift() []plan.Change {
	opened := map[string]bool{}
	for _, g := range p.book.Grants {
		g = p.loop.Recorder.Apply(g) // the book hears of it a little later
		opened[g.ID] = !g.Opened.IsZero() && g.Impeded == ""
	}
	return p.loop.news.Drift(p.plan.Changes, p.seen, p.want, opened)
}

// notice adds a record for every door of which what stands is news, and logs it:
// somebody should be woken for that. It returns the doors of which nothing stands
// any more.
func (p *pass) notice(ctx context.Context, kind audit.Kind, stands map[firewall.Door]string, at access.Reading, c *store.Change) []firewall.Door {
	begun, over := p.loop.news.Tell(kind, stands)
	for _, d := range begun {
		rec := p.doorRecord(kind, d, at)
		rec.Text = stands[d]
		c.Records = append(c.Records, rec)
		p.loop.Log.LogAttrs(ctx, slog.LevelWarn, "a door is not as it should be", slog.String("kind", string(kind)), slog.String("door", d.String()), slog.String("firewall", string(p.fw.ID)), slog.String("why", rec.Text))
	}
	return over
}

// obstructed returns what foreign keeps people with a grant out of d, if anything.
func (p *pass) obstructed(d firewall.Door) string {
	for _, o := range p.back.Obstacles {
		if o.Blocks && o.Door == d {
			return o.Text
		}
	}
	return ""
}

// lock returns who gets through the door of w without being wanted there, and by
// which rule; and the layer that keeps it from being known that nobody else does.
func (p *pass) lock(w firewall.Want) (exposed, unproven string) {
	// Asked before the others are looked at: one may be read in between.
	awaited := slices.ContainsFunc(inventory.Of(p.fw.VMs, w.Door.VM).Firewalls(), p.awaits)
	v, layers, known := p.around(w.Door.VM)
	if known {
		exposed, unproven = proof.Lock(w, v, layers)
	}
	if unproven != "" && awaited {
		unproven = p.loop.news.Said(audit.Unproven, w.Door) // in a moment it is known
	}
	for _, o := range p.back.Obstacles {
		if !o.Blocks && o.Door == w.Door {
			return o.Text, unproven
		}
	}
	for _, r := range p.refused {
		if exposed != "" && r.Door == w.Door && !r.From.IsValid() {
			return exposed + "; what would close it is held back: " + r.Why, unproven
		}
	}
	return exposed, unproven
}

// awaits reports whether the loop of another firewall is about to read it for the
// first time.
func (p *pass) awaits(id firewall.ID) bool {
	_, ours := p.loop.Lookup(id)
	return ours && id != p.fw.ID && p.loop.Sight.Awaited(id)
}

// around returns a VM that p can see, and what all firewalls around it show now.
func (p *pass) around(vm firewall.VMID) (inventory.VM, map[firewall.ID]firewall.Layer, bool) {
	v := inventory.Of(p.fw.VMs, vm)
	if v.ID == "" {
		return v, nil, false
	}
	seen := map[firewall.ID]provider.Snapshot{p.fw.ID: p.back}
	for _, id := range v.Firewalls() {
		if last, ok := p.loop.Sight.Last(id); ok && id != p.fw.ID {
			seen[id] = last
		}
	}
	vms, layers := provider.Around([]inventory.VM{v}, seen)
	return vms[0], layers, true
}

// doorRecord starts a record about a door.
func (p *pass) doorRecord(kind audit.Kind, d firewall.Door, at access.Reading) audit.Record {
	return audit.Record{
		Kind: kind, Time: firewall.Instant(at.Wall), Actor: access.System(),
		Door: d, Firewall: p.fw.ID, Clocks: at,
	}
}

// recordFailure notes the first failure in a row; the log has the others.
func (p *pass) recordFailure(err error) {
	rec := audit.Record{
		Kind: audit.WriteFailed, Time: firewall.Instant(p.now.Wall), Actor: access.System(),
		Firewall: p.fw.ID, Clocks: p.now, Text: err.Error(),
	}
	for _, c := range p.plan.Changes {
		rec.Plan = append(rec.Plan, c.String())
	}
	p.loop.Recorder.Put(store.Change{Records: []audit.Record{rec}})
}

// doors returns the state of every door that the pass saw or wanted.
func (p *pass) doors(failing string) []sight.DoorState {
	at := map[firewall.Door]*sight.DoorState{}
	var out []*sight.DoorState
	state := func(d firewall.Door) *sight.DoorState {
		if at[d] == nil {
			at[d] = &sight.DoorState{
				Door: d, Locked: false, Exposed: p.loop.news.Said(audit.Exposed, d),
				Unproven: p.loop.news.Said(audit.Unproven, d), Obstacles: nil, Openings: nil, Read: p.now.Wall, Failing: failing,
			}
			out = append(out, at[d])
		}
		return at[d]
	}
	for _, o := range p.back.Owned {
		switch o.Kind {
		case provider.OwnedLock:
			state(o.Door).Locked = true
		case provider.OwnedOpening:
			s := state(o.Door)
			s.Openings = append(s.Openings, o)
		case provider.OwnedRest: // of a foreign rule, and about no door of ours
		}
	}
	for _, w := range p.asked {
		state(w.Door)
	}
	for _, r := range p.refused {
		ours := slices.ContainsFunc(p.book.Locks, func(l access.Lock) bool { return l.Door == r.Door })
		if !r.From.IsValid() && ours && !slices.Contains(state(r.Door).Obstacles, r.Why) {
			state(r.Door).Obstacles = append(state(r.Door).Obstacles, r.Why)
		}
	}
	for _, o := range p.back.Obstacles {
		s := state(o.Door)
		s.Obstacles = append(s.Obstacles, o.Text)
	}
	states := make([]sight.DoorState, len(out))
	for i, s := range out {
		states[i] = *s
	}
	slices.SortFunc(states, func(a, b sight.DoorState) int { return firewall.CompareDoors(a.Door, b.Door) })
	return states
}
