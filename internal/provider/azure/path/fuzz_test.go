package path_test

import (
	"maps"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/reach"
)

// Whatever a document holds, every machine is still there, and none is without
// both a path and a reason.
func FuzzDocuments(f *testing.F) {
	from := newWorld(7)
	for id, text := range from.documents {
		f.Add(id, string(text))
	}
	f.Fuzz(func(t *testing.T, id, text string) {
		d := maps.Clone(from.documents)
		d[id] = []byte(text)
		vms, layers := path.Machines(topology.Read(d), path.Known{})
		if len(vms) < 6 {
			t.Fatalf("%d machines", len(vms))
		}
		m := reach.NewModel(layers)
		var q reach.Query
		for _, v := range vms {
			if len(v.Paths)+len(v.Missing) == 0 {
				t.Fatalf("%s has nothing in front of it", v.ID)
			}
			q.VM(v, m, firewall.Door{VM: v.ID, Protocol: firewall.TCP, Port: 22})
		}
	})
}
