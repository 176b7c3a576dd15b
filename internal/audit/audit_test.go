package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

const origin = "test.example/audit"

func instantOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// full is a record in which every field says something.
func full() Record {
	return Record{
		Kind: Closed, Time: instantOf(1774747800123),
		Actor:  access.Principal{Issuer: "local", Subject: "alice", Display: "Alice <a@example.org>"},
		Caller: netip.MustParseAddr("203.0.113.7"), Request: "r-0000000000000001", Grant: "g-0000000000000001",
		Door:     firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22},
		Firewall: "host://web-1/nftables",
		Sources:  []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("2001:db8::/64")},
		Reason:   "disk is \"full\"", By: []string{"alice may request"}, Not: []string{"bob may not"},
		Deadline: instantOf(1774751400123),
		Clocks:   access.Reading{Wall: instantOf(1774747800120), Boot: 7 * time.Hour, BootID: "b-1", Third: instantOf(1774747800119)},
		Plan:     []string{"close host://web-1:22/tcp from 203.0.113.7"},
		Measures: []Measure{{Name: "asked to open", Took: 412345 * time.Nanosecond}},
		Level:    NewRefused, Text: "as asked",
	}
}

func salt(n int) []byte {
	sum := sha256.Sum256(fmt.Append(nil, "salt", n))
	return sum[:SaltSize]
}

// The texts of version 1 are fixed for ever: logs that were written with them
// must verify.
func TestLeafVersion1(t *testing.T) {
	s := Seal(full(), salt(1))
	const wantLeaf = `{"v":1,"kind":"grant.closed","time":1774747800123,"request":"r-0000000000000001","grant":"g-0000000000000001",` +
		`"vm":"host://web-1","port":22,"protocol":6,"firewall":"host://web-1/nftables","deadline":1774751400123,` +
		`"clocks":{"wall":1774747800120,"boot":25200000,"boot_id":"b-1","third":1774747800119},` +
		`"measures":[{"name":"asked to open","ns":412345}],"level":"new connections refused",` +
		`"personal":"BASE64"}`
	const wantPersonal = `{"v":1,"actor":{"issuer":"local","subject":"alice","display":"Alice \u003ca@example.org\u003e"},` +
		`"caller":"203.0.113.7","sources":["203.0.113.7/32","2001:db8::/64"],"reason":"disk is \"full\"",` +
		`"by":["alice may request"],"not":["bob may not"],"plan":["close host://web-1:22/tcp from 203.0.113.7"],"text":"as asked"}`
	if string(s.Personal) != wantPersonal {
		t.Errorf("personal part\n%s\nwant\n%s", s.Personal, wantPersonal)
	}
	sum := sha256.Sum256(slices.Concat([]byte("sesame personal v1\n"), salt(1), []byte(wantPersonal)))
	want := strings.Replace(wantLeaf, "BASE64", string(bytes.Trim(marshal(sum[:]), `"`)), 1)
	if string(s.Leaf) != want {
		t.Errorf("leaf\n%s\nwant\n%s", s.Leaf, want)
	}
	empty := Seal(Record{Kind: Started, Time: instantOf(5)}, salt(2))
	if got, want := string(empty.Leaf[:len(`{"v":1,"kind":"server.started","time":5,"personal":"`)]), `{"v":1,"kind":"server.started","time":5,"personal":"`; got != want {
		t.Errorf("leaf %s", empty.Leaf)
	}
	if string(empty.Personal) != `{"v":1}` {
		t.Errorf("personal part %s", empty.Personal)
	}
}

