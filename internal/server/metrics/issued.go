package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
)

// issued are the figures of what loops send, which the fleet keeps.
type issued struct {
	fleet *fleet.Fleet
	desc  *prometheus.Desc
}

func newIssued(f *fleet.Fleet) prometheus.Collector {
	return issued{fleet: f, desc: prometheus.NewDesc("sesame_issue_seconds",
		"Time from the decision, or from the start or the end of a grant, until the call that opens or closes was sent.", []string{"call"}, nil)}
}

// Describe implements [prometheus.Collector].
func (i issued) Describe(to chan<- *prometheus.Desc) { to <- i.desc }

// Collect implements [prometheus.Collector].
func (i issued) Collect(to chan<- prometheus.Metric) {
	opens, closes := i.fleet.Issued()
	for call, x := range map[string]sight.Issued{"open": opens, "close": closes} {
		to <- prometheus.MustNewConstHistogram(i.desc, x.Count, x.Sum.Seconds(), seconds(x.Within), call)
	}
}

func seconds(within map[time.Duration]uint64) map[float64]uint64 {
	out := map[float64]uint64{}
	for _, bound := range sight.Bounds() {
		out[bound.Seconds()] = within[bound]
	}
	return out
}
