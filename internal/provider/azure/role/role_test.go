package role_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/provider/azure/role"
)

var most = role.Use{Groups: true}

func TestDefinition(t *testing.T) {
	const scope = "/subscriptions/5e5a3e00-0000-4000-8000-000000000001"
	for _, r := range role.All() {
		text := role.Definition(r, most, scope)
		var d struct {
			Name, Description         string
			IsCustom                  bool
			Actions, AssignableScopes []string
		}
		if err := json.Unmarshal(text, &d); err != nil || !bytes.Equal(text, role.Definition(r, most, scope)) {
			t.Errorf("%s: %v\n%s", r, err, text)
		}
		if d.Name != "Sesame "+string(r) || !d.IsCustom || !slices.Equal(d.Actions, role.Actions(r, most)) || !slices.Equal(d.AssignableScopes, []string{scope}) {
			t.Errorf("%s is %+v", r, d)
		}
		if len(d.Description) > 2048 || !strings.Contains(d.Description, r.Duty()) || !strings.Contains(d.Description, r.Excess()) {
			t.Errorf("%s is described as %q", r, d.Description)
		}
		for _, a := range d.Actions {
			if strings.Contains(a, "*") {
				t.Errorf("%s may do anything like %s", r, a)
			}
		}
	}
	if d := role.Definition("owner", most, scope); d != nil || role.Actions("owner", most) != nil {
		t.Errorf("there is no such role:\n%s", d)
	}
}

// A reader writes nothing, an opener deletes nothing, and nobody but a locker has to
// do with whole groups. Who may do more than it is for says so.
func TestLeast(t *testing.T) {
	for r, never := range map[role.Role][]string{
		role.Reader: {"/write", "/delete"},
		role.Opener: {"/delete", "networkSecurityGroups/write", "networkSecurityGroups/join"},
		role.Closer: {"networkSecurityGroups/write", "networkSecurityGroups/join"},
		role.Locker: {"networkSecurityGroups/delete", "networkSecurityGroups/join", "networkInterfaces", "virtualMachines"},
	} {
		for _, a := range role.Actions(r, most) {
			if slices.ContainsFunc(never, func(n string) bool { return strings.Contains(a, n) }) {
				t.Errorf("%s may %s", r, a)
			}
		}
		if (r.Excess() == "") != (len(role.Writes(r)) == 0) {
			t.Errorf("%s writes %v, and what is said of it is %q", r, role.Writes(r), r.Excess())
		}
	}
	if few, all := role.Actions(role.Reader, role.Use{}), role.Actions(role.Reader, most); len(few) >= len(all) {
		t.Errorf("management groups need nothing: %v", few)
	}
	for _, r := range role.All() {
		with := role.Actions(r, role.Use{OwnGroups: true})
		if more := len(with) > len(role.Actions(r, role.Use{})); more != (r == role.Locker) {
			t.Errorf("with groups of Sesame's own %s may %v", r, with)
		}
	}
}

// The requester has the actions of Microsoft's script and of its documentation, and
// can write nothing.
func TestRequester(t *testing.T) {
	var d struct {
		Name                      string
		Actions, AssignableScopes []string
	}
	if err := json.Unmarshal(role.RequesterDefinition("/subscriptions/x"), &d); err != nil {
		t.Fatal(err)
	}
	if d.Name != role.RequesterName || !slices.IsSorted(d.Actions) || !slices.Equal(d.AssignableScopes, []string{"/subscriptions/x"}) {
		t.Errorf("%+v", d)
	}
	for _, a := range d.Actions {
		if !strings.HasSuffix(a, "/read") && !strings.HasSuffix(a, "/initiate/action") {
			t.Errorf("it may do %s", a)
		}
	}
}
