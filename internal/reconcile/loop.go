package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/book"
	"github.com/sesame-access/sesame/internal/reconcile/news"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
)

// A Loop reconciles one firewall. It is the only writer of that firewall in this
// process; what arrives while a write is in flight goes into the next one.
type Loop struct {
	Config
	id firewall.ID

	wake chan struct{} // size 1: wakes coalesce

	mu        sync.Mutex
	asked     work
	preparing int // how many are saving grants that were prepared for

	// The rest belongs to the goroutine of Run.
	agenda   plan.Agenda    // when which keys next change by themselves
	lastFull access.Reading // when the last full pass began, by every clock
	lastRun  time.Time      // the same by Go's own monotonic clock; zero if there was none
	failures int
	doubts   int        // passes in a row whose writes were not read back
	known    book.Known // what the book said last
	ready    *pass      // looked ahead, and waits for its grants to be saved; or nil
	news     news.Desk
}

// NewLoop returns the loop of one firewall; Run makes it work.
func NewLoop(cfg Config, id firewall.ID) *Loop {
	return &Loop{Config: cfg, id: id, wake: make(chan struct{}, 1), news: news.NewDesk()}
}

// work is what somebody asked of a loop.
type work struct {
	full    bool
	share   book.Share // of whoever waits
	because string
	by      []string // who changed the firewall
	waiting []chan<- Passed
	ahead   *book.Share // of grants that are being saved
}

// Passed tells a waiter how the pass went that its work was part of.
type Passed struct {
	Seen map[string]Seen // by grant
	Err  error
}

// Wake asks for a full pass. It never blocks; because is for the record of what
// the pass repairs.
func (l *Loop) Wake(because string) {
	l.ask(work{full: true, because: because})
}

// Event asks for a full pass because somebody changed the firewall; by says who, if
// that is known. It never blocks.
func (l *Loop) Event(by string) {
	l.ask(work{full: true, because: "event", by: []string{by}})
}

// Ask asks for a look at what grants need that are saved, and returns where the
// answer will come. It never blocks.
func (l *Loop) Ask(s book.Share) <-chan Passed {
	ch := make(chan Passed, 1)
	l.ask(work{share: s, waiting: []chan<- Passed{ch}})
	return ch
}

// ask adds to the work of the next pass, and starts it.
func (l *Loop) ask(w work) {
	l.add(w)
	l.rouse()
}

// rouse makes the loop take a turn.
func (l *Loop) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// add adds to the work of the next pass.
func (l *Loop) add(w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked.full = l.asked.full || w.full
	l.asked.share = l.asked.share.And(w.share)
	l.asked.waiting = append(l.asked.waiting, w.waiting...)
	l.asked.by = news.Names(l.asked.by, w.by)
	if w.because != "" {
		l.asked.because = w.because
	}
}

// take returns the work of the next pass. Whoever adds to it from now on wakes
// the loop again.
func (l *Loop) take() work {
	select {
	case <-l.wake:
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.asked
	l.asked = work{}
	return w
}

// Run passes until ctx is done.
func (l *Loop) Run(ctx context.Context) {
	l.Wake("start")
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.turnAway(ctx.Err())
			return
		case <-timer.C:
		case <-l.wake:
		}
		timer.Reset(l.turn(ctx))
	}
}

// turn makes one pass if there is a reason for one, and returns how long to wait
// for the next.
func (l *Loop) turn(ctx context.Context) time.Duration {
	w := l.take()
	l.news.Suspect(w.by)
	now := l.Clocks()
	due := l.agenda.Due(now)
	fw, _ := l.Lookup(l.id)
	resync := l.sinceFull(now) >= l.Resync || l.stepped(now)
	wanted := len(due)+len(w.share.Keys) > 0
	full := w.full || resync || l.failures+l.doubts > 0 || wanted && !l.quickSuffices(fw)
	if !full && !wanted {
		if w.ahead != nil && l.quickSuffices(fw) {
			l.ready = l.lookAhead(ctx, fw, *w.ahead)
		}
		return l.wait(now)
	}
	p := l.readied(w.share, now)
	if p == nil || full || len(due) > 0 {
		p = &pass{loop: l, fw: fw, woken: w.because, began: time.Now()}
	}
	if !full {
		w.share.Keys = append(w.share.Keys, due...)
		p.keys = w.share.Canonical()
	}
	err := p.run(ctx)
	l.finish(ctx, p, err)
	w.full = full
	switch {
	case again(err) && l.failures <= hurries:
		// Somebody was faster: look again at once, with whoever waits.
		l.ask(w)
		return 0
	case l.failures+l.doubts > 0 && l.failures+l.doubts <= hurries && len(w.waiting) > 0:
		// Most faults pass quickly; who waits can wait that long.
		l.add(w)
		return l.wait(l.Clocks())
	}
	for _, ch := range w.waiting {
		ch <- Passed{Seen: p.grants, Err: err} // buffered by the asker
	}
	return l.wait(l.Clocks())
}

