package role

// RequesterName is what the role of people is called, as Microsoft's script calls it.
const RequesterName = "JIT Access Role"

// Requester returns what people have to be allowed to ask Azure's own just-in-time
// access for ports, sorted. It is what Microsoft's script Set-JitLeastPrivilegedRole
// allows, and what the documentation asks for besides: that policies and interfaces
// are read with what is below them. (Azure/Microsoft-Defender-for-Cloud, PowerShell
// scripts, JIT Scripts; learn.microsoft.com: just-in-time access, usage, of
// 2025-02.)
func Requester() []string {
	return []string{
		"Microsoft.Compute/virtualMachines/read",
		"Microsoft.Network/*/read",
		"Microsoft.Network/networkInterfaces/*/read",
		"Microsoft.Network/publicIPAddresses/read",
		"Microsoft.Security/locations/jitNetworkAccessPolicies/*/read",
		"Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action",
		"Microsoft.Security/locations/jitNetworkAccessPolicies/read",
		"Microsoft.Security/policies/read",
		"Microsoft.Security/pricings/read",
	}
}

// RequesterDefinition returns the custom role of people as `az role definition create`
// takes it.
func RequesterDefinition(scopes ...string) []byte {
	return definition(RequesterName, "Users that can ask for just-in-time access to virtual machines.", Requester(), scopes)
}
