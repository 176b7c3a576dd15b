//go:build linux

package table

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

const vm = firewall.VMID("host://web-1")

func ssh() firewall.Door { return firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 22} }

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func owner() Owner {
	return Owner{Firewall: "nftables://web-1", VM: vm, Keys: firewall.Keyring{
		Instance: "here", Keys: []firewall.MarkKey{{ID: "k1", Secret: []byte("a secret of at least 16 bytes")}},
	}}
}

// good is a frame as we write it, with ssh locked.
func good() *Frame {
	f := &Frame{sets: nil}
	all := f.openingSets()
	var sets []ruleset.Set
	for _, name := range firstSets() {
		s, _ := shape(name)
		sets = append(sets, s)
	}
	return NewFrame(Parts{
		Tables: []ruleset.Table{tableOf("here")}, Chains: chains(), Rules: rules(all), Sets: sets,
		Ports: map[string][]ruleset.Element{lockedTCP: {{Key: ruleset.PortKey(22)}}},
	})
}

// with returns the state of a good frame with openings, as they would be read at
// noon.
func with(open ...firewall.Opening) State {
	s := State{Owner: owner(), Frame: good()}
	r := Reading{At: access.Reading{Wall: noon()}, Elements: map[string][]ruleset.Element{}}
	for _, o := range open {
		set := slotOf(o).name()
		e := ruleset.Element{
			Key:     keyOf(ssh(), o.From).bytes(),
			Comment: s.Keys.Seal(markOf(o), s.place(ssh(), o.From, set)),
		}
		if !o.Exempt() {
			e.Expires = o.Until.Sub(noon())
		}
		r.Elements[set] = append(r.Elements[set], e)
	}
	return NewState(s.Owner, s.Frame, r)
}

func opening(from string, d time.Duration, grants string) firewall.Opening {
	o := firewall.Opening{From: netip.MustParsePrefix(from), Until: time.Time{}, Grants: firewall.Holders(grants)}
	if d > 0 {
		o.Until = noon().Add(d)
	}
	return o
}

func locked(open ...firewall.Opening) firewall.Wants {
	w := firewall.Wants{{Door: ssh(), Locked: true, Cut: false, Open: open}}
	w.Sort()
	return w
}

func compile(t *testing.T, s State, want firewall.Wants) plan.Plan {
	t.Helper()
	p, err := s.Compile(want)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOurOwnFrameIsRight(t *testing.T) {
	if w := good().Wrong(); w != "" {
		t.Error(w)
	}
}

func anyPrefix() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		a := netip.AddrFrom16([16]byte(b))
		if rapid.Bool().Draw(t, "IPv4") {
			a = netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
	})
}

// Every opening has one set and one key, which say what it is.
func TestSetsAndKeysSayWhatTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := firewall.Opening{From: anyPrefix().Draw(t, "from"), Until: time.Time{}, Grants: ""}
		if rapid.Bool().Draw(t, "grant") {
			o.Until = noon()
		}
		d := ssh()
		d.Port = rapid.Uint16Range(1, 65535).Draw(t, "port")
		in, ok := parseSlot(slotOf(o).name())
		if !ok || in != slotOf(o) {
			t.Fatalf("set %s is read as %+v", slotOf(o).name(), in)
		}
		if set, known := shape(in.name()); !known || set.Name != in.name() {
			t.Fatalf("set %s is not known", in.name())
		}
		k := keyOf(d, o.From)
		if back, ok := in.readKey(k.bytes()); !ok || back != k {
			t.Fatalf("key %v is read as %v", k, back)
		}
		if b, err := parseKey(in.keyText(k.bytes())); err != nil || string(b) != string(k.bytes()) {
			t.Fatalf("%s is read as %x: %v", in.keyText(k.bytes()), b, err)
		}
		sets, b := Find(firewall.Key{Door: d, From: o.From})
		if !cmp.Equal(sets[map[bool]int{false: 0, true: 1}[o.Exempt()]], in.name()) || string(b) != string(k.bytes()) {
			t.Fatalf("%v is looked for in %v", o, sets)
		}
	})
}

func TestNamesThatAreNoSets(t *testing.T) {
	for _, name := range []string{"", "host", "host5", "host4_32", "net4", "net4_32", "net4_-1", "net4_024", "net6_128", "exempt4_32", "net4_8_8", "xhost4", "tcp_ports"} {
		if s, ok := parseSlot(name); ok {
			t.Errorf("%q is read as %+v", name, s)
		}
	}
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"203.0.113.7 . tcp . 22", "2001:db8::1 . udp . 53", "0x00", "::ffff:1.2.3.4 . tcp . 1", " . . "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := parseKey(text)
		if err != nil {
			return
		}
		in := slot{six: len(b) == 24, bits: 0, exempt: false}
		again, err := parseKey(in.keyText(b))
		if err != nil || string(again) != string(b) {
			t.Errorf("%q is %x, which is written %q and read as %x: %v", text, b, in.keyText(b), again, err)
		}
	})
}

