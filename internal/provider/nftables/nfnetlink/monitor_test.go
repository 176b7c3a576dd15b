//go:build linux

package nfnetlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	. "github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

func (n namespace) monitor(t *testing.T) *Monitor {
	t.Helper()
	m, err := OpenMonitorIn(string(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// transaction reads events up to the next generation.
func transaction(t *testing.T, m *Monitor) (list []Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		e, err := m.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
		if e.Kind == EventGeneration {
			return list
		}
	}
}

func TestMonitorTellsWhatAndWho(t *testing.T) {
	ns := newNamespace(t)
	c, m := ns.dial(t), ns.monitor(t)
	b := NewBatch()
	b.AddTable(Table{TableID: gate})
	b.AddSet(Set{SetID: gate.Set("s"), Key: KeyOf(IPv4Addr), Flags: SetTimeout})
	b.AddChain(Chain{ChainID: gate.Chain("c")})
	b.AddRule(NewRule(gate.Chain("c"), "", In("s", SourceIPv4()), Accept()))
	b.AddElements(gate.Set("s"), Element{Key: []byte{10, 0, 0, 1}})
	commit(t, c, b)
	g, err := c.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{
		{Kind: EventTable, Table: gate, Port: c.Port()},
		{Kind: EventSet, Table: gate, Name: "s", Port: c.Port()},
		{Kind: EventChain, Table: gate, Name: "c", Port: c.Port()},
		{Kind: EventRule, Table: gate, Name: "c", Port: c.Port()},
		{Kind: EventElement, Table: gate, Name: "s", Port: c.Port()},
	}
	got := transaction(t, m)
	last := got[len(got)-1]
	if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	if last.Port != c.Port() || last.Generation.ID != g.ID || last.Generation.Comm+"\n" != string(comm) || last.Generation.PID == 0 {
		t.Errorf("%+v, want generation %d by port %d", last, g.ID, c.Port())
	}

	ns.nft(t, "flush", "set", "inet", "sesame", "s")
	got = transaction(t, m)
	if e := got[0]; e.Kind != EventElement || !e.Removed || e.Name != "s" || e.Port == c.Port() {
		t.Errorf("nft flushed the set: %+v", e)
	}
	if e := got[len(got)-1]; e.Generation.Comm != "nft" || e.Port == c.Port() {
		t.Errorf("nft flushed the set: %+v", e)
	}
	ns.nft(t, "delete", "table", "inet", "sesame")
	got = transaction(t, m)
	if e := got[len(got)-2]; e.Kind != EventTable || !e.Removed || e.Table != gate {
		t.Errorf("nft deleted the table: %+v", got)
	}
}

func TestMonitorSurvivesLostEvents(t *testing.T) {
	ns := newNamespace(t)
	c, m := ns.dial(t), ns.monitor(t)
	room := func(bytes int) {
		err := m.raw.Control(func(fd uintptr) {
			if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	room(1)
	for i := range 100 {
		b := NewBatch()
		b.AddTable(Table{TableID: gate})
		b.AddChain(Chain{ChainID: gate.Chain(fmt.Sprint("c", i))})
		commit(t, c, b)
	}
	lost := 0
	for { // what was kept comes too
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		e, err := m.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == EventLost {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("100 transactions overflowed nothing")
	}
	room(receiveBuffer)
	ns.nft(t, "delete", "table", "inet", "sesame")
	for _, e := range transaction(t, m) {
		if e.Kind == EventTable && e.Removed && e.Table == gate {
			return
		}
	}
	t.Error("it tells nothing any more after it lost events")
}

func TestMonitorEndsWithItsContextAndWithClose(t *testing.T) {
	m := newNamespace(t).monitor(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := m.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
	time.AfterFunc(10*time.Millisecond, func() { _ = m.Close() })
	if _, err := m.Next(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
