package rule

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// A document is a security admin rule. encoding/json reads keys in any case, as
// Azure does.
type document struct {
	ID         string
	Properties struct {
		Priority                                int
		Direction, Access, Protocol             string
		SourcePortRanges, DestinationPortRanges []string
		Sources, Destinations                   []struct{ AddressPrefix string }
	}
}

// Group returns the inbound rules of a network security group, in order, with the
// default rules behind them.
func Group(g *resource.Group) []Rule {
	out := Defaults()
	for _, r := range g.Rules {
		if r.Direction == resource.Inbound {
			out = append(out, Of(r))
		}
	}
	InOrder(out)
	return out
}

// Of returns one inbound rule of a network security group.
func Of(r resource.Rule) Rule {
	x := Rule{Name: called(r.Priority, r.Name), Priority: r.Priority, Action: r.Action, Doubt: r.Opaque}
	if r.Opaque == "" { // else it may say anything
		x.Take(r.Protocol)
		x.Source, x.Destination = sideOf(r.Source), sideOf(r.Destination)
	}
	return x
}

func sideOf(s resource.Side) Side {
	out := Side{Any: s.Any, Prefixes: s.Prefixes, Tags: s.Tags, Groups: s.Groups, Ports: nil}
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, Ports{First: p.First, Last: p.Last})
	}
	return out
}

// Defaults returns the inbound rules that every network security group ends with.
// They cannot be changed, and documents do not always show them.
func Defaults() []Rule {
	of := func(priority int, name string, action firewall.Action, from, to string) Rule {
		r := Rule{Name: called(priority, name), Priority: priority, Action: action}
		r.Source.Add(from)
		r.Destination.Add(to)
		return r
	}
	return []Rule{
		of(65000, "AllowVnetInBound", firewall.Allow, "VirtualNetwork", "VirtualNetwork"),
		of(65001, "AllowAzureLoadBalancerInBound", firewall.Allow, "AzureLoadBalancer", "*"),
		of(65500, "DenyAllInBound", firewall.Deny, "*", "*"),
	}
}

// Admin reads the inbound rules of a listing of effective security admin rules,
// in order. What a listing leaves out of a rule, it does not limit.
func Admin(text json.RawMessage) ([]Rule, error) {
	var d struct{ Value []json.RawMessage }
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("read security admin rules: %w", err)
	}
	var out []Rule
	for _, text := range d.Value {
		out = append(out, read(text)...)
	}
	InOrder(out)
	return out, nil
}

// read reads one rule: none if it is outbound, two if it may deliver for all that
// is known.
func read(text json.RawMessage) []Rule {
	var d document
	err := json.Unmarshal(text, &d)
	p := d.Properties
	if err == nil && strings.EqualFold(p.Direction, "Outbound") {
		return nil
	}
	r := Rule{Name: called(p.Priority, d.ID[strings.LastIndexByte(d.ID, '/')+1:]), Priority: p.Priority, Action: firewall.Unknown}
	if err != nil {
		r.Doubtful(err.Error())
	}
	if !strings.EqualFold(p.Direction, "Inbound") {
		r.Doubtful("direction " + strconv.Quote(p.Direction) + " is not known")
	}
	switch strings.ToLower(p.Access) {
	case "allow":
		r.Action = firewall.Allow
	case "deny":
		r.Action = firewall.Deny
	case "alwaysallow":
		r.Action = firewall.Deliver
	default:
		r.Doubtful("access " + strconv.Quote(p.Access) + " is not known")
	}
	r.Take(p.Protocol)
	for _, s := range p.Sources {
		r.Source.Add(s.AddressPrefix)
	}
	for _, s := range p.Destinations {
		r.Destination.Add(s.AddressPrefix)
	}
	r.Source.Any = r.Source.Any || len(p.Sources) == 0
	r.Destination.Any = r.Destination.Any || len(p.Destinations) == 0
	r.AddPorts(&r.Source, p.SourcePortRanges...)
	r.AddPorts(&r.Destination, p.DestinationPortRanges...)
	if r.Action == firewall.Unknown {
		deliver := r
		deliver.Action = firewall.Deliver
		return []Rule{deliver, r}
	}
	return []Rule{r}
}

// called writes the name of a rule with its number.
func called(priority int, name string) string {
	return fmt.Sprintf("%d %q", priority, name)
}
