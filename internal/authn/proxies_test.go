package authn

import (
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/errkind"
)

func TestN01HeadersOfStrangersMeanNothing(t *testing.T) {
	for _, name := range []string{
		"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Forwarded", "X-Client-Ip", "X-Forwarded-Host", "X-Original-Forwarded-For",
	} {
		for _, proxies := range []Proxies{nil, {netip.MustParsePrefix("10.0.0.0/16")}} {
			got, err := proxies.Client(request(name, "198.51.100.9"))
			if err != nil || got != netip.MustParseAddr("192.0.2.7") {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	}
}

func TestN02TheFirstStrangerFromTheRight(t *testing.T) {
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/16")}
	for header, want := range map[string]string{
		"198.51.100.9":                         "198.51.100.9",
		"1.2.3.4, 198.51.100.9":                "198.51.100.9",
		"1.2.3.4, 198.51.100.9, 10.0.0.2":      "198.51.100.9",
		"10.0.0.9, 198.51.100.9,10.0.0.2":      "198.51.100.9",
		"127.0.0.1, ::1, ::ffff:198.51.100.9":  "198.51.100.9",
		"203.0.113.1, 2001:db8::7 , 10.0.0.3 ": "2001:db8::7",
		"10.0.0.7, 10.0.0.8":                   "10.0.0.7",
	} {
		r := request("X-Forwarded-For", header)
		r.RemoteAddr = "10.0.0.1:443"
		if got, err := proxies.Client(r); err != nil || got != netip.MustParseAddr(want) {
			t.Errorf("%q: %v, %v, want %s", header, got, err, want)
		}
	}
	for _, header := range []string{"unknown", "198.51.100.9:80", "198.51.100.9, ", "fe80::1%eth0", "198.51.100.009"} {
		r := request("X-Forwarded-For", header)
		r.RemoteAddr = "10.0.0.1:443"
		if got, err := proxies.Client(r); errkind.Of(err) != errkind.Invalid {
			t.Errorf("%q: %v, %v", header, got, err)
		}
	}
}

func TestN03OneListOnlyThatHeader(t *testing.T) {
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/16")}
	r := request("X-Forwarded-For", "1.2.3.4", "x-forwarded-for", "198.51.100.9", "X_Forwarded_For", "5.6.7.8", "Connection", "X-Forwarded-For", "X-Real-Ip", "5.6.7.8")
	r.RemoteAddr = "10.0.0.1:443"
	if got, err := proxies.Client(r); err != nil || got != netip.MustParseAddr("198.51.100.9") {
		t.Errorf("%v, %v", got, err)
	}
}
