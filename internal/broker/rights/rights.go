// Package rights says who may do what: it assigns roles, and saves access policies.
//
// Who loses the right to ask for a grant that they have loses the grant in the same
// change. That is judged by what is known for certain: a grant ends when its
// principal might have asked for it by the rules as they were, and may not whatever
// the circumstances by the rules as they will be. Groups are not known here, so what
// somebody has by a group does not end here.
package rights

import (
	"context"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/condition"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// Rights says who may do what.
type Rights struct{ *desk.Desk }

// Assign gives a role to a principal or a group, at a scope. What is given already
// stays.
func (b *Rights) Assign(ctx context.Context, caller desk.Caller, a authz.Assignment) error {
	return b.Decide(ctx, func(rules store.Rules) error {
		if err := b.MayAsk(ctx, rules, caller, "assign a role", authz.Manage, ""); err != nil {
			return err
		}
		if err := check(rules.Engine, rules.Access.Tree, a); err != nil {
			return err
		}
		rec := b.Record(audit.RoleAssigned, caller)
		rec.Text = text(a)
		return b.Save(ctx, store.Change{Expect: rules.Version, Roles: store.RoleChange{Assign: []authz.Assignment{a}}, Records: []audit.Record{rec}})
	})
}

// check fails if a would give nothing, or names nobody.
func check(e *authz.Engine, tree scope.Tree, a authz.Assignment) error {
	parsed, err := scope.Parse(string(a.Scope))
	if err != nil {
		return err
	}
	d, known := e.Role(string(a.Role))
	_, valid := engine.PrincipalUID(a.Principal)
	switch {
	case !known:
		return errkind.Bad("role", string(a.Role), "a role; `sesame role show` lists them")
	case parsed != a.Scope:
		return errkind.Bad("scope", string(a.Scope), "in the canonical form, "+string(parsed))
	case !d.AssignableAt(tree, a.Scope):
		return errkind.Bad("scope", string(a.Scope), "where "+d.Name+" may be assigned")
	case a.Group != "" && (!engine.ValidName(a.Group) || a.Principal != access.Principal{}):
		return errkind.Bad("group", a.Group, "a group as ISSUER#GROUP, and no principal beside it")
	case a.Group == "" && !valid:
		return errkind.Bad("principal", a.Principal.Issuer+"#"+a.Principal.Subject, "a principal as ISSUER#SUBJECT")
	}
	_, err = condition.Parse(a.Condition)
	return err
}

// text is how the log says who has what: "requester on all VMs for local#ana".
func text(a authz.Assignment) string {
	who := a.Principal.Issuer + "#" + a.Principal.Subject
	if a.Group != "" {
		who = "group " + a.Group
	}
	return strings.TrimPrefix(a.String(), "assignment ") + " for " + who
}

// Unassign takes a role back. Grants that nothing else gives a right to end.
func (b *Rights) Unassign(ctx context.Context, caller desk.Caller, a authz.Assignment) error {
	return b.change(ctx, caller, "take a role back", func(rules store.Rules) (store.RoleChange, audit.Record, error) {
		rec := b.Record(audit.RoleUnassigned, caller)
		rec.Text = text(a)
		for _, x := range rules.Access.Assignments {
			if authz.CompareAssignments(x, a) == 0 {
				return store.RoleChange{Unassign: []authz.Assignment{a}}, rec, nil
			}
		}
		return store.RoleChange{}, rec, errkind.New(errkind.NotFound, "there is no assignment of %s; `sesame role list` shows what there is", text(a))
	})
}

// SaveAccessPolicy creates or replaces an access policy. A version that d gives must be
// the one in force. Grants that nobody may have any more, whatever the
// circumstances, end.
func (b *Rights) SaveAccessPolicy(ctx context.Context, caller desk.Caller, d accesspolicy.Document) (accesspolicy.Document, error) {
	reader, err := accesspolicy.NewReader()
	if err != nil {
		return d, err
	}
	if _, err := reader.Read(d); err != nil {
		return d, err
	}
	saved := d
	err = b.change(ctx, caller, "save an access policy", func(rules store.Rules) (store.RoleChange, audit.Record, error) {
		old, _ := Policy(rules, d.Name)
		if d.Version != 0 && d.Version != old.Version {
			return store.RoleChange{}, audit.Record{}, errkind.New(errkind.Conflict, "access policy %s was changed: version %d is in force, and yours was made from version %d; look at it again and apply it anew", d.Name, old.Version, d.Version)
		}
		saved.Version = old.Version + 1
		rec := b.Record(audit.AccessSaved, caller)
		rec.Text = "access policy " + d.Name + "\n" + d.Text
		return store.RoleChange{Policies: []accesspolicy.Document{d}}, rec, nil
	})
	return saved, err
}

// DropAccessPolicy deletes an access policy.
func (b *Rights) DropAccessPolicy(ctx context.Context, caller desk.Caller, name string) error {
	return b.change(ctx, caller, "delete an access policy", func(rules store.Rules) (store.RoleChange, audit.Record, error) {
		rec := b.Record(audit.AccessDeleted, caller)
		rec.Text = "access policy " + name
		_, found := Policy(rules, name)
		if !found {
			return store.RoleChange{}, rec, errkind.New(errkind.NotFound, "there is no access policy %s", errkind.Quote(name))
		}
		return store.RoleChange{DropPolicies: []string{name}}, rec, nil
	})
}

// Policy returns the access policy of that name as it is in force.
func Policy(rules store.Rules, name string) (accesspolicy.Document, bool) {
	for _, p := range rules.Access.Policies {
		if p.Name == name {
			return p, true
		}
	}
	return accesspolicy.Document{}, false
}

// change decides and saves what make says, for whoever may manage the server, and
// ends the grants that lose their right.
func (b *Rights) change(ctx context.Context, caller desk.Caller, asked string, make func(store.Rules) (store.RoleChange, audit.Record, error)) error {
	lost := 0
	err := b.Decide(ctx, func(rules store.Rules) error {
		if err := b.MayAsk(ctx, rules, caller, asked, authz.Manage, ""); err != nil {
			return err
		}
		change, rec, err := make(rules)
		if err != nil {
			return err
		}
		c := store.Change{Expect: rules.Version, Roles: change, Records: []audit.Record{rec}}
		after := authz.New(change.Apply(rules.Access))
		ended, err := b.EndAll(ctx, &c, caller, func(g access.Grant) bool {
			who := access.Identity{Principal: g.Principal}
			on := b.Target(g.Door.VM)
			return rules.Engine.Allows(who, authz.Request, on) && !after.Allows(who, authz.Request, on)
		}, access.RoleLost)
		if err != nil {
			return err
		}
		lost = len(ended)
		return b.Save(ctx, c)
	})
	if err == nil && lost > 0 {
		b.Enforcer.Wake(asked)
	}
	return err
}
