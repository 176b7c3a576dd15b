package azure_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/role"
)

// casting is the identities with just what package role gives them, but for one
// action of one of them.
func casting(of role.Role, without string) []gate.Identity {
	var out []gate.Identity
	for _, r := range role.All() {
		actions := slices.DeleteFunc(role.Actions(r, role.Use{}), func(a string) bool { return r == of && a == without })
		out = append(out, gate.Identity{Name: string(r), Token: string(r), Object: string(r), Actions: actions})
	}
	return out
}

// action is what Azure calls what the call does.
func (s sent) action() string {
	const group = "Microsoft.Network/networkSecurityGroups"
	verb := map[string]string{http.MethodPut: "/write", http.MethodDelete: "/delete", http.MethodGet: "/read"}[s.method]
	switch {
	case strings.Contains(s.path, "/operations/"):
		return "Microsoft.Network/locations/operations/read"
	case strings.Contains(s.path, "/securityRules/"):
		return group + "/securityRules" + verb
	}
	return group + verb
}

// play makes locks, opens, shares, shortens, closes and unlocks, and returns the
// actions that were made by role.
func play(t *testing.T, cast []gate.Identity) (done map[role.Role][]string, failed error) {
	t.Helper()
	g := newGround(t, arm.Config{Identities: cast}, 2, everything()...)
	asg, err := g.sim.Builder("rg").ASG("web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.sim.Builder("rg").NSG("web-NSG", append(everything(), fleet.Rule{Name: "web-tier", Priority: 500, Ports: []string{"8080"}, FromASGs: []string{asg}})...); err != nil {
		t.Fatal(err)
	}
	g.provider = azure.New(azure.Config{Keys: keys, Surveyor: g, Clients: azure.Clients{
		Reader: g.client(t, "reader"), Opener: g.client(t, "opener"), Closer: g.client(t, "closer"), Locker: g.client(t, "locker"),
	}})
	both := func(n int) firewall.Wants {
		w := append(locked(g.ssh, n), locked(g.ssh2, n)...)
		w.Sort()
		return w
	}
	for _, want := range []firewall.Wants{both(0), both(1), both(4), both(3), both(0), nil} {
		if _, err := g.pass(t.Context(), want); err != nil {
			failed = err
			break
		}
	}
	done = map[role.Role][]string{}
	for _, s := range g.calls(func(s sent) bool { return s.status/100 == 2 }) {
		who := role.Role(s.token)
		if a := s.action(); !slices.Contains(done[who], a) {
			done[who] = append(done[who], a)
		}
	}
	return done, failed
}

// With what package role gives them the identities do everything, and without any
// action of an opener's or closer's something is not done. (A locker that may not
// write a whole group writes rule by rule.)
func TestRolesAreWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done, err := play(t, casting("", ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range role.All() {
			for _, a := range done[r] {
				if !slices.Contains(role.Actions(r, role.Use{}), a) {
					t.Errorf("%s did %s, which its role does not have", r, a)
				}
			}
		}
		if !slices.Contains(done[role.Locker], "Microsoft.Network/networkSecurityGroups/write") {
			t.Errorf("the locker wrote no group as a whole: %v", done[role.Locker])
		}
	})
	for r, needed := range map[role.Role][]string{
		role.Opener: {"Microsoft.Network/networkSecurityGroups/securityRules/write"},
		role.Closer: {"Microsoft.Network/networkSecurityGroups/securityRules/delete"},
	} {
		for _, a := range needed {
			synctest.Test(t, func(t *testing.T) {
				if !slices.Contains(role.Writes(r), a) {
					t.Errorf("%s does not have %s", r, a)
				}
				if _, err := play(t, casting(r, a)); err == nil || !strings.Contains(err.Error(), a) {
					t.Errorf("without %s of %s: %v", a, r, err)
				}
			})
		}
	}
}
