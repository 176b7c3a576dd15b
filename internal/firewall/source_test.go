package firewall_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func TestParseSource(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7":        "203.0.113.7/32",
		"203.0.113.7/32":     "203.0.113.7/32",
		"198.51.100.0/24":    "198.51.100.0/24",
		"0.0.0.0/0":          "0.0.0.0/0", // its width is not judged here
		"2001:db8::7":        "2001:db8::7/128",
		"2001:DB8:0:0::7":    "2001:db8::7/128",
		"2001:db8::/64":      "2001:db8::/64",
		"64:ff9b::a9fe:a9fe": "64:ff9b::a9fe:a9fe/128",
	} {
		got, err := firewall.ParseSource(in)
		if err != nil || got.String() != want {
			t.Errorf("ParseSource(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
}

// hostileSources is every form of an address that some parser somewhere reads
// differently from another.
func hostileSources() []string {
	return []string{
		"", " ", "/", "/24", "1.2.3.4/", "any", "*", "localhost", "::ffff:1.2.3.4", "::ffff:1.2.3.4/120", "::ffff:0:0/96", "::FFFF:102:304",
		"fe80::1%eth0", "::ffff:1.2.3.4%eth0", "fe80::%eth0/64", "fe80::1%25eth0", "[2001:db8::7]", "[1.2.3.4]", "[2001:db8::7]:22", "1.2.3.4:22",
		"010.0.0.1", "1.2.3.04", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.-4", "0x7f.0.0.1", "0x7f000001", "2130706433", "1.2.3.4/032", "1.2.3.4/33",
		"1.2.3.4/-1", "1.2.3.4/+24", "2001:db8::/129", "1.2.3.4/24/24", "1.2.3.4/255.255.255.0", "1.2.3.4-1.2.3.9", "1.2.3.4,1.2.3.5",
		" 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4\r\n", "\t1.2.3.4", "1.2.3.4\x00", "1.2.3.4/24\n", "1.2.3.4 /24", "1. 2.3.4",
		"\u202e1.2.3.4", "1.2.3.4\u200f", "１.2.3.4", "1.2.3.٤", "1。2。3。4", "1\u20242.3.4", "2001:db8:::7", "2001:db8::7::1", "12345::", ":", "::1::", ":1",
		"1.2.3.4/24", "2001:db8::7/64", // host bits
		strings.Repeat("1", 10000), strings.Repeat(":", 10000), "1.2.3.4/" + strings.Repeat("0", 1000) + "24",
		"'; drop table grants; --", "$(id)", "{{.}}", "%s%n",
	}
}

func TestParseSourceRefusesHostileForms(t *testing.T) {
	for _, in := range hostileSources() {
		got, err := firewall.ParseSource(in)
		if err == nil {
			t.Errorf("ParseSource(%q) = %v", in, got)
			continue
		}
		f := errkind.FieldOf(err)
		if errkind.Of(err) != errkind.Invalid || f.Name != "source" || f.Value != errkind.Shorten(in) || f.Want == "" {
			t.Errorf("ParseSource(%q): %v (field %+v)", in, err, f)
		}
		if got != (netip.Prefix{}) {
			t.Errorf("ParseSource(%q) refused and returned %v", in, got)
		}
	}
}

func TestParseSourceSaysWhatWouldBeRight(t *testing.T) {
	for in, want := range map[string]string{
		"::ffff:1.2.3.4": "write the IPv4 address 1.2.3.4",
		"fe80::1%eth0":   "without a zone",
		"1.2.3.4/24":     "write 1.2.3.0/24 for the network or 1.2.3.4 for the one address",
		"2001:db8::7/64": "write 2001:db8::/64 for the network or 2001:db8::7 for the one address",
		"1.2.3":          "such as 203.0.113.7",
	} {
		if _, err := firewall.ParseSource(in); err == nil || !strings.Contains(errkind.Public(err), want) {
			t.Errorf("ParseSource(%q): %v; want it to say %q", in, err, want)
		}
	}
}

func drawPrefix(t *rapid.T) netip.Prefix {
	n := rapid.SampledFrom([]int{4, 16}).Draw(t, "family")
	b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address")
	a, _ := netip.AddrFromSlice(b)
	if a.Is4In6() {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
}

func TestSourceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPrefix(t)
		if p.Addr().Is4In6() {
			return // a prefix of ::ffff:0:0/96 has no form that is accepted
		}
		for _, text := range []string{firewall.FormatSource(p), p.String()} {
			if got, err := firewall.ParseSource(text); err != nil || got != p {
				t.Fatalf("ParseSource(%q) = %v, %v; want %v", text, got, err, p)
			}
		}
	})
}

