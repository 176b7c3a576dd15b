//go:build linux

package foreign_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/foreign"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

const host = firewall.VMID("host://web-1")

// A world is a random ruleset: as it would have been read, and as the naive
// evaluator reads it.
type world struct {
	foreign.Ruleset

	t      *rapid.T
	sets   map[ruleset.SetID]set
	at     []netip.Prefix // where something changes
	unsure bool           // there is something in it that nobody knows
}

func (w *world) n(most int, what string) int { return rapid.IntRange(0, most).Draw(w.t, what) }

func (w *world) prefix(six bool) netip.Prefix {
	list := []string{"203.0.113.0/24", "203.0.113.7/32", "198.18.0.0/15", "10.0.0.0/8", "0.0.0.0/0", "203.0.113.128/25", "255.255.255.255/32"}
	if six {
		list = []string{"2001:db8::/32", "2001:db8::7/128", "2001:db8:1::/48", "::/0", "2001:db8::/61", "fd00::/8", "ffff::/16"}
	}
	p := netip.MustParsePrefix(rapid.SampledFrom(list).Draw(w.t, "prefix"))
	w.at = append(w.at, p)
	return p
}

func (w *world) port() uint16 {
	return rapid.SampledFrom([]uint16{0, 1, 22, 23, 80, 1024, 65535}).Draw(w.t, "port")
}

func bounds(p netip.Prefix) (lo, hi []byte) {
	corners := reachtest.Corners(p)
	first, last := p.Addr(), p.Addr()
	for _, a := range corners {
		if p.Contains(a) && last.Less(a) {
			last = a
		}
	}
	return first.AsSlice(), last.AsSlice()
}

// set makes a set of ranges, and gives the kernel's form of it.
func (w *world) set(t ruleset.TableID, s set) string {
	s.SetID = t.Set(fmt.Sprintf("set%d", len(w.Sets)))
	if s.Flags&ruleset.SetMap != 0 {
		s.Name = "verdicts"
	}
	w.sets[s.SetID] = s
	w.Sets = append(w.Sets, s.Set)
	if s.unread {
		w.unsure = true
		return s.Name
	}
	elements := []ruleset.Element{}
	for _, k := range s.ranges {
		switch {
		case s.Flags&ruleset.SetInterval == 0:
			elements = append(elements, ruleset.Element{Key: k.lo, Verdict: k.verdict})
		case len(k.fields) > 1:
			elements = append(elements, ruleset.Element{Key: k.lo, KeyEnd: k.hi})
		default:
			elements = append(elements, ruleset.Element{Key: k.lo})
			end := slices.Clone(k.hi)
			over := true
			for i := len(end) - 1; i >= 0 && over; i-- {
				end[i]++
				over = end[i] == 0
			}
			if !over {
				elements = append(elements, ruleset.Element{Key: end, Flags: ruleset.IntervalEnd})
			}
		}
	}
	slices.SortFunc(elements, func(a, b ruleset.Element) int {
		if c := slices.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return int(a.Flags) - int(b.Flags)
	})
	w.Elements[s.SetID] = elements
	return s.Name
}

func payload(base ruleset.Header, offset, size uint32, dst ruleset.Reg) ruleset.Expr {
	return ruleset.Payload{Base: base, Offset: offset, Len: size, Dst: dst}
}

