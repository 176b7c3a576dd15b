// Package topology reads the documents of an Azure estate into values that know
// each other: networks with their subnets and peerings, machines with their
// interfaces and IP configurations, the rules of groups, load balancers, firewalls.
//
// It reads and joins, and judges nothing: which way packets go is package path's
// business. Ids know no case; they come in lower case, but for those of machines
// and of what people are shown, which stay as they are.
//
// A document that another one names and that is not there was not read. What
// cannot be read is noted with its reason, and never left out: a group under its
// id, an interface or a subnet in its machine's Missing. A load balancer or a
// firewall that cannot be read may lead to any machine.
package topology

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/firewall/collection"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

// AdminRules is what an id ends with under which the effective security admin
// rules of a virtual network lie: the reply of the operation of that name.
const AdminRules = "/listNetworkManagerEffectiveSecurityAdminRules"

// An Estate is everything that packets to its machines meet. Maps are by id in
// lower case.
type Estate struct {
	Networks   []*Network // sorted by id
	Tables     map[string][]Route
	Groups     map[string][]rule.Rule // inbound, in order
	AdminRules map[string][]rule.Rule // by network; inbound, in order
	Publics    map[string]PublicAddress
	Balancers  []*Balancer
	Firewalls  []collection.Firewall
	Policies   map[string]*collection.Policy
	IPGroups   map[string]rule.Set
	ASGs       map[string]bool // the application security groups that were read
	NICs       map[string]*NIC
	Machines   []*Machine // sorted by id
	// Unread says why the document with an id could not be read.
	Unread map[string]string
	// Missing lists what may lead to any machine, each as a sentence.
	Missing []string
	// Hidden says that some interface was not read, which may be a member of any
	// application security group.
	Hidden bool

	subnets map[string]*Subnet
}

// Read reads an estate from its documents, by id, as Azure Resource Manager shows
// them. Children of a resource are read from its own document, but for the rule
// collection groups of firewall policies, which are not in it.
func Read(documents map[string]json.RawMessage) *Estate {
	e := &Estate{
		Tables:     map[string][]Route{},
		Groups:     map[string][]rule.Rule{},
		AdminRules: map[string][]rule.Rule{},
		Publics:    map[string]PublicAddress{},
		Policies:   map[string]*collection.Policy{},
		IPGroups:   map[string]rule.Set{},
		ASGs:       map[string]bool{},
		NICs:       map[string]*NIC{},
		Unread:     map[string]string{},
		subnets:    map[string]*Subnet{},
	}
	type document struct {
		turn          int
		key, id, kind string
	}
	var all []document
	for id := range documents {
		x := document{turn: 1, key: key(id), id: id, kind: kindOf(id)}
		if x.kind == "virtualnetworks" || x.kind == "firewallpolicies" {
			x.turn = 0 // others point into it
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b document) int { return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.key, b.key)) })
	for _, x := range all {
		e.read(x.id, x.kind, documents[x.id])
	}
	slices.SortFunc(e.Networks, func(a, b *Network) int { return strings.Compare(a.ID, b.ID) })
	e.join()
	return e
}

// read reads one document. One that cannot be read is noted.
func (e *Estate) read(id, kind string, text json.RawMessage) {
	err := error(nil)
	leads := false // whether it may lead to machines
	switch kind {
	case "virtualnetworks":
		err = e.readNetwork(id, text)
	case "virtualnetworks/" + strings.ToLower(AdminRules[1:]):
		rules, unread := rule.Admin(text)
		if err = unread; err == nil {
			e.AdminRules[strings.TrimSuffix(key(id), key(AdminRules))] = rules
		}
	case "virtualmachines":
		err = e.readMachine(id, text)
	case "networkinterfaces":
		err = e.readNIC(id, text)
		e.Hidden = e.Hidden || err != nil
	case "networksecuritygroups":
		g, unread := resource.Parse(text)
		if err = unread; err == nil {
			e.Groups[key(id)] = rule.Group(g)
		}
	case "applicationsecuritygroups":
		e.ASGs[key(id)] = true
	case "routetables":
		err = e.readTable(id, text)
	case "publicipaddresses":
		err = e.readPublic(id, text)
	case "ipgroups":
		err = e.readIPGroup(id, text)
	case "loadbalancers":
		leads, err = true, e.readBalancer(id, text)
	case "azurefirewalls":
		leads, err = true, e.readFirewall(id, text)
	case "firewallpolicies":
		p, unread := collection.ReadPolicy(text)
		if leads, err = true, unread; err == nil {
			e.Policies[key(id)] = p
		}
	case "firewallpolicies/rulecollectiongroups":
		leads = true
		policy, known := e.Policies[key(id)[:strings.LastIndex(key(id), "/rulecollectiongroups/")]]
		if err = errors.New("its policy was not read"); known {
			err = policy.Add(text)
		}
	}
	if err == nil {
		return
	}
	e.Unread[key(id)] = err.Error()
	if leads {
		e.Missing = append(e.Missing, fmt.Sprintf("%s could not be read and may lead here: %v", id, err))
	}
}

