//go:build linux

package nftables

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach"
)

// everything is a want with an opening of each kind.
func everything() []firewall.Want {
	until := firewall.Instant(time.Now().Add(time.Hour))
	open := func(from, grants string) firewall.Opening {
		o := firewall.Opening{From: netip.MustParsePrefix(from), Until: until, Grants: firewall.Holders(grants)}
		if grants == "" {
			o.Until = time.Time{}
		}
		return o
	}
	rdp, dns := ssh(), firewall.Door{VM: web, Protocol: firewall.UDP, Port: 53}
	rdp.Port = 3389
	want := firewall.Wants{
		locked(ssh(), open("192.0.2.0/24", ""), open("203.0.113.7/32", "g-1,g-2"), open("2001:db8::7/128", "g-3")),
		locked(rdp, open("198.51.100.0/24", "g-4"), open("2001:db8:1::/64", "g-5")),
		locked(dns, open("203.0.113.7/32", "g-6"), open("2001:db8::53/128", "")),
	}
	want[1].Cut = true
	want.Sort()
	return want
}

// golden is the table with everything, as nft prints it.
const golden = `table inet sesame {
	comment "Sesame's gate, of installation here; managed, do not edit"
	set exempt4_24 {
		type ipv4_addr . inet_proto . inet_service
		size 65536
		counter
		elements = { 192.0.2.0 . tcp . 22 counter MARK }
	}

	set exempt6 {
		type ipv6_addr . inet_proto . inet_service
		size 65536
		counter
		elements = { 2001:db8::53 . udp . 53 counter MARK }
	}

	set host4 {
		type ipv4_addr . inet_proto . inet_service
		size 65536
		counter
		timeout 8h
		elements = { 203.0.113.7 . tcp . 22 counter TIME MARK,
			     203.0.113.7 . udp . 53 counter TIME MARK }
	}

	set host6 {
		type ipv6_addr . inet_proto . inet_service
		size 65536
		counter
		timeout 8h
		elements = { 2001:db8::7 . tcp . 22 counter TIME MARK }
	}

	set net4_24 {
		type ipv4_addr . inet_proto . inet_service
		size 65536
		counter
		timeout 8h
		elements = { 198.51.100.0 . tcp . 3389 counter TIME MARK }
	}

	set net6_64 {
		type ipv6_addr . inet_proto . inet_service
		size 65536
		counter
		timeout 8h
		elements = { 2001:db8:1:: . tcp . 3389 counter TIME MARK }
	}

	set tcp_cut {
		type inet_service
		elements = { 3389 }
	}

	set tcp_ports {
		type inet_service
		elements = { 22, 3389 }
	}

	set udp_ports {
		type inet_service
		elements = { 53 }
	}

	chain gate {
		type filter hook prerouting priority mangle; policy accept;
		tcp dport @tcp_ports goto tcp_gate
		udp dport @udp_ports goto judge
	}

	chain judge {
		iif "lo" accept
		fib daddr type unicast accept
		jump openings
		counter drop
	}

	chain judge_local {
		iif "lo" accept
		fib daddr type unicast accept
		ip saddr & 255.255.255.0 . meta l4proto . th dport != @exempt4_24 ip saddr . meta l4proto . th dport != @host4 ip saddr & 255.255.255.0 . meta l4proto . th dport != @net4_24 counter drop
		ip6 saddr . meta l4proto . th dport != @exempt6 ip6 saddr . meta l4proto . th dport != @host6 ip6 saddr & ffff:ffff:ffff:ffff:: . meta l4proto . th dport != @net6_64 counter drop
	}

	chain local {
		type filter hook input priority mangle; policy accept;
		tcp dport @tcp_ports goto tcp_local
		udp dport @udp_ports goto judge_local
	}

	chain openings {
		ip saddr & 255.255.255.0 . meta l4proto . th dport @exempt4_24 accept
		ip6 saddr . meta l4proto . th dport @exempt6 accept
		ip saddr . meta l4proto . th dport @host4 accept
		ip6 saddr . meta l4proto . th dport @host6 accept
		ip saddr & 255.255.255.0 . meta l4proto . th dport @net4_24 accept
		ip6 saddr & ffff:ffff:ffff:ffff:: . meta l4proto . th dport @net6_64 accept
	}

	chain tcp_gate {
		tcp dport @tcp_cut goto judge
		tcp flags != syn / syn,ack accept
		goto judge
	}

	chain tcp_local {
		tcp dport @tcp_cut goto judge_local
		tcp flags != syn / syn,ack accept
		goto judge_local
	}
}
`

