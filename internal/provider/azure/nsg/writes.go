package nsg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// A Write is one call to Azure. Several are made one after the other, each when
// the one before has come to its end.
type Write struct {
	Method string // PUT or DELETE
	// Path is behind the group's id: empty for the group as a whole.
	Path    string
	IfMatch string // the version that must still stand; empty for any
	Body    string
	// Changes are those of the plan that the call makes.
	Changes []plan.Change
}

// A Way says how a group is written.
type Way struct {
	// Conditional says that a stale If-Match was seen to be refused: only then
	// may a group be written as a whole.
	Conditional bool
	Course
}

// A Course is what became of the last writes to a group. It decides whether the
// next are sent as one. The zero value is that of a group without trouble.
type Course struct {
	conflicts int  // in a row
	refused   bool // the last write that was not a conflict
}

// mostConflicts is how many conflicts in a row make us write rule by rule, which
// needs no condition: somebody else writes all the time.
const mostConflicts = 2

// After returns the course after a write that ended with err.
func (c Course) After(err error) Course {
	switch {
	case err == nil:
		return Course{}
	case errors.Is(err, provider.ErrConflict):
		return Course{conflicts: c.conflicts + 1, refused: c.refused}
	case errors.Is(err, provider.ErrRefused):
		return Course{conflicts: 0, refused: true}
	}
	return c
}

// Writes returns the calls that make changes, which are of a plan that [Compile]
// made from s. One rule is written alone. Several are one write of the document
// as it was read, changed in our rules only, where that can be conditional; they
// are rule by rule where it cannot, after conflicts in a row, and for closings
// after a refusal: what was refused about the document must not hold a close. (To
// find out which opening is refused is the caller's business, who has halves of
// the plan compiled anew.)
//
// An opening whose deadline has passed at now, the latest of the clocks, is not
// written; what would have been shortened to that goes instead.
//
// The error is ErrConflict while another write is under way, unless there are only
// closings; and ErrRefused for a document that Azure would refuse.
func Writes(s provider.Snapshot, changes []plan.Change, how Way, now time.Time) ([]Write, error) {
	r, ok := s.Raw.(Reading)
	if !ok || r.Group == nil {
		return nil, errkind.New(errkind.Invalid, "the snapshot of %s is none of a network security group", s.Firewall)
	}
	due, edits, err := dueOf(changes, now)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	closings := !slices.ContainsFunc(due, func(c plan.Change) bool { return c.Op != plan.Close })
	if r.Group.Busy() && !closings {
		return nil, fmt.Errorf("another write to %s is under way: %w", groupName(r.Group), provider.ErrConflict)
	}
	if err := r.check(edits); err != nil {
		return nil, fmt.Errorf("write %s: %w: %w", groupName(r.Group), err, provider.ErrRefused)
	}
	// A document that is not of the version to be replaced would undo what others
	// did since.
	whole := how.Conditional && r.Group.ETag != "" && s.Version == r.Group.ETag && !r.Group.Busy() && how.conflicts < mostConflicts && (!how.refused || !closings)
	if !whole || len(names(edits)) == 1 {
		return children(due, edits), nil
	}
	text, err := r.Group.Edit(dialect.Prefix(r.Keys.Instance), edits...)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", groupName(r.Group), err)
	}
	return []Write{{Method: "PUT", Path: "", IfMatch: r.Group.ETag, Body: text, Changes: due}}, nil
}

// Whole returns the write that puts the group of s in place with changes, where there
// is none to be looked at first. Refused is as in [Writes].
func Whole(s provider.Snapshot, changes []plan.Change, now time.Time) (Write, error) {
	r, _ := s.Raw.(Reading)
	due, edits, err := dueOf(changes, now)
	if err != nil {
		return Write{}, err
	}
	if err := r.check(edits); err != nil {
		return Write{}, fmt.Errorf("%w: %w", err, provider.ErrRefused)
	}
	text, err := r.Group.Edit(dialect.Prefix(r.Keys.Instance), edits...)
	return Write{Method: "PUT", Path: "", IfMatch: "", Body: text, Changes: due}, err
}

