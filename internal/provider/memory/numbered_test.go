package memory_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

func lock(d firewall.Door, open ...firewall.Opening) firewall.Want {
	return firewall.Want{Door: d, Locked: true, Cut: false, Open: open}
}

func grant(id string, until time.Time) firewall.Opening {
	return firewall.Opening{From: prefix("203.0.113.7/32"), Until: firewall.Instant(until), Grants: firewall.HoldersOf(id)}
}

func exempt(from string) firewall.Opening {
	return firewall.Opening{From: prefix(from), Until: time.Time{}, Grants: ""}
}

// compiled observes and compiles.
func compiled(t *testing.T, p provider.Provider, displaced []plan.Change, want ...firewall.Want) (provider.Snapshot, plan.Plan) {
	t.Helper()
	s, err := p.Observe(t.Context(), fw, nil)
	if err != nil {
		t.Fatal(err)
	}
	pl, err := p.Compile(s, want, displaced)
	if err != nil {
		t.Fatal(err)
	}
	return s, pl
}

// shown makes the firewall show want, and returns the plan.
func shown(t *testing.T, p provider.Provider, displaced []plan.Change, want ...firewall.Want) plan.Plan {
	t.Helper()
	s, pl := compiled(t, p, displaced, want...)
	if err := p.Apply(t.Context(), s, pl); err != nil {
		t.Fatal(err)
	}
	return pl
}

// prints checks what f holds, one rule a line.
func prints(t *testing.T, f *memory.Firewall, want ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSpace(f.String()), "\n")[1:]
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the firewall holds (-want +got):\n%s", diff)
	}
}

// refuses checks that the plan refuses one thing, with a text that names what is
// in the way.
func refuses(t *testing.T, p plan.Plan, source bool, names string) {
	t.Helper()
	if len(p.Refused) != 1 || p.Refused[0].From.IsValid() != source || !strings.Contains(p.Refused[0].Why, names) {
		t.Errorf("want one refusal (of a source: %v) that names %q, got\n%v", source, names, p)
	}
}

var tomorrow = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func TestNumberedPlacement(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Numbered})
	put(t, f,
		rule("https", 100, firewall.Allow, firewall.TCP, 443, 443),
		rule("admin", 300, firewall.Allow, firewall.TCP, 20, 30),
		rule("taken", 299, firewall.Allow, firewall.TCP, 80, 80),
	)
	shown(t, w, nil, lock(ssh, exempt("192.0.2.0/24"), grant("g-1", tomorrow)), lock(rdp))
	prints(t, f,
		"100 allow any VM 443/tcp from anybody  # foreign: https",
		"101 allow host://web-1 22/tcp from 203.0.113.7  # ours: g-1 until 2030-01-02T12:00:00.000Z",
		"297 allow host://web-1 22/tcp from 192.0.2.0/24  # ours: exempt",
		"298 deny  host://web-1 22/tcp from anybody  # ours: lock",
		"299 allow any VM 80/tcp from anybody  # foreign: taken",
		"300 allow any VM 20-30/tcp from anybody  # foreign: admin",
		"4096 deny  host://web-1 3389/tcp from anybody  # ours: lock",
	)
}

func TestNumberedShadowedLockMovesUp(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Numbered})
	want := []firewall.Want{lock(ssh, exempt("192.0.2.0/24"), grant("g-1", tomorrow))}
	shown(t, w, nil, want...)
	put(t, f, rule("shadow", 200, firewall.Allow, firewall.TCP, 22, 22, "198.51.100.0/24"))
	shown(t, w, nil, want...)
	prints(t, f,
		"100 allow host://web-1 22/tcp from 203.0.113.7  # ours: g-1 until 2030-01-02T12:00:00.000Z",
		"198 allow host://web-1 22/tcp from 192.0.2.0/24  # ours: exempt",
		"199 deny  host://web-1 22/tcp from anybody  # ours: lock",
		"200 allow any VM 22/tcp from 198.51.100.0/24  # foreign: shadow",
	)
	// Shadowed by a Deny above it, an Allow lets nobody in and matters to nobody.
	w, f = newFirewall(memory.Config{Dialect: memory.Numbered})
	put(t, f, rule("never", 100, firewall.Deny, 0, 0, 65535), rule("dead", 101, firewall.Allow, firewall.TCP, 22, 22))
	shown(t, w, nil, lock(ssh))
	if r, ok := f.Rule("dead"); !ok || r.Priority != 101 || !strings.Contains(f.String(), "4096 deny  host://web-1 22/tcp") {
		t.Errorf("the lock is not where it was free to be:\n%v", f)
	}
}

