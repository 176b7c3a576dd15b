// Package consent says what somebody has to be shown and agree to before a lock
// comes or goes: what is lost with it, who would be locked out without being able
// to ask, and what comes back that nobody should be surprised by. It decides nothing
// and changes nothing.
package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/policy"
)

// longAgo is how long a rule may have been out before it is given back only by
// somebody who says so: what let people in then may let in somebody else by now.
const longAgo = 7 * 24 * time.Hour

// List names losses, the first few.
func List(losses []plan.Loss) string {
	const most = 8
	var parts []string
	for i, l := range losses {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(losses)-most))
			break
		}
		parts = append(parts, l.String())
	}
	return strings.Join(parts, "; ")
}

// Proposed returns what the surroundings of the VMs of p propose to exempt of its
// ports and p does not, by VM.
func Proposed(vms []inventory.VM, p policy.Policy) map[firewall.VMID][]inventory.Proposal {
	out := map[firewall.VMID][]inventory.Proposal{}
	for _, id := range p.VMs {
		for _, x := range inventory.Of(vms, id).Proposed {
			about := func(port policy.Port) bool {
				return (x.Protocol == 0 || x.Protocol == port.Protocol) && (x.Port == 0 || x.Port == port.Port)
			}
			exempt := func(from netip.Prefix) bool {
				return slices.ContainsFunc(p.Exempt, func(e netip.Prefix) bool { return firewall.Covers(e, from) })
			}
			x.From = slices.DeleteFunc(slices.Clone(x.From), exempt)
			if len(x.From) > 0 && slices.ContainsFunc(p.Ports, about) {
				out[id] = append(out[id], x)
			}
		}
	}
	return out
}

// Unexempted says which load balancers would take a VM of p for dead.
func Unexempted(vms []inventory.VM, p policy.Policy) []string {
	var out []string
	proposed := Proposed(vms, p)
	for _, id := range p.VMs {
		for _, x := range proposed[id] {
			if x.Kind != inventory.Probe {
				continue
			}
			var from []string
			for _, s := range x.From {
				from = append(from, firewall.FormatSource(s))
			}
			out = append(out, fmt.Sprintf("the probe %s of a load balancer asks %s from %s, and would take it for dead", x.Name, id.Name(), strings.Join(from, ", ")))
		}
	}
	return out
}

// Reluctant says why r is given back only by somebody who says so; empty when it
// is not.
func Reluctant(r fleet.Restored, now time.Time) string {
	wide := func(p netip.Prefix) bool {
		return p.Addr().Is4() && p.Bits() < policy.LeastBitsIPv4 || p.Addr().Is6() && p.Bits() < policy.LeastBitsIPv6
	}
	internet := func(x firewall.LayerRule) bool { return len(x.From) == 0 || slices.ContainsFunc(x.From, wide) }
	switch {
	case slices.ContainsFunc(r.Rules, internet):
		return "it is open to the Internet"
	case r.Since.IsZero():
		return "nobody knows how long it has been out"
	case now.Sub(r.Since) > longAgo:
		return "it has been out since " + r.Since.UTC().Format(time.DateOnly)
	}
	return ""
}

// Surprises names the rules that are given back only by somebody who says so, each
// with the reason.
func Surprises(restored []fleet.Restored, now time.Time) []string {
	var out []string
	for _, r := range restored {
		name := r.Rule
		if name == "" {
			name = r.Why
		}
		if why := Reluctant(r, now); why != "" {
			out = append(out, fmt.Sprintf("%s on %s: %s", name, r.Firewall, why))
		}
	}
	return out
}

// Fingerprint identifies losses, whatever their order: who agrees to one agrees to
// exactly these.
func Fingerprint(losses []plan.Loss) string {
	var lines []string
	for _, l := range losses {
		lines = append(lines, fmt.Sprintf("%s %s %d-%d %v %v", l.VM, l.What(), l.First, l.Last, l.From, l.Locks))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:16])
}
