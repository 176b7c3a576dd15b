package gate

import (
	"strings"
	"testing"
	"time"
)

func TestAllows(t *testing.T) {
	const group = "/subscriptions/S/resourceGroups/a"
	i := Identity{
		Name: "opener", Token: "", Object: "", Scopes: []string{group},
		Actions: []string{"Microsoft.Network/*/read", "Microsoft.Network/networkSecurityGroups/securityRules/write"},
	}
	for _, tt := range []struct {
		action, id string
		want       bool
	}{
		{"microsoft.network/networksecuritygroups/SECURITYRULES/write", group + "/providers/x", true},
		{"Microsoft.Network/networkSecurityGroups/write", group, false},
		{"Microsoft.Network/networkSecurityGroups/securityRules/delete", group, false},
		{"Microsoft.Network/virtualNetworks/subnets/read", strings.ToUpper(group), true},
		{"Microsoft.Compute/virtualMachines/read", group, false},
		{"Microsoft.Network/virtualNetworks/read", group + "b", false},
		{"Microsoft.Network/virtualNetworks/read", "/subscriptions/S", false},
	} {
		if got := i.Allows(tt.action, tt.id); got != tt.want {
			t.Errorf("%s on %s: %v", tt.action, tt.id, got)
		}
	}
	if all := (Identity{Actions: []string{"*"}}); !all.Allows("anything/at/all", "/x") {
		t.Error("a star does not allow everything")
	}
}

// The documented figures: 200 writes at once, then ten a second, and never more
// than 1,000 in Microsoft.Network before five minutes have passed.
func TestBuckets(t *testing.T) {
	b, now := NewBuckets(Documented()), time.Unix(0, 0)
	take := func(principal string, network bool) Count {
		return b.Take(Call{Subscription: "s", Principal: principal, Operation: Write, Network: network}, now)
	}
	for i := range 200 {
		if c := take("a", false); !c.Allowed {
			t.Fatalf("write %d is refused", i+1)
		}
	}
	c := take("a", false)
	if c.Allowed || c.Wait != time.Second || c.Remaining["x-ms-ratelimit-remaining-subscription-writes"] != "0" {
		t.Errorf("write 201 gets %+v", c)
	}
	if c.Remaining["x-ms-ratelimit-remaining-subscription-global-writes"] != "2800" {
		t.Errorf("the subscription's bucket: %v", c.Remaining)
	}
	if !take("b", false).Allowed {
		t.Error("another principal has no bucket of its own")
	}
	if c := b.Take(Call{Subscription: "s", Principal: "a", Operation: Read, Network: false}, now); !c.Allowed {
		t.Error("reads are counted as writes")
	}
	now = now.Add(time.Second)
	for i := range 11 {
		if c := take("a", false); c.Allowed != (i < 10) {
			t.Errorf("a second later, write %d: %v", i+1, c.Allowed)
		}
	}
	now = now.Add(time.Hour)
	allowed := 0
	for p := range 10 {
		for range 200 {
			if take(string(rune('A'+p)), true).Allowed {
				allowed++
			}
		}
	}
	if allowed != 1000 {
		t.Errorf("Microsoft.Network took %d writes at once", allowed)
	}
	if c := NewBuckets(Limits{}).Take(Call{}, now); !c.Allowed || len(c.Remaining) != 0 {
		t.Errorf("without limits: %+v", c)
	}
}

func TestToken(t *testing.T) {
	if parts := strings.Split(Token("t", "o", "a", time.Unix(1, 0)), "."); len(parts) != 3 || parts[1] == "" {
		t.Errorf("the token has %d parts", len(parts))
	}
}
