package arm_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// crowd builds a house with n VMs, a hundred in each policy.
func crowd(b *testing.B, n int) *house {
	b.Helper()
	const each = 100
	var vms []machine
	for i := range n {
		vms = append(vms, machine{vm(fmt.Sprintf("rg%d", i/each), fmt.Sprintf("m%d", i)), "westeurope"})
	}
	h := build(b, zero, vms...)
	for group := range n / each {
		var pairs []string
		for _, m := range vms[group*each : (group+1)*each] {
			pairs = append(pairs, m.id, rule(22, "*", "PT3H"))
		}
		path := fmt.Sprintf("/subscriptions/%s/resourceGroups/rg%d/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default", sub, group)
		if r := h.call("admin", "PUT", path+version, body(pairs...)); r.status != 200 {
			b.Fatal(r.status, r.body)
		}
	}
	return h
}

// BenchmarkList lists all policies, with 10,000 VMs in them.
func BenchmarkList(b *testing.B) {
	h := crowd(b, 10_000)
	path := "/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version
	b.ResetTimer()
	for b.Loop() {
		if r := h.call("viewer", "GET", path, ""); r.status != 200 || len(r.body) < 1<<20 {
			b.Fatal(r.status, len(r.body))
		}
	}
}

// BenchmarkInitiate asks for ports from 32 clients at once.
func BenchmarkInitiate(b *testing.B) {
	h := crowd(b, 100)
	var n atomic.Int64
	times := make(chan time.Duration, b.N)
	b.SetParallelism(16) // on two processors: 32 clients
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			port := fmt.Sprintf(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.%d.%d.%d"}`, 51+i>>16&1, i>>8&255, i&255)
			path := "/subscriptions/" + sub + "/resourceGroups/rg0/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default/initiate" + version
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.url+path, strings.NewReader(ask(vm("rg0", fmt.Sprintf("m%d", i%100)), port)))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+h.tokens["requester"])
			req.Header.Set("Content-Type", "application/json")
			began := time.Now()
			resp, err := h.client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			times <- time.Since(began)
			if resp.StatusCode != http.StatusAccepted {
				b.Errorf("%d %s", resp.StatusCode, text)
			}
		}
	})
	b.StopTimer()
	close(times)
	var all []time.Duration
	for d := range times {
		all = append(all, d)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms/p99")
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "requests/s")
}
