package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/adopt"
	"github.com/sesame-access/sesame/internal/reconcile/book"
)

// errStale says that the book changed between reading it and writing to the
// firewall; the next pass starts at once.
var errStale = errors.New("the book changed during the pass")

// A pass is one run over one firewall.
type pass struct {
	loop   *Loop
	fw     Firewall
	keys   []firewall.Key // nil for a full pass
	woken  string         // why: for the record of a repair
	began  time.Time
	ahead  book.Share // of grants that were being saved when the pass looked
	looked bool
	now    access.Reading

	book    book.Entries
	bookErr error // why the book could not be read; then the pass only closes
	seen    provider.Snapshot
	out     []plan.Change  // the foreign rules that are displaced
	asked   firewall.Wants // what must be shown
	want    firewall.Wants // of that, what is not held back
	plan    plan.Plan
	refused []plan.Refusal
	wrote   bool
	back    provider.Snapshot
	// doubtful says that after the write the firewall does not show what it must.
	doubtful bool
	grants   map[string]Seen // how each grant stands, as read back
}

// run is the whole design: look, write, read back, record. A crash after any line
// leaves nothing that the next pass would not put right.
func (p *pass) run(ctx context.Context) error {
	if err := p.look(ctx); err != nil {
		return err
	}
	if p.adopt(ctx) {
		return errStale // the book knows more than the pass has read
	}
	writeErr := p.write(ctx)
	if errors.Is(writeErr, errStale) && !p.wrote {
		return writeErr // the plan was never carried out: the next pass has something to record
	}
	if err := p.readBack(ctx); err != nil {
		return errors.Join(writeErr, fmt.Errorf("read back %s: %w", p.fw.ID, err))
	}
	if p.doubt(ctx); p.wrote && !p.doubtful {
		writeErr = nil // what is read back counts, not what the firewall answered
	}
	p.forget(ctx)
	p.record(ctx)
	return errors.Join(writeErr, p.bookErr)
}

// look reads and decides, and changes nothing. A pass that looked ahead has done
// so already.
func (p *pass) look(ctx context.Context) error {
	if p.looked {
		return nil
	}
	p.looked = true
	p.now = p.loop.Clocks()
	p.readBook(ctx)
	if err := p.observe(ctx); err != nil {
		return fmt.Errorf("observe %s: %w", p.fw.ID, err)
	}
	p.decide()
	p.asked = p.want
	if err := p.compile(ctx); err != nil {
		return fmt.Errorf("compile %s: %w", p.fw.ID, err)
	}
	return nil
}

// readBook reads what is wanted. Failing to is not the end of the pass.
func (p *pass) readBook(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if p.book, p.bookErr = book.Read(ctx, p.loop.Book, p.keys, inventory.IDs(p.fw.VMs)); p.bookErr == nil {
		p.loop.known.Learn(p.book, p.keys == nil)
		p.book.Expect(p.ahead.Grants)
		p.book.Grants = p.loop.Endings.Apply(p.book.Grants)
	}
}

// observe reads the firewall, and believes its clock as a third one.
func (p *pass) observe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.callTime())
	defer cancel()
	var err error
	p.seen, err = p.fw.Provider.Observe(ctx, p.fw.ID, p.keys)
	if err == nil && !p.seen.Clock.IsZero() {
		p.now.Third = p.seen.Clock
	}
	orphans := adoption.Orphans(p.book.Locks, p.book.Grants, p.seen.Shown(), p.book.Unlocked)
	p.book.Locks = slices.Concat(p.book.Locks, orphans)
	return err
}

