// Package scan looks at everything that some clouds have, for package posture to
// judge. It only reads, and needs no server, no database and no policy.
//
// What cannot be read is no reason to give up: a cloud that does not answer is
// said, and a firewall that cannot be read leaves unknown what it decides. The
// layers are kept and the documents are not, so that a scan of many machines needs
// no more memory than their rules do.
package scan

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A Source is a cloud, as far as it is only read; see [provider.Provider].
type Source interface {
	Name() string
	Inventory(ctx context.Context) ([]inventory.VM, error)
	Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (provider.Snapshot, error)
}

// A Seen is what a look found.
type Seen struct {
	posture.Estate

	// Unread is what could not be read, sorted by name. Its machines are not in the
	// estate, if it is a cloud; what it decides is unknown, if it is a firewall.
	Unread []Unread
}

// An Unread is one cloud or firewall.
type Unread struct {
	Name string
	Err  error
}

// Progress is how far a look has come.
type Progress struct {
	Clouds, OfClouds       int
	Firewalls, OfFirewalls int // of the clouds that have answered
	VMs                    int
}

// atOnce is how many firewalls of one source are read at the same time.
const atOnce = 8

// Look reads all sources at the same time. Tell is called, by one goroutine at a
// time, whenever it has come further. The error is that of ctx.
func Look(ctx context.Context, sources []Source, tell func(Progress)) (Seen, error) {
	l := &look{tell: tell, mu: sync.Mutex{}, progress: Progress{OfClouds: len(sources)}, seen: Seen{}, model: reach.Model{}, claims: map[firewall.VMID]*posture.Claim{}}
	var looking sync.WaitGroup
	for _, s := range sources {
		looking.Go(func() { l.source(ctx, s) })
	}
	looking.Wait()
	if err := ctx.Err(); err != nil {
		return Seen{}, err
	}
	out := l.seen
	out.Model = l.model
	slices.SortFunc(out.VMs, func(a, b inventory.VM) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Unread, func(a, b Unread) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Openings, func(a, b posture.Opening) int {
		return cmp.Or(firewall.CompareDoors(a.Door, b.Door), firewall.CompareOpenings(a.Opening, b.Opening))
	})
	for _, id := range slices.Sorted(maps.Keys(l.claims)) {
		out.Claims = append(out.Claims, *l.claims[id])
	}
	return out, nil
}

// A look goes on in several goroutines.
type look struct {
	tell func(Progress)

	mu       sync.Mutex // for what follows
	progress Progress
	seen     Seen
	model    reach.Model
	claims   map[firewall.VMID]*posture.Claim
}

// add changes what is seen, and tells of it.
func (l *look) add(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.tell(l.progress)
}

// source reads one cloud.
func (l *look) source(ctx context.Context, s Source) {
	vms, err := s.Inventory(ctx)
	if err != nil {
		l.add(func() { l.seen.Unread = append(l.seen.Unread, Unread{s.Name(), err}) })
	}
	var firewalls []firewall.ID
	for _, v := range vms {
		firewalls = append(firewalls, v.Firewalls()...)
	}
	slices.Sort(firewalls)
	firewalls = slices.Compact(firewalls)
	l.add(func() {
		l.progress.Clouds++
		l.progress.VMs += len(vms)
		l.progress.OfFirewalls += len(firewalls)
	})
	next := make(chan firewall.ID)
	beside := make(map[firewall.ID]provider.Snapshot)
	var reading sync.WaitGroup
	for range min(atOnce, len(firewalls)) {
		reading.Go(func() {
			for id := range next {
				l.firewall(ctx, s, id, beside)
			}
		})
	}
	for _, id := range firewalls {
		next <- id
	}
	close(next)
	reading.Wait()
	vms, layers := provider.Around(vms, beside)
	l.add(func() {
		l.seen.VMs = append(l.seen.VMs, vms...)
		for _, layer := range layers {
			l.model.Put(layer)
		}
	})
}

// firewall reads one firewall. What stands at the same place is told beside, by layers
// alone.
func (l *look) firewall(ctx context.Context, s Source, id firewall.ID, beside map[firewall.ID]provider.Snapshot) {
	snapshot, err := s.Observe(ctx, id, nil)
	l.add(func() {
		l.progress.Firewalls++
		if err != nil {
			l.seen.Unread = append(l.seen.Unread, Unread{string(id), err})
			return
		}
		beside[id] = provider.Snapshot{Firewall: id, Layer: snapshot.Layer, Beside: snapshot.Beside}
		for _, o := range snapshot.Owned {
			l.owned(o)
		}
	})
}

// owned takes down what a rule of ours says of its door. Without the keys of the marks
// none is known to be ours.
func (l *look) owned(o provider.Owned) {
	switch {
	case o.Kind == provider.OwnedLock:
		c := l.claims[o.Door.VM]
		if c == nil {
			c = &posture.Claim{VM: o.Door.VM, By: posture.Sesame, Policy: "", Failed: "", Ports: nil}
			l.claims[o.Door.VM] = c
		}
		p := posture.ClaimedPort{Port: survey.Port{Protocol: o.Door.Protocol, Number: o.Door.Port}, Sources: nil, WidestIPv4: 32, WidestIPv6: 128, Exempt: nil}
		if !slices.ContainsFunc(c.Ports, func(x posture.ClaimedPort) bool { return x.Port == p.Port }) {
			c.Ports = append(c.Ports, p)
		}
	case o.Kind == provider.OwnedOpening && o.Mark == firewall.MarkGood:
		l.seen.Openings = append(l.seen.Openings, posture.Opening{Door: o.Door, Opening: o.Opening})
	}
}
