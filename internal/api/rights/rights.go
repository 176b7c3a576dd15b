// Package rights holds the wire types of who may do what: role assignments, role
// definitions and access policies.
package rights

import (
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/authz/trial"
	"github.com/sesame-access/sesame/internal/errkind"
)

// An Assignment gives a role to a principal or to a group, at a scope and below.
type Assignment struct {
	Principal string `json:"principal,omitzero" doc:"ISSUER#SUBJECT; absent where a group has the role."`
	Group     string `json:"group,omitzero" doc:"ISSUER#GROUP; absent where a principal has it."`
	Role      string `json:"role"`
	Scope     string `json:"scope" doc:"Where: / for everything, the id of a VM, a subscription, aws://ACCOUNT, tag:KEY=VALUE…"`
	Condition string `json:"condition,omitzero" doc:"A condition of Azure's, version 2.0."`
	Eligible  bool   `json:"eligible,omitzero" doc:"It gives nothing until it is activated elsewhere."`
}

// AssignmentOf returns a as it goes over the wire.
func AssignmentOf(a authz.Assignment) Assignment {
	out := Assignment{Principal: "", Group: a.Group, Role: string(a.Role), Scope: string(a.Scope), Condition: a.Condition, Eligible: a.Eligible}
	if a.Group == "" {
		out.Principal = a.Principal.Issuer + "#" + a.Principal.Subject
	}
	return out
}

// Domain reads a.
func (a Assignment) Domain() (authz.Assignment, error) {
	out := authz.Assignment{Principal: access.Principal{}, Group: a.Group, Role: authz.Role(a.Role), Scope: "", Condition: a.Condition, Eligible: a.Eligible}
	if (a.Principal == "") == (a.Group == "") {
		return out, errkind.Bad("principal", a.Principal, "ISSUER#SUBJECT, or absent where there is a group; one of the two has the role")
	}
	if a.Principal != "" {
		issuer, subject, ok := strings.Cut(a.Principal, "#")
		if !ok || issuer == "" || subject == "" {
			return out, errkind.Bad("principal", a.Principal, "ISSUER#SUBJECT, such as local#ana")
		}
		out.Principal = access.Principal{Issuer: issuer, Subject: subject, Display: subject}
	}
	if _, err := role.ParseName(a.Role); err != nil {
		return out, err
	}
	var err error
	out.Scope, err = scope.Parse(a.Scope)
	return out, err
}

// A Definition is a role.
type Definition struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitzero"`
	ID          string       `json:"id,omitzero" doc:"Azure's id of the role."`
	Permissions []Permission `json:"permissions"`
	Scopes      []string     `json:"scopes" doc:"Where it may be assigned, and below."`
	BuiltIn     bool         `json:"built_in,omitzero"`
	Gives       []string     `json:"gives" doc:"What it lets somebody do here."`
}

// A Permission allows what actions match and not_actions do not.
type Permission struct {
	Actions    []string `json:"actions"`
	NotActions []string `json:"not_actions,omitempty"`
}

// DefinitionOf returns d as it goes over the wire.
func DefinitionOf(d role.Definition) Definition {
	out := Definition{Name: d.Name, Description: d.Description, ID: d.ID, Permissions: nil, Scopes: nil, BuiltIn: d.BuiltIn, Gives: []string{}}
	for _, p := range d.Permissions {
		out.Permissions = append(out.Permissions, Permission{Actions: p.Actions, NotActions: p.NotActions})
	}
	for _, s := range d.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	for _, a := range authz.Gives(d) {
		out.Gives = append(out.Gives, string(a))
	}
	return out
}

// An AccessPolicy is an access policy: not a JIT policy, which says what may be asked for.
type AccessPolicy struct {
	Name    string `json:"name"`
	Version int64  `json:"version" doc:"Counts the saved changes, from 1."`
	Text    string `json:"text" doc:"Statements in Cedar."`
}

// AccessPolicyOf returns d as it goes over the wire.
func AccessPolicyOf(d accesspolicy.Document) AccessPolicy {
	return AccessPolicy{Name: d.Name, Version: d.Version, Text: d.Text}
}

// A NewAccessPolicy is what an access policy is to be.
type NewAccessPolicy struct {
	Text    string `json:"text" maxLength:"65536" doc:"Statements in Cedar."`
	Version int64  `json:"version,omitzero" minimum:"1" doc:"The version that this one is made from; it must still be in force. Absent to replace whatever is."`
}

// An AccessPolicyChange is a saved policy, or what saving it would do.
type AccessPolicyChange struct {
	Policy AccessPolicy `json:"policy"`
	Diff   []Difference `json:"diff" doc:"Who gains or loses what is possible at all."`
	Whole  bool         `json:"whole" doc:"False where there was too much to compare all of it."`
}

// A Difference is what somebody gains or loses on one VM.
type Difference struct {
	Who    string `json:"who" doc:"ISSUER#SUBJECT, anybody in GROUP, or anybody else."`
	Action string `json:"action" enum:"request,skipApproval,approve,view"`
	VM     string `json:"vm"`
	Gains  bool   `json:"gains"`
}

// DiffOf returns differences as they go over the wire.
func DiffOf(list []trial.Difference) []Difference {
	out := []Difference{}
	for _, d := range list {
		out = append(out, Difference{Who: d.Who, Action: string(d.Action), VM: string(d.VM), Gains: d.Gains})
	}
	return out
}
