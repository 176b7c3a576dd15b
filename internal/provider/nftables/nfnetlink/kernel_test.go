//go:build linux

package nfnetlink

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	. "github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// byName sorts a list by name; equal names keep their order.
func byName[T any](list []T, name func(T) string) []T {
	slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return list
}

// withoutHandles returns what nft says in JSON but for the numbers that the kernel gave.
func withoutHandles(text string) (v any) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return text
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "handle")
			for _, x := range v {
				strip(x)
			}
		case []any:
			for _, x := range v {
				strip(x)
			}
		}
	}
	strip(v)
	return v
}

// host4 is the key of 10.x.y.z, TCP port 22.
func host4(i int) []byte {
	ip := binary.BigEndian.AppendUint32(nil, 10<<24|uint32(i))
	return Concat(ip, ProtoKey(unix.IPPROTO_TCP), PortKey(22))
}

func host6(s string) []byte {
	return Concat(netip.MustParseAddr(s).AsSlice(), ProtoKey(unix.IPPROTO_UDP), PortKey(3389))
}

// withGate returns a connection to a namespace that has the gate.
func withGate(tb testing.TB) (namespace, *Conn) {
	tb.Helper()
	ns := newNamespace(tb)
	c := ns.dial(tb)
	commit(tb, c, gateBatch())
	return ns, c
}

func TestNoElementIsLost(t *testing.T) {
	ns, c := withGate(t)
	for _, test := range []struct {
		n       int
		comment string
	}{{1, ""}, {299, ""}, {300, ""}, {301, ""}, {5000, "grant"}, {5000, strings.Repeat("x", MaxComment)}} {
		b := NewBatch()
		b.FlushSet(gate.Set("host4"))
		want := make([]Element, test.n)
		for i := range want {
			want[i] = Element{Key: host4(i), Timeout: time.Hour, Comment: test.comment}
		}
		b.AddElements(gate.Set("host4"), want...)
		commit(t, c, b)
		got, err := c.Elements(t.Context(), gate.Set("host4"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Element{}, "Expires")); diff != "" {
			t.Errorf("%d elements (-want +got):\n%.2000s", test.n, diff)
		}
		if n := strings.Count(ns.nft(t, "-j", "list", "set", "inet", "sesame", "host4"), `"elem"`); n != test.n+1 {
			t.Errorf("nft reads %d elements of %d", n-1, test.n)
		}
	}
}

func TestTooLargeTransactionIsRefusedWhole(t *testing.T) {
	ns, _ := withGate(t)
	fd := -1
	err := inNamespace(string(ns), func() {
		fd, _ = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	})
	if err != nil || fd < 0 {
		t.Fatal(fd, err)
	}
	if err := configure(fd, 0); err != nil {
		t.Fatal(err)
	}
	// As little as a process without CAP_NET_ADMIN in the first user namespace may get.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 50_000); err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(fd)
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{socket: s, seq: 1}
	defer c.Close()

	b := NewBatch()
	n := 0
	for element := 56; b.Size()+element+100 < c.Limit(); n++ {
		b.AddElements(gate.Set("host4"), Element{Key: host4(n)})
	}
	commit(t, c, b)
	got, err := c.Elements(t.Context(), gate.Set("host4"))
	if err != nil || len(got) != n {
		t.Fatalf("a batch at the limit: %d elements of %d arrived, %v", len(got), n, err)
	}
	for b.Size() <= c.Limit() {
		n++
		b.AddElements(gate.Set("host4"), Element{Key: host4(n)})
	}
	for _, limit := range []int{c.Limit(), 1 << 30} { // ours, and then the kernel's own judgment
		ours := c.limit == limit
		c.limit = limit
		if err := c.Commit(t.Context(), b); !errors.Is(err, unix.EMSGSIZE) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a batch of %d bytes with limit %d: %v, want EMSGSIZE", b.Size(), limit, err)
		} else if ours != strings.Contains(err.Error(), "split it") {
			t.Errorf("it does not say what to do: %v", err)
		}
	}
	after, err := c.Elements(t.Context(), gate.Set("host4"))
	if err != nil || len(after) != len(got) {
		t.Errorf("the refused batch left %d elements, want %d; %v", len(after), len(got), err)
	}
}

