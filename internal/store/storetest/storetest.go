// Package storetest is what every database behind package store must pass. It
// tests what the package's comment promises, through the exported methods only:
//
//   - A change is saved as a whole, with at least one record, or not at all, and
//     its failure touches no other change that was saved in the same breath.
//   - What was saved comes back as it was, in the order that the lists promise,
//     also from another process after the first has closed the database.
//   - Who decided by rules that have changed since saves nothing; of two that
//     update one grant of the same epoch one wins; an idempotency key makes one
//     request. What has ended stays ended, and outcomes count once.
//   - The records are the leaves of a tree that only grows: checkpoints and
//     bundles verify, before and after personal parts were erased.
//   - Lists are filtered and paged without gaps or repetitions while they grow,
//     a cursor from elsewhere is refused, and hostile text stays text.
//
// A database passes when Run does. Each test gets an empty directory of its own
// and opens the database there once or more.
package storetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// Open opens the database that belongs to a directory, and makes it if it is
// not there.
type Open func(t *testing.T, dir string) *store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f fixture)
	}{
		{"SaveNeedsARecord", saveNeedsARecord},
		{"PoliciesAreCountedAndKept", policiesAreCountedAndKept},
		{"LocksAreKept", locksAreKept},
		{"AssignmentsAreKept", assignmentsAreKept},
		{"RolesAndAccessPoliciesAreKept", rolesAndAccessPoliciesAreKept},
		{"TokensAreKeptAndRevoked", tokensAreKeptAndRevoked},
		{"EveryRuleRaisesTheVersion", everyRuleRaisesTheVersion},
		{"StaleRulesSaveNothing", staleRulesSaveNothing},
		{"GrantsComeBackAsTheyWere", grantsComeBackAsTheyWere},
		{"RequestsComeBackAsTheyWere", requestsComeBackAsTheyWere},
		{"UnknownIDsAreNotFound", unknownIDsAreNotFound},
		{"GrantsAreFoundByTheirKeys", grantsAreFoundByTheirKeys},
		{"UpdatesNeedTheEpoch", updatesNeedTheEpoch},
		{"EndedGrantsStayEnded", endedGrantsStayEnded},
		{"OutcomesCountOnce", outcomesCountOnce},
		{"OutcomesOfOlderEpochsArePassedOver", outcomesOfOlderEpochsArePassedOver},
		{"DisplacedRulesAreKept", displacedRulesAreKept},
		{"FailuresLeaveNoTrace", failuresLeaveNoTrace},
		{"OneRequestPerKey", oneRequestPerKey},
		{"OneWinnerPerEpoch", oneWinnerPerEpoch},
		{"FailuresSpareTheirNeighbours", failuresSpareTheirNeighbours},
		{"WithdrawnSavesSaveNothing", withdrawnSavesSaveNothing},
		{"ClosedStoresRefuse", closedStoresRefuse},
		{"EverythingIsThereAfterReopening", everythingIsThereAfterReopening},
		{"TheLogIsATree", theLogIsATree},
		{"CheckpointsAreOfThisLog", checkpointsAreOfThisLog},
		{"TheLogCanBeVerified", theLogCanBeVerified},
		{"ActivityIsFiltered", activityIsFiltered},
		{"ActivityIsPaged", activityIsPaged},
		{"FollowersMissNothing", followersMissNothing},
		{"ListsAreFilteredAndPaged", listsAreFilteredAndPaged},
		{"ForgedCursorsAreRefused", forgedCursorsAreRefused},
		{"ErasureKeepsEveryProof", erasureKeepsEveryProof},
		{"HostileTextStaysText", hostileTextStaysText},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test.run(t, fixture{Store: s, reopen: func() *store.Store { return open(t, dir) }})
		})
	}
}

// fixture is a fresh store.
type fixture struct {
	*store.Store
	reopen func() *store.Store
}

// now is when the tests take place.
func now() time.Time { return time.Date(2026, 3, 29, 1, 30, 0, 123e6, time.UTC) }

