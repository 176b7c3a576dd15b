package arm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// anySource is what Azure calls any source. In a policy it means that every single
// address may be asked for, and in a request nothing.
const anySource = "*"

// anyProtocol is what Azure calls all protocols, of which we know two.
const anyProtocol = "*"

// PartName returns the name of the n-th part of a policy, counted from 0: as much of
// its own as fits, so that people know it again, and a hash that no other id has.
func PartName(id PolicyID, n int) string {
	const digits, most = 8, 40
	sum := sha256.Sum256([]byte(id.Key()))
	var b strings.Builder
	for _, r := range strings.ToLower(id.Name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 {
			b.WriteByte('-')
		}
	}
	own := b.String()
	own = strings.Trim(own[:min(len(own), most)], "-")
	name := strings.TrimPrefix(own+"-"+hex.EncodeToString(sum[:digits]), "-")
	if n > 0 {
		name += "-" + strconv.Itoa(n+1)
	}
	return name
}

// A machine is a VM with the terms that it gets.
type machine struct {
	vm    firewall.VMID
	terms policy.Policy // without VMs
}

// Parts returns the policies that p is, in canonical form: as many as there are
// different terms. inForce are the parts in force; what p cannot say, such as who is
// exempt and who approves, stays as it is for a VM, and is for a new one as in the
// first of them.
func Parts(id PolicyID, p Policy, inForce []policy.Policy) ([]policy.Policy, error) {
	machines, err := machines(id, p, inForce)
	if err != nil {
		return nil, err
	}
	text, err := Encode(kept(p))
	if err != nil {
		return nil, fmt.Errorf("keep what was put: %w", err)
	}
	var out []policy.Policy
	places := map[string]int{}
	for _, m := range machines {
		key := string(policy.Format(m.terms))
		i, known := places[key]
		if !known || len(out[i].VMs) == policy.MaxVMs {
			i = len(out)
			places[key] = i
			m.terms.Name = PartName(id, i)
			m.terms.Azure = policy.Azure{Policy: id.String(), Document: ""}
			out = append(out, m.terms)
		}
		out[i].VMs = append(out[i].VMs, m.vm) // which come sorted
	}
	out[0].Azure.Document = string(text)
	for _, p := range out {
		if err := policy.Validate(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// kept returns what is kept of p: what its owner said, and nothing that we say.
func kept(p Policy) Policy {
	return Policy{Kind: p.Kind, Properties: Properties{VirtualMachines: p.Properties.VirtualMachines, Requests: []Request{}}}
}

func machines(id PolicyID, p Policy, inForce []policy.Policy) ([]machine, error) {
	vms := p.Properties.VirtualMachines
	if len(vms) == 0 {
		return nil, errkind.Wrong("properties.virtualMachines", "", "a list of at least one VM", "it names no VM; to end a policy, delete it")
	}
	seen := map[firewall.VMID]bool{}
	var out []machine
	for i, v := range vms {
		place := "properties.virtualMachines[" + strconv.Itoa(i) + "]"
		vm, err := ParseVM(place+".id", id.Subscription, v.ID)
		if err != nil {
			return nil, err
		}
		if seen[vm] {
			return nil, errkind.Wrong(place+".id", v.ID, "another VM", "%s is there twice; name each VM once", vm.Name())
		}
		seen[vm] = true
		terms := termsOf(vm, inForce)
		if terms.Ports, err = ports(place, v.Ports, terms.Ports); err != nil {
			return nil, err
		}
		out = append(out, machine{vm: vm, terms: terms})
	}
	slices.SortFunc(out, func(a, b machine) int { return cmp.Compare(a.vm, b.vm) })
	return out, nil
}

// termsOf returns what is in force for a VM besides what can be put; for a new VM
// what is in force for the others.
func termsOf(vm firewall.VMID, inForce []policy.Policy) policy.Policy {
	var out policy.Policy
	if len(inForce) > 0 {
		out, out.Ports = inForce[0], nil
	}
	for _, p := range inForce {
		if _, mine := slices.BinarySearch(p.VMs, vm); mine {
			out = p
		}
	}
	out.Name, out.Version, out.VMs, out.Azure = "", 0, nil, policy.Azure{}
	return out
}

// ports reads the ports of a VM. How wide a source may be asked for stays as it is
// in force; otherwise it is as wide as what is listed.
func ports(place string, rules []PortRule, inForce []policy.Port) ([]policy.Port, error) {
	if len(rules) == 0 {
		return nil, errkind.Wrong(place+".ports", "", "a list of at least one port", "it names no port; leave the VM out instead")
	}
	var out []policy.Port
	for i, r := range rules {
		field := place + ".ports[" + strconv.Itoa(i) + "]"
		one, err := r.ports()
		if err != nil {
			return nil, errkind.In(field, err)
		}
		for _, p := range one {
			same := func(x policy.Port) bool { return x.Port == p.Port && x.Protocol == p.Protocol }
			if slices.ContainsFunc(out, same) {
				return nil, errkind.Wrong(field+".number", strconv.Itoa(int(p.Port)), "another port", "%d/%s is there twice; name each port once", p.Port, p.Protocol)
			}
			if old := slices.IndexFunc(inForce, same); old >= 0 && slices.Equal(inForce[old].Sources, p.Sources) {
				p.WidestIPv4, p.WidestIPv6 = inForce[old].WidestIPv4, inForce[old].WidestIPv6
			}
			out = append(out, p)
		}
	}
	return policy.Policy{Ports: out}.WithDefaults().Ports, nil
}

// ports returns what r is here: one port for each of its protocols.
func (r PortRule) ports() ([]policy.Port, error) {
	number, err := r.Number.port()
	if err != nil {
		return nil, err
	}
	protocols := map[string][]firewall.Protocol{"TCP": {firewall.TCP}, "UDP": {firewall.UDP}, anyProtocol: {firewall.TCP, firewall.UDP}}[strings.ToUpper(r.Protocol)]
	if protocols == nil {
		return nil, errkind.Bad("protocol", r.Protocol, `"TCP", "UDP" or "*"`)
	}
	longest, err := ParseDuration("maxRequestAccessDuration", r.Max)
	if err == nil && (longest < MinAccess || longest > MaxAccess) {
		err = errkind.Bad("maxRequestAccessDuration", r.Max, "from PT5M to PT24H")
	}
	if err != nil {
		return nil, err
	}
	sources, err := allowed(r.Source, r.Sources)
	if err != nil {
		return nil, err
	}
	var out []policy.Port
	for _, protocol := range protocols {
		p := policy.Port{Port: number, Protocol: protocol, Max: longest, Sources: slices.Clone(sources)}
		for _, s := range sources {
			p.WidestIPv4, p.WidestIPv6 = widest(s, p.WidestIPv4, p.WidestIPv6)
		}
		out = append(out, p)
	}
	return out, nil
}

// widest returns the shorter one of lengths and that of s, for its family.
func widest(s netip.Prefix, four, six int) (widest4, widest6 int) {
	if s.Addr().Is4() {
		return min(cmp.Or(four, policy.DefaultWidestIPv4), s.Bits()), six
	}
	return four, min(cmp.Or(six, policy.DefaultWidestIPv6), s.Bits())
}

func (n Number) port() (uint16, error) { return firewall.ParsePort(strconv.FormatInt(int64(n), 10)) }

// allowed reads the sources of a rule of a policy; none for any.
func allowed(one string, many []string) ([]netip.Prefix, error) {
	field, texts, err := either(one, many)
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, errkind.Wrong(field, "", `"*", an address or a prefix`, `it is missing; say "*" to let people ask from every address`)
	}
	if len(texts) == 1 && texts[0] == anySource {
		return nil, nil
	}
	return prefixes(field, texts, `an IPv4 or IPv6 address or prefix, or "*" alone`)
}

// either returns the one of two ways to name sources that was used.
func either(one string, many []string) (field string, texts []string, err error) {
	const singular, plural = "allowedSourceAddressPrefix", "allowedSourceAddressPrefixes"
	switch {
	case one != "" && len(many) > 0:
		return "", nil, errkind.Wrong(singular, one, "left out", "%s is there, too; send one of them", plural)
	case len(many) > 0:
		return plural, many, nil
	case one != "":
		return singular, []string{one}, nil
	}
	return singular, nil, nil
}

func prefixes(field string, texts []string, want string) ([]netip.Prefix, error) {
	if len(texts) > policy.MaxSources {
		return nil, errkind.Wrong(field, strconv.Itoa(len(texts)), "a shorter list", "it has %d entries, and may have %d at most", len(texts), policy.MaxSources)
	}
	var out []netip.Prefix
	for _, s := range texts {
		p, err := firewall.ParseSource(s)
		if err != nil && strings.Contains(s, "/") {
			return nil, errkind.At(field, err)
		}
		if err != nil {
			return nil, errkind.Bad(field, s, want)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out), nil
}
