package requester

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
)

// printOpened says what is open, for whom, until when, and how to get in.
func (a commands) printOpened(req api.Request, vm api.VM, target connect.Target) error {
	for _, g := range req.Grants {
		fmt.Fprintf(a.Out, "%s is %s for %s until %s\n", g.Door, g.State, strings.Join(g.Sources, ", "), output.Until(g.Deadline.Time, console.Now()))
		fmt.Fprintf(a.Out, "  grant    %s\n", g.ID)
		if g.State == string(access.Scheduled) {
			fmt.Fprintf(a.Out, "  from     %s\n", console.Exact(g.Start.Time))
		}
		fmt.Fprintf(a.Out, "  until    %s\n", console.Exact(g.Deadline.Time))
		fmt.Fprintf(a.Out, "  connect  %s\n", output.Plain(connectCommand(g.Door, vm, g.Sources, sshConfig(a.Machine, target))))
	}
	return nil
}

// printWaiting says who has to agree before anything opens.
func (a commands) printWaiting(req api.Request) error {
	fmt.Fprintf(a.Out, "%s %s, until %s\n", doorNames(req.Doors), output.Plain(req.Approval.Why), output.Until(req.Approval.Lapses.Time, console.Now()))
	fmt.Fprintf(a.Out, "  request  %s\n", req.ID)
	fmt.Fprintf(a.Out, "  approve  sesame approve %s\n", req.ID)
	return nil
}

// sshConfig returns the path of the ssh configuration that knows the VMs; empty
// for the user's own.
func sshConfig(m connect.Machine, target connect.Target) string {
	if file := m.Getenv("SESAME_SSH_CONFIG"); file != "" || target.Demo == "" {
		return file
	}
	if file := filepath.Join(target.Demo, "ssh_config"); exists(file) {
		return file
	}
	return ""
}

// connectCommand returns what to type to get through the door.
func connectCommand(d api.Door, vm api.VM, sources []string, sshConfig string) string {
	if simulated(vm) {
		return "nothing is there: " + vm.Name + " is simulated"
	}
	host := hostFor(vm, sources)
	const ssh = 22
	if d.Port != ssh || d.Protocol != "tcp" {
		return fmt.Sprintf("%s, port %d/%s", host, d.Port, d.Protocol)
	}
	if sshConfig != "" && vm.Account == "" { // it knows hosts; a cloud's VMs have names that others may have
		if strings.Contains(host, ":") { // the name stands for the other family
			return "ssh -F " + sshConfig + " -o HostName=" + host + " " + vm.Name
		}
		return "ssh -F " + sshConfig + " " + vm.Name
	}
	return "ssh " + host
}

// simulated reports whether a firewall in memory stands in front of the VM, or a
// simulated cloud says so of it: there is none.
func simulated(vm api.VM) bool {
	return vm.Tags[simulatedTag] != "" || slices.ContainsFunc(vm.Firewalls, func(id string) bool { return strings.HasPrefix(id, "memory://") })
}

// simulatedTag is what a simulated cloud tags its VMs with.
const simulatedTag = "simulated-by"

// hostFor returns the address of the VM that sources reach: one of their own
// family, and a public one if there is and they are; its name where there is none.
func hostFor(vm api.VM, sources []string) string {
	for _, s := range sources {
		best := ""
		for _, a := range vm.Addresses {
			if strings.Contains(a, ":") != strings.Contains(s, ":") {
				continue
			}
			if best == "" || private(best) && !private(a) && !private(s) {
				best = a
			}
		}
		if best != "" {
			return best
		}
	}
	return vm.Name
}

// private reports whether an address, or a prefix, is of a private network.
func private(s string) bool {
	address, _, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(address)
	return err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast())
}

// stay says how long grants last, and how to end them now.
func stay(grants []api.Grant) string {
	var said []string
	for _, g := range grants {
		is := "stays " + g.State
		if g.State == string(access.Opening) {
			is = "is being opened all the same"
		}
		said = append(said, fmt.Sprintf("%s %s until %s, and `sesame close %s` closes it now", g.Door, is, output.Until(g.Deadline.Time, console.Now()), g.ID))
	}
	return strings.Join(said, "; ")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// awaitClosed counts down until every grant was read back closed. It looks at
// the server now and then, because a grant may be extended or closed early.
func (a commands) awaitClosed(ctx context.Context, c *client.Client, grants []api.Grant) error {
	live := a.Live()
	defer live.Clear()
	open := append([]api.Grant(nil), grants...)
	for looked := time.Now(); len(open) > 0; {
		g := open[0]
		live.Show(fmt.Sprintf("%s is %s, closes %s", g.Door, g.State, output.Until(g.Deadline.Time, console.Now())))
		if !console.Pause(ctx, pollEvery) {
			a.Stays("%s", stay(open))
			return console.ErrInterrupted
		}
		const lookEvery = 3 * time.Second
		if time.Since(looked) < lookEvery && time.Now().Before(g.Deadline.Time) {
			continue
		}
		looked = time.Now()
		is, err := c.Grant(ctx, g.ID)
		if err != nil {
			continue // the door closes by itself, whether or not we can watch
		}
		open[0] = is
		if is.State == string(access.Closed) {
			live.Clear()
			if a.Format == output.JSON {
				if err := output.WriteJSON(a.Out, is); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(a.Out, "%s was read back closed at %s\n", is.Door, output.Clock(is.Closed.Time, console.Now()))
			}
			open = open[1:]
		}
	}
	return nil
}