func TestNumberedNoFreeNumber(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Numbered})
	put(t, f, rule("top", 100, firewall.Allow, firewall.TCP, 22, 22))
	p := shown(t, w, nil, lock(ssh, grant("g-1", tomorrow)))
	refuses(t, p, false, "top (100)")
	if !p.Empty() {
		t.Errorf("something is written for a door that cannot be locked:\n%v", p)
	}
	// A lock that is there and cannot move up stays, and so do its openings.
	w, f = newFirewall(memory.Config{Dialect: memory.Numbered})
	want := lock(ssh, grant("g-1", tomorrow))
	shown(t, w, nil, want)
	f.Edit("sesame-main-open-web-1-22-tcp-"+suffix(t, f, "open"), func(r *memory.Rule) { r.Priority = 101 })
	put(t, f, rule("top", 100, firewall.Allow, firewall.TCP, 22, 22))
	refuses(t, shown(t, w, nil, want), false, "top (100)")
	if _, p := compiled(t, w, nil, want); !p.Empty() {
		t.Errorf("it is tried again and again:\n%v", p)
	}
	// And closing goes on.
	if p := shown(t, w, nil, lock(ssh)); !p.Has(plan.Close) {
		t.Errorf("no close in\n%v", p)
	}
}

// suffix returns the last part of the name of our one rule of a sort.
func suffix(t *testing.T, f *memory.Firewall, sort string) string {
	t.Helper()
	for _, r := range f.State().Rules {
		if strings.HasPrefix(r.Name, "sesame-main-"+sort) {
			return r.Name[strings.LastIndexByte(r.Name, '-')+1:]
		}
	}
	t.Fatalf("no %s in\n%v", sort, f)
	return ""
}

func TestNumberedForeignDeny(t *testing.T) {
	deny := rule("deny-all", 4000, firewall.Deny, 0, 0, 65535)
	want := lock(ssh, grant("g-1", tomorrow))
	w, f := newFirewall(memory.Config{Dialect: memory.Numbered})
	put(t, f, deny)
	refuses(t, shown(t, w, nil, want), true, "deny-all")
	if f.Admits(ssh, prefix("203.0.113.7/32").Addr()) {
		t.Error("a foreign Deny was outranked")
	}

	w, f = newFirewall(memory.Config{Dialect: memory.Numbered, MayOutrank: []string{"deny-all"}})
	put(t, f, deny)
	shown(t, w, nil, want)
	if !f.Admits(ssh, prefix("203.0.113.7/32").Addr()) {
		t.Errorf("a Deny that may be outranked was not:\n%v", f)
	}

	// What an Allow above it lets in, a Deny does not block.
	w, f = newFirewall(memory.Config{Dialect: memory.Numbered})
	put(t, f, rule("allow", 300, firewall.Allow, firewall.TCP, 22, 22), deny)
	if p := shown(t, w, nil, want); len(p.Refused) > 0 {
		t.Errorf("refused:\n%v", p)
	}
	// A Deny that comes later, such as an incident responder's, ends the opening.
	put(t, f, rule("incident", 200, firewall.Deny, 0, 0, 65535, "203.0.113.0/24"))
	p := shown(t, w, nil, want)
	refuses(t, p, true, "incident")
	if !p.Has(plan.Close) || f.Admits(ssh, prefix("203.0.113.7/32").Addr()) {
		t.Errorf("the opening stands:\n%v%v", p, f)
	}
}

