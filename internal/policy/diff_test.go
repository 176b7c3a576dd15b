package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

func TestDiff(t *testing.T) {
	before := policy.Policy{
		Name: "p", Version: 3, VMs: []firewall.VMID{"host://a", "host://b"}, Exempt: sources("192.0.2.1"),
		Ports: []policy.Port{{Port: 22, Max: time.Hour, Sources: sources("198.51.100.0/24")}, {Port: 23}},
	}.WithDefaults()
	after := policy.Policy{
		Name: "p", VMs: []firewall.VMID{"host://a", "host://c"}, Exempt: sources("192.0.2.2"), Cut: true, Proof: true,
		Ports: []policy.Port{{Port: 22, Max: 3 * time.Hour, WidestIPv4: 24}, {Port: 53, Protocol: firewall.UDP, Sources: sources("192.0.2.0/24", "2001:db8::/32")}},
	}.WithDefaults()
	want := []string{
		"VM out: b",
		"VM in: c",
		"port out: 23/tcp",
		"22/tcp max: 1h → 3h",
		"22/tcp sources: 198.51.100.0/24 → anywhere",
		"22/tcp widest: /32 and /64 → /24 and /64",
		"port in: 53/udp, max 3h, sources 192.0.2.0/24 2001:db8::/32, widest /32 and /64",
		"exempt out: 192.0.2.1",
		"exempt in: 192.0.2.2",
		"cut: false → true",
		"proof: false → true",
	}
	if diff := cmp.Diff(want, policy.Diff(before, after)); diff != "" {
		t.Error(diff)
	}
}

// Two policies differ in a line exactly if they differ in their text, but for
// name and version.
func TestDiffMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPolicy(t), drawPolicy(t)
		if rapid.Bool().Draw(t, "near") {
			b = a
			b.Ports = slices.Clone(a.Ports)
			b.Ports[0].Max = time.Duration(rapid.IntRange(60, 62).Draw(t, "max")) * time.Second
		}
		a.Name, b.Name, a.Version, b.Version = "p", "p", 1, 1
		lines := policy.Diff(a, b)
		if same := string(policy.Format(a)) == string(policy.Format(b)); same != (len(lines) == 0) {
			t.Fatalf("same text: %v, lines %q\n%s\n%s", same, lines, policy.Format(a), policy.Format(b))
		}
	})
}
