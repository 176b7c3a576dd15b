package locks

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/consent"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/broker/revision"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/store"
)

// Agreed is what the caller was shown beforehand and agreed to.
type Agreed struct {
	// Losses is the fingerprint of what the locks take away from others; empty
	// where nothing was agreed to.
	Losses string
	// Restore says that displaced rules may be given back that let in the Internet
	// or were taken out long ago.
	Restore bool
}

// consent adds to locks what the caller agreed to lose with them, and to c the
// record of it. What would be lost is computed anew; where it is not exactly what
// was agreed to, nothing is done.
func (b *Locks) consent(ctx context.Context, caller desk.Caller, c *store.Change, rules store.Rules, r revision.Revision, agreed Agreed) error {
	vms := b.Enforcer.VMs()
	var probes []string
	for _, p := range r.Put {
		probes = append(probes, consent.Unexempted(vms, p)...)
	}
	if len(probes) > 0 {
		return errkind.New(errkind.Conflict, "%s; exempt them with --exempt, or all that is proposed with --exempt-proposed", strings.Join(probes, "; "))
	}
	preview, err := b.suppose(ctx, rules, r, c.Locks)
	switch {
	case err != nil && agreed.Losses != "":
		return errkind.Wrap(errkind.Unavailable, err, "what would be lost cannot be computed now, so nobody can agree to it")
	case err != nil:
		// Nothing is lost without consent: the pass sees to that.
		b.Log.LogAttrs(ctx, slog.LevelWarn, "what a lock takes away could not be computed", slog.Any("error", err))
		return nil
	case len(preview.Losses) == 0:
		return nil
	case !b.mayLose(rules, caller, preview.Losses):
		return errkind.New(errkind.Denied, "these locks would take away more than their own ports, from VMs that %s may not change; ask somebody who may, or enable them on these VMs, too", caller)
	case agreed.Losses == "":
		return errkind.New(errkind.Conflict, "these locks would take away more than their own ports: %s; nothing was changed. Look at it with --dry-run, and say --accept-losses to agree", consent.List(preview.Losses))
	case agreed.Losses != consent.Fingerprint(preview.Losses):
		return errkind.New(errkind.Conflict, "what would be lost is not what was agreed to any more: %s; nothing was changed. Look again", consent.List(preview.Losses))
	}
	for i, l := range c.Locks {
		lost := plan.AcceptedBy(l.Door, preview.Losses)
		if len(lost) == 0 {
			continue
		}
		c.Locks[i].Accepts = slices.SortedFunc(slices.Values(slices.Concat(l.Accepts, lost)), firewall.CompareLosses)
		rec := b.Record(audit.LossAccepted, caller)
		rec.Door = l.Door
		mine := func(x plan.Loss) bool { return !slices.Contains(x.Locks, l.Door) }
		rec.Text = consent.List(slices.DeleteFunc(slices.Clone(preview.Losses), mine))
		c.Records = append(c.Records, rec)
	}
	return nil
}

// mayLose reports whether caller may change every VM that loses something.
func (b *Locks) mayLose(rules store.Rules, caller desk.Caller, losses []plan.Loss) bool {
	return !slices.ContainsFunc(losses, func(l plan.Loss) bool {
		return !rules.Engine.Allows(caller.Identity, authz.Enable, b.Target(l.VM))
	})
}

// suppose shows what would be if r were saved with these locks.
func (b *Locks) suppose(ctx context.Context, rules store.Rules, r revision.Revision, added []access.Lock) (fleet.Preview, error) {
	leaving := r.Left(rules.Policies)
	var about []firewall.VMID
	for _, p := range r.Put {
		about = append(about, p.VMs...)
	}
	for _, d := range leaving {
		about = append(about, d.VM)
	}
	return b.Enforcer.Preview(ctx, about, func(locks []access.Lock, grants []access.Grant) ([]access.Lock, []access.Grant) {
		for _, l := range added {
			locks = slices.DeleteFunc(locks, func(x access.Lock) bool { return x.Door == l.Door })
		}
		return append(locks, added...), slices.DeleteFunc(grants, desk.At(leaving))
	})
}

// mayRestore fails when rules would be given back that nobody should be surprised
// by.
func (b *Locks) mayRestore(preview fleet.Preview, agreed Agreed) error {
	why := consent.Surprises(preview.Restored, b.Clocks().Wall)
	if len(why) == 0 || agreed.Restore {
		return nil
	}
	return errkind.New(errkind.Conflict, "these rules would come back: %s; nothing was changed. Say --restore-open to give them back all the same, and delete afterwards what should not be there",
		strings.Join(why, "; "))
}
