package nsg_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
)

// crowd is a group with 90 VMs behind it, each locked and wanted by ten people.
func crowd() (*cloud, firewall.Wants) {
	c := newCloud()
	c.reading.Attachments = nil
	var want firewall.Wants
	for i := range 90 {
		vm := firewall.VMID(fmt.Sprintf("/subscriptions/0b1f6471/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/production-web-server-%d", i))
		c.reading.Attachments = append(c.reading.Attachments, attached(vm, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}).String()))
		w := locked(firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 22})
		for j := range 10 {
			o := grant("203.0.113.7/32", fmt.Sprintf("g-%d-%d", i, j))
			o.From = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), byte(j)}), 32)
			w.Open = append(w.Open, o)
		}
		want = append(want, w)
	}
	want.Sort()
	return c, want
}

// BenchmarkCompile is our own part of a write: from a reading to what is sent.
func BenchmarkCompile(b *testing.B) {
	c, want := crowd()
	locks := make(firewall.Wants, len(want))
	for i, w := range want {
		locks[i] = locked(w.Door)
	}
	full := func(want firewall.Wants) *cloud {
		c, _ := crowd()
		s := c.read().Snapshot(c.now)
		p, err := nsg.Compile(s, want)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Apply(b.Context(), s, p); err != nil {
			b.Fatal(err)
		}
		return c
	}
	one := append(firewall.Wants{}, want...)
	one[0].Open = one[0].Open[1:]
	for _, x := range []struct {
		name       string
		from, want firewall.Wants
		changes    int
	}{
		{"990 rules on an empty group", nil, want, 990},
		{"900 openings", locks, want, 900},
		{"900 closings", want, locks, 900},
		{"one closing of 990 rules", want, one, 1},
		{"nothing to do", want, want, 0},
	} {
		b.Run(x.name, func(b *testing.B) {
			at := c
			if x.from != nil {
				at = full(x.from)
			}
			for b.Loop() {
				s := at.read().Snapshot(at.now)
				p, err := nsg.Compile(s, x.want)
				if err != nil || len(p.Changes) != x.changes || len(p.Refused) > 0 {
					b.Fatal(err, len(p.Changes), p.Refused)
				}
				if _, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, at.now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestCrowd: everything that waits for one group is one write, and the group is
// read back as it was wanted.
func TestCrowd(t *testing.T) {
	c, want := crowd()
	for _, w := range []firewall.Wants{want, want, nil} {
		s := c.read().Snapshot(c.now)
		p, err := nsg.Compile(s, w)
		if err != nil || len(p.Refused) > 0 {
			t.Fatal(err, p.Refused)
		}
		if err := c.Apply(t.Context(), s, p); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.writes) != 2 || len(rulesIn(c.text)) > 0 {
		t.Errorf("%d writes leave %d rules", len(c.writes), len(rulesIn(c.text)))
	}
}
