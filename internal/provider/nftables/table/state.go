//go:build linux

package table

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// lateSlack is how much later than its mark says an element may end before it is
// set right. The kernel ends elements up to 12 ms early and never late; the wall
// clock may be slewed by a little in the meantime.
const lateSlack = 100 * time.Millisecond

// An Owner is whose table it is.
type Owner struct {
	Firewall firewall.ID
	VM       firewall.VMID
	Keys     firewall.Keyring
}

// A Reading is what was read of the openings, and when.
type Reading struct {
	At       access.Reading // before the elements were read
	Only     []firewall.Key // what was looked up, sorted; nil when everything was read
	Elements map[string][]ruleset.Element
}

// A State is the table as it was read at one moment. It does not change.
type State struct {
	Owner
	Frame *Frame
	At    access.Reading
	Only  []firewall.Key
	items []item // sorted by set and key
}

// An item is one element of a set of openings, and what we know about it.
type item struct {
	itemID
	owned provider.Owned
	mark  firewall.Mark
}

// An itemID says where an element is: its set, and its key as the kernel has it.
type itemID struct{ set, key string }

// NewState returns what f and r show together.
func NewState(o Owner, f *Frame, r Reading) State {
	s := State{Owner: o, Frame: f, At: r.At, Only: r.Only, items: nil}
	for set, elements := range r.Elements {
		in, ok := parseSlot(set)
		if !ok {
			continue
		}
		for _, e := range elements {
			s.items = append(s.items, s.item(in, e))
		}
	}
	slices.SortFunc(s.items, func(a, b item) int { return a.compare(b.itemID) })
	s.disown()
	return s
}

// disown denies the mark of an exempt source that a grant has an opening for at
// the same door too. We never leave both; an old element was put back by hand.
func (s State) disown() {
	granted := map[firewall.Key]bool{}
	for _, x := range s.items {
		if x.owned.Mark == firewall.MarkGood && !x.owned.Opening.Exempt() {
			granted[firewall.Key{Door: x.owned.Door, From: x.owned.Opening.From}] = true
		}
	}
	for i, x := range s.items {
		o := &s.items[i].owned
		if x.owned.Opening.Exempt() && o.Mark == firewall.MarkGood && granted[firewall.Key{Door: o.Door, From: o.Opening.From}] {
			o.Mark, o.Wrong = firewall.MarkBroken, "the same source has an opening for a grant"
		}
	}
}

func (id itemID) compare(o itemID) int {
	return cmp.Or(strings.Compare(id.set, o.set), strings.Compare(id.key, o.key))
}

// text writes the element as nft does.
func (id itemID) text() string {
	in, _ := parseSlot(id.set)
	return id.set + " { " + in.keyText([]byte(id.key)) + " }"
}

// item judges one element.
func (s State) item(in slot, e ruleset.Element) item {
	set := in.name()
	x := item{itemID: itemID{set: set, key: string(e.Key)}}
	k, ok := in.readKey(e.Key)
	door := firewall.Door{VM: s.VM, Protocol: k.protocol, Port: k.port}
	var from netip.Prefix
	if ok {
		from = netip.PrefixFrom(k.from, in.bits)
	}
	state := firewall.MarkBroken
	if ok && from == from.Masked() {
		x.mark, state = s.Keys.Open(e.Comment, s.place(door, from, set))
	}
	x.owned = provider.Owned{
		Kind: provider.OwnedOpening, Door: door,
		Opening: firewall.Opening{From: from, Until: x.mark.Until, Grants: ""},
		Mark:    state, Uses: e.Packets, Native: x.text(),
	}
	if x.mark.Grant != "" {
		x.owned.Opening.Grants = firewall.HoldersOf(x.mark.Grant)
	}
	if e.Expires > 0 {
		x.owned.Closes = s.At.Wall.Round(0).Add(e.Expires).UTC()
	}
	if x.owned.Wrong = x.fault(in); state == firewall.MarkAbsent {
		x.owned.Mark = firewall.MarkBroken // what is in our table claims to be ours
	}
	return x
}

