package revision_test

import (
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/broker/revision"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

func ssh(name string, port uint16, vms ...firewall.VMID) policy.Policy {
	return policy.Policy{Name: name, VMs: vms, Ports: []policy.Port{{Port: port}}}.WithDefaults()
}

// What moves between policies on the same terms neither leaves nor is touched.
func TestMovesTouchNobody(t *testing.T) {
	inForce := []policy.Policy{ssh("a", 22, "host://x", "host://y"), ssh("b", 3389, "host://z"), ssh("c", 22, "host://w")}
	r := revision.Revision{Put: []policy.Policy{ssh("a", 22, "host://x"), ssh("d", 22, "host://y")}, Drop: []string{"b"}}
	if got := r.Left(inForce); !slices.Equal(got, ssh("b", 3389, "host://z").Doors()) {
		t.Errorf("these doors leave: %v", got)
	}
	if got := r.Touched(inForce); !slices.Equal(got, []firewall.VMID{"host://z"}) {
		t.Errorf("touched: %v", got)
	}
	if got := r.Others(inForce); len(got) != 1 || got[0].Name != "c" {
		t.Errorf("others: %v", got)
	}
	r.Put[1].Cut = true
	if got := r.Touched(inForce); !slices.Equal(got, []firewall.VMID{"host://y", "host://z"}) {
		t.Errorf("touched by other terms: %v", got)
	}
}
