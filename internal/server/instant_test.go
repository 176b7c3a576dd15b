package server

import (
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/store"
)

// T-06: every view shows the same end: the answer, the list, the book, the
// firewall's own mark and timer, and the record. The end itself is outside.
func TestEveryViewShowsTheSameEnd(t *testing.T) {
	h := build(t)
	asked := read[api.Request](h, "requester", "POST", "/v1/requests",
		`{"vm": "web-1", "ports": [{"port": 22}], "sources": ["198.51.100.7"], "duration": "30m"}`)
	id, end := asked.Grants[0].ID, asked.Grants[0].Deadline.Time
	same := func(view string, at time.Time) {
		t.Helper()
		if !at.Equal(end) {
			t.Errorf("the answer says %v, the %s %v", end, view, at)
		}
	}
	same("grant asked for again", read[api.Grant](h, "requester", "GET", "/v1/grants/"+id, "").Deadline.Time)

	book, err := h.store.Grant(t.Context(), id)
	must(t, err)
	same("book", book.Deadline.Wall)
	at := func(wall time.Time) access.Reading { return access.Reading{Wall: wall, BootID: "another boot"} }
	if !book.Live(at(end.Add(-time.Nanosecond))) || book.Live(at(end)) {
		t.Error("the grant does not last until its end, and no longer")
	}

	seen, err := h.world.Observe(t.Context(), "fw-web-1", nil)
	must(t, err)
	for _, o := range seen.Owned {
		if o.Opening.From.IsValid() {
			same("mark", o.Opening.Until)
			if late := o.Closes.Sub(end); late > 0 || late < -time.Second {
				t.Errorf("the firewall closes %v after the end", late)
			}
		}
	}
	entries, err := h.store.Tail(t.Context(), store.ActivityFilter{Grant: id, Kinds: []audit.Kind{audit.Requested}}, -1)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("%d records of the request", len(entries))
	}
	same("record", entries[0].Deadline)
}
