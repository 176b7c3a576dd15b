package dialect

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// A rule of ours is found again by its name, which Azure lets nobody change:
//
//	sesame-INSTANCE-lock-VM-PORT-PROTOCOL-IDENTITY
//	sesame-INSTANCE-open-VM-PORT-PROTOCOL-IDENTITY
//
// VM is there for people, and may be shortened; IDENTITY is a digest of what the
// rule is about: the door, the IP configuration and its addresses, the source. So
// a rule for the same thing always has the same name, and one whose address went
// to another machine has a name that nothing explains.
//
// The description of an opening is a sentence for people and, as its last word,
// the mark of package firewall, whose MAC covers the group, the door, the source,
// the name, and everything that decides what the rule does, its priority too: a
// rule that is moved outranks others than those that were judged when it was
// made. So whoever moves, widens or copies a rule breaks its mark. The description
// of a lock is a sentence alone.
const (
	MostName        = 80  // characters of a name, as Azure allows
	MostDescription = 140 // characters of a description

	product   = "sesame-"
	lockWord  = "lock"
	openWord  = "open"
	mostShort = 20 // of a VM's name in a rule's name
)

// Prefix is how the names of an installation's rules begin, in lower case. It is
// what a sweep can rely on.
func Prefix(instance string) string { return product + strings.ToLower(instance) + "-" }

// OfSesame reports whether a rule of that name is Sesame's, of whatever
// installation.
func OfSesame(name string) bool { return strings.HasPrefix(strings.ToLower(name), product) }

// A Rule is one of ours, before it is numbered and marked.
type Rule struct{ resource.Rule }

// At returns r with its number.
func (r Rule) At(priority int) Rule {
	r.Priority = priority
	return r
}

// LockRule is the rule that keeps everybody from d at s.
func (r Reading) LockRule(d firewall.Door, s Spot) Rule {
	x := ruleFor(d, s)
	x.Name = r.ownName(lockWord, d, s, netip.Prefix{})
	x.Action = firewall.Deny
	x.Source.Any = true
	x.Description = fmt.Sprintf("Sesame: port %d/%s of %s is locked. Only the Sesame rules above let somebody in.", d.Port, d.Protocol, short(d.VM))
	return x
}

// OpenRule is the rule that lets from through d at s.
func (r Reading) OpenRule(d firewall.Door, s Spot, from netip.Prefix) Rule {
	x := ruleFor(d, s)
	x.Name = r.ownName(openWord, d, s, from)
	x.Action = firewall.Allow
	x.Source.Prefixes = []netip.Prefix{from}
	return x
}

// Nobody is a rule of ours that denies what nobody sends, for when a group has to
// be written and nothing in it changes.
func (r Reading) Nobody(priority int) Rule {
	at := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/32")}
	return Rule{resource.Rule{
		Name: Prefix(r.Keys.Instance) + "nobody", Description: "Sesame: this rule is about nobody, and goes again.",
		Priority: priority, Direction: resource.Inbound, Action: firewall.Deny, Protocol: firewall.TCP.String(),
		Source:      resource.Side{Prefixes: at, Ports: []resource.Ports{resource.AnyPort()}},
		Destination: resource.Side{Prefixes: at, Ports: []resource.Ports{{First: 9, Last: 9}}},
	}}
}

func ruleFor(d firewall.Door, s Spot) Rule {
	return Rule{resource.Rule{
		Protocol: d.Protocol.String(), Direction: resource.Inbound,
		Source:      resource.Side{Ports: []resource.Ports{resource.AnyPort()}},
		Destination: resource.Side{Prefixes: slices.Clone(s.To), Ports: []resource.Ports{{First: d.Port, Last: d.Port}}},
	}}
}

// ownName names a rule of ours after what it is about. The longest name, with an
// instance of 12 characters, has 77.
func (r Reading) ownName(what string, d firewall.Door, s Spot, from netip.Prefix) string {
	var about []byte
	door := s.vm + ":" + strconv.Itoa(int(d.Port)) + "/" + d.Protocol.String()
	for _, p := range []string{door, s.about, from.String()} {
		about = append(strconv.AppendInt(about, int64(len(p)), 10), ":"+p...)
	}
	sum := sha256.Sum256(about)
	const digest = 10 // bytes, 16 characters: nobody finds two rules with one name
	identity := strings.ToLower(base32.HexEncoding.EncodeToString(sum[:digest]))
	return Prefix(r.Keys.Instance) + what + "-" + s.short + "-" + strconv.Itoa(int(d.Port)) + "-" + d.Protocol.String() + "-" + identity
}

// short is the name of a VM as it stands in the names of rules.
func short(vm firewall.VMID) string {
	name := strings.Map(func(c rune) rune {
		if c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' {
			return c
		}
		return '-'
	}, strings.ToLower(vm.Name()))
	return name[:min(len(name), mostShort)]
}

// An identity is what a rule of ours is about.
type identity struct {
	lock bool
	door firewall.Door
	spot Spot
	from netip.Prefix
	// known says that the rule's name is that of a rule of ours for all this, and
	// that its source and destination are, too. Otherwise door is what the name
	// says; its VM is only a short name when that is nobody's here, or several'.
	known bool
}

