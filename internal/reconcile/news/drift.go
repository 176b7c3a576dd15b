package news

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// mostNamed is how many a record of repairs names who changed the firewall.
const mostNamed = 10

// Names returns those of both, each once, in the order in which they came, and no
// more than a record names. The empty name is nobody's.
func Names(a, b []string) []string {
	for _, name := range b {
		if name != "" && len(a) < mostNamed && !slices.Contains(a, name) {
			a = append(a, name)
		}
	}
	return a
}

// Suspect notes who changed the firewall. Whether they broke something of ours is
// known when it was looked at.
func (n *Desk) Suspect(by []string) { n.suspects = Names(n.suspects, by) }

// Blame says what drift was found and put right. Where there is none, whoever
// changed the firewall did no harm.
func (n *Desk) Blame(drift []plan.Change) {
	if len(drift) > 0 {
		n.culprits = Names(n.culprits, n.suspects)
	}
	n.suspects = nil
}

// Drift returns those of the changes that put right what somebody else did, where
// that was seen: a lock that had been read back as it is wanted and is not there, or
// has a hole; an opening of a grant that had been read back open, and is gone;
// anything of ours not as we wrote it.
func (n *Desk) Drift(changes []plan.Change, seen provider.Snapshot, want firewall.Wants, opened map[string]bool) []plan.Change {
	shown := plan.Index(seen.Shown())
	wrong := map[firewall.Key]bool{}
	for _, o := range seen.Owned {
		if o.Wrong != "" || o.Mark == firewall.MarkBroken {
			wrong[firewall.Key{Door: o.Door, From: o.Opening.From}] = true
		}
	}
	var out []plan.Change
	for _, c := range changes {
		key := firewall.Key{Door: c.Door, From: c.Opening.From}
		_, there := shown[key]
		was, before := n.Locked[c.Door]
		wanted, _ := want.Of(c.Door)
		switch {
		case wrong[key], (c.Op == plan.Lock || c.Op == plan.Displace) && before && was.Cut == wanted.Cut:
			out = append(out, c)
		case c.Op == plan.Open && !there && slices.ContainsFunc(c.Opening.Grants.IDs(), func(id string) bool { return opened[id] }):
			out = append(out, c)
		}
	}
	return out
}
