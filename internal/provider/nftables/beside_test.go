//go:build linux

package nftables

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/netlab"
	"github.com/sesame-access/sesame/internal/reach"
)

// What the layer of other tables says of a client and a port is what the kernel
// does to its connection. Nothing is locked here.
func TestBesideIsTrue(t *testing.T) {
	s := newStage(t, "alice", "bob")
	alice, bob := s.Client("alice"), s.Client("bob")
	input := func(policy, rules string) string {
		return fmt.Sprintf("table inet filter { set banned { type ipv4_addr; }; chain input { type filter hook input priority 0; policy %s; %s; }; }", policy, rules)
	}
	f2b := input("accept", "tcp dport 22 ip saddr @banned reject")
	const open, closed, unknown = reach.Open, reach.Closed, reach.Unknown
	for _, c := range []struct {
		name, script string
		port         uint16
		alice, bob   reach.Verdict
	}{
		{"a ban that is empty", f2b, 22, open, open},
		{"a ban of alice", strings.ReplaceAll(f2b, "reject", "drop") + fmt.Sprintf("; add element inet filter banned { %s }", alice.Addr4()), 22, closed, open},
		{"a drop of another source", input("accept", "ip saddr 203.0.113.0/24 tcp dport 22 drop"), 22, open, open},
		{"a drop of one source", input("accept", fmt.Sprintf("ip saddr %s tcp dport 22 drop", alice.Addr4())), 22, closed, open},
		{"a drop of one source, of another port", input("accept", fmt.Sprintf("ip saddr %s tcp dport 23 drop", alice.Addr4())), 22, open, open},
		{"a drop of the port", input("accept", "tcp dport 22 drop"), 22, closed, closed},
		{"a policy but for one", input("drop", fmt.Sprintf("ct state vmap { established : accept, invalid : drop }; meta l4proto icmpv6 accept; ip saddr %s/32 tcp dport { 22, 80 } accept", bob.Addr4())), 22, closed, open},
		{"a redirect", "table inet n { chain p { type nat hook prerouting priority dstnat; tcp dport 2222 redirect to :22; }; }", 2222, unknown, unknown},
		{"beside a redirect", "table inet n { chain p { type nat hook prerouting priority dstnat; tcp dport 2222 redirect to :22; }; }", 22, open, open},
		{"before a redirect", "table inet n { chain r { type filter hook prerouting priority raw; tcp dport 2222 drop; }; chain p { type nat hook prerouting priority dstnat; tcp dport 2222 redirect to :22; }; }", 2222, closed, closed},
		{"a range that is not", input("accept", "tcp dport != 23-80 drop"), 22, closed, closed},
		{"a goto of some that comes out", "table inet f { chain a { }; chain i { type filter hook input priority 0; policy accept; limit rate 1/day goto a; tcp dport 22 drop; }; }", 22, unknown, unknown},
		{"a rate", input("accept", "tcp dport 22 limit rate over 1/day drop"), 22, unknown, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.with(t)
			s.nft("flush", "ruleset")
			s.load(strings.ReplaceAll(c.script, "}; add", "}\nadd"))
			beside, door := s.observe().Beside, firewall.Door{VM: web, Protocol: firewall.TCP, Port: c.port}
			for _, x := range []struct {
				who  *netlab.Host
				at   netip.Addr
				want reach.Verdict
			}{{alice, alice.Addr4(), c.alice}, {bob, bob.Addr4(), c.bob}} {
				got := open
				if beside.Firewall != "" {
					got = reach.Layer(beside, door).At(x.at).Verdict
				}
				if got != x.want {
					t.Errorf("%s: %s, want %s\n%v", x.at, got, x.want, beside.Rules)
				}
				if in := s.dial(x.who, s.vm.Addr4(), c.port, 0) != nil; got != unknown && in != (got == open) {
					t.Errorf("%s is %s, and connects: %v", x.at, got, in)
				}
			}
			if o := s.observe().Obstacles; len(o) > 0 {
				t.Errorf("obstacles of no lock: %v", o)
			}
		})
	}
}
