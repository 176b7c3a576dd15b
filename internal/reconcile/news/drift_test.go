package news_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/news"
)

// Who changed the firewall is blamed for what was found broken then, and for
// nothing that is found later.
func TestBlame(t *testing.T) {
	n := news.NewDesk()
	one := []plan.Change{{Op: plan.Lock, Door: door(22)}}
	step := func(by []string, drift []plan.Change, at time.Duration) []string {
		n.Suspect(by)
		n.Blame(drift)
		_, told := n.Repairs(drift, at)
		return told
	}
	for i, s := range []struct {
		by    []string
		drift []plan.Change
		at    time.Duration
		want  []string
	}{
		{[]string{"docker (pid 1)"}, nil, 0, nil}, // what it did was no harm
		{[]string{"", "nft (pid 2)", "nft (pid 2)"}, one, time.Second, []string{"nft (pid 2)"}},
		{[]string{"nft (pid 3)"}, one, 2 * time.Second, nil}, // in the next record
		{[]string{"docker (pid 1)"}, nil, 3 * time.Second, nil},
		{[]string{"nft (pid 4)"}, one, 20 * time.Second, []string{"nft (pid 3)", "nft (pid 4)"}},
		{nil, one, 40 * time.Second, nil}, // nobody knows
	} {
		if diff := cmp.Diff(s.want, step(s.by, s.drift, s.at)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	var crowd []string
	for pid := range 1000 {
		crowd = append(crowd, fmt.Sprint(pid))
	}
	if got := step(crowd, one, time.Minute); len(got) != 10 {
		t.Errorf("%d are named, want 10", len(got))
	}
}

func TestDrift(t *testing.T) {
	d := door(22)
	me := firewall.Opening{Grants: "g-1"}
	lock, open := plan.Change{Op: plan.Lock, Door: d}, plan.Change{Op: plan.Open, Door: d, Opening: me}
	closing := plan.Change{Op: plan.Close, Door: d, Opening: me}
	there := provider.Snapshot{Owned: []provider.Owned{{Kind: provider.OwnedOpening, Door: d, Opening: me, Mark: firewall.MarkGood}}}
	broken := provider.Snapshot{Owned: []provider.Owned{{Kind: provider.OwnedOpening, Door: d, Opening: me, Mark: firewall.MarkBroken}}}
	locked := map[firewall.Door]news.Lock{d: {}}
	for name, tt := range map[string]struct {
		locked map[firewall.Door]news.Lock
		seen   provider.Snapshot
		change plan.Change
		opened bool
		drift  bool
	}{
		"a new lock":                         {nil, provider.Snapshot{}, lock, false, false},
		"a lock that was there":              {locked, provider.Snapshot{}, lock, false, true},
		"a lock that is to cut from now on":  {map[firewall.Door]news.Lock{d: {Cut: true}}, provider.Snapshot{}, lock, false, false},
		"a new opening":                      {locked, provider.Snapshot{}, open, false, false},
		"an opening that was there":          {locked, provider.Snapshot{}, open, true, true},
		"an opening that lasts longer now":   {locked, there, open, true, false},
		"an opening that ends":               {locked, there, closing, true, false},
		"an opening with somebody's mark":    {locked, broken, closing, false, true},
		"a foreign rule above a known lock":  {locked, provider.Snapshot{}, plan.Change{Op: plan.Displace, Door: d}, false, true},
		"a foreign rule in front of no lock": {nil, provider.Snapshot{}, plan.Change{Op: plan.Displace, Door: d}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := news.NewDesk()
			n.Locked = tt.locked
			got := n.Drift([]plan.Change{tt.change}, tt.seen, firewall.Wants{{Door: d, Locked: true}}, map[string]bool{"g-1": tt.opened})
			if len(got) == 1 != tt.drift {
				t.Errorf("%v", got)
			}
		})
	}
}
