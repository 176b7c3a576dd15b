package nsg_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/reach"
)

// randomGroups is how many random groups the normal run goes through.
const randomGroups = 1_000

// TestLockAndUnlockRandomGroups enables, grants, and disables again over random
// groups, with other people's edits in between: not a byte of theirs may change,
// and packets must fare as was wanted. Without more to do the test is short; `make
// fuzz` asks for 10^5 groups.
func TestLockAndUnlockRandomGroups(t *testing.T) {
	count, first := uint64(randomGroups), uint64(0)
	if s := os.Getenv("SESAME_LOCK_SETS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		count, first = n, rand.Uint64N(1<<40)
	}
	var done atomic.Uint64
	t.Cleanup(func() { t.Logf("%d random groups from seed %d", done.Load(), first) })
	const shards = 4
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for i := shard; i < count && !t.Failed(); i += shards {
				history(t, first+i)
				done.Add(1)
			}
		})
	}
}

func FuzzRandomGroups(f *testing.F) {
	f.Add(uint64(randomGroups))
	f.Fuzz(func(t *testing.T, seed uint64) { history(t, seed) })
}

// A dice draws.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

// A life is a group in the course of a history.
type life struct {
	*testing.T
	dice

	seed    uint64
	text    string
	edited  bool // by others, since the beginning
	version int
	reading nsg.Reading
	course  nsg.Course
}

func history(t *testing.T, seed uint64) {
	t.Helper()
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	var rules []string
	for i := range d.IntN(6) {
		rules = append(rules, d.foreign(i, rules))
	}
	x := &life{T: t, dice: d, seed: seed, text: d.around(rules), reading: nsg.Reading{Reading: dialect.Reading{Keys: keys, Attachments: attachments()}, Settled: true}}
	if d.IntN(3) == 0 {
		x.reading.Windows = nsg.Windows{Grants: nsg.Window{First: 300, Last: 330}, Exempt: nsg.Window{First: 331, Last: 340}, Locks: nsg.Window{First: 341, Last: 360}, Anywhere: d.IntN(2) == 0}
	}
	x.reading.MayOutrank = []string{"rule-0"}
	before := x.text
	for range 1 + d.IntN(2) {
		x.show(x.wants())
		if d.IntN(3) == 0 {
			x.byHand()
		}
	}
	var others []string
	for _, r := range parse(x.text).Rules {
		if !strings.HasPrefix(r.Name, "sesame-main-") {
			others = append(others, r.Text)
		}
	}
	x.show(nil)
	if !x.edited && bare(x.text) != bare(before) {
		t.Fatalf("seed %d: giving everything back leaves\n%s\nof\n%s", seed, x.text, before)
	}
	var left []string
	for _, r := range parse(x.text).Rules {
		left = append(left, r.Text)
	}
	if diff := cmp.Diff(others, left, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("seed %d: foreign rules (-before +after):\n%s", seed, diff)
	}
	const list = `"securityRules"`
	if head, _, _ := strings.Cut(before, list); !strings.HasPrefix(bare(x.text), bare(head)) {
		t.Fatalf("seed %d: the head changed", seed)
	}
	if _, tail, _ := strings.Cut(before, `"defaultSecurityRules"`); !strings.HasSuffix(x.text, tail) {
		t.Fatalf("seed %d: the tail changed", seed)
	}
}

// around returns a document, in one of many looks.
func (d dice) around(rules []string) string {
	text := document(1, rules...)
	if d.IntN(2) == 0 {
		text = strings.Replace(text, `"securityRules":[`, `"securityRules" : [`+d.one("", " ", "\n\t"), 1)
	}
	return text
}

// bare is a document without its version.
func bare(text string) string {
	before, rest, _ := strings.Cut(text, `"etag":"W/\"`)
	_, behind, _ := strings.Cut(rest, `",`)
	return before + behind
}

