package store_test

import (
	"database/sql"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// asked is what a request that is granted saves: idempotency key, request, grant
// and record.
func asked(n int) store.Change {
	who := access.Principal{Issuer: "https://id.example", Subject: fmt.Sprintf("user-%d", n%100), Display: "A User"}
	door := firewall.Door{VM: firewall.VMID(fmt.Sprintf("host://web-%d", n%1000)), Protocol: firewall.TCP, Port: 22}
	now := time.UnixMilli(1774747800000 + int64(n)).UTC()
	from := []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}), 32)}
	r := access.Request{
		ID: fmt.Sprintf("r-%016d", n), Principal: who, Doors: []firewall.Door{door}, Sources: from,
		Caller: from[0].Addr(), Duration: time.Hour, Reason: "the disk is full and somebody must look", Asked: now,
	}
	g := access.Grant{
		ID: fmt.Sprintf("g-%016d", n), Request: r.ID, Principal: who, Door: door, Sources: from, Reason: r.Reason,
		Policy: "web", Start: now, Created: now, Epoch: 1,
		Deadline: access.Deadline{Wall: now.Add(time.Hour), Boot: time.Hour, BootID: "0b7e2c1c-6f3e", Third: time.Time{}},
	}
	return store.Change{
		Idempotency: store.Idempotency{Principal: who, Key: r.ID, Request: r.ID, At: now},
		Requests:    []store.Request{{Request: r, Decision: access.Decision{Allow: true, By: []string{"user may request web"}}}},
		Grants:      []access.Grant{g},
		Records: []audit.Record{{
			Kind: audit.Requested, Time: now, Actor: who, Caller: r.Caller, Request: r.ID, Grant: g.ID, Door: door,
			Sources: from, Reason: r.Reason, By: []string{"user may request web"}, Deadline: g.Deadline.Wall,
			Clocks: access.Reading{Wall: now, Boot: time.Hour, BootID: "0b7e2c1c-6f3e", Third: time.Time{}},
		}},
	}
}

// BenchmarkSave measures a whole request, from Save to the disk.
func BenchmarkSave(b *testing.B) {
	for _, clients := range []int{1, 8, 32, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "sesame.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			took := make([][]time.Duration, clients)
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					for n := c; n < b.N; n += clients {
						change := asked(n)
						start := time.Now()
						if err := s.Save(b.Context(), change); err != nil {
							b.Error(err)
							return
						}
						took[c] = append(took[c], time.Since(start))
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			report(b, slices.Concat(took...))
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkRead measures reads among 100,000 pending grants.
func BenchmarkRead(b *testing.B) {
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "sesame.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const grants, each = 100_000, 500
	for n := 0; n < grants; n += each {
		var c store.Change
		for i := range each {
			one := asked(n + i)
			c.Requests, c.Grants, c.Records = append(c.Requests, one.Requests...), append(c.Grants, one.Grants...), append(c.Records, one.Records...)
		}
		if err := s.Save(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	for _, read := range []struct {
		name string
		do   func(n int) error
	}{
		{"GrantsAt", func(n int) error {
			g := asked(n % grants).Grants[0]
			got, err := s.GrantsAt(ctx, []firewall.Key{{Door: g.Door, From: g.Sources[0]}})
			if err == nil && len(got) == 0 {
				b.Fatal("no grant")
			}
			return err
		}},
		{"Epochs", func(n int) error { _, err := s.Epochs(ctx, []string{fmt.Sprintf("g-%016d", n%grants)}); return err }},
		{"Grant", func(n int) error { _, err := s.Grant(ctx, fmt.Sprintf("g-%016d", n%grants)); return err }},
		{"Rules", func(int) error { _, err := s.Rules(ctx); return err }},
		{"Pending", func(int) error { _, err := s.Pending(ctx); return err }},
		{"Grants", func(int) error { _, _, err := s.Grants(ctx, store.GrantFilter{}); return err }},
		{"Activity", func(int) error { _, _, err := s.Activity(ctx, store.ActivityFilter{}); return err }},
		{"ActivityOfPrincipal", func(n int) error {
			_, _, err := s.Activity(ctx, store.ActivityFilter{Principal: asked(n).Grants[0].Principal})
			return err
		}},
		{"Tree", func(int) error { _, err := s.Tree(ctx); return err }},
	} {
		b.Run(read.name, func(b *testing.B) {
			for n := range b.N {
				if err := read.do(n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFrames counts the pages that a request makes the database write ahead,
// in a book that has some already.
func BenchmarkFrames(b *testing.B) {
	path := filepath.Join(b.TempDir(), "sesame.db")
	s, err := store.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const some = 1000
	for n := range some {
		if err := s.Save(b.Context(), asked(n*7919%some)); err != nil {
			b.Fatal(err)
		}
	}
	frames := func() (n int) {
		var busy, moved int
		if err := db.QueryRowContext(b.Context(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &n, &moved); err != nil || moved != n {
			b.Fatalf("%d of %d frames moved: %v", moved, n, err)
		}
		return n
	}
	sum := 0
	for n := range b.N {
		frames() // all is moved: the next one begins anew
		if err := s.Save(b.Context(), asked(some+n)); err != nil {
			b.Fatal(err)
		}
		sum += frames()
	}
	b.ReportMetric(float64(sum)/float64(b.N), "frames/op")
}