func TestElementsReadBack(t *testing.T) {
	ns, c := withGate(t)
	b := NewBatch()
	b.AddElements(gate.Set("host4"), Element{Key: host4(1), Timeout: time.Minute, Comment: "grant 7f3a alice"}, Element{Key: host4(2)})
	b.AddElements(gate.Set("host6"), Element{Key: host6("2001:db8::1"), Timeout: time.Hour, Comment: strings.Repeat("c", MaxComment)})
	commit(t, c, b)
	if text := ns.nft(t, "list", "set", "inet", "sesame", "host4"); !strings.Contains(text, `10.0.0.1 . tcp . 22 counter packets 0 bytes 0 timeout 1m expires`) ||
		!strings.Contains(text, `comment "grant 7f3a alice"`) {
		t.Errorf("nft reads:\n%s", text)
	}
	got, err := c.Lookup(t.Context(), gate.Set("host4"), host4(2), host4(9), host4(1), host4(1))
	if err != nil || len(got) != 2 {
		t.Fatalf("looked up %v, %v; want the two that exist", got, err)
	}
	if x := got[0]; string(x.Key) != string(host4(1)) || x.Timeout != time.Minute || x.Comment != "grant 7f3a alice" ||
		x.Expires <= 50*time.Second || x.Expires > time.Minute {
		t.Errorf("looked up %+v", x)
	}
	if x := got[1]; x.Expires <= 7*time.Hour || x.Expires > 8*time.Hour {
		t.Errorf("an element without a timeout has %v left, want the set's default of 8h", x.Expires)
	}
	if got, err := c.Lookup(t.Context(), gate.Set("none"), host4(1)); !errors.Is(err, unix.ENOENT) {
		t.Errorf("looked up in a set that is not there: %v, %v", got, err)
	}
	many := make([][]byte, 100)
	for i := range many {
		many[i] = host4(i)
	}
	if got, err := c.Lookup(t.Context(), gate.Set("host4"), many...); err != nil || len(got) != 2 {
		t.Errorf("looked up %d of 100 keys, %v; want 2", len(got), err)
	}
}

func TestExtendingReplacesTheElement(t *testing.T) {
	_, c := withGate(t)
	for i, comment := range []string{"first", "second"} {
		x := Element{Key: host4(1), Timeout: time.Duration(2-i) * time.Hour, Comment: comment}
		b := NewBatch()
		b.AddElements(gate.Set("host4"), x)
		b.DeleteElements(gate.Set("host4"), x)
		b.AddElements(gate.Set("host4"), x)
		commit(t, c, b)
		got, err := c.Lookup(t.Context(), gate.Set("host4"), x.Key)
		if err != nil || len(got) != 1 || got[0].Comment != comment || got[0].Timeout != x.Timeout {
			t.Errorf("after extending to %v: %+v, %v", x, got, err)
		}
	}
}

func TestAnEmptyListTouchesNothing(t *testing.T) {
	_, c := withGate(t)
	b := NewBatch()
	b.AddElements(gate.Set("host4"), Element{Key: host4(1)})
	b.DeleteElements(gate.Set("host4")) // to the kernel, a list without elements would be the whole set
	commit(t, c, b)
	if got, err := c.Elements(t.Context(), gate.Set("host4")); err != nil || len(got) != 1 {
		t.Errorf("%d elements left, %v; want 1", len(got), err)
	}
	commit(t, c, NewBatch())
}

