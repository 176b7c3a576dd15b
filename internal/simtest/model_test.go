package simtest_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/store"
)

// model is what must be true of the world, kept apart from the code that makes it
// true: what the database says, in true time.
type model struct {
	grants  map[string]*life
	rules   store.Rules
	foreign []map[string]bool // by firewall: the texts of the rules by other hands
	claims  []string          // the grants that the database says are closed, since the last check
	shown   []map[string]bool // by firewall: the openings that it showed last, as they were read
	// secured are the doors that were seen locked, and that no hand, and nobody
	// with the right to, has undone since.
	secured map[firewall.Door]bool
	// unsaved are the grants that were closed while nothing could be saved.
	unsaved map[string]bool
	ever    map[firewall.Door]bool // exempt sources were let in by a policy
}

// A life is one grant in true time.
type life struct {
	access.Grant
	start, end time.Time // the end moves; early ends count
	lost       bool      // a restored database does not know it
	shut       bool      // it was seen closed after its end, while all was quiet
	// How far the clocks were off when the deadline was set.
	wall, third time.Duration
	boots       int
	longest     time.Time // the latest wall deadline that it ever had
}

func newModel() model {
	return model{
		grants: map[string]*life{}, secured: map[firewall.Door]bool{},
		unsaved: map[string]bool{}, ever: map[firewall.Door]bool{},
	}
}

