//go:build linux

package nfnetlink

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	. "github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// gateText is the gate in the language of nft.
const gateText = `table inet sesame {
	comment "JIT access gate, managed by sesame"
	set tcp_ports {
		type inet_service
		elements = { 22, 3389, 5985, 5986 }
	}

	set udp_ports {
		type inet_service
		elements = { 3389 }
	}

	set host4 {
		type ipv4_addr . inet_proto . inet_service
		size 65536
		flags timeout
		counter
		timeout 8h
	}

	set host6 {
		type ipv6_addr . inet_proto . inet_service
		size 65536
		flags timeout
		counter
		timeout 8h
	}

	set net4_24 {
		type ipv4_addr . inet_proto . inet_service
		size 4096
		flags timeout
		counter
		timeout 8h
	}

	set net6_64 {
		type ipv6_addr . inet_proto . inet_service
		size 4096
		flags timeout
		counter
		timeout 8h
	}

	chain gate {
		type filter hook prerouting priority mangle; policy accept;
		tcp dport @tcp_ports goto tcp_gate
		udp dport @udp_ports goto udp_gate
	}

	chain tcp_gate {
		tcp flags & (syn | ack) != syn accept
		iif "lo" accept
		fib daddr type != local accept
		jump grants
		counter packets 0 bytes 0 drop
	}

	chain udp_gate {
		iif "lo" accept
		fib daddr type != local accept
		jump grants
		counter packets 0 bytes 0 drop
	}

	chain grants {
		ip saddr . meta l4proto . th dport @host4 accept
		ip6 saddr . meta l4proto . th dport @host6 accept
		ip saddr & 255.255.255.0 . meta l4proto . th dport @net4_24 accept
		ip6 saddr & ffff:ffff:ffff:ffff:: . meta l4proto . th dport @net6_64 accept comment "v6 networks"
	}
}
`

var gate = TableID{Family: INet, Name: "sesame"}

func gateTable() Table {
	return Table{TableID: gate, Comment: "JIT access gate, managed by sesame"}
}

func gateSets() []Set {
	key4, key6 := KeyOf(IPv4Addr, InetProto, InetService), KeyOf(IPv6Addr, InetProto, InetService)
	grants := func(name string, key KeyType, size uint32) Set {
		return Set{SetID: gate.Set(name), Key: key, Flags: SetTimeout, Timeout: 8 * time.Hour, Size: size, Counter: true}
	}
	return []Set{
		{SetID: gate.Set("tcp_ports"), Key: KeyOf(InetService)},
		{SetID: gate.Set("udp_ports"), Key: KeyOf(InetService)},
		grants("host4", key4, 65536), grants("host6", key6, 65536),
		grants("net4_24", key4, 4096), grants("net6_64", key6, 4096),
	}
}

func gateChains() []Chain {
	return []Chain{
		{ChainID: gate.Chain("gate"), Hook: Hook{Type: "filter", Num: Prerouting, Priority: -150, Policy: VerdictAccept}},
		{ChainID: gate.Chain("tcp_gate")},
		{ChainID: gate.Chain("udp_gate")},
		{ChainID: gate.Chain("grants")},
	}
}

func gateRules() []Rule {
	in, tcp, udp, grants := gate.Chain("gate"), gate.Chain("tcp_gate"), gate.Chain("udp_gate"), gate.Chain("grants")
	const lo, synAck, syn = 1, 0x12, 0x02
	return []Rule{
		NewRule(in, "", Is(L4Proto(), unix.IPPROTO_TCP), In("tcp_ports", DestPort()), Goto("tcp_gate")),
		NewRule(in, "", Is(L4Proto(), unix.IPPROTO_UDP), In("udp_ports", DestPort()), Goto("udp_gate")),
		NewRule(tcp, "", Is(L4Proto(), unix.IPPROTO_TCP), IsNot(TCPFlags().Mask(synAck), syn), Accept()),
		NewRule(tcp, "", Is(InputIndex(), lo), Accept()),
		NewRule(tcp, "", IsNot(DestType(), unix.RTN_LOCAL), Accept()),
		NewRule(tcp, "", Jump("grants")),
		NewRule(tcp, "", Count(), Drop()),
		NewRule(udp, "", Is(InputIndex(), lo), Accept()),
		NewRule(udp, "", IsNot(DestType(), unix.RTN_LOCAL), Accept()),
		NewRule(udp, "", Jump("grants")),
		NewRule(udp, "", Count(), Drop()),
		NewRule(grants, "", In("host4", SourceIPv4(), L4Proto(), DestPort()), Accept()),
		NewRule(grants, "", In("host6", SourceIPv6(), L4Proto(), DestPort()), Accept()),
		NewRule(grants, "", In("net4_24", SourceIPv4().Prefix(24), L4Proto(), DestPort()), Accept()),
		NewRule(grants, "v6 networks", In("net6_64", SourceIPv6().Prefix(64), L4Proto(), DestPort()), Accept()),
	}
}

// gateBatch writes the gate, and writes it again in place when it is there.
func gateBatch() *Batch {
	b := NewBatch()
	b.AddTable(gateTable())
	for _, s := range gateSets() {
		b.AddSet(s)
	}
	for _, p := range []uint16{22, 3389, 5985, 5986} {
		b.AddElements(gate.Set("tcp_ports"), Element{Key: PortKey(p)})
	}
	b.AddElements(gate.Set("udp_ports"), Element{Key: PortKey(3389)})
	for _, c := range gateChains() {
		b.AddChain(c)
		b.FlushChain(c.ChainID)
	}
	for _, r := range gateRules() {
		b.AddRule(r)
	}
	return b
}

func TestNFTReadsWhatWeWrite(t *testing.T) {
	ours, theirs := newNamespace(t), newNamespace(t)
	c := ours.dial(t)
	theirs.load(t, gateText)
	for range 2 { // the second time in place
		commit(t, c, gateBatch())
		if diff := cmp.Diff(theirs.nft(t, "list", "ruleset"), ours.nft(t, "list", "ruleset")); diff != "" {
			t.Errorf("nft's own ruleset and ours differ (-nft +ours):\n%s", diff)
		}
	}
	if diff := cmp.Diff(withoutHandles(theirs.nft(t, "-j", "list", "ruleset")), withoutHandles(ours.nft(t, "-j", "list", "ruleset"))); diff != "" {
		t.Errorf("nft's own ruleset and ours differ in JSON (-nft +ours):\n%s", diff)
	}
	readsAsGate(t, c)
	readsAsGate(t, theirs.dial(t))
}

// readsAsGate says that what the connection reads equals what gateBatch writes.
func readsAsGate(t *testing.T, c *Conn) {
	t.Helper()
	tables, err := c.Tables(t.Context(), AnyFamily)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Table{gateTable()}, tables); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	sets, err := c.Sets(t.Context(), gate)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byName(gateSets(), func(s Set) string { return s.Name }), sets); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
	chains, err := c.Chains(t.Context(), gate)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byName(gateChains(), func(c Chain) string { return c.Name }), chains); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	rules, err := c.Rules(t.Context(), gate)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(byName(gateRules(), func(r Rule) string { return r.Name }), rules, Rule.Equal) {
		t.Error("rules are not equal")
	}
	if diff := cmp.Diff(byName(gateRules(), func(r Rule) string { return r.Name }), rules, cmpopts.IgnoreFields(Rule{}, "Handle")); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
