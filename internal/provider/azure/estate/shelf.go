package estate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/own"
	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// A shelf is the documents of one reading, by id in lower case.
type shelf struct {
	documents map[string]document
	// old says of documents that are those of an earlier reading why.
	old    map[string]string
	states map[string]document // the machines' power
	gaps   []gap
	asked  map[string]bool // lists, by name
}

// A gap is a list that could not be read to its end.
type gap struct {
	list

	err error
}

func (g gap) String() string { return fmt.Sprintf("%s could not be read: %v", g.call, g.err) }

func newShelf() *shelf {
	return &shelf{documents: map[string]document{}, old: map[string]string{}, states: map[string]document{}, asked: map[string]bool{}}
}

// keep puts a reply on the shelf, with what is missing from it as it was before.
func (r *Reader) keep(k *shelf, x reply) {
	k.asked[x.name()] = true
	if x.err != nil {
		k.gaps = append(k.gaps, gap{list: x.list, err: x.err})
	}
	switch x.use {
	case states:
		maps.Copy(k.states, x.documents)
		return
	case named:
		maps.Copy(k.documents, x.documents)
		return
	case scoping:
	case machines, interfaces, networks, leading:
		maps.Copy(k.documents, x.documents)
	}
	if x.err == nil {
		r.last[x.name()] = x.documents
		return
	}
	last := maps.Clone(r.last[x.name()])
	if last == nil {
		last = map[string]document{}
	}
	for id, d := range last {
		if _, read := k.documents[id]; !read && x.use != scoping {
			k.documents[id], k.old[id] = d, k.gaps[len(k.gaps)-1].String()
		}
	}
	maps.Copy(last, x.documents)
	r.last[x.name()] = last
}

// join makes an estate of the documents.
func (r *Reader) join(k *shelf) (*Estate, error) {
	texts := make(map[string]json.RawMessage, len(k.documents))
	for _, d := range k.documents {
		texts[d.id] = d.text
	}
	t := topology.Read(texts)
	for _, m := range t.Machines {
		m.ID = r.spelled(m.ID)
	}
	k.mark(t)
	e := &Estate{topology: t, known: r.config.Known, groups: map[firewall.ID]json.RawMessage{}, Machines: map[firewall.VMID]Machine{}}
	if r.config.Instance != "" {
		document := func(id string) json.RawMessage { return k.documents[id].text }
		e.Own = own.Into(t, document, r.config.Instance, r.config.OwnGroups)
	}
	e.VMs, e.Layers = path.Machines(t, r.config.Known)
	for i, v := range e.VMs {
		slices.Sort(v.Missing)
		e.VMs[i].Missing = slices.Compact(v.Missing)
		id := strings.ToLower(string(v.ID))
		m := machineOf(k.documents[id].text, k.states[id].text)
		e.Machines[v.ID], e.VMs[i].System, e.VMs[i].State, e.VMs[i].Region = m, m.System, m.Power, m.Region
	}
	for id, d := range k.documents {
		if typeOf(id) == "microsoft.network/networksecuritygroups" {
			e.groups[firewall.ID(id)] = d.text
		}
	}
	for id, g := range e.Own {
		if !g.There {
			e.groups[id] = json.RawMessage(g.Text)
		}
	}
	for _, g := range k.gaps {
		e.Unread = append(e.Unread, g.String())
		if g.use == machines && len(e.VMs) == 0 {
			return nil, fmt.Errorf("read %s: %w", g.call, g.err)
		}
	}
	slices.Sort(e.Unread)
	e.index()
	return e, nil
}

// spelled returns the id of a machine as it was first seen.
func (r *Reader) spelled(id string) string {
	lower := strings.ToLower(id)
	if r.names[lower] == "" {
		r.names[lower] = id
	}
	return r.names[lower]
}

// mark says of each machine what about it could not be read.
func (k *shelf) mark(t *topology.Estate) {
	for _, g := range k.gaps {
		switch g.use {
		case interfaces:
			t.Hidden = true
		case leading:
			t.Missing = append(t.Missing, g.String()+"; something in them may lead here")
		case machines, networks, named, states, scoping:
		}
	}
	around := map[*topology.Network][]string{} // what is old of the networks around one
	for _, n := range t.Networks {
		if len(k.old) == 0 {
			break
		}
		for _, m := range t.Joined(n) {
			if why := k.old[m.ID]; why != "" {
				around[n] = append(around[n], why)
			}
		}
	}
	for _, m := range t.Machines {
		say := func(why string) {
			if why != "" {
				m.Missing = append(m.Missing, why)
			}
		}
		say(k.old[strings.ToLower(m.ID)])
		for _, nic := range m.NICs {
			say(k.old[nic])
		}
		for _, c := range m.Configs {
			for _, why := range around[c.Subnet.Network] {
				say(why)
			}
			for _, group := range []string{c.Subnet.Group, c.NIC.Group} {
				if _, known := t.Groups[group]; group != "" && !known {
					say(k.unread(group, t))
				}
			}
		}
	}
}

// unread says why a group was not read.
func (k *shelf) unread(id string, t *topology.Estate) string {
	text := "network security group " + id[strings.LastIndexByte(id, '/')+1:] + " was not read"
	if why := t.Unread[id]; why != "" {
		return text + ": " + why
	}
	for _, g := range k.gaps {
		if g.use == named && g.shape == resources && strings.EqualFold(g.subscription, subscriptionOf(id)) && strings.Contains(g.first.address, "/networkSecurityGroups") {
			return text + ": " + g.String()
		}
	}
	return text
}