// learn reads the database, and notes in true time what is new.
func (s *sim) learn(anew bool) error {
	var err error
	if s.rules, err = s.inst.Store().Rules(s.ctx); err != nil {
		return err
	}
	for _, l := range s.rules.Locks {
		if len(l.Exempt) > 0 {
			s.ever[l.Door] = true
		}
	}
	rows := map[string]bool{}
	f := store.GrantFilter{Page: store.Page{Limit: store.MaxLimit}}
	for {
		page, next, err := s.inst.Store().Grants(s.ctx, f)
		if err != nil {
			return err
		}
		for _, g := range page {
			rows[g.ID] = true
			s.note(g, anew)
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	for id, g := range s.grants {
		if !rows[id] && !g.lost {
			g.lost, g.end = true, s.clocks.Now()
		}
	}
	return nil
}

// note notes what a row says. A deadline is new when it has just been set, so by
// now all clocks of its own time agree on what is left.
func (s *sim) note(g access.Grant, anew bool) {
	now, reading := s.clocks.Now(), s.inst.Fleet().Clocks()
	l, known := s.grants[g.ID]
	if !known {
		l = &life{}
		s.grants[g.ID] = l
	}
	if !known || anew || g.Deadline != l.Deadline {
		left, _ := g.Deadline.Left(reading)
		l.end = now.Add(max(left, -time.Hour))
		if !known {
			l.start = now.Add(max(0, g.Start.Sub(reading.Wall)))
			l.wall, l.third, l.boots = s.offWall, s.offThird, s.boots
		} else if !anew {
			l.wall, l.third, l.boots = s.offWall, s.offThird, s.boots
		}
		l.shut = false
	}
	if !g.Ended.At.IsZero() && l.Ended.At.IsZero() && l.end.After(now) {
		l.end = now
	}
	if g.Deadline.Wall.After(l.longest) {
		l.longest = g.Deadline.Wall
	}
	if g.Started(reading) && now.Before(l.start) {
		l.start = now // the wall clock alone says when a grant starts
	}
	if known && !anew && l.Closed.IsZero() && !g.Closed.IsZero() {
		s.claims = append(s.claims, g.ID)
	}
	l.Grant, l.lost = g, false
	if !g.Ended.At.IsZero() {
		delete(s.unsaved, g.ID)
	}
}

// forgetUnsaved: a process that is gone has forgotten what it could not save.
func (s *sim) forgetUnsaved() { clear(s.unsaved) }

// closable reports whether some clock that is not behind can say that g is over.
func (s *sim) closable(g *life) bool {
	third := s.h.Dialect != memory.Keyed && !g.Deadline.Third.IsZero() && s.offThird >= g.third
	return s.offWall >= g.wall || s.boots == g.boots || third
}

// check checks every invariant against everything that happened since the last
// check, write by write, and against how things stand now.
func (s *sim) check() error {
	synctest.Wait()
	now := s.clocks.Now()
	if s.noisy() {
		s.noise = later(s.noise, now)
	}
	if s.stormy() {
		s.storm = later(s.storm, now)
	}
	if err := s.learn(false); err != nil {
		return err
	}
	for i, w := range s.walls {
		for _, st := range w.History() {
			if err := errors.Join(s.past(st, len(s.walls) == 1), s.written(i, st), s.strangers(i, st)); err != nil {
				return fmt.Errorf("at %s: %w\n%s", st.At.Format(time.TimeOnly), err, st)
			}
		}
	}
	if err := s.closed(); err != nil {
		return fmt.Errorf("at %s: %w\n%s", now.Format(time.TimeOnly), err, s.world)
	}
	s.handled = false
	for _, d := range doors() {
		if err := s.door(d, now); err != nil {
			return fmt.Errorf("at %s: %w\n%s", now.Format(time.TimeOnly), err, s.world)
		}
	}
	return nil
}

// past checks one state of a firewall. Alone, it decides who gets in.
func (s *sim) past(st memory.State, alone bool) error {
	for _, d := range doors() {
		if !alone || !s.secured[d] {
			continue
		}
		for _, a := range probes() {
			if st.Admits(d, a) && !s.explained(d, a) {
				return fmt.Errorf("%s gets through to %s, and nobody there has a grant for it", a, d)
			}
		}
	}
	for _, o := range st.Owned(nil) {
		if o.Kind != provider.OwnedOpening || o.Mark != firewall.MarkGood || o.Opening.Exempt() {
			continue
		}
		id := o.Opening.Grants.IDs()[0]
		g, ok := s.grants[id]
		switch {
		case !ok:
			return fmt.Errorf("%s from %s is for %s, which is in no database", o.Door, o.Opening.From, id)
		case g.Door != o.Door || !slices.Contains(g.Sources, o.Opening.From):
			return fmt.Errorf("%s from %s is for %s, which is for %s from %s", o.Door, o.Opening.From, id, g.Door, g.Sources)
		case o.Opening.Until.After(s.longest(o.Door, o.Opening.From)):
			return fmt.Errorf("%s from %s lasts until %s, and no grant does", o.Door, o.Opening.From, o.Opening.Until)
		}
	}
	return nil
}

// written checks that no opening of a state was written after everybody who needs
// it had ended: what was decided before is checked again right before the write.
// Where a plan takes several slow writes, the last comes long after the check.
func (s *sim) written(wall int, st memory.State) error {
	slow := s.h.Write > 0 && (s.h.Single || s.h.Dialect == memory.Union)
	before := s.shown[wall]
	s.shown[wall] = map[string]bool{}
	sent := s.clocks.Now().Add(-time.Since(st.At) - s.h.Write)
	for _, o := range st.Owned(nil) {
		if o.Kind != provider.OwnedOpening || o.Mark != firewall.MarkGood || o.Opening.Exempt() {
			continue
		}
		s.shown[wall][o.Native] = true
		if before[o.Native] || s.unclear() || s.offWall != 0 || slow {
			continue
		}
		live := false
		for _, g := range s.grants {
			ended := !g.Ended.At.IsZero() && g.Ended.At.Before(sent)
			live = live || g.Door == o.Door && slices.Contains(g.Sources, o.Opening.From) && !ended
		}
		if !live {
			return fmt.Errorf("%s from %s was opened after all its grants had ended\n%s", o.Door, o.Opening.From, s.story(o.Door))
		}
	}
	return nil
}

// unclear reports whether what the firewalls show may be somebody else's doing, or
// a write's of long ago.
func (s *sim) unclear() bool {
	return s.handled || s.late || s.clocks.Now().Before(s.lateUntil)
}

// closed checks what the database has begun to claim since the last check: that
// these grants were read back closed. Only reads that lie or lag can be wrong
// about that.
func (s *sim) closed() error {
	claims := s.claims
	s.claims = nil
	if s.unclear() || s.stale || s.h.Lag > 0 {
		return nil
	}
	for _, w := range s.walls {
		for _, o := range w.State().Owned(nil) {
			if o.Kind != provider.OwnedOpening || o.Mark != firewall.MarkGood || o.Opening.Exempt() {
				continue
			}
			needs := func(g *life) bool { return g.Door == o.Door && slices.Contains(g.Sources, o.Opening.From) }
			claimed := slices.ContainsFunc(claims, func(id string) bool { return needs(s.grants[id]) })
			for _, g := range s.grants {
				claimed = claimed && !(needs(g) && g.Closed.IsZero())
			}
			if claimed {
				return fmt.Errorf("%s from %s is said to be closed, and is not\n%s", o.Door, o.Opening.From, s.story(o.Door))
			}
		}
	}
	return nil
}

// longest returns the latest deadline that any grant of a source ever had.
func (s *sim) longest(d firewall.Door, from netip.Prefix) (latest time.Time) {
	for _, g := range s.grants {
		if g.Door == d && slices.Contains(g.Sources, from) {
			latest = later(latest, g.longest)
		}
	}
	return latest
}

// explained reports whether somebody at a may come through d, or might have been
// meant to not long ago.
func (s *sim) explained(d firewall.Door, a netip.Addr) bool {
	if s.ever[d] && exempt().Contains(a) {
		return true
	}
	for _, g := range s.grants {
		if g.Door == d && covered(g.Sources, a) && !g.shut && !s.clocks.Now().Before(g.start) {
			return true
		}
	}
	return false
}

// strangers checks the foreign rules of a state.
func (s *sim) strangers(wall int, st memory.State) error {
	want := maps.Clone(s.foreign[wall])
	for _, r := range st.Rules {
		text := r.Text()
		switch {
		case st.Ours(r):
		case want[text]:
			delete(want, text)
		default:
			return fmt.Errorf("the foreign rule %s is nobody's: %s", r.Name, text)
		}
	}
	if s.h.Dialect != memory.Union || s.displaced {
		if len(want) > 0 && s.h.Dialect != memory.Union {
			return fmt.Errorf("foreign rules are gone: %q", slices.Sorted(maps.Keys(want)))
		}
		return nil
	}
	stored, err := s.inst.Store().Displaced(s.ctx, st.Config.ID)
	if err != nil {
		return err
	}
	for text := range want {
		if !slices.ContainsFunc(stored, func(c planChange) bool { return c.Undo == text }) {
			return fmt.Errorf("the foreign rule %s is gone and nowhere stored", text)
		}
	}
	return nil
}

// door checks who gets through d now.
func (s *sim) door(d firewall.Door, now time.Time) error {
	quiet := now.Sub(s.noise) >= s.delta()
	calm := quiet && now.Sub(s.storm) >= s.delta()
	locked := slices.ContainsFunc(s.rules.Locks, func(l access.Lock) bool { return l.Door == d })
	if quiet && locked && now.Sub(s.storm) >= s.delta() && s.readLocked(d) {
		s.secured[d] = true
	}
	if slices.Contains(s.rules.Unlocked, d) {
		delete(s.secured, d)
	}
	for _, a := range probes() {
		in := s.world.Admits(d, a)
		switch {
		case s.secured[d] && in && !s.explained(d, a):
			return fmt.Errorf("%s gets through to %s, and nobody there has a grant for it", a, d)
		case s.secured[d] && in && quiet && !s.lives(d, a, now):
			return fmt.Errorf("%s still gets through to %s; it is quiet since %s\n%s", a, d, s.noise.Format(time.TimeOnly), s.story(d))
		case calm && locked && !in && s.entitled(d, a, now):
			return fmt.Errorf("%s does not get through to %s; it is calm since %s\n%s", a, d, s.storm.Format(time.TimeOnly), s.story(d))
		}
	}
	if quiet && s.secured[d] {
		for _, g := range s.grants {
			over := !now.Before(g.end.Add(s.delta()))
			if g.Door == d && over && !s.anyIn(g) {
				g.shut = true
			}
		}
	}
	return nil
}

func (s *sim) anyIn(g *life) bool {
	return slices.ContainsFunc(probes(), func(a netip.Addr) bool { return covered(g.Sources, a) && s.world.Admits(g.Door, a) })
}

// readLocked reports whether Sesame says that it has read the lock back.
func (s *sim) readLocked(d firewall.Door) bool {
	if !s.inst.Running() {
		return false
	}
	n := 0
	for _, x := range s.inst.Fleet().Doors(d.VM) {
		if x.Door == d && x.Locked && x.Exposed == "" {
			n++
		}
	}
	return n == len(s.walls)
}

// lives reports whether somebody at a has a grant for d that has not ended for
// long, or that no clock can be asked about.
func (s *sim) lives(d firewall.Door, a netip.Addr, now time.Time) bool {
	if s.ever[d] && exempt().Contains(a) {
		return true
	}
	for id, g := range s.grants {
		if g.Door != d || !covered(g.Sources, a) || now.Before(g.start) {
			continue
		}
		if s.unsaved[id] {
			continue
		}
		if now.Before(g.end.Add(s.delta())) || !s.closable(g) {
			return true
		}
	}
	return false
}

// entitled reports whether somebody at a must get through d: a grant lives, has
// for a while, and nothing is said to be in its way.
func (s *sim) entitled(d firewall.Door, a netip.Addr, now time.Time) bool {
	reading := s.inst.Fleet().Clocks()
	for id, g := range s.grants {
		if g.Door != d || !covered(g.Sources, a) || g.lost || s.unsaved[id] || !g.Ended.At.IsZero() {
			continue
		}
		left, _ := g.Deadline.Left(reading)
		if now.Sub(g.start) > s.delta() && left > 2*s.h.Write+time.Second && g.Impeded == "" && g.Closed.IsZero() {
			return true
		}
	}
	return false
}

// story tells what is known about the grants of a door.
func (s *sim) story(d firewall.Door) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(s.grants)) {
		if g := s.grants[id]; g.Door == d {
			fmt.Fprintf(&b, "%s from %s: %s to %s, lost=%v shut=%v impeded=%q opened=%s closed=%s ended=%s\n", id, g.Sources,
				g.start.Format(time.TimeOnly), g.end.Format(time.TimeOnly), g.lost, g.shut, g.Impeded,
				g.Opened.Format(time.TimeOnly), g.Closed.Format(time.TimeOnly), g.Ended.At.Format(time.TimeOnly))
		}
	}
	return b.String()
}

