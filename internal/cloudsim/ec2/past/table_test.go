package past_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/past"
)

type row struct{ Name, Value string }

func (r row) Key() string { return r.Name }

func rows(t *past.Table[row], at time.Time) []row {
	return slices.Collect(t.All(at))
}

// A table shows what a map would have shown at every moment that it has to
// remember, whatever was taken back in between.
func TestTableAgainstMaps(t *testing.T) {
	const memory = 5 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		book := past.NewBook(memory)
		table := past.In[row](book)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		type moment struct {
			at   time.Time
			rows map[string]row
		}
		history := []moment{{time.Time{}, map[string]row{}}}
		current := map[string]row{}
		var before map[string]row // of Begin
		var pinned time.Time
		writes := book.Writes()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key")
			switch rapid.SampledFrom([]string{"put", "put", "put", "drop", "wait", "begin", "undo", "commit", "pin", "unpin"}).Draw(t, "step") {
			case "put":
				r := row{key, rapid.StringMatching("[x-z]{2}").Draw(t, "value")}
				table.Put(now, r)
				current[key] = r
			case "drop":
				table.Drop(now, key)
				delete(current, key)
			case "wait":
				if before == nil {
					history = append(history, moment{now, maps.Clone(current)})
					now = now.Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "seconds")) * time.Second)
				}
			case "begin":
				book.Begin()
				before = maps.Clone(current)
			case "undo":
				book.Undo()
				if before != nil {
					current, before = before, nil
				}
			case "commit":
				book.Commit()
				before = nil
			case "pin":
				if pinned.IsZero() {
					pinned = now
					book.Pin(pinned)
				}
			case "unpin":
				pinned = time.Time{}
				book.Pin(pinned)
			}
			if n := book.Writes(); n < writes {
				t.Fatalf("writes went from %d to %d", writes, n)
			}
			writes = book.Writes()
			check := func(at time.Time, want map[string]row) {
				sorted := slices.SortedFunc(maps.Values(want), func(a, b row) int { return strings.Compare(a.Name, b.Name) })
				if diff := cmp.Diff(sorted, rows(&table, at)); diff != "" {
					t.Fatalf("at %s, now being %s (-want +got):\n%s", at, now, diff)
				}
				for _, k := range []string{"a", "b", "c", "d"} {
					got, found := table.Get(at, k)
					if r, there := want[k]; found != there || got != r {
						t.Fatalf("%s at %s: %+v %v, want %+v %v", k, at, got, found, r, there)
					}
				}
			}
			check(now, current)
			for _, m := range history[1:] {
				if !m.at.Before(now.Add(-memory)) && m.at.Before(now) {
					check(m.at, m.rows)
				}
			}
		}
	})
}

// Who goes through a table may put rows into it.
func TestPutWhileGoingThrough(t *testing.T) {
	table := past.In[row](past.NewBook(0))
	for _, k := range []string{"b", "d", "f"} {
		table.Put(time.Time{}, row{k, ""})
	}
	var seen []string
	for r := range table.All(time.Time{}) {
		seen = append(seen, r.Name)
		table.Put(time.Time{}, row{string(r.Name[0] - 1), ""})
	}
	if want := []string{"b", "d", "f"}; !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
	if n := len(rows(&table, time.Time{})); n != 6 {
		t.Errorf("%d rows", n)
	}
}

// A pin keeps what would be forgotten.
func TestPin(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, pin := range []bool{false, true} {
		book := past.NewBook(time.Second)
		table := past.In[row](book)
		table.Put(now, row{"a", "old"})
		if pin {
			book.Pin(now)
		}
		for i := range 10 {
			table.Put(now.Add(time.Duration(i+1)*time.Minute), row{"a", "new"})
		}
		if got, found := table.Get(now, "a"); found != pin || pin && got.Value != "old" {
			t.Errorf("pinned %v: %+v %v", pin, got, found)
		}
	}
}
