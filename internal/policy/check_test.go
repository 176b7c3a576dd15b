package policy_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

func TestCheck(t *testing.T) {
	now := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	door := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	open := policy.Policy{Name: "open", VMs: []firewall.VMID{"host://web-1"}, Ports: []policy.Port{{Port: 22}}}.WithDefaults()
	office := full() // 90m, 198.51.100.0/24 down to /28, 2001:db8::/48 down to /56
	loopback := open
	loopback.Ports = slices.Clone(open.Ports)
	loopback.Ports[0].Sources = sources("127.0.0.0/8")
	crowd := loopback
	crowd.Ports = slices.Clone(open.Ports)
	crowd.Ports[0].Sources = sources("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6")
	for name, c := range map[string]struct {
		policy   policy.Policy
		duration time.Duration
		start    time.Time
		sources  []netip.Prefix
		door     firewall.Door
		want     []string
	}{
		"from anywhere":      {open, time.Hour, time.Time{}, sources("203.0.113.7"), door, nil},
		"at the limit":       {open, 3 * time.Hour, time.Time{}, sources("203.0.113.7"), door, nil},
		"over the limit":     {open, 3*time.Hour + time.Second, time.Time{}, sources("203.0.113.7"), door, []string{"asks for 3h0m1s, at most 3h"}},
		"a moment over it":   {open, 3*time.Hour + time.Millisecond, time.Time{}, sources("203.0.113.7"), door, []string{"asks for 3h0m1s, at most 3h"}},
		"no time":            {open, 0, time.Time{}, sources("203.0.113.7"), door, []string{"asks for 0s, at least 1m"}},
		"negative time":      {open, -time.Hour, time.Time{}, sources("203.0.113.7"), door, []string{"asks for -1h, at least 1m"}},
		"a later start":      {open, time.Hour, now.Add(30 * 24 * time.Hour), sources("203.0.113.7"), door, nil},
		"a far later start":  {open, time.Hour, now.Add(31 * 24 * time.Hour), sources("203.0.113.7"), door, []string{"starts in 744h, at most 720h ahead"}},
		"no source":          {open, time.Hour, time.Time{}, nil, door, []string{"names no source, at least one"}},
		"seventeen sources":  {open, time.Hour, time.Time{}, slices.Repeat(sources("203.0.113.7"), 17), door, []string{"names 17 sources, at most 16"}},
		"another port":       {open, time.Hour, time.Time{}, sources("203.0.113.7"), firewall.Door{VM: door.VM, Protocol: firewall.TCP, Port: 23}, []string{"does not cover host://web-1:23/tcp"}},
		"a network":          {open, time.Hour, time.Time{}, sources("203.0.113.0/24"), door, []string{"source 203.0.113.0/24 is wider than /32, the widest that may be asked for"}},
		"an IPv6 network":    {open, time.Hour, time.Time{}, sources("2001:db8::/64"), door, nil},
		"a wide one":         {open, time.Hour, time.Time{}, sources("2001:db8::/63"), door, []string{"source 2001:db8::/63 is wider than /64, the widest that may be asked for"}},
		"a special range":    {open, time.Hour, time.Time{}, sources("127.0.0.1"), door, []string{"source 127.0.0.1 lies in 127.0.0.0/8 (loopback), which must be listed to be allowed"}},
		"carrier-grade NAT":  {open, time.Hour, time.Time{}, sources("100.64.1.2"), door, []string{"source 100.64.1.2 lies in 100.64.0.0/10 (carrier-grade NAT, shared by many customers), which must be listed to be allowed"}},
		"a listed special":   {loopback, time.Hour, time.Time{}, sources("127.0.0.1"), door, nil},
		"listed, not listed": {loopback, time.Hour, time.Time{}, sources("203.0.113.7"), door, []string{"source 203.0.113.7 is not within 127.0.0.0/8"}},
		"from the office":    {office, time.Hour, time.Time{}, sources("198.51.100.16/28", "2001:db8:0:100::/56"), door, nil},
		"across the border":  {office, time.Hour, time.Time{}, sources("198.51.101.1"), door, []string{"source 198.51.101.1 is not within 198.51.100.0/24, 2001:db8::/48"}},
		"among many":         {crowd, time.Hour, time.Time{}, sources("192.0.2.7"), door, []string{"source 192.0.2.7 is not within 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 2 more"}},
		"not canonical":      {open, time.Hour, time.Time{}, []netip.Prefix{netip.MustParsePrefix("203.0.113.7/24")}, door, []string{"source 203.0.113.7/24 is not an address or a masked prefix"}},
		"4-in-6":             {open, time.Hour, time.Time{}, []netip.Prefix{netip.MustParsePrefix("::ffff:1.2.3.4/128")}, door, []string{"source ::ffff:1.2.3.4/128 is not an address or a masked prefix"}},
		"no prefix":          {open, time.Hour, time.Time{}, []netip.Prefix{{}}, door, []string{"source invalid Prefix is not an address or a masked prefix"}},
		"everything wrong": {
			office, 4 * time.Hour, now.Add(1000 * time.Hour), sources("0.0.0.0/0", "203.0.113.7"), door,
			[]string{
				"asks for 4h, at most 1h30m",
				"starts in 1000h, at most 720h ahead",
				"source 0.0.0.0/0 is wider than /28, the widest that may be asked for",
				"source 0.0.0.0/0 is not within 198.51.100.0/24, 2001:db8::/48",
				`source 0.0.0.0/0 lies in 0.0.0.0/8 ("this network"), which must be listed to be allowed`,
				"source 203.0.113.7 is not within 198.51.100.0/24, 2001:db8::/48",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := access.Request{Duration: c.duration, Start: c.start, Sources: c.sources, Doors: []firewall.Door{c.door}}
			if got := policy.Check(c.policy, req, c.door, now); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Nothing that a policy allows is longer, wider or from elsewhere than it says.
func TestCheckAllowsOnlyWhatThePolicySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		d := rapid.SampledFrom(p.Doors()).Draw(t, "door")
		port, _ := p.PortOf(d)
		within := rapid.SampledFrom(append(sources("203.0.113.7", "2001:db8::7"), port.Sources...)).Draw(t, "near")
		bits := rapid.IntRange(within.Bits(), within.Addr().BitLen()).Draw(t, "bits")
		source := netip.PrefixFrom(within.Addr(), bits).Masked()
		req := access.Request{Duration: time.Duration(rapid.Int64Range(0, int64(200*time.Hour)).Draw(t, "duration")), Sources: []netip.Prefix{source}}
		widest := port.WidestIPv6
		if source.Addr().Is4() {
			widest = port.WidestIPv4
		}
		listed := len(port.Sources) == 0 || slices.ContainsFunc(port.Sources, func(a netip.Prefix) bool { return a.Contains(source.Addr()) && a.Bits() <= source.Bits() })
		_, special := firewall.Special(source, port.Sources)
		want := req.Duration >= time.Minute && req.Duration <= port.Max && source.Bits() >= widest && listed && !special
		if not := policy.Check(p, req, d, time.Time{}); (len(not) == 0) != want {
			t.Fatalf("allowed: %v, want %v; not: %q", len(not) == 0, want, not)
		}
	})
}
