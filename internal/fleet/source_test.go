package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
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

// A slow provider does not answer before it is lit, and wants to be read seldom.
type slow struct {
	*memory.World
	lit    atomic.Bool
	looks  atomic.Int64
	resync time.Duration
}

func (p *slow) Inventory(ctx context.Context) ([]inventory.VM, error) {
	if !p.lit.Load() {
		<-ctx.Done()
		return nil, errors.New("nobody answers")
	}
	return p.World.Inventory(ctx)
}

func (p *slow) Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	p.looks.Add(1)
	return p.World.Observe(ctx, fw, only)
}

func (p *slow) Limits(fw firewall.ID) provider.Limits {
	l := p.World.Limits(fw)
	l.Resync = p.resync
	return l
}

func worldOf(name string) *memory.World {
	w := memory.NewWorld(firewall.Keyring{Instance: "test", Keys: []firewall.MarkKey{{ID: "k", Secret: []byte("0123456789abcdef")}}})
	id := firewall.ID("fw-" + name)
	w.Add(memory.Config{ID: id, Dialect: memory.Numbered})
	w.AddVM(inventory.VM{ID: firewall.HostVM(name), Name: name, Paths: []inventory.Path{{Name: "p", Hops: []inventory.Hop{{Firewall: id}}}}})
	return w
}

// A cloud that does not answer keeps nobody waiting for long, is said, and joins
// when it answers. Each firewall is read as often as its limits say.
func TestSourcesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "sesame.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		near := &slow{World: worldOf("near"), resync: 0}
		near.lit.Store(true)
		far := &slow{World: worldOf("far"), resync: 5 * time.Minute}
		began := time.Now()
		f := fleet.New(fleet.Config{
			Book: st, Providers: []provider.Provider{far, near}, Resync: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
			Clocks: func() access.Reading {
				return access.Reading{Wall: time.Now().UTC(), Boot: time.Since(began), BootID: "test"}
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		defer running.Wait()
		defer stop()

		<-f.Known()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the daemon was kept waiting for %v", took)
		}
		names := func() (out []string) {
			for _, v := range f.VMs() {
				out = append(out, v.Name)
			}
			return out
		}
		if got := names(); !slices.Equal(got, []string{"near"}) || near.looks.Load() == 0 {
			t.Errorf("known are %v, after %d looks", got, near.looks.Load())
		}
		time.Sleep(time.Minute)
		if got := f.Troubles(); !slices.Equal(got, []string{"1 of 2 inventories cannot be read; what is new there is not known"}) {
			t.Errorf("troubles are %q", got)
		}
		far.lit.Store(true)
		time.Sleep(2 * time.Minute)
		if got := names(); !slices.Equal(got, []string{"far", "near"}) || len(f.Troubles()) > 0 {
			t.Errorf("known are %v, troubles %q", got, f.Troubles())
		}
		far.lit.Store(false)
		near.looks.Store(0)
		far.looks.Store(0)
		time.Sleep(10 * time.Minute)
		if n, m := near.looks.Load(), far.looks.Load(); n < 18 || n > 44 || m < 1 || m > 6 {
			t.Errorf("in ten minutes the one that says nothing was read %d times, the one that says 5m %d times", n, m)
		}
		if v := inventory.Of(f.VMs(), "host://far"); len(v.Missing) == 0 {
			t.Error("nobody answers for it, and nothing is said to be missing")
		}
		if v := inventory.Of(f.VMs(), "host://near"); len(v.Missing) > 0 {
			t.Errorf("of the other is missing %v", v.Missing)
		}
	})
}
