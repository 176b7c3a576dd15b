package broker_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

// While a grant is being saved the fleet looks ahead for it. Until it is saved,
// nobody sees anything of that, and if it cannot be, nobody ever will.
func TestAGrantThatIsNotSavedYet(t *testing.T) {
	for name, saved := range map[string]bool{"saved in the end": true, "not saved": false} {
		t.Run(name, func(t *testing.T) {
			behind(t, memory.Keyed, func(t *testing.T, b bench) {
				b.Disk.Fail(map[bool]simtest.DiskFault{true: simtest.DiskSlow, false: simtest.DiskFading}[saved])
				before := b.Calls()
				answered := make(chan error, 1)
				go func() {
					_, err := b.Broker().Request(b.ctx, alice(), ask())
					answered <- err
				}()
				time.Sleep(simtest.DiskTime / 2)
				synctest.Wait()
				// The broker has read the rules and saves; all else is the look ahead.
				if n := b.Calls() - before; n <= 2 {
					t.Errorf("%d calls so far: nobody looks ahead", n)
				}
				b.hidden(t)
				time.Sleep(simtest.DiskTime)
				if err := <-answered; saved != (err == nil) {
					t.Fatalf("the answer is %v", err)
				}
				if saved {
					if !b.gets() {
						t.Error("the grant is saved, and does not get in")
					}
					return
				}
				time.Sleep(time.Minute)
				b.hidden(t)
				b.Disk.Fail(simtest.DiskGood)
				time.Sleep(time.Minute)
				b.hidden(t)
				b.open(t) // another one, for the same source
			})
		})
	}
}

// hidden fails unless nothing anywhere knows of a grant.
func (b bench) hidden(t *testing.T) {
	t.Helper()
	if b.gets() {
		t.Error("somebody gets in")
	}
	if n := len(b.grants(t)); n != 0 {
		t.Errorf("the book has %d grants", n)
	}
	if n := len(b.records(t, audit.Requested, audit.Opened, audit.Swept)); n != 0 {
		t.Errorf("%d records of it", n)
	}
	for _, d := range b.Fleet().Doors(door(22).VM) {
		if len(d.Openings) != 0 {
			t.Errorf("%v shows %v", d.Door, d.Openings)
		}
	}
}

// The fence does not believe that what is asked for is saved: it asks the book.
func TestOnlyTheBookOpens(t *testing.T) {
	behind(t, memory.Keyed, func(t *testing.T, b bench) {
		now := b.Fleet().Clocks()
		g := access.Grant{
			ID: "g-00000000000000000000000000", Principal: simtest.User(), Door: door(22), Policy: "ssh",
			Start: now.Wall, Deadline: access.DeadlineAt(now.Wall.Add(time.Minute), now), Created: now.Wall, Epoch: 1,
		}
		g.Sources = []netip.Prefix{netip.PrefixFrom(laptop(), 32)}
		done := b.Fleet().Prepare([]access.Grant{g})
		synctest.Wait() // it has looked
		done()
		ctx, cancel := context.WithTimeout(b.ctx, broker.SettleTime)
		defer cancel()
		seen, err := b.Fleet().Settle(ctx, []access.Grant{g})
		if b.gets() || seen[g.ID].Open {
			t.Errorf("a grant that the book does not know was opened: %+v, %v", seen, err)
		}
		b.hidden(t)
		b.open(t)
	})
}
