package firewall_test

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

const (
	instance = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
	machine  = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourcegroups/rg_(prod).eu/providers/microsoft.compute/virtualmachines/vm-1.a_2"
)

func goodIDs() map[string]firewall.VMID {
	out := map[string]firewall.VMID{
		// Azure takes every spelling, and there is one door.
		"/SUBSCRIPTIONS/01234567-89AB-CDEF-0123-456789ABCDEF/resourceGroups/RG_(prod).EU/providers/Microsoft.Compute/virtualMachines/VM-1.a_2": machine,
	}
	for _, id := range []string{
		"host://web-1", instance, machine,
		"arn:aws:ec2:us-east-1:000000000001:instance/i-89abcdef",
		"arn:aws-cn:ec2:cn-north-1:123456789012:instance/i-0123456789abcdef0",
		"arn:aws-us-gov:ec2:us-gov-west-1:123456789012:instance/i-0123456789abcdef0",
	} {
		out[id] = firewall.VMID(id)
	}
	return out
}

func badIDs() []string {
	swap := func(id string, pairs ...string) (out []string) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, strings.Replace(id, pairs[i], pairs[i+1], 1))
		}
		return out
	}
	out := []string{
		"", "web-1", "i-0123456789abcdef0", "/", "//", "arn:", "/subscriptions/", "host:web-1", "HOST://web-1", "http://web-1",
		"arn:aws:ec2:eu-central-1:123456789012:volume/i-0123456789abcdef0", instance + "/", instance + ":22", " " + instance, instance + "\n",
		machine + "/", machine + "/extensions/x", machine[1:], machine + "\x00", "/" + machine,
	}
	out = append(out, swap(instance,
		"arn", "ARN", "aws", "gcp", "aws", "aws-us-gov-x", ":ec2:", ":rds:", "eu-central-1", "", "eu-central-1", "EU-central-1", "eu-central-1", "eucentral",
		"123456789012", "12345678901", "123456789012", "1234567890123", "123456789012", "12345678901a", "123456789012", "",
		"i-0", "I-0", "i-0", "i-", "def0", "deF0", "def0", "deg0", "def0", "def00", "instance/", "instance/../")...)
	out = append(out, swap(machine,
		"01234567-", "01234567", "01234567-", "g1234567-", "01234567-89ab", "0123456-789ab", "rg_(prod).eu", "", "rg_(prod).eu", "rg.", "rg_(prod).eu", "..",
		"rg_(prod).eu", "a b", "rg_(prod).eu", "rg%2f", "rg_(prod).eu", strings.Repeat("a", 91), "rg_(prod).eu", "\u212a", // the Kelvin sign is k in lower case
		"virtualmachines", "disks", "virtualmachines", "virtualMachineScaleSets", "compute", "network", "vm-1.a_2", "", "vm-1.a_2", ".", "vm-1.a_2", "a-",
		"vm-1.a_2", "a:22", "vm-1.a_2", strings.Repeat("a", 65))...)
	return out
}

func TestParseVMID(t *testing.T) {
	for s, want := range goodIDs() {
		if id, err := firewall.ParseVMID(s); err != nil || id != want {
			t.Errorf("ParseVMID(%q) = %q, %v", s, id, err)
		}
	}
	for _, s := range badIDs() {
		if id, err := firewall.ParseVMID(s); err == nil || id != "" || errkind.FieldOf(err).Name != "vm" {
			t.Errorf("ParseVMID(%q) = %q, %v", s, id, err)
		}
	}
}

func TestHome(t *testing.T) {
	for id, want := range map[firewall.VMID]struct {
		name string
		home firewall.Home
	}{
		"host://web-1": {"web-1", firewall.Home{Cloud: "host"}},
		instance:       {"i-0123456789abcdef0", firewall.Home{Cloud: "aws", Account: "123456789012", Place: "eu-central-1"}},
		machine:        {"vm-1.a_2", firewall.Home{Cloud: "azure", Account: "01234567-89ab-cdef-0123-456789abcdef", Place: "rg_(prod).eu"}},
		"else":         {"else", firewall.Home{}},
		"arn:":         {"arn:", firewall.Home{}},
		"/a":           {"a", firewall.Home{}},
	} {
		if id.Name() != want.name || id.Home() != want.home {
			t.Errorf("%s is %s at %+v", id, id.Name(), id.Home())
		}
	}
}

func FuzzParseVMID(f *testing.F) {
	for _, s := range append(hostileNames(), "web-1", "0") {
		f.Add("host://" + s)
	}
	for s := range goodIDs() {
		f.Add(s)
	}
	for _, s := range badIDs() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := firewall.ParseVMID(s)
		if err != nil {
			if id != "" {
				t.Fatalf("ParseVMID(%q) failed and returned %q", s, id)
			}
			return
		}
		back, err := firewall.ParseVMID(string(id))
		switch {
		case err != nil || back != id:
			t.Fatalf("ParseVMID(%q) = %q, which reads as %q, %v", s, id, back, err)
		case len(id) != len(s) || strings.ToLower(s) != string(id) || string(id) != s && id.Home().Cloud != firewall.CloudAzure:
			t.Fatalf("ParseVMID(%q) = %q", s, id)
		case id.Name() == "" || strings.Trim(id.Name(), ".") == "" || id.Home() == (firewall.Home{}) || len(id) > 300:
			t.Fatalf("%q is %q at %+v", id, id.Name(), id.Home())
		}
		for _, c := range []byte(id) {
			if c <= ' ' || c > '~' || strings.IndexByte(`"'\%?#&;`, c) >= 0 {
				t.Fatalf("ParseVMID(%q) = %q", s, id)
			}
		}
	})
}
