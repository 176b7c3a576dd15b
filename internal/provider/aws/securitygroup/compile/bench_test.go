package compile_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup/compile"
)

// BenchmarkPlan compiles for a VPC of many instances, each with a group of its own
// and a shared one, of which a hundred are locked and get ten grants each.
func BenchmarkPlan(b *testing.B) {
	for _, instances := range []int{100, 1000, 10_000} {
		r := securitygroup.Reading{Network: network, Keys: keys, Groups: []securitygroup.Group{
			{ID: "sg-0", Name: "shared", Ingress: []securitygroup.Rule{ingress(6, 443, 443, "0.0.0.0/0")}},
		}}
		var want firewall.Wants
		for i := range instances {
			id, vm := fmt.Sprintf("sg-%05d", i+1), network.VM(fmt.Sprintf("i-%05d", i+1))
			r.Groups = append(r.Groups, securitygroup.Group{ID: id, Name: id, Ingress: []securitygroup.Rule{ingress(6, 20, 30, "10.0.0.0/8"), ingress(6, 8080, 8080, "10.0.0.0/8")}})
			r.Interfaces = append(r.Interfaces, securitygroup.Interface{
				ID: fmt.Sprintf("eni-%05d", i+1), VM: vm, Groups: []string{"sg-0", id}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})},
			})
			if i >= 100 {
				continue
			}
			w := firewall.Want{Door: firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 22}, Locked: true, Cut: false, Open: nil}
			for n := range 10 {
				w.Open = append(w.Open, firewall.Opening{
					From:  netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}), 32),
					Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Grants: firewall.HoldersOf(fmt.Sprintf("g-%d", n)),
				})
			}
			want = append(want, w)
		}
		want.Sort()
		b.Run(fmt.Sprintf("instances=%d/lock", instances), func(b *testing.B) {
			for b.Loop() {
				if p, err := compile.Plan(r, want, nil); err != nil || len(p.Refused) > 0 {
					b.Fatal(err, p.Refused)
				}
			}
		})
		j := &journal{r: r}
		if err := j.pass(want); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("instances=%d/nothing", instances), func(b *testing.B) {
			for b.Loop() {
				if p, err := compile.Plan(j.r, want, j.displaced); err != nil || !p.Empty() {
					b.Fatal(err, p)
				}
			}
		})
	}
}
