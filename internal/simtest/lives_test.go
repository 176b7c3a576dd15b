package simtest_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

// A span is a grant in true time: when it begins and when it ends at the latest,
// and when somebody ends it, if that comes first.
type span struct {
	row               access.Grant
	begin, end, ended time.Time
}

// at returns the row of the grant as it is at an instant.
func (s span) at(now time.Time) access.Grant {
	if !s.ended.IsZero() && !now.Before(s.ended) {
		s.row.Ended = access.Ending{At: s.ended, By: access.System(), Why: access.ClosedByUser}
	}
	return s.row
}

// lives reports whether the grant lives at an instant.
func (s span) lives(now time.Time) bool {
	return !now.Before(s.begin) && now.Before(s.end) && (s.ended.IsZero() || now.Before(s.ended))
}

// TestEveryLifeEnds (T-04) draws lives of grants: 20,000 of them, or with
// SESAME_SIM_TIME a million. At any instant, every row has one deadline, and is
// before its life, in it or after it; and every opening that is wanted is there
// for rows that live, and ends with the last of them. When the wall clock is set
// back in the middle, nobody lives on by it. In the end nothing is open.
func TestEveryLifeEnds(t *testing.T) {
	const batch = 1000
	lives, seed := 20*batch, uint64(1)
	if os.Getenv("SESAME_SIM_TIME") != "" {
		lives = 1000 * batch
	}
	if text := os.Getenv("SESAME_SIM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SESAME_SIM_SEED: %v", err)
		}
	}
	for n := 0; n < lives; n += batch {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		if err := liveAndEnd(r, batch); err != nil {
			t.Fatalf("seed %d, lives from %d on: %v", seed, n, err)
		}
	}
}

// liveAndEnd draws n lives that begin within an hour and looks at them until all
// are over.
func liveAndEnd(r *rand.Rand, n int) error {
	noon := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	clocks := access.Reading{Wall: noon, Boot: time.Hour, BootID: "boot", Third: noon}
	var locks []access.Lock
	for i := range 40 {
		locks = append(locks, access.Lock{Door: firewall.Door{VM: firewall.HostVM(fmt.Sprint("vm-", i)), Protocol: firewall.TCP, Port: 22}})
	}
	slices.SortFunc(locks, func(a, b access.Lock) int { return firewall.CompareDoors(a.Door, b.Door) })
	spans := make([]span, n)
	last := noon
	for i := range spans {
		spans[i] = drawSpan(r, i, locks[r.IntN(len(locks))].Door, clocks)
		last = later(last, spans[i].end)
	}
	back := time.Duration(r.IntN(2)) * time.Duration(r.Int64N(int64(100*24*time.Hour)))
	for range 6 {
		in := time.Duration(r.Int64N(int64(2 * time.Hour)))
		if s := spans[r.IntN(n)]; r.IntN(2) == 0 {
			in = s.end.Sub(noon) - time.Duration(r.IntN(2))*time.Millisecond // right at an end, and right before
		}
		if err := look(spans, locks, clocks, in, back); err != nil {
			return err
		}
	}
	if err := look(spans, locks, clocks, last.Sub(noon), back); err != nil {
		return err
	}
	for _, w := range plan.Desired(locks, rowsAt(spans, last), clocks.Add(last.Sub(noon))) {
		if len(w.Open) > 0 {
			return fmt.Errorf("%s stays open: %v", w.Door, w.Open)
		}
	}
	return nil
}

// drawSpan draws one life; a quarter is extended once, and a quarter ended early.
func drawSpan(r *rand.Rand, i int, d firewall.Door, now access.Reading) span {
	begin := now.Wall
	if r.IntN(2) == 0 {
		begin = begin.Add(time.Duration(r.IntN(3_600_000)) * time.Millisecond)
	}
	most := int64((access.MaxDuration - access.MinDuration) / time.Millisecond)
	if r.IntN(10) > 0 {
		most = int64(time.Hour / time.Millisecond) // most are short, so that many meet
	}
	end := begin.Add(access.MinDuration + time.Duration(r.Int64N(most))*time.Millisecond)
	s := span{begin: begin, end: end, row: access.Grant{
		ID: fmt.Sprintf("g-%016x", i), Door: d, Start: begin, Deadline: access.DeadlineAt(end, now), Created: now.Wall, Epoch: 1,
		Sources: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(8))}), 32)},
	}}
	switch r.IntN(4) {
	case 0:
		s.end = end.Add(min(time.Hour, begin.Add(access.MaxDuration).Sub(end)))
		s.row.Deadline, s.row.Epoch = access.DeadlineAt(s.end, now), 2
	case 1:
		s.ended = now.Wall.Add(time.Duration(r.Int64N(int64(s.end.Sub(now.Wall)))))
	}
	return s
}

func rowsAt(spans []span, now time.Time) []access.Grant {
	rows := make([]access.Grant, len(spans))
	for i, s := range spans {
		rows[i] = s.at(now)
	}
	return rows
}

// look compares rows and openings with the lives as they are after a while, and
// the openings again as they are when the wall clock has been set back.
func look(spans []span, locks []access.Lock, clocks access.Reading, in, back time.Duration) error {
	at := clocks.Add(in)
	rows := rowsAt(spans, at.Wall)
	need := map[firewall.Key][]span{}
	for i, s := range spans {
		g := rows[i]
		before, over := !g.Started(at), g.Over(at)
		if g.Live(at) != s.lives(at.Wall) || before && g.Live(at) || over && g.Live(at) || !g.Deadline.Wall.Equal(s.end) {
			return fmt.Errorf("after %s: %s from %s to %s: live %t, over %t", in, g.ID, s.begin, s.end, g.Live(at), over)
		}
		if s.lives(at.Wall) {
			k := firewall.Key{Door: g.Door, From: g.Sources[0]}
			need[k] = append(need[k], s)
		}
	}
	for _, w := range plan.Desired(locks, rows, at) {
		for _, o := range w.Open {
			k := firewall.Key{Door: w.Door, From: o.From}
			var ids []string
			var until time.Time
			for _, s := range need[k] {
				ids, until = append(ids, s.row.ID), later(until, s.end)
			}
			if len(ids) == 0 || o.Grants != firewall.HoldersOf(ids...) || !o.Until.Equal(until) {
				return fmt.Errorf("after %s: %s from %s until %s for %s; want until %s for %v", in, w.Door, o.From, o.Until, o.Grants, until, ids)
			}
			delete(need, k) // one opening for each
		}
	}
	if len(need) > 0 {
		return fmt.Errorf("after %s: %d live grants are kept out", in, len(need))
	}
	truly := at.Wall
	at.Wall = at.Wall.Add(-back)
	for i, s := range spans {
		if rows[i].Live(at) && !s.lives(truly) {
			return fmt.Errorf("after %s, with the wall clock set back by %s: %s lives on", in, back, rows[i].ID)
		}
	}
	return nil
}
