package plan

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// Desired returns what must be true of every door at one reading of the clocks,
// as a client outside sees it: locked doors, their exempt sources, and the
// sources of live grants. Grants on doors that are not locked are ignored:
// there is nothing to open.
//
// Overlapping grants are counted: a source that several grants need appears
// once, until the last of them ends, with all of them as holders.
func Desired(locks []access.Lock, grants []access.Grant, now access.Reading) firewall.Wants {
	doors := make(map[firewall.Door]*gathering, len(locks))
	for _, l := range locks {
		d, again := doors[l.Door]
		if !again {
			d = newGathering()
			doors[l.Door] = d
		}
		d.accepts = append(d.accepts, l.Accepts...)
		d.cut = d.cut || l.Cut
		d.proof = d.proof || l.Proof
		for _, p := range l.Exempt {
			d.need(p, time.Time{}, "")
		}
	}
	for _, g := range grants {
		d, locked := doors[g.Door]
		if !locked || !g.Live(now) {
			continue
		}
		until := effectiveEnd(g, now)
		for _, p := range g.Sources {
			d.need(p, until, g.ID)
		}
	}
	wants := make(firewall.Wants, 0, len(doors))
	for door, d := range doors {
		slices.SortFunc(d.accepts, firewall.CompareLosses)
		wants = append(wants, firewall.Want{Door: door, Locked: true, Cut: d.cut, Proof: d.proof, Accepts: d.accepts, Open: d.openings()})
	}
	wants.Sort()
	return wants
}

// A gathering collects who needs which source at one door. The holders are
// joined once, at the end: thousands may need the same source.
type gathering struct {
	cut     bool
	proof   bool
	accepts []firewall.Loss
	sources map[netip.Prefix]*needed
}

func newGathering() *gathering {
	return &gathering{cut: false, proof: false, accepts: nil, sources: map[netip.Prefix]*needed{}}
}

type needed struct {
	exempt bool
	until  time.Time
	grants []string
}

// need notes that from is to be let in until then for a grant, if one is named,
// or for good when until is zero. A prefix that is none, as in a damaged row, lets nobody in.
func (g *gathering) need(from netip.Prefix, until time.Time, grant string) {
	if !from.IsValid() {
		return
	}
	from = from.Masked()
	n, seen := g.sources[from]
	if !seen {
		n = &needed{exempt: false, until: time.Time{}, grants: nil}
		g.sources[from] = n
	}
	if until.IsZero() {
		n.exempt = true
		return
	}
	if grant != "" {
		n.grants = append(n.grants, grant)
	}
	if until.After(n.until) {
		n.until = until
	}
}

// openings returns what was gathered, in no order. Who is exempt is let in
// anyway: a second rule for a grant would say the same.
func (g *gathering) openings() []firewall.Opening {
	var out []firewall.Opening
	for from, n := range g.sources {
		o := firewall.Opening{From: from, Until: time.Time{}, Grants: ""}
		if !n.exempt {
			o.Until, o.Grants = n.until, firewall.HoldersOf(n.grants...)
		}
		out = append(out, o)
	}
	return out
}

// Lasting returns the grants that still last longer than lead: a firewall whose
// writes take that long must start closing that much earlier.
func Lasting(grants []access.Grant, now access.Reading, lead time.Duration) []access.Grant {
	if lead <= 0 {
		return grants
	}
	return slices.DeleteFunc(slices.Clone(grants), func(g access.Grant) bool {
		left, _ := g.Deadline.Left(now)
		return left <= lead
	})
}

// clockSlack is how far the clocks may drift apart before an opening's end is
// moved. Below it the wall deadline stands, so that the same grant always gives
// the same want.
const clockSlack = 2 * time.Second

// effectiveEnd returns when g's opening must end, on the wall clock as it shows
// now. They differ when the wall clock was set back after the grant was made:
// then the other clocks say how much is left.
func effectiveEnd(g access.Grant, now access.Reading) time.Time {
	left, _ := g.Deadline.Left(now)
	end := g.Deadline.Wall
	if by := now.Wall.Add(left); end.Sub(by) > clockSlack {
		// Whole seconds, rounded down, so that two passes agree.
		end = by.Truncate(time.Second)
	}
	return firewall.Instant(end)
}

// Route splits wants over the firewalls on the paths of vms. A firewall behind
// an address translation is asked to admit what it really sees.
func Route(wants firewall.Wants, vms []inventory.VM) map[firewall.ID]firewall.Wants {
	byVM := make(map[firewall.VMID]inventory.VM, len(vms))
	for _, v := range vms {
		byVM[v.ID] = v
	}
	out := map[firewall.ID]firewall.Wants{}
	for _, w := range wants {
		for fw, routed := range routeDoor(w, byVM[w.Door.VM]) {
			out[fw] = append(out[fw], routed)
		}
	}
	for _, ws := range out {
		ws.Sort()
	}
	return out
}

// routeDoor returns what each firewall in front of v must show for w.
func routeDoor(w firewall.Want, v inventory.VM) map[firewall.ID]firewall.Want {
	behind := map[firewall.ID]*gathering{}
	at := func(fw firewall.ID) *gathering {
		g, seen := behind[fw]
		if !seen {
			g = newGathering()
			behind[fw] = g
		}
		return g
	}
	for _, p := range v.Paths {
		for _, h := range p.Hops {
			// Two paths to one firewall need the same; needing it twice is harmless,
			// holders are joined without duplicates.
			g := at(h.Firewall)
			for _, o := range w.Open {
				from := o.From
				if h.Sees.IsValid() {
					from = h.Sees
				}
				g.needAll(from, o)
			}
		}
	}
	out := make(map[firewall.ID]firewall.Want, len(behind))
	for fw, g := range behind {
		out[fw] = firewall.Want{Door: w.Door, Locked: w.Locked, Cut: w.Cut, Proof: false, Accepts: w.Accepts, Open: g.openings()}
	}
	return out
}

// needAll notes that from is to be let in for everybody who needs o.
func (g *gathering) needAll(from netip.Prefix, o firewall.Opening) {
	g.need(from, o.Until, "")
	for _, id := range o.Grants.IDs() {
		g.need(from, o.Until, id)
	}
}

// Keys returns what g needs on the firewall fw, given the machines behind it:
// one key for each source, or one in all behind an address translation.
func Keys(fw firewall.ID, vms []inventory.VM, g access.Grant) []firewall.Key {
	var keys []firewall.Key
	for _, path := range inventory.Of(vms, g.Door.VM).Paths {
		for _, h := range path.Hops {
			switch {
			case h.Firewall != fw:
			case h.Sees.IsValid():
				keys = append(keys, firewall.Key{Door: g.Door, From: h.Sees})
			default:
				for _, s := range g.Sources {
					keys = append(keys, firewall.Key{Door: g.Door, From: s})
				}
			}
		}
	}
	slices.SortFunc(keys, firewall.CompareKeys)
	return slices.Compact(keys)
}
