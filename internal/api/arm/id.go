package arm

import (
	"cmp"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// The limits of what an id is made of. Azure gives resource groups 90 characters,
// and says nothing of policies.
const (
	mostGroup  = 90
	mostName   = 80
	mostRegion = 64
)

// A PolicyID names a policy: its parts as somebody spelled them.
type PolicyID struct{ Subscription, Group, Location, Name string }

// String returns the id in Azure's spelling.
func (id PolicyID) String() string {
	return "/subscriptions/" + id.Subscription + "/resourceGroups/" + id.Group +
		"/providers/Microsoft.Security/locations/" + id.Location + "/jitNetworkAccessPolicies/" + id.Name
}

// Key returns what is the same for every spelling of id.
func (id PolicyID) Key() string { return strings.ToLower(id.String()) }

// ComparePolicyIDs orders ids by subscription, group, location and name, whatever
// their case.
func ComparePolicyIDs(a, b PolicyID) int {
	fold := strings.ToLower
	return cmp.Or(
		cmp.Compare(fold(a.Subscription), fold(b.Subscription)), cmp.Compare(fold(a.Group), fold(b.Group)),
		cmp.Compare(fold(a.Location), fold(b.Location)), cmp.Compare(fold(a.Name), fold(b.Name)),
	)
}

const policyParts = 11

// ParsePolicyID reads the id of a policy in any spelling.
func ParsePolicyID(s string) (PolicyID, error) {
	p := strings.Split(s, "/")
	for i, want := range map[int]string{0: "", 1: "subscriptions", 3: "resourcegroups", 5: "providers", 6: "microsoft.security", 7: "locations", 9: "jitnetworkaccesspolicies"} {
		if len(p) != policyParts || strings.ToLower(p[i]) != want {
			return PolicyID{}, errkind.Bad("id", s, "the id of a just-in-time network access policy")
		}
	}
	return NewPolicyID(p[2], p[4], p[8], p[10])
}

// NewPolicyID puts an id together from its parts, which must make sense.
func NewPolicyID(subscription, group, location, name string) (PolicyID, error) {
	id := PolicyID{Subscription: subscription, Group: group, Location: location, Name: name}
	if err := ParseSubscription(subscription); err != nil {
		return PolicyID{}, err
	}
	if err := ParseGroup(group); err != nil {
		return PolicyID{}, err
	}
	if err := ParseLocation(location); err != nil {
		return PolicyID{}, err
	}
	if !named(name, "-_.()", mostName) {
		return PolicyID{}, errkind.Bad("jitNetworkAccessPolicyName", name, "a name of up to 80 letters, digits and -_.(), not of dots alone")
	}
	return id, nil
}

// ParseSubscription fails unless s is the id of a subscription.
func ParseSubscription(s string) error {
	const form = "00000000-0000-0000-0000-000000000000"
	ok := len(s) == len(form)
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] == '-' && form[i] == '-' || form[i] != '-' && strings.IndexByte("0123456789abcdefABCDEF", s[i]) >= 0
	}
	if !ok {
		return errkind.Bad("subscriptionId", s, "a GUID, such as "+form)
	}
	return nil
}

// ParseGroup fails unless s is the name of a resource group.
func ParseGroup(s string) error {
	if !named(s, "-_.()", mostGroup) || strings.HasSuffix(s, ".") {
		return errkind.Bad("resourceGroupName", s, "the name of a resource group")
	}
	return nil
}

// ParseLocation fails unless s is the name of a region.
func ParseLocation(s string) error {
	if !named(s, "-_", mostRegion) {
		return errkind.Bad("ascLocation", s, "the name of a region, such as westeurope")
	}
	return nil
}

// named reports whether s is made of ASCII letters, digits and those of more, and
// not of dots alone, which a path would be walked by.
func named(s, more string, most int) bool {
	const plain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return s != "" && len(s) <= most && strings.Trim(s, plain+more) == "" && strings.Trim(s, ".") != ""
}

// ParseVM reads the id of a virtual machine of a subscription, in any spelling.
func ParseVM(field, subscription, s string) (firewall.VMID, error) {
	id, err := firewall.ParseVMID(s)
	switch {
	case err != nil:
		return "", errkind.At(field, err)
	case id.Home().Cloud != firewall.CloudAzure:
		return "", errkind.Bad(field, s, "the id of an Azure virtual machine")
	case !strings.EqualFold(id.Home().Account, subscription):
		return "", errkind.Bad(field, s, "of the subscription of the policy, "+subscription)
	}
	return id, nil
}

// Spelled returns the id of a VM in Azure's spelling where nobody has said how it
// is spelled.
func Spelled(id firewall.VMID) string {
	p := strings.Split(string(id), "/")
	const form = 9
	if len(p) != form {
		return string(id)
	}
	return "/subscriptions/" + p[2] + "/resourceGroups/" + p[4] + "/providers/Microsoft.Compute/virtualMachines/" + p[8]
}
