// Package adoption decides what becomes of an opening that carries our mark and
// that the book knows no grant of.
//
// Where the book was never anything but whole, such an opening is nobody's and is
// closed: its grant was never saved, or somebody put an old rule back. Where the
// book provably lost what it knew, it is somebody's who was let in by the rules,
// and whom the loss should not cut off in the middle of their work. So it is
// adopted: a grant of Sesame's own takes note of it, which nobody can extend, and
// which ends like every other.
//
// # What proves a loss
//
// Only what lies outside of the database can tell what the database has
// forgotten: the last signed checkpoint of the audit log, which covers records
// that the log does not hold, and the keys of the marks, which are made for a new
// database and are older than this one. Nothing in the database proves anything,
// and a missing checkpoint proves nothing.
//
// # Bounds
//
// An opening is adopted within a Window of the moment at which the loss was first
// noticed, and lives for a Window at most, and never beyond the deadline in its
// own mark. An old rule that is put back while a loss is proven is open for so
// long, and only to whom it was open before: its mark is made for one place, one
// source and one deadline. A mark that does not verify, or that is another
// installation's, is never adopted; nor is a grant that the book does know, and
// knows to be closed.
package adoption

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Window is how long after a loss was noticed openings are adopted, and how long
// an adopted opening lives at most.
const Window = 15 * time.Minute

// Evidence is what is known of a database from outside of it, when it is opened.
type Evidence struct {
	// Signed is the last checkpoint that was signed of the audit log; of size 0
	// where there is none.
	Signed audit.Checkpoint
	// Records is how many records the log holds now.
	Records int64
	// Forked says of a log that is no shorter than Signed that it does not begin
	// with what was signed.
	Forked bool
	// Keys says that the keys of the marks were there before the database.
	Keys bool
}

// Proof says in a sentence what proves that the database lost something; it is
// empty where nothing does. The same loss is always said in the same words.
func (e Evidence) Proof() string {
	switch {
	case e.Records < e.Signed.Size || e.Forked:
		return fmt.Sprintf("the audit log does not hold the %d records that were signed last", e.Signed.Size)
	case e.Records == 0 && e.Keys:
		return "the database is new, and the keys of the marks beside it are not"
	}
	return ""
}

// A Loss is one that was proven. The zero Loss is none.
type Loss struct {
	At  time.Time // when it was noticed first
	Why string    // its proof
}

// Fresh reports whether openings are still adopted. A wall clock that was set to
// before the loss was noticed says nothing, so none are.
func (l Loss) Fresh(now access.Reading) bool {
	since := now.Wall.Sub(l.At)
	return !l.At.IsZero() && since >= 0 && since < Window
}

// An Adopted is an opening that is to be adopted: the grant that takes note of
// it, the request that there would have been, and the record.
type Adopted struct {
	Request  access.Request
	Decision access.Decision
	Grant    access.Grant
	Record   audit.Record
}

// Of returns what is to be adopted of the openings that fw shows and the book
// knows no grant of, sorted by grant: one grant for each that a mark names, with
// all the sources that it has here, until the first of their deadlines.
func Of(l Loss, fw firewall.ID, strangers map[firewall.Key]firewall.Opening, now access.Reading) []Adopted {
	if !l.Fresh(now) {
		return nil
	}
	type life struct {
		door  firewall.Door
		grant string
	}
	found := map[life]*access.Grant{}
	for key, o := range strangers {
		for _, id := range o.Grants.IDs() {
			if o.Exempt() || !key.From.IsValid() {
				continue
			}
			at := life{key.Door, id}
			if found[at] == nil {
				found[at] = &access.Grant{ID: id, Door: key.Door, Deadline: access.Deadline{Wall: now.Wall.Add(Window)}}
			}
			g := found[at]
			g.Sources = append(g.Sources, key.From)
			if o.Until.Before(g.Deadline.Wall) {
				g.Deadline.Wall = o.Until
			}
		}
	}
	var out []Adopted
	taken := map[string]bool{}
	for _, at := range slices.SortedFunc(maps.Keys(found), func(a, b life) int {
		if c := strings.Compare(a.grant, b.grant); c != 0 {
			return c
		}
		return firewall.CompareDoors(a.door, b.door)
	}) {
		g := *found[at]
		g.Deadline = access.DeadlineAt(firewall.Instant(g.Deadline.Wall), now)
		if g.Deadline.Passed(now) || taken[g.ID] { // a grant has one door; which of two is not for us to say
			continue
		}
		taken[g.ID] = true
		out = append(out, adopted(l, fw, g, now))
	}
	return out
}

// adopted completes g and says everything about it.
func adopted(l Loss, fw firewall.ID, g access.Grant, now access.Reading) Adopted {
	at := firewall.Instant(now.Wall)
	slices.SortFunc(g.Sources, netip.Prefix.Compare)
	g.Sources = slices.Compact(g.Sources)
	g.Request = access.RequestPrefix + strings.TrimPrefix(g.ID, access.GrantPrefix)
	g.Principal, g.Start, g.Created = access.System(), at, at
	g.Reason = "adopted: it was open, and the book does not know for whom; " + l.Why
	d := access.Decision{Allow: true, By: []string{"its mark verifies, and the book has lost what it knew: " + l.Why}}
	return Adopted{
		Request: access.Request{
			ID: g.Request, Principal: g.Principal, Doors: []firewall.Door{g.Door}, Sources: g.Sources,
			Start: at, Duration: g.Deadline.Wall.Sub(at), Reason: g.Reason, Asked: at,
		},
		Decision: d, Grant: g,
		Record: audit.Record{
			Kind: audit.Adopted, Time: at, Actor: access.System(), Request: g.Request, Grant: g.ID, Door: g.Door, Firewall: fw,
			Sources: g.Sources, Reason: g.Reason, By: d.By, Deadline: g.Deadline.Wall, Clocks: now,
		},
	}
}

// Orphans returns the locks that adopted grants stand at and that the book lost
// with them, as the firewall shows them: nothing is taken from them, and nothing
// but the grants is added.
func Orphans(locks []access.Lock, grants []access.Grant, shown firewall.Wants, unlocked []firewall.Door) []access.Lock {
	var out []access.Lock
	for _, w := range shown {
		here := func(g access.Grant) bool { return g.Door == w.Door && g.Principal.Is(access.System()) }
		known := func(l access.Lock) bool { return l.Door == w.Door }
		if !w.Locked || slices.Contains(unlocked, w.Door) || slices.ContainsFunc(locks, known) || !slices.ContainsFunc(grants, here) {
			continue
		}
		l := access.Lock{Door: w.Door, Cut: w.Cut}
		for _, o := range w.Open {
			if o.Exempt() {
				l.Exempt = append(l.Exempt, o.From)
			}
		}
		out = append(out, l)
	}
	return out
}
