package arm

import (
	"cmp"
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/server/arm/view"
	"github.com/sesame-access/sesame/internal/server/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// history reads the grants of policies, and what waits for approval.
func (f *Face) history(ctx context.Context, page []*view.Shown, v sight.Sight) (view.History, error) {
	out := view.History{Grants: nil, Now: f.Clocks()}
	var vms []firewall.VMID
	for _, s := range page {
		_, mine, _ := s.Seen(v)
		vms = append(vms, mine...)
	}
	if len(vms) == 0 {
		return out, nil
	}
	slices.Sort(vms)
	vms = slices.Compact(vms)
	live, err := f.Store.Pending(ctx)
	if err == nil {
		about := vms
		if len(about) > fewVMs {
			about = nil // the newest of all; what is not about these is passed over below
		}
		filter := store.GrantFilter{VMs: about, Which: store.Done, Page: store.Page{Limit: store.MaxLimit, Cursor: ""}}
		out.Grants, _, err = f.Store.Grants(ctx, filter)
	}
	if err != nil {
		return view.History{}, errkind.Wrap(errkind.Unavailable, err, "the requests cannot be read now; what is open closes by itself")
	}
	waiting, err := f.Store.Waiting(ctx)
	if err != nil {
		return view.History{}, errkind.Wrap(errkind.Unavailable, err, "the requests cannot be read now; what is open closes by itself")
	}
	for _, r := range waiting {
		if r.Case().StateAt(out.Now) == approval.Pending {
			out.Grants = append(out.Grants, view.Awaited(r.Request, out.Now)...)
		}
	}
	for _, g := range live {
		if _, mine := slices.BinarySearch(vms, g.Door.VM); mine {
			out.Grants = append(out.Grants, f.Fleet.Current(g))
		}
	}
	slices.SortFunc(out.Grants, func(a, b access.Grant) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Request, b.Request), firewall.CompareDoors(a.Door, b.Door))
	})
	return out, nil
}

// fewVMs is how many VMs a database looks for one by one; of more it takes longer to
// say which than to read the newest of all.
const fewVMs = 200
