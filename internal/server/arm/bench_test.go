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

	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// vmsOf returns the body of a policy of so many VMs of a resource group.
func vmsOf(group, n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, vm(fmt.Sprintf("rg%d", group), fmt.Sprintf("m%d", i)), rule(22, "*", "PT3H"))
	}
	return body(pairs...)
}

// BenchmarkList lists 100 policies with 10,000 VMs in them. These are in the book
// alone: who can be let in to them is not what is measured.
func BenchmarkList(b *testing.B) {
	h := build(b, zero, machine{vm1(), "westeurope"})
	c := store.Change{Records: []audit.Record{{Kind: audit.PolicySaved, Time: firewall.Instant(time.Now())}}}
	for group := range 100 {
		id, err := arm.NewPolicyID(sub, fmt.Sprintf("rg%d", group), "westeurope", "default")
		must(b, err)
		var p arm.Policy
		must(b, arm.Decode([]byte(vmsOf(group, 100)), &p))
		parts, err := arm.Parts(id, p, nil)
		must(b, err)
		c.Policies = append(c.Policies, parts...)
	}
	must(b, h.store.Save(b.Context(), c))
	path := "/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if r := h.call("viewer", "GET", path, ""); r.status != 200 || len(r.body) < 1<<20 {
			b.Fatal(r.status, len(r.body))
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms/p99")
}

// BenchmarkInitiate asks for ports from 32 clients at once.
func BenchmarkInitiate(b *testing.B) {
	const machines = 100
	var vms []machine
	for i := range machines {
		vms = append(vms, machine{vm("rg0", fmt.Sprintf("m%d", i)), "westeurope"})
	}
	h := build(b, zero, vms...)
	put := "/subscriptions/" + sub + "/resourceGroups/rg0/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default"
	if r := h.call("admin", "PUT", put+version, vmsOf(0, machines)); r.status != 200 {
		b.Fatal(r.status, r.body)
	}
	var n atomic.Int64
	times := make(chan time.Duration, b.N)
	b.SetParallelism(16) // on two processors: 32 clients
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			port := fmt.Sprintf(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.%d.%d.%d"}`, 51+i>>16&1, i>>8&255, i&255)
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.url+put+"/initiate"+version, strings.NewReader(ask(vm("rg0", fmt.Sprintf("m%d", i%machines)), port)))
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