// adopt takes note, after a loss, of openings that the book does not know, and
// reports whether it now knows more. What cannot be adopted is closed.
func (p *pass) adopt(ctx context.Context) bool {
	if p.keys != nil || p.bookErr != nil || !p.loop.Loss.Fresh(p.now) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	more, err := adopt.Take(ctx, p.loop.Book, p.loop.Loss, p.fw.ID, p.fw.VMs, adopt.Strangers(p.book.Grants, p.seen.Shown()), p.now)
	if err != nil {
		p.loop.Log.LogAttrs(ctx, slog.LevelError, "adopt what the book has lost; it is closed", slog.String("firewall", string(p.fw.ID)), slog.Any("error", err))
	}
	return more
}

// decide says what the firewall must show. Without the book, what it said last
// still closes and locks, and opens nothing; with holes in a VM's inventory,
// nothing new is opened there.
func (p *pass) decide() {
	shown := p.seen.Shown()
	if p.bookErr != nil {
		grants := p.loop.Endings.Apply(slices.Collect(maps.Values(p.loop.known.Grants)))
		p.want = plan.Remembered(shown, p.fw.ID, p.fw.VMs, p.loop.known.Locks, grants, p.now)
		return
	}
	lead := p.fw.Provider.Limits(p.fw.ID).WriteTime
	all := plan.Desired(p.book.Locks, plan.Lasting(p.book.Grants, p.now, lead), p.now)
	p.want = plan.Sticky(plan.Route(all, p.fw.VMs)[p.fw.ID], shown, p.book.Unlocked)
	for _, v := range p.fw.VMs {
		if len(v.Missing) > 0 {
			p.want = plan.NothingNew(p.want, shown, v.ID)
		}
	}
}

// compile turns the wants into a plan that passed verification: what is refused
// is held back, door by door and source by source, and everything else stands.
func (p *pass) compile(ctx context.Context) error {
	const rounds = 8
	shown := p.seen.Shown()
	var err error
	if p.out, err = p.displaced(ctx); err != nil {
		p.want = plan.Closings(p.want, shown)
	}
	for range rounds {
		if p.plan, err = p.fw.Provider.Compile(p.seen, p.want, p.out); err != nil {
			return err
		}
		verdicts := plan.Verify(p.situation(ctx))
		if len(verdicts) == 0 {
			p.refused = append(p.refused, p.plan.Refused...)
			return nil
		}
		p.want = plan.Hold(p.want, shown, verdicts...)
		p.refused = append(p.refused, verdicts...)
	}
	// Whatever keeps being refused waits, and nothing foreign is touched; what has
	// ended does not wait, nor does a lock of ours that is broken.
	p.want = plan.Closings(p.want, shown)
	p.plan, err = p.fw.Provider.Compile(p.seen, p.want, p.out)
	p.plan = p.plan.Only(plan.Close, plan.Lock)
	return err
}

// readBack reads the firewall again; only what it shows then counts. A pass
// that wrote nothing has just read it.
func (p *pass) readBack(ctx context.Context) error {
	if p.back = p.seen; !p.wrote {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.callTime())
	defer cancel()
	var err error
	p.back, err = p.fw.Provider.Observe(ctx, p.fw.ID, p.keys)
	return err
}

// doubt compares what was read back with what was wanted. A firewall whose reads
// lag behind its writes, or that lied, is looked at again soon.
func (p *pass) doubt(ctx context.Context) {
	if !p.wrote {
		return
	}
	var err error
	if p.plan.Has(plan.Displace, plan.Restore) {
		p.out, err = p.displaced(ctx)
	}
	left, compileErr := p.fw.Provider.Compile(p.back, p.want, p.out)
	p.doubtful = errors.Join(err, compileErr) != nil || !left.Empty()
}

// callTime bounds a call to the firewall, its wait for a turn included.
func (p *pass) callTime() time.Duration {
	return callTimeout + p.fw.Provider.Limits(p.fw.ID).Line
}

// clocks reads the clocks again. The firewall's own is the third one, as it was
// when s was read.
func (p *pass) clocks(s provider.Snapshot) access.Reading {
	now := p.loop.Clocks()
	if !s.Clock.IsZero() {
		now.Third = s.Clock
	}
	return now
}
