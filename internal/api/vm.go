package api

import (
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// A VM is a machine with lockable ports, and what is known about its doors.
type VM struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Cloud     string            `json:"cloud,omitzero" enum:"host,aws,azure" doc:"Whose the VM is."`
	Account   string            `json:"account,omitzero" doc:"The AWS account or the Azure subscription."`
	Place     string            `json:"place,omitzero" doc:"The AWS region or the Azure resource group."`
	Addresses []string          `json:"addresses,omitempty"`
	State     string            `json:"state,omitzero" doc:"Whether the machine runs, as its cloud says it."`
	System    string            `json:"system,omitzero" doc:"What it runs, as its cloud says it."`
	Tags      map[string]string `json:"tags,omitempty"`
	Firewalls []string          `json:"firewalls,omitempty" doc:"Everything a packet passes on its way to the VM."`
	Missing   []string          `json:"missing,omitempty" doc:"What could not be read; nothing is opened meanwhile."`
	Doors     []DoorState       `json:"doors,omitempty" doc:"The just-in-time ports."`
}

// VMOf returns v, without its doors, as it goes over the wire.
func VMOf(v inventory.VM) VM {
	home := v.ID.Home()
	out := VM{
		ID: string(v.ID), Name: v.Name, Cloud: home.Cloud, Account: home.Account, Place: home.Place, Addresses: nil, State: v.State, System: v.System, Tags: v.Tags,
		Firewalls: mapped(v.Firewalls(), func(id firewall.ID) string { return string(id) }),
		Missing:   v.Missing, Doors: nil,
	}
	for _, a := range v.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	return out
}

// Has reports whether one of the doors is that port's.
func (v VM) Has(port PortNumber, protocol string) bool {
	return slices.ContainsFunc(v.Doors, func(d DoorState) bool { return d.Port == port && d.Protocol == protocol })
}

// A DoorState is how one just-in-time port stands.
type DoorState struct {
	Port     PortNumber `json:"port"`
	Protocol string     `json:"protocol"`
	// Policy is empty for an orphan lock: closed, and nobody can ask for it.
	Policy  string   `json:"policy,omitzero" doc:"Who brought the lock; absent for an orphan lock, which nobody can ask for."`
	Max     string   `json:"max,omitzero" doc:"The longest grant."`
	Exempt  []string `json:"exempt,omitempty" doc:"Who is let in without asking."`
	Cut     bool     `json:"cut,omitzero" doc:"Established connections end with their grant."`
	Since   Time     `json:"since,omitzero"`
	Locked  bool     `json:"locked" doc:"The lock was read back from every firewall that shows it."`
	Exposed string   `json:"exposed,omitzero" doc:"Who gets in without a grant, and by which rule."`
	// Unproven keeps a lock from being shown as closed for good.
	Unproven string `json:"unproven,omitzero" doc:"What on the way is not known, so that it is not proven that nobody else gets in."`
	// Obstacles are foreign things that defeat the lock or a grant.
	Obstacles []string `json:"obstacles,omitempty"`
	Failing   string   `json:"failing,omitzero" doc:"Why the last look at the firewall failed."`
	Read      Time     `json:"read,omitzero" doc:"When the firewall was last read."`
	Grants    int      `json:"grants" doc:"How many grants are live here."`
	// MayRequest says that the caller may ask for this door.
	MayRequest bool `json:"may_request" doc:"You may ask for this door."`
}

// DoorStateOf returns the standing part of a lock as it goes over the wire; how
// it stands on the firewalls is for the caller to fill in.
func DoorStateOf(l access.Lock) DoorState {
	return DoorState{
		Port: PortNumber(l.Door.Port), Protocol: l.Door.Protocol.String(), Policy: l.Policy, Max: "",
		Exempt: SourcesOf(l.Exempt), Cut: l.Cut, Since: TimeOf(l.Since), Locked: false, Exposed: "", Unproven: "",
		Obstacles: nil, Failing: "", Read: Time{}, Grants: 0, MayRequest: false,
	}
}
