package arm

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// An Asked is one port of one VM that somebody asks for.
type Asked struct {
	VM      firewall.VMID
	Doors   []firewall.Door // of every protocol that the policy has for the port
	Sources []netip.Prefix  // none for the caller's own address
	// Duration is how long, as whole seconds that end no later than was asked.
	Duration time.Duration
}

// Parse reads what is asked for at now under a policy, whose parts are in force.
// What the policy does not let anybody ask for is not judged here, but for a port
// that it does not have.
func (in Initiate) Parse(id PolicyID, parts []policy.Policy, now time.Time) (asked []Asked, reason string, err error) {
	if len(in.VirtualMachines) == 0 {
		return nil, "", errkind.Wrong("virtualMachines", "", "a list of at least one VM", "it names no VM; name at least one")
	}
	seen := map[firewall.Door]bool{}
	for i, v := range in.VirtualMachines {
		place := "virtualMachines[" + strconv.Itoa(i) + "]"
		vm, err := ParseVM(place+".id", id.Subscription, v.ID)
		if err != nil {
			return nil, "", err
		}
		if len(v.Ports) == 0 {
			return nil, "", errkind.Wrong(place+".ports", "", "a list of at least one port", "it names no port; name at least one")
		}
		for j, p := range v.Ports {
			one, err := p.parse(vm, parts, now)
			if err != nil {
				return nil, "", errkind.In(place+".ports["+strconv.Itoa(j)+"]", err)
			}
			for _, d := range one.Doors {
				if seen[d] {
					return nil, "", errkind.Wrong(place+".ports", strconv.Itoa(int(d.Port)), "a list that names each port once", "%d is named twice; name each port once", d.Port)
				}
				seen[d] = true
			}
			asked = append(asked, one)
		}
	}
	if len(seen) > access.MaxDoors {
		return nil, "", errkind.Wrong("virtualMachines", strconv.Itoa(len(seen)), "fewer ports", "it asks for %d ports with their protocols, and may ask for %d at most", len(seen), access.MaxDoors)
	}
	reason, err = access.ParseReason("justification", in.Justification)
	return asked, reason, err
}

func (p InitiatePort) parse(vm firewall.VMID, parts []policy.Policy, now time.Time) (Asked, error) {
	number, err := p.Number.port()
	if err != nil {
		return Asked{}, err
	}
	out := Asked{VM: vm}
	var longest time.Duration
	for _, part := range parts {
		for _, protocol := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
			d := firewall.Door{VM: vm, Protocol: protocol, Port: number}
			if rule, ok := part.PortOf(d); ok {
				out.Doors = append(out.Doors, d)
				longest = max(longest, rule.Max)
			}
		}
	}
	if len(out.Doors) == 0 {
		return Asked{}, errkind.Bad("number", strconv.Itoa(int(number)), "a port that the policy has for "+vm.Name())
	}
	slices.SortFunc(out.Doors, firewall.CompareDoors)
	if out.Duration, err = p.lasts(longest, now); err != nil {
		return Asked{}, err
	}
	out.Sources, err = p.sources()
	return out, err
}

// lasts returns how long p asks for. A client whose clock is a little ahead asks for
// a little more than it means; it gets what it may have.
func (p InitiatePort) lasts(longest time.Duration, now time.Time) (time.Duration, error) {
	switch {
	case p.End == "" && p.Duration == "":
		return 0, errkind.Wrong("endTimeUtc", "", wantTime, "it is missing; say until when, or for how long by duration")
	case p.End != "" && p.Duration != "":
		return 0, errkind.Wrong("endTimeUtc", p.End, "left out", "duration is there, too; send one of them")
	case p.Duration != "":
		d, err := ParseDuration("duration", p.Duration)
		if err == nil && d < access.MinDuration {
			err = errkind.Bad("duration", p.Duration, "at least "+FormatDuration(access.MinDuration))
		}
		return d, err
	}
	end, err := ParseTime("endTimeUtc", p.End)
	if err != nil {
		return 0, err
	}
	d := end.Sub(now).Truncate(time.Second)
	if d < access.MinDuration {
		return 0, errkind.Bad("endTimeUtc", p.End, "at least a minute ahead; it is "+FormatTime(now)+" here")
	}
	if d > longest && d-longest <= access.MaxSkew {
		d = longest
	}
	return d, nil
}

