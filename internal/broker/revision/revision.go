// Package revision says what changing several policies at once comes to: which doors
// leave them, whose terms change, and what stands in the way.
package revision

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
)

// A Revision changes several policies as one: a face whose policies are several of
// ours leaves no moment with half of one.
type Revision struct {
	Put  []policy.Policy // a door may come from one that is dropped or put
	Drop []string        // names
}

// Others returns the policies in force that r leaves alone.
func (r Revision) Others(inForce []policy.Policy) []policy.Policy {
	return slices.DeleteFunc(slices.Clone(inForce), r.replaces)
}

// replaces reports whether r puts or drops a policy of the name of p.
func (r Revision) replaces(p policy.Policy) bool {
	same := func(x policy.Policy) bool { return x.Name == p.Name }
	return slices.Contains(r.Drop, p.Name) || slices.ContainsFunc(r.Put, same)
}

// Left returns the doors that policies in force cover and no policy does after r.
func (r Revision) Left(inForce []policy.Policy) []firewall.Door {
	var out []firewall.Door
	for _, p := range inForce {
		if r.replaces(p) {
			out = append(out, p.Doors()...)
		}
	}
	return slices.DeleteFunc(out, func(d firewall.Door) bool {
		return slices.ContainsFunc(r.Put, func(p policy.Policy) bool {
			_, covered := p.PortOf(d)
			return covered
		})
	})
}

// Touched returns the VMs whose terms r changes, sorted.
func (r Revision) Touched(inForce []policy.Policy) []firewall.VMID {
	before, after := map[firewall.VMID]string{}, map[firewall.VMID]string{}
	for _, p := range inForce {
		if r.replaces(p) {
			addTerms(before, p)
		}
	}
	for _, p := range r.Put {
		addTerms(after, p)
	}
	maps.DeleteFunc(after, func(vm firewall.VMID, terms string) bool {
		same := before[vm] == terms
		if same {
			delete(before, vm)
		}
		return same
	})
	maps.Copy(after, before)
	return slices.Sorted(maps.Keys(after))
}

// addTerms adds what p says of each of its VMs, whatever else it is about.
func addTerms(terms map[firewall.VMID]string, p policy.Policy) {
	vms := p.VMs
	p.Name, p.Version, p.VMs, p.Azure = "", 0, nil, policy.Azure{}
	text := string(policy.Format(p))
	for _, vm := range vms {
		terms[vm] += text
	}
}

// Named returns the policy of that name as it is in force.
func Named(inForce []policy.Policy, name string) (policy.Policy, bool) {
	i := slices.IndexFunc(inForce, func(p policy.Policy) bool { return p.Name == name })
	if i < 0 {
		return policy.Policy{}, false
	}
	return inForce[i], true
}

// Cuts fails unless what p asks of the firewalls of its VMs can be had.
func Cuts(vms []inventory.VM, p policy.Policy) error {
	for _, id := range p.VMs {
		v, err := inventory.Find(vms, string(id))
		if err != nil {
			return err
		}
		if p.Cut && !v.Cuts {
			return errkind.New(errkind.Invalid, "policy %s ends connections with their grant, and nothing in front of %s can: its firewall forgets which rule let a connection in. Leave cut out, or put this VM into a policy of its own",
				p.Name, id.Name())
		}
	}
	return nil
}

// Current fails if p says which version it was made from, and another is in
// force by now.
func Current(inForce []policy.Policy, p policy.Policy) error {
	old, found := Named(inForce, p.Name)
	switch {
	case p.Version == 0 || p.Version == old.Version:
		return nil
	case found && len(policy.Diff(old, p)) == 0:
		return nil // nothing is lost; the answer to the first try may have been
	case !found:
		return errkind.New(errkind.Conflict, "there is no policy %s any more, of which this is made from version %d; leave the version out to make it anew", p.Name, p.Version)
	}
	return errkind.New(errkind.Conflict, "policy %s is at version %d by now, and this is made from version %d; it would change what is in force like this: %s. Start again from what `sesame policy show %s` says now",
		p.Name, old.Version, p.Version, strings.Join(policy.Diff(old, p), "; "), p.Name)
}

// Summary says in one line what p is about: "policy ssh: 22/tcp of db-1, web-1".
func Summary(p policy.Policy) string {
	ports, vms := make([]string, len(p.Ports)), make([]string, len(p.VMs))
	for i, x := range p.Ports {
		ports[i] = fmt.Sprintf("%d/%s", x.Port, x.Protocol)
	}
	for i, vm := range p.VMs {
		vms[i] = vm.Name()
	}
	return "policy " + p.Name + ": " + strings.Join(ports, ", ") + " of " + strings.Join(vms, ", ")
}
