package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
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
	// Also are further VMs: all of them are granted, or none.
	Also []Target
	// Sources are who is to get in; none means the caller's own address.
	Sources []netip.Prefix
	// Duration is how long; 0 takes the longest that the policy allows.
	Duration time.Duration
	// Until is when access ends, instead of a Duration; zero for none.
	Until time.Time
	// Start is when; zero means now.
	Start  time.Time
	Reason string
	// Ticket is where else this is written down.
	Ticket string
	// Glass asks for access in an emergency, without waiting for anybody.
	Glass bool
	// Supersede ends what the caller has asked for before at the same doors from the
	// same sources. Otherwise both last as long as they last.
	Supersede bool
	// IdempotencyKey makes repeating the same ask harmless; empty for none.
	IdempotencyKey string
}

// A Target is ports of one more VM.
type Target struct {
	VM    string // an id or an unambiguous name
	Ports []Port // at least one
}

// A Port names one port of a VM.
type Port struct {
	Number   uint16
	Protocol firewall.Protocol
}

// An Answer is what came of an ask.
type Answer struct {
	approval.Case
	// State is how the request stands.
	State  approval.State
	Grants []Standing // none while others have to agree
}

// A Standing is a grant and how it stands on the firewalls.
type Standing struct {
	access.Grant
	State access.State
	// Pending says why a grant that should be open is not yet, or not for as long
	// as it was extended; empty otherwise.
	Pending string
}

// Request asks for access. A yes is an Answer whose grants were read back open, or
// say why they are not yet, or that waits for others to agree; a no is an error of
// kind Denied that carries every reason.
func (b *Broker) Request(ctx context.Context, caller Caller, ask Ask) (Answer, error) {
	vms, err := b.targets(ask)
	if err != nil {
		return Answer{}, err
	}
	req, err := b.build(caller, vms, ask)
	if err != nil {
		return Answer{}, err
	}
	if caller.Code != "" && !ask.Glass {
		return Answer{}, errkind.New(errkind.Denied, "this code is good for an emergency and for nothing else; ask with --break-glass")
	}
	j := job{caller: caller, ask: ask, idem: idempotency(caller, ask, req)}
	err = b.Decide(ctx, func(rules store.Rules) error {
		now := b.Clocks()
		j.rules, j.now, j.request = rules, now, lasting(rules.Policies, ask, req, now)
		in, err := b.Situation(ctx, rules, caller.Principal, now)
		if err != nil {
			return err
		}
		j.outcome = rules.Engine.Decide(caller.Identity, j.request, in)
		unready := b.unready(j.request, vms, now)
		if !j.outcome.Allow || unready != nil {
			// What was answered once is answered so again, whatever holds now.
			if err := b.unused(ctx, j.idem); err != nil {
				return err
			}
		}
		if !j.outcome.Allow {
			return b.deny(ctx, rules, j.request, j.outcome.Decision)
		}
		if unready != nil {
			return unready
		}
		return b.grantOrWait(ctx, &j)
	})
	if errors.Is(err, store.ErrRepeated) {
		// Of two emergencies at once one is the first, and the other is told so.
		if j.request.Glass && b.unused(ctx, j.idem) == nil {
			return Answer{}, cmp.Or(b.mayBreak(ctx, &j), err)
		}
		return b.repeated(ctx, j.idem)
	}
	if err != nil {
		return Answer{}, err
	}
	return b.answered(ctx, approval.Case{Request: j.request, Decision: j.outcome.Decision, Terms: j.terms}, j.grants), nil
}

// A job is one request on its way to what is saved of it.
type job struct {
	caller  Caller
	ask     Ask
	idem    store.Idempotency
	rules   store.Rules
	now     access.Reading
	request access.Request
	outcome authz.Answer
	terms   approval.Terms
	grants  []access.Grant
}

