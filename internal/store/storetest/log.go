package storetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// keys makes the keys of a log called test.example, the same every time.
func keys(t *testing.T) (secret, public string) {
	t.Helper()
	secret, public, err := audit.NewKey(bytes.NewReader(make([]byte, 64)), "test.example")
	must(t, err)
	return secret, public
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

func theLogIsATree(t *testing.T, f fixture) {
	equal(t, "empty root", get(f.Tree(t.Context()))(t), tlog.Tree{N: 0, Hash: root(nil)})
	const n = 100
	for _, err := range together(n, func(i int) error {
		c := asked(i, alice(), "web-1")
		c.Records = append(c.Records, record(audit.Opened, c.Grants[0]))
		return f.Save(t.Context(), c)
	}) {
		must(t, err)
	}
	sealed := get(f.Sealed(t.Context(), 0, 10*n))(t)
	if len(sealed) != 2*n {
		t.Fatalf("%d records, want %d", len(sealed), 2*n)
	}
	var leaves [][]byte
	for i, s := range sealed {
		if s.Index != int64(i) {
			t.Fatalf("record %d has index %d", i, s.Index)
		}
		leaves = append(leaves, s.Leaf)
	}
	for i := 0; i < len(sealed); i += 2 { // what is saved together stays together
		a, b := get(sealed[i].Open())(t), get(sealed[i+1].Open())(t)
		if a.Kind != audit.Requested || b.Kind != audit.Opened || a.Grant != b.Grant {
			t.Errorf("records %d and %d are %s of %s and %s of %s", i, i+1, a.Kind, a.Grant, b.Kind, b.Grant)
		}
	}
	tree := get(f.Tree(t.Context()))(t)
	equal(t, "root", tree, tlog.Tree{N: 2 * n, Hash: root(leaves)})
	equal(t, "part", get(f.Sealed(t.Context(), 7, 5))(t), sealed[7:12])

	head := audit.Checkpoint{Origin: "test.example", Size: tree.N, Root: tree.Hash}
	for _, size := range []int64{1, 64, 77, 2 * n} {
		older := audit.Checkpoint{Origin: "test.example", Size: size, Root: root(leaves[:size])}
		proof := get(audit.ProveAppendOnly(older, head, f.Hashes(t.Context())))(t)
		if err := audit.CheckAppendOnly(proof, older, head); err != nil {
			t.Errorf("proof from %d records on: %v", size, err)
		}
	}
}

func checkpointsAreOfThisLog(t *testing.T, f fixture) {
	secret, _ := keys(t)
	var want [][]byte
	checkpoint := func() audit.Checkpoint {
		tree := get(f.Tree(t.Context()))(t)
		return audit.Checkpoint{Origin: "test.example", Size: tree.N, Root: tree.Hash}
	}
	for i := range 12 {
		f.save(t, asked(i, alice(), "web-1"))
		if i == 10 {
			c := checkpoint()
			f.save(t, asked(100, alice(), "web-1"))
			must(t, f.SaveCheckpoint(t.Context(), c, get(c.Sign(secret))(t))) // of an older size
			must(t, f.SaveCheckpoint(t.Context(), c, get(c.Sign(secret))(t))) // twice
			want = append(want, get(c.Sign(secret))(t))
		}
	}
	c := checkpoint()
	must(t, f.SaveCheckpoint(t.Context(), c, get(c.Sign(secret))(t)))
	want = append(want, get(c.Sign(secret))(t))
	equal(t, "checkpoints", get(f.Checkpoints(t.Context()))(t), want)
	before := f.size(t)

	longer, wrong := c, c
	longer.Size++
	wrong.Root[0] ^= 1
	refused(t, "a checkpoint of a longer log", f.SaveCheckpoint(t.Context(), longer, []byte("x")), errkind.Conflict)
	refused(t, "a checkpoint of another log", f.SaveCheckpoint(t.Context(), wrong, []byte("x")), errkind.Conflict)
	equal(t, "checkpoints", get(f.Checkpoints(t.Context()))(t), want)
	if n := f.size(t); n != before {
		t.Errorf("checkpoints changed the log from %d to %d records", before, n)
	}
}

// bundle exports the whole log.
func (f fixture) bundle(t *testing.T) (bundle []byte, signed []byte, public string) {
	t.Helper()
	secret, public := keys(t)
	tree := get(f.Tree(t.Context()))(t)
	signed = get(audit.Checkpoint{Origin: "test.example", Size: tree.N, Root: tree.Hash}.Sign(secret))(t)
	var b bytes.Buffer
	w := get(audit.NewBundleWriter(&b, audit.Header{Origin: "test.example", Key: public, Checkpoints: []string{string(signed)}}))(t)
	for _, s := range get(f.Sealed(t.Context(), 0, int(tree.N)))(t) {
		must(t, w.Write(s))
	}
	must(t, w.Close())
	return b.Bytes(), signed, public
}

func theLogCanBeVerified(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, asked(1, alice(), "web-1"))
	f.save(t, store.Change{Outcomes: []store.Outcome{{Grant: g.ID, Opened: now(), Records: []audit.Record{record(audit.Opened, g)}}}})
	_, earlier, public := f.bundle(t)
	expired, closed := record(audit.Expired, g), record(audit.Closed, g)
	expired.Time, closed.Time = g.Deadline.Wall, g.Deadline.Wall.Add(1500*time.Millisecond)
	f.save(t, store.Change{Outcomes: []store.Outcome{{Grant: g.ID, Closed: closed.Time, Records: []audit.Record{expired, closed}}}})

	bundle, _, _ := f.bundle(t)
	report, err := audit.Verify(bytes.NewReader(bundle), public, earlier)
	must(t, err)
	equal(t, "history", report.History, audit.History{
		Granted: 1, Opened: 1, Closed: 1, Ongoing: 0, Closing: 0, Overdue: 0, MaxLate: 1500 * time.Millisecond, Latest: g.ID,
	})
	if report.Head.Size != f.size(t) || report.Personal != report.Head.Size {
		t.Errorf("report %+v", report)
	}
}

