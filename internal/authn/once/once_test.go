package once

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func noon() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

// One code, sent 64 times at once, works once.
func TestA07OneTimeMeansOnce(t *testing.T) {
	b := New[int](10, time.Minute)
	for range 100 {
		key := b.Put(1, noon())
		var got atomic.Int64
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if v, ok := b.Take(key, noon()); ok {
					got.Add(int64(v))
				}
			})
		}
		all.Wait()
		if got.Load() != 1 {
			t.Fatalf("taken %d times", got.Load())
		}
	}
}

func TestNothingIsKeptForLong(t *testing.T) {
	b := New[int](2, time.Minute)
	key := b.Put(1, noon())
	if _, ok := b.Take(key, noon().Add(time.Minute)); ok {
		t.Error("taken when its time was up")
	}
	first, second, third := b.Put(1, noon()), b.Put(2, noon()), b.Put(3, noon())
	if _, ok := b.Take(first, noon()); ok {
		t.Error("the oldest did not make room")
	}
	for want, key := range map[int]string{2: second, 3: third} {
		if v, ok := b.Take(key, noon()); !ok || v != want {
			t.Errorf("%d, %t, want %d", v, ok, want)
		}
	}
	if _, ok := b.Take("", noon()); ok {
		t.Error("there is something under no key")
	}
	for i := range 1000 { // all taken at once; what the box remembers stays small
		b.Take(b.Put(i, noon()), noon())
	}
	if len(b.held) != 0 || len(b.order) > 4 {
		t.Errorf("%d are held, %d remembered", len(b.held), len(b.order))
	}
}
