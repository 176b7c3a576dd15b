package inventory_test

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

func TestFirewalls(t *testing.T) {
	hops := func(ids ...firewall.ID) (p inventory.Path) {
		for _, id := range ids {
			p.Hops = append(p.Hops, inventory.Hop{Firewall: id})
		}
		return p
	}
	v := inventory.VM{Paths: []inventory.Path{hops("hub", "nsg"), hops(), hops("host", "hub")}}
	if got := v.Firewalls(); !slices.Equal(got, []firewall.ID{"host", "hub", "nsg"}) {
		t.Errorf("firewalls %v", got)
	}
	if got := (inventory.VM{}).Firewalls(); len(got) != 0 {
		t.Errorf("nothing is in front, but %v", got)
	}
}

func TestBeside(t *testing.T) {
	sees := netip.MustParsePrefix("10.0.0.0/28")
	v := inventory.VM{Paths: []inventory.Path{
		{Name: "a", Hops: []inventory.Hop{{Firewall: "hub"}, {Firewall: "host", Sees: sees, Always: true}}},
		{Name: "b", Hops: []inventory.Hop{{Firewall: "host"}}},
	}}
	got := v.Beside("host", "others")
	want := []inventory.Path{
		{Name: "a", Hops: []inventory.Hop{{Firewall: "hub"}, {Firewall: "host", Sees: sees, Always: true}, {Firewall: "others", Sees: sees, Always: true}}},
		{Name: "b", Hops: []inventory.Hop{{Firewall: "host"}, {Firewall: "others"}}},
	}
	if !reflect.DeepEqual(got.Paths, want) || len(v.Paths[0].Hops) != 2 {
		t.Errorf("%+v, want %+v", got.Paths, want)
	}
}

func TestOf(t *testing.T) {
	vms := []inventory.VM{{ID: "host://web-1", Name: "db"}, {ID: "host://db", Name: "web-1"}}
	if got := inventory.Of(vms, "host://db"); got.Name != "web-1" {
		t.Errorf("found %+v", got)
	}
	if got := inventory.Of(vms, "web-1"); got.ID != "" {
		t.Errorf("found %+v by a name", got)
	}
}

func TestFind(t *testing.T) {
	const azure = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourcegroups/rg/providers/microsoft.compute/virtualmachines/srv"
	vms := []inventory.VM{
		{ID: "host://web-1", Name: "web-1"},
		{ID: "host://db", Name: "db"},
		{ID: "cloud/1/db", Name: "db"},
		{ID: "cloud/2/odd", Name: "host://web-1"}, // somebody may call a VM like another's id
		{ID: azure, Name: "SRV"},
	}
	for in, want := range map[string]firewall.VMID{
		"SRV": azure, strings.ToUpper(azure): azure, // Azure's ids know no case, names do
		"web-1": "host://web-1", "host://web-1": "host://web-1", "host://db": "host://db", "cloud/1/db": "cloud/1/db",
	} {
		if got, err := inventory.Find(vms, in); err != nil || got.ID != want {
			t.Errorf("Find(%q) = %q, %v", in, got.ID, err)
		}
	}
	for in, want := range map[string]struct {
		kind errkind.Kind
		text string
	}{
		"db":     {errkind.Conflict, `2 VMs are called "db"; name one by its id: host://db, cloud/1/db`},
		"web":    {errkind.NotFound, "there is no VM called \"web\" here; `sesame vms` lists those you may see"},
		"":       {errkind.NotFound, "there is no VM called \"\" here; `sesame vms` lists those you may see"},
		"WEB-1":  {errkind.NotFound, "there is no VM called \"WEB-1\" here; `sesame vms` lists those you may see"},
		"a\x1b[": {errkind.NotFound, "there is no VM called \"a\\x1b[\" here; `sesame vms` lists those you may see"},
	} {
		if got, err := inventory.Find(vms, in); errkind.Of(err) != want.kind || errkind.Public(err) != want.text || got.ID != "" {
			t.Errorf("Find(%q) = %q, %v", in, got.ID, err)
		}
	}
}

// No way is said only where it is known that there is none.
func TestMayCome(t *testing.T) {
	home := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	four, six := []netip.Addr{netip.MustParseAddr("10.0.0.4")}, []netip.Addr{netip.MustParseAddr("fd00::4")}
	ssh, rdp := firewall.Door{Protocol: firewall.TCP, Port: 22}, firewall.Door{Protocol: firewall.TCP, Port: 3389}
	for name, c := range map[string]struct {
		paths []inventory.Path
		d     firewall.Door
		from  string
		want  bool
	}{
		"anybody":        {[]inventory.Path{{}}, ssh, "203.0.113.5/32", true},
		"nobody":         {nil, ssh, "203.0.113.5/32", false},
		"neighbour":      {[]inventory.Path{{From: home, To: four}}, ssh, "10.0.9.9/32", true},
		"stranger":       {[]inventory.Path{{From: home, To: four}}, ssh, "203.0.113.5/32", false},
		"in part":        {[]inventory.Path{{From: home, To: four}}, ssh, "10.0.0.0/8", true},
		"nobody listed":  {[]inventory.Path{{From: []netip.Prefix{}, To: four}}, ssh, "10.0.9.9/32", false},
		"not known who":  {[]inventory.Path{{From: home, To: four, Unsure: true}}, ssh, "203.0.113.5/32", true},
		"other family":   {[]inventory.Path{{To: four}}, ssh, "2001:db8::5/128", false},
		"its own family": {[]inventory.Path{{To: four}, {To: six}}, ssh, "2001:db8::5/128", true},
		"other door":     {[]inventory.Path{{Port: 22}}, rdp, "203.0.113.5/32", false},
		"its door":       {[]inventory.Path{{From: home, To: four}, {Port: 22, Protocol: firewall.TCP}}, ssh, "203.0.113.5/32", true},
	} {
		if got := (inventory.VM{Paths: c.paths}).MayCome(c.d, netip.MustParsePrefix(c.from)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
