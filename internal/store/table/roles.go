package table

import (
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
)

// AssignmentRow returns the row of an assignment.
func AssignmentRow(a authz.Assignment) Assignment {
	return Assignment{
		Issuer: a.Principal.Issuer, Subject: a.Principal.Subject, Groupname: a.Group, Role: string(a.Role), Scope: string(a.Scope),
		Condition: a.Condition, Eligible: flag(a.Eligible), Display: a.Principal.Display,
	}
}

// Value returns the assignment that the row holds. One whose eligible is neither 0
// nor 1 is eligible only: it gives nothing.
func (a Assignment) Value() authz.Assignment {
	return authz.Assignment{
		Principal: principal(a.Issuer, a.Subject, a.Display), Group: a.Groupname, Role: authz.Role(a.Role), Scope: scope.Scope(a.Scope),
		Condition: a.Condition, Eligible: a.Eligible != 0,
	}
}

// definitionBody is the JSON of a role.Definition, without its name.
type definitionBody struct {
	Description string       `json:"description,omitempty"`
	ID          string       `json:"id,omitempty"`
	Permissions []permission `json:"permissions"`
	Scopes      []string     `json:"scopes"`
}

type permission struct {
	Actions    []string `json:"actions,omitempty"`
	NotActions []string `json:"not_actions,omitempty"`
}

func permissionRows(list []role.Permission) (out []permission) {
	for _, p := range list {
		out = append(out, permission(p))
	}
	return out
}

func permissions(rows []permission) (out []role.Permission) {
	for _, p := range rows {
		out = append(out, role.Permission(p))
	}
	return out
}

// DefinitionRow returns the row of a role definition.
func DefinitionRow(d role.Definition) PutRoleDefinitionParams {
	body := definitionBody{Description: d.Description, ID: d.ID, Permissions: permissionRows(d.Permissions), Scopes: nil}
	for _, s := range d.Scopes {
		body.Scopes = append(body.Scopes, string(s))
	}
	return PutRoleDefinitionParams{Name: d.Name, Body: text(body)}
}

// Value returns the definition that the row holds; false if it cannot be read.
func (d RoleDefinition) Value() (role.Definition, bool) {
	var body definitionBody
	ok := parse(d.Body, &body)
	v := role.Definition{Name: d.Name, Description: body.Description, ID: body.ID, Permissions: permissions(body.Permissions), Scopes: nil, BuiltIn: false}
	for _, s := range body.Scopes {
		v.Scopes = append(v.Scopes, scope.Scope(s))
	}
	return v, ok && v.Validate() == nil
}

// denyBody is the JSON of an authz.Deny, without its name.
type denyBody struct {
	From        []holder     `json:"from,omitempty"`
	Except      []holder     `json:"except,omitempty"`
	Permissions []permission `json:"permissions"`
	Scope       string       `json:"scope"`
	Exactly     bool         `json:"exactly,omitempty"`
	Condition   string       `json:"condition,omitempty"`
}

type holder struct {
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	Group   string `json:"group,omitempty"`
}

func holderRows(list []authz.Holder) (out []holder) {
	for _, h := range list {
		out = append(out, holder{Issuer: h.Principal.Issuer, Subject: h.Principal.Subject, Group: h.Group})
	}
	return out
}

func holders(rows []holder) (out []authz.Holder) {
	for _, h := range rows {
		out = append(out, authz.Holder{Principal: principal(h.Issuer, h.Subject, ""), Group: h.Group})
	}
	return out
}

// DenyRow returns the row of a deny assignment.
func DenyRow(d authz.Deny) PutDenyParams {
	return PutDenyParams{Name: d.Name, Body: text(denyBody{
		From: holderRows(d.From), Except: holderRows(d.Except), Permissions: permissionRows(d.Permissions),
		Scope: string(d.Scope), Exactly: d.Exactly, Condition: d.Condition,
	})}
}

// Value returns the deny assignment that the row holds; false if it cannot be read.
func (d Deny) Value() (authz.Deny, bool) {
	var body denyBody
	ok := parse(d.Body, &body)
	parsed, err := scope.Parse(body.Scope)
	return authz.Deny{
		Name: d.Name, From: holders(body.From), Except: holders(body.Except), Permissions: permissions(body.Permissions),
		Scope: parsed, Exactly: body.Exactly, Condition: body.Condition,
	}, ok && err == nil
}

// Value returns the access policy that the row holds.
func (p AccessPolicy) Value() accesspolicy.Document {
	return accesspolicy.Document{Name: p.Name, Version: p.Version, Text: p.Text}
}
