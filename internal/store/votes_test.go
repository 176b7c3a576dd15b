package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

func openVotes(t *testing.T) *store.Store {
	t.Helper()
	s := openIn(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func now() time.Time { return time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC) }

func alice() access.Principal {
	return access.Principal{Issuer: "local", Subject: "alice", Display: "Alice"}
}

func bob() access.Principal { return access.Principal{Issuer: "https://id.example", Subject: "0b-77"} }

func id(prefix string, n int) string { return fmt.Sprintf("%s%016d", prefix, n) }

func door() firewall.Door {
	return firewall.Door{VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, Port: 22}
}

func request(n int, who access.Principal) store.Request {
	return store.Request{
		Request: access.Request{
			ID: id(access.RequestPrefix, n), Principal: who, Doors: []firewall.Door{door()},
			Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, Duration: time.Hour, Asked: now().Add(time.Duration(n) * time.Second),
		},
		Decision: access.Decision{Allow: true},
	}
}

func askedFor(n int, who access.Principal) store.Change {
	r := request(n, who)
	return store.Change{Requests: []store.Request{r}, Grants: []access.Grant{{
		ID: id(access.GrantPrefix, n), Request: r.ID, Principal: who, Door: door(), Sources: r.Sources,
		Start: now(), Created: now(), Deadline: access.Deadline{Wall: now().Add(time.Hour)}, Epoch: 1,
	}}}
}

func started() []audit.Record {
	return []audit.Record{{Kind: audit.Started, Time: now(), Actor: access.System()}}
}

func save(t *testing.T, s *store.Store, c store.Change) {
	t.Helper()
	c.Records = started()
	if err := s.Save(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// got unwraps a result that must have no error.
func got[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// waiting is a request of alice's that two others have to agree to.
func waiting(n int) store.Request {
	r := request(n, alice())
	r.Until, r.Ticket = now().Add(3*time.Hour), "CHG-1"
	r.Decision.NeedsApproval = true
	at := access.Reading{Wall: now(), Boot: time.Hour, BootID: "b-1", Third: now()}
	r.Terms = approval.TermsOf(r.Request, []policy.Policy{{
		Name: "web", Version: 7, Within: time.Hour, Approvals: []policy.Approval{{Stage: "lead", Count: 1}, {Stage: "security", Count: 1}},
	}}, at)
	return r
}

func ballot(r store.Request, after int, choice approval.Choice, person string) store.Ballot {
	return store.Ballot{Request: r.ID, After: after, Vote: approval.Vote{
		Choice: choice, Stage: "lead", Person: person, By: bob(), Comment: "fine by me", Digest: r.Terms.Digest, At: now(),
	}}
}

func TestVotesComeBackInTheirOrder(t *testing.T) {
	f := openVotes(t)
	free, r := request(1, bob()), waiting(2)
	save(t, f, store.Change{Requests: []store.Request{free, r}})
	equal(t, "waiting", got(f.Waiting(t.Context())), []store.Request{r})

	one, two := ballot(r, 0, approval.Approve, "p-1"), ballot(r, 1, approval.Deny, "p-2")
	save(t, f, store.Change{Ballots: []store.Ballot{one}})
	two.Last = true
	save(t, f, store.Change{Ballots: []store.Ballot{two}})
	r.Votes = []approval.Vote{one.Vote, two.Vote}
	equal(t, "request", got(f.Request(t.Context(), r.ID)), r)
	list, _, err := f.Requests(t.Context(), store.RequestFilter{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "list", list, []store.Request{r, free})
	equal(t, "waiting", got(f.Waiting(t.Context())), nil)

	if err := f.Save(t.Context(), store.Change{Ballots: []store.Ballot{ballot(r, 2, approval.Cancel, "")}}); err == nil {
		t.Error("a vote was saved without a record")
	}
	twice := ballot(r, 2, approval.Approve, "p-1")
	err = f.Save(t.Context(), store.Change{Ballots: []store.Ballot{twice}, Records: started()})
	if !errors.Is(err, store.ErrVoted) {
		t.Errorf("the same person approved twice: %v", err)
	}
}

func TestZ07OfVotesAtOnceOneIsFirst(t *testing.T) {
	f := openVotes(t)
	r := waiting(1)
	save(t, f, store.Change{Requests: []store.Request{r}})
	const many = 64
	for after := range 3 {
		errs := make([]error, many)
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				b := ballot(r, after, approval.Approve, fmt.Sprintf("p-%d-%d", after, i))
				errs[i] = f.Save(t.Context(), store.Change{Ballots: []store.Ballot{b}, Records: started()})
			})
		}
		wg.Wait()
		if n := len(slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err != nil })); n != 1 {
			t.Fatalf("of %d votes at once %d were first", many, n)
		}
		for _, err := range errs {
			if err != nil && (!errors.Is(err, store.ErrVoted) || errkind.Of(err) != errkind.Conflict) {
				t.Errorf("a vote that came too late: %v", err)
			}
		}
	}
	if r := got(f.Request(t.Context(), r.ID)); len(r.Votes) != 3 {
		t.Errorf("%d votes are there, want 3", len(r.Votes))
	}
	if n := got(f.Tree(t.Context())).N; n != 4 {
		t.Errorf("%d records, want 4: one for each vote that counted", n)
	}
}

func TestPersonsStayKnown(t *testing.T) {
	f := openVotes(t)
	token := store.Token{ID: "t-1", Hash: [32]byte{1}, Principal: alice(), Created: now(), Person: "p-alice"}
	code := store.Token{ID: "t-2", Hash: [32]byte{2}, Principal: bob(), Created: now(), Code: true}
	save(t, f, store.Change{Tokens: []store.Token{token, code}})
	equal(t, "tokens", got(f.Tokens(t.Context())), []store.Token{token, code})
	save(t, f, store.Change{RevokeTokens: []store.Revocation{{ID: token.ID, At: now()}}})
	for _, c := range []struct {
		of   access.Principal
		want access.Identity
	}{
		{alice(), access.Identity{Principal: alice(), Kind: access.Person, Person: "p-alice"}},
		{bob(), access.Identity{Principal: bob(), Kind: access.Program}},
	} {
		who, _, err := f.Identity(t.Context(), c.of)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "identity", who, c.want)
	}
}

func TestTallyCountsOnePrincipal(t *testing.T) {
	f := openVotes(t)
	save(t, f, askedFor(1, alice()))
	save(t, f, askedFor(2, bob()))
	early, late := waiting(3), waiting(4)
	early.Asked = now().Add(-time.Hour)
	fire := request(5, alice())
	fire.Glass = true
	again := fire
	again.ID, again.Asked = id(access.RequestPrefix, 6), fire.Asked.Add(time.Second)
	save(t, f, store.Change{Requests: []store.Request{early, late, fire}})
	if err := f.Save(t.Context(), store.Change{Requests: []store.Request{again}, Records: started()}); !errors.Is(err, store.ErrRepeated) {
		t.Errorf("a second emergency before the first was reviewed: %v", err)
	}
	tally := got(f.Tally(t.Context(), alice(), now().Add(-time.Minute)))
	if tally.Live != 1 || tally.Asked != 1 {
		t.Errorf("tally: %+v", tally)
	}
	equal(t, "emergencies", tally.Unreviewed, []string{fire.ID})
	save(t, f, store.Change{Ballots: []store.Ballot{ballot(fire, 0, approval.Review, "p-2")}})
	equal(t, "emergencies", got(f.Tally(t.Context(), alice(), now())).Unreviewed, nil)
	save(t, f, store.Change{Requests: []store.Request{again}})
}
