package compile_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup/compile"
)

// anyRule draws an ingress rule: ranges, every protocol, ICMP, references to
// groups, prefix lists that are known and not, both families.
func anyRule(t *rapid.T) securitygroup.Rule {
	r := securitygroup.Rule{
		Protocol:    rapid.SampledFrom([]int{-1, 6, 6, 6, 17, 1, 58, 50}).Draw(t, "protocol"),
		Description: rapid.SampledFrom([]string{"", "office", "as ever"}).Draw(t, "description"),
	}
	switch r.Protocol {
	case 6, 17:
		ports := []int{0, 21, 22, 23, 80, 3388, 3389, 3390, 65535}
		r.First = rapid.SampledFrom(ports).Draw(t, "first")
		r.Last = max(r.First, rapid.SampledFrom(ports).Draw(t, "last"))
	case 1, 58:
		r.First, r.Last = -1, -1
	}
	switch rapid.IntRange(0, 5).Draw(t, "source") {
	case 0:
		r.Group = rapid.SampledFrom([]string{"sg-1", "sg-2", "sg-3", "sg-peered"}).Draw(t, "group")
	case 1:
		r.List = rapid.SampledFrom([]string{"pl-1", "pl-unread"}).Draw(t, "list")
	default:
		r.CIDR = netip.MustParsePrefix(rapid.SampledFrom([]string{"0.0.0.0/0", "10.0.0.0/24", "203.0.113.0/24", "203.0.113.7/32", "::/0", "2001:db8::/32"}).Draw(t, "cidr"))
	}
	if rapid.Bool().Draw(t, "tagged") {
		r.Tags = []securitygroup.Tag{{Key: "team", Value: "blue"}}
	}
	r, err := r.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// anyReading draws three groups on three interfaces of two instances.
func anyReading(t *rapid.T) securitygroup.Reading {
	r := securitygroup.Reading{
		Network: network, Keys: keys,
		Lists: map[string]securitygroup.List{"pl-1": {Entries: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Max: 3}},
	}
	r.Shared = rapid.SampledFrom([]securitygroup.Sharing{securitygroup.Include, securitygroup.Split, securitygroup.Refuse}).Draw(t, "shared")
	r.Keep = rapid.SampledFrom([][]firewall.Protocol{nil, {50}}).Draw(t, "keep")
	r.Quotas.Rules = rapid.SampledFrom([]int{8, 20, 60}).Draw(t, "quota")
	for _, id := range []string{"sg-1", "sg-2", "sg-3"} {
		g := securitygroup.Group{ID: id, Name: id, Egress: 1, Plain4: rapid.Bool().Draw(t, "plain")}
		for range rapid.IntRange(0, 4).Draw(t, "rules") {
			x := anyRule(t)
			if fits := r.CostOf(g.Ingress...).Fits(r.CostOf(x), r.Quotas); fits && !slices.ContainsFunc(g.Ingress, func(o securitygroup.Rule) bool { return o.Content() == x.Content() }) {
				g.Ingress = append(g.Ingress, x)
			}
		}
		r.Groups = append(r.Groups, g)
	}
	for i, vm := range []firewall.VMID{web1, web1, web2} {
		n := securitygroup.Interface{ID: fmt.Sprintf("eni-%d", i+1), VM: vm, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}}
		for _, id := range []string{"sg-1", "sg-2", "sg-3"} {
			if rapid.Bool().Draw(t, "wears "+id) {
				n.Groups = append(n.Groups, id)
			}
		}
		if len(n.Groups) == 0 {
			n.Groups = []string{"sg-1"}
		}
		r.Interfaces = append(r.Interfaces, n)
	}
	return r
}

