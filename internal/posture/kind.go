package posture

import (
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// lockable reports whether fw is one whose rules Sesame, or Defender, would change
// to lock a port: a network security group, the groups of a VPC, the table of a
// host. What others are in the way is the network's business.
func lockable(fw firewall.ID) bool { return isGroup(fw) || isVPC(fw) || isHost(fw) }

func isGroup(fw firewall.ID) bool {
	return strings.Contains(strings.ToLower(string(fw)), "/providers/microsoft.network/networksecuritygroups/")
}

func isVPC(fw firewall.ID) bool {
	return strings.HasPrefix(string(fw), "arn:") && strings.Contains(string(fw), ":vpc/")
}

func isHost(fw firewall.ID) bool { return firewall.VMID(fw).Home().Cloud == firewall.CloudHost }

// leftovers are how just-in-time access names the Allows that it writes for a
// while, in lower case. Defender changed its names about 2023, and both are found in
// the wild.
func leftovers() [5]string {
	return [...]string{"securitycenter-jitrule-", "microsoftdefenderforcloud-jitrule-", "asc-jit", "mdc-jit", "sesame-"}
}

// temporary reports whether a rule of that name was written for a while.
func temporary(rule string) bool {
	rule = strings.ToLower(rule)
	for _, name := range leftovers() {
		if strings.Contains(rule, name) {
			return true
		}
	}
	return false
}

// Stopped reports whether a machine in that state, in its cloud's own words, runs
// nothing. (EC2: instance lifecycle; Azure: states and billing status of virtual
// machines.) One that is starting or stopping may run.
func Stopped(state string) bool {
	switch strings.ToLower(state) {
	case "stopped", "terminated", "deallocated":
		return true
	}
	return false
}
