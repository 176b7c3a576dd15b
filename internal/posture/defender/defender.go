// Package defender says what Microsoft Defender for Cloud would say of a machine, so
// that people can compare, and where the two differ why the finding is right.
//
// The order of the branches is Microsoft's: what is in a just-in-time policy is
// healthy, whatever the policy is worth; what has no network security group and no
// firewall is not applicable; of the rest, what has management ports open is
// unhealthy, since May 2020. The chart of this is published as a picture only, so
// that it is pieced together here from the text around it, release notes and
// complaints. Which sources "open" means is written nowhere; more than the network
// is taken here. Of AWS only the shape is known. What no text spells out is marked
// as doubtful. (Defender for Cloud: just-in-time machine access, overview and usage;
// release notes of May 2020; azure-docs issue 72216. As of 2026-11.)
package defender

import (
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
)

// A Classification is what Defender would say of a machine. It decides nothing.
type Classification struct {
	Verdict posture.Verdict
	Tab     Tab
	// Why is the branch that was taken.
	Why string
	// Doubt marks a branch that no text of Microsoft's spells out; reports show it
	// as [?].
	Doubt bool
}

// Tab is where Defender's portal lists a machine.
type Tab uint8

// The tabs.
const (
	Configured Tab = iota
	NotConfigured
	Unsupported
)

// String returns the tab's name in the portal.
func (t Tab) String() string {
	switch t {
	case Configured:
		return "Configured"
	case NotConfigured:
		return "Not configured"
	case Unsupported:
	}
	return "Unsupported"
}

// String writes c as reports show it.
func (c Classification) String() string {
	s := c.Verdict.String() + " (" + c.Tab.String() + ": " + c.Why + ")"
	if c.Doubt {
		s += " [?]"
	}
	return s
}

// Classify returns what Defender would say of v: claims are all that are about it,
// and findings those about its ports.
func Classify(v inventory.VM, claims []posture.Claim, findings []posture.Finding) Classification {
	aws := v.ID.Home().Cloud == firewall.CloudAWS
	policy := func(c posture.Claim) bool { return c.VM == v.ID && c.By == posture.Defender }
	guarded := slices.ContainsFunc(v.Firewalls(), guards)
	open := func(f posture.Finding) bool {
		return f.VM == v.ID && f.Check.OfPort() && f.Verdict == posture.Unhealthy && f.Proof.Who > posture.Network
	}
	switch {
	case v.ID.Home().Cloud == firewall.CloudHost:
		return Classification{posture.NotApplicable, Unsupported, "not a machine of Azure or AWS", false}
	case slices.ContainsFunc(claims, policy):
		return Classification{posture.Healthy, Configured, "a just-in-time policy names it", aws}
	case !guarded:
		return Classification{posture.NotApplicable, Unsupported, "missing NSG or firewall", aws}
	case posture.Stopped(v.State):
		return Classification{posture.NotApplicable, Unsupported, "it is stopped", true}
	case slices.ContainsFunc(findings, open):
		return Classification{posture.Unhealthy, NotConfigured, "management ports are open", true}
	}
	return Classification{posture.Healthy, NotConfigured, "no management port is open", true}
}

// Against says why ours is right where Defender says something else of a machine
// whose worst finding is f; empty where both agree.
func (c Classification) Against(f posture.Finding) string {
	ours := f.Verdict
	switch {
	case ours == c.Verdict || ours <= posture.NotApplicable && c.Verdict <= posture.NotApplicable:
		return ""
	case ours == posture.Unknown:
		return "Defender does not look where something is not known: " + f.Reason()
	case c.Tab == Configured:
		return "a policy that names the machine does not close this port: " + f.Reason()
	case c.Verdict == posture.NotApplicable:
		return "nothing to attach just-in-time access to means nothing that keeps anybody out: " + f.Reason()
	case c.Verdict == posture.Healthy:
		return "the port is open, if only to " + f.Proof.Who.String() + ": " + f.Reason()
	}
	return "nobody comes in: " + f.Reason()
}

// guards reports whether Defender would see something to attach just-in-time access
// to: a network security group, an Azure Firewall, the groups of a VPC.
func guards(fw firewall.ID) bool {
	id := strings.ToLower(string(fw))
	return strings.Contains(id, "/networksecuritygroups/") || strings.Contains(id, "/azurefirewalls/") || strings.HasPrefix(id, "arn:") && strings.Contains(id, ":vpc/")
}