func TestNumberedIsStrict(t *testing.T) {
	_, f := newFirewall(memory.Config{Dialect: memory.Numbered, Rooms: 2})
	good := rule("good", 200, firewall.Allow, firewall.TCP, 22, 22)
	put(t, f, good)
	for name, spoil := range map[string]func(*memory.Rule){
		"a priority twice":       func(*memory.Rule) {},
		"a priority too low":     func(r *memory.Rule) { r.Priority = 99 },
		"a priority too high":    func(r *memory.Rule) { r.Priority = 4097 },
		"two families":           func(r *memory.Rule) { r.Priority, r.From = 201, append(r.From, prefix("10.0.0.0/8"), prefix("::/0")) },
		"host bits":              func(r *memory.Rule) { r.Priority, r.From = 201, append(r.From, prefix("10.0.0.1/8")) },
		"a long description":     func(r *memory.Rule) { r.Priority, r.Note = 201, strings.Repeat("x", 141) },
		"a name with a blank":    func(r *memory.Rule) { r.Priority, r.Name = 201, "a b" },
		"ports the wrong way":    func(r *memory.Rule) { r.Priority, r.First = 201, 23 },
		"a name of 81 letters":   func(r *memory.Rule) { r.Priority, r.Name = 201, strings.Repeat("x", 81) },
		"a prefix of both sorts": func(r *memory.Rule) { r.Priority, r.From = 201, append(r.From, prefix("::ffff:10.0.0.0/104")) },
	} {
		bad := rule("bad", 200, firewall.Allow, firewall.TCP, 22, 22)
		spoil(&bad)
		if err := f.Put(bad); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	put(t, f, rule("second", 201, firewall.Allow, firewall.TCP, 22, 22))
	if err := f.Put(rule("third", 202, firewall.Allow, firewall.TCP, 22, 22)); err == nil {
		t.Error("a third rule is taken where there is room for two")
	}
}

// A write takes five seconds here. One that starts meanwhile supersedes it.
func TestNumberedSupersedes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Numbered, WriteTime: 5 * time.Second})
		s, p := compiled(t, w, nil, lock(ssh))
		var wg sync.WaitGroup
		var first error
		wg.Go(func() { first = w.Apply(t.Context(), s, p) })
		time.Sleep(2 * time.Second)
		if len(f.State().Rules) > 0 {
			t.Error("a write has effect before its time")
		}
		if err := w.Apply(t.Context(), s, p); !errors.Is(err, provider.ErrConflict) {
			t.Errorf("a write on the version before the one under way: %v", err)
		}
		s, p = compiled(t, w, nil, lock(rdp))
		start := time.Now()
		if err := w.Apply(t.Context(), s, p); err != nil {
			t.Errorf("the later write: %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("the later write took %v", took)
		}
		wg.Wait()
		if first == nil || errors.Is(first, provider.ErrConflict) || errors.Is(first, provider.ErrRefused) {
			t.Errorf("the superseded write: %v, want an error that leaves the outcome open", first)
		}
		prints(t, f, "4096 deny  host://web-1 3389/tcp from anybody  # ours: lock")
	})
}

func TestWriteGoesOnWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Numbered, WriteTime: 5 * time.Second})
		s, p := compiled(t, w, nil, lock(ssh))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Apply(ctx, s, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("apply: %v", err)
		}
		prints(t, f)
		time.Sleep(5 * time.Second)
		prints(t, f, "4096 deny  host://web-1 22/tcp from anybody  # ours: lock")
	})
}

func TestNumberedConflictHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Numbered, WriteTime: time.Second, Single: true})
		s, p := compiled(t, w, nil, lock(ssh), lock(rdp))
		go func() {
			time.Sleep(1500 * time.Millisecond)
			_ = f.Put(rule("meanwhile", 500, firewall.Allow, firewall.TCP, 80, 80))
		}()
		err := w.Apply(t.Context(), s, p)
		// Something was done: this is no ErrConflict any more.
		if err == nil || errors.Is(err, provider.ErrConflict) {
			t.Errorf("apply: %v", err)
		}
		if n := len(f.State().Rules); n != 2 {
			t.Errorf("%d rules, want the first lock and the rule by hand:\n%v", n, f)
		}
	})
}

func TestDisablingClosesFirst(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Numbered})
	want := lock(ssh, grant("g-1", tomorrow))
	shown(t, w, nil, want)
	// Nobody gets in once the lock is gone: the opening is closed, not cleaned up.
	if p := shown(t, w, nil); len(p.Changes) != 2 || p.Changes[0].Op != plan.Close || p.Changes[1].Op != plan.Drop {
		t.Errorf("the opening does not go first:\n%v", p)
	}
	put(t, f, rule("admin", 300, firewall.Allow, firewall.TCP, 22, 22))
	shown(t, w, nil, want)
	// Everybody gets in once the lock is gone: who has an opening keeps it until then.
	if p := shown(t, w, nil); len(p.Changes) != 2 || p.Changes[0].Opening.From.IsValid() || p.Changes[1].Op != plan.Drop {
		t.Errorf("the opening does not go last:\n%v", p)
	}
}
