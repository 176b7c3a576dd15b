package accesspolicy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// checkNames fails where a statement names an entity that can never be met.
func checkNames(p *ast.Policy) error {
	for _, place := range []ast.IsScopeNode{p.Principal, p.Resource} {
		if uid := engine.Named(place); uid != (types.EntityUID{}) {
			if err := checkValue(uid); err != nil {
				return err
			}
		}
	}
	for _, c := range p.Conditions {
		var found error
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeValue); ok && found == nil {
				found = checkValue(v.Value)
			}
			return true
		})
		if found != nil {
			return found
		}
	}
	return nil
}

// checkValue checks an entity that stands in a statement, or a set of them.
func checkValue(v types.Value) error {
	if set, ok := v.(types.Set); ok {
		for one := range set.All() {
			if err := checkValue(one); err != nil {
				return err
			}
		}
	}
	uid, ok := v.(types.EntityUID)
	if !ok {
		return nil
	}
	text := string(uid.ID)
	switch uid.Type {
	case "Scope":
		s, err := scope.Parse(text)
		return canonical(uid, string(s), err)
	case "VM":
		id, err := firewall.ParseVMID(text)
		return canonical(uid, string(id), err)
	case "Principal", "Group":
		if !engine.ValidName(text) {
			return fmt.Errorf("%s names nobody; write ISSUER#NAME, such as %s::\"local#ana\"", shown(uid), uid.Type)
		}
	}
	return nil
}

// canonical fails unless uid has the id that is meant by it.
func canonical(uid types.EntityUID, id string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %s", shown(uid), errkind.Public(err))
	case id != string(uid.ID):
		return fmt.Errorf("%s would never be met; write it as %s::%s", shown(uid), uid.Type, errkind.Quote(id))
	}
	return nil
}

func shown(uid types.EntityUID) string {
	return string(uid.Type) + "::" + errkind.Quote(string(uid.ID))
}
