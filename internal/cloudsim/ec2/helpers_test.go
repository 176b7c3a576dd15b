package ec2_test

import (
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// endPeerings ends all peerings by hand.
func endPeerings(w *world.World, now time.Time) {
	for _, p := range slices.Collect(w.Peerings.All(now)) {
		p.Status = "deleted"
		w.Peerings.Put(now, p)
	}
}
