package aws_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// Two instances share a group, and one of them is locked: with the rights of the
// roles, over the API, and back.
func TestSplit(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 21, Roles: roles(t)})
	var doors []firewall.Door
	g.sim.Build(ec2.DefaultRegion, func(w *world.World) {
		b := fleet.NewBuilder(w, ec2.DefaultAccount)
		vpc := g.vpc[strings.LastIndex(string(g.vpc), "/")+1:]
		s := b.Subnet(string(vpc), "b", "10.0.16.0/20", "", true)
		shared := b.Group(string(vpc), "shared", "shared", "tcp 20:30 0.0.0.0/0 # everybody", "tcp 443 0.0.0.0/0")
		for _, name := range []string{"left", "right"} {
			x := b.Instance(name, world.Instance{}, fleet.Leg{Subnet: s, Groups: []string{shared}, Public: true})
			doors = append(doors, firewall.Door{VM: firewall.VMID(strings.Replace(string(g.vpc), "vpc/"+string(vpc), "instance/"+x.ID, 1)), Protocol: firewall.TCP, Port: 22})
		}
	})
	g.as(t, aws.Account{Reader: arnOfRole + "reader", Opener: arnOfRole + "opener", Closer: arnOfRole + "closer", Locker: arnOfRole + "locker"})
	before := g.sim.Document(ec2.DefaultRegion)
	g.provider.Network.Shared = securitygroup.Refuse
	if p, err := g.pass(t.Context(), locked(doors[0], 0), nil); err != nil || len(p.Refused) == 0 || !p.Empty() {
		t.Errorf("the owner does not want to be asked: %v\n%v", err, p)
	}
	g.provider.Network.Shared = securitygroup.Split
	p, err := g.pass(t.Context(), locked(doors[0], 1), nil)
	if err != nil || len(p.Refused) > 0 {
		t.Fatalf("%v\n%v", err, p)
	}
	stranger, granted := netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("203.0.113.0")
	other := doors[0]
	other.Port = 443
	for what, ok := range map[string]bool{
		"a stranger stays out":         !g.now().admits(doors[0], stranger),
		"who has a grant gets in":      g.now().admits(doors[0], granted),
		"the sibling notices nothing":  g.now().admits(doors[1], stranger),
		"other ports stay as they are": g.now().admits(other, stranger),
		"a second plan is empty": func() bool {
			s, err := g.provider.Observe(t.Context(), g.vpc, nil)
			again, errPlan := g.provider.Compile(s, locked(doors[0], 1), nil)
			return err == nil && errPlan == nil && !slices.ContainsFunc(again.Changes, func(c plan.Change) bool { return c.Opening.Until.IsZero() })
		}(),
	} {
		if !ok {
			t.Errorf("it is not so that %s:\n%v", what, p)
		}
	}
	if p, err := g.pass(t.Context(), nil, nil); err != nil {
		t.Fatalf("%v\n%v", err, p)
	}
	if after := g.sim.Document(ec2.DefaultRegion); after != before {
		t.Errorf("not what was:\n%swas\n%s", after, before)
	}
}
