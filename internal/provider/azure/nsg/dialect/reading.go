package dialect

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

// A Reading is one group as it was read: the document, and what the rest of the
// cloud says about those behind it.
type Reading struct {
	Group *resource.Group
	Keys  firewall.Keyring
	// Attachments are the IP configurations that the group stands in front of.
	Attachments []Attachment
	// Machines are the VMs of the inventory, wherever they are: what is left of one
	// that was here is known by its name.
	Machines []firewall.VMID
}

// An Attachment is one IP configuration of a VM's network interface.
type Attachment struct {
	ID        string // of the IP configuration
	VM        firewall.VMID
	Addresses []netip.Addr // private ones
	Groups    []string     // ids of the application security groups that it is in, in lower case
	// View is what names in rules stand for here. Those who share it, as in a
	// subnet, have the same pointer; nil is the zero View.
	View *rule.View
	// Interface and Subnet are the groups in front of it; nil where there is none.
	Interface, Subnet *resource.Group
}

// A Spot is an attachment in one address family: what one rule of ours is about.
type Spot struct {
	Attachment

	To []netip.Prefix // its addresses of the family, sorted

	vm    string // the VM's id, in lower case
	short string // the VM's name, as it stands in the names of rules
	about string // the configuration and its addresses, in one text
}

// V4 reports which family the spot is of.
func (s Spot) V4() bool { return s.To[0].Addr().Is4() }

// Spots returns the attachments by family, sorted.
func (r Reading) Spots() []Spot {
	var out []Spot
	for _, a := range r.Attachments {
		var family [2][]netip.Prefix
		for _, x := range a.Addresses {
			n := 0
			if x.Is6() {
				n = 1
			}
			family[n] = append(family[n], netip.PrefixFrom(x, x.BitLen()))
		}
		for _, to := range family {
			if len(to) == 0 {
				continue
			}
			slices.SortFunc(to, netip.Prefix.Compare)
			s := Spot{Attachment: a, To: slices.Compact(to), vm: strings.ToLower(string(a.VM)), short: short(a.VM), about: strings.ToLower(a.ID)}
			for _, p := range s.To {
				s.about += " " + p.String()
			}
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Spot) int {
		return cmp.Or(strings.Compare(string(a.VM), string(b.VM)), strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)), slices.CompareFunc(a.To, b.To, netip.Prefix.Compare))
	})
	return out
}

// other returns the other group in front of a; nil when there is none, or when the
// same group stands at both places.
func (r Reading) other(a Attachment) *resource.Group {
	switch {
	case a.Interface == nil || a.Subnet == nil || a.Interface.ID == a.Subnet.ID:
		return nil
	case a.Interface.ID == r.Group.ID:
		return a.Subnet
	}
	return a.Interface
}

// On returns what is known about another group in front of the same machines.
func (r Reading) On(g *resource.Group) Reading {
	r.Group = g
	return r
}

// Ours reports whether a rule belongs to this installation, by its name, which
// nobody can change without making another rule.
func (r Reading) Ours(x resource.Rule) bool {
	return strings.HasPrefix(strings.ToLower(x.Name), Prefix(r.Keys.Instance))
}

// inbound returns the rules about inbound packets, in the order in which they are
// asked. Where nobody knows where a rule stands, it stands first.
func (r Reading) inbound() []*resource.Rule {
	out := make([]*resource.Rule, 0, len(r.Group.Rules))
	for i, x := range r.Group.Rules {
		if x.Direction == resource.Inbound || x.Opaque != "" {
			out = append(out, &r.Group.Rules[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *resource.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return out
}

// Owned returns everything of ours on the group, and the locks of ours that stand
// in the other group in front of an IP configuration.
func (r Reading) Owned() []provider.Owned {
	out := make([]provider.Owned, 0, len(r.Group.Rules))
	spots := r.Spots()
	locked := map[string]bool{}
	for _, x := range r.Group.Rules {
		if o, ok := r.Read(x, spots); ok {
			out = append(out, o)
			locked[strings.ToLower(x.Name)] = o.Kind == provider.OwnedLock
		}
	}
	for _, s := range spots {
		g := r.other(s.Attachment)
		if g == nil {
			continue
		}
		there, name := r.On(g), Prefix(r.Keys.Instance)+lockWord+"-"+s.short+"-"
		for _, x := range g.Rules {
			if lower := strings.ToLower(x.Name); !strings.HasPrefix(lower, name) || locked[lower] {
				continue
			}
			if o, _ := there.Read(x, []Spot{s}); o.Kind == provider.OwnedLock && o.Wrong == "" {
				out = append(out, o)
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, provider.CompareOwned)
	return out
}

// Read returns what of a rule concerns Sesame: rules of ours, and rules that carry
// a mark although they are not.
func (r Reading) Read(x resource.Rule, spots []Spot) (provider.Owned, bool) {
	var nobody firewall.Opening
	id := r.identify(x, spots)
	o := provider.Owned{
		Kind: provider.OwnedOpening, Door: id.door, Opening: firewall.Opening{From: id.from, Until: time.Time{}, Grants: ""},
		Mark: firewall.MarkAbsent, Cut: false, Closes: time.Time{}, Uses: 0, Native: x.Text, Wrong: "",
	}
	var m firewall.Mark
	m, o.Mark = r.Keys.Open(markText(x.Description), r.place(x, id))
	if !r.Ours(x) && o.Mark == firewall.MarkAbsent {
		return provider.Owned{}, false
	}
	o.Opening.Until = m.Until
	if m.Grant != "" {
		o.Opening.Grants = firewall.HoldersOf(m.Grant)
	}
	switch {
	case !r.Ours(x) && o.Mark == firewall.MarkForeign:
		o.Wrong = "written by another installation: " + m.Instance
	case !r.Ours(x):
		o.Mark, o.Wrong = firewall.MarkBroken, "its mark was not made for this rule"
	case id.lock && x.Action != firewall.Allow:
		o.Kind, o.Mark, o.Opening = provider.OwnedLock, firewall.MarkAbsent, nobody
		if !id.known {
			o.Wrong = "it locks an address that is not the VM's"
		} else if want := r.LockRule(id.door, id.spot); !same(want.At(x.Priority), x) {
			o.Wrong = "the lock was changed by somebody else"
		}
	case o.Mark != firewall.MarkGood || !id.known:
		o.Mark, o.Wrong = firewall.MarkBroken, "its mark was not made for this rule"
	case x.Description != describe(o.Opening.Until, markText(x.Description)):
		o.Wrong = "its description was changed by somebody else"
	}
	return o, true
}

// same reports whether a and b do the same at the same place and are described
// the same.
func same(a Rule, b resource.Rule) bool {
	return b.Is(a.Name) && a.Says() == b.Says() && a.Description == b.Description
}

// String prints the group, one rule a line, in the order of evaluation.
func (r Reading) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Group.ID, r.Group.State)
	for _, x := range r.inbound() {
		fmt.Fprintf(&b, "  %s  # %s; %s\n", x.Says(), x.Name, x.Description)
	}
	return b.String()
}
