package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// failuresLeaveNoTrace fails at the last step of a Change that does everything
// before it.
func failuresLeaveNoTrace(t *testing.T, f fixture) {
	f.save(t, asked(1, alice(), "web-1"))
	f.save(t, store.Change{Policies: []policy.Policy{webPolicy()}})
	state := func() string {
		return fmt.Sprint(
			get(f.Tree(t.Context()))(t), get(f.Rules(t.Context()))(t), get(f.Pending(t.Context()))(t),
			get(f.Tokens(t.Context()))(t), get(f.Displaced(t.Context(), "sg-1"))(t))
	}
	before := state()
	c := asked(2, bob(), "web-2")
	c.Idempotency = store.Idempotency{Principal: bob(), Key: "k", Body: [32]byte{}, Request: c.Requests[0].ID, At: now()}
	c.Policies, c.Locks = []policy.Policy{webPolicy()}, []access.Lock{lock("web-2")}
	c.Tokens = []store.Token{{ID: "t-9", Hash: [32]byte{9}, Principal: bob(), Created: now()}}
	c.Outcomes = []store.Outcome{{Grant: id(access.GrantPrefix, 1), Opened: now(), Records: []audit.Record{record(audit.Opened)}}}
	c.Displaced = []store.Displaced{{Firewall: "sg-1", Change: plan.Change{Op: plan.Displace, Door: ssh("web-1")}}}
	c.GrantUpdates = []store.GrantUpdate{
		{ID: id(access.GrantPrefix, 1), Epoch: 1, Deadline: access.Deadline{Wall: now().Add(2 * time.Hour)}},
		{ID: id(access.GrantPrefix, 1), Epoch: 1, Ended: access.Ending{At: now(), By: bob(), Why: access.ClosedByUser}},
	}
	refused(t, "the second of two updates", f.Save(t.Context(), c), errkind.Conflict)
	if after := state(); after != before {
		t.Errorf("a refused change left a trace:\nbefore %s\nafter  %s", before, after)
	}
	for _, what := range []func() error{
		func() error { _, err := f.Grant(t.Context(), c.Grants[0].ID); return err },
		func() error { _, err := f.Request(t.Context(), c.Requests[0].ID); return err },
		func() error { _, err := f.Idempotency(t.Context(), bob(), "k"); return err },
	} {
		refused(t, "reading what was refused", what(), errkind.NotFound)
	}
	// The next one takes the next index.
	f.save(t, asked(3, alice(), "web-1"))
	if n := f.size(t); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

func oneRequestPerKey(t *testing.T, f fixture) {
	key := func(i int) store.Idempotency {
		return store.Idempotency{
			Principal: alice(), Key: "ci-run-7", Body: sha256.Sum256([]byte("body")),
			Request: id(access.RequestPrefix, i), At: now(),
		}
	}
	errs := together(64, func(i int) error {
		c := asked(i, alice(), "web-1")
		c.Idempotency = key(i)
		return f.Save(t.Context(), c)
	})
	if n := winners(errs); n != 1 {
		t.Fatalf("%d of 64 saves with one key were saved", n)
	}
	requests, _, err := f.Requests(t.Context(), store.RequestFilter{})
	must(t, err)
	if len(requests) != 1 || f.size(t) != 1 || len(get(f.Pending(t.Context()))(t)) != 1 {
		t.Fatalf("%d requests, %d records, %d grants; want one of each", len(requests), f.size(t), len(get(f.Pending(t.Context()))(t)))
	}
	for i, err := range errs {
		if err != nil && (!errors.Is(err, store.ErrRepeated) || errkind.Of(err) != errkind.Conflict) {
			t.Errorf("save %d: %v is not ErrRepeated", i, err)
		}
		if err == nil {
			equal(t, "key", get(f.Idempotency(t.Context(), alice(), "ci-run-7"))(t), key(i))
		}
	}
	// The same key of somebody else is another key, and a day later it is new.
	other := asked(100, bob(), "web-1")
	other.Idempotency = key(100)
	other.Idempotency.Principal = bob()
	f.save(t, other)
	again := asked(101, alice(), "web-1")
	again.Idempotency = key(101)
	again.Idempotency.At = now().Add(store.KeepIdempotency)
	refused(t, "a key that is not forgotten yet", f.Save(t.Context(), again), errkind.Conflict)
	again.Idempotency.At = now().Add(store.KeepIdempotency + time.Millisecond)
	f.save(t, again)
}

func oneWinnerPerEpoch(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{g}})
	const rounds = 20
	for epoch := range int64(rounds) {
		errs := together(64, func(i int) error {
			end := now().Add(time.Hour + time.Duration(i)*time.Second)
			return f.Save(t.Context(), store.Change{
				GrantUpdates: []store.GrantUpdate{{ID: g.ID, Epoch: epoch + 1, Deadline: access.Deadline{Wall: end}}},
				Records:      []audit.Record{record(audit.Extended, g)},
			})
		})
		if n := winners(errs); n != 1 {
			t.Fatalf("%d of 64 updates of one epoch were saved", n)
		}
		for i, err := range errs {
			if err != nil && !errors.Is(err, store.ErrEpoch) {
				t.Fatalf("update %d: %v", i, err)
			}
			if err == nil {
				want := now().Add(time.Hour + time.Duration(i)*time.Second)
				got := get(f.Grant(t.Context(), g.ID))(t)
				if !got.Deadline.Wall.Equal(want) || got.Epoch != epoch+2 {
					t.Fatalf("update %d won, but the deadline is %s at epoch %d", i, got.Deadline.Wall, got.Epoch)
				}
			}
		}
	}
	if n := f.size(t); n != rounds+1 {
		t.Errorf("%d records for %d updates", n-1, rounds)
	}
}

