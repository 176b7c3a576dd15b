package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// An enabling is what `enable` was told.
type enabling struct {
	ports, sources, exempt []string
	longest, name          string
	cut, proof, proposed   bool
	given                  given
	terms
}

// given says which flags were given that hold for all of a policy.
type given struct{ cut, proof bool }

func (a commands) enableCommand() *cobra.Command {
	var e enabling
	cmd := &cobra.Command{
		Use:   "enable VM...",
		Short: "Make ports just-in-time: closed, and opened for who asks",
		Long: `Enable locks ports of VMs, and lets people with the role ask for them. It shows
first what would be written and who loses access, and asks for your consent.

What it makes is a policy, called like the VM unless --name says otherwise. A
policy of that name that exists already is added to; of a port that it has,
--max and --source replace what it says, and what is not given stays. A policy is
the same for all of its VMs, and --exempt, --cut and --proof hold for all of
it, so whatever would change or lock a port that is not named is refused.

Where a firewall cannot deny, a lock takes rules out that also let in others.
What they lose is listed, and needs your consent to exactly that: the prompt's,
or with --yes also --accept-losses. Load balancers, Bastion hosts and the like
that use a port are listed with the flags that exempt them; while a probe is not
exempt, nothing is locked.

` + "`sesame policy apply`" + ` takes a whole policy from a file.`,
		Example: `  sesame enable web-1
  sesame enable web-1 --port 22 --port 3389 --max 1h --source 198.51.100.0/24
  sesame enable web-1 web-2 --name web-ssh --exempt 198.51.100.4 --dry-run`,
		Args: console.Takes(1, policy.MaxVMs, "at least one VM, such as web-1"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.given = given{cut: cmd.Flags().Changed("cut"), proof: cmd.Flags().Changed("proof")}
			return a.enable(cmd.Context(), args, e)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&e.ports, "port", "p", []string{"22"}, "a port, such as 22 or 53/udp; may be given again")
	f.StringVar(&e.longest, "max", "", "the longest that somebody may ask for; 3h for a new port")
	f.StringArrayVar(&e.sources, "source", nil, "where requests may come from, as an address or prefix; anywhere for a new port; may be given again")
	f.StringArrayVar(&e.exempt, "exempt", nil, "who is let in without asking, as an address or prefix; may be given again")
	f.BoolVar(&e.cut, "cut", false, "end established connections with their grant")
	f.BoolVar(&e.proof, "proof", false, "open only where it is proven that the grant comes through")
	f.StringVar(&e.name, "name", "", "the name of the policy")
	f.BoolVar(&e.proposed, "exempt-proposed", false, "let in without asking whoever the VMs' surroundings propose")
	f.BoolVar(&e.losses, "accept-losses", false, "agree to what is lost with the locks beyond their ports, as shown")
	e.Consent.Register(f)
	return cmd
}

func (a commands) enable(ctx context.Context, vms []string, e enabling) error {
	for _, vm := range vms {
		if err := console.CheckVM(vm); err != nil {
			return err
		}
	}
	added, err := e.policy()
	if err != nil {
		return err
	}
	if e.name == "" && len(vms) > 1 {
		return errkind.New(errkind.Invalid, "%d VMs make one policy, which needs a name; say --name NAME", len(vms))
	}
	if e.name != "" {
		if _, err := firewall.ParseName("--name", e.name); err != nil {
			return err
		}
	}
	c, _, err := a.Client(ctx, authz.Admin)
	if err != nil {
		return err
	}
	for _, s := range vms {
		vm, err := c.VM(ctx, s)
		if err != nil {
			return err
		}
		added.VMs = union(added.VMs, []firewall.VMID{firewall.VMID(vm.ID)})
		if e.name == "" {
			e.name = vm.Name
		}
	}
	added.Name = e.name
	p, err := merged(ctx, c, added, e.given)
	if err != nil {
		return err
	}
	if e.proposed {
		trial, err := c.PutPolicy(ctx, p.Name, policy.Format(p), true)
		if err != nil {
			return err
		}
		for _, x := range trial.Preview.Proposed {
			from, err := api.ParseSources("from", x.From)
			if err != nil {
				return err
			}
			added.Exempt = union(added.Exempt, from)
		}
		if p, err = merged(ctx, c, added, e.given); err != nil {
			return err
		}
	}
	return a.putPolicy(ctx, c, p, e.terms)
}

// policy returns what the flags say as a policy, without name and VMs.
func (e enabling) policy() (policy.Policy, error) {
	none := policy.Policy{}
	ports, err := console.ParsePorts(e.ports)
	if err != nil {
		return none, err
	}
	p := policy.Policy{Name: "", Version: 0, VMs: nil, Ports: nil, Exempt: nil, Cut: e.cut, Proof: e.proof}
	one := policy.Port{}
	if e.longest != "" {
		if one.Max, err = access.ParseDuration("--max", e.longest); err != nil {
			return none, err
		}
	}
	if one.Sources, err = api.ParseSources("--source", e.sources); err != nil {
		return none, err
	}
	if p.Exempt, err = api.ParseSources("--exempt", e.exempt); err != nil {
		return none, err
	}
	for _, x := range ports {
		one.Port, one.Protocol, err = x.Domain()
		if err != nil {
			return none, err
		}
		p.Ports = append(p.Ports, one)
	}
	return p, nil
}

// merged returns the policy as it is to be: what is there, with the new put over
// it. It has the version of what is there, so that nobody's change is lost.
func merged(ctx context.Context, c *client.Client, added policy.Policy, said given) (policy.Policy, error) {
	saved, err := c.Policy(ctx, added.Name)
	if errkind.Of(err) == errkind.NotFound {
		p := added.WithDefaults()
		return p, policy.Validate(p)
	}
	if err != nil {
		return policy.Policy{}, err
	}
	old, err := saved.Policy.Domain()
	if err != nil {
		return policy.Policy{}, err
	}
	p := over(old, added, said)
	if err := spills(old, p, added.Doors()); err != nil {
		return policy.Policy{}, err
	}
	return p, policy.Validate(p)
}

// over returns old with added put over it. Of a port that is there, what added
// does not say stays.
func over(old, added policy.Policy, said given) policy.Policy {
	p := old.WithDefaults() // a copy
	p.VMs = union(p.VMs, added.VMs)
	p.Exempt = union(p.Exempt, added.Exempt)
	for _, x := range added.Ports {
		i := slices.IndexFunc(p.Ports, func(y policy.Port) bool { return x.Port == y.Port && x.Protocol == y.Protocol })
		if i < 0 {
			p.Ports = append(p.Ports, x)
			continue
		}
		if x.Max != 0 {
			p.Ports[i].Max = x.Max
		}
		if len(x.Sources) > 0 {
			p.Ports[i].Sources = x.Sources
		}
	}
	if said.cut {
		p.Cut = added.Cut
	}
	if said.proof {
		p.Proof = added.Proof
	}
	return p.WithDefaults()
}

// spills refuses what would change more doors than were named: a port of a policy
// is the same for all of its VMs, and the rest holds for all of it.
func spills(old, next policy.Policy, named []firewall.Door) error {
	others := slices.DeleteFunc(union(old.Doors(), next.Doors()), func(d firewall.Door) bool {
		return slices.Contains(named, d) || sameFor(old, next, d)
	})
	if len(others) == 0 {
		return nil
	}
	slices.SortFunc(others, firewall.CompareDoors)
	because := "a port of policy " + old.Name + " is the same for all of its VMs"
	switch {
	case old.Cut != next.Cut:
		because = "--cut holds for all that policy " + old.Name + " covers"
	case old.Proof != next.Proof:
		because = "--proof holds for all that policy " + old.Name + " covers"
	case !slices.Equal(old.Exempt, next.Exempt):
		because = "--exempt holds for all that policy " + old.Name + " covers"
	}
	return console.Hint(errkind.New(errkind.Conflict, "%s, so it would also change %s, which %s not named; nothing was changed",
		because, doorNames(others), map[bool]string{true: "is", false: "are"}[len(others) == 1]),
		"for a policy of its own say --name OTHER; to change them all, name every VM and every --port of policy %s", old.Name)
}

// sameFor reports whether two policies say the same of a door.
func sameFor(a, b policy.Policy, d firewall.Door) bool {
	one := func(p policy.Policy) policy.Policy {
		x, covered := p.PortOf(d)
		if !covered {
			return policy.Policy{}
		}
		return policy.Policy{Name: "", Version: 0, VMs: nil, Ports: []policy.Port{x}, Exempt: p.Exempt, Cut: p.Cut, Proof: p.Proof}
	}
	return len(policy.Diff(one(a), one(b))) == 0
}

// doorNames writes doors as people read them, the first few by name.
func doorNames(doors []firewall.Door) string {
	const most = 4
	var names []string
	for _, d := range doors[:min(len(doors), most)] {
		names = append(names, api.DoorOf(d).String())
	}
	text := strings.Join(names, ", ")
	if n := len(doors) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func union[T comparable](a, b []T) []T {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}
