package storetest

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

func listsAreFilteredAndPaged(t *testing.T, f fixture) {
	who := []access.Principal{alice(), bob()}
	for i := range 10 {
		c := asked(i, who[i%2], named("web-%d", i%3))
		c.Requests[0].Doors = append(c.Requests[0].Doors, ssh("zed"))
		if i >= 5 { // several of the same millisecond
			c.Grants[0].Created, c.Requests[0].Asked = now(), now()
		}
		f.save(t, c)
	}
	f.save(t, store.Change{Outcomes: []store.Outcome{{Grant: id(access.GrantPrefix, 4), Closed: now()}}})
	nothing := []firewall.VMID{}
	for _, c := range []struct {
		name   string
		filter store.GrantFilter
		want   []int
	}{
		{"all", store.GrantFilter{}, []int{4, 3, 2, 1, 9, 8, 7, 6, 5, 0}},
		{"a VM", store.GrantFilter{VMs: []firewall.VMID{"host://web-1"}}, []int{4, 1, 7}},
		{"no VM", store.GrantFilter{VMs: nothing}, nil},
		{"a principal", store.GrantFilter{Principal: bob()}, []int{3, 1, 9, 7, 5}},
		{"a request", store.GrantFilter{Request: id(access.RequestPrefix, 6)}, []int{6}},
		{"pending", store.GrantFilter{Which: store.Pending, Principal: alice()}, []int{2, 8, 6, 0}},
		{"done", store.GrantFilter{Which: store.Done}, []int{4}},
	} {
		for _, limit := range []int{0, 1, 2, 3} {
			c.filter.Page = store.Page{Limit: limit, Cursor: ""}
			var got []string
			for {
				grants, next, err := f.Grants(t.Context(), c.filter)
				must(t, err)
				for _, g := range grants {
					got = append(got, g.ID)
				}
				if c.filter.Cursor = next; next == "" {
					break
				}
			}
			equal(t, named(c.name+" by %d", limit), got, ids(access.GrantPrefix, c.want))
		}
	}
	if grants, next, err := f.Grants(t.Context(), store.GrantFilter{Page: store.Page{Limit: 10}}); err != nil || len(grants) != 10 || next != "" {
		t.Errorf("a page that holds everything: %d grants, then %q, %v", len(grants), next, err)
	}
	for _, c := range []struct {
		name   string
		filter store.RequestFilter
		want   []int
	}{
		{"all", store.RequestFilter{}, []int{4, 3, 2, 1, 9, 8, 7, 6, 5, 0}},
		{"a VM of each", store.RequestFilter{VMs: []firewall.VMID{"host://zed", "host://web-1"}, Principal: bob()}, []int{3, 1, 9, 7, 5}},
		{"a VM of some", store.RequestFilter{VMs: []firewall.VMID{"host://web-1"}}, []int{4, 1, 7}},
		{"no VM", store.RequestFilter{VMs: nothing}, nil},
	} {
		c.filter.Limit = 2
		var got []string
		for {
			requests, next, err := f.Requests(t.Context(), c.filter)
			must(t, err)
			for _, r := range requests {
				got = append(got, r.ID)
			}
			if c.filter.Cursor = next; next == "" {
				break
			}
		}
		equal(t, "requests: "+c.name, got, ids(access.RequestPrefix, c.want))
	}
}

func ids(prefix string, ns []int) (out []string) {
	for _, n := range ns {
		out = append(out, id(prefix, n))
	}
	return out
}

