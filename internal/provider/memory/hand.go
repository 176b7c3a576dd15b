package memory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
)

// What people do to a firewall behind Sesame's back, and what they see of it.

// Put adds a rule by hand, or replaces the one of that name; the firewall may
// refuse it. A write under way is superseded where there is one at a time.
func (f *Firewall) Put(r Rule) error { return f.byHand(dialect.Edit{Put: &r}) }

// Remove deletes a rule by hand, ours or foreign. It reports whether there was one.
func (f *Firewall) Remove(name string) bool {
	_, found := f.Rule(name)
	return found && f.byHand(dialect.Edit{Delete: name}) == nil
}

// Edit changes a rule by hand. It reports whether there was one and the firewall
// took the change; a rule can be renamed.
func (f *Firewall) Edit(name string, change func(*Rule)) bool {
	r, found := f.Rule(name)
	if !found {
		return false
	}
	r.From = slices.Clone(r.From)
	change(&r)
	edits := []dialect.Edit{{Put: &r}}
	if r.Name != name {
		edits = []dialect.Edit{{Delete: name}, {Put: &r}}
	}
	return f.byHand(edits...) == nil
}

// Flush deletes every rule by hand, the foreign ones too.
func (f *Firewall) Flush() {
	var edits []dialect.Edit
	for _, r := range f.State().Rules {
		edits = append(edits, dialect.Edit{Delete: r.Name})
	}
	_ = f.byHand(edits...) // deletions are never refused
}

// FlushOwned deletes everything of ours by hand.
func (f *Firewall) FlushOwned() {
	var edits []dialect.Edit
	s := f.State()
	for _, r := range s.Rules {
		if s.Ours(r) {
			edits = append(edits, dialect.Edit{Delete: r.Name})
		}
	}
	_ = f.byHand(edits...) // deletions are never refused
}

func (f *Firewall) byHand(edits ...dialect.Edit) error {
	f.mu.Lock()
	now := time.Now()
	f.settle(now)
	err := f.refuses(edits)
	if err == nil {
		f.supersede()
		f.become(now, edits...)
	}
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("change %s by hand: %w", f.config().ID, err)
	}
	f.changed()
	return nil
}

// Obstruct sets what stands in the way here without being a rule.
func (f *Firewall) Obstruct(obstacles ...provider.Obstacle) {
	f.mu.Lock()
	f.obstacles = slices.Clone(obstacles)
	f.mu.Unlock()
	f.changed()
}

// Stand puts a layer of somebody else at the place of the firewall: a packet has
// to pass both. The zero layer takes it away.
func (f *Firewall) Stand(beside firewall.Layer) {
	f.mu.Lock()
	f.beside = beside
	f.mu.Unlock()
	f.changed()
}

// Skew sets how far the firewall's own clock is ahead of the true one. Timers
// that run already do not notice.
func (f *Firewall) Skew(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skew = d
}

// State returns what the firewall holds now, whatever its reads say.
func (f *Firewall) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(time.Now())
	return f.state
}

// History returns the states that came about since the last call of History,
// oldest first: one for every single write, change by hand and expiry.
func (f *Firewall) History() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(time.Now())
	states := append(slices.Clone(f.past), f.state)
	since := max(0, len(states)-f.unseen)
	f.unseen = 0
	return states[since:]
}

// Rule returns the rule with the given name.
func (f *Firewall) Rule(name string) (Rule, bool) {
	rules := f.State().Rules
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}

// Admits reports whether a packet from the given address gets through to d, and
// past what stands beside the firewall.
func (f *Firewall) Admits(d firewall.Door, from netip.Addr) bool {
	f.mu.Lock()
	beside := f.beside
	f.mu.Unlock()
	if beside.Firewall == "" {
		return f.State().Admits(d, from)
	}
	i := slices.IndexFunc(beside.Rules, func(r firewall.LayerRule) bool {
		within := func(p netip.Prefix) bool { return p.Contains(from) }
		return r.Matches(d) && (len(r.From) == 0 || slices.ContainsFunc(r.From, within))
	})
	action := beside.Default
	if i >= 0 {
		action = beside.Rules[i].Action
	}
	return action == firewall.Allow && f.State().Admits(d, from)
}

// String prints the firewall, one rule a line.
func (f *Firewall) String() string { return f.State().String() }

// Foreign returns the rules that are not ours, byte for byte, one a line.
func (f *Firewall) Foreign() string {
	var b strings.Builder
	s := f.State()
	for _, r := range s.Rules {
		if !s.Ours(r) {
			b.WriteString(r.Text() + "\n")
		}
	}
	return b.String()
}

// A Session is a connection that got through when it was made.
type Session struct {
	fw   *Firewall
	door firewall.Door
	from netip.Addr
}

// Connect makes a connection, and says that the rule that let it in was used;
// nil when it does not get through.
func (f *Firewall) Connect(d firewall.Door, from netip.Addr) *Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(time.Now())
	if !f.state.Admits(d, from) {
		return nil
	}
	if r, found := f.state.Decides(d, from); found {
		f.uses[r.Name]++
	}
	s := &Session{fw: f, door: d, from: from}
	f.sessions = append(f.sessions, s)
	return s
}

// Alive reports whether the connection still stands. It outlives the rule that
// let it in, unless the lock cuts.
func (s *Session) Alive() bool {
	s.fw.mu.Lock()
	defer s.fw.mu.Unlock()
	s.fw.settle(time.Now())
	return slices.Contains(s.fw.sessions, s)
}

// Close ends the connection.
func (s *Session) Close() {
	s.fw.mu.Lock()
	defer s.fw.mu.Unlock()
	s.fw.sessions = slices.DeleteFunc(s.fw.sessions, func(x *Session) bool { return x == s })
}

// cuts reports whether the state ends s: a lock that cuts judges every packet.
func (f *Firewall) cuts(s *Session) bool {
	return !f.state.Admits(s.door, s.from) && slices.ContainsFunc(f.state.Rules, func(r Rule) bool {
		return r.Cut && r.Action == firewall.Deny && f.state.Ours(r) && r.Door() == s.door
	})
}
