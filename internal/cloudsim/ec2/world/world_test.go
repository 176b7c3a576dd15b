package world_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

const account = "111122223333"

// three is a VPC with three groups, an interface and a small prefix list.
func three() (*world.World, []string) {
	w := world.New("eu-central-1", world.Quotas{RulesPerGroup: 4, GroupsPerInterface: 2, GroupsPerRegion: 10, EntriesPerACL: 3}, 1, 0)
	own := func(id string) world.Resource { return world.Resource{ID: id, Owner: account} }
	w.VPCs.Put(time.Time{}, world.VPC{Resource: own("vpc-00000001")})
	ids := []string{"sg-00000001", "sg-00000002", "sg-00000003"}
	for _, id := range ids {
		w.Groups.Put(time.Time{}, world.Group{Resource: own(id), VPC: "vpc-00000001", Name: "group " + id})
	}
	w.PrefixLists.Put(time.Time{}, world.PrefixList{Resource: own("pl-00000001"), MaxEntries: 2, IPv6: true})
	w.Interfaces.Put(time.Time{}, world.Interface{Resource: own("eni-00000001"), VPC: "vpc-00000001", Groups: ids[:1]})
	w.NetworkACLs.Put(time.Time{}, world.NetworkACL{Resource: own("acl-00000001"), VPC: "vpc-00000001"})
	return w, ids
}

func specs(groups []string) *rapid.Generator[world.Spec] {
	return rapid.Custom(func(t *rapid.T) world.Spec {
		s := world.Spec{
			Protocol:    rapid.SampledFrom([]string{"tcp", "6", "TCP", "udp", "-1", "icmp", "50"}).Draw(t, "protocol"),
			Description: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "description"),
		}
		first := rapid.IntRange(0, 2).Draw(t, "first")
		last := first + rapid.IntRange(-1, 1).Draw(t, "more")
		s.First, s.Last = &first, &last
		switch rapid.IntRange(0, 3).Draw(t, "source") {
		case 0:
			s.CIDR = rapid.SampledFrom([]string{"10.0.0.0/8", "10.1.0.0/8", "192.0.2.1/32", "192.0.2.1"}).Draw(t, "cidr")
		case 1:
			s.CIDR6 = rapid.SampledFrom([]string{"2001:db8::/32", "2001:db8:1::/32", "::/0"}).Draw(t, "cidr6")
		case 2:
			s.Group = rapid.SampledFrom(append(slices.Clone(groups), "sg-00000009")).Draw(t, "group")
		case 3:
			s.List = "pl-00000001"
		}
		return s
	})
}

// document prints all groups, with the ids of their rules.
func document(w *world.World) string {
	var out string
	for g := range w.Groups.All(time.Now()) {
		out += g.ID + "\n" + g.Document()
		for _, r := range g.Rules {
			out += r.ID + "\n"
		}
	}
	return out
}

