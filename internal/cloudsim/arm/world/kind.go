package world

import "strings"

const (
	groupType     = "Microsoft.Resources/resourceGroups"
	nsgType       = "Microsoft.Network/networkSecurityGroups"
	ruleType      = nsgType + "/securityRules"
	interfaceType = "Microsoft.Network/networkInterfaces"
	networkType   = "Microsoft.Network/virtualNetworks"
	machineType   = "Microsoft.Compute/virtualMachines"
	publicType    = "Microsoft.Network/publicIPAddresses"
	tableType     = "Microsoft.Network/routeTables"
)

// A Kind is what is known about a type of resources.
type Kind struct {
	// Type is the full type in Azure's own case.
	Type string
	// Embedded are the properties of the resource that list children, which are
	// of a type of the same name.
	Embedded []string
	// Located says that a resource has a location.
	Located bool
	// readOnly are properties that only the server writes.
	readOnly []string
}

// kinds lists every type of which there can be resources.
func kinds() []Kind {
	network := func(name string, embedded, readOnly []string) Kind {
		return Kind{Type: "Microsoft.Network/" + name, Embedded: embedded, Located: true, readOnly: readOnly}
	}
	return []Kind{
		{Type: groupType, Embedded: nil, Located: true, readOnly: nil},
		{Type: machineType, Embedded: nil, Located: true, readOnly: []string{"vmId", "instanceView"}},
		network("networkSecurityGroups", []string{"securityRules"}, []string{"defaultSecurityRules", "networkInterfaces", "subnets"}),
		network("networkInterfaces", []string{"ipConfigurations"}, []string{"virtualMachine"}),
		network("virtualNetworks", []string{"subnets", "virtualNetworkPeerings"}, nil),
		network("applicationSecurityGroups", nil, nil),
		network("publicIPAddresses", nil, []string{"ipConfiguration"}),
		network("loadBalancers", []string{"frontendIPConfigurations", "backendAddressPools", "loadBalancingRules", "probes", "inboundNatRules", "inboundNatPools", "outboundRules"}, nil),
		network("routeTables", []string{"routes"}, []string{"subnets"}),
		network("azureFirewalls", []string{"ipConfigurations"}, nil),
		network("firewallPolicies", nil, []string{"firewalls", "ruleCollectionGroups", "childPolicies"}),
		{Type: "Microsoft.Network/firewallPolicies/ruleCollectionGroups", Embedded: nil, Located: false, readOnly: nil},
		network("ipGroups", nil, []string{"firewalls", "firewallPolicies"}),
		network("bastionHosts", []string{"ipConfigurations"}, nil),
		network("networkManagers", nil, nil),
	}
}

// KindOf returns the kind of resources of the given type, in any case.
func KindOf(fullType string) (Kind, bool) {
	for _, k := range kinds() {
		if strings.EqualFold(k.Type, fullType) {
			return k, true
		}
	}
	return Kind{}, false
}

// Embeds returns the property that lists the children of k which are of the
// given type, in any case.
func (k Kind) Embeds(childType string) (string, bool) {
	for _, e := range k.Embedded {
		if strings.EqualFold(e, childType) {
			return e, true
		}
	}
	return "", false
}

// is reports whether k is of the given type.
func (k Kind) is(fullType string) bool { return strings.EqualFold(k.Type, fullType) }

// inNetwork reports whether the resources are of Microsoft.Network, which gives
// them an etag and a GUID.
func (k Kind) inNetwork() bool { return strings.HasPrefix(k.Type, "Microsoft.Network/") }

// canonical returns id with the types in Azure's own case.
func canonical(id ID, k Kind) ID {
	namespace, types, _ := strings.Cut(k.Type, "/")
	if id.Namespace == "" {
		return id
	}
	id.Namespace, id.Types = namespace, strings.Split(types, "/")
	return id
}
