package securitygroup

import "strings"

// Outcome is what an answer of the cloud means for a write.
type Outcome uint8

// The outcomes.
const (
	// Unknown: the write may have been made, or may be made later. Look.
	Unknown Outcome = iota
	// Done: what was to be is already so.
	Done
	// Missing: part of what was to go is gone. A request for several is made one
	// by one then: where it names one that is not there, none of it is done.
	Missing
	// Present: part of what was to be there is. The same holds.
	Present
	// Changed: something that the plan relied on is no more. Nothing was done.
	Changed
	// Refused: the content is refused, and will be again. Nothing was done.
	Refused
	// Busy: nothing was done for now; the same call may succeed in a while.
	Busy
)

// OutcomeOf judges an error of the cloud by its code alone: messages change.
// (EC2 API reference, "Error codes", as of 2026-11.)
func OutcomeOf(do Verb, code string) Outcome {
	switch code {
	case "InvalidPermission.Duplicate":
		return Present
	case "InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound":
		if do == Revoke {
			return Missing
		}
		return Changed
	case "InvalidGroup.Duplicate":
		return Present
	case "InvalidGroup.NotFound", "InvalidGroupId.Malformed":
		if do == Revoke || do == Untag || do == Detach || do == Delete {
			return Done
		}
		return Changed
	case "InvalidNetworkInterfaceID.NotFound", "InvalidNetworkInterfaceId.NotFound":
		if do == Detach {
			return Done
		}
		return Changed
	case "DependencyViolation":
		// A detached interface is still seen to wear the group for a while.
		return Busy
	case "RequestLimitExceeded", "Throttling", "ThrottlingException", "ServiceUnavailable", "Unavailable":
		return Busy
	case "RulesPerSecurityGroupLimitExceeded", "SecurityGroupLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded",
		"SecurityGroupsPerInstanceLimitExceeded", "TagLimitExceeded", "UnauthorizedOperation", "AuthFailure",
		"OperationNotPermitted", "OptInRequired", "InvalidPermission.Malformed", "MissingParameter", "ValidationError":
		return Refused
	}
	if strings.HasPrefix(code, "InvalidParameter") || strings.HasSuffix(code, ".Malformed") {
		return Refused
	}
	return Unknown
}
