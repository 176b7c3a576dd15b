package resource

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Direction is which way a rule judges packets.
type Direction uint8

// The directions.
const (
	Inbound Direction = iota
	Outbound
)

// A Rule is one security rule, ours or foreign. Two rules that say the same have
// the same values: enums and ids in lower case, prefixes masked, lists sorted.
type Rule struct {
	Name        string
	Description string
	// Priority is 100 to 4096, and above 65000 in default rules; 0 when it could
	// not be read, and the rule may stand anywhere.
	Priority  int
	Direction Direction
	Action    firewall.Action // Unknown when it could not be read
	// Protocol is "tcp", "udp", "icmp", "esp", "ah" or "*".
	Protocol            string
	Source, Destination Side
	// Opaque says why the rule is not understood, and is empty when it is. What
	// the other fields say then is not all that the rule says.
	Opaque string
	// Text is the rule as it was read, byte for byte.
	Text string
}

// A Side is the source or the destination of a rule. Any stands for every
// address; the other fields list alternatives.
type Side struct {
	Any      bool
	Prefixes []netip.Prefix
	Tags     []string // service tags, and whatever else is no address
	Groups   []string // ids of application security groups
	Ports    []Ports
}

// Ports are the port numbers from First to Last.
type Ports struct{ First, Last uint16 }

// AnyPort is every port.
func AnyPort() Ports { return Ports{First: 0, Last: 65535} }

func comparePorts(a, b Ports) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
}

// Is reports whether name names r: Azure's names know no case.
func (r Rule) Is(name string) bool { return strings.ToLower(r.Name) == strings.ToLower(name) } //nolint:staticcheck // as Edit compares them, also where folding differs

// Says is everything that decides what r does and where it stands, in one text:
// two rules are the same if they say the same and have the same description.
func (r Rule) Says() string {
	if r.Opaque != "" {
		return "not understood: " + r.Text
	}
	way := "in"
	if r.Direction == Outbound {
		way = "out"
	}
	b := make([]byte, 0, 128)
	b = strconv.AppendInt(b, int64(r.Priority), 10)
	for _, part := range []string{" ", way, " ", r.Action.String(), " ", r.Protocol, " from "} {
		b = append(b, part...)
	}
	b = append(r.Source.append(b), " to "...)
	return string(r.Destination.append(b))
}

// String writes the side, the same for sides that mean the same.
func (s Side) String() string { return string(s.append(nil)) }

func (s Side) append(b []byte) []byte {
	start := len(b)
	part := func(text string) {
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, text...)
	}
	for _, text := range s.Tags {
		part(text)
	}
	for _, id := range s.Groups {
		part(id)
	}
	for _, p := range s.Prefixes {
		part(firewall.FormatSource(p))
	}
	if s.Any {
		part("*")
	}
	b = append(b, " port "...)
	for start = len(b); len(s.Ports) > 0; s.Ports = s.Ports[1:] {
		part(s.Ports[0].String())
	}
	return b
}

