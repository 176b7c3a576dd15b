package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// An Ask is a request as it comes in: parsed, not yet judged.
type Ask struct {
	// VM is an id or an unambiguous name.
	VM    string
	Ports []Port // at least one
	// Sources are who is to get in; none means the caller's own address.
	Sources []netip.Prefix
	// Duration is how long; 0 takes the longest that the policy allows.
	Duration time.Duration
	// Start is when; zero means now.
	Start  time.Time
	Reason string
	// IdempotencyKey makes repeating the same ask harmless; empty for none.
	IdempotencyKey string
}

// A Port names one port of a VM.
type Port struct {
	Number   uint16
	Protocol firewall.Protocol
}

// An Answer is what came of an ask.
type Answer struct {
	Request  access.Request
	Decision access.Decision
	Grants   []Standing
}

// A Standing is a grant and how it stands on the firewalls.
type Standing struct {
	access.Grant
	State access.State
	// Pending says why a grant that should be open is not yet, or not for as long
	// as it was extended; empty otherwise.
	Pending string
}

// Request asks for access. A yes is an Answer whose grants were read back open,
// or say why they are not yet; a no is an error of kind Denied that carries every
// reason.
func (b *Broker) Request(ctx context.Context, caller Caller, ask Ask) (Answer, error) {
	vm, err := inventory.Find(b.Enforcer.VMs(), ask.VM)
	if err != nil {
		return Answer{}, err
	}
	req, err := b.build(caller, vm, ask)
	if err != nil {
		return Answer{}, err
	}
	idem := idempotency(caller, ask, req)
	var decision access.Decision
	var grants []access.Grant
	err = b.Decide(ctx, func(rules store.Rules) error {
		now := b.Clocks()
		req.Duration = cmp.Or(ask.Duration, longest(rules.Policies, req.Doors))
		outcome := authz.Decide(rules.Assignments, rules.Policies, rules.Locks, req, now.Wall)
		decision = outcome.Decision
		unready := cmp.Or(b.ready(now, vm), vm.Stranded(req.Doors, req.Sources))
		if decision.Allow && unready == nil {
			grants = b.grants(req, outcome, now)
			return b.saveGrants(ctx, rules, req, decision, grants, idem) // fails when the key was used
		}
		// What was answered once is answered so again, whatever holds now.
		if err := b.unused(ctx, idem); err != nil {
			return err
		}
		if !decision.Allow {
			return b.deny(ctx, rules, req, decision)
		}
		return unready
	})
	if errors.Is(err, store.ErrRepeated) {
		return b.repeated(ctx, idem)
	}
	if err != nil {
		return Answer{}, err
	}
	return Answer{Request: req, Decision: decision, Grants: b.settle(ctx, grants)}, nil
}

// build makes the request of an ask, in canonical form.
func (b *Broker) build(caller Caller, vm inventory.VM, ask Ask) (access.Request, error) {
	now := b.Clocks().Wall
	req := access.Request{
		ID: b.NewID(access.RequestPrefix), Principal: caller.Principal, Doors: nil,
		Sources: slices.Clone(ask.Sources), Caller: caller.Addr, Start: ask.Start,
		Duration: ask.Duration, Reason: ask.Reason, Asked: firewall.Instant(now),
	}
	switch {
	case len(ask.Ports) == 0:
		return req, errkind.Wrong("ports", "", "a list of at least one port", "none is named; name at least one")
	case len(ask.Ports) > access.MaxDoors:
		return req, tooMany("ports", len(ask.Ports), access.MaxDoors)
	case len(ask.Sources) > access.MaxSources:
		return req, tooMany("sources", len(ask.Sources), access.MaxSources)
	case !ask.Start.IsZero() && ask.Start.Before(now.Add(-access.MaxSkew)):
		return req, errkind.Bad("start", ask.Start.Format(time.RFC3339), "in the future; leave it out to start now")
	}
	for _, p := range ask.Ports {
		req.Doors = append(req.Doors, firewall.Door{VM: vm.ID, Protocol: p.Protocol, Port: p.Number})
	}
	slices.SortFunc(req.Doors, firewall.CompareDoors)
	for i, d := range req.Doors[1:] {
		if d == req.Doors[i] {
			port := fmt.Sprintf("%d/%s", d.Port, d.Protocol)
			return req, errkind.Wrong("ports", port, "a list that names each port once", "%s is named twice; name each port once", port)
		}
	}
	if len(req.Sources) == 0 {
		if !caller.Addr.IsValid() {
			return req, errkind.Wrong("sources", "", "a list of at least one address", "none is named, and over the local socket Sesame cannot see your address; say --from ADDRESS")
		}
		req.Sources = []netip.Prefix{netip.PrefixFrom(caller.Addr, caller.Addr.BitLen())}
	}
	slices.SortFunc(req.Sources, netip.Prefix.Compare)
	req.Sources = slices.Compact(req.Sources)
	return req, nil
}