// address draws a condition on the source of what comes, or on the destination of
// what goes.
func (w *world) address(t ruleset.TableID, goes bool) (out []ruleset.Expr) {
	six := t.Family == ruleset.IPv6 || t.Family == ruleset.INet && w.n(1, "six") == 1
	family, offset, size := ruleset.IPv4, uint32(12), uint32(4)
	if six {
		family, offset, size = ruleset.IPv6, 8, 16
	}
	if goes != (w.n(9, "other end") == 0) {
		offset += size
	}
	if goes != (offset >= 16 && offset != 12) || goes && offset == 12 || goes && offset == 8 {
		w.unsure = true // the host's own address
	}
	if t.Family == ruleset.INet {
		out = ruleset.Is(ruleset.NFProto(), uint32(family))
	}
	p := w.prefix(six)
	lo, hi := bounds(p)
	op := rapid.SampledFrom([]ruleset.CmpOp{ruleset.Equal, ruleset.NotEqual}).Draw(w.t, "op")
	load := payload(ruleset.NetworkHeader, offset, size, 0)
	switch w.n(5, "how") {
	case 0: // as nft masks
		mask := make([]byte, size)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		return append(out, load, ruleset.Bitwise{Mask: mask}, ruleset.Cmp{Op: op, Data: lo})
	case 1: // a prefix of whole bytes, as nft loads it
		n := uint32(p.Bits() / 8)
		if n == 0 {
			return out
		}
		return append(out, payload(ruleset.NetworkHeader, offset, n, 0), ruleset.Cmp{Op: op, Data: lo[:n]})
	case 2:
		return append(out, load, ruleset.Cmp{Op: unix.NFT_CMP_GTE, Data: lo}, ruleset.Cmp{Op: unix.NFT_CMP_LTE, Data: hi})
	case 3:
		return append(out, load, ruleset.Cmp{Op: rapid.SampledFrom([]ruleset.CmpOp{unix.NFT_CMP_LT, unix.NFT_CMP_GT}).Draw(w.t, "op"), Data: hi})
	case 4: // with the port, side by side
		a, b := w.port(), w.port()
		if b < a {
			a, b = b, a
		}
		s := set{Set: ruleset.Set{Flags: ruleset.SetInterval}, ranges: []keyRange{{
			lo: ruleset.Concat(lo, ruleset.PortKey(a)), hi: ruleset.Concat(hi, ruleset.PortKey(b)), fields: []int{int(size), int(size) + 4},
		}}}
		at := uint32(2)
		if goes {
			at = 0
		}
		return append(out, load, payload(ruleset.TransportHeader, at, 2, ruleset.Reg(size/4)), ruleset.Lookup{Set: w.set(t, s), Invert: w.n(1, "inverted") == 1})
	}
	s := set{Set: ruleset.Set{Flags: ruleset.SetInterval}, unread: w.n(9, "unread") == 0}
	for range w.n(2, "elements") {
		lo, hi := bounds(w.prefix(six))
		if !slices.ContainsFunc(s.ranges, func(k keyRange) bool { return slices.Compare(k.lo, hi) <= 0 && slices.Compare(lo, k.hi) <= 0 }) {
			s.ranges = append(s.ranges, keyRange{lo: lo, hi: hi, fields: []int{int(size)}})
		}
	}
	return append(out, load, ruleset.Lookup{Set: w.set(t, s), Invert: w.n(1, "inverted") == 1})
}

// ports draws a condition on ports.
func (w *world) ports(t ruleset.TableID) []ruleset.Expr {
	load := payload(ruleset.TransportHeader, uint32(2*w.n(1, "which")), 2, 0)
	a, b := w.port(), w.port()
	if b < a {
		a, b = b, a
	}
	switch w.n(4, "how") {
	case 0:
		return []ruleset.Expr{load, ruleset.Cmp{Op: ruleset.CmpOp(w.n(5, "op")), Data: ruleset.PortKey(a)}}
	case 1:
		return []ruleset.Expr{load, ruleset.Cmp{Op: unix.NFT_CMP_GTE, Data: ruleset.PortKey(a)}, ruleset.Cmp{Op: unix.NFT_CMP_LTE, Data: ruleset.PortKey(b)}}
	case 2: // both ports at once, as nft joins them
		return []ruleset.Expr{payload(ruleset.TransportHeader, 0, 4, 0), ruleset.Cmp{Op: ruleset.CmpOp(w.n(1, "op")), Data: slices.Concat(ruleset.PortKey(a), ruleset.PortKey(b))}}
	case 3:
		s := set{Set: ruleset.Set{Flags: ruleset.SetInterval}, ranges: []keyRange{{lo: ruleset.PortKey(a), hi: ruleset.PortKey(b), fields: []int{2}}}}
		return []ruleset.Expr{load, ruleset.Lookup{Set: w.set(t, s), Invert: w.n(1, "inverted") == 1}}
	}
	s := set{ranges: []keyRange{{lo: ruleset.PortKey(a), hi: ruleset.PortKey(a), fields: []int{2}}}}
	return []ruleset.Expr{load, ruleset.Lookup{Set: w.set(t, s)}}
}