// key is an id as maps have it: Azure's ids know no case.
func key(id string) string { return strings.ToLower(id) }

// last returns what people call the resource.
func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// kindOf returns the resource type of id without its provider, in lower case:
// "virtualnetworks", or "firewallpolicies/rulecollectiongroups".
func kindOf(id string) string {
	_, rest, ok := strings.Cut(key(id), "/providers/microsoft.")
	if !ok {
		return ""
	}
	var types []string
	for i, part := range strings.Split(rest, "/") {
		if i%2 == 1 {
			types = append(types, part)
		}
	}
	return strings.Join(types, "/")
}

// join gives every machine its interfaces. Who has only been named is a machine
// too.
func (e *Estate) join() {
	byID := map[string]*Machine{}
	for _, m := range e.Machines {
		byID[key(m.ID)] = m
	}
	for _, id := range slices.Sorted(maps.Keys(e.NICs)) {
		n := e.NICs[id]
		if n.Machine != "" && byID[key(n.Machine)] == nil {
			m := &Machine{ID: n.Machine, Missing: []string{"its document was not read"}}
			byID[key(n.Machine)] = m
			e.Machines = append(e.Machines, m)
		}
		if m := byID[key(n.Machine)]; m != nil && !slices.Contains(m.NICs, n.ID) {
			m.NICs = append(m.NICs, n.ID)
		}
	}
	slices.SortFunc(e.Machines, func(a, b *Machine) int { return strings.Compare(key(a.ID), key(b.ID)) })
	for _, m := range e.Machines {
		for _, id := range m.NICs {
			n, known := e.NICs[id]
			if !known {
				m.Missing = append(m.Missing, fmt.Sprintf("network interface %s was not read", last(id)))
				e.Hidden = true
				continue
			}
			m.Missing = append(m.Missing, n.Missing...)
			for _, c := range n.Configs {
				c.VM = firewall.VMID(key(m.ID))
				m.Configs = append(m.Configs, c)
			}
		}
	}
}

// Network returns the network with an id in lower case, nil if there is none.
func (e *Estate) Network(id string) *Network {
	at, found := slices.BinarySearchFunc(e.Networks, id, func(n *Network, id string) int { return strings.Compare(n.ID, id) })
	if !found {
		return nil
	}
	return e.Networks[at]
}

// Subnet returns the subnet with this id, nil if there is none.
func (e *Estate) Subnet(id string) *Subnet { return e.subnets[key(id)] }

// RoutesOf returns the user-defined routes of s, and whether they are known.
func (e *Estate) RoutesOf(s *Subnet) ([]Route, bool) {
	if s.Table == "" {
		return nil, true
	}
	routes, known := e.Tables[s.Table]
	return routes, known
}

// SpaceOf returns the address space of a peer, from its own document where there
// is one, else as the peering remembers it.
func (e *Estate) SpaceOf(p Peering) []netip.Prefix {
	if n := e.Network(p.Remote); n != nil {
		return n.Space
	}
	return p.Space
}

// Configs returns the IP configurations of all machines, in order.
func (e *Estate) Configs() []*Config {
	var out []*Config
	for _, m := range e.Machines {
		out = append(out, m.Configs...)
	}
	return out
}

// Near reports whether two networks are one, or are peered both ways.
func Near(a, b *Network) bool {
	peered := func(a, b *Network) bool {
		return slices.ContainsFunc(a.Peerings, func(p Peering) bool { return p.Connected && p.Remote == b.ID })
	}
	return a == b || peered(a, b) && peered(b, a)
}

// Joined returns the networks that a chain of peerings leads to, n among them.
func (e *Estate) Joined(n *Network) []*Network {
	seen := []*Network{n}
	for i := 0; i < len(seen); i++ {
		for _, m := range e.Networks {
			if Near(seen[i], m) && !slices.Contains(seen, m) {
				seen = append(seen, m)
			}
		}
	}
	return seen
}
