//go:build linux

package foreign

import (
	"bytes"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/reach"
)

// compare answers a comparison of v.
func (p packet) compare(v value, op ruleset.CmpOp, data []byte) answer {
	if v.size() < len(data) {
		return answer{may: p.all}
	}
	if op == ruleset.Equal || op == ruleset.NotEqual {
		same := p.within(v, data, data)
		if op == ruleset.NotEqual {
			return same.not(p.all)
		}
		return same
	}
	if len(v) != 1 || len(data) != v[0].size {
		return answer{may: p.all}
	}
	lowest, highest := make([]byte, len(data)), bytes.Repeat([]byte{0xff}, len(data))
	switch uint32(op) {
	case unix.NFT_CMP_LTE:
		return p.between(v[0], lowest, data)
	case unix.NFT_CMP_GT:
		return p.between(v[0], lowest, data).not(p.all)
	case unix.NFT_CMP_GTE:
		return p.between(v[0], data, highest)
	case unix.NFT_CMP_LT:
		return p.between(v[0], data, highest).not(p.all)
	}
	return answer{may: p.all}
}

// within answers whether each part of v lies between the bytes of lo and hi that
// stand where it does.
func (p packet) within(v value, lo, hi []byte) answer {
	out := answer{yes: p.all}
	for _, x := range v {
		n := min(x.size, len(lo))
		if n == 0 {
			break
		}
		if n < x.size && x.never == nil { // of a longer value, only its beginning is compared
			x = x.cut(n)
		}
		out = out.both(p.between(x, lo[:n], hi[:n]))
		lo, hi = lo[n:], hi[n:]
	}
	return out
}

// cut returns the first n bytes of x.
func (x part) cut(n int) part {
	x.size, x.bits = n, min(x.bits, 8*n)
	if x.known != nil {
		x.known = x.known[:n]
	}
	return x
}

// A span is the keys that one element of a set holds, and what a map says of them.
type span struct {
	lo, hi  []byte
	verdict *ruleset.Verdict
	rest    bool // every key that no other element holds
	each    bool // of a concatenation, each field lies between those of lo and hi
}

// spans returns what the set holds. Of an interval the kernel keeps the first key
// and, as an element with a flag, the first key behind it.
func (r *Ruleset) spans(set ruleset.Set) (out []span) {
	open := false
	for _, e := range r.Elements[set.SetID] { // sorted by key, the beginning of an interval before an end
		switch last := len(out) - 1; {
		case e.Flags&ruleset.CatchAll != 0:
		case e.KeyEnd != nil:
			out = append(out, span{lo: e.Key, hi: e.KeyEnd, verdict: e.Verdict, each: true})
		case set.Flags&ruleset.SetInterval == 0:
			out = append(out, span{lo: e.Key, hi: e.Key, verdict: e.Verdict, each: true})
		case e.Flags&ruleset.IntervalEnd == 0:
			if open {
				out[last].hi = before(e.Key)
			}
			out, open = append(out, span{lo: e.Key, hi: bytes.Repeat([]byte{0xff}, len(e.Key)), verdict: e.Verdict}), true
		case open && !bytes.Equal(out[last].lo, e.Key):
			out[last].hi, open = before(e.Key), false
		}
	}
	for _, e := range r.Elements[set.SetID] {
		if e.Flags&ruleset.CatchAll != 0 {
			out = append(out, span{verdict: e.Verdict, rest: true})
		}
	}
	return out
}

// before returns the key before b.
func before(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range slices.Backward(out) {
		if out[i]--; c != 0 {
			break
		}
	}
	return out
}

// set returns the set of that name in the table.
func (r *Ruleset) set(id ruleset.SetID) (ruleset.Set, bool) {
	i := slices.IndexFunc(r.Sets, func(s ruleset.Set) bool { return s.SetID == id })
	if i < 0 {
		return ruleset.Set{}, false
	}
	return r.Sets[i], true
}

// A holding is the packets whose value an element holds.
type holding struct {
	answer

	verdict *ruleset.Verdict
}

// hold returns what of the set holds v, by element. Not read means that nothing
// is known of what the set holds. What ends by itself may have ended.
func (p packet) hold(r *Ruleset, id ruleset.SetID, v value) (out []holding, read bool) {
	set, found := r.set(id)
	if _, read := r.Elements[id]; !read || !found || set.Flags&ruleset.SetDynamic != 0 {
		return nil, false
	}
	for _, x := range r.spans(set) {
		var a answer
		switch {
		case x.rest:
			a = anyOf(out).not(p.all)
		case v.size() != len(x.lo), !x.each && len(v) > 1 && !bytes.Equal(x.lo, x.hi):
			a = answer{may: p.all}
		default:
			a = p.within(v, x.lo, x.hi)
		}
		if set.Flags&ruleset.SetTimeout != 0 {
			a = a.unsure()
		}
		if len(a.yes)+len(a.may) > 0 {
			out = append(out, holding{answer: a, verdict: x.verdict})
		}
	}
	return out, true
}

// lookup answers whether the set holds v.
func (p packet) lookup(r *Ruleset, id ruleset.SetID, v value) answer {
	list, read := p.hold(r, id, v)
	if !read {
		return answer{may: p.all}
	}
	return anyOf(list)
}

// anyOf returns whose packets any of the elements holds.
func anyOf(list []holding) answer {
	var yes, may reach.Ranges
	for _, x := range list {
		yes, may = append(yes, x.yes...), append(may, x.may...)
	}
	yes = reach.Ranges{}.Union(yes)
	return answer{yes: yes, may: reach.Ranges{}.Union(may).Minus(yes)}
}
