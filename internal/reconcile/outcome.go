package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach/proof"
	"github.com/sesame-access/sesame/internal/store"
)

// record says how every grant of the pass stands now that the firewall was read
// back, and hands what changed to the recorder. Whoever waits for a grant is
// answered from here; the outcome's own record may follow in the next commit.
func (p *pass) record(ctx context.Context) {
	at := p.clocks(p.back)
	if p.keys == nil {
		p.loop.Sight.Read(p.fw.ID, p.back, at)
	}
	p.grants = make(map[string]Seen, len(p.book.Grants))
	if p.bookErr != nil {
		return
	}
	r := reading{pass: p, at: at, shown: plan.Index(p.back.Shown())}
	r.wanted = plan.Index(plan.Desired(p.book.Locks, p.book.Grants, at))
	var c store.Change
	for _, g := range p.book.Grants {
		// What this firewall shows proves nothing about other machines' doors.
		if fws := inventory.Of(p.fw.VMs, g.Door.VM).Firewalls(); len(fws) > 0 {
			r.grant(g, fws, &c)
		}
	}
	p.recordDoors(ctx, at, &c)
	if len(c.Records)+len(c.Outcomes) > 0 {
		p.loop.Recorder.Put(c)
	}
}

// reading is what a read-back tells about grants.
type reading struct {
	pass   *pass
	at     access.Reading
	shown  map[firewall.Key]firewall.Opening // on this firewall
	wanted map[firewall.Key]firewall.Opening // by the book, as a client sees it
}

// grant adds what is new about g to c.
func (r reading) grant(g access.Grant, fws []firewall.ID, c *store.Change) {
	switch {
	case g.Live(r.at):
		open := r.open(g, fws)
		seen := Seen{Open: open, At: r.at.Wall, Why: ""}
		if !open {
			seen.Why = r.impediment(g)
		}
		r.pass.grants[g.ID] = seen
		r.live(g, seen, c)
	case g.Over(r.at):
		closed := r.closed(g, fws)
		r.pass.grants[g.ID] = Seen{Open: !closed, At: r.at.Wall, Why: ""}
		r.over(g, fws, closed, c)
	}
}

// live notes that a grant was read back open, or what keeps it from being.
func (r reading) live(g access.Grant, seen Seen, c *store.Change) {
	o := store.Outcome{Grant: g.ID, Epoch: g.Epoch}
	rec := r.record(g, audit.Opened)
	switch {
	case seen.Open && (g.Opened.IsZero() || g.Impeded != ""):
		o.Opened = seen.At
		if g.Opened.IsZero() {
			rec.Measures = []audit.Measure{
				{Name: "asked to open", Took: r.at.Wall.Sub(g.Created)},
				{Name: "start to open", Took: r.at.Wall.Sub(g.Start)},
			}
		}
		if g.Impeded != "" {
			rec.Text = "it was kept closed: " + g.Impeded
		}
		if v, layers, ok := r.pass.around(g.Door.VM); ok {
			if layer := proof.Opening(v, layers, g.Door, g.Sources); layer != "" {
				rec.Text = strings.TrimPrefix(rec.Text+"; "+proof.Unverified+layer, "; ")
			}
		}
	case !seen.Open && seen.Why != g.Impeded && seen.Why != "":
		o.Impeded = seen.Why
		rec.Kind, rec.Text = audit.Impeded, seen.Why
	default:
		return
	}
	o.Records = []audit.Record{rec}
	c.Outcomes = append(c.Outcomes, o)
}

// over notes that a grant was read back closed, or that it is overdue.
func (r reading) over(g access.Grant, fws []firewall.ID, closed bool, c *store.Change) {
	late := max(r.at.Wall.Sub(g.End()), 0)
	switch {
	case closed && r.pass.loop.Endings.Has(g.ID):
		// Its end comes first, as soon as the book takes it.
	case closed:
		o := store.Outcome{Grant: g.ID, Epoch: g.Epoch, Closed: r.at.Wall}
		if g.Ended.At.IsZero() {
			left, by := g.Deadline.Left(r.at)
			rec := r.record(g, audit.Expired)
			rec.Text = fmt.Sprintf("the %s clock is past the deadline by %s", by, -left)
			o.Records = append(o.Records, rec)
		}
		rec := r.record(g, audit.Closed)
		rec.Measures = []audit.Measure{{Name: audit.EndToClosed, Took: late}}
		switch {
		case g.End().Before(g.Start):
			rec.Measures[0].Name = audit.EndBeforeItBegan
		case r.closedItself(g, fws) && late > grace:
			rec.Measures[0].Name = audit.EndToSeenClosed
			rec.Text = "the firewall ends openings by itself; it was gone when it was looked at again"
		}
		rec.Level = audit.RuleGone
		o.Records = append(o.Records, rec)
		c.Outcomes = append(c.Outcomes, o)
		delete(r.pass.loop.news.Overdue, g.ID)
	default:
		r.overdue(g, c)
	}
}