// identify finds out what a rule is about by its name, its destination and its
// source. A rule whose name is not of our making is about the spot with its
// destination.
func (r Reading) identify(x resource.Rule, spots []Spot) identity {
	id := identity{door: doorOf(x), from: netip.Prefix{}}
	if len(x.Source.Prefixes) == 1 && len(x.Source.Tags)+len(x.Source.Groups) == 0 {
		id.from = x.Source.Prefixes[0]
	}
	var name string
	if r.Ours(x) {
		name, id.lock, id.door = r.nameOf(x, id.door)
	}
	// Mostly a rule has the destination that it should have: that is tried first.
	for _, aimed := range []bool{true, false} {
		for _, s := range spots {
			if slices.Equal(s.To, x.Destination.Prefixes) != aimed {
				continue
			}
			if name == "" && aimed {
				id.door.VM, id.spot = s.VM, s
				return id
			}
			if d, ok := r.named(x, name, id, s); ok {
				// A lock is known by its name alone: it is about no source.
				id.door, id.spot, id.known = d, s, id.lock || aimed
				return id
			}
		}
	}
	if vm, ok := r.machine(name, spots); ok {
		id.door.VM = vm
	}
	return id
}

// named reports whether x has the name of a rule of ours for s, and which door
// that is about.
func (r Reading) named(x resource.Rule, name string, id identity, s Spot) (firewall.Door, bool) {
	d, what, from := id.door, openWord, id.from
	if name == "" || name != s.short {
		return d, false
	}
	d.VM = s.VM
	if id.lock {
		what, from = lockWord, netip.Prefix{}
	}
	return d, x.Is(r.ownName(what, d, s, from))
}

// machine returns the one VM, here or anywhere, with that short name.
func (r Reading) machine(name string, spots []Spot) (firewall.VMID, bool) {
	vms := map[firewall.VMID]bool{}
	for _, s := range spots {
		if s.short == name {
			vms[s.VM] = true
		}
	}
	for _, vm := range r.Machines {
		if short(vm) == name {
			vms[vm] = true
		}
	}
	if len(vms) != 1 {
		return "", false
	}
	return slices.Collect(maps.Keys(vms))[0], true
}

// doorOf is the door that a rule's content is about, without the VM.
func doorOf(x resource.Rule) firewall.Door {
	d := firewall.Door{VM: "", Protocol: firewall.TCP, Port: 0}
	if p, err := firewall.ParseProtocol(x.Protocol); err == nil {
		d.Protocol = p
	}
	if len(x.Destination.Ports) == 1 {
		d.Port = x.Destination.Ports[0].First
	}
	if len(x.Destination.Prefixes) == 1 {
		d.VM = firewall.VMID(x.Destination.Prefixes[0].Addr().String())
	}
	return d
}

// nameOf takes the name of a rule of ours apart. A name that is not of our making
// is about whatever the rule's content is.
func (r Reading) nameOf(x resource.Rule, otherwise firewall.Door) (vm string, lock bool, d firewall.Door) {
	rest := strings.ToLower(x.Name)[len(Prefix(r.Keys.Instance)):]
	what, rest, _ := strings.Cut(rest, "-")
	part := strings.Split(rest, "-")
	n := len(part)
	if n >= 4 && (what == lockWord || what == openWord) {
		port, err1 := firewall.ParsePort(part[n-3])
		protocol, err2 := firewall.ParseProtocol(part[n-2])
		if vm = strings.Join(part[:n-3], "-"); err1 == nil && err2 == nil && vm != "" {
			return vm, what == lockWord, firewall.Door{VM: firewall.VMID(vm), Protocol: protocol, Port: port}
		}
	}
	if otherwise.VM == "" {
		otherwise.VM = firewall.VMID(x.Name)
	}
	return "", x.Action == firewall.Deny, otherwise
}

// place is where the mark of an opening belongs.
func (r Reading) place(x resource.Rule, id identity) firewall.Place {
	d := id.door
	if d.VM == id.spot.VM && id.spot.vm != "" {
		d.VM = firewall.VMID(id.spot.vm)
	} else {
		d.VM = firewall.VMID(strings.ToLower(string(d.VM)))
	}
	return firewall.Place{Firewall: r.Group.ID, Door: d, From: id.from, Detail: strings.ToLower(x.Name) + " " + x.Says()}
}

// Sealed returns the rule x for o at its number, with its mark.
func (r Reading) Sealed(x Rule, d firewall.Door, s Spot, o firewall.Opening) Rule {
	id := identity{lock: false, door: d, spot: s, from: o.From, known: true}
	x.Description = describe(o.Until, r.Keys.Seal(MarkFor(o), r.place(x.Rule, id)))
	return x
}

// Claims reports whether the mark of x says that it was made for o. Whether it
// verifies is another question.
func Claims(x resource.Rule, o firewall.Opening) bool {
	m, ok := firewall.ParseMark(markText(x.Description))
	m.Instance = ""
	return ok && m == MarkFor(o)
}

// MarkFor is the mark that says why o is let in.
func MarkFor(o firewall.Opening) firewall.Mark {
	m := firewall.Mark{Instance: "", Grant: "", More: 0, Until: o.Until}
	if ids := o.Grants.IDs(); len(ids) > 0 {
		m.Grant, m.More = ids[0], len(ids)-1
	}
	return m
}

// describe writes the description of an opening. With ids of the lengths that
// Sesame makes the longest has 138 characters; a longer mark takes the room of
// the sentence.
func describe(until time.Time, mark string) string {
	text := "Sesame: exempt from the lock, for good."
	if !until.IsZero() {
		text = "Sesame: open until " + until.UTC().Format("2006-01-02 15:04:05Z") + ", then deleted."
	}
	if len(text)+1+len(mark) > MostDescription {
		return mark
	}
	return text + " " + mark
}

// markText returns the part of a description where a mark stands.
func markText(description string) string {
	return description[strings.LastIndexByte(description, ' ')+1:]
}