func attrs(build func(*ruleset.Encoder)) []byte {
	var e ruleset.Encoder
	build(&e)
	return e.Buf
}

// condition draws a condition.
func (w *world) condition(t ruleset.TableID, goes bool) []ruleset.Expr {
	switch w.n(9, "condition") {
	case 0, 1, 2, 3:
		return w.address(t, goes)
	case 4, 5, 6:
		return w.ports(t)
	case 7:
		return ruleset.Is(ruleset.L4Proto(), rapid.SampledFrom([]uint32{6, 17}).Draw(w.t, "protocol"))
	case 8:
		ct := ruleset.Raw{Name: "ct", Data: attrs(func(e *ruleset.Encoder) {
			e.U32(unix.NFTA_CT_KEY, unix.NFT_CT_STATE)
			e.U32(unix.NFTA_CT_DREG, unix.NFT_REG_1)
		})}
		mask := binary.NativeEndian.AppendUint32(nil, rapid.SampledFrom([]uint32{8, 6, 1, 10}).Draw(w.t, "state"))
		return []ruleset.Expr{ct, ruleset.Bitwise{Mask: mask}, ruleset.Cmp{Op: ruleset.NotEqual, Data: make([]byte, 4)}}
	}
	if goes || w.n(2, "unsure") == 0 {
		w.unsure = true
		return []ruleset.Expr{ruleset.Raw{Name: "limit"}}
	}
	return ruleset.Is(ruleset.InputIndex(), 1)
}

// decision draws what a rule does. Chains lead to later ones only.
func (w *world) decision(t ruleset.TableID, at int, chains []string) []ruleset.Expr {
	later := chains[at+1:]
	jump := func(code ruleset.VerdictCode) []ruleset.Expr {
		if len(later) == 0 {
			return ruleset.Drop()
		}
		return []ruleset.Expr{ruleset.Verdict{Code: code, Chain: rapid.SampledFrom(later).Draw(w.t, "chain")}}
	}
	switch w.n(8, "decision") {
	case 0, 1:
		return ruleset.Accept()
	case 2, 3:
		return ruleset.Drop()
	case 4:
		return []ruleset.Expr{ruleset.Verdict{Code: ruleset.VerdictReturn}}
	case 5:
		return jump(ruleset.VerdictGoto)
	case 6:
		return []ruleset.Expr{ruleset.Raw{Name: "reject"}}
	case 7:
		if _, there := w.sets[t.Set("verdicts")]; !there {
			s := set{Set: ruleset.Set{Flags: ruleset.SetMap}}
			for i, p := range []uint16{22, 80} {
				code := []ruleset.VerdictCode{ruleset.VerdictAccept, ruleset.VerdictDrop}[(w.n(1, "verdict")+i)%2]
				s.ranges = append(s.ranges, keyRange{lo: ruleset.PortKey(p), hi: ruleset.PortKey(p), fields: []int{2}, verdict: &ruleset.Verdict{Code: code}})
			}
			w.set(t, s)
		}
		return []ruleset.Expr{payload(ruleset.TransportHeader, 2, 2, 0), ruleset.Raw{Name: "lookup", Data: attrs(func(e *ruleset.Encoder) {
			e.Name(unix.NFTA_LOOKUP_SET, "verdicts")
			e.U32(unix.NFTA_LOOKUP_SREG, unix.NFT_REG_1)
			e.U32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_VERDICT)
		})}}
	}
	return jump(ruleset.VerdictJump)
}