// failuresSpareTheirNeighbours mixes changes that fail with changes that do not,
// so that they share transactions.
func failuresSpareTheirNeighbours(t *testing.T, f fixture) {
	const n = 200
	errs := together(n, func(i int) error {
		c := asked(i, alice(), "web-1")
		if i%3 == 0 {
			c.DropPolicies = []string{"none"}
		}
		return f.Save(t.Context(), c)
	})
	saved := int64(0)
	for i, err := range errs {
		_, errGrant := f.Grant(t.Context(), id(access.GrantPrefix, i))
		if (err == nil) != (i%3 != 0) || (errGrant == nil) != (err == nil) {
			t.Errorf("change %d: saved with %v, read with %v", i, err, errGrant)
		}
		if err == nil {
			saved++
		}
	}
	if size := f.size(t); size != saved {
		t.Errorf("%d records for %d changes", size, saved)
	}
}

func withdrawnSavesSaveNothing(t *testing.T, f fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Save(ctx, asked(1, alice(), "web-1")); !errors.Is(err, context.Canceled) {
		t.Errorf("a withdrawn save: %v", err)
	}
	if n := f.size(t); n != 0 {
		t.Errorf("it left %d records", n)
	}
	// Withdrawn in the crowd, it is saved if and only if Save says so.
	errs := together(100, func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
		defer cancel()
		return f.Save(ctx, asked(i, alice(), "web-1"))
	})
	for i, err := range errs {
		_, errGrant := f.Grant(t.Context(), id(access.GrantPrefix, i))
		if (err == nil) != (errGrant == nil) {
			t.Errorf("save %d: saved with %v, read with %v", i, err, errGrant)
		}
	}
}

func closedStoresRefuse(t *testing.T, f fixture) {
	changed := f.Changed()
	errs := make(chan []error)
	go func() {
		errs <- together(50, func(i int) error { return f.Save(t.Context(), asked(i, alice(), "web-1")) })
	}()
	<-changed
	must(t, f.Close())
	saved := int64(winners(<-errs))
	refused(t, "saving after Close", f.Save(t.Context(), asked(99, alice(), "web-1")), errkind.Unavailable)
	_, err := f.Rules(t.Context())
	refused(t, "reading after Close", err, errkind.Unavailable)
	<-f.Changed() // followers are woken, also those who come later
	again := fixture{Store: f.reopen(), reopen: nil}
	if n := again.size(t); n != saved || n == 0 {
		t.Errorf("%d records, but %d saves were acknowledged", n, saved)
	}
	must(t, again.Close())
}

func everythingIsThereAfterReopening(t *testing.T, f fixture) {
	f.save(t, asked(1, alice(), "web-1"))
	f.save(t, store.Change{Policies: []policy.Policy{webPolicy()}, Locks: []access.Lock{lock("web-1")}})
	instance, created := f.Instance(), f.Created()
	tree, rules := get(f.Tree(t.Context()))(t), get(f.Rules(t.Context()))(t)
	must(t, f.Close())

	again := fixture{Store: f.reopen(), reopen: f.reopen}
	defer func() { must(t, again.Close()) }()
	equal(t, "tree", get(again.Tree(t.Context()))(t), tree)
	rulesAgain := get(again.Rules(t.Context()))(t)
	rules.Engine, rulesAgain.Engine = nil, nil // compiled from what is compared
	equal(t, "rules", rulesAgain, rules)
	equal(t, "pending", get(again.Pending(t.Context()))(t), []access.Grant{grant(1, alice(), "web-1")})
	if again.Instance() != instance || !again.Created().Equal(created) || len(instance) != 12 || created.IsZero() {
		t.Errorf("instance %q of %s became %q of %s", instance, created, again.Instance(), again.Created())
	}
	again.save(t, asked(2, bob(), "web-2"))
	if n := again.size(t); n != tree.N+1 {
		t.Errorf("%d records after %d and one more", n, tree.N)
	}
}
