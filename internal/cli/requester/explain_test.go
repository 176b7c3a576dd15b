package requester

import (
	"testing"

	"github.com/sesame-access/sesame/internal/api"
)

func TestDecidedByNamesEveryLayer(t *testing.T) {
	deny, pass := []string{"deny"}, []string{"pass"}
	for want, steps := range map[string][]api.Step{
		"nsg: 100 lock":                   {{Firewall: "nsg", Rule: "100 lock", Can: deny}},
		"no firewall in front of a":       {{Rule: "no firewall in front of a", Can: pass}},
		"hub: vpn; nsg: 310 office":       {{Firewall: "hub", Rule: "vpn", Can: pass}, {Firewall: "nsg", Rule: "310 office", Can: pass}},
		"hub: not read (not known); n: 1": {{Firewall: "hub", Rule: "not read", Can: []string{"deny", "pass"}}, {Firewall: "n", Rule: "1", Can: pass}},
		"nsg: 200 tag, or default":        {{Firewall: "nsg", Rule: "default", Maybe: "200 tag", Can: []string{"deny", "pass"}}},
	} {
		if got := decidedBy(api.Span{Steps: steps}); got != want {
			t.Errorf("%+v is written %q, want %q", steps, got, want)
		}
	}
}