// fault says what about the element is not as we would write it.
func (x item) fault(in slot) string {
	switch o := x.owned; o.Mark {
	case firewall.MarkAbsent:
		return "it carries no mark: somebody else added it"
	case firewall.MarkForeign:
		return "written by another installation: " + x.mark.Instance
	case firewall.MarkBroken:
		return "its mark was not made for this element"
	case firewall.MarkGood:
		switch {
		case o.Opening.Exempt() != in.exempt:
			return "it is in a set of another kind"
		case !in.exempt && (o.Closes.IsZero() || o.Closes.Sub(o.Opening.Until) > lateSlack):
			// One that ends too early is no fault to mend by making it longer: when
			// the wall clock was set back, the kernel's timer is the one that is right.
			return "its timer lets it in for longer than its mark says"
		}
	}
	return ""
}

// place is where the mark of an opening belongs.
func (s State) place(d firewall.Door, from netip.Prefix, set string) firewall.Place {
	return firewall.Place{Firewall: s.Firewall, Door: d, From: from, Detail: set}
}

// markOf is the mark that says why o is let in. Which of several grants ends
// last is not known here; the first by name stands for all.
func markOf(o firewall.Opening) firewall.Mark {
	m := firewall.Mark{Instance: "", Grant: "", More: 0, Until: o.Until}
	if ids := o.Grants.IDs(); len(ids) > 0 {
		m.Grant, m.More = ids[0], len(ids)-1
	}
	return m
}

// Owned returns everything of ours, sorted.
func (s State) Owned() []provider.Owned {
	if s.Frame.Stranger(s.Keys.Instance) != "" {
		return nil
	}
	var out []provider.Owned
	for _, d := range s.Frame.Locked(s.VM) {
		out = append(out, provider.Owned{
			Kind: provider.OwnedLock, Door: d, Mark: firewall.MarkAbsent, Cut: s.Frame.ports[cutTCP][d.Port] && d.Protocol == firewall.TCP,
			Native: fmt.Sprintf("%s { %d }", lockedBy(d.Protocol), d.Port), Wrong: s.Frame.wrong,
		})
	}
	for _, x := range s.items {
		out = append(out, x.owned)
	}
	slices.SortFunc(out, provider.CompareOwned)
	return out
}

// Obstacles says for every locked door that another installation is in the way.
func (s State) Obstacles() []provider.Obstacle {
	who, text := s.Frame.Stranger(s.Keys.Instance), ""
	for _, x := range s.items {
		if who == "" && x.owned.Mark == firewall.MarkForeign {
			who, text = x.mark.Instance, x.text()
		}
	}
	if who == "" {
		return nil
	}
	var out []provider.Obstacle
	for _, d := range s.Frame.Locked(s.VM) {
		out = append(out, provider.Obstacle{Door: d, Blocks: true, Text: clash(who, text)})
	}
	return out
}

// clash says that two installations meet on this host, and what to do.
func clash(who, element string) string {
	if element != "" {
		return fmt.Sprintf("another installation (%s) wrote %s into our table inet sesame; nothing new is opened here until that is gone", who, element)
	}
	return fmt.Sprintf("table inet sesame belongs to another installation (%s); nothing is written here. If that is gone for good, run on the host: nft delete table inet sesame", who)
}

// Layer is the table as the reach engine sees it. Loopback is not part of it.
func (s State) Layer() firewall.Layer {
	l := firewall.Layer{Firewall: s.Firewall, Kind: firewall.Ordered, Rules: nil, Default: firewall.Allow}
	if !s.Frame.stands() {
		return l
	}
	// What a gate that is not as we wrote it does is not known.
	allow, deny := firewall.Allow, firewall.Deny
	owned := s.Frame.Stranger(s.Keys.Instance) == ""
	if s.Frame.wrong != "" || !owned {
		allow, deny = firewall.Unknown, firewall.Unknown
	}
	line := func(name string, a firewall.Action, d firewall.Door, from ...netip.Prefix) firewall.LayerRule {
		return firewall.LayerRule{
			Name: name, Action: a, VM: d.VM, Protocol: d.Protocol,
			First: d.Port, Last: d.Port, From: from, Owned: owned,
		}
	}
	for _, x := range s.items {
		// A key that is not masked is never met.
		if from := x.owned.Opening.From; from.IsValid() && from == from.Masked() && x.owned.Door.Protocol != 0 {
			l.Rules = append(l.Rules, line(x.owned.Native, allow, x.owned.Door, from))
		}
	}
	for _, d := range s.Frame.Locked(s.VM) {
		l.Rules = append(l.Rules, line(fmt.Sprintf("lock of %d/%s", d.Port, d.Protocol), deny, d))
	}
	slices.SortStableFunc(l.Rules, func(a, b firewall.LayerRule) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Protocol, b.Protocol))
	})
	return l
}
