package posture

import (
	"cmp"
	"slices"
)

// ID names a check. Ids are in reports that others keep: they never change.
type ID string

// The checks. The first five are one question, whether a port is closed but for
// those who were let in, and every port of every VM gets exactly one of them: the
// one that names the cause. The others ask about policies, openings, and the rule
// that auditors have.
const (
	PortOpen      ID = "management-port-open"
	NoFirewall    ID = "no-firewall"
	LockOutranked ID = "lock-outranked"
	NotCovered    ID = "port-not-covered"
	LeftBehind    ID = "rule-left-behind"

	PolicyEmpty    ID = "policy-not-in-force"
	AnySource      ID = "any-source"
	OpeningExpired ID = "opening-expired"
	Enabled        ID = "just-in-time-enabled"
)

// A Check is one question, and what people need to know about it.
type Check struct {
	ID    ID
	Title string
	// Rationale says why it matters, Audit how to see it without Sesame, Remedy what
	// to do. Each is a few sentences.
	Rationale, Audit, Remedy string
}

// Checks returns all checks, sorted by id.
func Checks() []Check {
	out := []Check{
		{
			PortOpen, "A management port can be reached without asking",
			"Machines are broken into over the ports that administrators use, by whoever can reach them. A port that is closed until somebody asks, and closed again after, is not there for anybody else.",
			"Take the rules of every firewall on the way, in the order in which a packet meets them, and look for the first that matches the port. Look at every address of the machine, and at every translation that leads to one.",
			"Put the port under just-in-time access: what stands now keeps its place below the lock, and whoever needs to come in without asking is shown before anything is written.",
		},
		{
			NoFirewall, "Nothing stands in front of the machine",
			"A machine without a firewall in front of it is open on every port that it listens on. Tools that look for bad rules find none here, and call it compliant or not applicable.",
			"See whether a network security group is attached to the interface or its subnet, and whether every address has a firewall on its way.",
			"Attach a network security group to the interface or the subnet, and then put the management ports under just-in-time access.",
		},
		{
			LockOutranked, "A just-in-time port is open all the same",
			"The policy is there, the portal is green, and an older Allow is read before the Deny: the port never was closed. Nobody looks again at what is marked as done.",
			"Compare the number of the deny rule with those of the Allows that match the port, at the interface and at the subnet; on AWS, look for rules of any security group on the interface.",
			"Delete the rule that decides, or let Sesame lock the port: its lock is put above every foreign Allow, and what cannot be outranked is shown as exposed.",
		},
		{
			NotCovered, "The machine has a just-in-time policy, and another management port is open",
			"A policy for one port says nothing about the others, and counts as protection of the machine in most reports. Attackers try all of them.",
			"List the ports of the machine's policy, and ask for each management port that is missing who can reach it.",
			"Add the port to the policy.",
		},
		{
			LeftBehind, "A rule that just-in-time access once wrote still lets somebody in",
			"An Allow that was written for some hours outlives the policy, the subscription plan or the process that was to delete it. Nobody knows any more whom it was for.",
			"Look for Allows named SecurityCenter-JITRule, MicrosoftDefenderForCloud-JITRule, ASC-JIT, MDC-JIT or sesame- that no policy answers for.",
			"Delete the rule. Of Sesame's own, `sesame sweep` does that, and needs no database for it.",
		},
		{
			PolicyEmpty, "A just-in-time policy is not in force",
			"A policy without ports, or one whose creation failed, locks nothing, and looks like one that does wherever only its existence is asked for.",
			"Show the policy, and look for its ports and at its provisioning state.",
			"Save the policy again with the ports that it is to cover, or delete it.",
		},
		{
			AnySource, "A port may be opened to everybody at once",
			"Just-in-time access that opens a port to the whole Internet for some hours shortens the time of the attack and nothing else. Scanners need minutes.",
			"Look at the sources that the policy allows, and at what was asked for: `*`, 0.0.0.0/0 and Internet are everybody.",
			"List the networks that people work from, or limit a request to single addresses.",
		},
		{
			OpeningExpired, "An opening is past its deadline and still there",
			"Access that does not end is standing access that nobody decided on. This is what goes wrong most often with just-in-time access, and what is noticed least.",
			"Compare the deadline that the rule carries in its name or description with the clock.",
			"`sesame sweep` closes it now. Then find out why nobody did: `sesame doctor`.",
		},
		{
			Enabled, "Just-in-time access is enabled for the management ports of the machine",
			"This is the rule that auditors ask for by name. It is about a policy being there; whether it works is what the other checks say.",
			"List the just-in-time policies, and look for the machine and for each of its management ports.",
			"Enable just-in-time access for the machine.",
		},
	}
	slices.SortFunc(out, func(a, b Check) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// CheckOf returns the check with that id; one without an id if there is none.
func CheckOf(id ID) Check {
	for _, c := range Checks() {
		if c.ID == id {
			return c
		}
	}
	return Check{}
}

// OfPort reports whether id is one of those of which every port gets exactly one.
func (id ID) OfPort() bool {
	switch id {
	case PortOpen, NoFirewall, LockOutranked, NotCovered, LeftBehind:
		return true
	case PolicyEmpty, AnySource, OpeningExpired, Enabled:
	}
	return false
}