func (p InitiatePort) sources() ([]netip.Prefix, error) {
	field, texts, err := either(p.Source, p.Sources)
	if err != nil {
		return nil, err
	}
	if slices.Contains(texts, anySource) {
		return nil, errkind.Bad(field, anySource, `an address or a prefix: "*" in a policy means that any address may be asked for, and nobody asks for all of them; leave it out for your own`)
	}
	return prefixes(field, texts, "an IPv4 or IPv6 address or prefix, such as 203.0.113.7; leave it out for your own")
}

// RequestOf returns what a grant is in Azure: a request for one port.
func RequestOf(g access.Grant, state access.State, spell Speller) Request {
	port := RequestedPort{Number: Number(g.Door.Port), End: FormatTime(g.Deadline.Wall)}
	port.Status, port.StatusReason = statusOf(g, state)
	var texts []string
	for _, s := range g.Sources {
		texts = append(texts, firewall.FormatSource(s))
	}
	port.Source, port.Sources = Sources(texts)
	return Request{
		VirtualMachines: []RequestedVM{{ID: spell(g.Door.VM), Ports: []RequestedPort{port}}},
		Start:           FormatTime(g.Start), Requestor: g.Principal.String(), Justification: g.Reason,
	}
}

// statusOf says how a grant stands in Azure's words. What has ended and was not read
// back closed is not revoked: somebody may still get in.
func statusOf(g access.Grant, state access.State) (status, reason string) {
	reason = Expired
	switch g.Ended.Why {
	case access.Superseded:
		reason = NewerRequestInitiated
	case access.ClosedByUser, access.DoorUnlocked, access.PolicyRemoved, access.RoleLost, access.VMGone:
		reason = UserRequested
	case access.NeverOpened, "":
	}
	switch state {
	case access.Scheduled, access.Opening:
		return Initiating, UserRequested
	case access.Open:
		return Initiated, UserRequested
	case access.Closing, access.Overdue:
		return Initiated, reason
	case access.Closed:
	}
	return Revoked, reason
}

// Joined returns requests that were asked for together as one: the ports of a VM
// below it, and a port of several protocols once, as far along as the one that is
// behind.
func Joined(list []Request) Request {
	out := Request{VirtualMachines: []RequestedVM{}}
	for _, r := range list {
		if out.Start == "" || r.Start < out.Start {
			out.Start = r.Start
		}
		out.Requestor, out.Justification = r.Requestor, r.Justification
		for _, v := range r.VirtualMachines {
			i := slices.IndexFunc(out.VirtualMachines, func(x RequestedVM) bool { return x.ID == v.ID })
			if i < 0 {
				i = len(out.VirtualMachines)
				out.VirtualMachines = append(out.VirtualMachines, RequestedVM{ID: v.ID, Ports: []RequestedPort{}})
			}
			for _, p := range v.Ports {
				out.VirtualMachines[i].Ports = joinPort(out.VirtualMachines[i].Ports, p)
			}
		}
	}
	return out
}

func joinPort(ports []RequestedPort, p RequestedPort) []RequestedPort {
	for i, x := range ports {
		if x.Number != p.Number || x.Source != p.Source || x.End != p.End || !slices.Equal(x.Sources, p.Sources) {
			continue
		}
		rank := func(status string) int { return slices.Index([]string{Initiating, Initiated, Revoked}, status) }
		if rank(p.Status) < rank(x.Status) {
			ports[i].Status, ports[i].StatusReason = p.Status, p.StatusReason
		}
		return ports
	}
	return append(ports, p)
}
