package broker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

func TestClose(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		g := b.open(t)
		_, err := b.Broker().Close(b.ctx, nobody(), g.ID)
		wants(t, err, errkind.NotFound, "that you may change")
		_, err = b.Broker().Close(b.ctx, alice(), "g-0000000000000000")
		wants(t, err, errkind.NotFound, "that you may change")
		_, err = b.Broker().Close(b.ctx, alice(), "../etc/passwd")
		wants(t, err, errkind.Invalid, "grant")
		if !b.gets() {
			t.Fatal("a refused close closed")
		}

		closed, err := b.Broker().Close(b.ctx, alice(), g.ID)
		if err != nil || closed.State != access.Closed || b.gets() {
			t.Fatalf("closed %+v, %v; admitted is %v", closed, err, b.gets())
		}
		again, err := b.Broker().Close(b.ctx, alice(), g.ID)
		if err != nil || again.State != access.Closed {
			t.Errorf("closing twice: %+v, %v", again, err)
		}
		if n := len(b.records(t, audit.Ended)); n != 1 {
			t.Errorf("%d ends recorded, want 1", n)
		}
		if r := b.records(t, audit.Closed); len(r) != 1 || r[0].Level != audit.RuleGone {
			t.Errorf("closings recorded: %+v", r)
		}

		other := b.open(t)
		if closed, err := b.Broker().Close(b.ctx, root(), other.ID); err != nil || closed.State != access.Closed {
			t.Errorf("an administrator closes: %+v, %v", closed, err)
		}
	})
}

func TestCloseNeedsNoBook(t *testing.T) {
	for name, fault := range map[string]simtest.DiskFault{"full": simtest.DiskFull, "ambiguous": simtest.DiskAmbiguous} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				g := b.open(t)
				b.Disk.Fail(fault)
				closed, err := b.Broker().Close(b.ctx, alice(), g.ID)
				if err != nil || closed.State != access.Closed || b.gets() {
					t.Fatalf("closed %+v, %v; admitted is %v", closed, err, b.gets())
				}
				time.Sleep(5 * time.Minute)
				if b.gets() {
					t.Fatal("it is open again")
				}
				b.Disk.Fail(simtest.DiskGood)
				time.Sleep(time.Minute)
				if ended, closed := b.records(t, audit.Ended), b.records(t, audit.Closed); len(ended) != 1 || len(closed) != 1 || ended[0].Index > closed[0].Index {
					t.Errorf("%d ends and %d closings recorded, in this order", len(ended), len(closed))
				}
				if _, _, err := b.Bundle(b.ctx); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What cannot be read cannot be closed by hand; it closes by its mark.
func TestCloseWithADeadBook(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		g := b.open(t)
		b.Disk.Fail(simtest.DiskDead)
		_, err := b.Broker().Close(b.ctx, alice(), g.ID)
		wants(t, err, errkind.Unavailable, "closes by itself at its deadline")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if b.gets() {
			t.Error("it did not close by itself")
		}
	})
}

// A close that an extension overtakes closes all the same.
func TestCloseAndExtendAtOnce(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		for range 20 {
			g := b.open(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = b.Broker().Extend(b.ctx, alice(), g.ID, 30*time.Minute)
			}()
			closed, err := b.Broker().Close(b.ctx, alice(), g.ID)
			<-done
			if err != nil || closed.State != access.Closed || b.gets() {
				t.Fatalf("closed %+v, %v; admitted is %v", closed, err, b.gets())
			}
		}
	})
}

func TestExtend(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		g := b.open(t)
		time.Sleep(5 * time.Minute)
		for name, x := range map[string]struct {
			by   broker.Caller
			long time.Duration
			kind errkind.Kind
			why  string
		}{
			"somebody else's": {nobody(), time.Hour, errkind.NotFound, "that you may change"},
			"an admin's":      {root(), time.Hour, errkind.NotFound, "that you may change"},
			"shorter":         {alice(), time.Minute, errkind.Invalid, "would shorten it"},
			"the same":        {alice(), 5 * time.Minute, errkind.Invalid, "would shorten it"},
			"negative":        {alice(), -time.Hour, errkind.Invalid, "would shorten it"},
			"too long":        {alice(), 56 * time.Minute, errkind.Denied, "at most 1h"},
			"for ever":        {alice(), 1<<63 - 1, errkind.Denied, "at most 1h"},
		} {
			_, err := b.Broker().Extend(b.ctx, x.by, g.ID, x.long)
			if err == nil {
				t.Errorf("%s: it was extended", name)
				continue
			}
			wants(t, err, x.kind, x.why)
		}
		if n := len(b.records(t, audit.Denied)); n != 2 {
			t.Errorf("%d denials recorded, want 2", n)
		}

		longer, err := b.Broker().Extend(b.ctx, alice(), g.ID, 55*time.Minute)
		if err != nil || longer.State != access.Open || longer.Epoch != 2 {
			t.Fatalf("extended: %+v, %v", longer, err)
		}
		saved, err := b.Store().Grant(b.ctx, g.ID)
		if err != nil || saved.Deadline != longer.Deadline || saved.Deadline.Wall.Sub(saved.Start) != time.Hour {
			t.Errorf("saved %+v, %v", saved.Deadline, err)
		}
		time.Sleep(54*time.Minute + 59*time.Second)
		if !b.gets() {
			t.Error("the extension does not hold")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if b.gets() {
			t.Error("the extension lasts for ever")
		}
		_, err = b.Broker().Extend(b.ctx, alice(), g.ID, 10*time.Minute)
		wants(t, err, errkind.Conflict, "has ended")
	})
}

// An extension counts when it was read back; until then its owner is told.
func TestExtensionIsNotReadBack(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		g := b.open(t)
		time.Sleep(5 * time.Minute)
		b.world.Firewall("fw").Fail(memory.Fault{Kind: memory.Lying})
		longer, err := b.Broker().Extend(b.ctx, alice(), g.ID, 40*time.Minute)
		if err != nil || longer.State != access.Open || !strings.Contains(longer.Pending, "does not show it until then yet") {
			t.Errorf("after a write that lies: %s, pending %q, %v", longer.State, longer.Pending, err)
		}
		b.world.Firewall("fw").Mend()
		time.Sleep(time.Minute)
		longer, err = b.Broker().Extend(b.ctx, alice(), g.ID, 45*time.Minute)
		if err != nil || longer.State != access.Open || longer.Pending != "" {
			t.Errorf("after the next write: %s, pending %q, %v", longer.State, longer.Pending, err)
		}
		b.world.Firewall("fw").Fail(memory.Fault{Kind: memory.Down})
		longer, err = b.Broker().Extend(b.ctx, alice(), g.ID, 50*time.Minute)
		if err != nil || longer.State != access.Open || !strings.Contains(longer.Pending, "does not answer") {
			t.Errorf("nothing answers: %s, pending %q, %v", longer.State, longer.Pending, err)
		}
	})
}

func TestExtendNeedsTheWholeInventory(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		a := ask()
		a.Duration = time.Hour / 2
		answer, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil {
			t.Fatal(err)
		}
		v := machine("web-1")
		v.Missing = []string{"its second interface could not be read"}
		b.world.AddVM(v)
		time.Sleep(6 * time.Minute)
		_, err = b.Broker().Extend(b.ctx, alice(), answer.Grants[0].ID, 40*time.Minute)
		wants(t, err, errkind.Unavailable, "second interface")
		if !b.gets() {
			t.Error("who was inside is out")
		}
	})
}
