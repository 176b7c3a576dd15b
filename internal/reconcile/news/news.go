// Package news decides what about a firewall's doors has not been said yet, so
// that each thing is recorded once and a flood of the same is recorded as what it
// is. It is pure: it remembers what its loop tells it, and nothing is decided by
// it but what is written down. Losing it costs a repeated record.
package news

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

// Apart is how far apart two records of repairs of one firewall are at least.
// What is repaired sooner is in the next record: somebody who breaks a rule a
// thousand times a second fills neither the log nor the disk.
const Apart = 10 * time.Second

// mostListed is how many changes a record of repairs lists.
const mostListed = 100

// A Desk remembers what was said about the doors of one firewall.
type Desk struct {
	// Locked are the doors whose lock was read back, and how it was wanted then.
	Locked map[firewall.Door]Lock
	// Overdue are the grants that were recorded as overdue.
	Overdue map[string]bool
	// Strangers are openings with good marks of which the book knows no grant.
	Strangers map[firewall.Key]firewall.Opening

	said     map[audit.Kind]map[firewall.Door]string
	suspects []string // who changed the firewall since it was last found in order
	culprits []string // those of them before what was put right
	repaired []plan.Change
	told     time.Duration // since boot, when repairs were recorded last
	ever     bool          // whether they ever were
}

// A Lock is how a lock was wanted when it was last read back.
type Lock struct{ Cut bool }

// NewDesk returns a desk that knows nothing.
func NewDesk() Desk {
	return Desk{
		Locked: map[firewall.Door]Lock{}, Overdue: map[string]bool{}, Strangers: nil,
		said:     map[audit.Kind]map[firewall.Door]string{},
		suspects: nil, culprits: nil, repaired: nil, told: 0, ever: false,
	}
}

// Said returns what stands of that kind about d.
func (n *Desk) Said(kind audit.Kind, d firewall.Door) string { return n.said[kind][d] }

// Tell takes everything of one kind that stands about the doors now, and returns
// the doors of which that is news, and those of which it is over, sorted. What does
// not stand any more is forgotten, and news again when it is back.
func (n *Desk) Tell(kind audit.Kind, now map[firewall.Door]string) (begun, over []firewall.Door) {
	known := n.said[kind]
	n.said[kind] = now
	for _, d := range slices.SortedFunc(maps.Keys(now), firewall.CompareDoors) {
		if now[d] != known[d] {
			begun = append(begun, d)
		}
	}
	for _, d := range slices.SortedFunc(maps.Keys(known), firewall.CompareDoors) {
		if _, stands := now[d]; !stands {
			over = append(over, d)
		}
	}
	return begun, over
}

// Repairs takes what was put right at now, since boot, and returns what is to be
// recorded now: that, and what was put right since the last record, with whoever is
// to blame; or nothing yet.
func (n *Desk) Repairs(changes []plan.Change, now time.Duration) (told []plan.Change, by []string) {
	n.repaired = append(n.repaired, changes...)
	if len(n.repaired) == 0 || n.ever && now-n.told < Apart {
		return nil, nil
	}
	told, by = n.repaired, n.culprits
	n.repaired, n.culprits, n.told, n.ever = nil, nil, now, true
	return told, by
}

// Repaired returns what a record says of repairs that something made the pass
// look at: the first of the changes, and how many there were. Where nothing made it,
// it looked because it was time to.
func Repaired(changes []plan.Change, noticedBy string) (list []string, text string) {
	for _, c := range changes[:min(len(changes), mostListed)] {
		list = append(list, c.String())
	}
	foreign := 0
	for _, c := range changes {
		if c.Op == plan.Displace {
			foreign++
		}
	}
	var parts []string
	switch ours := len(changes) - foreign; {
	case ours == 1:
		parts = append(parts, "1 of our rules was not as we wrote it")
	case ours > 1:
		parts = append(parts, fmt.Sprintf("%d of our rules were not as we wrote them", ours))
	}
	if foreign > 0 {
		parts = append(parts, fmt.Sprintf("foreign rules that reached a locked port: %d", foreign))
	}
	return list, fmt.Sprintf("%s (noticed by: %s)", strings.Join(parts, "; "), cmp.Or(noticedBy, "looking"))
}
