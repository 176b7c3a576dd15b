// Package roles is how roles and access policies are saved and read: who may do
// what, apart from the JIT policies.
//
// What is damaged is read on the safe side. An assignment or a definition that
// cannot be read gives nothing. A deny assignment that cannot be read is named, and
// so is an access policy that nobody understands: while there is one, nobody is let
// in, because it may be what forbids it.
package roles

import (
	"context"
	"errors"
	"fmt"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/table"
)

// A Change is what one transaction does to roles and access policies. What it adds
// comes before what it removes.
type Change struct {
	// Assign adds assignments; one that exists stays.
	Assign []authz.Assignment
	// Unassign removes assignments; they must exist.
	Unassign []authz.Assignment
	// Define creates or replaces definitions of roles.
	Define []role.Definition
	// Undefine names definitions to delete; they must exist.
	Undefine []string
	// Deny creates or replaces deny assignments.
	Deny []authz.Deny
	// Undeny names deny assignments to delete; they must exist.
	Undeny []string
	// Policies creates or replaces access policies; their versions are counted here,
	// from 1.
	Policies []accesspolicy.Document
	// DropPolicies names access policies to delete; they must exist.
	DropPolicies []string
}

// Empty reports whether c changes nothing.
func (c *Change) Empty() bool {
	return len(c.Assign)+len(c.Unassign)+len(c.Define)+len(c.Undefine)+
		len(c.Deny)+len(c.Undeny)+len(c.Policies)+len(c.DropPolicies) == 0
}

// Save saves c. What must exist and does not is an error of kind errkind.Conflict
// that wraps stale.
func Save(ctx context.Context, q *table.Queries, c *Change, stale error) error {
	for _, a := range c.Assign {
		if err := q.AddAssignment(ctx, table.AddAssignmentParams(table.AssignmentRow(a))); err != nil {
			return fmt.Errorf("write assignment: %w", err)
		}
	}
	for _, a := range c.Unassign {
		row := table.AssignmentRow(a)
		n, err := q.DropAssignment(ctx, table.DropAssignmentParams{
			Issuer: row.Issuer, Subject: row.Subject, Groupname: row.Groupname, Role: row.Role, Scope: row.Scope,
			Condition: row.Condition, Eligible: row.Eligible,
		})
		if err := gone(n, err, stale, "%s is not given any more", a); err != nil {
			return err
		}
	}
	for _, d := range c.Define {
		if err := q.PutRoleDefinition(ctx, table.DefinitionRow(d)); err != nil {
			return fmt.Errorf("write role definition: %w", err)
		}
	}
	for _, d := range c.Deny {
		if err := q.PutDeny(ctx, table.DenyRow(d)); err != nil {
			return fmt.Errorf("write deny assignment: %w", err)
		}
	}
	for _, p := range c.Policies {
		if err := q.PutAccessPolicy(ctx, table.PutAccessPolicyParams{Name: p.Name, Text: p.Text}); err != nil {
			return fmt.Errorf("write access policy: %w", err)
		}
	}
	return errors.Join(
		drop(ctx, c.Undefine, q.DropRoleDefinition, stale, "role"),
		drop(ctx, c.Undeny, q.DropDeny, stale, "deny assignment"),
		drop(ctx, c.DropPolicies, q.DropAccessPolicy, stale, "access policy"))
}

// drop deletes what is called so.
func drop(ctx context.Context, names []string, del func(context.Context, string) (int64, error), stale error, what string) error {
	for _, name := range names {
		n, err := del(ctx, name)
		if err := gone(n, err, stale, "there is no %s called %s any more", what, name); err != nil {
			return err
		}
	}
	return nil
}

// gone turns the result of deleting one row into an error.
func gone(n int64, err, stale error, format string, args ...any) error {
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if n == 0 {
		return errkind.Wrap(errkind.Conflict, stale, format, args...)
	}
	return nil
}

// Read returns all roles and access policies.
func Read(ctx context.Context, q *table.Queries) (out authz.Rules, err error) {
	assignments, errAssignments := q.Assignments(ctx)
	definitions, errDefinitions := q.RoleDefinitions(ctx)
	denies, errDenies := q.Denies(ctx)
	policies, errPolicies := q.AccessPolicies(ctx)
	for _, row := range assignments {
		out.Assignments = append(out.Assignments, row.Value())
	}
	for _, row := range definitions {
		if d, ok := row.Value(); ok {
			out.Definitions = append(out.Definitions, d)
		}
	}
	for _, row := range denies {
		if d, ok := row.Value(); ok {
			out.Denies = append(out.Denies, d)
		} else {
			out.Damaged = append(out.Damaged, "deny assignment "+row.Name)
		}
	}
	for _, row := range policies {
		out.Policies = append(out.Policies, row.Value())
	}
	return out, errors.Join(errAssignments, errDefinitions, errDenies, errPolicies)
}
