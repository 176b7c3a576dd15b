package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// story fills a log with the lives of n grants.
func (l *testLog) story(tb testing.TB, n int) {
	tb.Helper()
	for i := range n {
		r := full()
		r.Grant = fmt.Sprintf("g-%016d", i)
		start := int64(1774747800000 + i*1000)
		r.Deadline = instantOf(start + 3600_000)
		for _, step := range []struct {
			kind Kind
			at   int64
		}{{Requested, start}, {Opened, start + 3}, {Expired, start + 3600_000}, {Closed, start + 3600_000 + int64(i)}} {
			r.Kind, r.Time = step.kind, instantOf(step.at)
			l.add(tb, r)
		}
	}
}

// bundle writes the log with checkpoints of the given sizes and of its end.
func (l *testLog) bundle(tb testing.TB, sizes ...int) []byte {
	tb.Helper()
	h := Header{Origin: origin, Key: l.public, Checkpoints: nil}
	for _, size := range append(sizes, len(l.sealed)) {
		h.Checkpoints = append(h.Checkpoints, string(l.signed(tb, size)))
	}
	var b bytes.Buffer
	w, err := NewBundleWriter(&b, h)
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range l.sealed {
		if err := w.Write(s); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestVerify(t *testing.T) {
	l := newLog(t)
	l.story(t, 10)
	l.sealed[5].Salt, l.sealed[5].Personal = nil, nil
	got, err := Verify(bytes.NewReader(l.bundle(t, 1, 20, 20, 33)), l.public, l.signed(t, 0), l.signed(t, 7), l.signed(t, 40))
	if err != nil {
		t.Fatal(err)
	}
	want := Report{
		Head: l.checkpoint(40), Checkpoints: 5, Earlier: 3, Personal: 39, Erased: 1,
		History: History{Granted: 10, Opened: 10, Closed: 10, MaxLate: 9 * time.Millisecond, Latest: "g-0000000000000009"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	empty := newLog(t)
	if _, err := Verify(bytes.NewReader(empty.bundle(t)), empty.public, empty.signed(t, 0)); err != nil {
		t.Errorf("an empty log: %v", err)
	}
}

// fault runs Verify and returns where it says the log is bad.
func fault(t *testing.T, bundle []byte, public string, earlier ...[]byte) (first, last int64) {
	t.Helper()
	_, err := Verify(bytes.NewReader(bundle), public, earlier...)
	f, ok := errors.AsType[*BundleError](err)
	if !ok {
		t.Fatalf("error %v is not a fault", err)
	}
	return f.Index, f.Last
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	l := newLog(t)
	l.story(t, 10)
	good := l.bundle(t, 8, 20)
	lines := bytes.SplitAfter(good, []byte("\n"))
	lines = lines[:len(lines)-1]
	join := func(lines ...[][]byte) []byte { return bytes.Join(slices.Concat(lines...), nil) }
	// forge replaces record i by another one, with a hash that fits.
	forge := func(i int, change func(r *Record)) []byte {
		r, err := l.sealed[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		s := Seal(r, salt(999))
		s.Index = int64(i)
		return join(lines[:i+1], [][]byte{lineOf(s)}, lines[i+2:])
	}
	more := Seal(full(), salt(999))
	more.Index = 40
	const i = 12
	for _, c := range []struct {
		name        string
		bundle      []byte
		first, last int64
	}{
		{"changed", bytes.Replace(good, []byte(`"grant":"g-0000000000000003"`), []byte(`"grant":"g-0000000000000004"`), 1), i, i},
		{"deleted", join(lines[:i+1], lines[i+2:]), i, i},
		{"inserted", join(lines[:i+1], lines[5:6], lines[i+1:]), i, i},
		{"repeated", join(lines[:i+2], lines[i+1:]), i + 1, i + 1},
		{"swapped", join(lines[:i+1], lines[i+2:i+3], lines[i+1:i+2], lines[i+3:]), i, i},
		{"cut off", join(lines[:i+1]), i, i},
		{"cut off in a line", good[:len(good)-1], 39, 39},
		{"another at the end", join(lines, lines[40:]), 40, 40},
		{"one more", join(lines, [][]byte{lineOf(more)}), 40, 40},
		{"rewritten", forge(i, func(r *Record) { r.Deadline = r.Deadline.Add(time.Hour) }), 8, 19},
		{"somebody else", bytes.Replace(good, []byte(`"subject":"alice"`), []byte(`"subject":"malle"`), 1), 0, 0},
		{"no checkpoints", join([][]byte{[]byte(`{"v":1,"format":"sesame audit bundle","origin":"` + origin + `","key":"` + l.public + `","checkpoints":null}` + "\n")}, lines[1:]), -1, -1},
	} {
		if first, last := fault(t, c.bundle, l.public); first != c.first || last != c.last {
			t.Errorf("%s: records %d to %d, want %d to %d", c.name, first, last, c.first, c.last)
		}
	}
	if first, _ := fault(t, good, newLogWith(t, 7).public); first != -1 {
		t.Errorf("another key: record %d", first)
	}
}

// Nobody is accused over a file that is none of ours.
func TestVerifyKnowsWhatIsNoBundle(t *testing.T) {
	l := newLog(t)
	l.story(t, 1)
	good := l.bundle(t)
	_, records, _ := bytes.Cut(good, []byte("\n"))
	for name, text := range map[string][]byte{
		"empty":          nil,
		"an empty line":  []byte("\n"),
		"a text":         []byte("hello\n"),
		"no line end":    []byte("hello"),
		"zeros":          make([]byte, mostLine+1),
		"no header":      records,
		"a later format": bytes.Replace(good, []byte(`"v":1`), []byte(`"v":2`), 1),
	} {
		_, err := Verify(bytes.NewReader(text), l.public)
		if _, accuses := errors.AsType[*BundleError](err); accuses || !errors.Is(err, ErrNoBundle) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func newLogWith(t *testing.T, seed byte) *testLog {
	t.Helper()
	l := newLog(t)
	var err error
	if l.secret, l.public, err = NewKey(rand.NewChaCha8([32]byte{seed}), origin); err != nil {
		t.Fatal(err)
	}
	return l
}

// A bundle that is cut short, with the checkpoint of its new end put behind the
// one of its old end, would vouch for itself otherwise.
func TestCheckpointsAscend(t *testing.T) {
	l := newLog(t)
	l.story(t, 10)
	short := newLog(t)
	short.story(t, 5)
	var b bytes.Buffer
	w, err := NewBundleWriter(&b, Header{Origin: origin, Key: l.public, Checkpoints: []string{string(l.signed(t, 40)), string(l.signed(t, 20))}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range short.sealed {
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if first, _ := fault(t, b.Bytes(), l.public); first != -1 {
		t.Errorf("the fault is at record %d", first)
	}
}

// Whoever holds the key can write a log that verifies by itself; a checkpoint
// kept elsewhere shows it.
func TestEarlierCheckpointsShowRewrites(t *testing.T) {
	l := newLog(t)
	l.story(t, 10)
	kept := l.signed(t, 30)
	rewritten := newLog(t)
	rewritten.story(t, 5)
	r := full()
	r.Kind = Started
	for len(rewritten.sealed) < 40 {
		rewritten.add(t, r)
	}
	if _, err := Verify(bytes.NewReader(rewritten.bundle(t)), l.public); err != nil {
		t.Fatalf("the rewritten log is not even well made: %v", err)
	}
	if first, last := fault(t, rewritten.bundle(t), l.public, kept); first != 0 || last != 29 {
		t.Errorf("rewritten: records %d to %d", first, last)
	}
	if first, last := fault(t, rewritten.bundle(t), l.public, l.signed(t, 20), kept); first != 20 || last != 29 {
		t.Errorf("rewritten behind a checkpoint: records %d to %d", first, last)
	}
	rolledBack := newLog(t)
	rolledBack.story(t, 5)
	_, err := Verify(bytes.NewReader(rolledBack.bundle(t)), l.public, kept)
	if err == nil || !strings.Contains(err.Error(), "went back") {
		t.Errorf("rolled back: %v", err)
	}
	if _, err := Verify(bytes.NewReader(l.bundle(t)), l.public, []byte("no checkpoint")); err == nil {
		t.Error("a checkpoint that is none was passed over")
	}
}

func TestHistoryMustMakeSense(t *testing.T) {
	at := func(kind Kind, grant string, ms, deadline int64) Record {
		return Record{Kind: kind, Grant: grant, Time: instantOf(ms), Deadline: instant(deadline)}
	}
	measured := func(r Record, name string) Record {
		r.Measures = []Measure{{Name: name, Took: time.Second}}
		return r
	}
	for _, c := range []struct {
		name    string
		records []Record
		bad     int64 // −1 for none
		want    History
	}{
		{"opened without a request", []Record{at(Requested, "g-1", 1, 9), at(Opened, "g-2", 2, 9)}, 1, History{}},
		{"opened before its request", []Record{at(Opened, "g-1", 1, 9), at(Requested, "g-1", 2, 9)}, 0, History{}},
		{"closed without an end", []Record{at(Requested, "g-1", 1, 9), at(Opened, "g-1", 2, 9), at(Closed, "g-1", 3, 9)}, 2, History{}},
		{"end of another", []Record{at(Requested, "g-1", 1, 9), at(Expired, "g-2", 2, 9), at(Closed, "g-1", 3, 9)}, 2, History{}},
		{"ongoing", []Record{at(Requested, "g-1", 1, 9), at(Requested, "g-2", 2, 9), at(Opened, "g-2", 3, 9)}, -1, History{Granted: 2, Opened: 1, Ongoing: 2}},
		{"closing", []Record{at(Requested, "g-1", 1, 9), at(Expired, "g-1", 9, 9), at(OverdueClosing, "g-1", 60009, 9)}, -1, History{Granted: 1, Closing: 1, Overdue: 1}},
		{"late by the last deadline", []Record{
			at(Requested, "g-1", 1, 1000), at(Opened, "g-1", 2, 1000), at(Extended, "g-1", 3, 2000), at(Expired, "g-1", 2100, 2000), at(Closed, "g-1", 2500, 2000),
		}, -1, History{Granted: 1, Opened: 1, Closed: 1, MaxLate: 500 * time.Millisecond, Latest: "g-1"}},
		{"late by its early end", []Record{
			at(Requested, "g-1", 1, 1000), at(Ended, "g-1", 200, 1000), at(Closed, "g-1", 250, 1000),
			at(Requested, "g-2", 1, 1000), at(Expired, "g-2", 1000, 1000), at(Closed, "g-2", 1010, 1000),
		}, -1, History{Granted: 2, Closed: 2, MaxLate: 50 * time.Millisecond, Latest: "g-1"}},
		{"closed early by the firewall", []Record{at(Requested, "g-1", 1, 1000), at(Expired, "g-1", 999, 1000), at(Closed, "g-1", 999, 1000)}, -1, History{Granted: 1, Closed: 1}},
		{"seen late, or never open", []Record{
			at(Requested, "g-1", 1, 1000), at(Expired, "g-1", 1000, 1000), measured(at(Closed, "g-1", 9000, 1000), EndToSeenClosed),
			at(Requested, "g-2", 1, 1000), at(Ended, "g-2", 200, 1000), measured(at(Closed, "g-2", 9000, 1000), EndBeforeItBegan),
			at(Requested, "g-3", 1, 1000), at(Expired, "g-3", 1000, 1000), measured(at(Closed, "g-3", 1010, 1000), EndToClosed),
		}, -1, History{Granted: 3, Closed: 3, MaxLate: 10 * time.Millisecond, Latest: "g-3"}},
		{"about no grant", []Record{at(Started, "", 1, 0), at(Closed, "", 2, 0)}, -1, History{}},
	} {
		l := newLog(t)
		for _, r := range c.records {
			l.add(t, r)
		}
		if c.bad >= 0 {
			if first, last := fault(t, l.bundle(t), l.public); first != c.bad || last != c.bad {
				t.Errorf("%s: record %d, want %d", c.name, first, c.bad)
			}
			continue
		}
		report, err := Verify(bytes.NewReader(l.bundle(t)), l.public)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, report.History); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestEveryMutationIsFound changes a bundle at random, ten thousand times.
func TestEveryMutationIsFound(t *testing.T) {
	l := newLog(t)
	l.story(t, 6)
	good := l.bundle(t, 5, 17)
	if _, err := Verify(bytes.NewReader(good), l.public); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	n := 10000
	if testing.Short() {
		n = 1000
	}
	for i := range n {
		bad := mutate(random, good)
		if bytes.Equal(bad, good) {
			continue
		}
		if report, err := Verify(bytes.NewReader(bad), l.public); err == nil {
			t.Fatalf("mutation %d was not found: %+v\n%s", i, report, bad)
		}
	}
}

func mutate(random *rand.Rand, good []byte) []byte {
	bad := slices.Clone(good)
	at := random.IntN(len(bad))
	lines := bytes.SplitAfter(bad, []byte("\n"))
	lines = lines[:len(lines)-1]
	a, b := random.IntN(len(lines)), random.IntN(len(lines))
	switch random.IntN(8) {
	case 0:
		bad[at] ^= 1 << random.IntN(8)
	case 1:
		bad[at] = byte(random.IntN(256))
	case 2:
		bad = slices.Delete(bad, at, min(len(bad), at+1+random.IntN(5)))
	case 3:
		bad = slices.Insert(bad, at, bad[random.IntN(len(bad))])
	case 4:
		bad = bad[:at]
	case 5: // a line less
		bad = bytes.Join(slices.Delete(lines, a, a+1), nil)
	case 6: // a line more
		bad = bytes.Join(slices.Insert(slices.Clone(lines), b, lines[a]), nil)
	case 7:
		lines[a], lines[b] = lines[b], lines[a]
		bad = bytes.Join(lines, nil)
	}
	return bad
}

// A bundle whose leaf hashes and roots all fit, but whose lines were put together
// from pieces, must not read differently from what was signed.
func TestLinesAreReadInOneWay(t *testing.T) {
	s := Seal(full(), salt(1))
	line := bytes.TrimSuffix(lineOf(s), []byte("\n"))
	got, hash, err := parseLine(line)
	if err != nil || hash != s.Hash() {
		t.Fatalf("%v", err)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s.Salt, s.Personal = nil, nil
	got, _, err = parseLine(bytes.TrimSuffix(lineOf(s), []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Errorf("erased (-want +got):\n%s", d)
	}
}

func FuzzOpen(f *testing.F) {
	s := Seal(full(), salt(1))
	f.Add(s.Leaf, s.Salt, s.Personal)
	f.Add([]byte(`{"v":1,"kind":"x","time":0,"personal":""}`), []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, leafText, salt, part []byte) {
		s := Sealed{Index: 0, Leaf: leafText, Salt: salt, Personal: part}
		r, err := s.Open()
		if err != nil {
			return
		}
		if len(salt) != SaltSize {
			salt = make([]byte, SaltSize)
		}
		again := Seal(r, salt)
		if s.Erased() {
			// Everything but the commitment must come back.
			cut := func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte(`"personal":`))] }
			if !bytes.Equal(cut(again.Leaf), cut(leafText)) {
				t.Fatalf("%q was read as %q", leafText, again.Leaf)
			}
			return
		}
		if !bytes.Equal(again.Leaf, leafText) || !bytes.Equal(again.Personal, part) {
			t.Fatalf("%q with %q was read as %q with %q", leafText, part, again.Leaf, again.Personal)
		}
	})
}

func FuzzVerify(f *testing.F) {
	l := newLog(f)
	l.story(f, 2)
	good := l.bundle(f, 3)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, bundle []byte) {
		if _, err := Verify(bytes.NewReader(bundle), l.public); err == nil {
			// Only two changes go unnoticed, and may: erased personal parts, and
			// checkpoints before the last one.
			checkErased(t, l, bundle)
		}
	})
}

func checkErased(t *testing.T, l *testLog, bundle []byte) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSuffix(bundle, []byte("\n")), []byte("\n"))[1:]
	if len(lines) != len(l.sealed) {
		t.Fatalf("a bundle with %d records verifies", len(lines))
	}
	for i, line := range lines {
		s, _, err := parseLine(line)
		if err != nil || !bytes.Equal(s.Leaf, l.sealed[i].Leaf) || !s.Erased() && !bytes.Equal(s.Personal, l.sealed[i].Personal) {
			t.Fatalf("record %d was changed to %q", i, line)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	l := newLog(b)
	l.story(b, 5000)
	bundle := l.bundle(b)
	b.SetBytes(int64(len(bundle)))
	b.ResetTimer()
	for range b.N {
		if _, err := Verify(bytes.NewReader(bundle), l.public); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(l.sealed))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkSeal(b *testing.B) {
	r, s := full(), salt(1)
	var e Edge
	for range b.N {
		if _, err := e.Append(Seal(r, s).Hash()); err != nil {
			b.Fatal(err)
		}
	}
}