func tooMany(field string, n, most int) error {
	want := fmt.Sprintf("a list of at most %d", most)
	return errkind.Wrong(field, strconv.Itoa(n), want, "it has %d entries, and may have %d at most", n, most)
}

// ready fails when nothing can be opened on vm right now.
func (b *Broker) ready(now access.Reading, vm inventory.VM) error {
	if err := b.skew.check(now); err != nil {
		return err
	}
	if len(vm.Missing) > 0 {
		return errkind.New(errkind.Unavailable, "not everything about %s is known, so nothing is opened there: %s", vm.Name, vm.Missing[0])
	}
	return nil
}

// grants makes one grant for each door of req.
func (b *Broker) grants(req access.Request, outcome authz.Answer, now access.Reading) []access.Grant {
	start := req.Start
	if start.Before(now.Wall) {
		start = now.Wall
	}
	start = firewall.Instant(start)
	deadline := access.DeadlineAt(start.Add(req.Duration), now)
	grants := make([]access.Grant, len(outcome.Doors))
	for i, d := range outcome.Doors {
		grants[i] = access.Grant{
			ID: b.NewID(access.GrantPrefix), Request: req.ID, Principal: req.Principal, Door: d.Door,
			Sources: req.Sources, Reason: req.Reason, Policy: d.Policy,
			Start: start, Deadline: deadline, Created: req.Asked,
			Ended: access.Ending{}, Epoch: 1, Opened: time.Time{}, Closed: time.Time{}, Impeded: "",
		}
	}
	return grants
}

// longest returns the longest time that every door may be asked for; 0 when some
// door is covered by no policy.
func longest(policies []policy.Policy, doors []firewall.Door) time.Duration {
	var most time.Duration
	for i, d := range doors {
		var here time.Duration
		for _, p := range policies {
			if port, ok := p.PortOf(d); ok {
				here = max(here, port.Max)
			}
		}
		if i == 0 || here < most {
			most = here
		}
	}
	return most
}

// saveGrants saves request, grants and the record of the decision: the intent to
// open. Nothing is opened before it is on the disk; how to is thought out while it
// gets there.
func (b *Broker) saveGrants(ctx context.Context, rules store.Rules, req access.Request, d access.Decision, grants []access.Grant, idem store.Idempotency) error {
	c := store.Change{
		Expect: rules.Version, Requests: []store.Request{{Request: req, Decision: d}}, Grants: grants,
	}
	if idem.Key != "" {
		idem.Request, idem.At = req.ID, req.Asked
		c.Idempotency = idem
	}
	for _, g := range grants {
		c.Records = append(c.Records, b.requestRecord(audit.Requested, req, g.Door, d, g.ID, g.Deadline.Wall))
	}
	defer b.Enforcer.Prepare(grants)()
	return b.Save(ctx, c)
}

// deny records a no and returns it as an error.
func (b *Broker) deny(ctx context.Context, rules store.Rules, req access.Request, d access.Decision) error {
	c := store.Change{Expect: rules.Version, Requests: []store.Request{{Request: req, Decision: d}}}
	for _, door := range req.Doors {
		c.Records = append(c.Records, b.requestRecord(audit.Denied, req, door, d, "", time.Time{}))
	}
	if err := b.Save(ctx, c); err != nil {
		return err
	}
	return errkind.New(errkind.Denied, "%s may not open %s: %s", req.Principal, desk.DoorList(req.Doors), desk.Reasons(d.Not))
}

