package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

// The limits of a network security group (Azure's page on limits, 2022-12).
const (
	mostRules     = 1000
	mostAddresses = 4000 // of sources, and of destinations, over all rules
	mostASGs      = 100  // over all rules
)

// check judges a whole document, as it will be stored.
func (w *World) check(id ID, k Kind, o rawjson.Object) *Problem {
	if p := w.checkReferences(id, k, o); p != nil {
		return p
	}
	switch {
	case k.is(nsgType):
		return checkGroup(canonical(id, k), o)
	case k.is(interfaceType):
		return w.checkInterface(canonical(id, k), o)
	}
	return nil
}

// checkGroup judges what the rules of a network security group are together.
func checkGroup(id ID, o rawjson.Object) *Problem {
	type place struct {
		direction string
		priority  int
	}
	names := map[place]string{}
	var sources, destinations int
	var asgs []string
	rules := o.Object("properties").List("securityRules")
	if len(rules) > mostRules {
		return Refuse(400, "SecurityRuleCountLimitReached", "A security group cannot have more than %d security rules.", mostRules)
	}
	for _, text := range rules {
		var r struct {
			Name       string
			Properties struct {
				Priority                             int
				Direction                            string
				SourceAddressPrefixes                []string
				DestinationAddressPrefixes           []string
				SourceApplicationSecurityGroups      []struct{ ID string }
				DestinationApplicationSecurityGroups []struct{ ID string }
			}
		}
		if err := json.Unmarshal(text, &r); err != nil {
			return malformed("securityRules: %s", err)
		}
		at := place{strings.ToLower(r.Properties.Direction), r.Properties.Priority}
		if other, taken := names[at]; taken {
			return Refuse(400, "SecurityRuleConflict",
				"Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction.", r.Name, other)
		}
		names[at] = r.Name
		sources += max(len(r.Properties.SourceAddressPrefixes), 1) // one in the singular form
		destinations += max(len(r.Properties.DestinationAddressPrefixes), 1)
		for _, g := range slices.Concat(r.Properties.SourceApplicationSecurityGroups, r.Properties.DestinationApplicationSecurityGroups) {
			asgs = append(asgs, strings.ToLower(g.ID))
		}
	}
	slices.Sort(asgs)
	switch {
	case sources > mostAddresses || destinations > mostAddresses:
		return malformed("%s has more than %d source or destination addresses over all its rules", id, mostAddresses)
	case len(slices.Compact(asgs)) > mostASGs:
		return malformed("%s has more than %d application security groups over all its rules", id, mostASGs)
	}
	return nil
}

// checkInterface judges the addresses of a network interface. The simulator
// gives out no addresses of its own.
func (w *World) checkInterface(id ID, o rawjson.Object) *Problem {
	var d struct {
		IPConfigurations []struct {
			Name       string
			Properties struct {
				PrivateIPAddress string
				Subnet           struct{ ID string }
			}
		}
	}
	if raw := o.Get("properties"); raw != nil {
		if err := json.Unmarshal(raw, &d); err != nil {
			return malformed("properties: %s", err)
		}
	}
	if len(d.IPConfigurations) == 0 {
		return malformed("%s has no ipConfigurations", id)
	}
	for _, c := range d.IPConfigurations {
		address, subnet := c.Properties.PrivateIPAddress, c.Properties.Subnet.ID
		if address == "" || subnet == "" {
			return malformed("ipConfigurations/%s has no privateIPAddress or no subnet", c.Name)
		}
		for _, x := range w.referrers[strings.ToLower(subnet)] {
			if x.resource == id.Key() || x.member != "subnet" {
				continue
			}
			if other := w.resources[x.resource]; other != nil && other.Kind.is(interfaceType) && hasAddress(other, x.from, address) {
				return Refuse(400, "PrivateIPAddressIsAllocated",
					"IP configuration %s is using the private IP address %s which is already allocated to resource %s.",
					id.Child("ipConfigurations", c.Name), address, x.from)
			}
		}
	}
	return nil
}

// hasAddress reports whether the IP configuration of r has this address.
func hasAddress(r *Resource, configuration ID, address string) bool {
	if !bytes.Contains(r.Text.Get("properties"), rawjson.Quote(address)) {
		return false
	}
	items := r.Text.Object("properties").List("ipConfigurations")
	at := indexOf(items, configuration.Name())
	if at < 0 {
		return false
	}
	var c struct {
		Properties struct{ PrivateIPAddress string }
	}
	return json.Unmarshal(items[at], &c) == nil && c.Properties.PrivateIPAddress == address
}

// checkReferences refuses a document that mentions what is not there.
func (w *World) checkReferences(id ID, k Kind, o rawjson.Object) *Problem {
	self := canonical(id, k)
	for _, m := range Mentions(id, k, o) {
		target, err := ParseID(m.Target)
		if err != nil {
			return Refuse(400, "LinkedInvalidPropertyId",
				"Property id '%s' at path 'properties.%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", m.Target, m.Member)
		}
		if !w.exists(target, self, o) {
			return Refuse(400, "InvalidResourceReference",
				"Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", target, m.From)
		}
	}
	return nil
}

// exists reports whether target is there, or is of a type that is not simulated.
// A document may mention its own children.
func (w *World) exists(target, self ID, o rawjson.Object) bool {
	if _, ok := KindOf(target.Type()); ok {
		return target.Key() == self.Key() || w.Get(target) != nil
	}
	if len(target.Types) < 2 {
		return true
	}
	parent, property := target.Parent(), target.Types[len(target.Types)-1]
	k, ok := KindOf(parent.Type())
	if !ok {
		return true
	}
	property, ok = k.Embeds(property)
	if !ok {
		return true
	}
	if parent.Key() == self.Key() {
		return indexOf(o.Object("properties").List(property), target.Name()) >= 0
	}
	r := w.Get(parent)
	return r != nil && indexOf(r.Text.Object("properties").List(property), target.Name()) >= 0
}

// CheckRemoval refuses to delete what others still use.
func (w *World) CheckRemoval(id ID) *Problem {
	keys := []string{id.Key()}
	if r := w.Get(id); r != nil {
		for _, property := range r.Kind.Embedded {
			for _, text := range r.Text.Object("properties").List(property) {
				var child struct{ Name string }
				if json.Unmarshal(text, &child) == nil {
					keys = append(keys, r.ID.Child(property, child.Name).Key())
				}
			}
		}
	}
	var users []string
	for _, key := range keys {
		for _, x := range w.referrers[key] {
			if from := x.from.Key(); from != id.Key() && !strings.HasPrefix(from, id.Key()+"/") {
				users = append(users, x.from.String())
			}
		}
	}
	if len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	name := id.Types[len(id.Types)-1]
	if k, ok := KindOf(id.Type()); ok {
		_, name, _ = strings.Cut(k.Type, "/")
	}
	name = strings.ToUpper(name[:1]) + strings.TrimSuffix(name[1:], "s")
	return Refuse(400, fmt.Sprintf("InUse%sCannotBeDeleted", name),
		"%s %s cannot be deleted because it is in use by the following resources: %s.", name, id.Name(), strings.Join(slices.Compact(users), ", "))
}