// Whatever is called, what is refused has changed nothing, what is done fits the
// quotas, and no two rules of a group have the same content or the same id.
func TestRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, ids := three()
		m := world.At(time.Unix(1, 0))
		for range rapid.IntRange(1, 25).Draw(t, "calls") {
			id := rapid.SampledFrom(ids).Draw(t, "group")
			some := rapid.SliceOfN(specs(ids), 0, 3).Draw(t, "specs")
			egress := rapid.Bool().Draw(t, "egress")
			before := document(w)
			g, _ := w.Groups.Get(m.Now, id)
			var err error
			switch call := rapid.SampledFrom([]string{"authorize", "authorize", "authorize", "revoke", "byid", "modify", "describe", "undone"}).Draw(t, "call"); call {
			case "authorize", "undone":
				w.Past.Begin()
				var added []world.Rule
				added, err = w.Authorize(m, account, id, egress, some, world.Tags{"k": "v"})
				if err == nil && len(added) != len(some) {
					t.Fatalf("%d rules of %d", len(added), len(some))
				}
				if call == "undone" {
					w.Past.Undo()
					if after := document(w); after != before {
						t.Fatalf("undo left something:\n%s", cmp.Diff(before, after))
					}
				}
				if err == nil && call == "authorize" {
					now, _ := w.Groups.Get(m.Now, id)
					if _, _, err := w.Revoke(m, account, id, egress, some); err != nil {
						t.Fatalf("what was added cannot be revoked: %v", err)
					}
					if after := document(w); after != before {
						t.Fatalf("add and revoke:\n%s", cmp.Diff(before, after))
					}
					w.Groups.Put(m.Now, now)
				}
			case "revoke":
				var gone []world.Rule
				gone, _, err = w.Revoke(m, account, id, egress, some)
				now, _ := w.Groups.Get(m.Now, id)
				if err == nil && len(now.Rules)+len(gone) != len(g.Rules) {
					t.Fatalf("%d rules, %d gone, %d left", len(g.Rules), len(gone), len(now.Rules))
				}
			case "byid":
				if len(g.Rules) > 0 {
					r := rapid.SampledFrom(g.Rules).Draw(t, "rule")
					if _, err = w.RevokeByID(m, account, id, egress, []string{r.ID}); (err == nil) != (r.Egress == egress) {
						t.Fatalf("%+v %v: %v", r, egress, err)
					}
				}
			case "modify":
				var us []world.Update
				for _, s := range some {
					if len(g.Rules) > 0 {
						us = append(us, world.Update{Rule: rapid.SampledFrom(g.Rules).Draw(t, "rule").ID, Spec: s})
					}
				}
				err = w.ModifyRules(m, account, id, us)
			case "describe":
				err = w.DescribeRules(m, account, id, egress, some, nil)
			}
			if after := document(w); err != nil && after != before {
				t.Fatalf("refused with %v, and yet:\n%s", err, cmp.Diff(before, after))
			}
			sound(t, w)
		}
	})
}

// sound checks what always holds of groups.
func sound(t *rapid.T, w *world.World) {
	seen := map[string]bool{}
	for g := range w.Groups.All(time.Now()) {
		counts := map[string]int{}
		for _, r := range g.Rules {
			for _, key := range []string{r.ID, g.ID + r.Content()} {
				if seen[key] {
					t.Fatalf("%s: twice %s", g.ID, key)
				}
				seen[key] = true
			}
			if r.CIDR.IsValid() && r.CIDR != r.CIDR.Masked() {
				t.Fatalf("%s has host bits", r.CIDR)
			}
			switch {
			case r.Group != "":
				counts[fmt.Sprint(r.Egress, 4)]++
				counts[fmt.Sprint(r.Egress, 6)]++
			case r.List != "":
				counts[fmt.Sprint(r.Egress, 6)] += 2
			case r.CIDR.Addr().Is4():
				counts[fmt.Sprint(r.Egress, 4)]++
			default:
				counts[fmt.Sprint(r.Egress, 6)]++
			}
		}
		for column, n := range counts {
			if n > w.Quotas.RulesPerGroup {
				t.Fatalf("%s: %d rules in %s:\n%s", g.ID, n, column, g.Document())
			}
		}
	}
}

func TestEntriesStaySorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, _ := three()
		m := world.At(time.Unix(1, 0))
		type line struct {
			egress bool
			number int
		}
		want := map[line]world.Entry{}
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			e := world.Entry{
				Number: rapid.IntRange(0, 5).Draw(t, "number"), Egress: rapid.Bool().Draw(t, "egress"), Protocol: -1,
				CIDR: netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.0/8", "::/0"}).Draw(t, "cidr")),
			}
			l := line{e.Egress, e.Number}
			_, there := want[l]
			if rapid.Bool().Draw(t, "delete") {
				if err := w.DeleteEntry(m, account, "acl-00000001", e.Egress, e.Number); (err == nil) != there {
					t.Fatalf("delete %+v: %v", l, err)
				}
				delete(want, l)
			} else if err := w.PutEntry(m, account, "acl-00000001", e, there); err == nil {
				want[l] = e
			} else if !there && e.Number != 0 && len(want) < 3 {
				t.Fatalf("put %+v: %v", e, err)
			}
			a, _ := w.NetworkACLs.Get(m.Now, "acl-00000001")
			got := map[line]world.Entry{}
			counts := map[string]int{}
			for i, x := range a.Entries {
				got[line{x.Egress, x.Number}] = x
				if counts[fmt.Sprint(x.Egress, x.CIDR)]++; counts[fmt.Sprint(x.Egress, x.CIDR)] > 3 {
					t.Fatalf("too many: %+v", a.Entries)
				}
				if i > 0 && (a.Entries[i-1].Egress && !x.Egress || a.Entries[i-1].Egress == x.Egress && a.Entries[i-1].Number >= x.Number) {
					t.Fatalf("out of order: %+v", a.Entries)
				}
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestTags(t *testing.T) {
	w, ids := three()
	m := world.At(time.Unix(1, 0))
	rules, err := w.Authorize(m, account, ids[0], false, []world.Spec{{Protocol: "-1", CIDR: "10.0.0.0/8"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{ids[0], "eni-00000001", rules[0].ID}
	x, y := "x", "y"
	tag := func(ids []string, t world.Tags) error { return w.Tag(m, account, ids, t) }
	for _, step := range []struct {
		do   error
		want string
	}{
		{tag(all, world.Tags{"a": "1", "b": "x"}), ""},
		{tag(append(all, "sg-00000009"), world.Tags{"c": "1"}), "InvalidGroup.NotFound: The security group 'sg-00000009' does not exist"},
		{tag(all, world.Tags{"AWS:c": "1"}), "InvalidParameterValue: Tag keys starting with 'aws:' are reserved for internal use"},
		{w.Untag(m, account, all, map[string]*string{"a": nil, "b": &y}), ""},
		{w.Untag(m, account, all[:1], map[string]*string{"b": &x}), ""},
	} {
		got := ""
		if step.do != nil {
			got = step.do.Error()
		}
		if got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	var got []string
	for kind, r := range w.Tagged(m.Now, account) {
		got = append(got, fmt.Sprint(kind, " ", r.Tags))
	}
	if diff := cmp.Diff([]string{"network-interface map[b:x]", "security-group-rule map[b:x]"}, got); diff != "" {
		t.Error(diff)
	}
	many := world.Tags{}
	for i := range 50 {
		many[fmt.Sprint(i)] = ""
	}
	if err := tag(all[:1], many); err != nil {
		t.Error(err)
	}
	if err := tag(all[:1], world.Tags{"more": ""}); err == nil {
		t.Error("a resource has 50 tags at most")
	}
}

// References over a peering do not keep a group, those of its own VPC do.
func TestReferences(t *testing.T) {
	w, ids := three()
	m := world.At(time.Unix(1, 0))
	peer := func(status string) {
		w.Peerings.Put(m.Now, world.Peering{Resource: world.Resource{ID: "pcx-00000001", Owner: account}, Requester: "vpc-00000001", Accepter: "vpc-00000002", Status: status})
	}
	w.VPCs.Put(time.Time{}, world.VPC{Resource: world.Resource{ID: "vpc-00000002", Owner: "444455556666"}})
	w.Groups.Put(time.Time{}, world.Group{Resource: world.Resource{ID: "sg-00000004", Owner: "444455556666"}, VPC: "vpc-00000002"})
	refer := func(group, owner string) error {
		_, err := w.Authorize(m, account, ids[0], false, []world.Spec{{Protocol: "-1", Group: group, GroupOwner: owner}}, nil)
		return err
	}
	for _, step := range []struct {
		do func() error
		ok bool
	}{
		{func() error { return refer("sg-00000004", "444455556666") }, false},
		{func() error { peer("pending-acceptance"); return refer("sg-00000004", "444455556666") }, false},
		{func() error { peer("active"); return refer("sg-00000004", "") }, false},
		{func() error { return refer("sg-00000004", "444455556666") }, true},
		{func() error { return refer(ids[1], "") }, true},
		{func() error { return refer(ids[0], account) }, true},
		{func() error { return w.DeleteGroup(m, account, ids[1]) }, false},
		{func() error { return w.DeleteGroup(m, "444455556666", "sg-00000004") }, true},
		{func() error { return w.DeleteGroup(m, account, ids[2]) }, true},
		{func() error { return w.DeleteGroup(m, account, ids[0]) }, false}, // it is worn
		{func() error { return w.SetGroups(m, account, "eni-00000001", ids[1:2]) }, true},
		{func() error { return w.DeleteGroup(m, account, ids[0]) }, true}, // its reference to itself does not hold it
		{func() error { return w.DeleteGroup(m, account, ids[1]) }, false},
	} {
		if err := step.do(); (err == nil) != step.ok {
			t.Errorf("want %v, got %v; groups:\n%s", step.ok, err, document(w))
		}
	}
}

// What the API does not let people do to groups and interfaces.
func TestRefusals(t *testing.T) {
	w, ids := three()
	m := world.At(time.Unix(1, 0))
	own := func(id string) world.Resource { return world.Resource{ID: id, Owner: account} }
	w.VPCs.Put(time.Time{}, world.VPC{Resource: own("vpc-00000002")})
	w.Groups.Put(time.Time{}, world.Group{Resource: own("sg-00000005"), VPC: "vpc-00000002", Name: "default"})
	w.Interfaces.Put(time.Time{}, world.Interface{Resource: own("eni-00000002"), VPC: "vpc-00000001", Groups: ids[:1], Requester: "amazon-elb", Type: "network_load_balancer"})
	w.Instances.Put(time.Time{}, world.Instance{Resource: own("i-00000001"), Interfaces: []string{"eni-00000001", "eni-00000002"}})
	rules, err := w.Authorize(m, account, ids[0], false, []world.Spec{{Protocol: "-1", CIDR: "10.0.0.0/8"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	create := func(vpc, name string) error {
		_, err := w.CreateGroup(m, account, vpc, name, "x", nil)
		return err
	}
	twice := world.Update{Rule: rules[0].ID, Spec: world.Spec{Protocol: "-1", CIDR: "10.0.0.0/9"}}
	for _, tt := range []struct {
		what string
		err  error
		want string
	}{
		{"delete a default group", w.DeleteGroup(m, account, "sg-00000005"), "CannotDelete"},
		{"a name of another VPC", create("vpc-00000002", "group "+ids[1]), ""},
		{"a name of the same VPC", create("vpc-00000001", "group "+ids[1]), "InvalidGroup.Duplicate"},
		{"a rule twice in a call", w.ModifyRules(m, account, ids[0], []world.Update{twice, twice}), "InvalidParameterValue"},
		{"an interface that a service manages", w.SetGroups(m, account, "eni-00000002", ids[:1]), "OperationNotPermitted"},
		{"a group of another VPC", w.SetGroups(m, account, "eni-00000001", []string{"sg-00000005"}), "InvalidParameter"},
		{"an instance with two interfaces", w.SetInstanceGroups(m, account, "i-00000001", ids[:1]), "InvalidInstanceID"},
	} {
		got := ""
		if e, ok := errors.AsType[*world.Error](tt.err); ok {
			got = e.Code
		}
		if got != tt.want {
			t.Errorf("%s: %v, want %s", tt.what, tt.err, tt.want)
		}
	}
	for err = nil; err == nil; {
		err = create("vpc-00000001", fmt.Sprint("more ", w.ID("x")))
	}
	if e, ok := errors.AsType[*world.Error](err); !ok || e.Code != "SecurityGroupLimitExceeded" {
		t.Error(err)
	}
}

// Connections are remembered for as long as the type of the instance has it, or
// the interface.
func TestIdle(t *testing.T) {
	w, _ := three()
	m := world.At(time.Unix(1, 0))
	n, _ := w.Interfaces.Get(m.Now, "eni-00000001")
	n.Instance = "i-00000001"
	for _, tt := range []struct {
		kind  string
		set   int
		wants time.Duration
	}{{"m7i.large", 0, 5 * 24 * time.Hour}, {"m8i.large", 0, 350 * time.Second}, {"m8i.large", 120, 2 * time.Minute}} {
		w.Instances.Put(m.Now, world.Instance{Resource: world.Resource{ID: "i-00000001", Owner: account}, Type: tt.kind})
		w.Interfaces.Put(m.Now, n)
		if tt.set > 0 {
			if err := w.SetTracking(m, account, n.ID, world.Tracking{TCPEstablished: tt.set}); err != nil {
				t.Fatal(err)
			}
		}
		now, _ := w.Interfaces.Get(m.Now, n.ID)
		if got := w.Idle(m.Now, now); got != tt.wants {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