// grantOrWait saves what an allowed request comes to.
func (b *Broker) grantOrWait(ctx context.Context, j *job) error {
	j.terms = approval.Terms{}
	if j.outcome.NeedsApproval {
		j.terms = approval.TermsOf(j.request, granting(j.rules.Policies, j.outcome), j.now)
	}
	if err := b.mayAsk(ctx, j); err != nil {
		return cmp.Or(b.unused(ctx, j.idem), err)
	}
	c := store.Change{
		Expect:   j.rules.Version,
		Requests: []store.Request{{Request: j.request, Decision: j.outcome.Decision, Terms: j.terms}},
	}
	if j.caller.Code != "" {
		c.RevokeTokens = []store.Revocation{{ID: j.caller.Code, At: firewall.Instant(j.now.Wall)}}
	}
	if j.idem.Key != "" {
		c.Idempotency = j.idem
		c.Idempotency.Request, c.Idempotency.At = j.request.ID, j.request.Asked
	}
	if err := b.supersede(ctx, &c, j); err != nil {
		return err
	}
	if j.terms.Waits() {
		for _, d := range j.request.Doors {
			rec := b.requestRecord(audit.Waiting, j.request, d, j.outcome.Decision, "", j.terms.Lapses.Wall)
			rec.Text = approval.Case{Request: j.request, Decision: j.outcome.Decision, Terms: j.terms}.Why(j.now)
			c.Records = append(c.Records, rec)
		}
		return b.Save(ctx, c)
	}
	j.grants = b.grants(j.request, j.outcome, j.now)
	return b.saveGrants(ctx, c, j.request, j.outcome.Decision, j.grants)
}

// granting returns the policies that allow the doors of a request, sorted by name.
func granting(policies []policy.Policy, outcome authz.Answer) []policy.Policy {
	var out []policy.Policy
	for _, p := range policies { // sorted
		if slices.ContainsFunc(outcome.Doors, func(d authz.DoorDecision) bool { return d.Policy == p.Name }) {
			out = append(out, p)
		}
	}
	return out
}

// lasting returns req with how long it lasts: until a time, for a time, or for the
// longest that the policies allow.
func lasting(policies []policy.Policy, ask Ask, req access.Request, now access.Reading) access.Request {
	if ask.Until.IsZero() {
		req.Duration = cmp.Or(ask.Duration, longest(policies, req))
		return req
	}
	start := req.Start
	if start.Before(now.Wall) {
		start = firewall.Instant(now.Wall)
	}
	req.Duration = req.Until.Sub(start)
	return req
}

// targets returns the VMs that ask names, each once, in the order of the ask.
func (b *Broker) targets(ask Ask) ([]inventory.VM, error) {
	known := b.Enforcer.VMs()
	var out []inventory.VM
	for _, t := range slices.Concat([]Target{{VM: ask.VM, Ports: ask.Ports}}, ask.Also) {
		vm, err := inventory.Find(known, t.VM)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(x inventory.VM) bool { return x.ID == vm.ID }) {
			return nil, errkind.Wrong("also", vm.Name, "a list that names each VM once", "%s is named twice; name each VM once, with all its ports", vm.Name)
		}
		out = append(out, vm)
	}
	return out, nil
}

