//go:build linux

package nftables

import (
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach"
)

func TestObstacles(t *testing.T) {
	s := newStage(t)
	s.show(locked(ssh()))
	input := func(rules string) string {
		return "table inet filter { chain input { type filter hook input priority filter; policy accept; " + rules + "; }; }"
	}
	output := func(rules string) string {
		return "table inet filter { chain output { type filter hook output priority filter; policy accept; " + rules + "; }; }"
	}
	// published is what an engine for containers writes; what it forwards is dropped.
	published := func(translation string) string {
		return "table ip nat { chain D { " + translation + "; }; chain P { type nat hook prerouting priority dstnat; fib daddr type local jump D; }; };" +
			"table ip filter { chain F { type filter hook forward priority filter; policy drop; ct state established accept; ip daddr 192.0.2.2 accept; }; }"
	}
	const some = "no obstacle, but a doubt or a drop for some"
	const closed = "table inet filter { chain INPUT { type filter hook input priority filter; policy drop; "
	for _, c := range []struct {
		name, script string
		want         string // what the obstacle says; empty for nothing at all
	}{
		{"nothing", "", ""},
		{"accepts only", input("tcp dport 22 accept"), ""},
		{"a drop of the port", input("tcp dport 22 drop"), "table inet filter, chain input (hook input): the rule with handle 2 blocks connections to 22/tcp, also for a grant; allow the port there"},
		{"a drop of another port", input("tcp dport 23 drop"), ""},
		{"a drop of UDP", input("udp dport 22 drop"), ""},
		{"a drop of a range", input("tcp dport 20-25 drop"), "blocks"},
		{"a drop of another range", input("tcp dport 23-65535 drop"), ""},
		{"a drop of everything but", input("tcp dport != 80 drop"), "blocks"},
		{"a drop by a set", input("tcp dport { 22, 80 } drop"), "blocks"},
		{"a drop by another set", input("tcp dport { 23, 80 } drop"), ""},
		{"a drop by a set of ranges", input("tcp dport { 1-21, 22-23, 80 } drop"), "blocks"},
		{"a drop beside a set of ranges", input("tcp dport { 1-21, 23-80 } drop"), ""},
		{"a drop but for a set", input("tcp dport != { 22, 80 } drop"), ""},
		{"a reject", input("tcp dport 22 reject with tcp reset"), "blocks"},
		{"a reject with a comment", input(`meta l4proto tcp reject comment "no"`), `handle 2 ("no") blocks`},
		{"a policy", closed + "}; }", "table inet filter, chain INPUT (hook input): its policy blocks connections to 22/tcp, also for a grant; allow the port there"},
		{"a policy with the port let through", closed + "ct state established,related accept; iif lo accept; tcp dport 22 accept; }; }", ""},
		{"a policy with what is established", closed + "ct state established,related accept; iifname lo accept; }; }", "its policy blocks"},
		{"a policy with what is new", closed + "ct state new tcp dport 22 accept; }; }", ""},
		{"a policy with what is invalid", closed + "ct state invalid drop; tcp dport 22 accept; }; }", ""},
		{"a policy but for a source", closed + "ip saddr 192.0.2.0/24 accept; }; }", some},
		{"a policy but for a map", closed + "tcp dport vmap { 22 : accept }; }; }", ""},
		{"a policy of IPv6", strings.Replace(closed, "table inet ", "table ip6 ", 1) + "}; }", some},
		{"a policy for what is forwarded", strings.Replace(closed, "hook input", "hook forward", 1) + "}; }", ""},
		{"a policy of a table switched off", "table ip filter { flags dormant; chain INPUT { type filter hook input priority filter; policy drop; }; }", ""},
		{"prerouting", strings.Replace(closed, "hook input priority filter", "hook prerouting priority raw", 1) + "}; }", "hook prerouting): its policy blocks"},
		{"ingress", "table netdev x { chain i { type filter hook ingress device eth0 priority 0; policy drop; }; }", "hook ingress): its policy blocks"},
		{"a block list", input("ip saddr 198.51.100.0/24 drop"), some},
		{"a block list for the port", input("tcp dport 22 ip saddr 198.51.100.0/24 drop"), some},
		{"a rate limit", input("tcp dport 22 limit rate over 3/minute drop"), some},
		{"another interface", input("iifname eth7 tcp dport 22 drop"), some},
		{"loopback", input("iif lo drop"), ""},
		{"all but loopback", input("iif != lo drop"), "blocks"},
		{"a log", input(`tcp dport 22 log prefix "ssh" counter`), ""},
		{"an accept before", input("tcp dport 22 accept; drop"), ""},
		{"an accept behind", input("drop; tcp dport 22 accept"), "blocks"},
		{"in a chain", "table inet filter { chain s { drop; }; chain input { type filter hook input priority 0; tcp dport 22 jump s; }; }", "blocks"},
		{"in a chain for a source", "table inet filter { chain s { ip saddr 192.0.2.1 drop; }; chain input { type filter hook input priority 0; tcp dport 22 jump s; }; }", some},
		{"behind a return", "table inet filter { chain s { tcp dport 22 return; drop; }; chain input { type filter hook input priority 0; jump s; }; }", ""},
		{"behind a return of some", "table inet filter { chain s { ip saddr 192.0.2.1 return; tcp dport 22 drop; }; chain input { type filter hook input priority 0; jump s; }; }", some},
		{"behind a goto", "table inet filter { chain s { accept; }; chain input { type filter hook input priority 0; goto s; drop; }; }", ""},
		{"by a mark", input("meta mark 7 tcp dport 22 drop"), some},
		{"a drop of the answers", output("tcp sport 22 drop"), "table inet filter, chain output (hook output): the rule with handle 2 blocks connections to 22/tcp, also for a grant; allow the port there"},
		{"a drop of other answers", output("tcp sport 23 drop; udp sport 22 drop"), ""},
		{"a drop of answers by flags", output("tcp flags & (syn | ack) == (syn | ack) drop"), "blocks"},
		{"a drop of what goes to the port elsewhere", output("ct state new tcp dport 22 drop"), ""},
		{"a drop of answers to a port", output("tcp dport 25 drop"), ""},
		{"a policy for what goes out", strings.Replace(closed, "hook input", "hook output", 1) + "ct state new accept; oif lo accept; }; }", "(hook output): its policy blocks"},
		{"a policy for what goes out but for what is established", strings.Replace(closed, "hook input", "hook output", 1) + "ct state established,related accept; }; }", ""},
		{"a policy for what goes out by another interface", strings.Replace(closed, "hook input", "hook output", 1) + "oifname != eth7 accept; }; }", some},
		{"postrouting", strings.Replace(closed, "hook input priority filter", "hook postrouting priority 0", 1) + "}; }", "hook postrouting): its policy blocks"},
		{"a port of a container", published("tcp dport 22 dnat to 192.0.2.2:22"), some},
		{"ports of containers", published("dnat to tcp dport map { 22 : 192.0.2.2 }"), some},
		{"another port of a container", published("tcp dport 8080 dnat to 192.0.2.2:22"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.with(t)
			for line := range strings.Lines(s.nft("list", "tables")) {
				if f := strings.Fields(line); f[2] != "sesame" {
					s.nft("delete", "table", f[1], f[2])
				}
			}
			s.load(c.script)
			// What keeps out some, or may do so, is for the layer to tell.
			verdict := reach.All()
			if beside := s.observe().Beside; beside.Firewall != "" {
				verdict = reach.Layer(beside, ssh()).Sources(reach.Open)
			}
			if (c.want == "") != slices.Equal(verdict, reach.All()) {
				t.Errorf("of %q the layer says that %s may pass", c.want, verdict)
			}
			var got []string
			for _, o := range s.observe().Obstacles {
				if o.Door != ssh() || !o.Blocks {
					t.Errorf("an obstacle of another kind: %+v", o)
				}
				got = append(got, o.Text)
			}
			switch {
			case (c.want == "" || c.want == some) && len(got) > 0:
				t.Errorf("obstacles that are none: %q", got)
			case c.want != "" && c.want != some && !slices.ContainsFunc(got, func(x string) bool { return strings.Contains(x, c.want) }):
				t.Errorf("%q says nothing of %q", got, c.want)
			}
		})
	}
}

