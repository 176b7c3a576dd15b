package broker_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/simtest"
	"github.com/sesame-access/sesame/internal/store"
)

// person is somebody who may approve, with a person behind the name.
func person(name string) broker.Caller {
	return broker.Caller{Identity: access.Identity{
		Principal: access.Principal{Issuer: "local", Subject: name}, Kind: access.Person, Person: "p-" + name,
	}}
}

// guarded is ssh with two stages of approval.
func guarded() policy.Policy {
	p := ssh()
	p.Approvals = []policy.Approval{{Stage: "lead", Count: 1}, {Stage: "security", Count: 1}}
	return p.WithDefaults()
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// approvers gives people the right to approve.
func (b bench) approvers(t *testing.T, names ...string) {
	t.Helper()
	c := store.Change{Records: []audit.Record{{Kind: audit.Started, Actor: access.System()}}}
	for _, name := range names {
		c.Roles.Assign = append(c.Roles.Assign, authz.Assignment{Principal: person(name).Principal, Role: authz.Approver, Scope: scope.All})
	}
	if err := b.Store().Save(b.ctx, c); err != nil {
		t.Fatal(err)
	}
}

// known says which person is behind a name.
func (b bench) known(t *testing.T, name, as string) {
	t.Helper()
	token := store.Token{ID: "t-" + name, Hash: [32]byte{name[0], name[1]}, Principal: access.Principal{Issuer: "local", Subject: name}, Person: as}
	err := b.Store().Save(b.ctx, store.Change{Tokens: []store.Token{token}, Records: []audit.Record{{Kind: audit.TokenCreated, Actor: access.System()}}})
	if err != nil {
		t.Fatal(err)
	}
}

// waits asks for what needs approval.
func (b bench) waits(t *testing.T, edit ...func(*broker.Ask)) broker.Answer {
	t.Helper()
	a := ask()
	for _, e := range edit {
		e(&a)
	}
	answer, err := b.Broker().Request(b.ctx, alice(), a)
	if err != nil {
		t.Fatal(err)
	}
	if answer.State != approval.Pending || len(answer.Grants) > 0 || b.gets() {
		t.Fatalf("it does not wait: %+v", answer)
	}
	return answer
}

func (b bench) vote(who broker.Caller, a broker.Answer, choice approval.Choice) (broker.Answer, error) {
	return b.Broker().Vote(b.ctx, who, a.ID, broker.Say{Choice: choice, Digest: a.Digest})
}

func (b bench) voted(t *testing.T, who broker.Caller, a broker.Answer, choice approval.Choice) broker.Answer {
	t.Helper()
	out, err := b.vote(who, a, choice)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestApprovedInStages(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob", "carol")
		a := b.waits(t)
		time.Sleep(20 * time.Minute)
		if one := b.voted(t, person("bob"), a, approval.Approve); one.State != approval.Pending || b.gets() {
			t.Fatalf("after one of two: %+v", one)
		}
		done := b.voted(t, person("carol"), a, approval.Approve)
		if done.State != approval.Approved || len(done.Grants) != 1 || done.Grants[0].State != access.Open || !b.gets() {
			t.Fatalf("after both: %+v", done)
		}
		// The time of a grant begins when it is granted.
		if left := done.Grants[0].Deadline.Wall.Sub(b.clocks.Read().Wall); left < 9*time.Minute {
			t.Errorf("of 10 minutes %v are left", left)
		}
		for kind, n := range map[audit.Kind]int{audit.Waiting: 1, audit.Agreed: 2, audit.Requested: 1} {
			if r := b.records(t, kind); len(r) != n || r[0].Request != a.ID {
				t.Errorf("%d records of %s, want %d", len(r), kind, n)
			}
		}
		if _, err := b.vote(person("bob"), a, approval.Deny); errkind.Of(err) != errkind.Conflict {
			t.Errorf("what is granted is denied: %v", err)
		}
	})
}

