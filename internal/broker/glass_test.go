package broker_test

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/simtest"
)

// fragile is guarded with glass that alice may break.
func fragile() policy.Policy {
	p := guarded()
	p.Glass = policy.Glass{Who: []access.Principal{simtest.User()}, Max: 5 * time.Minute}
	return p
}

func fire() broker.Ask {
	a := ask()
	a.Glass, a.Duration, a.Reason = true, 5*time.Minute, "the house is on fire"
	return a
}

// Z-15: an emergency is short, has a reason, is alone until somebody else has looked
// at it, and is recorded or does not happen.
func TestZ15BreakGlass(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, fragile())
		b.approvers(t, "bob", "alias")
		silent := fire()
		silent.Reason = ""
		_, err := b.Broker().Request(b.ctx, alice(), silent)
		wants(t, err, errkind.Denied, "gives no reason")
		long := fire()
		long.Duration = 6 * time.Minute
		_, err = b.Broker().Request(b.ctx, alice(), long)
		wants(t, err, errkind.Denied, "at most 5m")
		other := fire()
		other.Sources = prefixes("203.0.113.7/32")
		_, err = b.Broker().Request(b.ctx, person("bob"), other)
		wants(t, err, errkind.Denied, "does not name local#bob for emergencies")

		b.Disk.Fail(simtest.DiskDead)
		if _, err := b.Broker().Request(b.ctx, alice(), fire()); errkind.Of(err) != errkind.Unavailable || b.gets() {
			t.Fatalf("what cannot be recorded is opened: %v", err)
		}
		b.Disk.Fail(simtest.DiskGood)

		answer, err := b.Broker().Request(b.ctx, alice(), fire())
		if err != nil || len(answer.Grants) != 1 || !b.gets() {
			t.Fatalf("%+v, %v", answer, err)
		}
		if r := b.records(t, audit.GlassBroken); len(r) != 1 || r[0].Reason != fire().Reason {
			t.Errorf("records: %+v", r)
		}
		_, err = b.Broker().Extend(b.ctx, alice(), answer.Grants[0].ID, 10*time.Minute)
		wants(t, err, errkind.Denied, "is of an emergency")
		time.Sleep(10 * time.Minute)
		if b.gets() {
			t.Fatal("it did not end")
		}
		_, err = b.Broker().Request(b.ctx, alice(), fire())
		wants(t, err, errkind.Conflict, "nobody has reviewed your last emergency, "+answer.ID)
		_, err = b.Broker().Vote(b.ctx, alice(), answer.ID, broker.Say{Choice: approval.Review})
		wants(t, err, errkind.Denied, "somebody else has to review it")
		b.known(t, "alice", "p-alice")
		alias := person("alias")
		alias.Person = "p-alice"
		_, err = b.Broker().Vote(b.ctx, alias, answer.ID, broker.Say{Choice: approval.Review})
		wants(t, err, errkind.Denied, "somebody else has to review it")
		if _, err := b.Broker().Vote(b.ctx, person("bob"), answer.ID, broker.Say{Choice: approval.Review, Comment: "it was"}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Broker().Request(b.ctx, alice(), fire()); err != nil || !b.gets() {
			t.Errorf("after the review: %v", err)
		}
	})
}

// Of many at once, and of many uses of one code, one is the emergency.
func TestZ15OneEmergencyAtATime(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, fragile())
		codes, err := b.Broker().CreateCodes(b.ctx, root(), simtest.User(), 2, 24*time.Hour)
		if err != nil || len(codes) != 2 || codes[0] == codes[1] {
			t.Fatalf("%d codes, %v", len(codes), err)
		}
		if _, err := b.Broker().CreateCodes(b.ctx, alice(), simtest.User(), 2, 24*time.Hour); errkind.Of(err) != errkind.Denied {
			t.Errorf("alice makes codes: %v", err)
		}
		token, err := b.Store().TokenByHash(b.ctx, sha256.Sum256([]byte(codes[0])))
		if err != nil || !token.Code {
			t.Fatalf("%+v, %v", token, err)
		}
		by := alice()
		by.Code = token.ID
		_, err = b.Broker().Request(b.ctx, by, ask())
		wants(t, err, errkind.Denied, "good for an emergency and for nothing else")
		var granted atomic.Int32
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				who := by
				if i%2 == 0 {
					who = alice()
				}
				if _, err := b.Broker().Request(b.ctx, who, fire()); err == nil {
					granted.Add(1)
				} else if errkind.Of(err) != errkind.Conflict {
					t.Errorf("one of many: %v", err)
				}
			})
		}
		wg.Wait()
		if granted.Load() != 1 || len(b.grants(t)) != 1 {
			t.Errorf("%d emergencies at once, with %d grants", granted.Load(), len(b.grants(t)))
		}
	})
}
