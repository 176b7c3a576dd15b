package plan

import (
	"container/heap"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// An Agenda says when which keys change by themselves, so that a keyed firewall
// is asked about those alone. It holds hints only: each look at the whole book
// makes a new one. The zero Agenda is empty.
type Agenda struct{ heap hints }

type hint struct {
	grant access.Grant
	keys  []firewall.Key
	// at is the order in the heap: the wall time at which to look, or lead before.
	at   time.Time
	lead time.Duration
}

type hints []hint

func (h *hints) Len() int           { return len(*h) }
func (h *hints) Less(i, j int) bool { return (*h)[i].due().Before((*h)[j].due()) }
func (h *hints) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *hints) Push(x any)         { *h = append(*h, x.(hint)) }
func (h *hints) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// Add puts the starts and deadlines that lie ahead on the agenda. A deadline is due
// lead early, the time that a write takes, and once more when it passes.
func (a *Agenda) Add(grants []access.Grant, keysOf func(access.Grant) []firewall.Key, lead time.Duration, now access.Reading) {
	for _, g := range grants {
		keys := keysOf(g)
		if len(keys) == 0 || g.Over(now) {
			continue
		}
		if g.Start.After(now.Wall) {
			heap.Push(&a.heap, hint{grant: g, keys: keys, at: g.Start, lead: 0})
		}
		heap.Push(&a.heap, hint{grant: g, keys: keys, at: g.Deadline.Wall, lead: 0})
		if left, _ := g.Deadline.Left(now); lead > 0 && left > lead {
			heap.Push(&a.heap, hint{grant: g, keys: keys, at: g.Deadline.Wall, lead: lead})
		}
	}
}

// Due removes and returns the keys to look at now.
func (a *Agenda) Due(now access.Reading) []firewall.Key {
	var keys []firewall.Key
	for len(a.heap) > 0 && a.heap[0].left(now) <= 0 {
		keys = append(keys, heap.Pop(&a.heap).(hint).keys...)
	}
	return keys
}

// Next returns how long until the first hint is due.
func (a *Agenda) Next(now access.Reading) (time.Duration, bool) {
	if len(a.heap) == 0 {
		return 0, false
	}
	return max(a.heap[0].left(now), 0), true
}

// due is the wall time at which to look.
func (x hint) due() time.Time { return x.at.Add(-x.lead) }

// left is how long until x is due, by the clock that is furthest along.
func (x hint) left(now access.Reading) time.Duration {
	if x.at.Equal(x.grant.Start) {
		return x.at.Sub(now.Wall)
	}
	left, _ := x.grant.Deadline.Left(now)
	return left - x.lead
}