// hurries is how often in a row a pass that came too late is repeated at once.
const hurries = 5

// again reports whether nothing is wrong but that somebody was faster.
func again(err error) bool {
	return errors.Is(err, errStale) || errors.Is(err, provider.ErrConflict)
}

// quickSuffices reports whether looking at single keys is enough: the firewall
// is keyed and nothing else stands in front of its VMs.
func (l *Loop) quickSuffices(fw Firewall) bool {
	for _, v := range fw.VMs {
		if len(v.Firewalls()) != 1 {
			return false
		}
	}
	return fw.Provider.Limits(fw.ID).Keyed
}

// sinceFull is how long ago the last full pass began, by the clock that says so
// first; for ever when there was none.
func (l *Loop) sinceFull(now access.Reading) time.Duration {
	if l.lastRun.IsZero() {
		return math.MaxInt64
	}
	return max(now.Boot-l.lastFull.Boot, time.Since(l.lastRun))
}

// stepped reports whether the wall clock was set since the last full pass.
func (l *Loop) stepped(now access.Reading) bool {
	return now.Stepped(l.lastFull).Abs() > time.Second
}

// finish keeps what the next turn needs to know about this one.
func (l *Loop) finish(ctx context.Context, p *pass, err error) {
	switch {
	case err == nil:
		l.failures = 0
	case again(err):
		l.failures++
	case ctx.Err() != nil:
	default:
		if l.failures++; l.failures == 1 {
			p.recordFailure(err)
		}
		p.recordOverdue()
		l.Log.LogAttrs(ctx, slog.LevelWarn, "pass failed", slog.String("firewall", string(l.id)),
			slog.Int("failures", l.failures), slog.Any("error", err))
	}
	l.doubts++
	if err != nil || !p.doubtful {
		l.doubts = 0
	}
	if p.keys == nil {
		if err == nil {
			l.lastFull, l.lastRun = p.now, p.began
		}
		if p.bookErr == nil {
			l.agenda = plan.Agenda{} // the book has just said what it is made from
		}
	}
	if p.fw.Provider != nil {
		l.agenda.Add(p.book.Grants, p.fw.Keys, p.fw.Provider.Limits(p.fw.ID).WriteTime, p.now)
	}
	l.Sight.Note(l.id, p.summary(err))
}

// summary is what the pass says of itself.
func (p *pass) summary(err error) sight.Pass {
	sum := sight.Pass{Failing: "", Late: again(err), Doors: nil}
	if err != nil && !sum.Late {
		sum.Failing = err.Error()
	}
	if p.keys == nil && p.back.Firewall != "" {
		sum.Doors = p.doors(sum.Failing)
	}
	return sum
}

// wait returns how long the loop may sleep: until the next deadline, the next
// retry or the resync bound, whichever is first.
func (l *Loop) wait(now access.Reading) time.Duration {
	wait := l.Resync - l.sinceFull(now)
	if l.failures > 0 {
		// Not the sooner of the two: in a long outage the resync is always due.
		wait = retryIn(l.failures)
	}
	if l.doubts > 0 {
		wait = min(wait, retryIn(l.doubts))
	}
	if in, ok := l.agenda.Next(now); ok {
		wait = min(wait, in)
	}
	return max(wait, 0)
}

// retryIn doubles from firstRetry and stops growing at lastRetry; it never gives
// up.
func retryIn(failures int) time.Duration {
	const doublings = 10 // far enough to reach lastRetry
	return min(firstRetry<<min(failures-1, doublings), lastRetry)
}

// turnAway answers everybody who still waits.
func (l *Loop) turnAway(err error) {
	for _, ch := range l.take().waiting {
		ch <- Passed{Seen: nil, Err: err}
	}
}
