package securitygroup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// OwnTag is the key of the tag that everything of ours has, with the
// installation's name as value: what a role may touch can be tied to it.
const OwnTag = "sesame"

const lockTag = "sesame:lock:"

// ownTags are the tags of what this installation writes.
func (r Reading) ownTags() []Tag { return []Tag{{Key: OwnTag, Value: r.Keys.Instance}} }

// Lock returns the tag of an owned group that says that d is locked. It is
// sealed: who may only write tags can neither make a lock nor move one.
func (r Reading) Lock(d firewall.Door) Tag {
	return Tag{
		Key:   fmt.Sprintf("%s%d/%s", lockTag, d.Port, d.Protocol),
		Value: r.Keys.Seal(firewall.Mark{}, r.lockPlace(d)),
	}
}

// outTag begins the key of a tag that says which foreign rule a lock has taken out.
const outTag = "sesame:out:"

// Out returns the tag of an owned group that says that rule of the given group was
// taken out for a lock of vm: evidence for whoever has lost the book. It is sealed,
// as a lock is. Empty where it would be longer than a tag's key may be.
func (r Reading) Out(vm firewall.VMID, group string, rule Rule) Tag {
	const longest = 128
	key := outTag + group + " " + rule.Content()
	if len(key) > longest {
		return Tag{}
	}
	return Tag{Key: key, Value: r.Keys.Seal(firewall.Mark{}, r.outPlace(vm, key))}
}

func (r Reading) outPlace(vm firewall.VMID, key string) firewall.Place {
	return firewall.Place{Firewall: r.ID, Door: firewall.Door{VM: vm, Protocol: 0, Port: 0}, Detail: key}
}

// TakenOut reads a tag of the owned group of vm: the group and the content of the
// rule that was taken out. It is false for a tag that is no such evidence of ours.
func (r Reading) TakenOut(vm firewall.VMID, t Tag) (group, content string, ok bool) {
	what, isOut := strings.CutPrefix(t.Key, outTag)
	group, content, _ = strings.Cut(what, " ")
	_, state := r.Keys.Open(t.Value, r.outPlace(vm, t.Key))
	return group, content, isOut && state == firewall.MarkGood
}

func (r Reading) lockPlace(d firewall.Door) firewall.Place {
	return firewall.Place{Firewall: r.ID, Door: d, Detail: "lock"}
}

// Locked reads a tag of the owned group of vm. It is false for one that is no
// Lock of ours.
func (r Reading) Locked(vm firewall.VMID, t Tag) (firewall.Door, bool) {
	what, isLock := strings.CutPrefix(t.Key, lockTag)
	port, proto, _ := strings.Cut(what, "/")
	d := firewall.Door{VM: vm, Protocol: 0, Port: 0}
	var errPort, errProto error
	d.Port, errPort = firewall.ParsePort(port)
	d.Protocol, errProto = firewall.ParseProtocol(proto)
	_, state := r.Keys.Open(t.Value, r.lockPlace(d))
	return d, isLock && errPort == nil && errProto == nil && state == firewall.MarkGood
}

// Opening returns the rule that lets o through d.
func (r Reading) Opening(d firewall.Door, o firewall.Opening) Rule {
	rule := Rule{Protocol: int(d.Protocol), First: int(d.Port), Last: int(d.Port), CIDR: o.From, Tags: r.ownTags()}
	rule.Description = r.Keys.Seal(MarkOf(o), r.place(d.VM, rule))
	return rule
}

// MarkOf is the mark that says why o is let in. It names one grant, whatever their
// number, so that it fits: a description has at most 255 characters.
func MarkOf(o firewall.Opening) firewall.Mark {
	m := firewall.Mark{Until: o.Until}
	if ids := o.Grants.IDs(); len(ids) > 0 {
		m.Grant, m.More = ids[0], len(ids)-1
	}
	return m
}

// place is where the mark of an opening of vm belongs. A rule that no opening can
// look like gets a place that no mark was made for.
func (r Reading) place(vm firewall.VMID, rule Rule) firewall.Place {
	p := firewall.Place{Firewall: r.ID, Door: doorOf(vm, rule), From: rule.CIDR}
	if rule.Protocol != tcp && rule.Protocol != udp || rule.First != rule.Last || !rule.CIDR.IsValid() {
		p.Detail = "no opening: " + rule.Content()
	}
	return p
}

// doorOf is the door of vm that rule is about, its first port if it has many.
func doorOf(vm firewall.VMID, rule Rule) firewall.Door {
	d := firewall.Door{VM: vm, Protocol: 0, Port: 0}
	if rule.Protocol == tcp || rule.Protocol == udp {
		d.Protocol, d.Port = firewall.Protocol(rule.Protocol), uint16(rule.First) //nolint:gosec // canonical
	}
	return d
}

