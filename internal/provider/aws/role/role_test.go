package role_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/provider/aws/role"
)

func TestPolicy(t *testing.T) {
	for _, r := range role.All() {
		text := role.Policy(r, "main")
		if !json.Valid(text) || !bytes.Equal(text, role.Policy(r, "main")) || len(text) > 6144 { // of a managed policy
			t.Errorf("%s has a policy of %d bytes:\n%s", r, len(text), text)
		}
		for _, a := range role.Actions(r) {
			if strings.Contains(a, "*") || !strings.Contains(string(text), `"ec2:`+a+`"`) {
				t.Errorf("%s may %s", r, a)
			}
		}
	}
	if p := role.Policy("owner", "main"); p != nil {
		t.Errorf("there is no such role:\n%s", p)
	}
}

// An opener cannot close or lock, a closer cannot open, and neither touches a group
// that is not ours.
func TestLeast(t *testing.T) {
	for r, never := range map[role.Role][]string{
		role.Reader: {"Authorize", "Create", "Delete", "Modify", "Revoke", "Update"},
		role.Opener: {"CreateSecurityGroup", "DeleteSecurityGroup", "Describe", "Modify", "Revoke"},
		role.Closer: {"Authorize", "Create", "Delete", "Describe", "Modify", "RevokeSecurityGroupEgress", "Update"},
	} {
		for _, a := range role.Actions(r) {
			if slices.ContainsFunc(never, func(n string) bool { return strings.HasPrefix(a, n) }) {
				t.Errorf("%s may %s", r, a)
			}
		}
		for _, g := range role.Grants(r) {
			if slices.Contains(g.Kinds, "security-group") && !g.Tagged {
				t.Errorf("%s: %s is about any group", r, g.ID)
			}
		}
	}
}

// A name is a name, whatever characters it has.
func TestNamesAreNoPatterns(t *testing.T) {
	if got := string(role.Policy(role.Closer, "a*")); !strings.Contains(got, `"a${*}"`) {
		t.Errorf("the name a* stands for others:\n%s", got)
	}
	if got := string(role.Policy(role.Closer, "")); !strings.Contains(got, `"*"`) {
		t.Errorf("every installation is not:\n%s", got)
	}
}