// String writes the ports as Azure does.
func (p Ports) String() string {
	switch {
	case p == AnyPort():
		return "*"
	case p.First == p.Last:
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// ruleOf reads the rule that is text[at.from:at.to].
func ruleOf(text string, at span) Rule {
	r := Rule{Text: text[at.from:at.to], Action: firewall.Unknown}
	outer, err := objectOf(text, at, "name", "properties")
	if err != nil {
		r.Opaque = err.Error()
		return r
	}
	var why []error
	note := func(err error) { why = append(why, err) }
	r.Name, err = outer.string("name")
	note(err)
	sources, destinations := sourceKeys(), destinationKeys()
	props, ok := outer.at("properties")
	if !ok || outer.unclear != "" || r.Name == "" {
		r.Opaque = "its name or properties are missing or unclear"
		return r
	}
	inner, err := objectOf(text, props,
		"description", "protocol", "access", "priority", "direction",
		sources.address, sources.addresses, sources.groups, sources.port, sources.ports,
		destinations.address, destinations.addresses, destinations.groups, destinations.port, destinations.ports)
	if err != nil {
		r.Opaque = err.Error()
		return r
	}
	if inner.unclear != "" {
		note(fmt.Errorf("%q is there twice or in another case", inner.unclear))
	}
	r.Description, err = inner.string("description")
	note(err)
	r.Priority, err = inner.integer("priority")
	note(err)
	if r.Priority < 1 || r.Priority > 65535 || inner.unclear != "" {
		r.Priority = 0
		note(fmt.Errorf("its priority is not known"))
	}
	var direction string
	r.Action, direction, r.Protocol, err = enumsOf(inner)
	note(err)
	if direction == "outbound" {
		r.Direction = Outbound
	}
	r.Source, err = sideOf(inner, sources)
	note(err)
	r.Destination, err = sideOf(inner, destinations)
	note(err)
	if i := slices.IndexFunc(why, func(err error) bool { return err != nil }); i >= 0 {
		r.Opaque = why[i].Error()
	}
	return r
}

// enumsOf returns what a rule does, its direction and its protocol; all in lower
// case, Unknown and empty where they are not known.
func enumsOf(o object) (a firewall.Action, direction, protocol string, err error) {
	access, err1 := o.string("access")
	direction, err2 := o.string("direction")
	protocol, err3 := o.string("protocol")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return firewall.Unknown, "", "", err
	}
	direction, protocol = strings.ToLower(direction), strings.ToLower(protocol)
	switch strings.ToLower(access) {
	case "allow":
		a = firewall.Allow
	case "deny":
		a = firewall.Deny
	default:
		return firewall.Unknown, direction, protocol, fmt.Errorf("access %q is not known", access)
	}
	if direction != "inbound" && direction != "outbound" {
		return firewall.Unknown, "", protocol, fmt.Errorf("direction %q is not known", direction)
	}
	switch protocol {
	case "tcp", "udp", "icmp", "esp", "ah", "*":
		return a, direction, protocol, nil
	}
	return a, direction, "", fmt.Errorf("protocol %q is not known", protocol)
}

// sideKeys are the fields that describe a side: the address, the addresses, the
// application security groups, the port range, the port ranges.
type sideKeys struct{ side, address, addresses, groups, port, ports string }

func sourceKeys() sideKeys {
	return sideKeys{"source", "sourceAddressPrefix", "sourceAddressPrefixes", "sourceApplicationSecurityGroups", "sourcePortRange", "sourcePortRanges"}
}

func destinationKeys() sideKeys {
	return sideKeys{"destination", "destinationAddressPrefix", "destinationAddressPrefixes", "destinationApplicationSecurityGroups", "destinationPortRange", "destinationPortRanges"}
}

func sideOf(o object, keys sideKeys) (Side, error) {
	addresses, err1 := twins(o, keys.address, keys.addresses)
	groups, err2 := groupsOf(o, keys.groups)
	ports, err3 := twins(o, keys.port, keys.ports)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return Side{}, err
	}
	s := Side{Groups: groups}
	if (len(addresses) == 0) == (len(groups) == 0) {
		return s, fmt.Errorf("its %s is given in no way, or in two", keys.side)
	}
	if len(ports) == 0 {
		return s, fmt.Errorf("its %s ports are missing", keys.side)
	}
	for _, a := range addresses {
		s = s.with(a)
	}
	slices.SortFunc(s.Prefixes, netip.Prefix.Compare)
	s.Prefixes = slices.Compact(s.Prefixes)
	slices.Sort(s.Tags)
	for _, text := range ports {
		p, err := portsOf(text)
		if err != nil {
			return s, err
		}
		s.Ports = append(s.Ports, p)
	}
	slices.SortFunc(s.Ports, comparePorts)
	s.Ports = slices.Compact(s.Ports)
	return s, nil
}

// with returns s with an address, a prefix or a tag more. A prefix may have host
// bits, which Azure ignores.
func (s Side) with(text string) Side {
	text = strings.TrimSpace(text)
	a, err := netip.ParseAddr(text)
	p, noPrefix := netip.ParsePrefix(text)
	switch {
	case text == "*":
		s.Any = true
	case err == nil && a.Zone() == "" && !a.Is4In6():
		s.Prefixes = append(s.Prefixes, netip.PrefixFrom(a, a.BitLen()))
	case noPrefix == nil && !p.Addr().Is4In6():
		s.Prefixes = append(s.Prefixes, p.Masked())
	default:
		s.Tags = append(s.Tags, strings.ToLower(text))
	}
	return s
}

// twins returns the values of a pair of fields, of which one may be filled.
func twins(o object, one, several string) ([]string, error) {
	single, err := o.string(one)
	if err != nil {
		return nil, err
	}
	list, err := o.strings(several)
	if err != nil || single == "" {
		return list, err
	}
	if len(list) > 0 {
		return nil, fmt.Errorf("both %s and %s are filled", one, several)
	}
	return []string{single}, nil
}

// groupsOf returns the ids of the application security groups at key, sorted.
func groupsOf(o object, key string) ([]string, error) {
	at, ok := o.at(key)
	if !ok {
		return nil, nil
	}
	list, err := elements(o.text, at)
	if err != nil {
		return nil, fmt.Errorf("%s is no list", key)
	}
	var out []string
	for _, e := range list {
		group, err := objectOf(o.text, e, "id")
		if err != nil {
			return nil, fmt.Errorf("%s is no list of resources", key)
		}
		id, err := group.string("id")
		if err != nil || id == "" || group.unclear != "" {
			return nil, fmt.Errorf("%s names a group without an id", key)
		}
		out = append(out, strings.ToLower(id))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func portsOf(text string) (Ports, error) {
	if text = strings.TrimSpace(text); text == "*" {
		return AnyPort(), nil
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err1 != nil || err2 != nil || a > b {
		return Ports{}, fmt.Errorf("%q is no port range", text)
	}
	return Ports{First: uint16(a), Last: uint16(b)}, nil
}
