package azure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdkarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/broker/consent"
	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/simtest"
)

// operation is how long Azure takes to carry out a write.
const operation = 2 * time.Second

// A folded surveyor spells machines as Sesame does, however Azure spells them.
type folded struct{ azure.Surveyor }

func (f folded) Survey(ctx context.Context) (azure.Survey, error) {
	s, err := f.Surveyor.Survey(ctx)
	fold := func(id *firewall.VMID) { *id = firewall.VMID(strings.ToLower(string(*id))) }
	for i := range s.VMs {
		fold(&s.VMs[i].ID)
	}
	around := s.Around
	s.Around = func(g *resource.Group) dialect.Reading {
		r := around(g)
		r.Machines = slices.Clone(r.Machines)
		for i := range r.Machines {
			fold(&r.Machines[i])
		}
		for i := range r.Attachments {
			fold(&r.Attachments[i].VM)
		}
		return r
	}
	return s, err
}

// A subscription is a simulated one with machines behind network security groups,
// and in front of it an installation of Sesame with everything real but the time.
type subscription struct {
	*simtest.Installation

	sim      *arm.Simulator
	machines []guest

	mu    sync.Mutex
	wrote []time.Time // when writes were sent that Azure did not refuse
}

// A guest is a machine with an address of the network.
type guest struct {
	id      firewall.VMID
	config  string // the id of its IP configuration
	address netip.Addr
}

// RoundTrip implements [http.RoundTripper].
func (s *subscription) RoundTrip(r *http.Request) (*http.Response, error) {
	at := time.Now()
	answer, err := arm.InProcess(s.sim).RoundTrip(r)
	if (r.Method == http.MethodPut || r.Method == http.MethodDelete) && (err != nil || answer.StatusCode/100 == 2) {
		s.mu.Lock()
		s.wrote = append(s.wrote, at)
		s.mu.Unlock()
	}
	return answer, err
}

// writes returns when writes were sent since the last time that it was asked.
func (s *subscription) writes() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.wrote
	s.wrote = nil
	return out
}

