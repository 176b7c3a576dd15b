package rp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// A moment is what a resource was before a change.
type moment struct {
	changed time.Time
	before  *world.Resource // nil: it was not there
}

// spoil ends o as the fault wants it, and reports whether it did.
func (s *Providers) spoil(f *fault.Fault, o *Operation, r *world.Resource) bool {
	failed := world.Refuse(http.StatusOK, "InternalServerError", "An error occurred.")
	deletes := o.gone || o.drop != ""
	switch f.Kind {
	case fault.Lie:
		if r != nil && deletes {
			s.World.Settle(r, "Succeeded")
		}
	case fault.Late:
		if r != nil && deletes {
			s.World.Settle(r, "Succeeded")
		}
		s.late = append(s.late, lateWrite{at: o.ends.Add(f.Delay), call: o.call})
	case fault.Supersede:
		o.Status, o.Problem = "Canceled", superseded(o.Name, o.ID, o.Name, operationID(s.config.Seed, 0))
		s.revert(o, r, "Succeeded")
	case fault.Fail:
		o.Status, o.Problem = "Failed", failed
		if r != nil {
			live := r.Live
			s.World.Settle(r, "Failed")
			r.Live = live
		}
	case fault.FailApplied:
		_ = s.apply(o.call)
		o.Status, o.Problem = "Failed", failed
		if r = s.World.Get(o.Target); r != nil {
			s.World.Settle(r, "Failed")
		}
	case fault.Partial:
		o.Status, o.Problem = "Failed", failed
		if r != nil && !deletes {
			s.World.Settle(s.World.Store(r.ID, r.Kind, half(r.Kind, o.before, r.Text), "Failed"), "Failed")
		} else if r != nil {
			s.World.Settle(r, "Failed")
		}
	case fault.Refuse, fault.Lost, fault.Unanswered, fault.Disowned, fault.Slow, fault.Stale, fault.Meddle:
		return false
	}
	return true
}

// revert shows again what was shown before o.
func (s *Providers) revert(o *Operation, r *world.Resource, state string) {
	switch {
	case r == nil:
	case o.before == nil:
		s.World.Remove(r)
	default:
		live := r.Live
		s.World.Settle(s.World.Store(r.ID, r.Kind, o.before, state), state)
		r.Live = live
	}
}

// half returns before with the first half of what differs in after.
func half(k world.Kind, before, after rawjson.Object) rawjson.Object {
	out := append(rawjson.Object{}, before...)
	for _, property := range k.Embedded {
		was, is := before.Object("properties").List(property), after.Object("properties").List(property)
		differs := func(list []json.RawMessage) func(json.RawMessage) bool {
			return func(x json.RawMessage) bool {
				return !slices.ContainsFunc(list, func(y json.RawMessage) bool { return bytes.Equal(x, y) })
			}
		}
		added := slices.DeleteFunc(slices.Clone(is), func(x json.RawMessage) bool { return !differs(was)(x) })
		removed := slices.DeleteFunc(slices.Clone(was), func(x json.RawMessage) bool { return !differs(is)(x) })
		if len(added)+len(removed) == 0 {
			continue
		}
		gone := removed[:len(removed)/2]
		list := slices.DeleteFunc(slices.Clone(was), func(x json.RawMessage) bool { return !differs(gone)(x) })
		out = out.With(property, rawjson.Array(append(list, added[:len(added)/2]...)))
	}
	return out
}

// keep remembers what r is before it changes, for readers that see the past.
func (s *Providers) keep(now time.Time, id world.ID) {
	if !s.Faults.Has(fault.Stale) {
		return
	}
	var before *world.Resource
	if r := s.World.Get(id); r != nil {
		was := *r
		before = &was
	}
	s.past[id.Key()] = append(s.past[id.Key()], moment{changed: now, before: before})
}

// Seen returns r, which has this id, as the caller of c sees it.
func (s *Providers) Seen(c *Call, id world.ID, r *world.Resource) *world.Resource {
	if c.Fault == nil || c.Fault.Kind != fault.Stale {
		return r
	}
	for _, m := range s.past[id.Key()] {
		if m.changed.After(c.Now.Add(-c.Fault.Delay)) {
			return m.before
		}
	}
	return r
}