// anyLocks draws wants for some of three doors.
func anyLocks(t *rapid.T) firewall.Wants {
	var out firewall.Wants
	for _, d := range []firewall.Door{ssh, rdp, ssh2} {
		if !rapid.Bool().Draw(t, "locked") {
			continue
		}
		w := firewall.Want{Door: d, Locked: true}
		for _, from := range []string{"10.0.0.0/24", "192.0.2.7/32", "2001:db8:7::/64"} {
			o := firewall.Opening{From: netip.MustParsePrefix(from)}
			switch rapid.IntRange(0, 2).Draw(t, from) {
			case 0:
				o.Until, o.Grants = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), "g-1"
			case 1:
			default:
				continue
			}
			w.Open = append(w.Open, o)
		}
		out = append(out, w)
	}
	out.Sort()
	return out
}

// A packet is what is sent at every state: protocols without ports included.
type packet struct {
	to    securitygroup.Interface
	proto int
	port  int
	from  netip.Addr
}

func packets(r securitygroup.Reading) (out []packet) {
	clients := clients()
	for _, n := range r.Interfaces {
		for _, p := range [][2]int{{6, 0}, {6, 21}, {6, 22}, {6, 23}, {6, 80}, {6, 3388}, {6, 3389}, {6, 3390}, {6, 65535}, {17, 22}, {17, 3389}, {1, -1}, {58, -1}, {50, -1}, {47, -1}} {
			for _, from := range clients {
				out = append(out, packet{n, p[0], p[1], from})
			}
		}
	}
	return out
}