func FuzzEdits(f *testing.F) {
	for _, c := range compileSeeds() {
		f.Add(c.Native)
	}
	f.Fuzz(func(_ *testing.T, native string) {
		tx, err := NewTransaction([]plan.Change{{Native: native}})
		if err != nil {
			return
		}
		b := nfnetlink.NewBatch()
		tx.Write(b, with(), good(), access.Reading{Wall: noon()})
	})
}

func compileSeeds() []plan.Change {
	p, _ := with(opening("203.0.113.7/32", time.Hour, "g-1")).Compile(locked(opening("198.51.100.0/24", time.Hour, "g-2"), opening("2001:db8::/32", 0, "")))
	q, _ := with(opening("203.0.113.7/32", time.Hour, "g-1")).Compile(nil)
	return append(p.Changes, q.Changes...)
}

// A sealed mark fits into the comment of an element, with ids of the lengths that
// Sesame makes.
func TestMarksFit(t *testing.T) {
	o := firewall.Opening{From: netip.MustParsePrefix("2001:db8::/64"), Until: noon(), Grants: firewall.HoldersOf("g_0123456789abcdefghijklmnop", "g_1", "g_2")}
	s := with()
	s.Keys.Instance = strings.Repeat("i", 12)
	if n := len(s.Keys.Seal(markOf(o), s.place(ssh(), o.From, "net6_64"))); n > 127 {
		t.Errorf("%d bytes", n)
	}
}

func TestHoldersOfOneOpening(t *testing.T) {
	both := opening("203.0.113.7/32", time.Hour, "g-1,g-2")
	s := with(both)
	if p := compile(t, s, locked(both)); !p.Empty() {
		t.Errorf("what is there is written again:\n%v", p)
	}
	// Who knows the marks alone knows one holder.
	if p := compile(t, s, locked(opening("203.0.113.7/32", time.Hour, "g-1"))); !p.Empty() {
		t.Errorf("a mark is written again that counts more:\n%v", p)
	}
	if p := compile(t, s, locked(opening("203.0.113.7/32", time.Hour, "g-2"))); len(p.Changes) != 1 || p.Changes[0].Op != plan.Close {
		t.Errorf("another holder until the same end is no close alone:\n%v", p)
	}
}

func TestOnlyOneOfAnExemptSourceAndAGrantCounts(t *testing.T) {
	for range 10 {
		s := with(opening("203.0.113.7/32", time.Hour, "g-1"), opening("203.0.113.7/32", 0, ""))
		var shown firewall.Wants
		for _, o := range s.Owned() {
			if o.Mark == firewall.MarkGood {
				shown = append(shown, firewall.Want{Door: o.Door, Locked: true, Cut: false, Open: []firewall.Opening{o.Opening}})
			}
		}
		if len(shown) != 1 || shown[0].Open[0].Exempt() {
			t.Fatalf("not the grant alone counts: %v", shown)
		}
	}
}

func TestStrangersElements(t *testing.T) {
	theirs := with(opening("198.51.100.9/32", time.Hour, "g-9"))
	theirs.Keys.Instance = "there"
	o := opening("198.51.100.9/32", time.Hour, "g-9")
	e := ruleset.Element{Key: keyOf(ssh(), o.From).bytes(), Expires: time.Hour, Comment: theirs.Keys.Seal(markOf(o), theirs.place(ssh(), o.From, "host4"))}
	ours := with(opening("203.0.113.7/32", time.Hour, "g-1"))
	mark := ruleset.Element{
		Key: keyOf(ssh(), netip.MustParsePrefix("203.0.113.7/32")).bytes(), Expires: time.Hour,
		Comment: ours.Keys.Seal(markOf(opening("203.0.113.7/32", time.Hour, "g-1")), ours.place(ssh(), netip.MustParsePrefix("203.0.113.7/32"), "host4")),
	}
	s := NewState(owner(), good(), Reading{At: access.Reading{Wall: noon()}, Elements: map[string][]ruleset.Element{"host4": {e, mark}}})
	if o := s.Obstacles(); len(o) != 1 || !strings.Contains(o[0].Text, "there") || !strings.Contains(o[0].Text, "198.51.100.9") {
		t.Errorf("the obstacle does not say who and what: %v", o)
	}
	p := compile(t, s, locked(opening("203.0.113.8/32", time.Hour, "g-2")))
	if len(p.Changes) != 1 || p.Changes[0].Op != plan.Close || p.Changes[0].Opening.From != netip.MustParsePrefix("203.0.113.7/32") {
		t.Errorf("not our close alone:\n%v", p)
	}
	if len(p.Refused) != 1 || p.Refused[0].From != netip.MustParsePrefix("203.0.113.8/32") {
		t.Errorf("the opening is not refused:\n%v", p)
	}
	for _, want := range []firewall.Wants{nil, locked(opening("198.51.100.9/32", 2*time.Hour, "g-3"))} {
		for _, c := range compile(t, s, want).Changes {
			if strings.Contains(c.Native, "198.51.100.9") || strings.Contains(c.Native, "remove_table") {
				t.Errorf("their element is touched: %s", c.Native)
			}
		}
	}
}

