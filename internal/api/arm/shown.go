package arm

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// A Speller says how the id of a VM is spelled.
type Speller func(vm firewall.VMID) string

// Shown returns the policy id, whose parts are in force: spelled as it was put, as
// long as that is what is in force. It has no requests yet, and shows every VM.
func Shown(id PolicyID, parts []policy.Policy, spell Speller) Policy {
	out := Policy{
		ID: id.String(), Name: id.Name, Type: PolicyType, Kind: "Basic", Location: id.Location,
		Properties: Properties{VirtualMachines: []VirtualMachine{}, Requests: []Request{}, ProvisioningState: Succeeded},
	}
	if put, ok := asPut(id, parts); ok {
		out.Kind = cmp.Or(put.Kind, out.Kind)
		out.Properties.VirtualMachines = put.Properties.VirtualMachines
		return out
	}
	for _, p := range parts {
		rules := rulesOf(p.Ports)
		for _, vm := range p.VMs {
			if vm.Home().Cloud == firewall.CloudAzure {
				out.Properties.VirtualMachines = append(out.Properties.VirtualMachines, VirtualMachine{ID: spell(vm), Ports: rules})
			}
		}
	}
	slices.SortFunc(out.Properties.VirtualMachines, func(a, b VirtualMachine) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// asPut returns what was put, if the parts are what it makes.
func asPut(id PolicyID, parts []policy.Policy) (Policy, bool) {
	var put Policy
	for _, p := range parts {
		if p.Azure.Document != "" && Decode([]byte(p.Azure.Document), &put) != nil {
			return Policy{}, false
		}
	}
	made, err := Parts(id, put, parts)
	same := func(a, b policy.Policy) bool {
		a.Version, b.Version = 0, 0
		a.Azure, b.Azure = policy.Azure{}, policy.Azure{}
		return bytes.Equal(policy.Format(a), policy.Format(b))
	}
	return put, err == nil && slices.EqualFunc(made, parts, same)
}

// rulesOf returns ports as Azure has them: what is the same for both protocols is
// one rule.
func rulesOf(ports []policy.Port) []PortRule {
	out := []PortRule{}
	for i, p := range ports {
		rule := PortRule{
			Number: Number(p.Port), Protocol: map[firewall.Protocol]string{firewall.TCP: "TCP", firewall.UDP: "UDP"}[p.Protocol],
			Max: FormatDuration(p.Max),
		}
		rule.Source, rule.Sources = Sources(firewallTexts(p))
		if i > 0 && ports[i-1].Port == p.Port {
			before := out[len(out)-1]
			if before.Max == rule.Max && before.Source == rule.Source && slices.Equal(before.Sources, rule.Sources) {
				out[len(out)-1].Protocol = anyProtocol
				continue
			}
		}
		out = append(out, rule)
	}
	return out
}

func firewallTexts(p policy.Port) []string {
	if len(p.Sources) == 0 {
		return []string{anySource}
	}
	var out []string
	for _, s := range p.Sources {
		out = append(out, firewall.FormatSource(s))
	}
	return out
}

// Sources returns sources the way Azure names them: one by the singular, and more
// by the plural.
func Sources(texts []string) (one string, many []string) {
	if len(texts) == 1 {
		return texts[0], nil
	}
	return "", texts
}