// What an obstacle says is what happens.
func TestObstaclesAreTrue(t *testing.T) {
	s := newStage(t, "alice")
	alice := s.Client("alice")
	s.show(locked(ssh(), opening(single(alice.Addr4()), patience*20)))
	if s.dial(alice, s.vm.Addr4(), 22, 0) == nil {
		t.Fatal("alice does not get in")
	}
	s.load("table inet filter { chain INPUT { type filter hook input priority filter; policy drop; }; }")
	if s.dial(alice, s.vm.Addr4(), 22, 0) != nil || len(s.observe().Obstacles) != 1 {
		t.Errorf("alice gets in past a drop, or it is not reported: %v", s.observe().Obstacles)
	}
	s.load("add rule inet filter INPUT meta l4proto { tcp, icmpv6 } accept")
	if s.dial(alice, s.vm.Addr4(), 22, 0) == nil || len(s.observe().Obstacles) != 0 {
		t.Errorf("alice does not get in, or an obstacle is reported: %v", s.observe().Obstacles)
	}
	s.load("table inet out { chain OUTPUT { type filter hook output priority filter; tcp sport 22 drop; }; }")
	if s.dial(alice, s.vm.Addr4(), 22, 0) != nil || len(s.observe().Obstacles) != 1 {
		t.Errorf("alice is answered past a drop, or it is not reported: %v", s.observe().Obstacles)
	}
}

// Two installations on one host are a mistake that neither makes worse.
func TestAnotherInstallation(t *testing.T) {
	s := newStage(t)
	theirs := s.with(t)
	theirs.Provider = theirs.provider(keys("there"))
	theirs.show(everything()...)
	before := s.unmasked()
	o := s.observe()
	if len(o.Owned) != 0 || len(o.Obstacles) != 3 || !strings.Contains(o.Obstacles[0].Text, "nft delete table inet sesame") {
		t.Errorf("their table is taken for ours, or is no obstacle: %v %v", o.Owned, o.Obstacles)
	}
	for _, want := range []firewall.Wants{nil, {locked(ssh())}, everything()} {
		p, err := s.Compile(o, want, nil)
		if err != nil || !p.Empty() || len(p.Refused) != len(want) {
			t.Errorf("%v: %v\n%v", want, err, p)
		}
	}
	if s.unmasked() != before {
		t.Error("their table was touched")
	}
	// What they left in a table that is ours stays; beside it nothing is opened.
	theirs.show()
	s.show(everything()...)
	foreign := theirs.observe()
	if len(foreign.Owned) != 0 || len(foreign.Obstacles) != 3 {
		t.Errorf("our table is taken for theirs: %v", foreign.Owned)
	}
}

// unmasked is the table of our name, whosever it is, marks and all.
func (s *stage) unmasked() string {
	return without(s.nft("list", "table", "inet", "sesame"), "expires")
}