func TestRefusalNamesTheOperation(t *testing.T) {
	_, c := withGate(t)
	list := make([]Element, 700)
	for i := range list {
		list[i] = Element{Key: host4(i)}
	}
	b := NewBatch()
	b.AddElements(gate.Set("host4"), list...)
	commit(t, c, b)

	b = NewBatch()
	b.AddElements(gate.Set("host4"), Element{Key: host4(5000)})                                      // 0: well
	b.FlushChain(gate.Chain("nowhere"))                                                              // 1
	b.DeleteElements(gate.Set("host4"), slices.Concat(list[:650], []Element{{Key: host4(9000)}})...) // 2: element 650
	b.AddSet(Set{SetID: gate.Set("host4"), Key: KeyOf(IPv4Addr), Flags: SetTimeout})                 // 3: another one exists
	b.AddElements(gate.Set("host4"), Element{Key: host4(5001)})                                      // 4: well
	err := c.Commit(t.Context(), b)
	var refused *BatchError
	if !errors.As(err, &refused) || errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("committed: %v, want a refusal", err)
	}
	if !errors.Is(err, unix.ENOENT) || !errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EPERM) {
		t.Errorf("%v is not ENOENT and EEXIST", err)
	}
	var got []string
	for _, f := range refused.Failures {
		got = append(got, fmt.Sprintf("%d %d %s: %v", f.Op, f.Element, f.What, f.Errno))
	}
	want := []string{
		"1 -1 flush chain inet sesame nowhere: no such file or directory",
		"2 650 delete element inet sesame host4: no such file or directory",
		"3 -1 add set inet sesame host4: file exists",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if got, err := c.Elements(t.Context(), gate.Set("host4")); err != nil || len(got) != len(list) {
		t.Errorf("the refused batch left %d elements, want %d; %v", len(got), len(list), err)
	}
}

func TestTheKernelsWordsAreKept(t *testing.T) {
	_, c := withGate(t)
	b := NewBatch()
	b.AddRule(NewRule(gate.Chain("grants"), "", []Expr{Raw{Name: "target", Data: []byte{0}}}, Accept()))
	b.AddChain(Chain{ChainID: gate.Chain("x"), Hook: Hook{Type: "filter", Num: 77}})
	var refused *BatchError
	if err := c.Commit(t.Context(), b); !errors.As(err, &refused) {
		t.Fatalf("%v, want a refusal", err)
	}
	for _, f := range refused.Failures {
		t.Logf("%v (offset %d)", f, f.Offset)
	}
	if f := refused.Failures[0]; f.Op != 0 || (f.Text == "" && f.Offset == 0) {
		t.Errorf("%+v says nothing of the kernel's extended acknowledgement", f)
	}
}

func TestCommitOnlyInTheExpectedGeneration(t *testing.T) {
	ns, c := withGate(t)
	g, err := c.Generation(t.Context())
	if err != nil || g.ID == 0 {
		t.Fatal(g, err)
	}
	b := NewBatch()
	b.Expect(g.ID)
	b.AddElements(gate.Set("host4"), Element{Key: host4(1)})
	commit(t, c, b)
	ns.load(t, "table ip other { }")
	var refused *BatchError
	if err := c.Commit(t.Context(), b); !errors.As(err, &refused) || !errors.Is(err, unix.ERESTART) || refused.Failures[0].Op != -1 {
		t.Errorf("committed in a later generation: %v", err)
	}
	b.Expect(0)
	commit(t, c, b)
}

func TestOthersMayNotTouchAnOwnedTable(t *testing.T) {
	ns := newNamespace(t)
	owner, other := ns.dial(t), ns.dial(t)
	b := NewBatch()
	b.AddTable(Table{TableID: gate, Flags: TableOwner | TablePersist})
	commit(t, owner, b)
	tables, err := other.Tables(t.Context(), INet)
	if err != nil || len(tables) != 1 || tables[0].Owner != owner.Port() || tables[0].Flags != TableOwner|TablePersist {
		t.Errorf("read %+v, %v; want the owner %d", tables, err, owner.Port())
	}
	b = NewBatch()
	b.DeleteTable(gate)
	if err := other.Commit(t.Context(), b); !errors.Is(err, unix.EPERM) {
		t.Errorf("another socket deleted the table: %v", err)
	}
	commit(t, owner, b)
}

