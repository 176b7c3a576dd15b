// Package own is about network security groups of Sesame's own: those that it puts
// in front of an interface that has none, where the owner asked for that and nothing
// else could hold a lock. It says which interfaces these are and what is in such a
// group, and judges what is found; it does no I/O.
//
// # Nothing but the lock changes
//
// A group denies what none of its rules lets in, so an empty one would close the
// machine. The last rules of a group of ours are therefore one each way that lets
// everything pass, as it did without a group. They are not rules of ours in the sense
// of package nsg: they stay while locks and openings come and go above them.
//
// # Where it cannot be
//
// A standard public address, or a load balancer, is documented to let nobody in while
// no group stands in front of the interface. There a group that lets everything pass
// would open the machine, and one that does not might close it to its network: which
// of both the owner wants only the owner can say. An interface behind a subnet's group
// does not need another one. And while something about an interface was not read,
// nothing is put in front of it.
//
// # As if it were there
//
// A group that does not stand in front of its interface yet is put into the topology as
// if it did, with nothing but these last rules: that is what packets meet, and so a lock
// can be planned, judged and shown like any other. Making it so is the first write.
package own

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// A Group is the group of Sesame's own in front of one interface, there or to be made.
type Group struct {
	ID        firewall.ID
	Interface string // its id, in lower case
	There     bool   // it stands in front of the interface
	Text      string // the document with nothing of ours in it but its last rules
}

// Into puts the groups into t that may be made, as if they were there, and returns them
// with those that are there, by id. Documents are those that t was made from, by id in
// lower case. Without more only those that are there are returned.
func Into(t *topology.Estate, document func(id string) json.RawMessage, instance string, more bool) map[firewall.ID]Group {
	out := map[firewall.ID]Group{}
	for id, n := range t.NICs {
		g := Group{ID: groupOf(id, instance), Interface: id}
		g.There = n.Group == string(g.ID)
		if !g.There && (!more || !may(t, n)) {
			continue
		}
		var nic struct{ Location string }
		if json.Unmarshal(document(id), &nic) != nil || nic.Location == "" {
			continue
		}
		if g.Text = text(g.ID, nic.Location); !g.There {
			read, err := resource.Parse([]byte(g.Text))
			if err != nil {
				continue // cannot be: it is ours
			}
			n.Group, t.Groups[string(g.ID)] = string(g.ID), rule.Group(read)
		}
		out[g.ID] = g
	}
	return out
}

// may reports whether a group that lets everything pass changes nothing in front of n.
func may(t *topology.Estate, n *topology.NIC) bool {
	if n.Group != "" || n.Machine == "" || len(n.Missing) > 0 || len(n.Configs) == 0 {
		return false
	}
	for _, c := range n.Configs {
		if c.Subnet.Group != "" || len(c.Pools)+len(c.InboundNAT) > 0 {
			return false
		}
		if p, read := t.Publics[c.Public]; c.Public != "" && (!read || p.Standard) {
			return false
		}
	}
	return true
}

// groupOf returns the id of the group of ours in front of an interface: beside it, and
// named after it.
func groupOf(nic, instance string) firewall.ID {
	const most, digest = 48, 5
	home, _, _ := strings.Cut(nic, "/providers/")
	name := nic[strings.LastIndexByte(nic, '/')+1:]
	if len(name) > most {
		sum := sha256.Sum256([]byte(name))
		name = name[:most] + "-" + hex.EncodeToString(sum[:digest])
	}
	return firewall.ID(home + "/providers/microsoft.network/networksecuritygroups/" + dialect.Prefix(instance) + "nic-" + name)
}

// The last rules.
const (
	lastRules = `[{"name":"AllowAllBelowLocks","properties":` + lastRule + `"Inbound"}},{"name":"AllowAllOut","properties":` + lastRule + `"Outbound"}}]`
	lastRule  = `{"description":"Without this rule the group would deny what nothing denied before there was a group.",` +
		`"protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"*","destinationAddressPrefix":"*",` +
		`"access":"Allow","priority":4096,"direction":`
)

func text(id firewall.ID, location string) string {
	return fmt.Sprintf(`{"id":%q,"location":%q,"tags":{"made-by":"sesame"},"properties":{"securityRules":%s}}`, id, location, lastRules)
}

// Bare reports whether nothing is in g but the last rules of a group of ours.
func Bare(g *resource.Group) bool {
	last, err := resource.Parse([]byte(text(g.ID, "")))
	if err != nil || len(g.Rules) != len(last.Rules) {
		return false
	}
	for _, want := range last.Rules {
		x, there := g.Rule(want.Name)
		if !there || x.Says() != want.Says() {
			return false
		}
	}
	return true
}

// Vacant says whether the group in a document may be written anew: it stands in front
// of nobody, and holds nothing of anybody else.
func Vacant(document []byte, instance string) error {
	g, err := resource.Parse(document)
	if err != nil {
		return err
	}
	var d struct {
		Properties struct{ NetworkInterfaces, Subnets []json.RawMessage }
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return err
	}
	if len(d.Properties.NetworkInterfaces)+len(d.Properties.Subnets) > 0 {
		return fmt.Errorf("%s is there already, in front of somebody else", g.ID)
	}
	for _, x := range g.Rules {
		mine := strings.HasPrefix(strings.ToLower(x.Name), dialect.Prefix(instance))
		if !mine && !strings.EqualFold(x.Name, "AllowAllBelowLocks") && !strings.EqualFold(x.Name, "AllowAllOut") {
			return fmt.Errorf("%s is there already, with the rule %s of somebody else's; delete the group, or give it to the interface yourself", g.ID, x.Name)
		}
	}
	return nil
}
