// Package view says what the policies are that the Azure face shows: the parts of what
// was put there put together again, and what was made elsewhere, cut along resource
// groups and regions; and of these, what one caller sees. Nothing is decided by it.
package view

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/server/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// A View is every policy as the Azure face shows it, at one version of the rules.
type View struct {
	Version  int64
	Made     time.Time
	Policies []*Shown // sorted by id
	ByKey    map[string]*Shown
	VMs      map[firewall.VMID]inventory.VM // of Azure
}

// A Shown is one policy with the parts that it is made of.
type Shown struct {
	ID     arm.PolicyID
	Parts  []policy.Policy
	Policy arm.Policy // without requests
	VMs    []firewall.VMID
	spell  map[firewall.VMID]string
	// Native says that it was not put on this face, and may be a part of a policy
	// that spreads over several groups.
	Native bool
}

// New returns the view of the rules.
func New(rules store.Rules, vms []inventory.VM) *View {
	v := &View{Version: rules.Version, Made: time.Time{}, Policies: nil, ByKey: map[string]*Shown{}, VMs: map[firewall.VMID]inventory.VM{}}
	for _, x := range vms {
		if x.ID.Home().Cloud == firewall.CloudAzure {
			v.VMs[x.ID] = x
		}
	}
	var native []policy.Policy
	put := map[string][]policy.Policy{}
	for _, p := range rules.Policies {
		id, err := arm.ParsePolicyID(p.Azure.Policy)
		if err != nil {
			native = append(native, p)
			continue
		}
		put[id.Key()] = append(put[id.Key()], p)
	}
	for _, parts := range put {
		slices.SortFunc(parts, byName)
		id, err := arm.ParsePolicyID(parts[0].Azure.Policy)
		if err == nil {
			v.add(id, parts, false)
		}
	}
	for _, p := range native {
		v.addNative(p)
	}
	slices.SortFunc(v.Policies, func(a, b *Shown) int { return arm.ComparePolicyIDs(a.ID, b.ID) })
	return v
}

// byName sorts parts in the order in which they were made.
func byName(a, b policy.Policy) int {
	return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
}

// add adds a policy.
func (v *View) add(id arm.PolicyID, parts []policy.Policy, native bool) {
	s := &Shown{ID: id, Parts: parts, Policy: arm.Shown(id, parts, v.Spelled), VMs: nil, spell: map[firewall.VMID]string{}, Native: native}
	for _, x := range s.Policy.Properties.VirtualMachines {
		vm, err := firewall.ParseVMID(x.ID)
		if err != nil {
			vm = "" // which nobody sees
		}
		s.VMs = append(s.VMs, vm)
		s.spell[vm] = x.ID
	}
	if len(s.VMs) > 0 {
		v.Policies = append(v.Policies, s)
		v.ByKey[id.Key()] = s
	}
}

// addNative adds a policy that was not put on this face, once for each resource
// group and region that it has VMs in.
func (v *View) addNative(p policy.Policy) {
	homes := map[string]arm.PolicyID{}
	parts := map[string]policy.Policy{}
	for _, vm := range p.VMs {
		home := vm.Home()
		if home.Cloud != firewall.CloudAzure {
			continue
		}
		id := arm.PolicyID{Subscription: home.Account, Group: GroupOf(v.Spelled(vm)), Location: v.Region(vm), Name: p.Name}
		part, known := parts[id.Key()]
		if !known {
			part, part.VMs = p, nil
			homes[id.Key()] = id
		}
		part.VMs = append(part.VMs, vm)
		parts[id.Key()] = part
	}
	for key, id := range homes {
		if _, taken := v.ByKey[key]; taken {
			id.Name += ".sesame" // which no policy of ours can be called
		}
		v.add(id, []policy.Policy{parts[key]}, true)
	}
}

// nowhere is the region of a VM that nobody knows it of.
const nowhere = "unknown"

// Region returns where a VM runs.
func (v *View) Region(vm firewall.VMID) string {
	region := strings.ReplaceAll(v.VMs[vm].Region, " ", "")
	if arm.ParseLocation(region) != nil {
		return nowhere
	}
	return region
}

// Spelled returns the id of a VM as Azure spells it.
func (v *View) Spelled(vm firewall.VMID) string {
	return cmp.Or(v.VMs[vm].Spelled, arm.Spelled(vm))
}

// GroupOf returns the resource group in an id.
func GroupOf(id string) string {
	const place = 4
	if parts := strings.Split(id, "/"); len(parts) > place {
		return parts[place]
	}
	return ""
}

// Seen returns s as far as v sees it; false if it does not exist for them.
func (s *Shown) Seen(v sight.Sight) (arm.Policy, []firewall.VMID, bool) {
	out := s.Policy
	if v.All {
		return out, s.VMs, true
	}
	var vms []firewall.VMID
	out.Properties.VirtualMachines = nil
	for i, vm := range s.VMs {
		if v.Sees(vm) {
			vms = append(vms, vm)
			out.Properties.VirtualMachines = append(out.Properties.VirtualMachines, s.Policy.Properties.VirtualMachines[i])
		}
	}
	return out, vms, len(vms) > 0
}

// ETag changes whenever a part does.
func (s *Shown) ETag() string {
	h := sha256.New()
	for _, p := range s.Parts {
		fmt.Fprintf(h, "%s %d\n", p.Name, p.Version)
	}
	const bytes = 16
	return `"` + hex.EncodeToString(h.Sum(nil)[:bytes]) + `"`
}
