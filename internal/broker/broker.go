// Package broker is the only code that creates, extends or ends a grant, and
// that adds or ends a lock. What package adopt takes note of was a grant before.
//
// Every method takes the caller, decides by the rules as they are now, saves
// state and audit record in one transaction that fails when the rules have moved
// on, and only then asks for the doors to be opened. No record, no grant. Ending
// is the exception: when the book cannot be written the grant still ends, and
// the record follows.
package broker

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
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
}

// A Ledger is what the broker needs from the store.
type Ledger interface {
	Reader
	Grants(ctx context.Context, f store.GrantFilter) (grants []access.Grant, next string, err error)
	Tokens(ctx context.Context) ([]store.Token, error)
	// Save stores state and record in one transaction.
	Save(ctx context.Context, c store.Change) error
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

// Config is what a Broker is made of.
type Config struct {
	Ledger   Ledger
	Enforcer Enforcer
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// NewID makes an id of the kind that prefix names.
	NewID func(prefix string) string
	// Own are the doors that callers come through themselves.
	Own []firewall.Door
	Log *slog.Logger
}

// A Broker turns requests into grants and grants into closed doors.
type Broker struct {
	Config
	skew *skewWatch
}

// New returns a broker.
func New(cfg Config) *Broker {
	return &Broker{Config: cfg, skew: newSkewWatch(cfg.Clocks())}
}

// SettleTime is how long an answer waits for the firewalls at most. What is not
// read back then goes on behind, and the grant says so.
const SettleTime = 20 * time.Second

// tries is how often a decision is made again because the rules moved on.
const tries = 5

// decide runs f, which reads the rules, decides and saves, again as long as the
// rules, or a grant that f ends, change between its reading and its saving.
func (b *Broker) decide(ctx context.Context, f func(rules store.Rules) error) error {
	for range tries {
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
func (b *Broker) May(ctx context.Context, caller Caller, asked string, action authz.Action, vm firewall.VMID) error {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be decided; closing goes on")
	}
	return b.mayDo(ctx, rules, caller, asked, action, vm)
}

// may fails with Denied unless caller may do action to vm; the denial is
// recorded.
func (b *Broker) may(ctx context.Context, rules store.Rules, caller Caller, action authz.Action, vm firewall.VMID) error {
	asked := string(action)
	if vm != "" {
		asked += " " + vm.Name()
	}
	return b.mayDo(ctx, rules, caller, asked, action, vm)
}

// mayDo is may for what is asked in other words than those of the action.
func (b *Broker) mayDo(ctx context.Context, rules store.Rules, caller Caller, asked string, action authz.Action, vm firewall.VMID) error {
	d := authz.May(rules.Assignments, caller.Principal, action, vm)
	if d.Allow {
		return nil
	}
	rec := b.record(audit.Denied, caller)
	rec.Door.VM = vm
	rec.Not = d.Not
	rec.Text = asked
	if err := b.Ledger.Save(ctx, store.Change{Records: []audit.Record{rec}}); err != nil {
		b.Log.LogAttrs(ctx, slog.LevelError, "record denial", slog.Any("error", err))
	}
	return errkind.New(errkind.Denied, "%s may not %s: %s", caller, asked, reasons(d.Not))
}

// record starts a record of something that caller did.
func (b *Broker) record(kind audit.Kind, caller Caller) audit.Record {
	now := b.Clocks()
	return audit.Record{
		Kind: kind, Time: firewall.Instant(now.Wall), Actor: caller.Principal, Caller: caller.Addr, Clocks: now,
	}
}

func reasons(list []string) string {
	if len(list) == 0 {
		return "nothing allows it"
	}
	return strings.Join(list, "; ")
}
