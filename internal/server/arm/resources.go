package arm

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/api/arm/resource"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/server/arm/view"
)

// machines returns the VMs of Azure that the caller sees and the path is about,
// sorted.
func (f *Face) machines(ctx context.Context, c *call) (*view.View, []inventory.VM, error) {
	v, sees, err := f.seen(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	var out []inventory.VM
	for _, id := range slices.Sorted(maps.Keys(v.VMs)) {
		home := id.Home()
		sub, inSub := c.args["subscriptionId"]
		group, inGroup := c.args["resourceGroupName"]
		if sees.Sees(id) && (!inSub || strings.EqualFold(sub, home.Account)) && (!inGroup || strings.EqualFold(group, home.Place)) {
			out = append(out, v.VMs[id])
		}
	}
	return v, out, nil
}

// listed answers with a list of what one makes of every VM.
func (f *Face) listed(ctx context.Context, c *call, of func(x inventory.VM, at resource.Place) []resource.Resource) (answer, error) {
	v, vms, err := f.machines(ctx, c)
	if err != nil {
		return answer{}, err
	}
	out := arm.List[resource.Resource]{Value: []resource.Resource{}, NextLink: ""}
	seen := map[string]bool{}
	for _, x := range vms {
		for _, r := range of(x, resource.Place{ID: v.Spelled(x.ID), Region: v.Region(x.ID)}) {
			group, inGroup := c.args["resourceGroupName"]
			if key := strings.ToLower(r.ID); !seen[key] && (!inGroup || strings.EqualFold(group, view.GroupOf(r.ID))) {
				seen[key] = true
				out.Value = append(out.Value, r)
			}
		}
	}
	slices.SortFunc(out.Value, func(a, b resource.Resource) int { return cmp.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
	return ok(out), nil
}

// one answers with the one of a list that the path names.
func (f *Face) one(ctx context.Context, c *call, kind string, of func(x inventory.VM, at resource.Place) []resource.Resource) (answer, error) {
	group := c.args["resourceGroupName"]
	delete(c.args, "resourceGroupName") // what hangs on a VM may be in another group than it
	list, err := f.listed(ctx, c, of)
	if err != nil {
		return answer{}, err
	}
	if all, made := list.body.(arm.List[resource.Resource]); made {
		for _, r := range all.Value {
			if strings.EqualFold(view.GroupOf(r.ID), group) && strings.EqualFold(r.Name, c.args["name"]) {
				return ok(r), nil
			}
		}
	}
	return answer{}, refuse(http.StatusNotFound, "ResourceNotFound", "", "The Resource '%s/%s' under resource group '%s' was not found.", kind, c.args["name"], group)
}

func (f *Face) virtualMachines(ctx context.Context, c *call) (answer, error) {
	return f.listed(ctx, c, resource.Machine)
}

func (f *Face) virtualMachine(ctx context.Context, c *call) (answer, error) {
	return f.one(ctx, c, resource.MachineType, resource.Machine)
}

func (f *Face) networkInterfaces(ctx context.Context, c *call) (answer, error) {
	return f.listed(ctx, c, resource.Interfaces)
}

func (f *Face) networkInterface(ctx context.Context, c *call) (answer, error) {
	return f.one(ctx, c, resource.InterfaceType, resource.Interfaces)
}

func (f *Face) securityGroups(ctx context.Context, c *call) (answer, error) {
	return f.listed(ctx, c, resource.SecurityGroups)
}

func (f *Face) securityGroup(ctx context.Context, c *call) (answer, error) {
	return f.one(ctx, c, resource.GroupType, resource.SecurityGroups)
}

func (f *Face) instanceView(ctx context.Context, c *call) (answer, error) {
	if _, err := f.virtualMachine(ctx, c); err != nil {
		return answer{}, err
	}
	_, vms, err := f.machines(ctx, c)
	for _, x := range vms {
		if strings.EqualFold(x.ID.Name(), c.args["name"]) {
			return ok(resource.Statuses(x)), err
		}
	}
	return answer{}, err
}

// homes returns the subscriptions that the caller sees something in, sorted.
func (f *Face) homes(ctx context.Context, c *call) ([]string, error) {
	v, sees, err := f.seen(ctx, c)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	add := func(vm firewall.VMID) {
		if sees.Sees(vm) {
			found[vm.Home().Account] = true
		}
	}
	for vm := range v.VMs {
		add(vm)
	}
	for _, s := range v.Policies {
		for _, vm := range s.VMs {
			add(vm)
		}
	}
	delete(found, "")
	return slices.Sorted(maps.Keys(found)), nil
}

func (f *Face) subscriptions(ctx context.Context, c *call) (answer, error) {
	ids, err := f.homes(ctx, c)
	if err != nil {
		return answer{}, err
	}
	out := arm.List[any]{Value: []any{}, NextLink: ""}
	for _, id := range ids {
		out.Value = append(out.Value, resource.Subscription(id, f.tenant()))
	}
	return ok(out), nil
}

// known fails unless the caller sees something in the subscription of the path.
func (f *Face) known(ctx context.Context, c *call) (string, error) {
	ids, err := f.homes(ctx, c)
	if err != nil {
		return "", err
	}
	id := strings.ToLower(c.args["subscriptionId"])
	if !slices.Contains(ids, id) {
		return "", refuse(http.StatusNotFound, "SubscriptionNotFound", "", "The subscription '%s' could not be found.", c.args["subscriptionId"])
	}
	return id, nil
}

func (f *Face) subscription(ctx context.Context, c *call) (answer, error) {
	id, err := f.known(ctx, c)
	if err != nil {
		return answer{}, err
	}
	return ok(resource.Subscription(id, f.tenant())), nil
}

// locations lists the regions that the caller sees a VM in.
func (f *Face) locations(ctx context.Context, c *call) (answer, error) {
	id, err := f.known(ctx, c)
	if err != nil {
		return answer{}, err
	}
	v, vms, err := f.machines(ctx, c)
	if err != nil {
		return answer{}, err
	}
	regions := map[string]bool{}
	for _, x := range vms {
		regions[v.Region(x.ID)] = true
	}
	out := arm.List[any]{Value: []any{}, NextLink: ""}
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		out.Value = append(out.Value, map[string]any{"id": "/subscriptions/" + id + "/locations/" + name, "name": name, "displayName": name})
	}
	return ok(out), nil
}

// providers says which namespaces are here: clients look before they ask.
func (f *Face) providers(ctx context.Context, c *call) (answer, error) {
	id, err := f.known(ctx, c)
	if err != nil {
		return answer{}, err
	}
	out := arm.List[any]{Value: []any{}, NextLink: ""}
	for _, name := range []string{"Microsoft.Compute", "Microsoft.Network", "Microsoft.Security"} {
		out.Value = append(out.Value, map[string]any{"id": "/subscriptions/" + id + "/providers/" + name, "namespace": name, "registrationState": "Registered", "resourceTypes": []any{}})
	}
	return ok(out), nil
}

func (f *Face) resourceGroups(ctx context.Context, c *call) (answer, error) {
	return f.listed(ctx, c, resource.Group)
}

func (f *Face) resourceGroup(ctx context.Context, c *call) (answer, error) {
	list, err := f.listed(ctx, c, resource.Group)
	if all, made := list.body.(arm.List[resource.Resource]); made && len(all.Value) == 1 {
		return ok(all.Value[0]), err
	}
	if err == nil {
		err = refuse(http.StatusNotFound, "ResourceGroupNotFound", "", "Resource group '%s' could not be found.", c.args["resourceGroupName"])
	}
	return answer{}, err
}
