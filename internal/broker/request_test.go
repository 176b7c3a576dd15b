package broker_test

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

func TestRequestOpensAndRecords(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		if b.gets() {
			t.Fatal("the door is not locked")
		}
		g := b.open(t)
		if !b.gets() {
			t.Error("the answer is open, and the door is not")
		}
		granted, opened := b.records(t, audit.Requested), b.records(t, audit.Opened)
		if len(granted) != 1 || len(opened) != 1 || granted[0].Index > opened[0].Index {
			t.Fatalf("%d granted, %d opened", len(granted), len(opened))
		}
		if r := granted[0]; r.Grant != g.ID || r.Request != g.Request || r.Caller != laptop() || !says(r.By, "policy ssh") {
			t.Errorf("the record says %+v", r.Record)
		}
		if left := g.Deadline.Wall.Sub(b.clocks.Now()); left != 10*time.Minute {
			t.Errorf("it lasts %s, want 10m", left)
		}
		if g.Deadline.BootID == "" || g.Deadline.Third.IsZero() {
			t.Errorf("the deadline %+v is not on every clock's scale", g.Deadline)
		}
	})
}

func TestRequestLastsAsLongAsAllowedUnlessSaid(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		a := ask()
		a.Duration = 0
		answer, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil {
			t.Fatal(err)
		}
		if left := answer.Grants[0].Deadline.Wall.Sub(b.clocks.Now()); left != time.Hour {
			t.Errorf("it lasts %s, want the policy's hour", left)
		}
	})
}

func TestDenialsAreRecorded(t *testing.T) {
	tests := map[string]struct {
		caller broker.Caller
		change func(*broker.Ask)
		why    string
	}{
		"no role":      {nobody(), func(*broker.Ask) {}, "no role"},
		"too long":     {alice(), func(a *broker.Ask) { a.Duration = 2 * time.Hour }, "at most 1h"},
		"too short":    {alice(), func(a *broker.Ask) { a.Duration = time.Second }, "at least"},
		"negative":     {alice(), func(a *broker.Ask) { a.Duration = -time.Hour }, "at least"},
		"too wide":     {alice(), func(a *broker.Ask) { a.Sources = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} }, "wider than /32"},
		"everybody":    {alice(), func(a *broker.Ask) { a.Sources = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, "wider than /32"},
		"loopback":     {alice(), func(a *broker.Ask) { a.Sources = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }, "loopback"},
		"not masked":   {alice(), func(a *broker.Ask) { a.Sources = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/24")} }, "203.0.113.7/24"},
		"not locked":   {alice(), func(a *broker.Ask) { a.Ports[0].Number = 23 }, "not locked"},
		"other proto":  {alice(), func(a *broker.Ask) { a.Ports[0].Protocol = firewall.UDP }, "not locked"},
		"other VM":     {alice(), func(a *broker.Ask) { a.VM = "web-2" }, "not locked"},
		"far away":     {alice(), func(a *broker.Ask) { a.Start = time.Now().Add(100 * 24 * time.Hour) }, "ahead"},
		"one of two":   {alice(), func(a *broker.Ask) { a.Ports = append(a.Ports, broker.Port{Number: 23, Protocol: firewall.TCP}) }, "not locked"},
		"wrapped time": {alice(), func(a *broker.Ask) { a.Duration = 1<<63 - 1 }, "at most 1h"},
	}
	for name, x := range tests {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				a := ask()
				x.change(&a)
				_, err := b.Broker().Request(b.ctx, x.caller, a)
				wants(t, err, errkind.Denied, x.why)
				denied := b.records(t, audit.Denied)
				if len(denied) != len(a.Ports) || !says(denied[len(denied)-1].Not, x.why) || denied[0].Grant != "" {
					t.Errorf("%d denials recorded, want one with %q", len(denied), x.why)
				}
				r, err := b.Store().Request(b.ctx, denied[0].Request)
				if err != nil || r.Decision.Allow {
					t.Errorf("the request is %+v: %v", r, err)
				}
				if g := b.grants(t); len(g) > 0 || b.gets() {
					t.Errorf("%d grants, admitted is %v", len(g), b.gets())
				}
			})
		})
	}
}