// build makes the request of an ask, in canonical form.
func (b *Broker) build(caller Caller, vms []inventory.VM, ask Ask) (access.Request, error) {
	now := b.Clocks().Wall
	req := access.Request{
		ID: b.NewID(access.RequestPrefix), Principal: caller.Principal, Doors: nil,
		Sources: slices.Clone(ask.Sources), Caller: caller.Addr, Start: ask.Start, Until: ask.Until,
		Duration: ask.Duration, Reason: ask.Reason, Ticket: ask.Ticket, Glass: ask.Glass, Asked: firewall.Instant(now),
	}
	switch {
	case len(ask.Sources) > access.MaxSources:
		return req, tooMany("sources", len(ask.Sources), access.MaxSources)
	case !ask.Start.IsZero() && ask.Start.Before(now.Add(-access.MaxSkew)):
		return req, errkind.Bad("start", ask.Start.Format(time.RFC3339), "in the future; leave it out to start now")
	case !ask.Start.IsZero() && ask.Glass:
		return req, errkind.Bad("start", ask.Start.Format(time.RFC3339), "left out: an emergency is now")
	case !ask.Until.IsZero() && ask.Duration != 0:
		return req, errkind.Bad("until", ask.Until.Format(time.RFC3339), "left out where a duration is given")
	}
	var err error
	if req.Doors, err = doors(vms, slices.Concat([]Target{{VM: ask.VM, Ports: ask.Ports}}, ask.Also)); err != nil {
		return req, err
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

// doors returns the doors that the targets name of the VMs.
func doors(vms []inventory.VM, targets []Target) ([]firewall.Door, error) {
	var out []firewall.Door
	for i, t := range targets {
		if len(t.Ports) == 0 {
			return nil, errkind.Wrong("ports", "", "a list of at least one port", "none is named; name at least one")
		}
		for _, p := range t.Ports {
			out = append(out, firewall.Door{VM: vms[i].ID, Protocol: p.Protocol, Port: p.Number})
		}
	}
	if len(out) > access.MaxDoors {
		return nil, tooMany("ports", len(out), access.MaxDoors)
	}
	slices.SortFunc(out, firewall.CompareDoors)
	for i, d := range out[1:] {
		if d == out[i] {
			port := fmt.Sprintf("%d/%s", d.Port, d.Protocol)
			return nil, errkind.Wrong("ports", port, "a list that names each port once", "%s is named twice; name each port once", port)
		}
	}
	return out, nil
}

func tooMany(field string, n, most int) error {
	want := fmt.Sprintf("a list of at most %d", most)
	return errkind.Wrong(field, strconv.Itoa(n), want, "it has %d entries, and may have %d at most", n, most)
}

// unready fails when nothing can be opened for req right now, on one of its VMs. An
// emergency does not wait for clocks that agree.
func (b *Broker) unready(req access.Request, vms []inventory.VM, now access.Reading) error {
	if !req.Glass {
		if err := b.skew.Check(now); err != nil {
			return err
		}
	}
	for _, vm := range vms {
		if len(vm.Missing) > 0 {
			return errkind.New(errkind.Unavailable, "not everything about %s is known, so nothing is opened there: %s", vm.Name, vm.Missing[0])
		}
		here := slices.DeleteFunc(slices.Clone(req.Doors), func(d firewall.Door) bool { return d.VM != vm.ID })
		if err := vm.Stranded(here, req.Sources); err != nil {
			return err
		}
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
	end := start.Add(req.Duration)
	if !req.Until.IsZero() {
		end = req.Until
	}
	deadline := access.DeadlineAt(end, now)
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
func longest(policies []policy.Policy, req access.Request) time.Duration {
	var most time.Duration
	for i, d := range req.Doors {
		var here time.Duration
		for _, p := range policies {
			if port, ok := p.PortOf(d); ok {
				here = max(here, p.Longest(port, req))
			}
		}
		if i == 0 || here < most {
			most = here
		}
	}
	return most
}

// saveGrants adds grants and the record of the decision to c and saves it: the
// intent to open. Nothing is opened before it is on the disk; how to is thought out
// while it gets there.
func (b *Broker) saveGrants(ctx context.Context, c store.Change, req access.Request, d access.Decision, grants []access.Grant) error {
	c.Grants = grants
	kind := audit.Requested
	if req.Glass {
		kind = audit.GlassBroken
	}
	for _, g := range grants {
		c.Records = append(c.Records, b.requestRecord(kind, req, g.Door, d, g.ID, g.Deadline.Wall))
	}
	defer b.Enforcer.Prepare(grants)()
	err := b.Save(ctx, c)
	if err == nil && req.Glass {
		b.Log.LogAttrs(ctx, slog.LevelWarn, "break-glass: access without approval", slog.String("request", req.ID),
			slog.String("principal", req.Principal.Name()), slog.String("doors", desk.DoorList(req.Doors)), slog.String("reason", req.Reason))
	}
	return err
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
