package meter_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/provider/azure/meter"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
)

// A thousand calls at once stand in line, so that hardly any is refused, and are made
// as fast as Azure's documented bucket lets them be.
func TestLine(t *testing.T) {
	for _, x := range []struct {
		method string
		kind   gate.Operation
		size   gate.Size
	}{
		{http.MethodGet, gate.Read, gate.Documented().Reads},
		{http.MethodPut, gate.Write, gate.Documented().Writes},
	} {
		t.Run(string(x.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls = 1000
				m := new(meter.Meters).Of(nil, x.method, "s")
				buckets := gate.NewBuckets(gate.Documented())
				var mu sync.Mutex
				refused := 0
				made := func() bool {
					if err := m.Turn(t.Context()); err != nil {
						t.Error(err)
						return true
					}
					mu.Lock()
					count := buckets.Take(gate.Call{Subscription: "s", Principal: "p", Operation: x.kind}, time.Now())
					if !count.Allowed {
						refused++
					}
					mu.Unlock()
					time.Sleep(50 * time.Millisecond) // until the answer is there
					a, header := nsg.Answer{}, http.Header{}
					for name, left := range count.Remaining {
						header.Set(name, left)
					}
					if a.Status = http.StatusOK; !count.Allowed {
						a.Status, a.RetryAfter = http.StatusTooManyRequests, strconv.Itoa(int(count.Wait.Seconds()))
					}
					m.Hear(a, header, time.Now())
					return count.Allowed
				}
				start := time.Now()
				var all sync.WaitGroup
				for range calls {
					all.Go(func() {
						for !made() {
							time.Sleep(time.Second)
						}
					})
				}
				all.Wait()
				took, least := time.Since(start).Seconds(), (calls-x.size.Burst)/x.size.PerSecond
				if took > 1.05*least || refused > calls/20 {
					t.Errorf("%d calls took %.1f s where %.1f s are needed, and %d were refused", calls, took, least, refused)
				}
				t.Logf("%d calls took %.1f s where %.1f s are needed, and %d were refused", calls, took, least, refused)
			})
		})
	}
}