func TestWithoutCapabilityIsEPERM(t *testing.T) {
	ns := newNamespace(t)
	var err error
	nsErr := inNamespace(string(ns), func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&header, &none[0]); err != nil { // of this thread alone, which ends here
			return
		}
		var c *Conn
		if c, err = Dial(); err != nil {
			return
		}
		defer c.Close()
		if c.Limit() >= sendBuffer {
			t.Errorf("limit %d, want no more than the system allows everybody", c.Limit())
		}
		b := NewBatch()
		b.AddTable(Table{TableID: gate})
		err = c.Commit(t.Context(), b)
	})
	var refused *BatchError
	if nsErr != nil || !errors.Is(err, unix.EPERM) || !errors.As(err, &refused) {
		t.Errorf("%v %v, want EPERM", nsErr, err)
	}
}

func TestDeleteAndDestroy(t *testing.T) {
	_, c := withGate(t)
	chain := gate.Chain("spare")
	b := NewBatch()
	b.AddChain(Chain{ChainID: chain, Comment: "for a while"})
	b.AddRule(NewRule(chain, "second", Accept()))
	b.InsertRule(NewRule(chain, "first", Count(), Drop()))
	b.AddSet(Set{SetID: gate.Set("spare"), Key: KeyOf(IPv6Addr), Comment: "spare"})
	commit(t, c, b)
	rules, err := c.Rules(t.Context(), gate)
	if err != nil {
		t.Fatal(err)
	}
	rules = slices.DeleteFunc(rules, func(r Rule) bool { return r.ChainID != chain })
	if len(rules) != 2 || rules[0].Comment != "first" || rules[1].Comment != "second" || !rules[0].Refuses() || rules[1].Refuses() {
		t.Fatalf("read %+v", rules)
	}
	b = NewBatch()
	b.DeleteRule(chain, rules[0].Handle)
	b.DeleteRule(chain, rules[1].Handle)
	b.DeleteChain(chain)
	b.DestroyElements(gate.Set("spare"), Element{Key: netip.MustParseAddr("::1").AsSlice()})
	b.DeleteSet(gate.Set("spare"))
	commit(t, c, b)
	readsAsGate(t, c)
	b = NewBatch()
	b.DestroyTable(gate)
	b.DestroyTable(gate)
	commit(t, c, b)
	for _, in := range []TableID{{}, gate} {
		chains, err1 := c.Chains(t.Context(), in)
		rules, err2 := c.Rules(t.Context(), in)
		sets, err3 := c.Sets(t.Context(), in)
		if err := errors.Join(err1, err2, err3); err != nil || chains != nil || rules != nil || sets != nil {
			t.Errorf("of a table that is gone: %v %v %v, %v", chains, rules, sets, err)
		}
	}
}

// foreignText has what other programs write and this package does not model.
const foreignText = `
table ip nat {
	chain post { type nat hook postrouting priority srcnat; oifname "eth0" masquerade
	}
}
table ip6 f {
	chain in { type filter hook input priority filter; policy drop
		ct state vmap { established : accept, invalid : drop }
		tcp dport { 22, 80-90 } limit rate 5/second accept
		reject with icmpv6 admin-prohibited
	}
}
table arp a {
	chain in { type filter hook input priority 0
		arp operation request counter drop
	}
}
table bridge b {
	chain f { type filter hook forward priority -200
		ether type ip accept
	}
}
table netdev n {
	chain i { type filter hook ingress device "lo" priority 10
		ip saddr 192.0.2.0/24 drop
	}
}
table inet m {
	map ports { type inet_service : verdict; elements = { 22 : drop, 23 : goto d }
	}
	set nets { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 22-25 }
	}
	chain c {
		ip saddr . tcp dport @nets tcp flags syn meta mark set 0x7 limit rate 9/minute return
		tcp dport vmap @ports
		tcp sport > 1024 ip ttl 1 meta l4proto != tcp return comment "odd"
		ct mark set meta mark
		meta mark set meta mark | 0x10
	}
	chain d { }
}`

