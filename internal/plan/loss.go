package plan

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// A Loss is reach that a plan takes away from what is not just-in-time, and the
// locks for which it does.
type Loss struct {
	firewall.Loss

	// Locks are the doors whose locks need out what let these sources in, sorted.
	Locks []firewall.Door
	// By names what decides about the first of the sources afterwards.
	By string
	// Accepted says that somebody agreed to all of it for one of the locks.
	Accepted bool
}

// String writes l for people: "web-1:80/tcp is lost to 10.0.0.0/8 (by web: default)".
func (l Loss) String() string {
	return l.What() + " is lost to " + reach.Of(l.From...).String() + " (by " + l.By + ")"
}

// Losses returns what the plan of c takes away from whoever is not kept out by a
// lock, in the fewest words, sorted. Neighbouring ports that lose the same are
// one loss.
func Losses(c Case) []Loss {
	j := newJudge(c)
	var out []Loss
	for _, v := range c.VMs {
		for _, k := range j.classesOf(v) {
			l, lost := j.loss(v, k)
			if !lost {
				continue
			}
			if n := len(out) - 1; n >= 0 && out[n].extends(l) {
				out[n].Last = l.Last
				continue
			}
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Loss) int { return firewall.CompareLosses(a.Loss, b.Loss) })
	return out
}

// extends reports whether l goes on where a ends.
func (l Loss) extends(next Loss) bool {
	return l.VM == next.VM && l.Protocol == next.Protocol && int(l.Last)+1 == int(next.First) && l.Accepted == next.Accepted &&
		l.By == next.By && slices.Equal(l.From, next.From) && slices.Equal(l.Locks, next.Locks)
}

// loss returns what the plan takes away from the doors of k, if it does.
func (j *judge) loss(v inventory.VM, k class) (Loss, bool) {
	if slices.Contains(j.Unlocking, k.Door) || !j.touches(v, k.Door) {
		return Loss{}, false
	}
	return j.lossIn(v, k, j.effect.Of(v, k.Door))
}

// lossIn is loss for whoever knows what becomes of the sources already.
func (j *judge) lossIn(v inventory.VM, k class, change reach.Change) (Loss, bool) {
	shut := change.Shuts()
	if w, _ := j.Want.Of(k.Door); len(shut) == 0 || w.Locked || j.closesOnly(k.Door) {
		return Loss{}, false
	}
	l := Loss{
		Loss: firewall.Loss{
			VM: v.ID, Protocol: k.Protocol, But: nil, First: k.Port, Last: k.last, From: prefixes(shut.Sources()),
		},
		Locks: j.takers(v, k.Door), By: shut[0].After.By(), Accepted: false,
	}
	if k.Protocol == 0 {
		l.But = k.but
	}
	var agreed []firewall.Loss
	for _, d := range l.Locks {
		w, _ := j.Want.Of(d)
		agreed = append(agreed, w.Accepts...)
	}
	l.Accepted = accepted(l.Loss, agreed)
	return l, true
}

// takers returns the locks for which the plan takes away what d loses: those of
// the doors that a foreign rule is about which goes and was about d. Where no rule
// goes it is those that blame names.
func (j *judge) takers(v inventory.VM, d firewall.Door) []firewall.Door {
	gone := map[string]bool{}
	for _, r := range j.effect.Rules {
		if !r.Owned && j.speak(v, d, r) && j.goes(r) {
			gone[r.Name] = true
		}
	}
	var out []firewall.Door
	for _, w := range j.Want {
		needs := func(r firewall.LayerRule) bool {
			return gone[r.Name] && j.speak(inventory.Of(j.VMs, w.Door.VM), w.Door, r)
		}
		if w.Locked && slices.ContainsFunc(j.effect.Rules, needs) {
			out = append(out, w.Door)
		}
	}
	if len(out) == 0 {
		for _, r := range j.blame(d, "") {
			out = append(out, r.Door)
		}
		slices.SortFunc(out, firewall.CompareDoors)
	}
	return out
}

// goes reports whether the plan removes r, or puts another rule in its place.
func (j *judge) goes(r firewall.LayerRule) bool {
	same := func(x firewall.LayerRule) bool { return x.Name == r.Name && x.Same(r) }
	return !slices.ContainsFunc(j.Plan.After.Rules, same)
}

// accepted reports whether all of l was agreed to: every protocol, every port and
// every source of it.
func accepted(l firewall.Loss, agreed []firewall.Loss) bool {
	about := slices.DeleteFunc(slices.Clone(agreed), func(a firewall.Loss) bool { return !speaksFor(a, l) })
	for port := int(l.First); port <= int(l.Last); {
		var from []netip.Prefix
		next := int(l.Last) + 1 // where one of these agreements ends; others may only add to them
		for _, a := range about {
			if int(a.First) <= port && port <= int(a.Last) {
				from, next = append(from, a.From...), min(next, int(a.Last)+1)
			}
		}
		if !reach.Of(l.From...).Minus(reach.Of(from...)).Empty() {
			return false
		}
		port = next
	}
	return true
}

// speaksFor reports whether a is about the VM and all protocols of l.
func speaksFor(a, l firewall.Loss) bool {
	switch {
	case a.VM != l.VM:
		return false
	case a.Protocol != 0:
		return a.Protocol == l.Protocol
	case l.Protocol != 0:
		return !slices.Contains(a.But, l.Protocol)
	}
	return !slices.ContainsFunc(a.But, func(p firewall.Protocol) bool { return !slices.Contains(l.But, p) })
}

// prefixes returns r as the fewest prefixes, sorted.
func prefixes(r reach.Ranges) []netip.Prefix {
	var out []netip.Prefix
	for _, x := range r {
		for at := x.From; at.IsValid() && !x.To.Less(at); {
			bits := 0
			for bits < at.BitLen() && !fits(netip.PrefixFrom(at, bits), x) {
				bits++
			}
			p := netip.PrefixFrom(at, bits)
			out = append(out, p)
			at = reach.Of(p)[0].To.Next()
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// fits reports whether p begins at its own address and ends within x.
func fits(p netip.Prefix, x reach.Range) bool {
	return p.Masked() == p && !x.To.Less(reach.Of(p)[0].To)
}

// AcceptedBy returns what of losses door d has to answer for, as a lock keeps it.
func AcceptedBy(d firewall.Door, losses []Loss) []firewall.Loss {
	var out []firewall.Loss
	for _, l := range losses {
		if slices.Contains(l.Locks, d) {
			out = append(out, l.Loss)
		}
	}
	slices.SortFunc(out, firewall.CompareLosses)
	return slices.CompactFunc(out, func(a, b firewall.Loss) bool { return firewall.CompareLosses(a, b) == 0 })
}
