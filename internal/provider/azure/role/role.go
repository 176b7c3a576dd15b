// Package role says what each of the identities of the Azure provider has to be
// allowed: as data, and as the definition of a custom role that allows just that.
//
// Azure separates less than there are identities. A right to write security rules
// is a right to write any of them, whatever its name, and no condition can narrow
// it: conditions of role assignments are about storage and about assignments. So an
// opener could rewrite a lock, and a closer, who shortens openings that several
// grants share and deletes others, could open a port or delete a Deny. What the
// identities do separate is who can do harm at all (a reader cannot), who can
// delete (an opener cannot), who can write a whole group (a locker only), whose
// calls count in which bucket, and whose name stands in the activity log. What
// narrows each of them is the scope that its role is assigned at.
//
// Actions: Azure permissions reference, Microsoft.Network, as of 2026-11. What is
// read, package estate knows.
package role

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

// A Role is one of the identities.
type Role string

// The roles.
const (
	Reader Role = "reader" // reads
	Opener Role = "opener" // writes the rules of openings
	Closer Role = "closer" // deletes them, and shortens those that several grants share
	Locker Role = "locker" // writes and deletes locks, and groups as a whole
)

// All returns the roles, from the least to the most that is allowed.
func All() []Role { return []Role{Reader, Opener, Closer, Locker} }

const (
	network = "Microsoft.Network/"
	group   = network + "networkSecurityGroups"
	rules   = group + "/securityRules"

	// Who writes a group writes the rules of others in it, and these may name
	// application security groups. Whether Azure looks at them where a single rule
	// is written is not known; to name one is no more than to name its addresses.
	join = network + "applicationSecurityGroups/joinNetworkSecurityRule/action"
)

// Writes returns the actions by which r changes something, sorted; none for a
// reader. A locker without the right to write a group writes rule by rule.
func Writes(r Role) []string {
	switch r {
	case Reader:
	case Opener:
		return []string{join, rules + "/write"}
	case Closer:
		return []string{join, rules + "/delete", rules + "/write"}
	case Locker:
		return []string{join, rules + "/delete", rules + "/write", group + "/write"}
	}
	return nil
}

// follows are the reads of who has written: how the operation goes on, and the
// group where Azure names no operation.
func follows() []string {
	return []string{network + "locations/operationResults/read", network + "locations/operations/read", group + "/read"}
}

// A Use is what the configuration wants besides locking what has a group.
type Use struct {
	Groups    bool // a reader finds the subscriptions of management groups
	OwnGroups bool // a locker puts groups of Sesame's own in front of interfaces
}

// raises returns the actions that it takes to put a group of Sesame's own in front of an
// interface, and to take it away. Who writes an interface joins it anew to all that it
// names. (The same reference: what each resource's writes are checked for.)
func raises() []string {
	const nic = network + "networkInterfaces"
	return []string{
		group + "/delete", group + "/join/action", nic + "/read", nic + "/write", network + "virtualNetworks/subnets/join/action",
		network + "publicIPAddresses/join/action", network + "applicationSecurityGroups/joinIpConfiguration/action",
	}
}

// Actions returns everything that r has to be allowed, sorted; nil for one that does
// not exist.
func Actions(r Role, use Use) []string {
	out := Writes(r)
	switch {
	case r == Reader:
		return estate.Actions(use.Groups)
	case out == nil:
		return nil
	case r == Locker && use.OwnGroups:
		out = append(out, raises()...)
	}
	out = append(out, follows()...)
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return out
}

// Duty says what r is for, and Excess what else Azure lets it do because that cannot
// be told apart.
func (r Role) Duty() string {
	switch r {
	case Reader:
		return "reads machines, networks and rules"
	case Opener:
		return "writes the rules that let somebody in"
	case Closer:
		return "deletes and shortens the rules that let somebody in"
	case Locker:
		return "writes and deletes the rules that keep a port closed"
	}
	return ""
}

// Excess is described at [Role.Duty]; empty for a reader.
func (r Role) Excess() string {
	switch r {
	case Reader:
	case Opener:
		return "could rewrite any security rule, a lock's too"
	case Closer:
		return "could write and delete any security rule, so open a port or delete a Deny"
	case Locker:
		return "could write and delete any security rule, and make groups"
	}
	return ""
}

// Name is what the custom role is called.
func (r Role) Name() string { return "Sesame " + string(r) }

// Definition returns the custom role of r as `az role definition create` takes it,
// for assignment at any of the scopes; nil for a role that does not exist.
func Definition(r Role, use Use, scopes ...string) []byte {
	if !slices.Contains(All(), r) {
		return nil
	}
	said := "Just-in-time access by Sesame: " + r.Duty() + "."
	if x := r.Excess(); x != "" {
		said += " What Azure cannot tell apart: it " + x + "."
	}
	return definition(r.Name(), said, Actions(r, use), scopes)
}

func definition(name, said string, actions, scopes []string) []byte {
	none := []string{}
	document := struct {
		Name             string
		IsCustom         bool
		Description      string
		Actions          []string
		NotActions       []string
		DataActions      []string
		NotDataActions   []string
		AssignableScopes []string
	}{name, true, said, actions, none, none, none, append(none, scopes...)}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		return nil // cannot be: strings
	}
	return out.Bytes()
}
