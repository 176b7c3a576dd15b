package estate

import (
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// The versions of the API. Older ones are there in every cloud, and what is read is
// in them.
const (
	networkVersion = "2024-05-01"
	computeVersion = "2024-07-01"
	groupsVersion  = "2020-05-01"
)

// A use is what documents of a kind are good for, and so what is to be done where
// they could not be read.
type use uint8

const (
	// named documents matter where others name them; without one it is unknown what
	// it would say.
	named use = iota
	machines
	interfaces
	networks
	// leading ones may lead to any machine.
	leading
	// states are what no path depends on.
	states
	// scoping says what is to be read.
	scoping
)

// A kind is a type of resources.
type kind struct {
	name    string // full type
	call    string // what people call several of them
	version string
	use     use
	query   []string
}

// listed returns the kinds that have a list for each subscription.
func listed() []kind {
	network := func(name, call string, u use) kind {
		return kind{name: "Microsoft.Network/" + name, call: call, version: networkVersion, use: u}
	}
	const vm = "Microsoft.Compute/virtualMachines"
	return []kind{
		{name: vm, call: "virtual machines", version: computeVersion, use: machines},
		// A list with statuses is not said to hold everything else.
		{name: vm, call: "power states", version: computeVersion, use: states, query: []string{"statusOnly", "true"}},
		network("networkInterfaces", "network interfaces", interfaces),
		network("virtualNetworks", "virtual networks", networks),
		network("networkSecurityGroups", "network security groups", named),
		network("applicationSecurityGroups", "application security groups", named),
		network("publicIPAddresses", "public addresses", named),
		network("loadBalancers", "load balancers", leading),
		network("routeTables", "route tables", named),
		network("azureFirewalls", "Azure Firewalls", leading),
		network("firewallPolicies", "firewall policies", leading),
		network("ipGroups", "IP groups", named),
	}
}

// What is read of a single resource.
const (
	policyType     = "Microsoft.Network/firewallPolicies"
	collectionType = policyType + "/ruleCollectionGroups"
	groupType      = "Microsoft.Management/managementGroups"
)

// Actions returns the actions that a role needs to read an estate, sorted; with
// groups, those to find the subscriptions of management groups as well.
func Actions(groups bool) []string {
	out := []string{collectionType + "/read", "Microsoft.Network/virtualNetworks" + topology.AdminRules + "/action"}
	if groups {
		out = append(out, groupType+"/descendants/read")
	}
	for _, k := range listed() {
		out = append(out, k.name+"/read")
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.Compact(out)
}
