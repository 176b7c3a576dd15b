//go:build linux

package table

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A Transaction is the changes of a plan, read back from their native text.
type Transaction struct {
	sets   []string // of the frame to write, sorted; nil when it stays as it is
	remove bool
	ports  bool
	gone   elements // what must not be there
	puts   []put
	fixed  elements // ports that must be there
}

// elements are elements by set.
type elements map[string][]ruleset.Element

func (e elements) clone() elements {
	out := make(elements, len(e)+1)
	for set, list := range e {
		out[set] = slices.Clone(list)
	}
	return out
}

// A put is an opening to be written.
type put struct {
	set      string
	element  ruleset.Element
	until    time.Time // zero for an exempt source
	replaces bool
}

// NewTransaction reads the native text of changes.
func NewTransaction(changes []plan.Change) (*Transaction, error) {
	t := &Transaction{gone: elements{}, fixed: elements{}}
	for _, c := range changes {
		e, err := decode(c.Native)
		if err == nil {
			err = t.add(e)
		}
		if err != nil {
			return nil, fmt.Errorf("read change of %s: %w", c.Door, err)
		}
	}
	slices.Sort(t.sets)
	t.sets = slices.Compact(t.sets)
	return t, nil
}

// add reads one edit.
func (t *Transaction) add(e Edit) error {
	t.remove = t.remove || e.Remove
	t.sets = append(t.sets, e.Frame...)
	for _, p := range []*Port{e.Lock, e.Unlock} {
		if p == nil {
			continue
		}
		t.ports = true
		protocol, err := firewall.ParseProtocol(p.Protocol)
		if err != nil {
			return err
		}
		t.put(lockedBy(protocol), p.Port, p == e.Lock)
		if protocol == firewall.TCP {
			t.put(cutTCP, p.Port, p == e.Lock && p.Cut)
		}
	}
	for _, x := range []*Element{e.Put, e.Delete} {
		if x == nil {
			continue
		}
		key, err := parseKey(x.Key)
		if err != nil {
			return err
		}
		if _, ok := parseSlot(x.Set); !ok {
			return errkind.New(errkind.Internal, "%s is no set of openings", errkind.Quote(x.Set))
		}
		element := ruleset.Element{Key: key, Comment: x.Mark}
		if x == e.Delete {
			t.gone[x.Set] = append(t.gone[x.Set], element)
			continue
		}
		t.puts = append(t.puts, put{set: x.Set, element: element, until: x.Until, replaces: x.Replaces})
	}
	return nil
}

// put says whether a port is in a set of ports.
func (t *Transaction) put(set string, port uint16, in bool) {
	to := t.gone
	if in {
		to = t.fixed
	}
	to[set] = append(to[set], ruleset.Element{Key: ruleset.PortKey(port)})
}

// Frames reports whether the frame is written, or goes.
func (t *Transaction) Frames() bool { return t.remove || t.sets != nil }

// Locks reports whether locked ports change.
func (t *Transaction) Locks() bool { return t.ports }

// Deletes reports whether nothing is to be there that may be missing.
func (t *Transaction) Deletes() bool { return len(t.puts)+len(t.fixed) == 0 }

// Made reports whether f is already what t makes of the frame of an installation.
func (t *Transaction) Made(f *Frame, instance string) bool {
	if t.remove {
		return !f.Exists()
	}
	return f.wrong == "" && f.Stranger(instance) == ""
}

// Write writes the transaction into b. The frame is as it was found; what an
// opening has left is as of now. Nothing in it fails for being done already: to
// delete is to add and delete, because deleting what has expired is an error.
func (t *Transaction) Write(b *nfnetlink.Batch, s State, frame *Frame, now access.Reading) {
	if t.remove {
		b.AddTable(ruleset.Table{TableID: ID()})
		b.DeleteTable(ID())
		return
	}
	if t.sets != nil {
		frame.rewrite(b, t.sets, s.Keys.Instance)
	}
	gone, there := t.gone.clone(), t.fixed.clone()
	for _, p := range t.puts {
		if !p.until.IsZero() {
			p.element.Timeout = s.left(p.until, now).Truncate(time.Millisecond)
		}
		passed := !p.until.IsZero() && p.element.Timeout <= 0
		if p.replaces {
			gone[p.set] = append(gone[p.set], ruleset.Element{Key: p.element.Key})
		}
		if !passed {
			there[p.set] = append(there[p.set], p.element)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(gone)) {
		// The comment stays behind: what is added to be deleted needs none.
		b.AddElements(ID().Set(set), gone[set]...)
		b.DeleteElements(ID().Set(set), gone[set]...)
	}
	for _, set := range slices.Sorted(maps.Keys(there)) {
		b.AddElements(ID().Set(set), there[set]...)
	}
}

// left returns how long an opening may still be open when it is written at now:
// until its deadline by the wall clock, and no longer than was left when the
// state was read less the time that passed since by the clock that cannot be set.
func (s State) left(until time.Time, now access.Reading) time.Duration {
	left := until.Sub(now.Wall.Round(0))
	if back := now.Stepped(s.At); back < 0 {
		left += back
	}
	return left
}

// rewrite writes the frame with the given sets over f, in place: what is as it
// must be stays, above all the elements of the sets.
func (f *Frame) rewrite(b *nfnetlink.Batch, sets []string, instance string) {
	// Where there is a table, this wakes it up if it was switched off.
	b.AddTable(tableOf(instance))
	for _, c := range f.chains {
		b.FlushChain(c.ChainID)
	}
	for _, s := range f.sets {
		// What is anonymous went with its rule.
		if want, ok := shape(s.Name); s.Flags&ruleset.SetAnonymous == 0 && !(ok && sameSet(s, want)) {
			b.DeleteSet(s.SetID)
		}
	}
	for _, c := range f.chains {
		if !slices.Contains(chains(), c) {
			b.DeleteChain(c.ChainID)
		}
	}
	all := slices.Concat(firstSets(), sets)
	slices.Sort(all)
	all = slices.Compact(all)
	for _, name := range all {
		if set, ok := shape(name); ok {
			b.AddSet(set)
		}
	}
	for _, c := range chains() {
		b.AddChain(c)
	}
	for _, r := range rules(all) {
		b.AddRule(r)
	}
}