// foreign draws a rule of somebody else.
func (d dice) foreign(i int, rules []string) string {
	number, all := 0, strings.Join(rules, "")
	for number == 0 || strings.Contains(all, fmt.Sprintf(`"priority": %d,`, number)) || strings.Contains(all, fmt.Sprintf(`"priority":%d,`, number)) {
		number = []int{100, 101, 103, 299, 300, 301, 340, 361, 1000, 2999, 3500, 4095, 4096}[d.IntN(13)]
	}
	r := foreign(fmt.Sprintf("rule-%d", i), number, d.one("Allow", "Allow", "Deny"), d.one("22", "*", "20-30", "3389", "80"))
	switch d.IntN(12) {
	case 0, 1, 2:
		r = changed(r, "sourceAddressPrefix", d.one("203.0.113.0/24", "2001:db8::/32", "VirtualNetwork", "198.51.100.16/28", "203.0.113.7"))
	case 3, 4:
		r = changed(r, "destinationAddressPrefix", d.one("10.0.0.4", "10.0.0.0/24", "10.0.0.5", "VirtualNetwork", "fd00::/64"))
	case 5:
		r = changed(r, "sourceAddressPrefix", d.one("Storage.WestUS", "Internet", "sesame"))
	case 6:
		r = changed(r, "protocol", d.one("TCP", "udp", "Icmp", "Esp"))
	case 7:
		r = changed(r, "sourcePortRange", d.one("1024-65535", "0", "53"))
	case 8: // of an unknown shape
		r = changed(r, d.one("access", "protocol", "sourceAddressPrefix", "destinationPortRange"), nil, "sourceAddressPrefixes", nil, "destinationPortRanges", nil)
	case 9:
		r = changed(r, "sourceAddressPrefix", nil, "sourceApplicationSecurityGroups", []any{map[string]any{"id": "/asg/a"}})
	}
	return strings.Replace(r, `"futureField"`, d.one(`"futureField"`, `"future\u0046ield":"\ud83d\ude00\/",  "again":1e2, "again":{ }, "f"`), 1)
}

