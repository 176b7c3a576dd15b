package fleet_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

const account = "111122223333"

func empty() *world.World {
	q, _ := world.Quotas{}.Filled()
	return world.New("eu-central-1", q, 1, 0)
}

func built(t *testing.T, n int, seed uint64) *world.World {
	t.Helper()
	w := empty()
	if err := fleet.Build(w, account, n, seed); err != nil {
		t.Fatal(err)
	}
	return w
}

// describe tells a world's groups and instances apart.
func describe(w *world.World) string {
	var b strings.Builder
	for g := range w.Groups.All(time.Time{}) {
		b.WriteString(g.ID + " " + g.Name + "\n" + g.Document())
	}
	for n := range w.Interfaces.All(time.Time{}) {
		b.WriteString(n.ID + " " + n.Instance + " " + n.Private[0].Addr.String() + " " + strings.Join(n.Groups, " ") + "\n")
	}
	return b.String()
}

func TestTheSameSeedMakesTheSameFleet(t *testing.T) {
	if diff := cmp.Diff(describe(built(t, 100, 7)), describe(built(t, 100, 7))); diff != "" {
		t.Error(diff)
	}
	if describe(built(t, 100, 7)) == describe(built(t, 100, 8)) {
		t.Error("another seed makes the same fleet")
	}
}

// A fleet is what the API would have let people make, and has the rules that make
// trouble.
func TestFleet(t *testing.T) {
	w := built(t, 500, 1)
	m := world.At(time.Time{})
	found := map[string]bool{}
	wearers := map[string]int{}
	addresses := map[netip.Addr]bool{}
	n := 0
	for i := range w.Instances.All(m.Now) {
		n++
		found["second leg"] = found["second leg"] || len(i.Interfaces) > 1
		found[i.State], found[i.Platform] = true, true
		for _, id := range i.Interfaces {
			if x, _ := w.Interfaces.Get(m.Now, id); x.Instance != i.ID {
				t.Errorf("%s is not of %s", id, i.ID)
			}
		}
	}
	for x := range w.Interfaces.All(m.Now) {
		s, _ := w.Subnets.Get(m.Now, x.Subnet)
		for _, a := range x.Private {
			if !s.CIDR.Contains(a.Addr) || addresses[a.Addr] || a.Public.IsValid() && (!s.Public || addresses[a.Public]) {
				t.Errorf("%s has %+v in %s", x.ID, a, s.CIDR)
			}
			addresses[a.Addr], addresses[a.Public] = true, true
		}
		found["IPv6"] = found["IPv6"] || len(x.IPv6) > 0
		found["two addresses"] = found["two addresses"] || len(x.Private) > 1
		for _, g := range x.Groups {
			wearers[g]++
		}
		if err := w.SetGroups(m, account, x.ID, x.Groups); err != nil {
			t.Errorf("%s: %v", x.ID, err)
		}
	}
	for g := range w.Groups.All(m.Now) {
		found["shared"] = found["shared"] || wearers[g.ID] > 10
		again, err := w.CreateGroup(m, account, g.VPC, "again "+g.ID, g.Description, nil)
		if err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
		for _, r := range g.Rules {
			found["itself"] = found["itself"] || r.Group == g.ID && r.Protocol == "-1"
			found["range"] = found["range"] || r.Protocol == "tcp" && r.First < 22 && r.Last > 22
			found["reference"] = found["reference"] || r.Group != "" && r.Group != g.ID
			found["peer"] = found["peer"] || r.Peering != ""
			found["list"] = found["list"] || r.List != ""
			found["IPv6 rule"] = found["IPv6 rule"] || r.CIDR.IsValid() && r.CIDR.Addr().Is6()
			if r.Egress && r.Protocol == "-1" {
				continue // every group has it
			}
			spec := world.Spec{Protocol: r.Protocol, First: &r.First, Last: &r.Last, List: r.List, Group: r.Group, Description: r.Description}
			switch {
			case !r.CIDR.IsValid():
			case r.CIDR.Addr().Is4():
				spec.CIDR = r.CIDR.String()
			default:
				spec.CIDR6 = r.CIDR.String()
			}
			made, err := w.Authorize(m, account, again.ID, r.Egress, []world.Spec{spec}, nil)
			if err != nil || made[0].Content() != r.Content() {
				t.Errorf("%s: %s: %v %v", g.Name, r.Content(), made, err)
			}
		}
	}
	for _, what := range []string{
		"second leg", "running", "stopped", "windows", "IPv6", "two addresses", "shared",
		"itself", "range", "reference", "peer", "list", "IPv6 rule",
	} {
		if !found[what] {
			t.Errorf("nothing with %q among 500 instances", what)
		}
	}
	if n != 500 {
		t.Errorf("%d instances", n)
	}
	if err := fleet.Build(empty(), account, fleet.Most+1, 1); err == nil {
		t.Error("there is not that much room")
	}
}

func TestBuilder(t *testing.T) {
	w := empty()
	b := fleet.NewBuilder(w, account)
	v := b.VPC("main", "10.0.0.0/16")
	b.Routes(v.ID, true, "10.0.0.0/16", "local", "0.0.0.0/0", b.Gateway(v.ID))
	s := b.Subnet(v.ID, "a", "10.0.1.0/24", "", true)
	bastion := b.Group(v.ID, "bastion", "x", "tcp 22 0.0.0.0/0")
	g := b.Group(v.ID, "web", "x", "tcp 20:25 @bastion # why", "icmp 8:-1 10.0.0.0/8", "-1 @default")
	i := b.Instance("web-1", world.Instance{}, fleet.Leg{Subnet: s, Groups: []string{g}, Public: true})
	got, _ := w.Groups.Get(time.Time{}, g)
	var member string
	for x := range w.Groups.All(time.Time{}) {
		if x.Name == "default" {
			member = x.ID
		}
	}
	want := []string{
		"egress -1 -1:-1 0.0.0.0/0", "ingress -1 -1:-1 " + account + "/" + member, "ingress icmp 8:-1 10.0.0.0/8",
		"ingress tcp 20:25 " + account + "/" + bastion + " # why", "",
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), got.Document()); diff != "" {
		t.Error(diff)
	}
	n, _ := w.Interfaces.Get(time.Time{}, i.Interfaces[0])
	if n.Private[0].Addr.String() != "10.0.1.4" || !n.Private[0].Public.IsValid() || !slices.Equal(n.Groups, []string{g}) {
		t.Errorf("%+v", n)
	}
}
