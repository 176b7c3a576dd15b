package wall_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/wall"
	"github.com/sesame-access/sesame/internal/reach"
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// rule draws a rule of a layer, of names that do not matter.
func rule(r *rand.Rand, action firewall.Action) firewall.LayerRule {
	x := firewall.LayerRule{Name: "rule", Action: action, Protocol: pick(r, 0, 0, firewall.TCP, firewall.UDP), Last: 65535, Maybe: r.IntN(6) == 0}
	if r.IntN(2) == 0 {
		x.First, x.Last = pick(r, uint16(22), 20), pick(r, uint16(22), 80)
	}
	for range r.IntN(3) {
		x.From = append(x.From, netip.MustParsePrefix(pick(r, "0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "8.8.8.0/24", "8.8.8.8/32", "::/0", "2600::/16")))
	}
	return x
}

// What stands behind a wall lets in whom the wall lets pass and whom it lets in,
// and those inside meet no wall: two layers in a row say the same.
func TestBeforeIsBothInARow(t *testing.T) {
	vm := firewall.VMID("vm")
	inside := netip.MustParsePrefix("10.0.1.0/24")
	clients := []string{"1.1.1.1", "8.8.8.8", "8.8.8.9", "10.0.0.1", "10.0.1.1", "2600::1", "2a00::1"}
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := wall.Wall{Inside: []netip.Prefix{inside}}
		for range 1 + r.IntN(5) {
			w.Rules = append(w.Rules, rule(r, pick(r, firewall.Allow, firewall.Deny)))
		}
		var behind []firewall.LayerRule
		for range r.IntN(4) {
			behind = append(behind, rule(r, firewall.Allow))
		}
		one := firewall.Layer{Firewall: "one", Kind: firewall.Ordered, Rules: w.Before(behind, vm, nil), Default: firewall.Deny}
		before := firewall.Layer{Firewall: "wall", Kind: firewall.Ordered, Rules: w.Rules, Default: firewall.Deny}
		after := firewall.Layer{Firewall: "groups", Kind: firewall.Union, Rules: behind, Default: firewall.Deny}
		for _, d := range []firewall.Door{{VM: vm, Protocol: firewall.TCP, Port: 22}, {VM: vm, Protocol: firewall.UDP, Port: 80}, {VM: vm, Protocol: firewall.TCP, Port: 443}} {
			for _, text := range clients {
				a := netip.MustParseAddr(text)
				want := reach.Layer(after, d).At(a).Verdict
				if !inside.Contains(a) {
					want = min(want, reach.Layer(before, d).At(a).Verdict)
				}
				if got := reach.Layer(one, d).At(a).Verdict; got != want {
					t.Fatalf("seed %d: %s from %s is %v, want %v:\n%+v\n%+v", seed, d, a, got, want, w.Rules, behind)
				}
			}
		}
	}
}

func TestDecisive(t *testing.T) {
	everybody := func(a firewall.Action, from ...string) firewall.LayerRule {
		r := firewall.LayerRule{Action: a, Last: 65535}
		for _, f := range from {
			r.From = append(r.From, netip.MustParsePrefix(f))
		}
		return r
	}
	some := everybody(firewall.Deny, "8.8.8.0/24")
	all4, all6, rest := everybody(firewall.Allow, "0.0.0.0/0"), everybody(firewall.Allow, "::/0"), everybody(firewall.Deny)
	for name, c := range map[string]struct {
		list []firewall.LayerRule
		v6   bool
		want int
	}{
		"everything passes":        {[]firewall.LayerRule{all4, all6, rest}, true, 0},
		"nobody has IPv6":          {[]firewall.LayerRule{all4, rest}, false, 0},
		"IPv6 is denied":           {[]firewall.LayerRule{all4, rest}, true, 2},
		"somebody is denied first": {[]firewall.LayerRule{some, all4, all6, rest}, true, 3},
		"family by family":         {[]firewall.LayerRule{all4, everybody(firewall.Deny, "0.0.0.0/0"), some, all6, rest}, true, 0},
		"not to everybody":         {[]firewall.LayerRule{all4, some}, true, 1},
		"too late":                 {[]firewall.LayerRule{all4, all6, some, rest}, true, 0},
	} {
		if got := wall.Decisive(slices.Clone(c.list), c.v6); len(got) != c.want {
			t.Errorf("%s: %d rules decide, want %d", name, len(got), c.want)
		}
	}
}