// wants draws what to show.
func (x *life) wants() firewall.Wants {
	var out firewall.Wants
	for _, door := range []firewall.Door{ssh, rdp, ssh2} {
		if x.IntN(3) == 0 {
			continue
		}
		w := firewall.Want{Door: door, Locked: true, Cut: false, Open: nil}
		for _, from := range []string{"203.0.113.7/32", "198.51.100.16/28", "2001:db8::7/128", "192.0.2.0/24"} {
			o := firewall.Opening{From: prefix(from), Until: time.Time{}, Grants: ""}
			switch x.IntN(4) {
			case 0:
				o.Until, o.Grants = firewall.Instant(time.Date(2030, 1, 1+x.IntN(2), 0, 0, 0, 0, time.UTC)), firewall.HoldersOf(x.one("g-1", "g-2"))
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

// byHand does what people do: add, move, delete rules of theirs, and ours.
func (x *life) byHand() {
	list := parse(x.text).Rules
	var rules []string
	for _, r := range list {
		rules = append(rules, r.Text)
	}
	switch n := len(rules); {
	case n > 0 && x.IntN(2) == 0:
		rules = slices.Delete(rules, n-1, n)
	default:
		rules = append(rules, x.dice.foreign(90+x.version, rules))
	}
	x.edited = true
	from := strings.Index(x.text, `"securityRules"`)
	from += strings.Index(x.text[from:], "[") + 1
	to := strings.LastIndex(x.text, "],\n \"defaultSecurityRules\"")
	x.text = x.text[:from] + strings.Join(rules, " ,\n") + x.text[to:]
}

func (x *life) snapshot() provider.Snapshot {
	r := x.reading
	r.Group = parse(x.text)
	r.Attachments = slices.Clone(r.Attachments)
	for i := range r.Attachments {
		r.Attachments[i].Subnet = r.Group
		r.Attachments[i].View = network
	}
	return r.Snapshot(time.Time{})
}

// show makes the group show want, in as many passes as it may take, and checks
// packets.
func (x *life) show(want firewall.Wants) {
	s := x.snapshot()
	for pass := 0; ; pass++ {
		p, err := nsg.Compile(s, want)
		if err != nil {
			x.Fatalf("seed %d: %v", x.seed, err)
		}
		if p.Empty() {
			x.packets(want, p, s)
			return
		}
		if pass > 3 {
			x.Fatalf("seed %d: after %d passes there is\n%v", x.seed, pass, p)
		}
		now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
		writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: x.IntN(2) == 0, Course: x.course}, now)
		if err != nil {
			x.Fatalf("seed %d: %v\n%v", x.seed, err, p)
		}
		for _, w := range writes {
			x.send(w)
		}
		s = x.snapshot()
		if promised, seen := fmt.Sprint(p.After), fmt.Sprint(s.Layer); promised != seen {
			x.Fatalf("seed %d: the plan's layer is not what is observed:\n%s", x.seed, cmp.Diff(promised, seen))
		}
	}
}

// send is an API that keeps every byte.
func (x *life) send(w nsg.Write) {
	name, child := strings.CutPrefix(w.Path, "/securityRules/")
	switch {
	case !child:
		x.text = w.Body
	default:
		e := resource.Edit{Name: name, Put: []byte(w.Body)}
		text, err := parse(x.text).Edit(name, e)
		if err != nil {
			x.Fatal(err)
		}
		x.text = text
	}
	x.version++
	before, rest, _ := strings.Cut(x.text, `"etag":"W/\"`)
	_, behind, _ := strings.Cut(rest, `",`)
	x.text = before + fmt.Sprintf(`"etag":"W/\"%d\"",`, x.version) + behind
}

// packets checks that whoever is wanted gets in and nobody else, and that reach
// says the same as packets wherever it says anything.
func (x *life) packets(want firewall.Wants, p plan.Plan, s provider.Snapshot) {
	test := tableOf(x.text)
	vms := map[firewall.VMID]netip.Addr{web1: netip.MustParseAddr("10.0.0.4"), web2: netip.MustParseAddr("10.0.0.5")}
	murky := strings.Contains(x.text, "/asg/a") || strings.Contains(x.text, `"sesame"`) || strings.Contains(x.text, "Storage") ||
		strings.Contains(x.text, `"Internet"`) || strings.Contains(x.text, `"sourcePortRange": "1024`) || strings.Contains(x.text, `"sourcePortRange": "0"`) || strings.Contains(x.text, `"sourcePortRange": "53"`)
	opaque := slices.ContainsFunc(s.Raw.(nsg.Reading).Group.Rules, func(r resource.Rule) bool { return r.Opaque != "" })
	for _, door := range []firewall.Door{ssh, rdp, ssh2} {
		to := vms[door.VM]
		v := inventory.VM{ID: door.VM, Paths: []inventory.Path{{To: []netip.Addr{to}, Hops: []inventory.Hop{{Firewall: fw}}}}}
		set := reach.VM(v, map[firewall.ID]firewall.Layer{fw: s.Layer}, door)
		w, locked := want.Of(door)
		held := slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return r.Door == door && !r.From.IsValid() })
		for _, a := range []string{"203.0.113.7", "203.0.113.8", "198.51.100.16", "198.51.100.32", "192.0.2.9", "8.8.8.8"} {
			from := netip.MustParseAddr(a)
			span := set.At(from)
			if got := test.admits(to, door, from); !murky && !opaque && (span.Verdict == reach.Open) != got {
				x.Fatalf("seed %d: %s at %s: admitted %v, reach says %v by %s\n%s", x.seed, from, door, got, span.Verdict, span.By(), s.Raw)
			}
			if !locked || held {
				continue
			}
			expect := slices.ContainsFunc(w.Open, func(o firewall.Opening) bool {
				return o.From.Contains(from) && !slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return r.Door == door && r.From == o.From })
			})
			// Behind a rule that may deny, an opening is open as far as anybody knows.
			fine := span.Verdict == reach.Closed
			if expect {
				fine = span.Verdict == reach.Open || span.Verdict == reach.Unknown && (murky || opaque)
			}
			if !fine {
				x.Fatalf("seed %d: %s at %s: %v by %s, want open %v\n%v\n%s", x.seed, from, door, span.Verdict, span.By(), expect, p, s.Raw)
			}
		}
	}
}