// ours is our table as nft prints it, without what differs every time: times,
// counts, marks, and the order of what has none.
func (s *stage) ours() string {
	s.Helper()
	text := s.nft("list", "table", "inet", "sesame")
	text = regexp.MustCompile(`timeout \S+ expires \S+`).ReplaceAllString(text, "TIME")
	text = regexp.MustCompile(`comment "sesame1\.here\.[^"]*"`).ReplaceAllString(text, "MARK")
	text = regexp.MustCompile(`counter packets \d+ bytes \d+`).ReplaceAllString(text, "counter")
	return inOrder(text)
}

// inOrder puts the sets and chains of a table and the elements of each set, which
// are one a line, in order.
func inOrder(text string) string {
	head, rest, _ := strings.Cut(text, "\tset ")
	blocks := strings.Split(strings.TrimSuffix("\tset "+rest, "}\n"), "\n\n")
	for i, b := range blocks {
		b = strings.TrimSuffix(b, "\n")
		if before, list, found := strings.Cut(b, "elements = { "); found {
			list, after, _ := strings.Cut(list, " }")
			elements := regexp.MustCompile(`,\s+`).Split(list, -1)
			slices.Sort(elements)
			b = before + "elements = { " + strings.Join(elements, ", ") + " }" + after
		}
		blocks[i] = b
	}
	slices.Sort(blocks)
	return head + strings.Join(blocks, "\n\n") + "\n}\n"
}

func TestTable(t *testing.T) {
	s := newStage(t)
	s.show(everything()...)
	if diff := cmp.Diff(inOrder(golden), s.ours()); diff != "" {
		t.Errorf("the table is not as it should be (-want +got):\n%s", diff)
	}
	s.show()
	if got := s.nft("list", "ruleset"); got != "" {
		t.Errorf("something is left:\n%s", got)
	}
}