func clients() (out []netip.Addr) {
	for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.200", "203.0.113.7", "203.0.113.8", "192.0.2.7", "198.51.100.3", "9.9.9.9", "2001:db8::1", "2001:db8:7::1", "2002::1"} {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// passes is a packet test of its own. Whom a group of another VPC or a list that
// could not be read stands for is decided by wild.
func passes(r securitygroup.Reading, p packet, wild bool) bool {
	for _, n := range r.Interfaces {
		for _, g := range r.Groups {
			if n.ID != p.to.ID || !slices.Contains(n.Groups, g.ID) {
				continue
			}
			for _, x := range g.Ingress {
				if (x.Protocol == -1 || x.Protocol == p.proto && (x.First == -1 || x.First <= p.port && p.port <= x.Last)) && meant(r, x, p.from, wild) {
					return true
				}
			}
		}
	}
	return false
}

func meant(r securitygroup.Reading, x securitygroup.Rule, from netip.Addr, wild bool) bool {
	if x.Group == "sg-peered" || x.List == "pl-unread" {
		return wild
	}
	for _, n := range r.Interfaces {
		if x.Group != "" && slices.Contains(n.Groups, x.Group) && slices.Contains(n.Addresses, from) {
			return true
		}
	}
	return x.CIDR.IsValid() && x.CIDR.Contains(from) ||
		slices.ContainsFunc(r.Lists[x.List].Entries, func(p netip.Prefix) bool { return p.Contains(from) })
}

// A history is what happened to a VPC, write by write.
type history struct {
	*rapid.T

	r         securitygroup.Reading
	displaced []plan.Change
}

// pass goes from one want to the next and looks at every packet after every
// single write.
func (h *history) pass(want firewall.Wants) plan.Plan {
	p, err := compile.Plan(h.r, want, h.displaced)
	if err != nil {
		h.Fatal(err)
	}
	after := h.r
	for _, c := range p.Changes {
		w, _ := securitygroup.Decode(c.Native)
		after = after.On(w)
	}
	for _, wild := range []bool{false, true} {
		now, was, will := h.r, passing(h.r, wild), passing(after, wild)
		for _, c := range p.Changes {
			w, _ := securitygroup.Decode(c.Native)
			now = now.On(w)
			h.between(was, passing(now, wild), will, p, c)
			if g := now.Find(w.Group); w.Do == securitygroup.Authorize {
				if sum := now.CostOf(now.Groups[g].Ingress...); !(securitygroup.Cost{}).Fits(sum, now.Quotas) {
					h.Fatalf("%v makes %v of %d rules in %s:\n%v", c, sum, now.Quotas.Rules, w.Group, p)
				}
			}
		}
	}
	for _, c := range p.Changes {
		if c.Op == plan.Displace {
			c.Since = h.r.At
			h.displaced = append(h.displaced, c)
		}
		if c.Op == plan.Restore {
			h.displaced = slices.DeleteFunc(h.displaced, func(x plan.Change) bool { return x.Undo == c.Undo })
		}
	}
	h.r = after
	// What is refused for want of room may find it when this plan has made some.
	if again, _ := compile.Plan(h.r, want, h.displaced); !again.Empty() && len(p.Refused) == 0 {
		h.Fatalf("a second plan is not empty:\n%vafter\n%v", again, p)
	}
	return p
}

// passing sends all packets.
func passing(r securitygroup.Reading, wild bool) []bool {
	var out []bool
	for _, x := range packets(r) {
		out = append(out, passes(r, x, wild))
	}
	return out
}

// nameless reports whether x is of a protocol that is lost with a rule for all.
func (h *history) nameless(x packet) bool {
	return x.proto == 47 || x.proto == 50 && len(h.r.Keep) == 0 || x.proto == 1 && x.from.Is6() || x.proto == 58 && x.from.Is4()
}

// between checks one state on the way.
func (h *history) between(was, is, will []bool, p plan.Plan, c plan.Change) {
	for i, x := range packets(h.r) {
		closed := func(c plan.Change) bool {
			return c.Op == plan.Close && c.Opening.From.IsValid() && c.Door.VM == x.to.VM && int(c.Door.Port) == x.port && c.Opening.From.Contains(x.from)
		}
		cut := !is[i] && was[i] && will[i] && !slices.ContainsFunc(p.Changes, closed)
		// A lock comes before another one's rules come back, and nothing keeps in
		// between what no rule can name.
		if is[i] && !was[i] && !will[i] || cut && (c.Op != plan.Displace && c.Op != plan.Restore || !h.nameless(x)) {
			h.Fatalf("after %v: %v passes %v; before %v, at the end %v:\n%v", c, x, is[i], was[i], will[i], p)
		}
	}
}

// kept checks that only locked ports are shut, but for what was agreed to, and
// that they are shut to everybody but their openings.
func (h *history) kept(original securitygroup.Reading, want firewall.Wants, p plan.Plan) {
	for _, x := range packets(h.r) {
		d := firewall.Door{VM: x.to.VM, Protocol: firewall.Protocol(x.proto), Port: uint16(max(x.port, 0))}
		w, locked := want.Of(d)
		held := slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return r.Door == d && !r.From.IsValid() })
		open := slices.ContainsFunc(w.Open, func(o firewall.Opening) bool { return o.From.Contains(x.from) })
		is := passes(h.r, x, true)
		switch {
		case locked && x.port >= 0:
			if is != open && !held {
				h.Fatalf("%v is locked; %v passes %v:\n%v", d, x, is, p)
			}
		case is && !held && !passes(original, x, true) && !open:
			h.Fatalf("%v passes, and did not before:\n%v", x, p)
		case !is && !held && passes(original, x, true):
			lost := h.nameless(x)
			shared := h.r.Shared == securitygroup.Include && slices.ContainsFunc(want, func(w firewall.Want) bool { return w.Door.Port == d.Port && w.Door.Protocol == d.Protocol })
			if !lost && !shared {
				h.Fatalf("%v does not pass any more:\n%v", x, p)
			}
		}
	}
}

// Locks come and go in random sets of groups; whatever the way, the end is the
// beginning, and nobody is cut or let in on the way.
func TestLockAndUnlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{T: t, r: anyReading(t)}
		original := h.r
		for range rapid.IntRange(1, 3).Draw(t, "passes") {
			want := anyLocks(t)
			p := h.pass(want)
			h.kept(original, want, p)
		}
		for range 4 { // what has no room to come back waits for what makes room
			h.pass(nil)
		}
		if diff := cmp.Diff(document(original), document(h.r)); diff != "" {
			t.Fatalf("not what was (-was +is):\n%s", diff)
		}
		if was, is := worn(original), worn(h.r); was != is {
			t.Fatalf("the interfaces wear\n%snot\n%s", is, was)
		}
		if len(h.displaced) > 0 || len(h.r.Owned()) > 0 {
			t.Fatalf("left over: %v, %v", h.displaced, h.r.Owned())
		}
	})
}

