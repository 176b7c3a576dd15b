package posture

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A Claim is somebody's word that ports of a VM are just-in-time. Whether it is
// kept is what this package is about.
type Claim struct {
	VM     firewall.VMID
	By     Maker
	Policy string // its name; empty for locks that have lost their policy
	// Failed says why the policy is not in force; empty where it is.
	Failed string
	Ports  []ClaimedPort // sorted by port and protocol
}

// A ClaimedPort is what a claim says of one port.
type ClaimedPort struct {
	Port survey.Port
	// Sources are where a request may come from; none means from anywhere.
	Sources []netip.Prefix
	// WidestIPv4 and WidestIPv6 are the shortest prefixes that one request may open
	// the port to; 0 where it may be everybody.
	WidestIPv4, WidestIPv6 int
	// Exempt sources are let in without asking.
	Exempt []netip.Prefix
}

// Maker is who enforces a claim.
type Maker uint8

// The makers.
const (
	Sesame Maker = iota
	Defender
)

// String returns the maker's name.
func (m Maker) String() string {
	if m == Defender {
		return "Microsoft Defender for Cloud"
	}
	return "Sesame"
}

// ClaimsOf returns what Sesame's own policies and locks claim, sorted. A door that
// is in a policy and not locked is no claim; one that is locked and in no policy is
// one: nobody can ask for it, and it is closed all the same.
func ClaimsOf(policies []policy.Policy, locks []access.Lock) []Claim {
	var out []Claim
	at := map[firewall.VMID]map[string]int{}
	for _, l := range locks {
		// Nobody can ask for a door without a policy: the widest that it opens to is one address.
		name, port := "", ClaimedPort{Port: survey.Port{Protocol: l.Door.Protocol, Number: l.Door.Port}, Sources: nil, WidestIPv4: 32, WidestIPv6: 128, Exempt: l.Exempt}
		for _, p := range policies {
			if rules, ok := p.PortOf(l.Door); ok {
				name, port.Sources, port.WidestIPv4, port.WidestIPv6 = p.Name, rules.Sources, rules.WidestIPv4, rules.WidestIPv6
			}
		}
		of := at[l.Door.VM]
		if of == nil {
			of = map[string]int{}
			at[l.Door.VM] = of
		}
		i, known := of[name]
		if !known {
			i = len(out)
			of[name], out = i, append(out, Claim{VM: l.Door.VM, By: Sesame, Policy: name, Failed: "", Ports: nil})
		}
		out[i].Ports = append(out[i].Ports, port)
	}
	for i := range out {
		slices.SortFunc(out[i].Ports, func(a, b ClaimedPort) int { return comparePorts(a.Port, b.Port) })
	}
	slices.SortFunc(out, compareClaims)
	return out
}

func compareClaims(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.VM, b.VM), cmp.Compare(a.By, b.By), cmp.Compare(a.Policy, b.Policy))
}

func comparePorts(a, b survey.Port) int {
	return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
}

// inForce reports whether c means anything at all.
func (c Claim) inForce() bool { return c.Failed == "" && len(c.Ports) > 0 }

// covering returns the port of a claim that is in force about p, with whose it is.
func covering(claims []Claim, p survey.Port) (ClaimedPort, Claim, bool) {
	for _, c := range claims {
		if !c.inForce() {
			continue
		}
		for _, port := range c.Ports {
			if port.Port == p {
				return port, c, true
			}
		}
	}
	return ClaimedPort{}, Claim{}, false
}

// An Opening is one for a grant, as it was read back from a firewall.
type Opening struct {
	Door firewall.Door
	firewall.Opening
}

// lapsed reports whether o should be gone: its deadline is past, and so is the time
// that a healthy server takes to close it.
func (o Opening) lapsed(now time.Time) bool {
	const grace = time.Minute
	return !o.Exempt() && now.After(o.Until.Add(grace))
}