// dueOf returns the changes that are still right at now, and their edits.
func dueOf(changes []plan.Change, now time.Time) (due []plan.Change, edits []resource.Edit, err error) {
	for _, c := range changes {
		e, err := resource.Decode(c.Native)
		if err != nil {
			return nil, nil, err
		}
		if until := c.Opening.Until; !e.Deletes() && !until.IsZero() && !until.After(now) {
			if c.Op != plan.Close {
				continue
			}
			e = resource.Delete(e.Name)
			c.Native = e.Encode()
		}
		due, edits = append(due, c), append(edits, e)
	}
	return due, edits, nil
}

// At returns w as it is right at now, the latest of the clocks, and whether it may
// still be made: time passes while the writes before it are. A group as a whole may
// not once an opening in it is over.
func (w Write) At(now time.Time) (Write, bool) {
	due, edits, err := dueOf(w.Changes, now)
	if err != nil || len(due) == 0 {
		return Write{}, false
	}
	if w.Path != "" {
		return children(due, edits)[0], true
	}
	return w, slices.Equal(due, w.Changes)
}

func names(edits []resource.Edit) map[string]bool {
	out := map[string]bool{}
	for _, e := range edits {
		out[strings.ToLower(e.Name)] = true
	}
	return out
}

// children writes rule by rule.
func children(due []plan.Change, edits []resource.Edit) []Write {
	out := make([]Write, 0, len(due))
	for i, e := range edits {
		w := Write{Method: "PUT", Path: "/securityRules/" + e.Name, IfMatch: "", Body: string(e.Put), Changes: due[i : i+1]}
		if e.Deletes() {
			w.Method, w.Body = "DELETE", ""
		}
		out = append(out, w)
	}
	return out
}

// check makes the edits one by one and says what Azure would refuse: one bad rule
// in a document refuses all of it.
func (r Reading) check(edits []resource.Edit) error {
	held := map[string]resource.Rule{}
	numbers := map[int]string{}
	for _, x := range r.Group.Rules {
		held[strings.ToLower(x.Name)] = x
		if x.Direction == resource.Inbound {
			numbers[x.Priority] = strings.ToLower(x.Name)
		}
	}
	for _, e := range edits {
		name := strings.ToLower(e.Name)
		if before, ok := held[name]; ok && numbers[before.Priority] == name {
			delete(numbers, before.Priority)
		}
		if delete(held, name); e.Deletes() {
			continue
		}
		x := e.Rule()
		held[name] = x
		switch by := numbers[x.Priority]; {
		case x.Opaque != "" || !x.Is(name):
			return fmt.Errorf("%s is written in a way that is not understood: %s", name, x.Opaque)
		case by != "":
			return fmt.Errorf("%s and %s would both have the priority %d", name, by, x.Priority)
		case x.Priority < minPriority || x.Priority > maxPriority:
			return fmt.Errorf("%s would have the priority %d", name, x.Priority)
		case len(name) > dialect.MostName || len(x.Description) > dialect.MostDescription:
			return fmt.Errorf("%s has a name of %d characters and a description of %d", name, len(name), len(x.Description))
		case !oneFamily(x):
			return fmt.Errorf("%s would mix IPv4 and IPv6", name)
		case len(held) > mostRules:
			return fmt.Errorf("there would be %d rules", len(held))
		}
		numbers[x.Priority] = name
	}
	return nil
}

func oneFamily(x resource.Rule) bool {
	var v4, v6 bool
	for _, p := range slices.Concat(x.Source.Prefixes, x.Destination.Prefixes) {
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
	}
	return !v4 || !v6
}

// Strange returns the foreign rules that are not what they were before a write.
// They are reported with both versions and never written: whoever changed them
// is not us, or Azure.
func Strange(before, after *resource.Group, keys firewall.Keyring) []resource.Difference {
	return resource.Compare(before, after, dialect.Prefix(keys.Instance))
}