func (b *Broker) requestRecord(kind audit.Kind, req access.Request, door firewall.Door, d access.Decision, grant string, deadline time.Time) audit.Record {
	rec := b.Record(kind, Caller{Identity: access.Identity{Principal: req.Principal}, Addr: req.Caller})
	rec.Request, rec.Grant, rec.Door = req.ID, grant, door
	rec.Sources, rec.Reason = req.Sources, req.Reason
	rec.By, rec.Not, rec.Deadline = d.By, d.Not, deadline
	return rec
}

// settle waits until the firewalls show the grants, or SettleTime has passed.
func (b *Broker) settle(ctx context.Context, grants []access.Grant) []Standing {
	ctx, cancel := context.WithTimeout(ctx, SettleTime)
	defer cancel()
	seen, err := b.Enforcer.Settle(ctx, grants)
	if err != nil {
		b.Log.LogAttrs(ctx, slog.LevelWarn, "grants not settled yet", slog.Any("error", err))
	}
	now := b.Clocks()
	out := make([]Standing, len(grants))
	for i, g := range grants {
		s, ok := seen[g.ID]
		if !ok {
			// An earlier pass may have settled it; then the book knows.
			if saved, err := b.Ledger.Grant(ctx, g.ID); err == nil && saved.Epoch >= g.Epoch {
				g = saved
			}
		}
		switch {
		case ok && g.Over(now) && !s.Open:
			g.Closed = s.At
		case ok && g.Live(now) && s.Open && g.Opened.IsZero():
			g.Opened = s.At
		case ok && g.Live(now) && !s.Open:
			g.Impeded = s.Why
		}
		out[i] = Standing{Grant: g, State: g.StateAt(now), Pending: g.Impeded}
		// What was open before may not be so for as long as it is to be now.
		unshown := ok && !s.Open || !ok && err != nil
		if g.Impeded == "" && (out[i].State == access.Opening || out[i].State == access.Open && unshown) {
			out[i].Pending = "the firewall does not show it yet; Sesame goes on trying"
			if out[i].State == access.Open {
				out[i].Pending = "the firewall does not show it until then yet; Sesame goes on trying"
			}
			if err != nil {
				out[i].Pending += ": " + err.Error()
			}
		}
	}
	return out
}

// idempotency ties the caller's key to what is asked.
func idempotency(caller Caller, ask Ask, req access.Request) store.Idempotency {
	h := sha256.New()
	fmt.Fprintf(h, "%v\n%v\n%d\n%d\n%q", req.Doors, req.Sources, ask.Duration, ask.Start.UnixMilli(), ask.Reason)
	i := store.Idempotency{Principal: caller.Principal, Key: ask.IdempotencyKey, Body: [32]byte{}, Request: "", At: time.Time{}}
	copy(i.Body[:], h.Sum(nil))
	return i
}

// unused fails with store.ErrRepeated when the idempotency key was used before.
func (b *Broker) unused(ctx context.Context, idem store.Idempotency) error {
	if idem.Key == "" {
		return nil
	}
	was, err := b.Ledger.Idempotency(ctx, idem.Principal, idem.Key)
	switch {
	case errkind.Of(err) == errkind.NotFound:
		return nil
	case err != nil:
		return fmt.Errorf("look up idempotency key: %w", err)
	case b.Clocks().Wall.Sub(was.At) > store.KeepIdempotency:
		return nil // the next one forgets it
	}
	return store.ErrRepeated
}

// repeated answers an ask whose idempotency key was used before with what was
// answered then.
func (b *Broker) repeated(ctx context.Context, idem store.Idempotency) (Answer, error) {
	was, err := b.Ledger.Idempotency(ctx, idem.Principal, idem.Key)
	if err != nil {
		return Answer{}, fmt.Errorf("look up idempotency key: %w", err)
	}
	if was.Body != idem.Body {
		return Answer{}, errkind.New(errkind.Conflict,
			"the idempotency key %s was used for another request (%s, body %s); choose a new key", errkind.Quote(idem.Key), was.Request, hex.EncodeToString(was.Body[:4]))
	}
	return b.answer(ctx, was.Request)
}
