package requester

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
)

func (a commands) vmsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "vms [VM]",
		Short: "The machines that you may see, and their just-in-time ports",
		Example: `  sesame vms
  sesame vms web-1
  sesame vms -o json`,
		Args: console.Takes(0, 1, "nothing, or one VM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Requester)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if err := console.CheckVM(args[0]); err != nil {
					return err
				}
				vm, err := c.VM(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.Show(vm, func() error { return a.printVM(vm) })
			}
			vms, err := c.VMs(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(api.PageOf(vms, ""), func() error { return a.printVMs(vms) })
		},
	}
}

// printVMs writes one row for each door, and one for each VM without any. Where
// there are VMs of a cloud it says of each where that is.
func (a commands) printVMs(vms []api.VM) error {
	clouds := slices.ContainsFunc(vms, func(vm api.VM) bool { return vm.Account != "" })
	vms = slices.Clone(vms)
	slices.SortStableFunc(vms, func(a, b api.VM) int { // ids of clouds are in no order for people
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Name, b.Name))
	})
	var rows [][]string
	for _, vm := range vms {
		first := []string{vm.Name}
		if clouds {
			first = append(first, output.Dash(vm.Cloud), output.Dash(vm.Account), output.Dash(vm.Place))
		}
		first = append(first, strings.Join(vm.Addresses, " "))
		for _, d := range vm.Doors {
			rows = append(rows, append(slices.Clone(first),
				console.PortName(api.Port{Port: d.Port, Protocol: d.Protocol}), doorState(d),
				fmt.Sprint(d.Grants), output.Dash(d.Max), policyOf(d),
			))
		}
		if len(vm.Doors) == 0 {
			rows = append(rows, append(first, "-", "not just-in-time", "-", "-", "-"))
		}
	}
	heads := []string{"VM", "ADDRESSES", "PORT", "STATE", "OPEN", "MAX", "POLICY"}
	if clouds {
		heads = slices.Insert(heads, 1, "CLOUD", "ACCOUNT", "PLACE")
	}
	return output.WriteTable(a.Out, "There is no VM that you may see.", heads, rows)
}

func policyOf(d api.DoorState) string {
	if d.Policy == "" && d.Locked {
		return "none (orphan lock)"
	}
	return cmp.Or(d.Policy, "none")
}

// doorState says how a just-in-time port stands, the worst first.
func doorState(d api.DoorState) string {
	switch {
	case d.Exposed != "":
		return "EXPOSED: " + d.Exposed
	case d.Failing != "":
		return "unknown: " + d.Failing
	case !d.Locked && len(d.Obstacles) > 0:
		return "not locked by this server: " + d.Obstacles[0]
	case !d.Locked:
		return "locking"
	case d.Unproven != "":
		return "locked, path unverified: " + d.Unproven
	case len(d.Obstacles) > 0:
		return "locked, obstructed: " + d.Obstacles[0]
	}
	return "locked"
}

func (a commands) printVM(vm api.VM) error {
	rows := [][]string{
		{"VM", vm.Name},
		{"id", vm.ID},
	}
	if vm.Account != "" {
		rows = append(rows, []string{"where", vm.Cloud + " " + vm.Account + " " + vm.Place})
	}
	if vm.State != "" || vm.System != "" {
		rows = append(rows, []string{"machine", strings.Trim(vm.System+", "+vm.State, ", ")})
	}
	rows = append(rows,
		[]string{"addresses", output.Dash(strings.Join(vm.Addresses, " "))},
		[]string{"firewalls", output.Dash(strings.Join(vm.Firewalls, " "))},
	)
	for _, why := range vm.Missing {
		rows = append(rows, []string{"missing", why})
	}
	for _, d := range vm.Doors {
		text := doorState(d)
		switch {
		case d.Grants == 1:
			text += ", open for one grant"
		case d.Grants > 1:
			text += fmt.Sprintf(", open for %d grants", d.Grants)
		}
		if len(d.Exempt) > 0 {
			text += ", exempt: " + strings.Join(d.Exempt, " ")
		}
		rows = append(rows, []string{"port " + console.PortName(api.Port{Port: d.Port, Protocol: d.Protocol}), text})
	}
	return a.Pairs(rows)
}