func alice() access.Principal {
	return access.Principal{Issuer: "local", Subject: "alice", Display: "Alice"}
}

func bob() access.Principal {
	return access.Principal{Issuer: "https://id.example", Subject: "0b-77", Display: ""}
}

func ssh(host string) firewall.Door {
	return firewall.Door{VM: firewall.HostVM(host), Protocol: firewall.TCP, Port: 22}
}

func sources(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// id makes the nth id of a kind.
func id(prefix string, n int) string {
	var random [access.IDBytes]byte
	binary.BigEndian.PutUint64(random[2:], uint64(n)) //nolint:gosec // small and positive
	return access.NewID(prefix, random)
}

func grant(n int, who access.Principal, host string) access.Grant {
	return access.Grant{
		ID: id(access.GrantPrefix, n), Request: id(access.RequestPrefix, n), Principal: who, Door: ssh(host),
		Sources: sources("203.0.113.7/32", "2001:db8::/64"), Reason: "disk is full", Policy: "web",
		Start: now(), Created: now().Add(time.Duration(n) * time.Millisecond),
		Deadline: access.Deadline{Wall: now().Add(time.Hour), Boot: 5 * time.Hour, BootID: "b-1", Third: now().Add(time.Hour + time.Second)},
		Ended:    access.Ending{At: time.Time{}, By: access.Principal{}, Why: ""},
		Epoch:    1, Opened: time.Time{}, Closed: time.Time{}, Impeded: "",
	}
}

func request(n int, who access.Principal, hosts ...string) store.Request {
	r := store.Request{
		Request: access.Request{
			ID: id(access.RequestPrefix, n), Principal: who, Doors: nil, Sources: sources("203.0.113.7/32"),
			Caller: netip.MustParseAddr("203.0.113.7"), Start: time.Time{}, Duration: time.Hour,
			Reason: "disk is full", Asked: now().Add(time.Duration(n) * time.Millisecond),
		},
		Decision: access.Decision{Allow: true, NeedsApproval: false, By: []string{"alice may request"}, Not: nil},
	}
	for _, h := range hosts {
		r.Doors = append(r.Doors, ssh(h))
	}
	return r
}

// record is a record of a kind, about a grant where one is given.
func record(kind audit.Kind, g ...access.Grant) audit.Record {
	r := audit.Record{Kind: kind, Time: now(), Actor: access.System()}
	if len(g) > 0 {
		r.Grant, r.Request, r.Door, r.Deadline = g[0].ID, g[0].Request, g[0].Door, g[0].Deadline.Wall
		r.Sources, r.Actor = g[0].Sources, g[0].Principal
	}
	return r
}

// asked is the Change of a request that was granted.
func asked(n int, who access.Principal, host string) store.Change {
	g := grant(n, who, host)
	return store.Change{
		Requests: []store.Request{request(n, who, host)},
		Grants:   []access.Grant{g},
		Records:  []audit.Record{record(audit.Requested, g)},
	}
}

// save saves c with a record if it has none.
func (f fixture) save(t *testing.T, c store.Change) {
	t.Helper()
	if len(c.Records) == 0 {
		c.Records = []audit.Record{record(audit.Started)}
	}
	must(t, f.Save(t.Context(), c))
}

// size returns the number of records.
func (f fixture) size(t *testing.T) int64 {
	t.Helper()
	tree := get(f.Tree(t.Context()))(t)
	return tree.N
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get unwraps a result that must have no error.
func get[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// equal compares by content; nil and empty differ, as they do for callers.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func refused(t *testing.T, what string, err error, kind errkind.Kind) {
	t.Helper()
	if err == nil || errkind.Of(err) != kind {
		t.Errorf("%s: error %v of kind %s, want one of kind %s", what, err, errkind.Of(err), kind)
	}
}

// together runs do n times at once and returns the errors.
func together(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func winners(errs []error) (n int) {
	for _, err := range errs {
		if err == nil {
			n++
		}
	}
	return n
}

func named(format string, n int) string { return fmt.Sprintf(format, n) }
