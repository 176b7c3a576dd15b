package role

import "github.com/sesame-access/sesame/internal/authz/scope"

// The names of Sesame's own roles.
const (
	Viewer    = "viewer"
	Requester = "requester"
	Approver  = "approver"
	Admin     = "admin"
)

// BuiltIn returns the definitions that every installation has: Sesame's own, the
// least first, and those of Azure that have to do with just-in-time access.
func BuiltIn() []Definition {
	all := []scope.Scope{scope.All}
	own := func(name, description string, operations ...string) Definition {
		return Definition{
			Name: name, Description: description, ID: "", Scopes: all, BuiltIn: true,
			Permissions: []Permission{{Actions: operations, NotActions: nil}},
		}
	}
	azure := func(id, name, description string, actions, not []string) Definition {
		return Definition{
			Name: name, Description: description, ID: id, Scopes: all, BuiltIn: true,
			Permissions: []Permission{{Actions: actions, NotActions: not}},
		}
	}
	return []Definition{
		own(Viewer, "See VMs, grants and activity.", string(View)),
		own(Approver, "Also approve and deny what others ask for, and close it.", string(View), string(Approve), string(Close)),
		own(Requester, "Also ask for access, and close and extend one's own grants.", string(View), string(Request)),
		own(Admin, "Everything.", "Sesame/*"),
		azure("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader",
			"View all resources, but make no changes.", []string{"*/read"}, nil),
		azure("39bc4728-0917-49c7-9d2c-d95423bc2eb4", "Security Reader",
			"View what Microsoft Defender for Cloud shows.", securityReader(), nil),
		azure("fb1c8493-542b-48eb-b624-b4c8fea62acd", "Security Admin",
			"View and change what Microsoft Defender for Cloud shows.", securityAdmin(), nil),
		azure("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor",
			"Manage all resources, but assign no roles.", []string{"*"}, notContributor()),
		azure("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner",
			"Manage all resources, and assign roles.", []string{"*"}, nil),
		azure("", "JIT Access Role",
			"Users that can enable access to Virtual Machines.", leastPrivilege(), nil),
	}
}

// The lists below are Microsoft's own, of "Azure built-in roles" (Microsoft Learn,
// 2026-02).

func securityReader() []string {
	return []string{
		"Microsoft.Authorization/*/read",
		"Microsoft.Insights/alertRules/read",
		"Microsoft.operationalInsights/workspaces/*/read",
		"Microsoft.Resources/deployments/*/read",
		"Microsoft.Resources/subscriptions/resourceGroups/read",
		"Microsoft.Security/*/read",
		"Microsoft.IoTSecurity/*/read",
		"Microsoft.Support/*/read",
		"Microsoft.Security/iotDefenderSettings/packageDownloads/action",
		"Microsoft.Security/iotDefenderSettings/downloadManagerActivation/action",
		"Microsoft.Security/iotSensors/downloadResetPassword/action",
		"Microsoft.IoTSecurity/defenderSettings/packageDownloads/action",
		"Microsoft.IoTSecurity/defenderSettings/downloadManagerActivation/action",
		"Microsoft.Management/managementGroups/read",
	}
}

func securityAdmin() []string {
	return []string{
		"Microsoft.Authorization/*/read",
		"Microsoft.Authorization/policyAssignments/*",
		"Microsoft.Authorization/policyDefinitions/*",
		"Microsoft.Authorization/policyExemptions/*",
		"Microsoft.Authorization/policySetDefinitions/*",
		"Microsoft.Insights/alertRules/*",
		"Microsoft.Management/managementGroups/read",
		"Microsoft.operationalInsights/workspaces/*/read",
		"Microsoft.Resources/deployments/*",
		"Microsoft.Resources/subscriptions/resourceGroups/read",
		"Microsoft.Security/*",
		"Microsoft.IoTSecurity/*",
		"Microsoft.IoTFirmwareDefense/*",
		"Microsoft.Support/*",
	}
}

func notContributor() []string {
	return []string{
		"Microsoft.Authorization/*/Delete",
		"Microsoft.Authorization/*/Write",
		"Microsoft.Authorization/elevateAccess/Action",
		"Microsoft.Blueprint/blueprintAssignments/write",
		"Microsoft.Blueprint/blueprintAssignments/delete",
		"Microsoft.Compute/galleries/share/action",
		"Microsoft.Purview/consents/write",
		"Microsoft.Purview/consents/delete",
		"Microsoft.Resources/deploymentStacks/manageDenySetting/action",
		"Microsoft.Subscription/cancel/action",
		"Microsoft.Subscription/enable/action",
	}
}

// leastPrivilege is the role that Microsoft's script Set-JitLeastPrivilegedRole
// makes for the portal (Azure/Microsoft-Defender-for-Cloud, JIT Scripts; 2022-03).
func leastPrivilege() []string {
	return []string{
		string(JITRead),
		string(JITInitiate),
		"Microsoft.Security/policies/read",
		"Microsoft.Network/publicIPAddresses/read",
		string(VMRead),
		"Microsoft.Network/*/read",
	}
}