func draw(t *rapid.T) *world {
	w := &world{t: t, sets: map[ruleset.SetID]set{}}
	w.Elements = map[ruleset.SetID][]ruleset.Element{}
	for i := range 1 + w.n(1, "tables") {
		table := ruleset.TableID{Family: rapid.SampledFrom([]ruleset.Family{ruleset.INet, ruleset.IPv4, ruleset.IPv6}).Draw(t, "family"), Name: fmt.Sprint("t", i)}
		w.Tables = append(w.Tables, ruleset.Table{TableID: table})
		hook := rapid.SampledFrom([]ruleset.HookNum{ruleset.Prerouting, ruleset.Input, ruleset.Input, ruleset.Output}).Draw(t, "hook")
		chains := []string{"base", "a", "b"}
		for at, name := range chains {
			c := ruleset.Chain{ChainID: table.Chain(name)}
			if at == 0 {
				c.Hook = ruleset.Hook{Type: "filter", Num: hook, Policy: ruleset.VerdictCode(w.n(1, "policy"))}
			}
			w.Chains = append(w.Chains, c)
			for range w.n(4, "rules") {
				var exprs []ruleset.Expr
				for range w.n(2, "conditions") {
					exprs = append(exprs, w.condition(table, hook == ruleset.Output)...)
				}
				exprs = append(exprs, w.decision(table, at, chains)...)
				w.Rules = append(w.Rules, ruleset.Rule{ChainID: c.ChainID, Handle: uint64(len(w.Rules)), Exprs: exprs})
			}
		}
	}
	return w
}

// naively returns what becomes of connections from a client, whichever of its
// ports they come from.
func (w *world) naively(d firewall.Door, from netip.Addr) reach.Verdict {
	to := netip.MustParseAddr("192.0.2.1")
	if from.Is6() {
		to = netip.MustParseAddr("2001:db8:ff::1")
	}
	best := reach.Closed
	for _, port := range []uint16{1, 2, 21, 22, 23, 24, 79, 80, 81, 1023, 1024, 1025, 65534, 65535} {
		sum := ends{passes: true}
		for _, c := range w.Chains {
			if c.Hook.Type == "" || c.Table.Family == ruleset.IPv4 && from.Is6() || c.Table.Family == ruleset.IPv6 && from.Is4() {
				continue
			}
			n := newNaive(w.Rules, w.sets, d.Protocol, netip.AddrPortFrom(from, port), netip.AddrPortFrom(to, d.Port), c.Hook.Num == ruleset.Output)
			e := n.base(c)
			sum = ends{passes: sum.passes && e.passes, drops: sum.drops || e.drops}
		}
		v := reach.Closed
		switch {
		case sum.passes && sum.drops:
			v = reach.Unknown
		case sum.passes:
			v = reach.Open
		}
		best = max(best, v)
	}
	return best
}

// Whoever takes one packet after the other through the rules finds what the layer
// says of all of them. Where something is not known the layer may know less.
func TestAgainstNaive(t *testing.T) {
	var exact, verdicts [3]int
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t)
		l := w.Layer("others", host)
		at := reachtest.Corners(append(w.at, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))...)
		for _, proto := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
			for _, port := range []uint16{0, 1, 2, 21, 22, 23, 24, 79, 80, 81, 1023, 1024, 1025, 65534, 65535} {
				d := firewall.Door{VM: host, Protocol: proto, Port: port}
				var s reach.Set
				if l.Firewall != "" {
					s = reach.Layer(l, d)
				}
				for _, from := range rapid.SliceOfN(rapid.SampledFrom(at), 3, 3).Draw(t, "from") {
					got, want := reach.Open, w.naively(d, from)
					if l.Firewall != "" {
						got = s.At(from).Verdict
					}
					verdicts[want]++
					if got == want {
						exact[want]++
						continue
					}
					if !w.unsure || got != reach.Unknown {
						t.Fatalf("%s from %s: %s, want %s\n%v\n%+v\n%v", d, from, got, want, w.Chains, rulesText(w), w.Elements)
					}
				}
			}
		}
	})
	t.Logf("closed, unknown, open: %d, of which the layer knows %d", verdicts, exact)
	for v, n := range verdicts {
		if exact[v] < n*9/10 {
			t.Errorf("of %d that are %s the layer knows %d", n, reach.Verdict(v), exact[v])
		}
	}
}

// rulesText writes the rules of a counterexample.
func rulesText(w *world) string {
	var out strings.Builder
	for _, r := range w.Rules {
		fmt.Fprintf(&out, "%s %d: %+v\n", r.ChainID, r.Handle, r.Exprs)
	}
	return out.String()
}