func TestWhatMakesNoSenseIsNoRequest(t *testing.T) {
	many := make([]broker.Port, access.MaxDoors+1)
	sources := make([]netip.Prefix, access.MaxSources+1)
	tests := map[string]struct {
		caller broker.Caller
		change func(*broker.Ask)
		kind   errkind.Kind
		why    string
	}{
		"no VM":        {alice(), func(a *broker.Ask) { a.VM = "web-9" }, errkind.NotFound, "web-9"},
		"no port":      {alice(), func(a *broker.Ask) { a.Ports = nil }, errkind.Invalid, "ports"},
		"many ports":   {alice(), func(a *broker.Ask) { a.Ports = many }, errkind.Invalid, "at most"},
		"same port":    {alice(), func(a *broker.Ask) { a.Ports = append(a.Ports, a.Ports[0]) }, errkind.Invalid, "twice"},
		"many sources": {alice(), func(a *broker.Ask) { a.Sources = sources }, errkind.Invalid, "at most"},
		"in the past":  {alice(), func(a *broker.Ask) { a.Start = time.Now().Add(-time.Hour) }, errkind.Invalid, "in the future"},
		"from nowhere": {root(), func(*broker.Ask) {}, errkind.Invalid, "--from"},
	}
	for name, x := range tests {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				a := ask()
				x.change(&a)
				_, err := b.Broker().Request(b.ctx, x.caller, a)
				wants(t, err, x.kind, x.why)
				if g := b.grants(t); len(g) > 0 {
					t.Errorf("%d grants", len(g))
				}
			})
		})
	}
}

func TestIdempotency(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		a := ask()
		a.IdempotencyKey = "once"
		const parallel = 64
		answers := make([]broker.Answer, parallel)
		var all sync.WaitGroup
		for i := range parallel {
			all.Go(func() {
				var err error
				if answers[i], err = b.Broker().Request(b.ctx, alice(), a); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, x := range answers {
			if x.Request.ID != answers[0].Request.ID || len(x.Grants) != 1 || x.Grants[0].ID != answers[0].Grants[0].ID {
				t.Fatalf("answers differ: %+v and %+v", x, answers[0])
			}
			if x.Grants[0].State != access.Open {
				t.Errorf("an answer says %s", x.Grants[0].State)
			}
		}
		if g, r := b.grants(t), b.records(t, audit.Requested); len(g) != 1 || len(r) != 1 {
			t.Errorf("%d grants, %d records", len(g), len(r))
		}

		// The same key for something else is a mistake of the caller's.
		a.Duration = 20 * time.Minute
		_, err := b.Broker().Request(b.ctx, alice(), a)
		wants(t, err, errkind.Conflict, "once")

		// Somebody else's key is another key.
		caller := root()
		caller.Addr = laptop()
		if _, err := b.Broker().Request(b.ctx, caller, a); err != nil {
			t.Error(err)
		}

		// After a day the key is forgotten, and the door opens anew.
		time.Sleep(25 * time.Hour)
		again, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil || again.Request.ID == answers[0].Request.ID || again.Grants[0].State != access.Open {
			t.Errorf("a day later: %+v, %v", again, err)
		}

		// What was answered once is answered so again, although nobody may ask any more.
		if err := b.Broker().DropPolicy(b.ctx, root(), "ssh"); err != nil {
			t.Fatal(err)
		}
		denied := len(b.records(t, audit.Denied))
		late, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil || late.Request.ID != again.Request.ID || late.Grants[0].State != access.Closed {
			t.Errorf("when the policy is gone: %+v, %v", late, err)
		}
		if n := len(b.records(t, audit.Denied)) - denied; n != 0 {
			t.Errorf("%d denials of what was granted before", n)
		}
	})
}

func TestNothingIsGrantedThatCannotBeRecorded(t *testing.T) {
	for name, fault := range map[string]simtest.DiskFault{"full": simtest.DiskFull, "dead": simtest.DiskDead} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				g := b.open(t)
				b.Disk.Fail(fault)
				a := ask()
				a.Sources = []netip.Prefix{netip.MustParsePrefix("203.0.113.8/32")}
				_, err := b.Broker().Request(b.ctx, alice(), a)
				wants(t, err, errkind.Unavailable, "closing goes on")
				_, err = b.Broker().Extend(b.ctx, alice(), g.ID, 30*time.Minute)
				wants(t, err, errkind.Unavailable, "")
				_, err = b.Broker().Enable(b.ctx, root(), ssh(), broker.Agreed{})
				wants(t, err, errkind.Unavailable, "closing goes on")
				wants(t, b.Broker().Disable(b.ctx, root(), []firewall.Door{door(22)}, broker.Agreed{}), errkind.Unavailable, "closing goes on")
				time.Sleep(time.Minute)
				b.Disk.Fail(simtest.DiskGood)
				if g := b.grants(t); len(g) != 1 || b.world.Admits(door(22), netip.MustParseAddr("203.0.113.8")) {
					t.Errorf("%d grants; a door opened that nobody recorded", len(g))
				}
				if !b.gets() {
					t.Error("the grant from before does not get in any more")
				}
			})
		})
	}
}

