package azure

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// A group is what was learned about a network security group by working on it. It
// is forgotten with the process, and nothing depends on it but speed.
type group struct {
	mu       sync.Mutex
	course   nsg.Course
	verdicts map[*arm.Client]bool // whether a stale entity tag is refused
	took     time.Duration        // by a write
	rooms    int                  // for openings; 0 when not known
	before   *resource.Group      // the last write; nil when that was looked after
	last     *resource.Group      // as it was read; nil once it is written
	lastAt   time.Time
}

// of returns what is known about fw.
func (p *Provider) of(fw firewall.ID) *group {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, known := p.groups[fw]
	if !known {
		g = &group{verdicts: map[*arm.Client]bool{}}
		p.groups[fw] = g
	}
	return g
}

// limits returns what the group can do, as far as it was tried. Where Azure is known
// not to look at the version of what it replaces, Apply looks, right before: what
// happens in between is seen by the next reading only, and that is not conditional.
func (g *group) limits() provider.Limits {
	g.mu.Lock()
	defer g.mu.Unlock()
	ignored := slices.Contains(slices.Collect(maps.Values(g.verdicts)), false)
	return provider.Limits{Openings: g.rooms, WriteTime: g.took, Conditional: !ignored, Atomic: !ignored && len(g.verdicts) > 0}
}

// mostRules is how many rules a group holds.
const mostRules = 1000

// seen takes in a reading, and tells of foreign rules that are not what they were
// before a write of ours.
func (g *group) seen(s provider.Snapshot, r nsg.Reading, tell func([]resource.Difference)) {
	openings := 0
	for _, o := range s.Owned {
		if o.Kind == provider.OwnedOpening {
			openings++
		}
	}
	g.mu.Lock()
	g.rooms = max(mostRules-len(r.Group.Rules)+openings, 1)
	before := g.before
	g.before = nil
	g.mu.Unlock()
	if before == nil {
		return
	}
	if strange := nsg.Strange(before, r.Group, r.Keys); len(strange) > 0 {
		tell(strange)
	}
}

// writes notes that the group was as it is in before, and is written.
func (g *group) writes(before *resource.Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before, g.last = before, nil
}

// fresh is how old the reading of a group may be that stands beside the one that is
// observed. A subnet's group can have hundreds beside it, each with a loop that
// reads it.
const fresh = 5 * time.Second

// read keeps a reading for those beside it.
func (g *group) read(r *resource.Group, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.lastAt = r, now
}

// recent returns a reading that is not old; nil when there is none.
func (g *group) recent(now time.Time) *resource.Group {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.lastAt) >= fresh {
		return nil
	}
	return g.last
}

// weight is how much of the estimate the last write is, as a divisor.
const weight = 4

// wrote takes in how long a write took.
func (g *group) wrote(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.took == 0 {
		g.took = took
		return
	}
	g.took += (took - g.took) / weight
}

// expects returns how long a write is left alone before anybody looks how it is. It is
// a little less than the last ones took: looking as late as that would never tell
// that they have become faster.
func (g *group) expects() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.took - g.took/16
}

// after takes in how the writes of a plan ended.
func (g *group) after(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.course = g.course.After(err)
}

func (g *group) courseNow() nsg.Course {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.course
}

// verdict returns whether a stale entity tag of this identity is refused, and
// whether that is known.
func (g *group) verdict(c *arm.Client) (honoured, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	honoured, known = g.verdicts[c]
	return honoured, known
}

func (g *group) judged(c *arm.Client, honoured bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.verdicts[c] = honoured
}