// Nothing personal may be in the leaf, whatever field it came in by.
func TestLeafHoldsNothingPersonal(t *testing.T) {
	r := full()
	s := Seal(r, salt(1))
	for _, word := range []string{"alice", "Alice", "203.0.113.7", "2001:db8", "full", "bob", "as asked", "local"} {
		if bytes.Contains(s.Leaf, []byte(word)) {
			t.Errorf("the leaf says %q: %s", word, s.Leaf)
		}
		if !bytes.Contains(s.Personal, []byte(word)) {
			t.Errorf("the personal part does not say %q", word)
		}
	}
	// The same person twice gives two commitments.
	if a, b := Seal(r, salt(1)), Seal(r, salt(2)); bytes.Equal(a.Leaf, b.Leaf) {
		t.Error("two salts give one commitment")
	}
}

func anyRecord(t *rapid.T) Record {
	ms := rapid.Custom(func(t *rapid.T) time.Time { return instant(rapid.Int64Range(0, 1<<43).Draw(t, "ms")) })
	texts := rapid.Custom(func(t *rapid.T) []string {
		if l := rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "texts"); len(l) > 0 {
			return l
		}
		return nil
	})
	r := Record{
		Kind: Kind(rapid.StringN(1, 20, -1).Draw(t, "kind")), Time: ms.Draw(t, "time"),
		Actor:   access.Principal{Issuer: rapid.String().Draw(t, "issuer"), Subject: rapid.String().Draw(t, "subject"), Display: rapid.String().Draw(t, "display")},
		Request: rapid.String().Draw(t, "request"), Grant: rapid.String().Draw(t, "grant"),
		Door:     firewall.Door{VM: firewall.VMID(rapid.String().Draw(t, "vm")), Protocol: firewall.Protocol(rapid.Uint8().Draw(t, "protocol")), Port: rapid.Uint16().Draw(t, "port")},
		Firewall: firewall.ID(rapid.String().Draw(t, "firewall")), Reason: rapid.String().Draw(t, "reason"),
		By: texts.Draw(t, "by"), Not: texts.Draw(t, "not"), Plan: texts.Draw(t, "plan"), Deadline: ms.Draw(t, "deadline"),
		Clocks: access.Reading{
			Wall: ms.Draw(t, "wall"), Boot: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "boot")) * time.Millisecond,
			BootID: rapid.String().Draw(t, "boot id"), Third: ms.Draw(t, "third"),
		},
		Level: Level(rapid.String().Draw(t, "level")), Text: rapid.String().Draw(t, "text"),
	}
	if rapid.Bool().Draw(t, "has caller") {
		r.Caller = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "caller")))
	}
	for range rapid.IntRange(0, 2).Draw(t, "sources") {
		r.Sources = append(r.Sources, netip.PrefixFrom(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4"))), rapid.IntRange(0, 32).Draw(t, "bits")))
	}
	for range rapid.IntRange(0, 2).Draw(t, "measures") {
		r.Measures = append(r.Measures, Measure{Name: rapid.String().Draw(t, "name"), Took: time.Duration(rapid.Int64().Draw(t, "took"))})
	}
	return r
}

func diff(want, got Record) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}))
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord(t)
		s := Seal(want, salt(1))
		got, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
		s.Salt, s.Personal = nil, nil
		if got, err = s.Open(); err != nil {
			t.Fatal(err)
		}
		want.Actor, want.Caller, want.Sources, want.Reason = access.Principal{}, netip.Addr{}, nil, ""
		want.By, want.Not, want.Plan, want.Text = nil, nil, nil, ""
		if d := diff(want, got); d != "" {
			t.Fatalf("erased (-want +got):\n%s", d)
		}
	})
}

