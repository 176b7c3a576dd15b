package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/store"
)

// A counted provider notes when which firewall was read.
type counted struct {
	*memory.World

	mu    sync.Mutex
	looks map[firewall.ID][]time.Time
}

const seldom = 2 * time.Minute

func (p *counted) Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	p.mu.Lock()
	p.looks[fw] = append(p.looks[fw], time.Now())
	p.mu.Unlock()
	return p.World.Observe(ctx, fw, only)
}

func (p *counted) Limits(fw firewall.ID) provider.Limits {
	l := p.World.Limits(fw)
	l.Resync = seldom
	return l
}

// Many firewalls of one cloud begin at once and do not go on together; none is read
// less often than it has to be, and the next time is the same again.
func TestManyFirewallsAreReadApart(t *testing.T) {
	const firewalls = 60
	looks := func() (out map[firewall.ID][]time.Time) {
		synctest.Test(t, func(t *testing.T) {
			st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "sesame.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			p := &counted{World: worldOf("0"), looks: map[firewall.ID][]time.Time{}}
			for i := 1; i < firewalls; i++ {
				name := fmt.Sprint(i)
				id := firewall.ID("fw-" + name)
				p.Add(memory.Config{ID: id, Dialect: memory.Numbered})
				p.AddVM(inventory.VM{ID: firewall.HostVM(name), Name: name, Paths: []inventory.Path{{Name: "p", Hops: []inventory.Hop{{Firewall: id}}}}})
			}
			began := time.Now()
			f := fleet.New(fleet.Config{
				Book: st, Providers: []provider.Provider{p}, Resync: 10 * time.Minute, Log: slog.New(slog.DiscardHandler),
				Clocks: func() access.Reading {
					return access.Reading{Wall: time.Now().UTC(), Boot: time.Since(began), BootID: "test"}
				},
			})
			ctx, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			f.Run(ctx)
			out = p.looks
		})
		return out
	}
	one := looks()
	atOnce := map[time.Time]int{}
	for id, times := range one {
		for i, at := range times[1:] {
			if gap := at.Sub(times[i]); gap > seldom+time.Second || gap < seldom*3/4 {
				t.Errorf("%s was not read for %v", id, gap)
			}
			atOnce[at.Truncate(time.Second)]++
		}
	}
	for at, n := range atOnce {
		if n > firewalls/4 {
			t.Errorf("at %v %d of %d firewalls were read", at, n, firewalls)
		}
	}
	if len(one) != firewalls || len(atOnce) == 0 {
		t.Fatalf("%d firewalls were read", len(one))
	}
	two := looks()
	for id, times := range one {
		if len(two[id]) != len(times) || !two[id][1].Equal(times[1]) {
			t.Errorf("%s was read at %v, and at %v the next time", id, times[1], two[id][1])
		}
	}
}
