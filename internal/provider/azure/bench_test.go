package azure_test

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	sdkarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
)

// perMachine is how many people ask for each machine of a storm.
const perMachine = 10

// sized returns how many there are of something: as many as the environment says,
// or a few.
func sized(tb testing.TB, name string, few int) int {
	tb.Helper()
	text, given := os.LookupEnv(name)
	if !given {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// A storm is what came of everybody asking at once.
type storm struct {
	writes int
	took   time.Duration // in the simulated cloud's time
}

// BenchmarkStorm is everybody asking in the same second for machines behind one
// group, in a cloud where an operation takes three seconds, with its documented
// limits: how many writes it takes, and how long until the last one gets in. Time is
// virtual; SESAME_STORM_MACHINES=90 makes it nine hundred people.
func BenchmarkStorm(b *testing.B) {
	n := sized(b, "SESAME_STORM_MACHINES", 9)
	slow := rp.Config{Latency: 3 * time.Second}
	blind := slow
	blind.IgnoreIfMatch, blind.IgnoreIfMatchOnChildren = true, true
	for _, x := range []struct {
		name string
		run  func(*testing.T) storm
	}{
		{"one conditional write", func(t *testing.T) storm { return asked(t, n, slow) }},
		{"rule by rule", func(t *testing.T) storm { return asked(t, n, blind) }},
		{"a write for each request", func(t *testing.T) storm { return askedNaively(t, n, slow) }},
	} {
		b.Run(fmt.Sprintf("%d requests, %s", n*perMachine, x.name), func(b *testing.B) {
			var got storm
			for b.Loop() {
				inBubble(b, func(t *testing.T) { got = x.run(t) })
			}
			b.ReportMetric(float64(got.writes), "writes")
			b.ReportMetric(got.took.Seconds(), "virtual-s")
			b.ReportMetric(got.took.Seconds()/float64(n*perMachine), "virtual-s/request")
		})
	}
}

// inBubble runs f in a bubble of synctest, which is for tests only.
func inBubble(b *testing.B, f func(*testing.T)) {
	b.Helper()
	all := func(string, string) (bool, error) { return true, nil }
	if !testing.RunTests(all, []testing.InternalTest{{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, f) }}}) {
		b.Fatal("it fails")
	}
}

func crowded(t *testing.T, n int, c rp.Config) *ground {
	t.Helper()
	return newGround(t, arm.Config{Config: c, Limits: gate.Documented()}, n)
}

// asked makes the provider open for everybody, and looks who gets in.
func asked(t *testing.T, n int, c rp.Config) storm {
	t.Helper()
	g := crowded(t, n, c)
	var shut, open firewall.Wants
	for i, m := range g.machines {
		d := firewall.Door{VM: m.id, Protocol: firewall.TCP, Port: 22}
		shut = append(shut, locked(d, 0)...)
		w := locked(d, perMachine)
		for j := range w[0].Open {
			w[0].Open[j].From = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), byte(j)}), 32)
		}
		open = append(open, w...)
	}
	shut.Sort()
	open.Sort()
	g.converge(t, shut)
	g.calls(writes)
	start := time.Now()
	for {
		p, err := g.pass(t.Context(), open)
		if len(p.Refused) > 0 {
			t.Fatal(p.Refused)
		}
		if err == nil {
			break
		}
		t.Log(err)
		time.Sleep(time.Second)
	}
	out := storm{writes: len(g.calls(writes)), took: time.Since(start)}
	w := g.now(t)
	for _, x := range open {
		for _, o := range x.Open {
			if !g.admits(w, x.Door, o.From.Addr()) {
				t.Fatalf("%v does not get in", o.From)
			}
		}
	}
	return out
}

// askedNaively writes a rule for each request, one after the other, with the SDK.
func askedNaively(t *testing.T, n int, c rp.Config) storm {
	t.Helper()
	g := crowded(t, n, c)
	rules, err := armnetwork.NewSecurityRulesClient(arm.SubscriptionID, token(g.sim.Token()), &sdkarm.ClientOptions{
		ClientOptions: options(g), DisableRPRegistration: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.calls(writes)
	start := time.Now()
	for i := range n * perMachine {
		poller, err := rules.BeginCreateOrUpdate(t.Context(), "rg", "web-nsg", fmt.Sprintf("request-%d", i), armnetwork.SecurityRule{
			Properties: &armnetwork.SecurityRulePropertiesFormat{
				Access: new(armnetwork.SecurityRuleAccessAllow), Direction: new(armnetwork.SecurityRuleDirectionInbound),
				Protocol: new(armnetwork.SecurityRuleProtocolTCP), Priority: new(int32(200 + i)),
				SourceAddressPrefix: new(fmt.Sprintf("198.51.%d.%d", i/perMachine, i%perMachine)), SourcePortRange: new("*"),
				DestinationAddressPrefix: new(g.machines[i/perMachine].to[0].String()), DestinationPortRange: new("22"),
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	return storm{writes: len(g.calls(writes)), took: time.Since(start)}
}
