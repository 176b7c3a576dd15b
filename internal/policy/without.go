package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Without returns p as it is when it covers nothing but stays, some of its doors:
// fewer VMs, fewer ports, or with no door left none of either. A policy is every one
// of its ports of every one of its VMs; where stays cannot be said like that, it is a
// conflict.
func (p Policy) Without(leaving, stays []firewall.Door) (Policy, error) {
	next := p
	next.VMs = slices.DeleteFunc(slices.Clone(p.VMs), func(vm firewall.VMID) bool {
		return !slices.ContainsFunc(stays, func(d firewall.Door) bool { return d.VM == vm })
	})
	next.Ports = slices.DeleteFunc(slices.Clone(p.Ports), func(x Port) bool {
		return !slices.ContainsFunc(stays, func(d firewall.Door) bool { return d.Port == x.Port && d.Protocol == x.Protocol })
	})
	if len(next.Doors()) != len(stays) {
		return Policy{}, p.inseparable(leaving)
	}
	return next, nil
}

// inseparable is the error that doors cannot leave p by themselves.
func (p Policy) inseparable(leaving []firewall.Door) error {
	vm := leaving[0].VM
	var others, names []string
	for _, d := range leaving {
		names = append(names, fmt.Sprintf("%s:%d/%s", d.VM.Name(), d.Port, d.Protocol))
	}
	for _, d := range p.Doors() {
		if d.VM == vm && !slices.Contains(leaving, d) {
			others = append(others, fmt.Sprintf("%d/%s", d.Port, d.Protocol))
		}
	}
	return errkind.New(errkind.Conflict, "policy %s has the same ports for every VM, so %s cannot leave it and the other ports of %s (%s) stay; "+
		"disable those too, or first apply the policy without %s and enable them in a policy of their own, with `sesame enable %s --name OTHER --port %s`",
		p.Name, strings.Join(names, ", "), vm.Name(), strings.Join(others, ", "), vm.Name(), vm.Name(), strings.Join(others, " --port "))
}
