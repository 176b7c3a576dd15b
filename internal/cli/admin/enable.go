package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	cut, cutGiven          bool
	console.Consent
}

func (a commands) enableCommand() *cobra.Command {
	var e enabling
	cmd := &cobra.Command{
		Use:   "enable VM...",
		Short: "Make ports just-in-time: closed, and opened for who asks",
		Long: `Enable locks ports of VMs, and lets people with the role ask for them. It shows
first what would be written and who loses access, and asks for your consent.

What it makes is a policy, called like the VM unless --name says otherwise. A
policy of that name that exists already is added to, and a port that it has is
set anew. ` + "`sesame policy apply`" + ` takes a whole policy from a file.`,
		Example: `  sesame enable web-1
  sesame enable web-1 --port 22 --port 3389 --max 1h --source 198.51.100.0/24
  sesame enable web-1 web-2 --name web-ssh --exempt 198.51.100.4 --dry-run`,
		Args: console.Takes(1, policy.MaxVMs, "at least one VM, such as web-1"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.cutGiven = cmd.Flags().Changed("cut")
			return a.enable(cmd.Context(), args, e)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&e.ports, "port", "p", []string{"22"}, "a port, such as 22 or 53/udp; may be given again")
	f.StringVar(&e.longest, "max", "", "the longest that somebody may ask for (3h)")
	f.StringArrayVar(&e.sources, "source", nil, "where requests may come from, as an address or prefix; anywhere if left out; may be given again")
	f.StringArrayVar(&e.exempt, "exempt", nil, "who is let in without asking, as an address or prefix; may be given again")
	f.BoolVar(&e.cut, "cut", false, "end established connections with their grant")
	f.StringVar(&e.name, "name", "", "the name of the policy")
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
	c, _, err := a.Client(authz.Admin)
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
	p, err := merged(ctx, c, added, e.cutGiven)
	if err != nil {
		return err
	}
	return a.putPolicy(ctx, c, p, e.Consent)
}

// policy returns what the flags say as a policy, without name and VMs.
func (e enabling) policy() (policy.Policy, error) {
	none := policy.Policy{}
	ports, err := console.ParsePorts(e.ports)
	if err != nil {
		return none, err
	}
	p := policy.Policy{Name: "", Version: 0, VMs: nil, Ports: nil, Exempt: nil, Cut: e.cut}
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
// it.
func merged(ctx context.Context, c *client.Client, added policy.Policy, cutGiven bool) (policy.Policy, error) {
	saved, err := c.Policy(ctx, added.Name)
	if errkind.Of(err) == errkind.NotFound {
		p := added.WithDefaults()
		return p, policy.Validate(p)
	}
	if err != nil {
		return policy.Policy{}, err
	}
	p, err := saved.Policy.Domain()
	if err != nil {
		return policy.Policy{}, err
	}
	p.VMs = union(p.VMs, added.VMs)
	p.Exempt = union(p.Exempt, added.Exempt)
	for _, x := range added.Ports {
		p.Ports = append(slices.DeleteFunc(p.Ports, func(y policy.Port) bool {
			return x.Port == y.Port && x.Protocol == y.Protocol
		}), x)
	}
	if cutGiven {
		p.Cut = added.Cut
	}
	p = p.WithDefaults()
	return p, policy.Validate(p)
}

func union[T comparable](a, b []T) []T {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}

// putPolicy shows what saving p would do and, with consent, saves it.
func (a commands) putPolicy(ctx context.Context, c *client.Client, p policy.Policy, how console.Consent) error {
	if err := a.Possible(how); err != nil {
		return err
	}
	text := policy.Format(p)
	live := a.Live()
	defer live.Clear()
	live.Show("looking at what would change …")
	trial, err := c.PutPolicy(ctx, p.Name, text, true)
	if err != nil {
		return err
	}
	live.Clear()
	if how.DryRun {
		return a.Show(trial, func() error { return console.PrintPreview(a.Out, *trial.Preview) })
	}
	if !how.Yes {
		if err := console.PrintPreview(a.Err, *trial.Preview); err != nil {
			return err
		}
		if err := a.Ask("Lock these ports?"); err != nil {
			return err
		}
	}
	live.Show("locking …")
	saved, err := c.PutPolicy(ctx, p.Name, text, false)
	if err != nil {
		return err
	}
	unlocked, err := awaitLocked(ctx, c, p.Doors())
	if err != nil {
		return err
	}
	live.Clear()
	err = a.Show(saved, func() error {
		for _, d := range p.Doors() {
			fmt.Fprintf(a.Out, "%s is just-in-time now, by policy %s (version %d)\n", api.DoorOf(d), p.Name, saved.Version)
		}
		return nil
	})
	if err == nil && len(unlocked) > 0 {
		err = console.Hint(errkind.New(errkind.Unavailable, "the policy is saved, and %d of its %d ports were not read back locked yet, such as %s",
			len(unlocked), len(p.Doors()), api.DoorOf(unlocked[0])), "Sesame goes on trying; `sesame vms` shows how they stand")
	}
	return err
}

// awaitLocked returns when every door was read back locked, or patience ends,
// and then those that were not.
func awaitLocked(ctx context.Context, c *client.Client, doors []firewall.Door) ([]firewall.Door, error) {
	const patience, again = 20 * time.Second, 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		vms, err := c.VMs(ctx)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if err == nil {
			locked := map[firewall.Door]bool{}
			for _, vm := range vms {
				for _, d := range vm.Doors {
					if door, err := (api.Door{VM: vm.ID, Port: d.Port, Protocol: d.Protocol}).Domain(); err == nil {
						locked[door] = d.Locked
					}
				}
			}
			doors = slices.DeleteFunc(slices.Clone(doors), func(d firewall.Door) bool { return locked[d] })
		}
		if len(doors) == 0 || !console.Pause(ctx, again) {
			return doors, nil
		}
	}
}
