package estate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/own"
	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// An Estate is one reading. It does not change, and may be used by several
// goroutines.
type Estate struct {
	// VMs are sorted by id.
	VMs []inventory.VM
	// Layers are what stands on their paths, by firewall.
	Layers map[firewall.ID]firewall.Layer
	// Machines is what else is known about the VMs.
	Machines map[firewall.VMID]Machine
	// Unread lists what could not be read, each as a sentence, sorted. There may be
	// VMs that nobody has seen yet while it is not empty.
	Unread []string

	// Own are the network security groups of Sesame's own, those that are there and
	// those that may be made.
	Own map[firewall.ID]own.Group

	topology *topology.Estate
	known    path.Known
	groups   map[firewall.ID]json.RawMessage
	behind   map[firewall.ID][]*topology.Config // by network security group
	views    map[*topology.Subnet]*rule.View
	ids      []firewall.VMID
}

// A Machine is what Azure says about a VM besides who comes to it. What it does not
// say is empty.
type Machine struct {
	Region string // westeurope
	System string // Linux or Windows
	Power  string // running, stopped, deallocated
}

func machineOf(text, state json.RawMessage) Machine {
	type properties struct {
		StorageProfile struct{ OsDisk struct{ OsType string } }
		InstanceView   struct{ Statuses []struct{ Code string } }
	}
	var d, s struct {
		Location     string
		Properties   properties
		InstanceView struct{ Statuses []struct{ Code string } }
	}
	_ = json.Unmarshal(text, &d)  // package topology says so
	_ = json.Unmarshal(state, &s) // then it is not known
	m := Machine{Region: d.Location, System: d.Properties.StorageProfile.OsDisk.OsType}
	for _, x := range slices.Concat(s.Properties.InstanceView.Statuses, s.InstanceView.Statuses) {
		if power, ok := strings.CutPrefix(x.Code, "PowerState/"); ok {
			m.Power = power
		}
	}
	return m
}

// index prepares what is asked for group by group.
func (e *Estate) index() {
	e.behind = map[firewall.ID][]*topology.Config{}
	for _, c := range e.topology.Configs() {
		for _, id := range slices.Compact([]string{c.Subnet.Group, c.NIC.Group}) {
			if id != "" {
				e.behind[firewall.ID(id)] = append(e.behind[firewall.ID(id)], c)
			}
		}
	}
	e.views = path.Views(e.topology, e.known)
	for _, v := range e.VMs {
		e.ids = append(e.ids, v.ID)
	}
}

// Complete reports whether everything was read.
func (e *Estate) Complete() bool { return len(e.Unread) == 0 }

// Groups returns the ids of the network security groups that stand in front of a
// machine, sorted.
func (e *Estate) Groups() []firewall.ID {
	var out []firewall.ID
	for id := range e.behind {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Group returns a network security group as it was read.
func (e *Estate) Group(id firewall.ID) (*resource.Group, error) {
	text, known := e.groups[firewall.ID(strings.ToLower(string(id)))]
	if !known {
		return nil, fmt.Errorf("network security group %s was not read", id)
	}
	return resource.Parse(text)
}

// Reading returns what package nsg needs to know around a network security group:
// everything but the keys. The group is the one that was read with the estate; who
// plans a write reads it again, and puts it into the attachments too.
func (e *Estate) Reading(id firewall.ID) (dialect.Reading, error) {
	id = firewall.ID(strings.ToLower(string(id)))
	g, err := e.Group(id)
	if err != nil {
		return dialect.Reading{}, err
	}
	return e.Around(g), nil
}

// Around returns what package nsg needs to know around the network security group g:
// everything but the keys. A group beside it that was not read may do anything.
func (e *Estate) Around(g *resource.Group) dialect.Reading {
	read := map[string]*resource.Group{string(g.ID): g, "": nil}
	group := func(id string) *resource.Group {
		other, known := read[id]
		if !known {
			var err error
			if other, err = e.Group(firewall.ID(id)); err != nil {
				other = &resource.Group{ID: firewall.ID(id)}
			}
			read[id] = other
		}
		return other
	}
	r := dialect.Reading{Group: g, Machines: e.ids}
	for _, c := range e.behind[g.ID] {
		r.Attachments = append(r.Attachments, dialect.Attachment{
			ID: c.ID, VM: c.VM, Addresses: []netip.Addr{c.Address}, Groups: c.ASGs, View: e.views[c.Subnet],
			Interface: group(c.NIC.Group), Subnet: group(c.Subnet.Group),
		})
	}
	slices.SortFunc(r.Attachments, func(a, b dialect.Attachment) int {
		return cmp.Or(cmp.Compare(a.VM, b.VM), strings.Compare(a.ID, b.ID))
	})
	return r
}