func TestForeignRulesetsAreRead(t *testing.T) {
	ns := newNamespace(t)
	ns.load(t, foreignText)
	c := ns.dial(t)
	chains, err := c.Chains(t.Context(), TableID{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range chains {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s: %s %d %d %d %s", x.ChainID, x.Hook.Type, x.Hook.Num, x.Hook.Priority, x.Hook.Policy, x.Hook.Devices)))
	}
	want := []string{
		"inet m c:  0 0 0", "inet m d:  0 0 0", "ip nat post: nat 4 100 1", "arp a in: filter 0 0 1", "netdev n i: filter 0 10 1 lo",
		"bridge b f: filter 2 -200 1", "ip6 f in: filter 1 0 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	rules, err := c.Rules(t.Context(), TableID{})
	if err != nil {
		t.Fatal(err)
	}
	var refuse []string
	for _, r := range rules {
		if r.Refuses() {
			refuse = append(refuse, r.ChainID.String())
		}
	}
	if diff := cmp.Diff([]string{"arp a in", "netdev n i", "ip6 f in"}, refuse); diff != "" {
		t.Errorf("chains with a rule that refuses (-want +got):\n%s", diff)
	}
	elements, err := c.Elements(t.Context(), TableID{Family: INet, Name: "m"}.Set("ports"))
	if err != nil || len(elements) != 2 || *elements[0].Verdict != (Verdict{Code: VerdictDrop}) ||
		*elements[1].Verdict != (Verdict{Code: VerdictGoto, Chain: "d"}) {
		t.Errorf("verdict map: %+v, %v", elements, err)
	}
	if elements, err = c.Elements(t.Context(), TableID{Family: INet, Name: "m"}.Set("nets")); err != nil || len(elements) != 1 || elements[0].KeyEnd == nil {
		t.Errorf("intervals: %+v, %v", elements, err)
	}

	// Written again from what was read, in the same place, it is the same to nft.
	before := ns.nft(t, "list", "ruleset")
	b := NewBatch()
	for _, r := range rules {
		if r.Table.Name != "f" { // whose sets are anonymous and would go with the rules
			b.DeleteRule(r.ChainID, r.Handle)
			b.AddRule(r)
		}
	}
	commit(t, c, b)
	if diff := cmp.Diff(before, ns.nft(t, "list", "ruleset")); diff != "" {
		t.Errorf("written again (-before +after):\n%s", diff)
	}
}

func TestCountersCount(t *testing.T) {
	ns := newNamespace(t)
	ns.run(t, "", "ip", "link", "set", "lo", "up")
	c := ns.dial(t)
	b := NewBatch()
	b.AddTable(Table{TableID: gate})
	set := Set{SetID: gate.Set("seen"), Key: KeyOf(IPv4Addr, InetProto, InetService), Counter: true}
	b.AddSet(set)
	chain := Chain{ChainID: gate.Chain("in"), Hook: Hook{Type: "filter", Num: Input, Policy: VerdictAccept}}
	b.AddChain(chain)
	b.AddRule(NewRule(chain.ChainID, "", In("seen", SourceIPv4().Prefix(8), L4Proto(), DestPort()), Count(), Accept()))
	key := Concat([]byte{127, 0, 0, 0}, ProtoKey(unix.IPPROTO_UDP), PortKey(9))
	b.AddElements(set.SetID, Element{Key: key})
	commit(t, c, b)
	err := inNamespace(string(ns), func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		for _, port := range []int{9, 10} {
			if err := unix.Sendto(fd, []byte("hello"), 0, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Lookup(t.Context(), set.SetID, key)
	if err != nil || len(got) != 1 || got[0].Packets != 1 || got[0].Bytes != 33 {
		t.Errorf("the element counted %+v, %v; want one packet of 33 bytes", got, err)
	}
	rules, err := c.Rules(t.Context(), gate)
	if err != nil || len(rules) != 1 || !slices.ContainsFunc(rules[0].Exprs, func(x Expr) bool { return x == Expr(Counter{Packets: 1, Bytes: 33}) }) {
		t.Errorf("the rule counted %+v, %v", rules, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	_, c := withGate(t)
	const workers, rounds = 8, 50
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				x := Element{Key: host4(w*rounds + i), Timeout: time.Hour}
				b := NewBatch()
				b.AddElements(gate.Set("host4"), x)
				if err := c.Commit(t.Context(), b); err != nil {
					t.Error(err)
				}
				if got, err := c.Lookup(t.Context(), gate.Set("host4"), x.Key); err != nil || len(got) != 1 {
					t.Errorf("own element: %v, %v", got, err)
				}
				if i%10 == 0 {
					if _, err := c.Elements(t.Context(), gate.Set("host4")); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got, err := c.Elements(t.Context(), gate.Set("host4")); err != nil || len(got) != workers*rounds {
		t.Errorf("%d elements, %v; want %d", len(got), err, workers*rounds)
	}
}

func TestADumpThatWasGivenUpIsNotInTheWay(t *testing.T) {
	_, c := withGate(t)
	b := NewBatch()
	for i := range 5000 {
		b.AddElements(gate.Set("host4"), Element{Key: host4(i)})
	}
	commit(t, c, b)
	ctx, cancel := context.WithCancel(t.Context())
	q := query{msg: unix.NFT_MSG_GETSETELEM, family: INet, dump: true, body: func(e *Encoder) { encodeList(e, gate.Set("host4")) }}
	parts := 0
	err := c.exchange(ctx, q, func(*Decoder, Family, []byte) { parts++; cancel() })
	if !errors.Is(err, context.Canceled) || parts > 5 {
		t.Errorf("cancelled in the middle: %v after %d parts", err, parts)
	}
	if got, err := c.Elements(t.Context(), gate.Set("host4")); err != nil || len(got) != 5000 {
		t.Errorf("read %d elements, %v; want 5000", len(got), err)
	}
}

func TestDialStaysWhereItIs(t *testing.T) {
	ns := newNamespace(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := unix.Stat_t{}
	if err := unix.Stat("/proc/thread-self/ns/net", &before); err != nil {
		t.Fatal(err)
	}
	ns.dial(t)
	after := unix.Stat_t{}
	if err := unix.Stat("/proc/thread-self/ns/net", &after); err != nil || before.Ino != after.Ino {
		t.Errorf("the caller was moved to another namespace: %v", err)
	}
	if c, err := DialIn("/nowhere"); !errors.Is(err, unix.ENOENT) || c != nil {
		t.Errorf("dialled nowhere: %v, %v", c, err)
	}
	if c, err := DialIn("/proc/self/ns/pid"); !errors.Is(err, unix.EINVAL) || c != nil {
		t.Errorf("dialled another kind of namespace: %v, %v", c, err)
	}
}

func BenchmarkAddElement(b *testing.B) {
	_, c := withGate(b)
	i := 0
	for b.Loop() {
		batch := NewBatch()
		batch.AddElements(gate.Set("host4"), Element{Key: host4(i % 60000), Timeout: time.Hour, Comment: "grant 7f3a"})
		if err := c.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkLookup(b *testing.B) {
	_, c := withGate(b)
	commit(b, c, func() *Batch {
		batch := NewBatch()
		for i := range 10000 {
			batch.AddElements(gate.Set("host4"), Element{Key: host4(i)})
		}
		return batch
	}())
	for b.Loop() {
		if got, err := c.Lookup(b.Context(), gate.Set("host4"), host4(77)); err != nil || len(got) != 1 {
			b.Fatal(got, err)
		}
	}
}

// BenchmarkFloor is BenchmarkAddElement with two bare system calls in the place of Commit.
func BenchmarkFloor(b *testing.B) {
	_, c := withGate(b)
	buf := make([]byte, datagram)
	i := 0
	for b.Loop() {
		batch := NewBatch()
		batch.AddElements(gate.Set("host4"), Element{Key: host4(i % 60000), Timeout: time.Hour, Comment: "grant 7f3a"})
		var sendErr, receiveErr error
		err := c.raw.Control(func(fd uintptr) {
			sendErr = unix.Send(int(fd), batch.seal(uint32(3*i)), 0)
			_, _, receiveErr = unix.Recvfrom(int(fd), buf, 0)
		})
		if err := errors.Join(err, sendErr, receiveErr); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