// worn prints which groups interfaces wear.
func worn(r securitygroup.Reading) string {
	var out strings.Builder
	for _, n := range r.Interfaces {
		fmt.Fprintln(&out, n.ID, slices.Sorted(slices.Values(n.Groups)))
	}
	return out.String()
}

// A scenario is a reading and what is wanted of it.
type scenario struct {
	r    securitygroup.Reading
	want firewall.Wants
}

// Random sets of groups are what they were, rule by rule, once their locks have
// come and gone. While they stand, what stays and what is displaced says all that
// the groups said. Without more to do the test is short; `make fuzz` asks for 10^5
// sets.
func TestLockAndUnlockManyGroups(t *testing.T) {
	count, first := 5000, 0
	if s := os.Getenv("SESAME_LOCK_SETS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		count, first = n, rand.IntN(1<<30)
	}
	draw := rapid.Custom(func(t *rapid.T) scenario { return scenario{anyReading(t), anyLocks(t)} })
	displacedRules, copies := 0, 0
	for seed := first; seed < first+count; seed++ {
		s := draw.Example(seed)
		h := &journal{r: s.r}
		for _, want := range []firewall.Wants{s.want, nil, nil} {
			if err := h.pass(want); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			displacedRules += len(h.displaced)
			for _, g := range h.r.Groups {
				if _, _, copied := h.r.CopyOf(g); copied {
					copies++
				}
			}
			if missing := h.missing(s.r); missing != "" {
				t.Fatalf("seed %d: nobody says any more: %s", seed, missing)
			}
		}
		if diff := cmp.Diff(document(s.r), document(h.r)); diff != "" || len(h.r.Owned()) > 0 || worn(s.r) != worn(h.r) {
			t.Fatalf("seed %d: not what was (-was +is):\n%s\nleft over: %v", seed, diff, h.r.Owned())
		}
	}
	if displacedRules < count/4 || copies < count/100 {
		t.Errorf("only %d rules were displaced and %d groups split: the draw is too tame", displacedRules, copies)
	}
}

// A journal is a VPC and the book about what is displaced there.
type journal struct {
	r         securitygroup.Reading
	displaced []plan.Change
}

func (j *journal) pass(want firewall.Wants) error {
	p, err := compile.Plan(j.r, want, j.displaced)
	if err != nil {
		return err
	}
	for _, c := range p.Changes {
		w, err := securitygroup.Decode(c.Native)
		if err != nil {
			return err
		}
		j.r = j.r.On(w)
		if c.Op == plan.Displace {
			c.Since = j.r.At
			j.displaced = append(j.displaced, c)
		}
		if c.Op == plan.Restore {
			j.displaced = slices.DeleteFunc(j.displaced, func(x plan.Change) bool { return x.Undo == c.Undo })
		}
	}
	return nil
}

// missing names an original rule that neither stands nor is displaced.
func (j *journal) missing(original securitygroup.Reading) string {
	for i, g := range original.Groups {
		for _, x := range g.Ingress {
			same := func(o securitygroup.Rule) bool { return o.Text() == x.Text() }
			booked := func(c plan.Change) bool {
				var d struct {
					Group string
					Rule  securitygroup.Rule
				}
				return json.Unmarshal([]byte(c.Undo), &d) == nil && d.Group == g.ID && same(d.Rule)
			}
			if !slices.ContainsFunc(j.r.Groups[i].Ingress, same) && !slices.ContainsFunc(j.displaced, booked) {
				return g.ID + " " + x.Content()
			}
		}
	}
	return ""
}