// overdue notes, once, that g should have been read back closed by now.
func (r reading) overdue(g access.Grant, c *store.Change) {
	if known := r.pass.loop.news.Overdue; g.StateAt(r.at) == access.Overdue && !known[g.ID] {
		rec := r.record(g, audit.OverdueClosing)
		rec.Text = "not read back closed yet; trying goes on"
		c.Records = append(c.Records, rec)
		known[g.ID] = true
	}
}

// recordOverdue is for a pass that could not even read back: then nothing else
// says that the grants it was to close are still open.
func (p *pass) recordOverdue() {
	r := reading{pass: p, at: p.now, shown: nil, wanted: nil}
	var c store.Change
	for _, g := range p.book.Grants {
		if len(inventory.Of(p.fw.VMs, g.Door.VM).Firewalls()) > 0 {
			r.overdue(g, &c)
		}
	}
	if len(c.Records) > 0 {
		p.loop.Recorder.Put(c)
	}
}

// closedItself reports whether g ended by its deadline, on firewalls that close by
// themselves, without a write of this pass: then the time until somebody looked
// again says nothing about when the door was shut.
func (r reading) closedItself(g access.Grant, fws []firewall.ID) bool {
	if !g.Ended.At.IsZero() || len(r.pass.plan.About(g)) > 0 {
		return false
	}
	return !slices.ContainsFunc(fws, func(id firewall.ID) bool {
		fw, known := r.pass.loop.Lookup(id)
		return !known || !fw.Provider.Limits(id).Closes
	})
}

// open reports whether every source of g is shown on every firewall on its way,
// for as long as the grant has left.
func (r reading) open(g access.Grant, fws []firewall.ID) bool {
	left, _ := g.Deadline.Left(r.at)
	if r.pass.obstructed(g.Door) != "" {
		return false
	}
	for _, fw := range fws {
		shown, _, _ := r.on(fw)
		for _, key := range plan.Keys(fw, r.pass.fw.VMs, g) {
			o, ok := shown[key]
			if !ok || !(o.Exempt() || o.Until.Sub(r.at.Wall) >= left-grace) {
				return false
			}
		}
	}
	return true
}

// grace is how much earlier than asked an opening may end and still count as
// what the grant wants: firewalls keep time in coarser units than we do.
const grace = 2 * time.Second

// closed reports whether no firewall shows anything for g any more that nothing
// else wants. Each must have been read since g was over: before that, its loop
// might have opened it after it was read.
func (r reading) closed(g access.Grant, fws []firewall.ID) bool {
	for _, fw := range fws {
		shown, at, read := r.on(fw)
		if !read || !g.Over(at) {
			return false
		}
		for i, key := range plan.Keys(fw, r.pass.fw.VMs, g) {
			if _, there := shown[key]; !there {
				continue
			}
			from := key.From
			if i < len(g.Sources) {
				from = g.Sources[i]
			}
			if _, wanted := r.wanted[firewall.Key{Door: g.Door, From: from}]; !wanted {
				return false
			}
		}
	}
	return true
}

// on returns what a firewall shows, and when it was read: this one as just read
// back, another as it was read last, if it was.
func (r reading) on(fw firewall.ID) (map[firewall.Key]firewall.Opening, access.Reading, bool) {
	if fw == r.pass.fw.ID {
		return r.shown, r.at, true
	}
	return r.pass.loop.Sight.Shown(fw)
}

// impediment says why a live grant is not open.
func (r reading) impediment(g access.Grant) string {
	for _, x := range r.pass.refused {
		if x.Door == g.Door && !x.Spare && (!x.From.IsValid() || slices.Contains(g.Sources, x.From)) {
			return x.Why
		}
	}
	if text := r.pass.obstructed(g.Door); text != "" {
		return text
	}
	if v := inventory.Of(r.pass.fw.VMs, g.Door.VM); len(v.Missing) > 0 {
		return "not everything about the VM is known: " + v.Missing[0]
	}
	return ""
}

// record starts a record about g.
func (r reading) record(g access.Grant, kind audit.Kind) audit.Record {
	return audit.Record{
		Kind: kind, Time: firewall.Instant(r.at.Wall), Actor: access.System(),
		Request: g.Request, Grant: g.ID, Door: g.Door, Firewall: r.pass.fw.ID,
		Sources: g.Sources, Deadline: g.Deadline.Wall, Clocks: r.at,
		Plan: r.pass.plan.About(g),
	}
}
