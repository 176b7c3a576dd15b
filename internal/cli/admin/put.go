package admin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// putPolicy shows what saving p would do, with consent saves it, and waits until
// its doors were read back locked. Nothing is called locked before that.
func (a commands) putPolicy(ctx context.Context, c *client.Client, p policy.Policy, how terms) error {
	if err := a.Possible(how.Consent); err != nil {
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
		return a.Show(trial, func() error {
			printChanges(a.Out, p.Name, trial.Changes)
			return console.PrintPreview(a.Out, *trial.Preview)
		})
	}
	if a.Format != output.JSON || !how.Yes {
		printChanges(a.Err, p.Name, trial.Changes)
	}
	question := "Lock these ports?"
	if len(trial.Preview.Losses) > 0 {
		question = "Lock these ports, and lose what is listed?"
	}
	if err := cmp.Or(probed(*trial.Preview), how.enough(*trial.Preview)); err != nil {
		return err
	}
	if err := a.consent(ctx, *trial.Preview, how.Consent, question); err != nil {
		return err
	}
	a.Stays("policy %s may have been saved; `sesame policy show %s` shows it", p.Name, p.Name)
	live.Show("locking …")
	saved, err := putAgreed(ctx, c, p.Name, text, trial.Preview.Agree)
	if err != nil {
		return err
	}
	a.Stays("policy %s is saved (version %d), and Sesame goes on locking; `sesame vms` shows how the ports stand", p.Name, saved.Version)
	unlocked, err := awaitLocked(ctx, c, p.Doors())
	if err != nil {
		return err
	}
	live.Clear()
	if len(unlocked) > 0 {
		return notLocked(p.Name, saved.Version, unlocked)
	}
	return a.Show(saved, func() error {
		for _, d := range p.Doors() {
			fmt.Fprintf(a.Out, "%s is just-in-time now, by policy %s (version %d)\n", api.DoorOf(d), p.Name, saved.Version)
		}
		return nil
	})
}

// putAgreed saves a policy, with agree for the losses that were shown, if any were.
func putAgreed(ctx context.Context, c *client.Client, name string, text []byte, agree string) (api.PolicyChange, error) {
	if agree == "" {
		return c.PutPolicy(ctx, name, text, false)
	}
	return c.AgreePolicy(ctx, name, text, agree)
}

// terms are how a policy may be put into force.
type terms struct {
	console.Consent

	losses bool // may come with it, as they are shown
}

// enough fails where something would be lost and only the rest was agreed to.
func (t terms) enough(p api.Preview) error {
	if len(p.Losses) == 0 || !t.Yes || t.losses {
		return nil
	}
	said := make([]string, len(p.Losses))
	for i, l := range p.Losses {
		said[i] = console.Named(p, output.Plain(l.Text))
	}
	return console.Hint(errkind.New(errkind.Conflict, "these locks would take away more than their own ports: %s; nothing was changed", strings.Join(said, "; ")),
		"say --accept-losses with --yes to agree to that; it is kept with the locks and recorded")
}

// probed fails where a load balancer would take a VM for dead.
func probed(p api.Preview) error {
	var said, flags []string
	for _, x := range p.Proposed {
		if x.Kind == "probe" {
			said = append(said, fmt.Sprintf("the probe %s of a load balancer asks %s from %s", output.Plain(x.Name), console.Named(p, firewall.VMID(x.VM).Name()), strings.Join(x.From, ", ")))
			flags = append(flags, "--exempt "+strings.Join(x.From, " --exempt "))
		}
	}
	if len(said) == 0 {
		return nil
	}
	return console.Hint(errkind.New(errkind.Conflict, "%s, and would take it for dead; nothing was changed", strings.Join(said, "; ")),
		"exempt it with %s, or everything that is proposed with --exempt-proposed; in a file, under exempt", strings.Join(flags, " "))
}

// printChanges says what is different from the policy in force.
func printChanges(w io.Writer, name string, changes []string) {
	if len(changes) == 0 {
		return
	}
	fmt.Fprintf(w, "Policy %s would change:\n", name)
	for _, line := range changes {
		fmt.Fprintf(w, "  %s\n", output.Plain(line))
	}
}

// consent shows what would be done and asks for it. Who has agreed beforehand
// is still told who gets in by it and who does not any more.
func (a commands) consent(ctx context.Context, p api.Preview, how console.Consent, question string) error {
	if !how.Yes {
		if err := console.PrintPreview(a.Err, p); err != nil {
			return err
		}
		return a.Ask(ctx, question)
	}
	if a.Format == output.JSON {
		return nil
	}
	return console.PrintReach(a.Err, p)
}

// An unlocked is a door that was not read back locked, and why as far as it is
// known.
type unlocked struct {
	door firewall.Door
	why  string
}

// notLocked is the error that a policy is saved and not all of its doors are
// locked.
func notLocked(name string, version int64, doors []unlocked) error {
	said := make([]string, len(doors))
	for i, u := range doors {
		said[i] = fmt.Sprintf("%s is not locked yet: %s", api.DoorOf(u.door), output.Plain(u.why))
	}
	return console.Hint(errkind.New(errkind.Unavailable, "policy %s is saved (version %d), but %s", name, version, strings.Join(said, "; ")),
		"Sesame goes on trying; `sesame vms` shows how they stand")
}

// awaitLocked returns when every door was read back locked, or patience ends,
// and then those that were not. The end of the caller's life is an error.
func awaitLocked(life context.Context, c *client.Client, doors []firewall.Door) ([]unlocked, error) {
	const patience, again = 20 * time.Second, 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(life, patience)
	defer cancel()
	var left []unlocked
	for _, d := range doors {
		left = append(left, unlocked{d, "the server did not say how it stands"})
	}
	for {
		vms, err := c.VMs(ctx)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if err == nil {
			left = stillUnlocked(vms, doors)
		}
		if len(left) == 0 {
			return nil, nil
		}
		if !console.Pause(ctx, again) {
			return left, life.Err()
		}
	}
}

// stillUnlocked returns the doors that were not read back locked.
func stillUnlocked(vms []api.VM, doors []firewall.Door) []unlocked {
	var left []unlocked
	for _, d := range doors {
		u := unlocked{d, "the server does not show the VM"}
		for _, vm := range vms {
			if vm.ID != string(d.VM) {
				continue
			}
			u.why = "the server does not show the lock"
			i := slices.IndexFunc(vm.Doors, func(x api.DoorState) bool {
				return uint16(x.Port) == d.Port && x.Protocol == d.Protocol.String()
			})
			if i >= 0 {
				u.why = whyUnlocked(vm, vm.Doors[i])
			}
		}
		if u.why != "" {
			left = append(left, u)
		}
	}
	return left
}

// whyUnlocked says why a door was not read back locked; empty when it was.
func whyUnlocked(vm api.VM, d api.DoorState) string {
	var why []string
	switch {
	case d.Locked:
		return ""
	case d.Failing != "":
		why = append(why, d.Failing)
	}
	why = append(why, d.Obstacles...)
	if d.Exposed != "" {
		why = append(why, "exposed: "+d.Exposed)
	}
	for _, m := range vm.Missing {
		why = append(why, "cannot be read: "+m)
	}
	if len(why) == 0 {
		return "the firewall has not shown it"
	}
	return strings.Join(why, ", ")
}