func TestNothingIsOpenedWhereSomethingIsMissing(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		v := machine("web-1")
		v.Missing = []string{"its route table could not be read"}
		b.world.AddVM(v)
		time.Sleep(6 * time.Minute)
		_, err := b.Broker().Request(b.ctx, alice(), ask())
		wants(t, err, errkind.Unavailable, "route table")
	})
}

// Where no way leads from a source to the VM no rule would help, and nobody is made
// to wait for one.
func TestNoWayIsRefused(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		v := machine("web-1")
		v.Paths[0].From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
		b.world.AddVM(v)
		time.Sleep(6 * time.Minute)
		begun := time.Now()
		_, err := b.Broker().Request(b.ctx, alice(), ask())
		wants(t, err, errkind.Invalid, "no way leads from 203.0.113.7 to web-1:22/tcp, whatever its firewalls say: only 10.0.0.0/16 can come there")
		if took := time.Since(begun); took > 0 || len(b.grants(t)) > 0 {
			t.Errorf("after %v there are %d grants", took, len(b.grants(t)))
		}
		near := ask()
		near.Sources = []netip.Prefix{netip.MustParsePrefix("10.0.3.4/32")}
		answer, err := b.Broker().Request(b.ctx, alice(), near)
		if err != nil || answer.Grants[0].State != access.Open {
			t.Errorf("who is near gets %+v, %v", answer, err)
		}
	})
}

func TestAnAnswerDoesNotWaitForEver(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.world.Firewall("fw").Fail(memory.Fault{Kind: memory.Down})
		begun := time.Now()
		answer, err := b.Broker().Request(b.ctx, alice(), ask())
		if err != nil {
			t.Fatal(err)
		}
		if g := answer.Grants[0]; g.State != access.Opening || g.Pending == "" {
			t.Errorf("the grant is %s, pending %q", g.State, g.Pending)
		}
		if took := time.Since(begun); took > broker.SettleTime {
			t.Errorf("the answer took %s", took)
		}
		b.world.Firewall("fw").Mend()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if !b.gets() {
			t.Error("the firewall answers again, and the door is not open")
		}
	})
}

// A request for two ports is two grants, each with its own record.
func TestEveryDoorIsRecorded(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		two := ssh()
		two.Ports = append(two.Ports, policy.Port{Port: 3389, Max: time.Hour})
		b.enable(t, two.WithDefaults())
		a := ask()
		a.Ports = append(a.Ports, broker.Port{Number: 3389, Protocol: firewall.TCP})
		answer, err := b.Broker().Request(b.ctx, alice(), a)
		if err != nil || len(answer.Grants) != 2 {
			t.Fatalf("%+v, %v", answer, err)
		}
		records := b.records(t, audit.Requested)
		if len(records) != 2 {
			t.Fatalf("%d records of two grants", len(records))
		}
		for i, g := range answer.Grants {
			if r := records[i]; r.Grant != g.ID || r.Door != g.Door || r.Request != answer.Request.ID || !r.Deadline.Equal(g.Deadline.Wall) {
				t.Errorf("record %+v is not of grant %+v", r, g)
			}
		}

		a.Ports = append(a.Ports, a.Ports[1])
		_, err = b.Broker().Request(b.ctx, alice(), a)
		wants(t, err, errkind.Invalid, "ports: 3389/tcp is named twice; name each port once")
	})
}
