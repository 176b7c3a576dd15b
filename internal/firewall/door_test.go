package firewall_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func hostilePorts() []string {
	return []string{
		"", "0", "00", "65536", "65537", "99999999999999999999", "-1", "+22", "022", "0022", "22-3389", "22,3389", "*", "any", "ssh", "22.0", "2.2e1", "0x16",
		"0b10110", "0o26", "2_2", " 22", "22 ", "22\n", "22\r", "22\x00", "٢٢", "２２", "२२", "²²", "\u202e22", "22\u200b", "Ⅻ", "null", "NaN", strings.Repeat("1", 100000),
	}
}

func TestParsePort(t *testing.T) {
	for n := range 65536 {
		s := strconv.Itoa(n)
		got, err := firewall.ParsePort(s)
		if (err == nil) != (n > 0) || int(got) != n {
			t.Fatalf("ParsePort(%q) = %d, %v", s, got, err)
		}
	}
	for _, s := range hostilePorts() {
		got, err := firewall.ParsePort(s)
		f := errkind.FieldOf(err)
		if err == nil || got != 0 || f.Name != "port" || f.Value != errkind.Shorten(s) {
			t.Errorf("ParsePort(%q) = %d, %v", s, got, err)
		}
	}
}

func TestParseProtocol(t *testing.T) {
	for _, p := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
		if got, err := firewall.ParseProtocol(p.String()); err != nil || got != p {
			t.Errorf("ParseProtocol(%q) = %v, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "TCP", "Tcp", "tcp ", "6", "*", "all", "icmp", "sctp", "tcp\n", "ｔcp", "tcp,udp"} {
		if got, err := firewall.ParseProtocol(s); err == nil || errkind.FieldOf(err).Name != "protocol" {
			t.Errorf("ParseProtocol(%q) = %v, %v", s, got, err)
		}
	}
	if got := firewall.Protocol(132).String(); got != "132" {
		t.Errorf("protocol 132 is called %q", got)
	}
}

func hostileNames() []string {
	return []string{
		"", "-", "-a", "a-", "a b", "a.b", "a_b", "A", "Web-1", "web\n", "web\x00", "web/..", "..", "../etc", "web%2f", "wеb" /* Cyrillic e */, "web\u200b",
		"ｗeb", "web-1.", "web:22", "$(id)", "{{.}}", "%s", "K" /* Kelvin */, "ſ", "i̇", "\u202ebew", strings.Repeat("a", 64), strings.Repeat("a", 1<<20),
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"a", "0", "web-1", "1-2", "a--b", strings.Repeat("a", 63)} {
		if got, err := firewall.ParseName("host", s); err != nil || got != s {
			t.Errorf("ParseName(%q) = %q, %v", s, got, err)
		}
		id, err := firewall.ParseVMID("host://" + s)
		if err != nil || id != firewall.HostVM(s) || id.Name() != s {
			t.Errorf("ParseVMID(%q) = %q (%s), %v", s, id, id.Name(), err)
		}
	}
	for _, s := range hostileNames() {
		if _, err := firewall.ParseName("host", s); err == nil || errkind.FieldOf(err).Name != "host" {
			t.Errorf("ParseName(%q): %v", s, err)
		}
		if id, err := firewall.ParseVMID("host://" + s); err == nil || id != "" {
			t.Errorf("ParseVMID(%q) = %q, %v", "host://"+s, id, err)
		}
	}
	for _, s := range []string{"", "web-1", "host:web-1", "host:/web-1", "HOST://web-1", "Host://web-1", "host:///web-1", "host://web-1/", "host://web-1?x", " host://web-1", "http://web-1"} {
		if id, err := firewall.ParseVMID(s); err == nil {
			t.Errorf("ParseVMID(%q) = %q", s, id)
		}
	}
}

func drawDoor(t *rapid.T) firewall.Door {
	return firewall.Door{
		VM:       firewall.HostVM(rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?`).Draw(t, "vm")),
		Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP}).Draw(t, "protocol"),
		Port:     rapid.Uint16Range(1, 65535).Draw(t, "port"),
	}
}

func TestDoorsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDoor(t), drawDoor(t)
		if (a.String() == b.String()) != (a == b) {
			t.Fatalf("%+v is written %s, and %+v %s", a, a, b, b)
		}
		if c := firewall.CompareDoors(a, b); (c == 0) != (a == b) || c != -firewall.CompareDoors(b, a) {
			t.Fatalf("CompareDoors(%v, %v) = %d", a, b, c)
		}
	})
}

func TestRuleMatchesItsDoors(t *testing.T) {
	rule := firewall.LayerRule{Name: "r", Action: firewall.Allow, VM: "host://a", Protocol: firewall.TCP, First: 20, Last: 22}
	for _, c := range []struct {
		door firewall.Door
		want bool
	}{
		{firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 19}, false},
		{firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 20}, true},
		{firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 22}, true},
		{firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 23}, false},
		{firewall.Door{VM: "host://a", Protocol: firewall.UDP, Port: 22}, false},
		{firewall.Door{VM: "host://b", Protocol: firewall.TCP, Port: 22}, false},
	} {
		if got := rule.Matches(c.door); got != c.want {
			t.Errorf("%+v matches %v: %v", rule, c.door, got)
		}
	}
	all := firewall.LayerRule{Name: "all", Last: 65535}
	if d := (firewall.Door{VM: "host://b", Protocol: 1, Port: 0}); !all.Matches(d) {
		t.Errorf("%+v does not match %v", all, d)
	}
}

func TestNamesOfValues(t *testing.T) {
	var got []string
	for _, s := range []fmt.Stringer{
		firewall.Deny, firewall.Allow, firewall.Unknown, firewall.Action(9),
		firewall.MarkAbsent, firewall.MarkGood, firewall.MarkBroken, firewall.MarkForeign, firewall.MarkState(9),
	} {
		got = append(got, s.String())
	}
	want := []string{"deny", "allow", "unknown", "action?", "absent", "good", "broken", "foreign", "mark state?"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParsePort(f *testing.F) {
	for _, s := range append(hostilePorts(), "1", "22", "65535") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := firewall.ParsePort(s)
		if err == nil && (n == 0 || s != strconv.Itoa(int(n))) || err != nil && n != 0 {
			t.Fatalf("ParsePort(%q) = %d, %v", s, n, err)
		}
	})
}