// subscribe makes a subscription with so many groups, and so many machines behind
// each, all of which have their port 22 locked.
func subscribe(t *testing.T, template, path string, c arm.Config, groups, each int) *subscription {
	t.Helper()
	// Who reads and who writes are counted apart, as they are told to be.
	for _, name := range []string{"reader", "writer"} {
		c.Identities = append(c.Identities, gate.Identity{Name: name, Token: name, Object: name, Actions: []string{"*"}})
	}
	s := &subscription{sim: arm.New(c)}
	s.build(t, groups, each)
	client := func(as string) *sdkarm.Client {
		c, err := azure.NewClient(token(as), options(s))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	around, err := estate.New(estate.Config{Credential: token("reader"), Options: sdkarm.ClientOptions{ClientOptions: options(s)}, Subscriptions: []string{arm.SubscriptionID}})
	if err != nil {
		t.Fatal(err)
	}
	writer := client("writer")
	p := azure.New(azure.Config{
		Keys:     keys,
		Clients:  azure.Clients{Reader: client("reader"), Opener: writer, Closer: writer, Locker: writer},
		Surveyor: folded{azure.Estate{Reader: around}},
	})
	if s.Installation, err = simtest.Install(t.Context(), template, path, simtest.NewClocks(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Start(t.Context())
	<-s.Fleet().Known()
	s.lock(t)
	return s
}

// build fills the subscription.
func (s *subscription) build(t *testing.T, groups, each int) {
	t.Helper()
	b := s.sim.Builder("rg")
	must := func(id string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	network := b.ID("virtualNetworks", "net")
	must(network, s.sim.Put(network, `{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/8"]},
		"subnets":[{"name":"default","properties":{"addressPrefixes":["10.0.0.0/8"]}}],"virtualNetworkPeerings":[]}}`))
	for g := range groups {
		group := must(b.NSG(fmt.Sprintf("nsg-%d", g)))
		for range each {
			i := len(s.machines)
			m := guest{address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}
			nic := must(b.NIC(fmt.Sprintf("nic-%d", i), group, fleet.IP{Subnet: network + "/subnets/default", Address: m.address.String()}))
			m.config = nic + "/ipConfigurations/ipconfig1"
			m.id = firewall.VMID(strings.ToLower(must(b.VM(fmt.Sprintf("vm-%d", i), "Linux", nil, nic))))
			s.machines = append(s.machines, m)
		}
	}
}

// lock puts port 22 of every machine under a policy, and waits for its lock.
func (s *subscription) lock(t *testing.T) {
	t.Helper()
	p := policy.Policy{Name: "ssh", Ports: []policy.Port{{Port: 22, Protocol: firewall.TCP, Max: 24 * time.Hour}}}
	for _, v := range s.Fleet().VMs() {
		p.VMs = append(p.VMs, v.ID)
	}
	if len(p.VMs) != len(s.machines) {
		t.Fatalf("the inventory has %d machines of %d", len(p.VMs), len(s.machines))
	}
	p = p.WithDefaults()
	root := broker.Caller{Identity: access.Identity{Principal: simtest.Root()}}
	shown, err := s.Broker().PreviewEnable(t.Context(), root, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Broker().Enable(t.Context(), root, p, broker.Agreed{Losses: consent.Fingerprint(shown.Losses)}); err != nil {
		t.Fatal(err)
	}
	nobody := netip.MustParseAddr("10.99.0.1")
	s.until(t, time.Hour, func() bool { return s.in(t, nobody) == 0 })
}

// in returns at how many machines a client gets in.
func (s *subscription) in(t *testing.T, from netip.Addr) (n int) {
	t.Helper()
	world := s.world(t)
	for _, m := range s.machines {
		if m.admits(world, from) {
			n++
		}
	}
	return n
}

func (s *subscription) world(t *testing.T) *packet.World {
	t.Helper()
	w, err := s.sim.Ground()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// admits is a packet test that asks neither the reach engine nor the provider.
func (m guest) admits(w *packet.World, from netip.Addr) bool {
	p := packet.Packet{From: from, FromPort: 50000, To: m.address, ToPort: 22, Protocol: packet.TCP}
	return w.Arrive(p, m.config).Outcome == packet.Delivered
}

// until waits for something.
func (s *subscription) until(t *testing.T, most time.Duration, done func() bool) {
	t.Helper()
	start := time.Now()
	for !done() {
		if time.Since(start) > most {
			t.Fatalf("it does not come to pass in %v", most)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// clientOf is the address of somebody in the network who asks for machine m.
func clientOf(m, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(18 + i), byte(m >> 8), byte(m)})
}

// ask asks for machine m, and returns how long it took until it was read back
// open.
func (s *subscription) ask(t *testing.T, m, i int, lasts time.Duration) time.Duration {
	start := time.Now()
	a, err := s.Broker().Request(t.Context(), broker.Caller{Identity: access.Identity{Principal: simtest.User()}, Addr: clientOf(m, i)}, broker.Ask{
		VM: string(s.machines[m].id), Ports: []broker.Port{{Number: 22, Protocol: firewall.TCP}}, Duration: lasts, Reason: "storm",
	})
	if err != nil {
		t.Error(err)
		return 0
	}
	for opened := a.Grants[0].State == access.Open; !opened; time.Sleep(100 * time.Millisecond) {
		g, err := s.Store().Grant(t.Context(), a.Grants[0].Grant.ID)
		if opened = !s.Fleet().Current(g).Opened.IsZero(); err != nil || time.Since(start) > lasts {
			t.Error(a.Grants[0].Pending, g.Impeded, err)
			return 0
		}
	}
	return time.Since(start)
}

// everybody asks at the same time, and is answered after that long at most.
func (s *subscription) everybody(t *testing.T, lasts time.Duration) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	for m := range s.machines {
		for i := range perMachine {
			all.Go(func() { s.ask(t, m, i, lasts) })
		}
	}
	all.Wait()
	return time.Since(start)
}

// stillIn is how many of those who asked get in.
func (s *subscription) stillIn(t *testing.T) (n int) {
	t.Helper()
	world := s.world(t)
	for m, x := range s.machines {
		for i := range perMachine {
			if x.admits(world, clientOf(m, i)) {
				n++
			}
		}
	}
	return n
}

// A course is what came of a storm.
type course struct {
	writes int
	one    time.Duration // a request alone, until it was read back open
	sent   time.Duration // from the moment until the first write was sent
	p99    time.Duration // until all but a hundredth of the writes were sent
	done   time.Duration // from the moment until the last packet fares as it should
}

// BenchmarkStormThroughTheLoop is everybody asking in the same second for machines behind
// one network security group, and everybody's time ending in the same second, in a
// cloud with its documented limits where a write takes two seconds: through broker,
// store, fleet, loop, provider and simulator. Time is virtual;
// SESAME_STORM_MACHINES=90 makes it 900 people and 990 rules. A grant's end is
// foreseen: sent may be before the deadline, by the time that a write takes.
func BenchmarkStormThroughTheLoop(b *testing.B) {
	n := sized(b, "SESAME_STORM_MACHINES", 9)
	template := filepath.Join(b.TempDir(), "template.db")
	if err := simtest.Template(b.Context(), template); err != nil {
		b.Fatal(err)
	}
	honest := arm.Config{Config: rp.Config{Latency: operation}, Limits: gate.Documented()}
	blind := honest
	blind.IgnoreIfMatch, blind.IgnoreIfMatchOnChildren = true, true
	for _, x := range []struct {
		name string
		c    arm.Config
	}{{"entity tags honoured", honest}, {"rule by rule", blind}} {
		b.Run(fmt.Sprintf("%d requests, %s", n*perMachine, x.name), func(b *testing.B) {
			var opened, closed course
			for b.Loop() {
				path := filepath.Join(b.TempDir(), "sesame.db")
				inBubble(b, func(t *testing.T) { opened, closed = subscribe(t, template, path, x.c, 1, n).storm(t, time.Hour, 0) })
			}
			opened.report(b, "open")
			closed.report(b, "close")
		})
	}
	b.Run(fmt.Sprintf("%d requests, a write for each", n*perMachine), func(b *testing.B) {
		var got course
		for b.Loop() {
			path := filepath.Join(b.TempDir(), "sesame.db")
			inBubble(b, func(t *testing.T) { got = subscribe(t, template, path, honest, 1, n).naive(t) })
		}
		got.report(b, "open")
	})
}

func (c *course) report(b *testing.B, what string) {
	b.Helper()
	b.ReportMetric(float64(c.writes), what+"-writes")
	b.ReportMetric(c.sent.Seconds(), what+"-sent-s")
	b.ReportMetric(c.p99.Seconds(), what+"-issued-p99-s")
	b.ReportMetric(c.done.Seconds(), what+"-done-s")
	if c.one > 0 {
		b.ReportMetric(c.done.Seconds()/c.one.Seconds(), what+"-done-in-single-requests")
	}
}

// before is how long before an end somebody begins to look, or an outage begins.
const before = 10 * time.Second

// storm lets everybody ask for so long, and their time end. With an outage nothing can
// be written or read for that long from a little before; then closed is from its end.
func (s *subscription) storm(t *testing.T, lasts, outage time.Duration) (opened, closed course) {
	t.Helper()
	opened.one = s.ask(t, 0, perMachine, 24*time.Hour)
	closed.one = opened.one
	time.Sleep(5 * time.Minute) // until the buckets are full
	s.writes()
	moment := time.Now()
	s.everybody(t, lasts)
	opened.done = time.Since(moment)
	if n := s.stillIn(t); n != len(s.machines)*perMachine {
		t.Fatalf("%d get in", n)
	}
	opened.count(t, s.writes(), moment)
	time.Sleep(lasts - before - time.Since(moment))
	s.writes()
	if moment = moment.Add(lasts); outage > 0 {
		moment = time.Now().Add(outage)
		s.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: http.StatusServiceUnavailable, For: outage})
	}
	s.until(t, 5*time.Hour, func() bool { return time.Now().After(moment) && s.stillIn(t) == 0 })
	closed.done = time.Since(moment)
	closed.count(t, s.writes(), moment)
	if n := s.in(t, clientOf(0, perMachine)); n != 1 {
		t.Fatalf("who may stay is let in at %d machines", n)
	}
	return opened, closed
}

func (c *course) count(t *testing.T, writes []time.Time, moment time.Time) {
	t.Helper()
	if c.writes = len(writes); c.writes == 0 {
		t.Fatal("nothing was written")
	}
	slices.SortFunc(writes, time.Time.Compare)
	c.sent, c.p99 = writes[0].Sub(moment), writes[(len(writes)-1)*99/100].Sub(moment)
}

// naive writes a rule for each request, one after the other, as a script would.
func (s *subscription) naive(t *testing.T) course {
	t.Helper()
	s.Stop()
	time.Sleep(5 * time.Minute)
	s.writes()
	start := time.Now()
	call := func(method, url, body string) (link, status string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer writer")
		r.Header.Set("Content-Type", "application/json")
		a, err := s.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		var operation struct{ Status string }
		if err := json.NewDecoder(a.Body).Decode(&operation); err != nil || a.StatusCode/100 != 2 {
			t.Fatal(a.Status, err)
		}
		return a.Header.Get("Azure-AsyncOperation"), operation.Status
	}
	group := "https://arm.example" + s.sim.Builder("rg").ID("networkSecurityGroups", "nsg-0")
	for m, x := range s.machines {
		for i := range perMachine {
			link, state := call(http.MethodPut, fmt.Sprintf("%s/securityRules/request-%d-%d?api-version=2025-05-01", group, m, i), fmt.Sprintf(`{"properties":{
				"access":"Allow","direction":"Inbound","protocol":"Tcp","priority":%d,"sourceAddressPrefix":%q,"sourcePortRange":"*","destinationAddressPrefix":%q,"destinationPortRange":"22"}}`,
				200+m*perMachine+i, clientOf(m, i), x.address))
			for state != "Succeeded" {
				time.Sleep(time.Second)
				_, state = call(http.MethodGet, link, "")
			}
		}
	}
	c := course{done: time.Since(start)}
	c.count(t, s.writes(), start)
	return c
}

// BenchmarkExpiry is the grants behind many network security groups ending in
// the same second: how long after that the last one is shut, beside what the
// buckets of writes allow; and the same after nobody could write for hours. Time is virtual; SESAME_EXPIRY_GROUPS=1000 makes it
// 10,000 grants.
func BenchmarkExpiry(b *testing.B) {
	n := sized(b, "SESAME_EXPIRY_GROUPS", 8)
	template := filepath.Join(b.TempDir(), "template.db")
	if err := simtest.Template(b.Context(), template); err != nil {
		b.Fatal(err)
	}
	limits := gate.Documented()
	for _, outage := range []time.Duration{0, 3 * time.Hour} {
		b.Run(fmt.Sprintf("%d groups, an outage of %v", n, outage), func(b *testing.B) {
			var closed course
			for b.Loop() {
				path := filepath.Join(b.TempDir(), "sesame.db")
				inBubble(b, func(t *testing.T) {
					s := subscribe(t, template, path, arm.Config{Config: rp.Config{Latency: operation}, Limits: limits}, n, 1)
					_, closed = s.storm(t, 10*time.Minute, outage)
				})
			}
			closed.report(b, "close")
			least := max(0, float64(n)-limits.Writes.Burst)/limits.Writes.PerSecond + operation.Seconds()
			b.ReportMetric(least, "buckets-allow-s")
		})
	}
}