// Z-04: the requester never approves, under no name, and programs do not.
func TestZ04SelfApproval(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "alice", "alias", "ci", "bob")
		a := b.waits(t)
		b.known(t, "alice", "p-alice") // linked only after she asked
		alias, ci, own := person("alias"), person("ci"), alice()
		alias.Person, ci.Person, own.Person = "p-alice", "", "p-somebody"
		for who, why := range map[string]struct {
			caller broker.Caller
			text   string
		}{
			"herself": {own, "nobody approves or denies their own"}, "another name": {alias, "nobody approves or denies their own"},
			"a program": {ci, "only a person may approve"},
		} {
			_, err := b.vote(why.caller, a, approval.Approve)
			wants(t, err, errkind.Denied, why.text)
			if b.gets() {
				t.Fatalf("%s let alice in", who)
			}
		}
		_, err := b.vote(person("viewer"), a, approval.Approve)
		wants(t, err, errkind.NotFound, "there is no request")
		rules, _ := b.Store().Rules(b.ctx)
		if len(rules.Access.Assignments) == 0 {
			t.Fatal("nobody has a role")
		}
		if r, err := b.Store().Request(b.ctx, a.ID); err != nil || len(r.Votes) != 0 {
			t.Errorf("votes that were refused are there: %+v, %v", r.Votes, err)
		}
	})
}

// Z-05: an approval is about what was seen, under the policies of then.
func TestZ05ApprovalsAreBound(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob", "carol")
		a := b.waits(t)
		other := a
		other.Digest[7]++
		_, err := b.vote(person("bob"), other, approval.Approve)
		wants(t, err, errkind.Conflict, "look at it again")
		b.voted(t, person("bob"), a, approval.Approve)
		// The same policy once more is another version, though it says the same.
		b.enable(t, guarded())
		_, err = b.vote(person("carol"), a, approval.Approve)
		wants(t, err, errkind.Conflict, "has changed since it was asked for")
		if b.gets() {
			t.Fatal("it was granted all the same")
		}
		if err := b.Broker().Review(b.ctx); err != nil {
			t.Fatal(err)
		}
		r, err := b.Store().Request(b.ctx, a.ID)
		if err != nil || r.Case().StateAt(b.clocks.Read()) != approval.Cancelled {
			t.Errorf("it still waits: %+v, %v", r, err)
		}
		if n := len(b.records(t, audit.Cancelled)); n != 1 {
			t.Errorf("%d records say that it was taken back", n)
		}
	})
}

// Z-06: an approval is used once, for one request, while that waits.
func TestZ06ApprovalsAreNotUsedAgain(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob", "carol")
		first := b.waits(t)
		b.voted(t, alice(), first, approval.Cancel)
		_, err := b.vote(person("bob"), first, approval.Approve)
		wants(t, err, errkind.Conflict, "cancelled already")

		second := b.waits(t)
		replay := second
		replay.Digest = first.Digest
		_, err = b.vote(person("bob"), replay, approval.Approve)
		wants(t, err, errkind.Conflict, "look at it again")
		b.voted(t, person("carol"), second, approval.Deny)
		_, err = b.vote(person("bob"), second, approval.Approve)
		wants(t, err, errkind.Conflict, "denied already (denied by carol)")

		third := b.waits(t)
		time.Sleep(time.Hour)
		_, err = b.vote(person("bob"), third, approval.Approve)
		wants(t, err, errkind.Conflict, "expired already")
		for range 2 {
			if err := b.Broker().Review(b.ctx); err != nil {
				t.Fatal(err)
			}
		}
		if r := b.records(t, audit.Lapsed); len(r) != 1 || r[0].Request != third.ID {
			t.Errorf("%d records say that nobody decided", len(r))
		}
		if b.gets() {
			t.Error("the port is open")
		}
	})
}

