//go:build linux

package nftables

import (
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// lockAt returns the lock of ssh as a look at one key shows it.
func (s *stage) lockAt(k firewall.Key) provider.Owned {
	s.Helper()
	for _, o := range s.observe(k).Owned {
		if o.Kind == provider.OwnedLock && o.Door == ssh() {
			return o
		}
	}
	return provider.Owned{}
}

// The frame is not read again while only we write, and always when somebody else
// did, even when that is the same number of commits.
func TestFrameIsReadAgainWhenOthersWrote(t *testing.T) {
	s := newStage(t)
	s.show(everything()...)
	key := firewall.Key{Door: ssh(), From: netip.MustParsePrefix("203.0.113.99/32")}
	grant := func() {
		t.Helper()
		before := s.observe(key)
		want := firewall.Wants{locked(ssh(), opening(key.From, patience*10))}
		if len(before.Shown()[0].Open) > 0 {
			want[0].Open = nil
		}
		p, err := s.Compile(before, want, nil)
		if err != nil || len(p.Changes) != 1 {
			t.Fatal(err, p)
		}
		if err := s.Apply(t.Context(), before, p); err != nil {
			t.Fatal(err)
		}
	}
	s.observe()
	frame := s.hosts[0].seen.frame
	for range 10 {
		grant()
		s.observe(key)
	}
	if s.hosts[0].seen.frame != frame {
		t.Error("the frame was read again although nobody else wrote")
	}
	if o := s.lockAt(key); o.Wrong != "" || o.Kind != provider.OwnedLock {
		t.Fatalf("the lock is not shown as right: %+v", o)
	}
	grant()
	s.load("insert rule inet sesame gate accept")
	if o := s.lockAt(key); o.Wrong == "" {
		t.Error("what somebody else wrote is not seen")
	}
	grant() // without repairing, which is not a matter of single keys
	s.converges(everything()...)
	if o := s.lockAt(key); o.Wrong != "" {
		t.Errorf("the lock is wrong: %s", o.Wrong)
	}
}

// converges makes plans until nothing is left to do.
func (s *stage) converges(want ...firewall.Want) {
	s.Helper()
	for range 3 {
		if s.show(want...).Empty() {
			return
		}
	}
	s.Error("something is left to do")
}

// A single grant on a host whose table has just been deleted makes a table; the
// locks come back with the next full plan.
func TestGrantOnAFlushedHost(t *testing.T) {
	s := newStage(t)
	all := everything()
	s.show(all...)
	for _, from := range []string{"203.0.113.99/32", "198.51.100.128/25"} {
		s.nft("flush", "ruleset")
		key := firewall.Key{Door: ssh(), From: netip.MustParsePrefix(from)}
		before := s.observe(key)
		want := firewall.Wants{locked(ssh(), opening(key.From, patience*10))}
		p, err := s.Compile(before, want, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(t.Context(), before, p); err != nil {
			t.Fatal(err)
		}
		after := s.observe(key)
		if p, err := s.Compile(after, want, nil); err != nil || !p.Empty() || after.Owned[0].Opening.From != key.From {
			t.Errorf("%s: %v\n%vafter %v", from, err, p, after.Owned)
		}
	}
	s.converges(all...)
	s.converged(all...)
}

// A host that cannot be reached stays in the inventory.
func TestInventorySaysWhatIsMissing(t *testing.T) {
	p, err := New(Config{Hosts: []Host{{Name: "gone", NetnsPath: "/nonexistent"}}, Keyring: keys("here"), Clocks: clocks})
	if err != nil {
		t.Fatal(err)
	}
	vms, err := p.Inventory(t.Context())
	if err != nil || len(vms) != 1 || len(vms[0].Missing) != 1 || vms[0].ID != "host://gone" {
		t.Errorf("inventory: %+v, %v", vms, err)
	}
	if _, err := p.Observe(t.Context(), "nftables://gone", nil); err == nil {
		t.Error("what cannot be reached is observed")
	}
	if _, err := p.Observe(t.Context(), "nftables://other", nil); err == nil {
		t.Error("what does not exist is observed")
	}
}

func TestNamesOfHosts(t *testing.T) {
	for _, hosts := range [][]Host{{{Name: "Web"}}, {{Name: ""}}, {{Name: "a"}, {Name: "a"}}} {
		if _, err := New(Config{Hosts: hosts}); err == nil {
			t.Errorf("%v are taken", hosts)
		}
	}
}
