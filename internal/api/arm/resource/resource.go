// Package resource shows what the inventory knows as resources of Azure: virtual
// machines, network interfaces, network security groups, resource groups and
// subscriptions, for clients that read these before they ask for anything.
//
// Whatever Azure shows besides is left out and not made up: sizes, disks, images,
// subnets, rules, the names of subscriptions.
package resource

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/inventory"
)

const (
	succeeded = "Succeeded"
	groupPath = "/providers/microsoft.network/networksecuritygroups/"
)

// A Place says how Azure spells the id of a VM, and where it runs.
type Place struct{ ID, Region string }

// A Resource is what is known of a resource.
type Resource struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location,omitzero"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties any               `json:"properties"`
}

// The types of what is shown.
const (
	MachineType   = "Microsoft.Compute/virtualMachines"
	InterfaceType = "Microsoft.Network/networkInterfaces"
	GroupType     = "Microsoft.Network/networkSecurityGroups"
)

// Machine returns a VM: its place, its tags, its interfaces, what it runs and
// whether it does.
func Machine(x inventory.VM, at Place) []Resource {
	nics := []any{}
	for _, n := range x.Interfaces {
		nics = append(nics, map[string]any{"id": n.ID})
	}
	properties := map[string]any{
		"networkProfile": map[string]any{"networkInterfaces": nics}, "provisioningState": succeeded,
		"instanceView": Statuses(x),
	}
	if x.System != "" {
		properties["storageProfile"] = map[string]any{"osDisk": map[string]any{"osType": x.System}, "dataDisks": []any{}}
	}
	id := at.ID
	return []Resource{{ID: id, Name: cmp.Or(x.Name, x.ID.Name()), Type: MachineType, Location: at.Region, Tags: x.Tags, Properties: properties}}
}

// Statuses returns the instance view of a VM.
func Statuses(x inventory.VM) map[string]any {
	list := []any{map[string]any{"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"}}
	if x.State != "" {
		list = append(list, map[string]any{"code": "PowerState/" + x.State, "level": "Info", "displayStatus": "VM " + x.State})
	}
	return map[string]any{"statuses": list}
}

// Interfaces returns the interfaces of a VM: the addresses in their networks, and
// the group on them.
func Interfaces(x inventory.VM, at Place) []Resource {
	var out []Resource
	for _, n := range x.Interfaces {
		configs := []any{}
		for i, a := range n.Addresses {
			version := "IPv4"
			if a.Is6() {
				version = "IPv6"
			}
			configs = append(configs, map[string]any{
				"name": "ipconfig" + strconv.Itoa(i+1), "properties": map[string]any{"privateIPAddress": a.String(), "privateIPAddressVersion": version, "primary": i == 0},
			})
		}
		properties := map[string]any{"ipConfigurations": configs, "virtualMachine": map[string]any{"id": at.ID}, "provisioningState": succeeded}
		if n.Group != "" {
			properties["networkSecurityGroup"] = map[string]any{"id": n.Group}
		}
		out = append(out, Resource{ID: n.ID, Name: last(n.ID), Type: InterfaceType, Location: at.Region, Tags: nil, Properties: properties})
	}
	return out
}

// SecurityGroups returns the network security groups on the way to a VM. Their rules are
// not in the inventory; `sesame explain` says what they come to.
func SecurityGroups(x inventory.VM, at Place) []Resource {
	var out []Resource
	for _, id := range x.Firewalls() {
		if strings.Contains(strings.ToLower(string(id)), groupPath) {
			out = append(out, Resource{ID: string(id), Name: last(string(id)), Type: GroupType, Location: at.Region, Tags: nil, Properties: map[string]any{"provisioningState": succeeded}})
		}
	}
	return out
}

// last returns what people call the resource.
func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// Subscription returns a subscription, whose name the inventory does not know.
func Subscription(id, tenant string) any {
	return map[string]any{
		"id": "/subscriptions/" + id, "subscriptionId": id, "tenantId": tenant, "displayName": id, "state": "Enabled",
		"authorizationSource": "RoleBased", "managedByTenants": []any{}, "subscriptionPolicies": map[string]any{},
	}
}

// Group returns the resource groups of VMs that the caller sees.
func Group(_ inventory.VM, at Place) []Resource {
	parts := strings.Split(at.ID, "/")
	const through = 5
	if len(parts) < through {
		return nil
	}
	id := strings.Join(parts[:through], "/")
	return []Resource{{ID: id, Name: last(id), Type: "Microsoft.Resources/resourceGroups", Location: at.Region, Tags: nil, Properties: map[string]any{"provisioningState": succeeded}}}
}