// Z-07: of 64 who approve, deny and cancel at once, all see one outcome.
func TestZ07ParallelVotesHaveOneOutcome(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		var names []string
		for i := range 62 {
			names = append(names, "n"+string(rune('a'+i/26))+string(rune('a'+i%26)))
		}
		b.approvers(t, names...)
		a := b.waits(t)
		type reply struct {
			answer broker.Answer
			err    error
		}
		replies := make([]reply, 64)
		var wg sync.WaitGroup
		for i := range replies {
			wg.Go(func() {
				who, choice := alice(), approval.Cancel
				if i < len(names) {
					who, choice = person(names[i]), approval.Approve
					if i%3 == 0 {
						choice = approval.Deny
					}
				}
				replies[i].answer, replies[i].err = b.vote(who, a, choice)
			})
		}
		wg.Wait()
		r, err := b.Store().Request(b.ctx, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		outcome := r.Case().StateAt(b.clocks.Read())
		if outcome == approval.Pending {
			t.Fatalf("64 votes decide nothing: %+v", r.Votes)
		}
		settled := 0
		for i, x := range replies {
			switch {
			case x.err == nil && x.answer.State == outcome:
				settled++
			case x.err == nil && x.answer.State == approval.Pending: // the first of two approvals
			case errkind.Of(x.err) != errkind.Conflict || !strings.Contains(x.err.Error(), string(outcome)+" already"):
				t.Errorf("vote %d: %v, %v, and the outcome is %s", i, x.answer.State, x.err, outcome)
			}
		}
		if settled != 1 {
			t.Errorf("%d votes brought about the one outcome", settled)
		}
		if n := len(b.grants(t)); (outcome == approval.Approved) != (n == 1) || n > 1 || b.gets() != (n == 1) {
			t.Errorf("%s, with %d grants; the laptop gets in: %v", outcome, n, b.gets())
		}
		if counted := len(b.records(t, audit.Agreed, audit.Refused, audit.Cancelled)); counted != len(r.Votes) {
			t.Errorf("%d records of %d votes", counted, len(r.Votes))
		}
	})
}

// Z-09: who lost the role after asking gets nothing by an approval.
func TestZ09RolesAreLookedAtAgain(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob", "carol")
		a := b.waits(t)
		b.voted(t, person("bob"), a, approval.Approve)
		b.dropRole(t, alice().Principal, authz.Requester)
		_, err := b.vote(person("carol"), a, approval.Approve)
		wants(t, err, errkind.Conflict, "would not be allowed any more")
		if b.gets() || len(b.grants(t)) > 0 {
			t.Error("it was granted all the same")
		}
	})
}

