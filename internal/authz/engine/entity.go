package engine

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/firewall"
)

// The types of entities; schema.cedar says what they have.
const (
	typePrincipal types.EntityType = "Principal"
	typeGroup     types.EntityType = "Group"
	typeScope     types.EntityType = "Scope"
	typeVM        types.EntityType = "VM"
	typeAction    types.EntityType = "Action"
)

// PrincipalUID returns the entity of p, ISSUER#SUBJECT; false where p is nobody. An
// issuer has no # in it, or two principals could be one.
func PrincipalUID(p access.Principal) (types.EntityUID, bool) {
	ok := p.Issuer != "" && p.Subject != "" && !strings.Contains(p.Issuer, "#")
	return types.NewEntityUID(typePrincipal, types.String(p.Issuer+"#"+p.Subject)), ok
}

// GroupUID returns the entity of a group, given as ISSUER#GROUP.
func GroupUID(name string) types.EntityUID { return types.NewEntityUID(typeGroup, types.String(name)) }

// ScopeUID returns the entity of a scope.
func ScopeUID(s scope.Scope) types.EntityUID { return types.NewEntityUID(typeScope, types.String(s)) }

func actionUID(name string) types.EntityUID {
	return types.NewEntityUID(typeAction, types.String(name))
}

// ValidName reports whether s is ISSUER#NAME, as principals and groups are named.
func ValidName(s string) bool {
	issuer, name, ok := strings.Cut(s, "#")
	return ok && issuer != "" && name != ""
}

// principalEntity returns who asks, with their groups; false for nobody.
func principalEntity(who access.Identity) (types.Entity, bool) {
	uid, ok := PrincipalUID(who.Principal)
	attributes := types.RecordMap{
		"issuer": types.String(who.Issuer), "subject": types.String(who.Subject), "kind": types.String(kindOf(who)),
	}
	if who.Person != "" {
		attributes["person"] = types.String(who.Person)
	}
	groups := make([]types.EntityUID, 0, len(who.Groups))
	for _, g := range who.Groups {
		if ValidName(g) {
			groups = append(groups, GroupUID(g))
		}
	}
	return types.Entity{
		UID: uid, Parents: types.NewEntityUIDSet(groups...), Attributes: types.NewRecord(attributes), Tags: types.Record{},
	}, ok
}

// kindOf returns what who is; whom nobody called a person is a program.
func kindOf(who access.Identity) access.Kind {
	if who.Kind == access.Person {
		return access.Person
	}
	return access.Program
}

// A Target is what something is done to: a VM, or everything if VM is empty.
type Target struct {
	VM firewall.VMID
	// Tags are those of the VM that are trusted: with others its owner would say
	// who may come in.
	Tags map[string]string
}

// Scope returns the scope that t is.
func (t Target) Scope() scope.Scope {
	if t.VM == "" {
		return scope.All
	}
	return scope.OfVM(t.VM)
}

// entity returns t with the scopes that it lies in.
func (t Target) entity(tree scope.Tree) types.Entity {
	if t.VM == "" {
		return types.Entity{UID: ScopeUID(scope.All), Parents: types.EntityUIDSet{}, Attributes: types.Record{}, Tags: types.Record{}}
	}
	above := tree.AboveVM(t.VM, t.Tags)
	parents := make([]types.EntityUID, len(above))
	for i, s := range above {
		parents[i] = ScopeUID(s)
	}
	home := t.VM.Home()
	tags := make(types.RecordMap, len(t.Tags))
	for key, value := range t.Tags {
		tags[types.String(key)] = types.String(value)
	}
	return types.Entity{
		UID: types.NewEntityUID(typeVM, types.String(t.VM)), Parents: types.NewEntityUIDSet(parents...), Tags: types.NewRecord(tags),
		Attributes: types.NewRecord(types.RecordMap{
			"name": types.String(t.VM.Name()), "cloud": types.String(home.Cloud),
			"account": types.String(home.Account), "place": types.String(home.Place),
		}),
	}
}