func TestBrokenTextIsMended(t *testing.T) {
	r := full()
	r.Reason, r.Grant, r.By = "a\xffb", "\xc3", []string{"\xed\xa0\x80"}
	got, err := Seal(r, salt(1)).Open()
	if err != nil {
		t.Fatal(err)
	}
	r.Reason, r.Grant, r.By = "a\uFFFDb", "\uFFFD", []string{"\uFFFD"}
	if d := diff(r, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestOtherTextsOfARecordAreRefused(t *testing.T) {
	good := Seal(full(), salt(1))
	for name, change := range map[string]func(s *Sealed){
		"blank":           func(s *Sealed) { s.Leaf = bytes.Replace(s.Leaf, []byte(`,"time"`), []byte(`, "time"`), 1) },
		"case":            func(s *Sealed) { s.Leaf = bytes.Replace(s.Leaf, []byte(`"time"`), []byte(`"Time"`), 1) },
		"unknown member":  func(s *Sealed) { s.Leaf = bytes.Replace(s.Leaf, []byte(`"v":1,`), []byte(`"v":1,"x":1,`), 1) },
		"repeated member": func(s *Sealed) { s.Leaf = bytes.Replace(s.Leaf, []byte(`"v":1,`), []byte(`"v":1,"v":1,`), 1) },
		"other spelling": func(s *Sealed) {
			s.Leaf = bytes.Replace(s.Leaf, []byte(`grant.closed`), []byte(`grant\u002eclosed`), 1)
		},
		"number":     func(s *Sealed) { s.Leaf = bytes.Replace(s.Leaf, []byte(`:22,`), []byte(`:2.2e1,`), 1) },
		"trailing":   func(s *Sealed) { s.Leaf = append(slices.Clone(s.Leaf), ' ') },
		"version":    func(s *Sealed) { s.Leaf = bytes.Replace(s.Leaf, []byte(`"v":1`), []byte(`"v":2`), 1) },
		"nothing":    func(s *Sealed) { s.Leaf = nil },
		"null":       func(s *Sealed) { s.Leaf = []byte("null") },
		"personal":   func(s *Sealed) { s.Personal = bytes.Replace(s.Personal, []byte("alice"), []byte("malle"), 1) },
		"salt":       func(s *Sealed) { s.Salt = salt(2) },
		"short salt": func(s *Sealed) { s.Salt = s.Salt[:15] },
	} {
		s := Sealed{Index: 0, Leaf: slices.Clone(good.Leaf), Salt: good.Salt, Personal: slices.Clone(good.Personal)}
		change(&s)
		if _, err := s.Open(); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

// root is the definition of RFC 6962, word by word.
func root(leaves [][]byte) tlog.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		left, right := root(leaves[:k]), root(leaves[k:])
		return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
	}
}

// testLog is a log in memory.
type testLog struct {
	edge           Edge
	hashes         []tlog.Hash
	sealed         []Sealed
	leaves         [][]byte
	secret, public string
}

func newLog(tb testing.TB) *testLog {
	tb.Helper()
	secret, public, err := NewKey(rand.NewChaCha8([32]byte{}), origin)
	if err != nil {
		tb.Fatal(err)
	}
	return &testLog{secret: secret, public: public}
}

func (l *testLog) add(tb testing.TB, r Record) {
	tb.Helper()
	s := Seal(r, salt(len(l.sealed)))
	s.Index = l.edge.Size()
	hashes, err := l.edge.Append(s.Hash())
	if err != nil {
		tb.Fatal(err)
	}
	l.hashes, l.sealed, l.leaves = append(l.hashes, hashes...), append(l.sealed, s), append(l.leaves, s.Leaf)
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = l.hashes[index]
	}
	return out, nil
}

func (l *testLog) checkpoint(size int) Checkpoint {
	return Checkpoint{Origin: origin, Size: int64(size), Root: root(l.leaves[:size])}
}

func (l *testLog) signed(tb testing.TB, size int) []byte {
	tb.Helper()
	signed, err := l.checkpoint(size).Sign(l.secret)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

func TestTreeIsThatOfRFC6962(t *testing.T) {
	l := newLog(t)
	for n := range 130 {
		if got, err := l.edge.Root(); err != nil || got != root(l.leaves) || l.edge.Size() != int64(n) {
			t.Fatalf("%d leaves: root %v, %v; want %v", n, got, err, root(l.leaves))
		}
		if int64(len(l.hashes)) != tlog.StoredHashCount(int64(n)) {
			t.Fatalf("%d leaves: %d hashes", n, len(l.hashes))
		}
		again, err := EdgeOf(int64(n), l)
		if again.Size() != l.edge.Size() || err != nil {
			t.Fatalf("%d leaves: edge read back: %v", n, err)
		}
		if got, err := again.Root(); err != nil || got != root(l.leaves) {
			t.Fatalf("%d leaves: root of the edge read back: %v, %v", n, got, err)
		}
		l.edge = again
		l.add(t, full())
	}
}

func TestAppendOnly(t *testing.T) {
	l := newLog(t)
	const n = 40
	for range n {
		l.add(t, full())
	}
	for size := 1; size <= n; size++ {
		for old := range size + 1 {
			older, newer := l.checkpoint(old), l.checkpoint(size)
			proof, err := ProveAppendOnly(older, newer, l)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckAppendOnly(proof, older, newer); err != nil {
				t.Fatalf("from %d to %d: %v", old, size, err)
			}
			older.Root[3] ^= 1
			if CheckAppendOnly(proof, older, newer) == nil {
				t.Fatalf("from %d to %d: the proof fits another root", old, size)
			}
		}
		if CheckAppendOnly(nil, l.checkpoint(size), l.checkpoint(size-1)) == nil {
			t.Fatalf("a log went back from %d", size)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	l := newLog(t)
	l.add(t, full())
	c := l.checkpoint(1)
	signed := l.signed(t, 1)
	if got, err := OpenCheckpoint(signed, l.public); err != nil || got != c {
		t.Fatalf("%v, %v", got, err)
	}
	if want := origin + "\n1\n"; !strings.HasPrefix(c.Text(), want) {
		t.Errorf("%q does not begin with %q", c.Text(), want)
	}
	for i := range signed {
		for _, bit := range []byte{1, 2, 0x20} {
			bad := slices.Clone(signed)
			bad[i] ^= bit
			if got, err := OpenCheckpoint(bad, l.public); err == nil {
				t.Fatalf("byte %d changed to %q: accepted as %v", i, bad[i], got)
			}
		}
	}
	_, other, err := NewKey(rand.NewChaCha8([32]byte{1}), origin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(signed, other); err == nil {
		t.Error("another key verifies it")
	}
	c.Origin = "somebody.else"
	if _, err := c.Sign(l.secret); err == nil {
		t.Error("the key signs for another log")
	}
	for _, text := range []string{
		"", "a\n1\n", "a\n01\n" + c.Text()[len("somebody.else\n1\n"):], "a\n-1\n" + strings.Repeat("A", 43) + "=\n",
		"a\n+1\n" + strings.Repeat("A", 43) + "=\n", "a\n1\n" + strings.Repeat("A", 42) + "B=\n",
		"a\n9223372036854775807\n" + strings.Repeat("A", 43) + "=\n", "\n1\n" + strings.Repeat("A", 43) + "=\n",
		"a\n1\n" + strings.Repeat("A", 43) + "=\nextension\n", "a\n1\n" + strings.Repeat("A", 43) + "=",
	} {
		if got, err := ParseCheckpoint(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestMentions(t *testing.T) {
	r := full()
	for _, text := range []string{"", "ALICE", "203.0.113.7", "host://web-1:22/tcp", "disk is \"full\"", "bob may not", "as asked", "g-0000000000000001", "Refused"} {
		if !r.Mentions(text) {
			t.Errorf("it does not mention %q", text)
		}
	}
	for _, text := range []string{"carol", "203.0.113.8", "personal", "\n"} {
		if (Record{Kind: Started}).Mentions(text) && text != "\n" {
			t.Errorf("an empty record mentions %q", text)
		}
		if text != "\n" && r.Mentions(text) {
			t.Errorf("it mentions %q", text)
		}
	}
}
