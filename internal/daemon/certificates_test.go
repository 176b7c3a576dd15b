package daemon

import (
	"net/netip"
	"testing"
)

// Whoever reads where the server is can go there.
func TestURLCanBeUsed(t *testing.T) {
	for _, c := range []struct {
		listen string
		meant  []string
		want   string
	}{
		{"127.0.0.1:8443", []string{"sesame.example.org"}, "https://127.0.0.1:8443"},
		{"[2001:db8::1]:8443", nil, "https://[2001:db8::1]:8443"},
		{"0.0.0.0:8443", nil, "https://localhost:8443"},
		{"0.0.0.0:8443", []string{"sesame.example.org", "other.example.org"}, "https://sesame.example.org:8443"},
		{"[::]:443", []string{"*.example.org", "2001:db8::1"}, "https://[2001:db8::1]:443"},
	} {
		if got := (certificates{meant: c.meant}).url(netip.MustParseAddrPort(c.listen)); got != c.want {
			t.Errorf("%s with %v: %s, want %s", c.listen, c.meant, got, c.want)
		}
	}
}
