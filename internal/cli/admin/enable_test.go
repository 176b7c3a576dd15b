package admin

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// What enable is not told stays as it is, and what is not named is not changed.
func TestEnableOver(t *testing.T) {
	office := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	web, db := firewall.HostVM("web-1"), firewall.HostVM("db-1")
	old := policy.Policy{
		Name: "ssh", Version: 4, VMs: []firewall.VMID{web},
		Ports: []policy.Port{{Port: 22, Max: time.Hour, Sources: office, WidestIPv4: 28}},
	}.WithDefaults()
	flags := func(e enabling, vm ...firewall.VMID) policy.Policy {
		t.Helper()
		p, err := e.policy()
		if err != nil {
			t.Fatal(err)
		}
		p.VMs = vm
		return p
	}
	for name, c := range map[string]struct {
		added  policy.Policy
		said   given
		change []string // of the policy
		spills string
	}{
		"nothing given":        {flags(enabling{ports: []string{"22"}}, web), given{}, nil, ""},
		"only cut":             {flags(enabling{ports: []string{"22"}, cut: true}, web), given{cut: true}, []string{"cut: false → true"}, ""},
		"a longer time":        {flags(enabling{ports: []string{"22"}, longest: "2h"}, web), given{}, []string{"22/tcp max: 1h → 2h"}, ""},
		"other sources":        {flags(enabling{ports: []string{"22"}, sources: []string{"192.0.2.1"}}, web), given{}, []string{"22/tcp sources: 203.0.113.0/24 → 192.0.2.1"}, ""},
		"one more port":        {flags(enabling{ports: []string{"23"}}, web), given{}, []string{"port in: 23/tcp, max 3h, sources anywhere, widest /32 and /64"}, ""},
		"one more VM":          {flags(enabling{ports: []string{"22"}}, db), given{}, []string{"VM in: db-1"}, ""},
		"a port of another VM": {flags(enabling{ports: []string{"23"}}, db), given{}, nil, "db-1:22/tcp, web-1:23/tcp, which are not named"},
		"another VM's time":    {flags(enabling{ports: []string{"22"}, longest: "2h"}, db), given{}, nil, "a port of policy ssh is the same for all of its VMs, so it would also change web-1:22/tcp, which is not named"},
		"cut of another VM":    {flags(enabling{ports: []string{"22"}, cut: true}, db), given{cut: true}, nil, "--cut holds for all that policy ssh covers"},
		"proof of all":         {flags(enabling{ports: []string{"22"}, proof: true}, web), given{proof: true}, []string{"proof: false → true"}, ""},
		"proof of another VM":  {flags(enabling{ports: []string{"22"}, proof: true}, db), given{proof: true}, nil, "--proof holds for all that policy ssh covers"},
	} {
		t.Run(name, func(t *testing.T) {
			next := over(old, c.added, c.said)
			err := spills(old, next, c.added.Doors())
			if c.spills != "" {
				if errkind.Of(err) != errkind.Conflict || !strings.Contains(errkind.Public(err), c.spills) || console.HintOf(err) == "" {
					t.Errorf("error %v, want one with %q", err, c.spills)
				}
				return
			}
			if diff := cmp.Diff(c.change, policy.Diff(old, next), cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
			if next.Version != 4 || policy.Validate(next) != nil {
				t.Errorf("%+v is not version 4, or no policy", next)
			}
		})
	}
}