// allClosed fails unless every grant ended, and was read back closed.
func (s *sim) allClosed() error {
	var err error
	for id, g := range s.grants {
		if state := g.StateAt(s.clocks.Read()); !g.lost && state != access.Closed {
			err = errors.Join(err, fmt.Errorf("grant %s for %s is %s", id, g.Door, state))
		}
	}
	return err
}

// log checks the audit log: it verifies, and each grant's story is in order.
func (s *sim) log() error {
	_, records, err := s.inst.Bundle(s.ctx)
	if err != nil {
		return fmt.Errorf("the audit log: %w", err)
	}
	seen := map[string][]audit.Kind{}
	for i, sealed := range records {
		r, err := sealed.Open()
		if err != nil || sealed.Index != int64(i) {
			return fmt.Errorf("record %d is %d: %w", i, sealed.Index, err)
		}
		before := seen[r.Grant]
		need := map[audit.Kind][]audit.Kind{
			audit.Opened: {audit.Requested}, audit.Extended: {audit.Requested}, audit.Expired: {audit.Requested},
			audit.Ended: {audit.Requested}, audit.Closed: {audit.Expired, audit.Ended}, audit.OverdueClosing: {audit.Requested},
		}[r.Kind]
		if r.Grant != "" && len(need) > 0 && !slices.ContainsFunc(need, func(k audit.Kind) bool { return slices.Contains(before, k) }) {
			return fmt.Errorf("record %d: %s of %s comes after %v", i, r.Kind, r.Grant, before)
		}
		once := []audit.Kind{audit.Requested, audit.Ended, audit.Expired, audit.Closed}
		if r.Grant != "" && slices.Contains(once, r.Kind) && slices.Contains(before, r.Kind) {
			return fmt.Errorf("record %d: a second %s of %s", i, r.Kind, r.Grant)
		}
		if slices.Contains(before, audit.Closed) && r.Grant != "" && r.Kind != audit.Denied && r.Kind != audit.OverdueClosing {
			return fmt.Errorf("record %d: %s of %s, which is closed", i, r.Kind, r.Grant)
		}
		seen[r.Grant] = append(before, r.Kind)
	}
	return nil
}
