// Package rights answers who may do what: roles, what they allow, and access
// policies. Whoever calls it has seen to it that the caller may manage the server.
package rights

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/trial"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/store"
)

// A Face shows and changes who may do what.
type Face struct {
	Broker *broker.Broker
	Rules  func(context.Context) (store.Rules, error)
	Tokens func(context.Context) ([]store.Token, error)
	VMs    func() []inventory.VM
}

// Roles returns who has which role where.
func (f Face) Roles(ctx context.Context) (api.Page[wire.Assignment], error) {
	rules, err := f.Rules(ctx)
	return api.PageFrom(rules.Access.Assignments, "", wire.AssignmentOf), err
}

// Definitions returns what each role allows.
func (f Face) Definitions(ctx context.Context) (api.Page[wire.Definition], error) {
	rules, err := f.Rules(ctx)
	return api.PageFrom(slices.Concat(role.BuiltIn(), rules.Access.Definitions), "", wire.DefinitionOf), err
}

// Assign gives a role.
func (f Face) Assign(ctx context.Context, caller broker.Caller, in wire.Assignment) (wire.Assignment, error) {
	a, err := in.Domain()
	if err != nil {
		return in, err
	}
	return wire.AssignmentOf(a), f.Broker.Assign(ctx, caller, a)
}

// Unassign takes a role back.
func (f Face) Unassign(ctx context.Context, caller broker.Caller, in wire.Assignment) (struct{}, error) {
	a, err := in.Domain()
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, f.Broker.Unassign(ctx, caller, a)
}

// Policies returns the access policies.
func (f Face) Policies(ctx context.Context) (api.Page[wire.AccessPolicy], error) {
	rules, err := f.Rules(ctx)
	return api.PageFrom(rules.Access.Policies, "", wire.AccessPolicyOf), err
}

// Policy returns one access policy.
func (f Face) Policy(ctx context.Context, name string) (wire.AccessPolicy, error) {
	rules, err := f.Rules(ctx)
	if err != nil {
		return wire.AccessPolicy{}, err
	}
	for _, p := range rules.Access.Policies {
		if p.Name == name {
			return wire.AccessPolicyOf(p), nil
		}
	}
	return wire.AccessPolicy{}, errkind.New(errkind.NotFound, "there is no access policy %s", errkind.Quote(name))
}

// Put saves a policy and shows who gains or loses what by it; a dry run only shows
// that.
func (f Face) Put(ctx context.Context, caller broker.Caller, name string, in wire.NewAccessPolicy, dryRun bool) (wire.AccessPolicyChange, error) {
	d := accesspolicy.Document{Name: name, Version: in.Version, Text: in.Text}
	reader, err := accesspolicy.NewReader()
	if err != nil {
		return wire.AccessPolicyChange{}, err
	}
	if _, err := reader.Read(d); err != nil {
		return wire.AccessPolicyChange{}, err
	}
	rules, err := f.Rules(ctx)
	if err != nil {
		return wire.AccessPolicyChange{}, err
	}
	change := store.RoleChange{Policies: []accesspolicy.Document{d}}
	var on []authz.Target
	for _, vm := range f.VMs() {
		on = append(on, f.Broker.Target(vm.ID))
	}
	diff, whole := trial.Diff(rules.Access, change.Apply(rules.Access), on)
	if !dryRun {
		d, err = f.Broker.SaveAccessPolicy(ctx, caller, d)
	}
	return wire.AccessPolicyChange{Policy: wire.AccessPolicyOf(d), Diff: wire.DiffOf(diff), Whole: whole}, err
}