func forgedCursorsAreRefused(t *testing.T, f fixture) {
	for i := range 3 {
		f.save(t, asked(i, alice(), "web-1"))
	}
	_, good, err := f.Grants(t.Context(), store.GrantFilter{Page: store.Page{Limit: 1}})
	must(t, err)
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, cursor := range []string{
		"x", good + "=", strings.ToUpper(good), "\x00", encode("grants"), encode("grants 1"),
		encode("grants 01 g"), encode("grants +1 g"), encode("grants 9223372036854775808 g"), encode("grants x g"),
		encode("activity 1 "), encode("requests 1 r"), strings.Repeat("A", 10000),
	} {
		_, _, err := f.Grants(t.Context(), store.GrantFilter{Page: store.Page{Cursor: cursor}})
		refused(t, "cursor "+cursor[:min(len(cursor), 40)], err, errkind.Invalid)
	}
	// A place that never was is still only a place.
	for _, cursor := range []string{good + "AA", encode("grants -1 g"), encode("grants 99999999999999 ' OR 1=1 --")} {
		_, _, err := f.Grants(t.Context(), store.GrantFilter{Principal: bob(), Page: store.Page{Cursor: cursor}})
		must(t, err)
	}
	for name, list := range map[string]func() error{
		"activity": func() error {
			_, _, err := f.Activity(t.Context(), store.ActivityFilter{Page: store.Page{Cursor: good}})
			return err
		},
		"requests": func() error {
			_, _, err := f.Requests(t.Context(), store.RequestFilter{Page: store.Page{Cursor: good}})
			return err
		},
	} {
		refused(t, "a cursor of grants for "+name, list(), errkind.Invalid)
	}
}

func erasureKeepsEveryProof(t *testing.T, f fixture) {
	done, live, other := asked(1, alice(), "web-1"), asked(2, alice(), "web-1"), asked(3, bob(), "web-1")
	for _, c := range []store.Change{done, live, other} {
		f.save(t, c)
	}
	g := done.Grants[0]
	bySystem := record(audit.Closed, g)
	bySystem.Actor = access.System()
	f.save(t, store.Change{Outcomes: []store.Outcome{{Grant: g.ID, Closed: now(), Records: []audit.Record{record(audit.Expired, g), bySystem}}}})
	_, earlier, public := f.bundle(t)
	erased := record(audit.Erased)
	erased.Actor = bob()
	f.save(t, store.Change{Erase: []store.Erasure{{Principal: alice(), Indexes: nil}}, Records: []audit.Record{erased}})

	entries := get(f.Tail(t.Context(), store.ActivityFilter{}, -1))(t)
	for _, e := range entries {
		about := e.Grant == g.ID || e.Grant == live.Grants[0].ID
		if e.Erased != about || e.Damaged != "" {
			t.Errorf("record %d (%s): erased %t, want %t; %s", e.Index, e.Kind, e.Erased, about, e.Damaged)
		}
		if e.Erased && (e.Actor != (access.Principal{}) || e.Sources != nil || e.Kind == "") {
			t.Errorf("record %d still says %+v", e.Index, e.Record)
		}
	}
	if found, _, err := f.Activity(t.Context(), store.ActivityFilter{Principal: alice()}); err != nil || len(found) != 0 {
		t.Errorf("erased records are found by whom they were about: %v, %v", found, err)
	}
	bundle, _, _ := f.bundle(t)
	if bytes.Contains(bundle, []byte("alice")) {
		t.Error("the bundle still names the one who was erased")
	}
	report, err := audit.Verify(bytes.NewReader(bundle), public, earlier)
	must(t, err)
	if report.Erased != 4 {
		t.Errorf("%d records erased, want 4", report.Erased)
	}
	// What is finished forgets; what is pending must still be closed.
	if old := get(f.Grant(t.Context(), g.ID))(t); old.Principal.Subject != "" || old.Reason != "" || old.Sources != nil {
		t.Errorf("the finished grant still says %+v", old)
	}
	if old := get(f.Request(t.Context(), g.Request))(t); old.Principal.Subject != "" || old.Reason != "" || old.Caller.IsValid() || !old.Decision.Allow {
		t.Errorf("the finished request says %+v", old)
	}
	equal(t, "pending", get(f.Pending(t.Context()))(t), []access.Grant{live.Grants[0], other.Grants[0]})

	f.save(t, store.Change{Erase: []store.Erasure{{Principal: access.Principal{}, Indexes: []int64{2, 99}}}})
	if e := get(f.Tail(t.Context(), store.ActivityFilter{}, 1))(t); !e[0].Erased || e[0].Grant != other.Grants[0].ID {
		t.Errorf("record 2 was not erased: %+v", e[0])
	}
	err = f.Save(t.Context(), store.Change{Erase: []store.Erasure{{Principal: access.System(), Indexes: nil}}, Records: []audit.Record{erased}})
	refused(t, "erasing the system", err, errkind.Invalid)
}