func TestSpecial(t *testing.T) {
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, c := range []struct {
		source string
		listed []netip.Prefix
		want   string // the special range; empty for none
	}{
		{"203.0.113.7/32", nil, ""},
		{"10.0.0.0/8", nil, ""}, // private networks are where many people are
		{"fd00:1::/32", nil, ""},
		{"2001:db8::7/128", nil, ""},
		{"0.1.2.3/32", nil, "0.0.0.0/8"},
		{"100.64.0.1/32", nil, "100.64.0.0/10"},
		{"100.127.255.255/32", nil, "100.64.0.0/10"},
		{"127.0.0.1/32", nil, "127.0.0.0/8"},
		{"168.63.129.16/32", nil, "168.63.129.16/32"},
		{"169.254.169.254/32", nil, "169.254.0.0/16"},
		{"224.0.0.1/32", nil, "224.0.0.0/4"},
		{"255.255.255.255/32", nil, "240.0.0.0/4"},
		{"::/128", nil, "::/128"},
		{"::1/128", nil, "::1/128"},
		{"64:ff9b::a9fe:a9fe/128", nil, "64:ff9b::/96"},
		{"2001:0:1::/48", nil, "2001::/32"},
		{"2002:7f00:1::/48", nil, "2002::/16"},
		{"fd00:ec2::254/128", nil, "fd00:ec2::/32"},
		{"fe80::1/128", nil, "fe80::/10"},
		{"ff02::1/128", nil, "ff00::/8"},
		// What merely touches a special range is one, too.
		{"96.0.0.0/4", nil, "100.64.0.0/10"},
		{"0.0.0.0/0", nil, "0.0.0.0/8"},
		{"::/0", nil, "::/128"},
		// Listed: in the list, and meant by it.
		{"127.0.0.1/32", prefixes("127.0.0.0/8"), ""},
		{"127.0.0.1/32", prefixes("127.0.0.1/32"), ""},
		{"127.0.0.2/32", prefixes("127.0.0.1/32"), "127.0.0.0/8"},
		{"127.0.0.0/8", prefixes("127.0.0.1/32"), "127.0.0.0/8"},
		{"127.0.0.1/32", prefixes("0.0.0.0/0"), "127.0.0.0/8"},
		{"100.64.0.1/32", prefixes("100.0.0.0/8"), "100.64.0.0/10"},
		{"100.64.0.1/32", prefixes("198.51.100.0/24", "100.64.0.0/16"), ""},
		{"96.0.0.0/4", prefixes("96.0.0.0/4"), "100.64.0.0/10"},
	} {
		r, special := firewall.Special(netip.MustParsePrefix(c.source), c.listed)
		switch {
		case special != (c.want != ""):
			t.Errorf("Special(%s, %v) = %v, %v; want %q", c.source, c.listed, r, special, c.want)
		case special && r.Prefix.String() != c.want:
			t.Errorf("Special(%s, %v) = %s; want %s", c.source, c.listed, r.Prefix, c.want)
		case special && r.Name == "":
			t.Errorf("%s has no name", r.Prefix)
		}
	}
}

func TestCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outer, inner := drawPrefix(t), drawPrefix(t)
		if rapid.Bool().Draw(t, "inside") && inner.Bits() >= outer.Bits() && inner.Addr().BitLen() == outer.Addr().BitLen() {
			a := inner.Addr().AsSlice()
			for i, b := range outer.Addr().AsSlice() {
				keep := max(0, min(8, outer.Bits()-8*i))
				mask := byte(0xff << (8 - keep))
				a[i] = a[i]&^mask | b&mask
			}
			addr, _ := netip.AddrFromSlice(a)
			inner = netip.PrefixFrom(addr, inner.Bits()).Masked()
		}
		// Two prefixes of one family are nested or apart.
		want := outer.Overlaps(inner) && outer.Bits() <= inner.Bits()
		if got := firewall.Covers(outer, inner); got != want {
			t.Fatalf("Covers(%v, %v) = %v", outer, inner, got)
		}
	})
}

// FuzzParseSource holds the parser against the standard library's two older
// ones: what it accepts they read as the same addresses or refuse, and it never
// accepts anything wider.
func FuzzParseSource(f *testing.F) {
	for _, s := range hostileSources() {
		f.Add(s)
	}
	for _, s := range []string{"203.0.113.7", "198.51.100.0/24", "2001:db8::/64", "::/0", "::1", "1:2:3:4:5:6:7:8", "1::8/127"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := firewall.ParseSource(s)
		if err != nil {
			if p != (netip.Prefix{}) {
				t.Fatalf("ParseSource(%q) failed and returned %v", s, p)
			}
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			t.Fatalf("ParseSource(%q) = %v, which is not canonical", s, p)
		}
		if again, err := firewall.ParseSource(firewall.FormatSource(p)); err != nil || again != p {
			t.Fatalf("ParseSource(%q) = %v, whose text reads as %v, %v", s, p, again, err)
		}
		if !strings.Contains(s, "/") {
			if ip := net.ParseIP(s); ip == nil || !ip.Equal(p.Addr().AsSlice()) || !p.IsSingleIP() {
				t.Fatalf("ParseSource(%q) = %v; net.ParseIP says %v", s, p, ip)
			}
			return
		}
		ip, ipnet, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatalf("ParseSource(%q) = %v; net.ParseCIDR says %v", s, p, err)
		}
		ones, bits := ipnet.Mask.Size()
		if ones != p.Bits() || bits != p.Addr().BitLen() || !ip.Equal(p.Addr().AsSlice()) {
			t.Fatalf("ParseSource(%q) = %v; net.ParseCIDR says %v", s, p, ipnet)
		}
	})
}
