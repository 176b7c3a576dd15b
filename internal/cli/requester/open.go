package requester

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

// An opening is what `open` was told.
type opening struct {
	ports, from          []string
	duration, at, reason string
	key                  string
	waitClosed           bool

	also          []string // further VMs
	until, ticket string
	glass         bool
}

func (a commands) openCommand() *cobra.Command {
	var o opening
	cmd := &cobra.Command{
		Use:     "open VM[:PORT]...",
		Aliases: []string{"request"},
		Short:   "Open a port for yourself, for a while",
		Long: `Open asks for ports of a VM and waits until they are read back open. Without
--port it asks for the VM's one just-in-time port, or for 22 if there are
several. Without --from it asks for the address that the server sees you come
from, without --for for the longest time that the policy allows.

Several VMs are granted together, or not at all. Where the policy wants approval,
the command says who has to agree and ends; the port opens when they have.
--break-glass waits for nobody: it is for those whom the policy names for
emergencies, takes a reason, and is looked at by somebody else afterwards.

The port closes by itself, also when this program, the server or your network
is gone. With -w the command stays until the port was read back closed.`,
		Example: `  sesame open web-1
  sesame open web-1:3389 --for 45m --reason "replace the disk"
  sesame open db-1 --port 22 --port 5432 --from 203.0.113.7
  sesame open web-1 --for 2m -w
  sesame open web-1 db-1:5432 --until 2030-01-31T18:00:00Z --ticket CHG-42
  sesame open db-1 --break-glass --reason "the login is down"`,
		Args: console.Takes(1, access.MaxDoors, "a VM, such as web-1"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.also = append(o.also, args[1:]...)
			return a.open(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.ports, "port", "p", nil, "a port, such as 22 or 53/udp; may be given again")
	f.StringVar(&o.duration, "for", "", "how long, such as 30m or 1h30m")
	f.StringArrayVar(&o.from, "from", nil, "an address or prefix that is let in; may be given again")
	f.StringVar(&o.at, "at", "", "when it begins, such as 2030-01-31T14:00:00Z; now if left out")
	f.StringVar(&o.reason, "reason", "", "what for; it goes into the audit log")
	f.StringArrayVar(&o.also, "vm", nil, "another VM[:PORT] to open with it; may be given again")
	f.StringVar(&o.until, "until", "", "when it ends, instead of --for, such as 2030-01-31T18:00:00Z")
	f.StringVar(&o.ticket, "ticket", "", "where else this is written down, such as CHG-42")
	f.BoolVar(&o.glass, "break-glass", false, "an emergency: wait for nobody's approval; somebody else looks at it afterwards")
	f.StringVar(&o.key, "idempotency-key", "", "makes it harmless to run the same command twice, for scripts")
	f.BoolVarP(&o.waitClosed, "wait-closed", "w", false, "stay until the port was read back closed")
	return cmd
}

// open asks, waits until the doors are open, and says how to get in.
func (a commands) open(ctx context.Context, door string, o opening) error {
	ask, err := o.ask(door)
	if err != nil {
		return err
	}
	c, target, err := a.Client(ctx, authz.Requester)
	if err != nil {
		return err
	}
	vm, err := c.VM(ctx, ask.VM)
	if err != nil {
		return err
	}
	if len(ask.Ports) == 0 {
		if ask.Ports, err = usualPort(vm); err != nil {
			return err
		}
	}
	for i, t := range ask.Also {
		if len(t.Ports) > 0 {
			continue
		}
		other, err := c.VM(ctx, t.VM)
		if err != nil {
			return err
		}
		if ask.Also[i].Ports, err = usualPort(other); err != nil {
			return err
		}
	}
	live := a.Live()
	defer live.Clear()
	names := make([]string, len(ask.Ports))
	for i, p := range ask.Ports {
		names[i] = vm.Name + ":" + console.PortName(p)
	}
	live.Show(strings.Join(names, ", ") + " asked")
	begin := time.Now()
	a.Stays("the request may have been granted; `sesame requests` shows it")
	req, err := c.Request(ctx, ask, o.key)
	if err != nil {
		return asTyped(err)
	}
	if req.Approval != nil && req.Approval.State == string(approval.Pending) {
		live.Clear()
		a.Stays("the request waits; `sesame cancel %s` takes it back", req.ID)
		return a.Show(req, func() error { return a.printWaiting(req) })
	}
	a.Stays("%s", stay(req.Grants))
	live.Then("granted")
	if err := awaitOpen(ctx, c, live, req.Grants); err != nil {
		return err
	}
	if unopened(req.Grants) == nil && len(req.Grants) > 0 {
		live.Then(fmt.Sprintf("open in %d ms, until %s", time.Since(begin).Milliseconds(), output.Until(req.Grants[0].Deadline.Time, console.Now())))
	}
	live.Done()
	err = a.Show(req, func() error { return a.printOpened(req, vm, target) })
	if err == nil {
		err = notOpen(req.Grants)
	}
	if err == nil && o.waitClosed {
		err = a.awaitClosed(ctx, c, req.Grants)
	}
	return err
}

// ask reads what was typed, before anything is sent.
func (o opening) ask(door string) (api.Ask, error) {
	vm, port := console.SplitDoor(door)
	if len(port) > 0 && len(o.ports) > 0 {
		return api.Ask{}, errkind.New(errkind.Invalid, "%s names a port, and --port does too; name it once", errkind.Quote(door))
	}
	if err := console.CheckVM(vm); err != nil {
		return api.Ask{}, err
	}
	ports, err := console.ParsePorts(slices.Concat(port, o.ports))
	if err != nil {
		return api.Ask{}, err
	}
	if err := console.CheckSources("--from", o.from); err != nil {
		return api.Ask{}, err
	}
	if o.duration != "" {
		if _, err := access.ParseDuration("--for", o.duration); err != nil {
			return api.Ask{}, err
		}
	}
	if o.at != "" {
		if _, err := access.ParseTime("--at", o.at, console.Now()); err != nil {
			return api.Ask{}, err
		}
	}
	if _, err := access.ParseReason("--reason", o.reason); err != nil {
		return api.Ask{}, err
	}
	ask := api.Ask{
		VM: vm, Ports: ports, Sources: o.from, Duration: o.duration, Start: o.at, Reason: o.reason,
		Until: o.until, Ticket: o.ticket, Glass: o.glass,
	}
	return ask, o.more(&ask)
}

// more reads what was typed about further VMs and about the end.
func (o opening) more(ask *api.Ask) error {
	if o.until != "" && o.duration != "" {
		return errkind.New(errkind.Invalid, "--for and --until both say when it ends; give one")
	}
	if o.until != "" {
		if _, err := access.ParseTime("--until", o.until, console.Now()); err != nil {
			return err
		}
	}
	if _, err := access.ParseReason("--ticket", o.ticket); err != nil {
		return err
	}
	for _, s := range o.also {
		name, port := console.SplitDoor(s)
		if err := console.CheckVM(name); err != nil {
			return err
		}
		ports, err := console.ParsePorts(port)
		if err != nil {
			return err
		}
		ask.Also = append(ask.Also, api.Target{VM: name, Ports: ports})
	}
	return nil
}

// asTyped says what the server finds wrong with a request in the words of the
// command line.
func asTyped(err error) error {
	field := errkind.FieldOf(err).Name
	name, _, _ := strings.Cut(field, "[")
	if flag, ok := map[string]string{"start": "--at", "duration": "--for", "sources": "--from", "reason": "--reason", "until": "--until", "ticket": "--ticket", "also": "--vm", "ports": "--port"}[name]; ok {
		return errkind.At(flag, err)
	}
	return err
}

// usualPort returns the port that is meant when none is named.
func usualPort(vm api.VM) ([]api.Port, error) {
	const ssh = 22
	for _, d := range vm.Doors {
		if len(vm.Doors) == 1 || d.Port == ssh && d.Protocol == "tcp" {
			return []api.Port{{Port: d.Port, Protocol: d.Protocol}}, nil
		}
	}
	if len(vm.Doors) == 0 {
		return nil, console.Hint(errkind.New(errkind.NotFound, "%s has no just-in-time port, so there is nothing to open", vm.Name),
			"an administrator runs `sesame enable %s --port 22`", vm.Name)
	}
	names := make([]string, len(vm.Doors))
	for i, d := range vm.Doors {
		names[i] = console.PortName(api.Port{Port: d.Port, Protocol: d.Protocol})
	}
	return nil, errkind.New(errkind.Invalid, "%s has several just-in-time ports; name one with --port: %s", vm.Name, strings.Join(names, ", "))
}

const (
	openPatience = 30 * time.Second
	toldPatience = 5 * time.Second
	pollEvery    = 500 * time.Millisecond
)

// awaitOpen looks again until no grant is about to be opened any more, or
// patience ends, which is soon once the book says what is in the way. It updates
// the grants. The end of the caller's life is an error.
func awaitOpen(life context.Context, c *client.Client, live *output.Live, grants []api.Grant) error {
	if unopened(grants) == nil {
		return nil
	}
	live.Then("opening …")
	ctx, cancel := context.WithTimeout(life, openPatience)
	defer cancel()
	var told time.Time
	for unopened(grants) != nil && console.Pause(ctx, pollEvery) {
		for i := range grants {
			g, err := c.Grant(ctx, grants[i].ID)
			if err != nil {
				return err
			}
			grants[i] = g
		}
		switch g := unopened(grants); {
		case g == nil || g.Pending == "":
			told = time.Time{}
		case told.IsZero():
			told = time.Now()
		case time.Since(told) > toldPatience:
			return life.Err()
		}
	}
	return life.Err()
}

// unopened returns a grant that should be open and is not; nil if there is none.
func unopened(grants []api.Grant) *api.Grant {
	i := slices.IndexFunc(grants, func(g api.Grant) bool { return g.State == string(access.Opening) })
	if i < 0 {
		return nil
	}
	return &grants[i]
}

// notOpen is the error that a grant is not open although it should be.
func notOpen(grants []api.Grant) error {
	g := unopened(grants)
	if g == nil {
		return nil
	}
	why := g.Pending
	if why == "" {
		why = "the firewall has not shown it yet"
	}
	return console.Hint(errkind.New(errkind.Unavailable, "%s is granted and not open yet: %s", g.Door, why),
		"Sesame goes on trying until the grant ends; `sesame requests` shows how it stands, `sesame close %s` gives it up", g.ID)
}