// SealRest returns rule of the given group with the mark of what is kept of a
// displaced rule.
func (r Reading) SealRest(group string, rule Rule) Rule {
	rule.Tags = r.ownTags()
	rule.Description = r.Keys.Seal(firewall.Mark{}, r.restPlace(group, rule))
	return rule
}

func (r Reading) restPlace(group string, rule Rule) firewall.Place {
	return firewall.Place{Firewall: r.ID, Detail: "rest: " + group + " " + rule.Content()}
}

// IsRest reports whether rule of the given foreign group is what we kept there of
// a displaced one. A rule that only claims so is its owner's.
func (r Reading) IsRest(group string, rule Rule) bool {
	_, state := r.RestMark(group, rule)
	return state == firewall.MarkGood
}

// Owned returns everything of ours in r, and what carries a mark although it is
// not, sorted.
func (r Reading) Owned() []provider.Owned {
	var out []provider.Owned
	wearers, machines := r.Wearers(), r.Machines()
	for _, g := range r.Groups {
		vm, ours := r.Owner(g)
		if !ours {
			out = append(out, r.strays(g, wearers[g.ID])...)
			continue
		}
		for _, t := range g.Tags {
			if d, locked := r.Locked(vm, t); locked {
				out = append(out, provider.Owned{Kind: provider.OwnedLock, Door: d, Native: g.Name + " " + t.Key, Wrong: undressed(g, machines[vm])})
			}
		}
		for _, rule := range g.Ingress {
			out = append(out, r.ReadOpening(g, vm, rule))
		}
	}
	slices.SortFunc(out, provider.CompareOwned)
	return out
}

// undressed says what about an owned group is not as we made it, given the
// interfaces of its VM.
func undressed(g Group, interfaces []Interface) string {
	for _, n := range interfaces {
		if !slices.Contains(n.Groups, g.ID) {
			return fmt.Sprintf("%s does not wear the group %s", n.ID, g.Name)
		}
	}
	if g.Egress > 0 {
		return fmt.Sprintf("the group %s lets traffic out", g.Name)
	}
	return ""
}

// OpeningMark reads the mark of a rule in the owned group of vm.
func (r Reading) OpeningMark(vm firewall.VMID, rule Rule) (firewall.Mark, firewall.MarkState) {
	return r.Keys.Open(rule.Description, r.place(vm, rule))
}

// RestMark reads the mark of a rule in the given foreign group.
func (r Reading) RestMark(group string, rule Rule) (firewall.Mark, firewall.MarkState) {
	return r.Keys.Open(rule.Description, r.restPlace(group, rule))
}

// ReadOpening reads a rule of an owned group.
func (r Reading) ReadOpening(g Group, vm firewall.VMID, rule Rule) provider.Owned {
	m, state := r.OpeningMark(vm, rule)
	o := provider.Owned{
		Kind: provider.OwnedOpening, Door: doorOf(vm, rule),
		Opening: firewall.Opening{From: rule.CIDR, Until: m.Until, Grants: ""},
		Mark:    state, Native: g.Name + " " + rule.Text(),
	}
	if m.Grant != "" {
		o.Opening.Grants = firewall.HoldersOf(m.Grant)
	}
	if state != firewall.MarkGood {
		// The group is ours: what is in it without our mark claims to be.
		o.Mark, o.Opening.Until, o.Opening.Grants = firewall.MarkBroken, time.Time{}, ""
		o.Wrong = "its mark was not made for this rule"
	}
	return o
}

// strays reads the rules of a foreign group that carry a mark. The rule is told as
// one of the first VM that wears the group.
func (r Reading) strays(g Group, wearers []firewall.VMID) []provider.Owned {
	var out []provider.Owned
	for _, rule := range g.Ingress {
		m, state := r.RestMark(g.ID, rule)
		if state == firewall.MarkAbsent {
			continue
		}
		o := provider.Owned{Kind: provider.OwnedRest, Mark: state, Native: g.ID + " " + rule.Text()}
		if state != firewall.MarkGood {
			o.Kind = provider.OwnedOpening
			o.Door, o.Opening = doorOf("", rule), firewall.Opening{From: rule.CIDR, Until: m.Until, Grants: ""}
			if len(wearers) > 0 {
				o.Door.VM = wearers[0]
			}
			o.Wrong = "its mark was not made for this rule"
		}
		if state == firewall.MarkForeign {
			o.Wrong = "written by another installation: " + m.Instance
		}
		out = append(out, o)
	}
	return out
}