// TestDrift changes the table by hand in every way there is: each is noticed by
// event, reported, and repaired by the next plan, in place; the table is then as
// before and no other one was touched.
func TestDrift(t *testing.T) {
	s := newStage(t)
	const mark = `comment "sesame1.here.k1.0.-.AAAAAAAAAAAAAAAAAAAAAA"`
	for name, script := range map[string]string{
		"the table deleted":             "delete table inet sesame",
		"the table switched off":        "add table inet sesame { flags dormant; }",
		"a chain flushed":               "flush chain inet sesame judge",
		"all chains flushed":            "flush table inet sesame",
		"an accept inserted":            "insert rule inet sesame gate accept",
		"an accept added to openings":   "add rule inet sesame openings tcp dport 22 accept",
		"a rule replaced":               "flush chain inet sesame judge; add rule inet sesame judge accept",
		"the order of rules changed":    "flush chain inet sesame tcp_gate; add rule inet sesame tcp_gate tcp flags & (syn | ack) != syn accept; add rule inet sesame tcp_gate tcp dport @tcp_cut goto judge; add rule inet sesame tcp_gate goto judge",
		"the policy changed":            "add chain inet sesame gate { policy drop; }",
		"another priority":              "flush chain inet sesame gate; delete chain inet sesame gate; add chain inet sesame gate { type filter hook prerouting priority 0; }; add rule inet sesame gate tcp dport @tcp_ports goto tcp_gate; add rule inet sesame gate udp dport @udp_ports goto judge",
		"another hook":                  "flush chain inet sesame gate; delete chain inet sesame gate; add chain inet sesame gate { type filter hook input priority -150; }; add rule inet sesame gate tcp dport @tcp_ports goto tcp_gate; add rule inet sesame gate udp dport @udp_ports goto judge",
		"the local chain deleted":       "flush chain inet sesame local; delete chain inet sesame local",
		"the local chain flushed":       "flush chain inet sesame local",
		"the local chain elsewhere":     "flush chain inet sesame local; delete chain inet sesame local; add chain inet sesame local { type filter hook forward priority -150; }; add rule inet sesame local tcp dport @tcp_ports goto tcp_local; add rule inet sesame local udp dport @udp_ports goto judge_local",
		"its last rules gone":           "flush chain inet sesame judge_local",
		"an accept among local SYNs":    "insert rule inet sesame tcp_local accept",
		"a chain added":                 "add chain inet sesame mine { type filter hook input priority 0; policy drop; }",
		"chains added that jump around": "add chain inet sesame one; add chain inet sesame two; add rule inet sesame one jump two; insert rule inet sesame gate jump one",
		"a verdict map added":           "add chain inet sesame one; add map inet sesame m { type inet_service : verdict; elements = { 22 : goto one }; }; insert rule inet sesame gate tcp dport vmap @m",
		"a set added":                   "add set inet sesame mine { type ipv4_addr; }",
		"a set without its rule":        "add set inet sesame net4_8 { type ipv4_addr . inet_proto . inet_service; size 65536; flags timeout; counter; timeout 8h; }",
		"a set of another shape":        "flush chain inet sesame openings; flush chain inet sesame judge_local; delete set inet sesame host4; add set inet sesame host4 { type ipv4_addr . inet_proto . inet_service; }",
		"a port removed":                "delete element inet sesame tcp_ports { 22 }",
		"a port that cuts no more":      "delete element inet sesame tcp_cut { 3389 }",
		"a port added":                  "add element inet sesame tcp_ports { 80 }",
		"an opening removed":            "delete element inet sesame host4 { 203.0.113.7 . tcp . 22 }",
		"an exempt source removed":      "delete element inet sesame exempt4_24 { 192.0.2.0 . tcp . 22 }",
		"all openings removed":          "flush set inet sesame net6_64",
		"an element without a timeout":  "add element inet sesame host4 { 198.51.100.99 . tcp . 22 }",
		"an element for ever":           "add element inet sesame host4 { 198.51.100.99 . tcp . 22 timeout 300d }",
		"an element with a false mark":  "add element inet sesame host4 { 198.51.100.99 . tcp . 22 timeout 1h " + mark + " }",
		"an exempt source added":        "add element inet sesame exempt4_24 { 198.51.100.0 . tcp . 22 " + mark + " }",
		"an element of no use":          "add element inet sesame net4_24 { 198.51.100.99 . 132 . 0 timeout 1h }",
		"an element at no door":         "add element inet sesame host4 { 198.51.100.99 . tcp . 4711 timeout 1h }",
		"nothing but its timer":         "delete element inet sesame host4 { 203.0.113.7 . tcp . 22 }; add element inet sesame host4 { 203.0.113.7 . tcp . 22 timeout 300d }",
	} {
		t.Run(name, func(t *testing.T) {
			s := s.with(t)
			s.nft("flush", "ruleset")
			s.load(foreignTables)
			want := everything()
			s.show(want...)
			s.converged(want...)
			others, woken := s.others(), s.watch()
			s.load(script)
			select {
			case <-woken:
			case <-time.After(10 * time.Second):
				t.Fatal("nobody is woken")
			}
			if p := s.show(want...); p.Empty() {
				t.Error("the plan repairs nothing")
			}
			select {
			case <-woken:
				t.Error("we were woken by our own write")
			case <-time.After(20 * time.Millisecond):
			}
			s.converged(want...)
			if diff := cmp.Diff(inOrder(golden), s.withoutUnused()); diff != "" {
				t.Errorf("the table is not as before (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(others, s.others()); diff != "" {
				t.Errorf("another table was touched (-before +after):\n%s", diff)
			}
		})
	}
}

// withoutUnused is ours without the set that one kind of drift leaves behind:
// its name and shape are right, so that it stays, and its rule is added.
func (s *stage) withoutUnused() string {
	text := s.ours()
	if before, rest, found := strings.Cut(text, "\tset net4_8 {"); found {
		_, after, _ := strings.Cut(rest, "\n\n")
		text = before + after
	}
	text = strings.Replace(text, "\t\tip saddr & 255.0.0.0 . meta l4proto . th dport @net4_8 accept\n", "", 1)
	return strings.Replace(text, " ip saddr & 255.0.0.0 . meta l4proto . th dport != @net4_8", "", 1)
}

// watch returns where wakes come from now on, each with who it was.
func (s *stage) watch() <-chan string {
	ctx, cancel := context.WithCancel(s.Context())
	woken, done := make(chan string, 64), make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Watch(ctx, func(_ firewall.ID, by string) { woken <- by })
	}()
	s.Cleanup(func() { cancel(); <-done })
	<-woken // that it has begun
	return woken
}