func (b bench) dropRole(t *testing.T, p access.Principal, role authz.Role) {
	t.Helper()
	err := b.Store().Save(b.ctx, store.Change{
		Roles:   store.RoleChange{Unassign: []authz.Assignment{{Principal: p, Role: role, Scope: scope.All}}},
		Records: []audit.Record{{Kind: audit.TokenRevoked, Actor: access.System()}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Z-11: what nobody may have any more ends within a minute; what cannot be asked
// ends nothing.
func TestZ11LiveGrantsEndOnEvidence(t *testing.T) {
	narrower := func(edit func(*policy.Policy)) func(t *testing.T, b bench) {
		return func(t *testing.T, b bench) {
			p := ssh()
			edit(&p)
			b.enable(t, p.WithDefaults())
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, b bench)
		why    access.EndReason
	}{
		"a role":    {func(t *testing.T, b bench) { b.dropRole(t, alice().Principal, authz.Requester) }, access.RoleLost},
		"shorter":   {narrower(func(p *policy.Policy) { p.Ports[0].Max = 5 * time.Minute }), access.PolicyRemoved},
		"elsewhere": {narrower(func(p *policy.Policy) { p.Ports[0].Sources = prefixes("198.51.100.0/24") }), access.PolicyRemoved},
		"a ticket":  {narrower(func(p *policy.Policy) { p.Ticket = "CHG-[0-9]+" }), access.PolicyRemoved},
		"approvals": {narrower(func(p *policy.Policy) { p.Approvals = []policy.Approval{{Stage: "lead", Count: 1}} }), access.PolicyRemoved},
		"nothing":   {narrower(func(p *policy.Policy) { p.Ports[0].Max = 2 * time.Hour }), ""},
		"the VM":    {func(_ *testing.T, b bench) { b.world.RemoveVM(firewall.HostVM("web-1")); time.Sleep(10 * time.Minute) }, access.VMGone},
		"no reading": {func(_ *testing.T, b bench) {
			b.Disk.Fail(simtest.DiskDead)
			time.Sleep(time.Minute)
			b.Disk.Fail(simtest.DiskGood)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				long := ask()
				long.Duration = 50 * time.Minute
				answer, err := b.Broker().Request(b.ctx, alice(), long)
				if err != nil || !b.gets() {
					t.Fatal(err)
				}
				go b.Broker().KeepReviewing(b.ctx, b.Store().Changed)
				synctest.Wait()
				c.change(t, b)
				time.Sleep(time.Minute)
				synctest.Wait()
				g, err := b.Store().Grant(b.ctx, answer.Grants[0].ID)
				if err != nil || g.Ended.Why != c.why {
					t.Errorf("it ended for %q, want %q (%v)", g.Ended.Why, c.why, err)
				}
				if b.gets() != (c.why == "") {
					t.Errorf("the laptop gets in: %v", b.gets())
				}
			})
		})
	}
}

// Z-16: nobody is asked more than a person can bear.
func TestZ16Quotas(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		p := guarded()
		p.Ports = append(p.Ports, policy.Port{Port: 80}, policy.Port{Port: 81}, policy.Port{Port: 82})
		b.enable(t, p.WithDefaults())
		b.Broker().Quotas = broker.Quotas{Live: 2, Waiting: 2, Asked: 3}
		port := func(n uint16) func(*broker.Ask) {
			return func(a *broker.Ask) { a.Ports = []broker.Port{{Number: n, Protocol: firewall.TCP}} }
		}
		first := b.waits(t)
		again := ask()
		_, err := b.Broker().Request(b.ctx, alice(), again)
		wants(t, err, errkind.Conflict, "waits for the same already")
		b.waits(t, port(80))
		third := ask()
		port(81)(&third)
		_, err = b.Broker().Request(b.ctx, alice(), third)
		wants(t, err, errkind.Exhausted, "2 requests of alice wait for approval already")
		b.voted(t, alice(), first, approval.Cancel)
		b.waits(t, port(81))
		port(82)(&third)
		_, err = b.Broker().Request(b.ctx, alice(), third)
		wants(t, err, errkind.Exhausted, "3 times within an hour")

		b.enable(t, ssh())
		b.open(t)
		other := ask()
		other.Sources = prefixes("198.51.100.7/32")
		if _, err := b.Broker().Request(b.ctx, alice(), other); err != nil {
			t.Fatal(err)
		}
		other.Sources = prefixes("198.51.100.8/32")
		_, err = b.Broker().Request(b.ctx, alice(), other)
		wants(t, err, errkind.Exhausted, "has 2 grants that are not closed yet")
	})
}

func TestSeveralVMsAreGrantedTogether(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		p := ssh()
		p.VMs = []firewall.VMID{firewall.HostVM("web-1"), firewall.HostVM("web-2")}
		b.enable(t, p)
		a := ask()
		a.Also = []broker.Target{{VM: "web-2", Ports: a.Ports}}
		answer, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil || len(answer.Grants) != 2 || !b.gets() {
			t.Fatalf("%+v, %v", answer, err)
		}
		second := firewall.Door{VM: firewall.HostVM("web-2"), Protocol: firewall.TCP, Port: 22}
		if !b.world.Admits(second, laptop()) {
			t.Error("the second VM is shut")
		}
		a.Also[0].Ports = []broker.Port{{Number: 23, Protocol: firewall.TCP}}
		_, err = b.Broker().Request(b.ctx, alice(), a)
		wants(t, err, errkind.Denied, "web-2:23/tcp")
		a.Also[0].VM = "host://web-1"
		_, err = b.Broker().Request(b.ctx, alice(), a)
		wants(t, err, errkind.Invalid, "web-1 is named twice")
	})
}

