package posture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A Step is one thing to do, and the command that does it.
type Step struct {
	Text    string
	Command string // for a POSIX shell
}

// Audit returns how to see by oneself, for this very machine and these ports, what
// a finding says.
func Audit(v inventory.VM, ports ...survey.Port) []Step {
	home := v.ID.Home()
	var out []Step
	switch home.Cloud {
	case firewall.CloudAzure:
		out = append(
			out,
			Step{"List the just-in-time policies, and look for the machine and for each of its management ports.", quoted("az", "security", "jit-policy", "list", "--subscription", home.Account, "--query", "[].virtualMachines[?id=='"+string(v.ID)+"'].ports[].number")},
			Step{"Show the rules in front of each of its network interfaces, those of the subnet included. The lowest number that matches the port decides, in both groups.", quoted("az", "network", "nic", "list-effective-nsg", "--subscription", home.Account, "--ids") + " $(" + quoted("az", "vm", "show", "--ids", string(v.ID), "--query", "networkProfile.networkInterfaces[].id", "-o", "tsv") + ")"},
		)
	case firewall.CloudAWS:
		instance := v.ID.Name()
		out = append(
			out,
			Step{"List the security groups of its network interfaces.", quoted("aws", "ec2", "describe-network-interfaces", "--region", home.Place, "--filters", "Name=attachment.instance-id,Values="+instance, "--query", "NetworkInterfaces[].Groups[].GroupId", "--output", "text")},
			Step{"Show their rules. A port is open to whoever any rule of any of them lets in.", quoted("aws", "ec2", "describe-security-group-rules", "--region", home.Place, "--filters", "Name=group-id,Values=GROUPS", "--query", "SecurityGroupRules[?!IsEgress]")},
		)
	case firewall.CloudHost:
		out = append(out, Step{"Show the rules of the host.", "nft list ruleset"})
	}
	for _, p := range ports {
		out = append(out, Step{fmt.Sprintf("Ask who can come to %d/%s, and by which rule.", p.Number, p.Protocol), quoted("sesame", "explain", string(v.ID), strconv.Itoa(int(p.Number)))})
	}
	return out
}

// Remedy returns how to put ports of v under just-in-time access, the way that
// closes them first.
func Remedy(v inventory.VM, ports ...survey.Port) []Step {
	ports = slices.Compact(slices.SortedFunc(slices.Values(ports), comparePorts))
	if len(ports) == 0 {
		return nil
	}
	command := []string{"sesame", "enable", string(v.ID)}
	for _, p := range ports {
		number := strconv.Itoa(int(p.Number))
		if p.Protocol != firewall.TCP {
			number += "/" + p.Protocol.String()
		}
		command = append(command, "--port", number)
	}
	return []Step{
		{"See what a lock would write, who would lose the port, and whom it proposes to exempt.", quoted(append(slices.Clone(command), "--dry-run")...)},
		{"Lock, and let people ask from now on.", quoted(command...)},
		{"Read back what came of it.", quoted("sesame", "vms", string(v.ID))},
	}
}

// quoted joins words into a command. What is not plain is quoted: ids are other
// people's.
func quoted(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		plain := func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,", r)
		}
		if out[i] = w; w == "" || strings.ContainsFunc(w, func(r rune) bool { return !plain(r) }) {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
