package console_test

import (
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/cli/console"
)

const (
	instance = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
	machine  = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm-1"
)

func TestSplitDoor(t *testing.T) {
	for _, vm := range []string{"web-1", "host://web-1", instance, machine} {
		for _, port := range []string{"", "22", "53/udp", "ssh", "0", "22/"} {
			in, want := vm, []string(nil)
			if port != "" {
				in, want = vm+":"+port, []string{port}
			}
			if got, ports := console.SplitDoor(in); got != vm || !slices.Equal(ports, want) {
				t.Errorf("%s is %s and %q", in, got, ports)
			}
		}
	}
}

func TestCheckVM(t *testing.T) {
	for _, s := range []string{"web-1", "DC01", "Web server (old)", "bücher", "db_1", "host://web-1", instance, machine} {
		if err := console.CheckVM(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", " ", "-x", "a\n", "a\x1b[1m", "\xff", "host://", "host://A", "arn:aws", "/subscriptions/x", "http://x", string(make([]byte, 300))} {
		if err := console.CheckVM(s); err == nil {
			t.Errorf("%q can be a VM", s)
		}
	}
}