func TestUntil(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob", "carol")
		end := firewall.Instant(b.clocks.Read().Wall.Add(30 * time.Minute))
		until := func(a *broker.Ask) { a.Duration, a.Until = 0, end }
		a := b.waits(t, until)
		time.Sleep(20 * time.Minute)
		b.voted(t, person("bob"), a, approval.Approve)
		done := b.voted(t, person("carol"), a, approval.Approve)
		if len(done.Grants) != 1 || !done.Grants[0].Deadline.Wall.Equal(end) || !b.gets() {
			t.Fatalf("until %v: %+v", end, done)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if b.gets() {
			t.Error("it lasts longer")
		}
		both := ask()
		both.Until = end.Add(time.Hour)
		_, err := b.Broker().Request(b.ctx, alice(), both)
		wants(t, err, errkind.Invalid, "left out where a duration is given")
		long := ask()
		long.Duration, long.Until = 0, b.clocks.Read().Wall.Add(2*time.Hour)
		_, err = b.Broker().Request(b.ctx, alice(), long)
		wants(t, err, errkind.Denied, "at most 1h")
	})
}

func TestSupersede(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		old := b.open(t)
		a := ask()
		a.Supersede, a.Duration = true, 5*time.Minute
		answer, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil || !b.gets() {
			t.Fatal(err)
		}
		synctest.Wait()
		g, err := b.Store().Grant(b.ctx, old.ID)
		if err != nil || g.Ended.Why != access.Superseded {
			t.Errorf("the old grant: %+v, %v", g.Ended, err)
		}
		if _, err := b.Broker().Close(b.ctx, alice(), answer.Grants[0].ID); err != nil {
			t.Fatal(err)
		}
		b.enable(t, guarded())
		waiting := b.waits(t)
		newer := b.waits(t, func(a *broker.Ask) { a.Supersede = true })
		list, err := b.Store().Waiting(b.ctx)
		if err != nil || len(list) != 1 || list[0].ID != newer.ID {
			t.Errorf("%d wait, want only the newer of %s and %s", len(list), waiting.ID, newer.ID)
		}
	})
}

// Z-08: an extension never goes beyond what was approved.
func TestZ08ApprovedTimeIsNotExtended(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob", "carol")
		a := b.waits(t)
		b.voted(t, person("bob"), a, approval.Approve)
		done := b.voted(t, person("carol"), a, approval.Approve)
		_, err := b.Broker().Extend(b.ctx, alice(), done.Grants[0].ID, 30*time.Minute)
		wants(t, err, errkind.Denied, "wants approval")
		closed, err := b.Broker().Close(b.ctx, person("bob"), done.Grants[0].ID)
		if err != nil || closed.State != access.Closed || b.gets() {
			t.Errorf("an approver closes it: %+v, %v", closed, err)
		}
	})
}

// A grant that begins later is not opened for somebody who has lost the role by then.
func TestScheduledGrantsAreLookedAtBeforeTheyOpen(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		go b.Broker().KeepReviewing(b.ctx, b.Store().Changed)
		a := ask()
		a.Start = b.clocks.Read().Wall.Add(10 * time.Minute)
		answer, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil || answer.Grants[0].State != access.Scheduled || b.gets() {
			t.Fatalf("%+v, %v", answer, err)
		}
		b.dropRole(t, alice().Principal, authz.Requester)
		for range 15 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if b.gets() {
				t.Fatal("it was opened")
			}
		}
	})
}

func TestRecordsOfVotesSayWhoAndWhat(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.enable(t, guarded())
		b.approvers(t, "bob")
		a := b.waits(t)
		_, err := b.Broker().Vote(b.ctx, person("bob"), a.ID, broker.Say{Choice: approval.Deny, Comment: "not today <b>%s"})
		if err != nil {
			t.Fatal(err)
		}
		r := b.records(t, audit.Refused)
		if len(r) != 1 || r[0].Actor.Subject != "bob" || r[0].Text != "not today <b>%s" || r[0].Request != a.ID || r[0].Door != door(22) {
			t.Errorf("records: %+v", r)
		}
		if !slices.Equal(r[0].Sources, a.Sources) {
			t.Errorf("sources: %v", r[0].Sources)
		}
	})
}
