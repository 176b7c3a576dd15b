// Package metrics keeps the figures of a server for Prometheus.
//
// Their labels are routes, methods, states and statuses, of which there are a
// few: nothing that a caller chose is a label. No global registry is used.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// Config is what the figures are about.
type Config struct {
	Store *store.Store
	Fleet *fleet.Fleet
	// Clocks reads every clock there is.
	Clocks  func() access.Reading
	Version string
}

// Metrics are the figures of one server.
type Metrics struct {
	cfg      Config
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	late     prometheus.Histogram
	grants   *prometheus.GaugeVec
	doors    *prometheus.GaugeVec
}

// New returns figures that are all zero.
func New(cfg Config) *Metrics {
	m := &Metrics{
		cfg:      cfg,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sesame_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sesame_http_request_duration_seconds", Help: "How long answers took, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sesame_close_lateness_seconds", Help: "Time between the end of a grant and the moment it was read back closed.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600},
		}),
		grants: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sesame_grants", Help: "Grants that are not closed yet, by state.",
		}, []string{"state"}),
		doors: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sesame_doors", Help: "Doors, each by the worst that is true of it on any of its firewalls.",
		}, []string{"state"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sesame_build_info", Help: "1, with the version that runs.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.took, m.late, m.grants, m.doors, build)
	m.registry.MustRegister(figures(cfg)...)
	m.registry.MustRegister(newIssued(cfg.Fleet))
	return m
}

// figures are what others count; it is read when it is asked for.
func figures(cfg Config) []prometheus.Collector {
	passes := func(result string, count func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sesame_passes_total", Help: "Passes over a firewall, by result.",
			ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(count()) })
	}
	return []prometheus.Collector{
		passes("ok", func() uint64 { ok, _ := cfg.Fleet.Passes(); return ok }),
		passes("failed", func() uint64 { _, failed := cfg.Fleet.Passes(); return failed }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sesame_firewalls_failing", Help: "Firewalls whose last pass failed.",
		}, func() float64 { return float64(len(cfg.Fleet.FailingFirewalls())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sesame_clock_skew_seconds", Help: "How far the wall clock and the third clock disagree.",
		}, func() float64 { return cfg.Clocks().Skew().Seconds() }),
	}
}

// Observe counts one answer; an empty route stands for none.
func (m *Metrics) Observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route, method = "none", "none"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(route).Observe(took.Seconds())
}

// Write answers r with all figures.
func (m *Metrics) Write(w http.ResponseWriter, r *http.Request) error {
	pending, err := m.cfg.Store.Pending(r.Context())
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the grants cannot be counted now")
	}
	now, count := m.cfg.Clocks(), map[access.State]int{}
	for _, g := range pending {
		count[g.StateAt(now)]++
	}
	for _, state := range []access.State{access.Scheduled, access.Opening, access.Open, access.Closing, access.Overdue} {
		m.grants.WithLabelValues(string(state)).Set(float64(count[state]))
	}
	rules, err := m.cfg.Store.Rules(r.Context())
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the doors cannot be counted now")
	}
	known := make([]firewall.Door, len(rules.Locks))
	for i, l := range rules.Locks {
		known[i] = l.Door
	}
	standings := m.cfg.Fleet.Standings(known)
	for _, state := range sight.Standings() {
		m.doors.WithLabelValues(string(state)).Set(float64(standings[state]))
	}
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(w, r)
	return nil
}

// WatchClosings takes how late closings are from the records of them, until ctx
// is done or the store fails; then the figure stands still.
func (m *Metrics) WatchClosings(ctx context.Context) {
	closings := store.ActivityFilter{Kinds: []audit.Kind{audit.Closed}}
	tree, err := m.cfg.Store.Tree(ctx)
	for after := tree.N - 1; err == nil; {
		changed := m.cfg.Store.Changed()
		var entries []store.Entry
		if entries, after, err = m.cfg.Store.Next(ctx, closings, after); err != nil {
			return
		}
		for _, e := range entries {
			for _, x := range e.Measures {
				if x.Name == audit.EndToClosed {
					m.late.Observe(x.Took.Seconds())
				}
			}
		}
		if len(entries) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		// Nobody looks at a histogram by the millisecond: one reading for all the
		// commits of a moment.
		moment := time.NewTimer(watchEvery)
		select {
		case <-ctx.Done():
			moment.Stop()
			return
		case <-moment.C:
		}
	}
}

// watchEvery is how far apart the readings of the log are at least.
const watchEvery = time.Second
