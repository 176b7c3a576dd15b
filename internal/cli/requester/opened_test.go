package requester

import (
	"testing"

	"github.com/sesame-access/sesame/internal/api"
)

// Who comes over IPv6 is told the VM's IPv6 address.
func TestConnectCommand(t *testing.T) {
	both := api.VM{Name: "web-1", Addresses: []string{"10.66.0.1", "2001:db8::66"}}
	four := api.VM{Name: "web-1", Addresses: []string{"10.66.0.1"}}
	cloud := api.VM{Name: "web-1", Account: "1", Addresses: []string{"10.66.0.1", "198.51.100.1"}}
	for name, c := range map[string]struct {
		vm      api.VM
		port    api.PortNumber
		sources []string
		config  string
		want    string
	}{
		"IPv4":       {both, 22, []string{"203.0.113.7"}, "", "ssh 10.66.0.1"},
		"IPv6":       {both, 22, []string{"2001:db8::/64"}, "", "ssh 2001:db8::66"},
		"either":     {four, 22, []string{"2001:db8::7", "203.0.113.7"}, "", "ssh 10.66.0.1"},
		"neither":    {four, 22, []string{"2001:db8::7"}, "", "ssh web-1"},
		"no address": {api.VM{Name: "web-1"}, 22, []string{"203.0.113.7"}, "", "ssh web-1"},
		"no ssh":     {both, 3389, []string{"2001:db8::7"}, "", "2001:db8::66, port 3389/tcp"},
		"simulated":  {api.VM{Name: "web-1", Addresses: both.Addresses, Firewalls: []string{"memory://web-1"}}, 22, []string{"203.0.113.7"}, "", "nothing is there: web-1 is simulated"},
		"public":     {cloud, 22, []string{"203.0.113.7"}, "/c", "ssh 198.51.100.1"},
		"inside":     {cloud, 22, []string{"10.0.0.0/8"}, "", "ssh 10.66.0.1"},
		"simulacrum": {api.VM{Name: "web-1", Tags: map[string]string{"simulated-by": "sesame"}}, 22, []string{"203.0.113.7"}, "", "nothing is there: web-1 is simulated"},
		"configured": {both, 22, []string{"203.0.113.7", "2001:db8::7"}, "/c", "ssh -F /c web-1"},
		"only IPv6":  {both, 22, []string{"2001:db8::7"}, "/c", "ssh -F /c -o HostName=2001:db8::66 web-1"},
	} {
		d := api.Door{VM: "host://web-1", Port: c.port, Protocol: "tcp"}
		if got := connectCommand(d, c.vm, c.sources, c.config); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
