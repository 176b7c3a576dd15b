package compile

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// A Displaced is a foreign rule that a lock took out, whole: what a displace
// change stores to undo it.
type Displaced struct {
	Group string             `json:"group"` // its id
	Rule  securitygroup.Rule `json:"rule"`
	// At is when it was taken out, to the hour, so that a write which is tried
	// again stores the same; zero where the cloud told no time.
	At time.Time `json:"at,omitzero"`
}

const ageStep = time.Hour

// ReadDisplaced reads what a displace or a restore change says about its rule.
func ReadDisplaced(c plan.Change) (Displaced, error) {
	var x Displaced
	if err := json.Unmarshal([]byte(c.Undo), &x); err != nil {
		return Displaced{}, fmt.Errorf("read a displaced rule: %w", err)
	}
	return x, nil
}

// stale is how old a displaced rule is that may have been forgotten by those who
// wrote it.
const stale = 7 * 24 * time.Hour

// Doubt says why x should not come back without being asked for by itself, at now;
// empty when nothing speaks against it. Whom a list or a group stands for is not
// looked at.
func (x Displaced) Doubt(now time.Time) string {
	switch {
	case x.Rule.CIDR.IsValid() && x.Rule.CIDR.Bits() == 0:
		return "it lets in the Internet"
	case x.At.IsZero():
		return "it is not known since when it is out"
	case now.Sub(x.At) > stale:
		return fmt.Sprintf("it is out since %s", x.At.UTC().Format(time.DateOnly))
	}
	return ""
}

// fine is what else there is to say about giving x back, at now.
func (x Displaced) fine(now time.Time) string {
	out := ""
	if !x.At.IsZero() && !now.IsZero() {
		out += fmt.Sprintf("; it was out for %s", now.Sub(x.At).Round(ageStep))
	}
	if x.Rule.ID != "" {
		out += "; it gets a new id instead of " + x.Rule.ID
	}
	return out
}

// testify makes the tags of owned groups say what was taken out for their locks,
// as far as they have room, and takes back what they say of rules that are in
// their groups again. What the book has lost is still said.
func (d *draft) testify(gone []original) {
	out := map[firewall.VMID][]securitygroup.Tag{}
	add := func(door firewall.Door, group string, rule securitygroup.Rule) {
		if tag := d.Out(door.VM, group, rule); tag.Key != "" {
			out[door.VM] = append(out[door.VM], tag)
		}
	}
	for _, x := range gone {
		if doors := d.keptOut(x); slices.Contains(doors, x.door) {
			add(x.door, x.Group, x.Rule)
		}
	}
	for _, c := range d.changes {
		if x, err := ReadDisplaced(c); c.Op == plan.Displace && err == nil {
			add(c.Door, x.Group, x.Rule)
		}
	}
	after := d.after()
	for _, door := range d.locks {
		g, _ := d.group(d.OwnName(door.VM))
		said := d.said(door.VM, g, after)
		for _, tag := range out[door.VM] {
			if !slices.ContainsFunc(said, func(t securitygroup.Tag) bool { return t.Key == tag.Key }) && len(said) < securitygroup.MostOut {
				said = append(said, tag)
				d.serve(stepLock, plan.Keep, door, "evidence of what is displaced", securitygroup.Write{Do: securitygroup.Tagged, Group: d.OwnName(door.VM), Tag: &tag})
			}
		}
		delete(out, door.VM)
	}
}

// said returns the evidence in g that still holds, and takes back the rest, given
// what the groups say in the end.
func (d *draft) said(vm firewall.VMID, g securitygroup.Group, after securitygroup.Reading) []securitygroup.Tag {
	var out []securitygroup.Tag
	for _, t := range g.Tags {
		group, content, taken := d.TakenOut(vm, t)
		if !taken {
			continue
		}
		i := after.Find(group)
		back := i < 0 || slices.ContainsFunc(after.Groups[i].Ingress, func(r securitygroup.Rule) bool {
			return r.Content() == content && !d.IsRest(group, r)
		})
		if !back {
			out = append(out, t)
			continue
		}
		nowhere := firewall.Door{VM: vm, Protocol: 0, Port: 0}
		d.serve(stepUnlock, plan.Drop, nowhere, "what it tells of is back", securitygroup.Write{Do: securitygroup.Untag, Group: g.Name, Tag: &securitygroup.Tag{Key: t.Key}})
	}
	return out
}
