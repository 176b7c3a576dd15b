package aws_test

import (
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/broker/consent"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/simtest"
)

// An estate is an account with an installation of Sesame in front of it, with
// everything real but the time, and port 22 of all of its instances locked.
type estate struct {
	*simtest.Installation
	*ground

	doors []firewall.Door
}

// install makes an estate whose VPC is read that often.
func install(t *testing.T, template, path string, resync time.Duration) *estate {
	t.Helper()
	e := &estate{}
	e.ground, e.doors = many(t)
	e.provider = aws.New(aws.Config{Keys: keys, Regions: e.provider.Regions, Resync: resync})
	var err error
	if e.Installation, err = simtest.Install(t.Context(), template, path, simtest.NewClocks(), e.provider); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	e.Start(t.Context())
	<-e.Fleet().Known()
	p := policy.Policy{Name: "ssh", Ports: []policy.Port{{Port: 22, Protocol: firewall.TCP, Max: time.Hour}}}
	for _, d := range e.doors {
		p.VMs = append(p.VMs, d.VM)
	}
	p = p.WithDefaults()
	root := broker.Caller{Identity: access.Identity{Principal: simtest.Root()}}
	shown, err := e.Broker().PreviewEnable(t.Context(), root, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Broker().Enable(t.Context(), root, p, broker.Agreed{Losses: consent.Fingerprint(shown.Losses)}); err != nil {
		t.Fatal(err)
	}
	for range 600 {
		if !slices.ContainsFunc(e.doors, e.open) {
			return e
		}
		time.Sleep(time.Second)
	}
	t.Fatal("it is never locked")
	return nil
}

// open reports whether anybody gets in.
func (e *estate) open(d firewall.Door) bool {
	return e.now().admits(d, netip.MustParseAddr("198.51.100.7"))
}

// readd puts back what the lock took out of the group of an instance, and returns
// after how long it is out again.
func (e *estate) readd(t *testing.T, i int) time.Duration {
	t.Helper()
	id := ""
	for _, n := range e.now().interfaces {
		if n.Instance == e.doors[i].VM.Name() {
			id = n.Groups[0]
		}
	}
	e.edit(t, id, func(x *world.Group) {
		x.Rules = append(x.Rules, world.Rule{ID: "sgr-0000000000000aa01", Protocol: "tcp", First: 22, Last: 22, CIDR: netip.MustParsePrefix("0.0.0.0/0")})
	})
	if !e.open(e.doors[i]) {
		t.Fatal("it does not open")
	}
	start := time.Now()
	for e.open(e.doors[i]) && time.Since(start) < time.Hour {
		time.Sleep(200 * time.Millisecond)
	}
	return time.Since(start)
}

// reopened is how long doors stood open, each of which somebody opened behind our
// back at a moment of his own.
func reopened(t *testing.T, template, path string, resync time.Duration, times int) []time.Duration {
	t.Helper()
	e := install(t, template, path, resync)
	r := rand.New(rand.NewPCG(7, 7))
	var out []time.Duration
	for i := range times {
		time.Sleep(time.Duration(r.Int64N(int64(resync))))
		out = append(out, e.readd(t, i))
	}
	return out
}

// What others put back is closed within the bound: the time between two readings,
// and what reading and writing take.
func TestReaddedIsClosedWithinTheBound(t *testing.T) {
	dir := t.TempDir()
	template := filepath.Join(dir, "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		const resync, work = 2 * time.Minute, 5 * time.Second
		for i, took := range reopened(t, template, filepath.Join(dir, "sesame.db"), resync, 5) {
			if took > resync+work {
				t.Errorf("the door of machine %d stood open for %v", i, took)
			}
		}
	})
}

// A deny that somebody puts into the network ACL, as the guide says to end a
// connection, is a proven block: nothing is opened to its source while it stands.
func TestDenyInTheACL(t *testing.T) {
	dir := t.TempDir()
	template := filepath.Join(dir, "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		e := install(t, template, filepath.Join(dir, "sesame.db"), 30*time.Second)
		e.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
			for a := range w.NetworkACLs.All(now) {
				deny := world.Entry{Number: 1, Protocol: 6, First: 22, Last: 22, CIDR: netip.MustParsePrefix("10.0.16.5/32")}
				a.Entries = append([]world.Entry{deny}, a.Entries...)
				w.NetworkACLs.Put(now, a)
			}
		})
		time.Sleep(time.Minute)
		for from, opens := range map[string]bool{"10.0.16.5": false, "10.0.16.6": true} {
			a, err := e.Broker().Request(t.Context(), broker.Caller{Identity: access.Identity{Principal: simtest.User()}, Addr: netip.MustParseAddr(from)}, broker.Ask{
				VM: string(e.doors[0].VM), Ports: []broker.Port{{Number: 22, Protocol: firewall.TCP}}, Duration: time.Hour, Reason: "look",
			})
			if err != nil || len(a.Grants) != 1 {
				t.Fatalf("%+v, %v", a, err)
			}
			time.Sleep(10 * time.Second)
			why := a.Grants[0].Pending
			if got := e.now().admits(e.doors[0], netip.MustParseAddr(from)); got != opens || opens != (why == "") || !opens && !strings.Contains(why, "acl-") {
				t.Errorf("%s: open is %v, pending because %q", from, got, why)
			}
		}
	})
}

// BenchmarkReadded measures how long a rule that somebody puts back is in force, with
// the buckets of the API and nothing that tells of changes but reading.
func BenchmarkReadded(b *testing.B) {
	template := filepath.Join(b.TempDir(), "template.db")
	if err := simtest.Template(b.Context(), template); err != nil {
		b.Fatal(err)
	}
	for _, resync := range []time.Duration{30 * time.Second, 2 * time.Minute} {
		b.Run("resync="+resync.String(), func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				path := filepath.Join(b.TempDir(), "sesame.db")
				inVirtualTime(b, func(t *testing.T) { took = reopened(t, template, path, resync, 40) })
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds(), "median-s")
			b.ReportMetric(took[len(took)-1].Seconds(), "longest-s")
		})
	}
}
