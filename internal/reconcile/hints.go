package reconcile

import (
	"container/heap"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// hints remember when which keys change by themselves, so that a keyed firewall
// is asked about those alone. They are hints only: a full pass throws them away
// and makes them anew from the book.
type hints struct{ heap hintHeap }

type hint struct {
	grant access.Grant
	keys  []firewall.Key
	// at is the order in the heap: the wall time at which to look, or lead before.
	at   time.Time
	lead time.Duration
}

type hintHeap []hint

func (h *hintHeap) Len() int           { return len(*h) }
func (h *hintHeap) Less(i, j int) bool { return (*h)[i].due().Before((*h)[j].due()) }
func (h *hintHeap) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *hintHeap) Push(x any)         { *h = append(*h, x.(hint)) }
func (h *hintHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// add remembers the starts and deadlines of grants that lie ahead. A deadline is
// due the firewall's write time early, and once more when it passes.
func (h *hints) add(grants []access.Grant, fw Firewall, now access.Reading) {
	if fw.Provider == nil {
		return
	}
	lead := fw.Provider.Limits(fw.ID).WriteTime
	for _, g := range grants {
		keys := fw.Keys(g)
		if len(keys) == 0 || g.Over(now) {
			continue
		}
		if g.Start.After(now.Wall) {
			heap.Push(&h.heap, hint{grant: g, keys: keys, at: g.Start, lead: 0})
		}
		heap.Push(&h.heap, hint{grant: g, keys: keys, at: g.Deadline.Wall, lead: 0})
		if left, _ := g.Deadline.Left(now); lead > 0 && left > lead {
			heap.Push(&h.heap, hint{grant: g, keys: keys, at: g.Deadline.Wall, lead: lead})
		}
	}
}

// due removes and returns the keys to look at now.
func (h *hints) due(now access.Reading) []firewall.Key {
	var keys []firewall.Key
	for len(h.heap) > 0 && h.heap[0].left(now) <= 0 {
		keys = append(keys, heap.Pop(&h.heap).(hint).keys...)
	}
	return keys
}

// next returns how long until the first hint is due.
func (h *hints) next(now access.Reading) (time.Duration, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return max(h.heap[0].left(now), 0), true
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
