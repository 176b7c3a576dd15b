package defender_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/posture/defender"
	"github.com/sesame-access/sesame/internal/reach"
)

func TestClassify(t *testing.T) {
	const (
		azure = firewall.VMID("/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg/providers/microsoft.compute/virtualmachines/web")
		aws   = firewall.VMID("arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0")
		nsg   = firewall.ID("/subscriptions/s/resourcegroups/rg/providers/microsoft.network/networksecuritygroups/web")
		wall  = firewall.ID("/subscriptions/s/resourcegroups/rg/providers/microsoft.network/azurefirewalls/hub")
		vpc   = firewall.ID("arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1")
	)
	finding := func(id firewall.VMID, v posture.Verdict, who posture.Who) posture.Finding {
		return posture.Finding{Check: posture.PortOpen, VM: id, Verdict: v, Proof: &posture.Proof{Who: who, Witness: netip.MustParseAddr("1.0.0.0"), By: reach.Step{Rule: "310 ssh"}}}
	}
	for name, c := range map[string]struct {
		vm      firewall.VMID
		fw      firewall.ID
		claimed bool
		state   string
		finding posture.Finding
		want    string
		against string
	}{
		"in a policy, and open":   {azure, nsg, true, "", finding(azure, posture.Unhealthy, posture.Internet), "healthy (Configured: a just-in-time policy names it)", "does not close this port"},
		"in a policy, and closed": {azure, nsg, true, "", finding(azure, posture.Healthy, posture.Nobody), "healthy (Configured: a just-in-time policy names it)", ""},
		"nothing in front":        {azure, "", false, "", finding(azure, posture.Unhealthy, posture.Internet), "not applicable (Unsupported: missing NSG or firewall)", "nothing that keeps anybody out"},
		"behind a firewall":       {azure, wall, false, "", finding(azure, posture.Healthy, posture.Nobody), "healthy (Not configured: no management port is open) [?]", ""},
		"open":                    {azure, nsg, false, "", finding(azure, posture.Unhealthy, posture.Partner), "unhealthy (Not configured: management ports are open) [?]", ""},
		"open to the network":     {azure, nsg, false, "", finding(azure, posture.Unhealthy, posture.Network), "healthy (Not configured: no management port is open) [?]", "if only to the network"},
		"stopped":                 {azure, nsg, false, "deallocated", finding(azure, posture.NotApplicable, posture.Internet), "not applicable (Unsupported: it is stopped) [?]", ""},
		"unknown":                 {azure, nsg, false, "", finding(azure, posture.Unknown, posture.Internet), "healthy (Not configured: no management port is open) [?]", "does not look where something is not known"},
		"AWS, in a policy":        {aws, vpc, true, "", finding(aws, posture.Healthy, posture.Nobody), "healthy (Configured: a just-in-time policy names it) [?]", ""},
		"AWS, open":               {aws, vpc, false, "", finding(aws, posture.Unhealthy, posture.Internet), "unhealthy (Not configured: management ports are open) [?]", ""},
		"a host":                  {"host://web-1", "host://web-1", false, "", finding("host://web-1", posture.Unhealthy, posture.Internet), "not applicable (Unsupported: not a machine of Azure or AWS)", "nothing that keeps anybody out"},
	} {
		v := inventory.VM{ID: c.vm, State: c.state}
		if c.fw != "" {
			v.Paths = []inventory.Path{{Hops: []inventory.Hop{{Firewall: c.fw}}}}
		}
		claims := []posture.Claim{{VM: c.vm, By: posture.Sesame}} // which Defender knows nothing of
		if c.claimed {
			claims = append(claims, posture.Claim{VM: c.vm, By: posture.Defender})
		}
		got := defender.Classify(v, claims, []posture.Finding{c.finding})
		if got.String() != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if why := got.Against(c.finding); !strings.Contains(why, c.against) || (why == "") != (c.against == "") {
			t.Errorf("%s: %q", name, why)
		}
	}
}
