// Package desk is where every question to the broker is decided: by the rules as
// they are at that moment, and again when they have moved on before the answer
// could be saved. Whoever is refused leaves a record.
//
// It knows what a decision needs, and nothing of what is asked. What grants,
// approvals and locks are about stands in the packages that use it.
package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reconcile"
	"github.com/sesame-access/sesame/internal/store"
)

// A Caller is who asks, and from where. It is an argument of every method and
// never hidden in a context.
type Caller struct {
	access.Identity
	// Addr is the address that the caller's packets come from; invalid when they
	// came over a local socket.
	Addr netip.Addr
	// Code is the id of the code that the caller has shown instead of being known:
	// it is good for one emergency. Empty for whoever is known.
	Code string
}

// A Ledger is what the broker needs from the store.
type Ledger interface {
	Reader
	Grants(ctx context.Context, f store.GrantFilter) (grants []access.Grant, next string, err error)
	Tokens(ctx context.Context) ([]store.Token, error)
	Polls
	// Save stores state and record in one transaction.
	Save(ctx context.Context, c store.Change) error
}

// Polls say who waits for whom.
type Polls interface {
	// Waiting returns the requests about which somebody may have something to decide.
	Waiting(ctx context.Context) ([]store.Request, error)
	// Tally counts what a principal has, and has asked for since some time.
	Tally(ctx context.Context, p access.Principal, since time.Time) (store.Tally, error)
	// Identity returns what is known of a principal, and whether it was ever seen.
	Identity(ctx context.Context, p access.Principal) (who access.Identity, known bool, err error)
}

// A Reader reads what decisions are based on.
type Reader interface {
	Rules(ctx context.Context) (store.Rules, error)
	Pending(ctx context.Context, of ...firewall.VMID) ([]access.Grant, error)
	Grant(ctx context.Context, id string) (access.Grant, error)
	Request(ctx context.Context, id string) (store.Request, error)
	Idempotency(ctx context.Context, p access.Principal, key string) (store.Idempotency, error)
}

// An Enforcer makes firewalls show what the ledger says.
type Enforcer interface {
	Settler
	VMs() []inventory.VM
	// End closes a grant although its end could not be saved yet.
	End(grant string, by access.Ending, unsaved store.Change)
	// Wake asks for a full pass over everything.
	Wake(because string)
	// Preview computes what a change of the book would write, and whom it would
	// let in or keep out, without writing anything.
	Preview(ctx context.Context, about []firewall.VMID, change fleet.Supposing) (fleet.Preview, error)
}

// A Settler opens and closes for grants.
type Settler interface {
	// Prepare says which grants are about to be saved, so that what opens them can
	// be thought out meanwhile; done says that they are saved, or will not be. It
	// opens nothing.
	Prepare(grants []access.Grant) (done func())
	// Settle asks for a pass over the given grants, which are saved, and says how
	// each stands.
	Settle(ctx context.Context, grants []access.Grant) (map[string]reconcile.Seen, error)
}

// Config is what a Desk is made of.
type Config struct {
	Ledger   Ledger
	Enforcer Enforcer
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// NewID makes an id of the kind that prefix names.
	NewID func(prefix string) string
	// Own are the doors that callers come through themselves.
	Own []firewall.Door
	// Trusted are the keys of tags that may say who comes in; see authz.TargetOf.
	Trusted []string
	// Zone is where access policies mean hours and days; nil for UTC.
	Zone *time.Location
	Log  *slog.Logger
	// Quotas bound what one person has and asks for.
	Quotas Quotas
	// Groups are those that the configuration puts principals in, by ISSUER#SUBJECT.
	Groups map[string][]string
}

// Quotas bound what one person may have and ask for; 0 is no bound.
type Quotas struct {
	Live    int // grants of one principal at once
	Waiting int // requests of one person that wait for approval at once
	Asked   int // requests of one principal for approval within an hour
}

// A Desk decides. It is safe for concurrent use.
type Desk struct{ Config }

// Tries is how often a decision is made again because the rules moved on.
const Tries = 5

// Decide runs f, which reads the rules, decides and saves, again as long as the
// rules, or a grant that f ends, change between its reading and its saving.
func (b *Desk) Decide(ctx context.Context, f func(rules store.Rules) error) error {
	for range Tries {
		rules, err := b.Ledger.Rules(ctx)
		if err != nil {
			return errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be decided; closing goes on")
		}
		if err := f(rules); !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrEpoch) {
			return err
		}
	}
	return errkind.New(errkind.Conflict, "the rules keep changing; try again")
}

// May fails unless caller may do action to vm, or to all VMs if vm is empty; a
// denial is recorded. It is for what is read without the broker; asked says what
// that is, such as "list tokens".
func (b *Desk) May(ctx context.Context, caller Caller, asked string, action authz.Action, vm firewall.VMID) error {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be decided; closing goes on")
	}
	return b.MayAsk(ctx, rules, caller, asked, action, vm)
}

// MayDo fails with Denied unless caller may do action to vm; the denial is
// recorded.
func (b *Desk) MayDo(ctx context.Context, rules store.Rules, caller Caller, action authz.Action, vm firewall.VMID) error {
	asked := string(action)
	if vm != "" {
		asked += " " + vm.Name()
	}
	return b.MayAsk(ctx, rules, caller, asked, action, vm)
}

// MayAsk is MayDo for what is asked in other words than those of the action.
func (b *Desk) MayAsk(ctx context.Context, rules store.Rules, caller Caller, asked string, action authz.Action, vm firewall.VMID) error {
	d := rules.Engine.May(caller.Identity, action, b.Target(vm))
	if d.Allow {
		return nil
	}
	return b.Refuse(ctx, caller, asked, vm, d.Not)
}