func TestRoom(t *testing.T) {
	many := make([]firewall.Opening, 0, MostOpenings+2)
	for i := range MostOpenings + 2 {
		many = append(many, opening(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), time.Hour, "g"))
	}
	exempt := opening("192.0.2.1/32", 0, "")
	p := compile(t, with(many[:10]...), locked(append(many, exempt)...))
	if len(p.Refused) != 3 {
		t.Errorf("%d are refused, want 3", len(p.Refused))
	}
	for _, r := range p.Refused {
		if r.From == exempt.From || !r.From.IsValid() || !strings.Contains(r.Why, "32768") {
			t.Errorf("%+v", r)
		}
	}
}

// However the clocks are set between looking and writing, nothing is opened for
// longer than was left.
func TestLeftIsTheShorter(t *testing.T) {
	at := access.Reading{Wall: noon(), Boot: time.Hour, BootID: "b"}
	until := noon().Add(10 * time.Minute)
	for name, c := range map[string]struct {
		wall, boot time.Duration
		want       time.Duration
	}{
		"clocks in good order": {time.Minute, time.Minute, 9 * time.Minute},
		"set forward":          {time.Hour, time.Minute, -50 * time.Minute},
		"set back":             {-time.Hour, time.Minute, 9 * time.Minute},
		"set back and long":    {-time.Hour, 20 * time.Minute, -10 * time.Minute},
	} {
		now := at
		now.Wall, now.Boot = now.Wall.Add(c.wall), now.Boot+c.boot
		if got := (State{At: at}).left(until, now); got != c.want {
			t.Errorf("%s: %v left, want %v", name, got, c.want)
		}
	}
}

func TestTimersThatAreWrong(t *testing.T) {
	o := opening("203.0.113.7/32", time.Hour, "g-1")
	s := with()
	mark := s.Keys.Seal(markOf(o), s.place(ssh(), o.From, "host4"))
	for expires, wrong := range map[time.Duration]bool{
		0: true, time.Second: false, time.Hour: false, time.Hour + lateSlack: false,
		time.Hour + lateSlack + time.Millisecond: true, 1000 * time.Hour: true,
	} {
		e := ruleset.Element{Key: keyOf(ssh(), o.From).bytes(), Comment: mark, Expires: expires}
		s := NewState(owner(), good(), Reading{At: access.Reading{Wall: noon()}, Elements: map[string][]ruleset.Element{"host4": {e}}})
		p := compile(t, s, locked(o))
		if got := !p.Empty(); got != wrong || got && p.Changes[0].Op != plan.Close {
			t.Errorf("with %v left of an hour:\n%v", expires, p)
		}
	}
}

func TestUnreadableWrites(t *testing.T) {
	for _, native := range []string{
		"", "{} {}", `{"put":{"set":"tcp_ports","key":"203.0.113.7 . tcp . 22"}}`, `{"put":{"set":"host4","key":"203.0.113.7"}}`,
		`{"lock":{"protocol":"sctp","port":1}}`, `{"delete":{"set":"host4","key":"0xzz"}}`,
	} {
		if _, err := NewTransaction([]plan.Change{{Native: native}}); err == nil {
			t.Errorf("%s is taken for a write", native)
		}
	}
}

// The state that a plan promises is the one that its writes lead to.
func TestPlansPromiseWhatTheyLeadTo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anything := rapid.Custom(func(t *rapid.T) []firewall.Opening {
			var out []firewall.Opening
			for _, from := range []string{"203.0.113.7/32", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::7/128", "::/0"} {
				switch rapid.IntRange(0, 2).Draw(t, from) {
				case 0:
					out = append(out, opening(from, time.Duration(rapid.IntRange(1, 3).Draw(t, "hours"))*time.Hour, "g-1"))
				case 1:
					out = append(out, opening(from, 0, ""))
				}
			}
			return out
		})
		before, after := anything.Draw(t, "before"), anything.Draw(t, "after")
		s := with(before...)
		p, err := s.Compile(locked(after...))
		if err != nil {
			t.Fatal(err)
		}
		want := with(after...).Layer()
		if diff := cmp.Diff(want, p.After, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Fatalf("the plan promises another layer (-want +plan):\n%s%v", diff, p)
		}
	})
}