func activityIsFiltered(t *testing.T, f fixture) {
	a, b := asked(1, alice(), "web-1"), asked(2, bob(), "web-2")
	a.Records[0].Reason = `50% "off" <now> \o/ Ärger`
	f.save(t, a)
	f.save(t, b)
	byAlice := record(audit.Ended, b.Grants[0])
	byAlice.Actor, byAlice.Time = alice(), now().Add(time.Hour)
	f.save(t, store.Change{Records: []audit.Record{byAlice}})
	f.save(t, store.Change{Records: []audit.Record{record(audit.Started)}})
	vms := func(hosts ...string) []firewall.VMID {
		out := []firewall.VMID{}
		for _, h := range hosts {
			out = append(out, firewall.HostVM(h))
		}
		return out
	}
	for _, c := range []struct {
		name   string
		filter store.ActivityFilter
		want   []int64
	}{
		{"all", store.ActivityFilter{}, []int64{3, 2, 1, 0}},
		{"a VM", store.ActivityFilter{VMs: vms("web-1")}, []int64{0}},
		{"VMs", store.ActivityFilter{VMs: vms("web-2", "web-1", "web-3")}, []int64{2, 1, 0}},
		{"no VMs", store.ActivityFilter{VMs: vms()}, nil},
		{"did it, or whose grant it is", store.ActivityFilter{Principal: alice()}, []int64{2, 0}},
		{"whose grant it is", store.ActivityFilter{Principal: bob()}, []int64{2, 1}},
		{"somebody else", store.ActivityFilter{Principal: access.Principal{Issuer: "local", Subject: "0b-77", Display: ""}}, nil},
		{"kinds", store.ActivityFilter{Kinds: []audit.Kind{audit.Started, audit.Ended}}, []int64{3, 2}},
		{"grant", store.ActivityFilter{Grant: b.Grants[0].ID}, []int64{2, 1}},
		{"request", store.ActivityFilter{Request: a.Requests[0].ID}, []int64{0}},
		{"since", store.ActivityFilter{Since: now().Add(time.Hour)}, []int64{2}},
		{"until", store.ActivityFilter{Until: now().Add(time.Hour)}, []int64{3, 1, 0}},
		{"text", store.ActivityFilter{Text: "50% \"OFF\" <now>"}, []int64{0}},
		{"text with a backslash", store.ActivityFilter{Text: `\O/`}, []int64{0}},
		{"text with umlaut", store.ActivityFilter{Text: "ärger"}, []int64{0}},
		{"text with a wildcard", store.ActivityFilter{Text: "5_%"}, nil},
		{"text of a kind", store.ActivityFilter{Text: "STARTED"}, []int64{3}},
		{"text that only names a field", store.ActivityFilter{Text: "personal"}, nil},
		{"everything at once", store.ActivityFilter{
			VMs: vms("web-2"), Principal: alice(), Kinds: []audit.Kind{audit.Ended}, Grant: b.Grants[0].ID,
			Request: b.Requests[0].ID, Since: now(), Until: now().Add(2 * time.Hour), Text: "alice",
		}, []int64{2}},
	} {
		entries, next, err := f.Activity(t.Context(), c.filter)
		must(t, err)
		equal(t, c.name, indexes(entries), c.want)
		if next != "" {
			t.Errorf("%s: there is a next page", c.name)
		}
		tail := indexes(get(f.Tail(t.Context(), c.filter, -1))(t))
		slices.Reverse(tail)
		equal(t, c.name+", from the other end", tail, c.want)
	}
	entries, _, err := f.Activity(t.Context(), store.ActivityFilter{Grant: a.Grants[0].ID})
	must(t, err)
	equal(t, "record", entries, []store.Entry{{Index: 0, Record: a.Records[0], Erased: false, Damaged: ""}})
}

