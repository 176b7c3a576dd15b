package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

var prefixes = cmpopts.EquateComparable(netip.Prefix{})

func sources(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		p, err := firewall.ParseSource(s)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

func full() policy.Policy {
	return policy.Policy{
		Name: "prod-ssh",
		VMs:  []firewall.VMID{"host://db-1", "host://web-1"},
		Ports: []policy.Port{
			{Port: 22, Protocol: firewall.TCP, Max: 90 * time.Minute, Sources: sources("198.51.100.0/24", "2001:db8::/48"), WidestIPv4: 28, WidestIPv6: 56},
			{Port: 51820, Protocol: firewall.UDP, Max: 3 * time.Hour, WidestIPv4: 32, WidestIPv6: 64},
		},
		Exempt: sources("198.51.100.4", "2001:db8::1"),
		Cut:    true,
		Proof:  true,
		Azure:  policy.Azure{Policy: "/subscriptions/1/resourceGroups/RG/x/default", Document: `{"kind":"Basic"}`},
	}
}

const fullText = `name: prod-ssh
vms:
  - host://db-1
  - host://web-1
ports:
  - port: 22
    protocol: tcp
    max: 1h30m
    sources:
      - 198.51.100.0/24
      - "2001:db8::/48"
    widest: {ipv4: 28, ipv6: 56}
  - port: 51820
    protocol: udp
    max: 3h
    widest: {ipv4: 32, ipv6: 64}
exempt:
  - 198.51.100.4
  - "2001:db8::1"
cut: true
proof: true
azure:
  policy: "/subscriptions/1/resourceGroups/RG/x/default"
  document: "{\"kind\":\"Basic\"}"
`

func TestFormatIsCanonical(t *testing.T) {
	if diff := cmp.Diff(fullText, string(policy.Format(full()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	least := policy.Policy{
		Name: "p", VMs: []firewall.VMID{"host://a"},
		Ports: []policy.Port{{Port: 22, Protocol: firewall.TCP, Max: policy.DefaultMax, WidestIPv4: policy.DefaultWidestIPv4, WidestIPv6: policy.DefaultWidestIPv6}},
	}
	for name, c := range map[string]struct {
		text string
		want policy.Policy
	}{
		"canonical": {fullText, full()},
		"any order": {"proof: true\ncut: true\nexempt: ['2001:db8::1', 198.51.100.4]\nports:\n- {port: 51820, protocol: udp}\n- {port: 22, max: 90m, sources: [2001:db8::/48, 198.51.100.0/24], widest: {ipv6: 56, ipv4: 28}}\nvms: [host://web-1, host://db-1]\nname: prod-ssh\nazure: {document: '{\"kind\":\"Basic\"}', policy: /subscriptions/1/resourceGroups/RG/x/default}\n", full()},
		"defaults":  {"name: p\nvms: [host://a]\nports: [{port: 22}]\n", least},
		"nobody":    {"name: p\nvms: [host://a]\nports: [{port: 22, widest: {}}]\nexempt: []\ncut: false\n", least},
		"JSON":      {`{"name": "p", "vms": ["host://a"], "ports": [{"port": 22, "max": "3h"}]}`, least},
	} {
		got, err := policy.Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, prefixes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	port := func(s string) string { return "name: p\nvms: [host://a]\nports:\n- " + s + "\n" }
	many := func(n int, format string) string {
		var parts []string
		for i := range n {
			parts = append(parts, fmt.Sprintf(format, i/250, i%250))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing": {"", "line 1: name is missing; it must be a name of 1 to 63 lower-case letters, digits and inner hyphens\n" +
			"line 1: vms is missing; it must be a list of at least one VM id, such as [host://web-1]\n" +
			"line 1: ports is missing; it must be a list of at least one port, such as [{port: 22}]"},
		"a name in capitals":  {"name: P\nvms: [host://a]\nports: [{port: 22}]\n", `line 1: name: "P" is not a name of`},
		"a number for a name": {"name: 22\nvms: [host://a]\nports: [{port: 22}]\n", `line 1: name: "22" is a number, and must be text; put it in quotes`},
		"no VM":               {"name: p\nvms: []\nports: [{port: 22}]\n", "line 2: vms: the list has 0 entries; it must have 1 to 1000"},
		"a short VM":          {"name: p\nvms: [web-1]\nports: [{port: 22}]\n", `line 2: vms[0]: "web-1" is not a VM id such as host://web-1`},
		"a wildcard":          {"name: p\nvms: [host://*]\nports: [{port: 22}]\n", `line 2: vms[0]: "host://*" is not the id of a host, such as host://web-1`},
		"a VM twice":          {"name: p\nvms:\n- host://a\n- host://a\nports: [{port: 22}]\n", "line 4: vms[1]: the same as vms[0]; list it once"},
		"too many VMs":        {"name: p\nvms: " + many(1001, "host://a%d-%d") + "\nports: [{port: 22}]\n", "line 2: vms: the list has 1001 entries; it must have 1 to 1000"},
		"no port":             {"name: p\nvms: [host://a]\nports: []\n", "line 3: ports: the list has 0 entries; it must have 1 to 64"},
		"a port alone":        {"name: p\nvms: [host://a]\nports: [22]\n", `line 3: ports[0]: "22" is a number, and must be a map`},
		"a port twice":        {"name: p\nvms: [host://a]\nports:\n- port: 22\n- {port: 22, protocol: tcp}\n", "line 5: ports[1]: the same as ports[0]; list it once"},
		"port missing":        {port("max: 1h"), "line 4: ports[0].port is missing; it must be a port number from 1 to 65535"},
		"port 0":              {port("port: 0"), `line 4: ports[0].port: "0" is not a port number from 1 to 65535`},
		"port 65536":          {port("port: 65536"), `line 4: ports[0].port: "65536" is not a port number`},
		"port -1":             {port("port: -1"), `line 4: ports[0].port: "-1" is not a port number`},
		"port 022":            {port("port: 022"), `line 4: ports[0].port: "022" is not a port number`},
		"port 22.0":           {port("port: 22.0"), `line 4: ports[0].port: "22.0" is not a port number`},
		"port 0x16":           {port("port: 0x16"), `line 4: ports[0].port: "0x16" is not a port number`},
		"port 0o26":           {port("port: 0o26"), `line 4: ports[0].port: "0o26" is not a port number`},
		"port 2_2":            {port("port: 2_2"), `line 4: ports[0].port: "2_2" is not a port number`},
		"port 2.2e1":          {port("port: 2.2e1"), `line 4: ports[0].port: "2.2e1" is not a port number`},
		"port in quotes":      {port("port: '22'"), `line 4: ports[0].port: "22" is text, and must be a number; write it in digits, without quotes`},
		"port null":           {port("port: null"), "line 4: ports[0].port: says nothing, and must be a number"},
		"port range":          {port("port: 22-3389"), `line 4: ports[0].port: "22-3389" is text, and must be a number`},
		"every port":          {port("port: '*'"), `line 4: ports[0].port: "*" is text, and must be a number`},
		"Arabic port":         {port("port: ٢٢"), `line 4: ports[0].port: "\u0662\u0662" is text, and must be a number`},
		"protocol TCP":        {port("{port: 22, protocol: TCP}"), `line 4: ports[0].protocol: "TCP" is not "tcp" or "udp"`},
		"protocol 6":          {port("{port: 22, protocol: 6}"), `line 4: ports[0].protocol: "6" is not "tcp" or "udp"`},
		"max forever":         {port("{port: 22, max: forever}"), `line 4: ports[0].max: "forever" is not a duration from 1m to 168h`},
		"max 0":               {port("{port: 22, max: 0}"), `line 4: ports[0].max: "0" is not a duration`},
		"max 0s":              {port("{port: 22, max: 0s}"), `line 4: ports[0].max: "0s" is not a duration`},
		"max negative":        {port("{port: 22, max: -1h}"), `line 4: ports[0].max: "-1h" is not a duration`},
		"max null":            {port("{port: 22, max: null}"), "line 4: ports[0].max: says nothing, and must be text; leave the key out for the default"},
		"max empty":           {port("port: 22\n  max:"), "line 5: ports[0].max: says nothing"},
		"max 1e9h":            {port("{port: 22, max: 1e9h}"), `line 4: ports[0].max: "1e9h" is not a duration`},
		"max 169h":            {port("{port: 22, max: 169h}"), `line 4: ports[0].max: "169h" is not a duration`},
		"max in base 60":      {port("{port: 22, max: 3:00:00}"), `line 4: ports[0].max: "3:00:00" is not a duration`},
		"max infinite":        {port("{port: 22, max: .inf}"), `line 4: ports[0].max: ".inf" is not a duration`},
		"4-in-6":              {port("{port: 22, sources: ['::ffff:1.2.3.4']}"), `line 4: ports[0].sources[0]: "::ffff:1.2.3.4" is not in its own family; write the IPv4 address 1.2.3.4`},
		"host bits":           {port("{port: 22, sources: [1.2.3.4/24]}"), "write 1.2.3.0/24 for the network"},
		"everybody":           {port("{port: 22, sources: [0.0.0.0/0]}"), `line 4: ports[0].sources[0]: "0.0.0.0/0" is not /8 or narrower; leave the sources of a port out to allow every address`},
		"half of everybody":   {port("{port: 22, sources: [0.0.0.0/1, 128.0.0.0/1]}"), `ports[0].sources[1]: "128.0.0.0/1" is not /8 or narrower`},
		"everybody by IPv6":   {port("{port: 22, sources: ['::/0']}"), `line 4: ports[0].sources[0]: "::/0" is not /16 or narrower`},
		"a source twice":      {port("{port: 22, sources: [1.2.3.4, 1.2.3.4/32]}"), "line 4: ports[0].sources[1]: the same as ports[0].sources[0]; list it once"},
		"too many sources":    {port("{port: 22, sources: " + many(65, "10.0.%d.%d") + "}"), "ports[0].sources: the list has 65 entries; it must have 0 to 64"},
		"widest 0":            {port("{port: 22, widest: {ipv4: 0}}"), `line 4: ports[0].widest.ipv4: "0" is not a whole number from 8 to 32`},
		"widest 33":           {port("{port: 22, widest: {ipv4: 33}}"), `line 4: ports[0].widest.ipv4: "33" is not a whole number from 8 to 32`},
		"widest of IPv6":      {port("{port: 22, widest: {ipv6: 8}}"), `line 4: ports[0].widest.ipv6: "8" is not a whole number from 16 to 128`},
		"widest as a length":  {port("{port: 22, widest: /24}"), `line 4: ports[0].widest: "/24" is text, and must be a map`},
		"cut: yes":            {"name: p\nvms: [host://a]\nports: [{port: 22}]\ncut: yes\n", `line 4: cut: "yes" is text, and must be true or false`},
		"an exempt everybody": {"name: p\nvms: [host://a]\nports: [{port: 22}]\nexempt: [0.0.0.0/0]\n", `line 4: exempt[0]: "0.0.0.0/0" is not /8 or narrower; not everybody is exempt`},
		"no sources":          {port("{port: 22, sources: []}"), `line 4: ports[0].sources: the list is empty; name a source, or leave the key out to allow every address`},
		"no max":              {port("{port: 22, max: \"\"}"), `line 4: ports[0].max: "" is not a duration`},
		"version 0":           {"name: p\nversion: 0\nvms: [host://a]\nports: [{port: 22}]\n", `line 2: version: "0" is not a whole number from 1`},
		"version as text":     {"name: p\nversion: \"9\"\nvms: [host://a]\nports: [{port: 22}]\n", `line 2: version: "9" is text`},
		"a slip":              {port("{port: 22, source: [1.2.3.4]}"), `line 4: there is no key "ports[0].source"; did you mean sources?`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy.Parse([]byte(c.text))
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			if !strings.Contains(errkind.Public(err), c.want) || errkind.Of(err) != errkind.Invalid {
				t.Errorf("got\n%s\nwant\n%s", errkind.Public(err), c.want)
			}
			if !cmp.Equal(got, policy.Policy{}, prefixes) {
				t.Errorf("a refused policy came out as %+v", got)
			}
		})
	}
}

// somebody reports whether packets can come from p.
func somebody(p netip.Prefix) bool {
	_, nobody := firewall.Nobody(p)
	return !nobody
}

// What clouds probe from can be exempt, and so can all that is private.
func TestExempt(t *testing.T) {
	p := full()
	p.Exempt = sources("10.0.0.0/8", "100.64.0.0/10", "168.63.129.16", "169.254.0.7", "172.16.0.0/12", "192.168.0.0/16", "203.0.113.7", "2400::/16", "fd00::/16")
	if err := policy.Validate(p); err != nil {
		t.Error(err)
	}
	p.Exempt = sources("10.0.0.0/8", "11.0.0.0/8", "12.0.0.1")
	if got, err := policy.Parse(policy.Format(p)); errkind.Of(err) != errkind.Invalid || got.Name != "" {
		t.Errorf("half the world, piece by piece, is exempt: %v", err)
	}
}

func drawPolicy(t *rapid.T) policy.Policy {
	drawPrefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := rapid.SampledFrom([]int{4, 16}).Draw(t, "family")
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
		a = a.Unmap()
		least := policy.LeastBitsIPv6
		if a.Is4() {
			least = policy.LeastBitsIPv4
		}
		return netip.PrefixFrom(a, rapid.IntRange(least, a.BitLen()).Draw(t, "bits")).Masked()
	})
	drawPort := rapid.Custom(func(t *rapid.T) policy.Port {
		return policy.Port{
			Port:     rapid.Uint16Range(1, 65535).Draw(t, "port"),
			Protocol: rapid.SampledFrom([]firewall.Protocol{0, firewall.TCP, firewall.UDP}).Draw(t, "protocol"),
			Max:      time.Duration(rapid.Int64Range(60, 7*86400).Draw(t, "max")) * time.Second,
			Sources:  rapid.SliceOfNDistinct(drawPrefix, 0, 4, rapid.ID).Draw(t, "sources"), WidestIPv4: rapid.IntRange(8, 32).Draw(t, "v4"), WidestIPv6: rapid.IntRange(16, 128).Draw(t, "v6"),
		}
	})
	name := rapid.OneOf(rapid.SampledFrom([]string{"22", "1e3", "0x1f", "null", "true", "no", "y", "2030-01-01", "prod-ssh"}), rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?`))
	return policy.Policy{
		Name:    name.Draw(t, "name"),
		Version: rapid.Int64Min(0).Draw(t, "version"),
		VMs:     rapid.SliceOfNDistinct(rapid.Map(name, firewall.HostVM), 1, 4, rapid.ID).Draw(t, "vms"),
		Ports: rapid.SliceOfNDistinct(drawPort, 1, 4, func(p policy.Port) string {
			return fmt.Sprint(p.Port, max(p.Protocol, firewall.TCP))
		}).Draw(t, "ports"),
		Exempt: rapid.SliceOfNDistinct(drawPrefix.Filter(somebody), 0, 2, rapid.ID).Draw(t, "exempt"),
		Cut:    rapid.Bool().Draw(t, "cut"),
		Azure: rapid.SampledFrom([]policy.Azure{
			{}, {Policy: "/subscriptions/x"}, {Policy: "/Subscriptions/x/Y", Document: `{"a":"ü\u0000 ' #"}`},
		}).Draw(t, "azure"),
	}.WithDefaults()
}

func TestPolicyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		if err := policy.Validate(p); err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		text := policy.Format(p)
		got, err := policy.Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(p, got, prefixes); diff != "" {
			t.Fatalf("(-was +is):\n%s\n%s", diff, text)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := policy.Validate(full()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit  func(*policy.Policy)
		field string
	}{
		"no name":          {func(p *policy.Policy) { p.Name = "" }, "name"},
		"no VMs":           {func(p *policy.Policy) { p.VMs = nil }, "vms"},
		"a hostile VM":     {func(p *policy.Policy) { p.VMs[0] = "host://../x" }, "vms[0]"},
		"VMs unsorted":     {func(p *policy.Policy) { slices.Reverse(p.VMs) }, "vms[1]"},
		"a VM twice":       {func(p *policy.Policy) { p.VMs[1] = p.VMs[0] }, "vms[1]"},
		"no ports":         {func(p *policy.Policy) { p.Ports = nil }, "ports"},
		"ports unsorted":   {func(p *policy.Policy) { slices.Reverse(p.Ports) }, "ports[1]"},
		"port 0":           {func(p *policy.Policy) { p.Ports[0].Port = 0 }, "ports[0].port"},
		"no protocol":      {func(p *policy.Policy) { p.Ports[0].Protocol = 0 }, "ports[0].protocol"},
		"another protocol": {func(p *policy.Policy) { p.Ports[0].Protocol = 1 }, "ports[0].protocol"},
		"no max":           {func(p *policy.Policy) { p.Ports[1].Max = 0 }, "ports[1].max"},
		"a negative max":   {func(p *policy.Policy) { p.Ports[1].Max = -time.Hour }, "ports[1].max"},
		"too long":         {func(p *policy.Policy) { p.Ports[1].Max = access.MaxDuration + time.Second }, "ports[1].max"},
		"half a second":    {func(p *policy.Policy) { p.Ports[1].Max = time.Hour + time.Second/2 }, "ports[1].max"},
		"a hair too long":  {func(p *policy.Policy) { p.Ports[1].Max = access.MaxDuration + 1 }, "ports[1].max"},
		"a hair too short": {func(p *policy.Policy) { p.Ports[1].Max = access.MinDuration - 1 }, "ports[1].max"},
		"no width":         {func(p *policy.Policy) { p.Ports[0].WidestIPv4 = 0 }, "ports[0].widest.ipv4"},
		"no width of IPv6": {func(p *policy.Policy) { p.Ports[0].WidestIPv6 = 0 }, "ports[0].widest.ipv6"},
		"unmasked":         {func(p *policy.Policy) { p.Ports[0].Sources[0] = netip.MustParsePrefix("198.51.100.7/24") }, "ports[0].sources[0]"},
		"4-in-6":           {func(p *policy.Policy) { p.Ports[0].Sources[1] = netip.MustParsePrefix("::ffff:1.2.3.0/120") }, "ports[0].sources[1]"},
		"no prefix":        {func(p *policy.Policy) { p.Ports[0].Sources[0] = netip.Prefix{} }, "ports[0].sources[0]"},
		"no Azure policy":  {func(p *policy.Policy) { p.Azure.Policy = "" }, "azure.policy"},
		"hostile Azure id": {func(p *policy.Policy) { p.Azure.Policy = "/subscriptions/a\nb" }, "azure.policy"},
		"hostile document": {func(p *policy.Policy) { p.Azure.Document = "{\n}" }, "azure.document"},
		"everybody":        {func(p *policy.Policy) { p.Exempt = sources("0.0.0.0/0") }, "exempt[0]"},
		"exempt twice":     {func(p *policy.Policy) { p.Exempt = sources("1.2.3.4", "1.2.3.4") }, "exempt[1]"},
		"piece by piece":   {func(p *policy.Policy) { p.Exempt = sources("10.0.0.0/8", "11.0.0.0/8", "12.0.0.1") }, "exempt"},
		"and IPv6":         {func(p *policy.Policy) { p.Exempt = sources("2001::/16", "2400::/16", "2600::1") }, "exempt"},
		"this network":     {func(p *policy.Policy) { p.Exempt = sources("0.0.0.0") }, "exempt[0]"},
		"loopback":         {func(p *policy.Policy) { p.Exempt = sources("127.0.0.1") }, "exempt[0]"},
		"loopback of IPv6": {func(p *policy.Policy) { p.Exempt = sources("192.0.2.1", "::1") }, "exempt[1]"},
		"multicast":        {func(p *policy.Policy) { p.Exempt = sources("224.0.0.1") }, "exempt[0]"},
		"broadcast":        {func(p *policy.Policy) { p.Exempt = sources("255.255.255.255") }, "exempt[0]"},
	} {
		p := full()
		c.edit(&p)
		if err := policy.Validate(p); errkind.Of(err) != errkind.Invalid || errkind.FieldOf(err).Name != c.field {
			t.Errorf("%s: %v (field %q), want field %q", name, err, errkind.FieldOf(err).Name, c.field)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	given := policy.Policy{
		Name: "p", VMs: []firewall.VMID{"host://b", "host://a"},
		Ports:  []policy.Port{{Port: 23, Protocol: firewall.UDP}, {Port: 22, Sources: sources("10.0.0.2", "10.0.0.1")}},
		Exempt: []netip.Prefix{},
	}
	got := given.WithDefaults()
	want := policy.Policy{
		Name: "p", VMs: []firewall.VMID{"host://a", "host://b"},
		Ports: []policy.Port{
			{Port: 22, Protocol: firewall.TCP, Max: 3 * time.Hour, Sources: sources("10.0.0.1", "10.0.0.2"), WidestIPv4: 32, WidestIPv6: 64},
			{Port: 23, Protocol: firewall.UDP, Max: 3 * time.Hour, WidestIPv4: 32, WidestIPv6: 64},
		},
	}
	if diff := cmp.Diff(want, got, prefixes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if given.VMs[0] != "host://b" || given.Ports[0].Port != 23 || given.Ports[1].Sources[0].Addr().String() != "10.0.0.2" {
		t.Error("WithDefaults changed the policy that it was given")
	}
	if err := policy.Validate(policy.Policy{}.WithDefaults()); err == nil {
		t.Error("defaults make a policy out of nothing")
	}
}

func TestDoors(t *testing.T) {
	p := full()
	var got []string
	for _, d := range p.Doors() {
		got = append(got, d.String())
		if port, ok := p.PortOf(d); !ok || port.Port != d.Port || port.Protocol != d.Protocol {
			t.Errorf("PortOf(%v) = %+v, %v", d, port, ok)
		}
	}
	want := []string{"host://db-1:22/tcp", "host://db-1:51820/udp", "host://web-1:22/tcp", "host://web-1:51820/udp"}
	if !slices.Equal(got, want) {
		t.Errorf("doors %v, want %v", got, want)
	}
	for _, d := range []firewall.Door{
		{VM: "host://db-1", Protocol: firewall.UDP, Port: 22},
		{VM: "host://db-1", Protocol: firewall.TCP, Port: 23},
		{VM: "host://db", Protocol: firewall.TCP, Port: 22},
		{VM: "host://web-10", Protocol: firewall.TCP, Port: 22},
	} {
		if _, ok := p.PortOf(d); ok {
			t.Errorf("%s is covered", d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fullText)
	f.Add(`{"name": "p", "vms": ["host://a"], "ports": [{"port": 22}]}`)
	f.Add("name: p\nvms: [host://a]\nports: [{port: 022}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.Parse([]byte(text))
		if err != nil {
			return
		}
		if err := policy.Validate(p); err != nil {
			t.Fatalf("%q is parsed and not valid: %v", text, err)
		}
		again, err := policy.Parse(policy.Format(p))
		if err != nil || !cmp.Equal(p, again, prefixes) {
			t.Fatalf("%q is written as %q (%v)", text, policy.Format(p), err)
		}
	})
}