// What others do all day with the elements of their sets wakes nobody; what may
// concern us does.
func TestWatchTellsWhatConcernsUs(t *testing.T) {
	s := newStage(t)
	s.load(foreignTables)
	s.show(everything()...)
	woken := s.watch()
	for range 100 {
		s.load("add element inet filter blocked { 203.0.113.1 }\ndelete element inet filter blocked { 203.0.113.1 }")
	}
	select {
	case <-woken:
		t.Error("a block list wakes us")
	case <-time.After(50 * time.Millisecond):
	}
	s.load("add rule inet filter input tcp dport 22 drop")
	select {
	case by := <-woken:
		if by != "" {
			t.Errorf("what is not ours was changed by %q", by)
		}
	case <-time.After(10 * time.Second):
		t.Error("a new rule of others does not wake us")
	}
}

// Who changed what is ours is named, and not whoever changed something else before.
func TestWatchTellsWho(t *testing.T) {
	s := newStage(t)
	s.load(foreignTables)
	s.show(everything()...)
	woken := s.watch()
	s.load("add rule inet filter input tcp dport 22 drop")
	<-woken
	for _, script := range []string{"delete element inet sesame tcp_ports { 22 }", "flush ruleset"} {
		cmd := s.vm.Command(t.Context(), "nft", script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := fmt.Sprintf("nft (pid %d)", cmd.Process.Pid)
		select {
		case by := <-woken:
			if by != want {
				t.Errorf("%s: changed by %q, want %q", script, by, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not wake us", script)
		}
	}
}

// A table that is not as we wrote it is not claimed to close or to open.
func TestBrokenGateIsUnknown(t *testing.T) {
	s := newStage(t)
	for script, want := range map[string]reach.Verdict{
		"insert rule inet sesame gate accept":                          reach.Unknown,
		"add table inet sesame { flags dormant; }":                     reach.Open,
		"delete table inet sesame":                                     reach.Open,
		"add element inet sesame host4 { 198.51.100.99 . tcp . 22 }":   reach.Open,
		"add element inet sesame net4_24 { 198.51.100.99 . tcp . 22 }": reach.Closed,
	} {
		s.nft("flush", "ruleset")
		s.show(everything()...)
		s.load(script)
		if got := reach.Layer(s.observe().Layer, ssh()).At(netip.MustParseAddr("198.51.100.99")); got.Verdict != want {
			t.Errorf("%s: a stranger is %v by %s, want %v", script, got.Verdict, got.By(), want)
		}
	}
}