func indexes(entries []store.Entry) (out []int64) {
	for _, e := range entries {
		out = append(out, e.Index)
	}
	return out
}

func activityIsPaged(t *testing.T, f fixture) {
	for i := range 25 {
		f.save(t, asked(i, alice(), fmt.Sprintf("web-%d", i%2)))
	}
	for _, text := range []string{"", "web-1"} {
		filter := store.ActivityFilter{VMs: []firewall.VMID{"host://web-1"}, Text: text, Page: store.Page{Limit: 5}}
		var got []int64
		pages := 0
		for ; ; pages++ {
			entries, next, err := f.Activity(t.Context(), filter)
			must(t, err)
			got = append(got, indexes(entries)...)
			// What comes in between does not move the pages.
			f.save(t, asked(100+pages+10*len(text), alice(), "web-1"))
			if filter.Cursor = next; next == "" {
				break
			}
		}
		want := []int64{23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1}
		if text != "" {
			want = append([]int64{27, 26, 25}, want...)
		}
		equal(t, "pages of "+text, got, want)
	}
	for _, limit := range []int{-1, store.MaxLimit + 1} {
		_, _, err := f.Activity(t.Context(), store.ActivityFilter{Page: store.Page{Limit: limit}})
		refused(t, "a limit out of range", err, errkind.Invalid)
	}
}

func followersMissNothing(t *testing.T, f fixture) {
	const n = 300
	saved := make(chan []error, 1)
	go func() {
		saved <- together(n, func(i int) error { return f.Save(t.Context(), asked(i, alice(), "web-1")) })
	}()
	var got []int64
	for len(got) < n {
		changed := f.Changed()
		for {
			entries := get(f.Tail(t.Context(), store.ActivityFilter{Page: store.Page{Limit: 50}}, int64(len(got))-1))(t)
			got = append(got, indexes(entries)...)
			if len(entries) < 50 {
				break
			}
		}
		if len(got) == n {
			break
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("no news after %d of %d records", len(got), n)
		}
	}
	for i, index := range got {
		if index != int64(i) {
			t.Fatalf("record %d came as number %d", index, i)
		}
	}
	for _, err := range <-saved {
		must(t, err)
	}
	// Who looks for little does not look at the rest again.
	few := store.ActivityFilter{Grant: id(access.GrantPrefix, 7)}
	entries, seen, err := f.Next(t.Context(), few, -1)
	if err != nil || len(entries) != 1 || seen != entries[0].Index {
		t.Errorf("%d entries up to %d, %v", len(entries), seen, err)
	}
	for range 2 {
		entries, seen, err = f.Next(t.Context(), few, seen)
		if err != nil || len(entries) != 0 || seen != n-1 {
			t.Errorf("%d more entries up to %d, %v", len(entries), seen, err)
		}
	}
}

func hostileTextStaysText(t *testing.T, f fixture) {
	c := asked(1, alice(), "web-1")
	hostile := strings.Join([]string{"a\r\nb", "\x1b[31m", `"}{"kind":"x`, "\u2028", "<134>", "'; DROP TABLE records; --", "\x00", "\xff"}, "|")
	c.Records[0].Reason = hostile
	f.save(t, c)
	want := strings.ToValidUTF8(hostile, "\uFFFD")
	entries, _, err := f.Activity(t.Context(), store.ActivityFilter{Text: "drop table"})
	must(t, err)
	if len(entries) != 1 || entries[0].Reason != want || entries[0].Damaged != "" {
		t.Errorf("entries %+v", entries)
	}
	for _, s := range get(f.Sealed(t.Context(), 0, 10))(t) {
		if bytes.ContainsAny(slices.Concat(s.Leaf, s.Personal), "\r\n\x1b\u2028") {
			t.Errorf("a record is more than one line: %q", s.Personal)
		}
	}
}