// Refuse records that caller may not do what is asked, and returns it as an error.
func (b *Desk) Refuse(ctx context.Context, caller Caller, asked string, vm firewall.VMID, not []string) error {
	rec := b.Record(audit.Denied, caller)
	rec.Door.VM = vm
	rec.Not = not
	rec.Text = asked
	if err := b.Ledger.Save(ctx, store.Change{Records: []audit.Record{rec}}); err != nil {
		b.Log.LogAttrs(ctx, slog.LevelError, "record denial", slog.Any("error", err))
	}
	return errkind.New(errkind.Denied, "%s may not %s: %s", caller, asked, Reasons(not))
}

// Target returns vm with its trusted tags; no VM is everything.
func (b *Desk) Target(vm firewall.VMID) authz.Target {
	if vm == "" || len(b.Trusted) == 0 {
		return authz.Target{VM: vm, Tags: nil}
	}
	return authz.TargetOf(vm, inventory.Of(b.Enforcer.VMs(), vm).Tags, b.Trusted)
}

// Identity returns what is known of p, who is not here to say it: with the groups
// that the configuration puts it in. Known is false where nobody can tell which
// groups it is in.
func (b *Desk) Identity(ctx context.Context, p access.Principal) (who access.Identity, known bool, err error) {
	if who, known, err = b.Ledger.Identity(ctx, p); err != nil {
		return who, known, errkind.Wrap(errkind.Unavailable, err, "who is behind %s cannot be read now", p)
	}
	who.Groups = slices.Concat(who.Groups, b.Groups[p.Issuer+"#"+p.Subject])
	slices.Sort(who.Groups)
	who.Groups = slices.Compact(who.Groups)
	return who, known, nil
}

// Situation returns what a request of who is decided in.
func (b *Desk) Situation(ctx context.Context, rules store.Rules, who access.Principal, now access.Reading) (authz.Situation, error) {
	in := authz.Situation{
		Policies: rules.Policies, Locks: rules.Locks, Target: b.Target, Live: 0, Zone: b.Zone, Now: now.Wall,
	}
	if len(rules.Access.Policies) == 0 {
		return in, nil // nobody asks how many there are
	}
	grants, err := b.Ledger.Pending(ctx)
	if err != nil {
		return in, errkind.Wrap(errkind.Unavailable, err, "the grants cannot be read, so nothing can be decided; closing goes on")
	}
	for _, g := range grants {
		if g.Principal.Is(who) && g.Live(now) {
			in.Live++
		}
	}
	return in, nil
}

// Record starts a record of something that caller did.
func (b *Desk) Record(kind audit.Kind, caller Caller) audit.Record {
	now := b.Clocks()
	return audit.Record{
		Kind: kind, Time: firewall.Instant(now.Wall), Actor: caller.Principal, Caller: caller.Addr, Clocks: now,
	}
}

// Reasons says why something is denied.
func Reasons(list []string) string {
	if len(list) == 0 {
		return "nothing allows it"
	}
	return strings.Join(list, "; ")
}

// Save saves c for something that may only happen if it is recorded.
func (b *Desk) Save(ctx context.Context, c store.Change) error {
	err := b.Ledger.Save(ctx, c)
	if kind := errkind.Of(err); err == nil || kind != errkind.Internal && kind != errkind.Unavailable {
		return err
	}
	return errkind.Wrap(errkind.Unavailable, err, "this could not be recorded, so it is not done; closing goes on. Try again")
}

// At says of a grant whether it is on one of the doors.
func At(doors []firewall.Door) func(access.Grant) bool {
	return func(g access.Grant) bool { return slices.Contains(doors, g.Door) }
}

// EndAll adds to c the end of every grant that is not over and that which picks,
// and returns them as they are then.
func (b *Desk) EndAll(ctx context.Context, c *store.Change, caller Caller, which func(access.Grant) bool, why access.EndReason) ([]access.Grant, error) {
	grants, err := b.Ledger.Pending(ctx)
	if err != nil {
		return nil, errkind.Wrap(errkind.Unavailable, err, "the grants cannot be read")
	}
	now := b.Clocks()
	var ended []access.Grant
	for _, g := range grants {
		if g.Over(now) || !which(g) {
			continue
		}
		g.Ended = access.Ending{At: firewall.Instant(now.Wall), By: caller.Principal, Why: why}
		ended = append(ended, g)
		c.GrantUpdates = append(c.GrantUpdates, store.GrantUpdate{ID: g.ID, Epoch: g.Epoch, Deadline: access.Deadline{}, Ended: g.Ended})
		rec := b.Record(audit.Ended, caller)
		rec.Request, rec.Grant, rec.Door, rec.Sources = g.Request, g.ID, g.Door, g.Sources
		rec.Deadline, rec.Text = g.Deadline.Wall, string(why)
		c.Records = append(c.Records, rec)
	}
	return ended, nil
}

// DoorList names doors as people write them.
func DoorList(doors []firewall.Door) string {
	names := make([]string, len(doors))
	for i, d := range doors {
		names[i] = fmt.Sprintf("%s:%d/%s", d.VM.Name(), d.Port, d.Protocol)
	}
	return strings.Join(names, ", ")
}

// VMCount says how many VMs there are.
func VMCount(n int) string {
	if n == 1 {
		return "1 VM"
	}
	return strconv.Itoa(n) + " VMs"
}
