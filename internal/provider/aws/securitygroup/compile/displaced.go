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

// A displaced is a foreign rule that a lock took out, whole: what a displace
// change stores to undo it. A write that is tried again stores the same.
type displaced struct {
	Group string             `json:"group"` // its id
	Rule  securitygroup.Rule `json:"rule"`
}

// readDisplaced reads what a displace or a restore change says about its rule.
func readDisplaced(c plan.Change) (displaced, error) {
	var x displaced
	if err := json.Unmarshal([]byte(c.Undo), &x); err != nil {
		return displaced{}, fmt.Errorf("read a displaced rule: %w", err)
	}
	return x, nil
}

// text is what readDisplaced reads.
func (x displaced) text() string {
	text, err := json.Marshal(x)
	if err != nil {
		return err.Error() // cannot be: strings, numbers and a prefix
	}
	return string(text)
}

// fine is what else there is to say about giving x back, at now.
func (x original) fine(now time.Time) string {
	out := ""
	if !x.since.IsZero() && !now.IsZero() {
		out += "; it was out for " + about(now.Sub(x.since))
	}
	if x.Rule.ID != "" {
		out += "; it gets a new id instead of " + x.Rule.ID
	}
	return out
}

// about says how long something took, in whole hours where there are any.
func about(d time.Duration) string {
	if d < time.Hour {
		return "less than an hour"
	}
	return fmt.Sprintf("%dh", d/time.Hour)
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
		if x, err := readDisplaced(c); c.Op == plan.Displace && err == nil {
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
