package rp

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Put writes a resource or a child.
func (s *Providers) Put(c *Call) Result {
	if !c.Known() {
		return refuse(UnknownType(c))
	}
	if strings.EqualFold(c.Kind.Type, "Microsoft.Resources/resourceGroups") {
		return s.putGroup(c)
	}
	if p := s.ready(c); p != nil {
		return refuse(p)
	}
	old := s.World.Get(c.Root())
	if p := s.precondition(c, old); p != nil {
		return refuse(p)
	}
	var text rawjson.Object
	var p *world.Problem
	created := old == nil
	if c.Property != "" {
		if old == nil {
			return refuse(s.Absent(c))
		}
		text, created, p = s.World.ReadChild(old, c.Property, c.ID, c.Body)
	} else {
		text, p = s.World.Read(c.ID, c.Kind, c.Body)
	}
	if p == nil {
		p = s.linked(c, text)
	}
	if p != nil {
		return refuse(p)
	}
	if old != nil && old.State == "Succeeded" && bytes.Equal(old.Text.Bytes(), text.Bytes()) {
		return s.written(c, http.StatusOK) // nothing to do
	}
	return s.begin(c, old, text, created)
}

// begin shows text and starts the operation that makes it live.
func (s *Providers) begin(c *Call, old *world.Resource, text rawjson.Object, created bool) Result {
	waits := s.busy(c)
	if waits != nil {
		if p := s.blocked(c, waits); p != nil {
			return refuse(p)
		}
	}
	var before rawjson.Object
	state := "Updating"
	if old != nil {
		before = old.Text
	} else if c.Machine() {
		state = "Creating"
	}
	s.keep(c.Now, c.Root())
	o := s.start(c, Operation{Name: operationName(c.Method, c.Type()), before: before})
	if waits != nil {
		s.supersede(waits, o)
	}
	if c.Fault.Hides() {
		answer := s.pretended(c, old, text).with(o)
		s.Settle(c.Now)
		return answer
	}
	if r := s.World.Store(c.Root(), c.Kind, text, state); r.Power == "" {
		r.Power = "running"
	}
	s.ground = nil
	s.Settle(c.Now)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return s.written(c, status).with(o)
}

// pretended answers a write that is not made.
func (s *Providers) pretended(c *Call, old *world.Resource, text rawjson.Object) Result {
	r := world.Resource{ID: c.Root(), Kind: c.Kind, Text: text, Live: nil, State: "Succeeded", Version: 0, Power: ""}
	if old != nil {
		r.Version = old.Version + 1
	}
	if c.Property == "" {
		return done(http.StatusOK, s.World.Render(&r))
	}
	shown, _ := s.World.Child(&r, c.ID)
	return done(http.StatusOK, shown)
}

// written answers a write with what is shown now.
func (s *Providers) written(c *Call, status int) Result {
	r := s.World.Get(c.Root())
	switch {
	case r == nil: // gone again already: a fault ended it
		return done(status, nil)
	case c.Property == "":
		return done(status, s.World.Render(r))
	}
	text, _ := s.World.Child(r, c.ID)
	return done(status, text)
}

// ready refuses what cannot be written now, whatever it says.
func (s *Providers) ready(c *Call) *world.Problem {
	if s.World.Get(c.ID.GroupID()) == nil {
		return world.Refuse(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.ID.Group)
	}
	if c.Property == "" && len(c.ID.Types) > 1 && s.World.Get(c.ID.Parent()) == nil {
		return world.Refuse(404, "ParentResourceNotFound",
			"Failed to perform '%s' on resource(s) of type '%s', because the parent resource '%s' could not be found.", strings.ToLower(c.Method), c.Kind.Type, c.ID.Parent())
	}
	return nil
}

// precondition judges If-Match and If-None-Match, where this simulator honours
// them. A child has the entity tag of its resource.
func (s *Providers) precondition(c *Call, old *world.Resource) *world.Problem {
	if s.config.IgnoreIfMatch && c.Property == "" || s.config.IgnoreIfMatchOnChildren && c.Property != "" {
		return nil
	}
	exists := old != nil
	if exists && c.Property != "" {
		_, exists = s.World.Child(old, c.ID)
	}
	if c.IfNoneMatch == "*" && exists {
		return PreconditionFailed("PreconditionFailed", "The resource "+c.ID.String()+" exists.")
	}
	want := c.IfMatch
	switch {
	case want == "" || want == "*" && exists:
		return nil
	case !exists:
		return PreconditionFailed("PreconditionFailedEtagMismatch", "Etag provided in if-match header "+want+" does not match etag of resource "+c.ID.String()+", which does not exist, in NRP data store.")
	case want != old.ETag():
		return PreconditionFailed("PreconditionFailedEtagMismatch",
			"Etag provided in if-match header "+want+" does not match etag "+old.ETag()+" of resource "+c.ID.String()+" in NRP data store.")
	}
	return nil
}

// PreconditionFailed has the shape that was recorded.
func PreconditionFailed(code, message string) *world.Problem {
	p := world.Refuse(http.StatusPreconditionFailed, "PreconditionFailed", "Precondition failed.")
	p.Details = []world.Problem{*world.Refuse(http.StatusPreconditionFailed, code, "%s", message)}
	return p
}

// linked judges what a document mentions: the caller must be allowed to join it,
// and it must not be in the middle of a change.
func (s *Providers) linked(c *Call, text rawjson.Object) *world.Problem {
	join := map[string]string{
		"networkSecurityGroup": "join", "subnet": "join", "publicIPAddress": "join", "routeTable": "join",
		"applicationSecurityGroups": "joinIpConfiguration", "sourceApplicationSecurityGroups": "joinNetworkSecurityRule",
		"destinationApplicationSecurityGroups": "joinNetworkSecurityRule", "networkInterfaces": "join",
	}
	for _, m := range world.Mentions(c.Root(), c.Kind, text) {
		target, err := world.ParseID(m.Target)
		if err != nil || target.Key() == c.Root().Key() {
			continue
		}
		if verb, ok := join[m.Member]; ok && !c.Who.Allows(target.Type()+"/"+verb+"/action", target.String()) {
			return world.Refuse(http.StatusForbidden, "LinkedAuthorizationFailed",
				"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
				c.Who.Object, c.Who.Object, c.Type()+"/write", c.ID, target.Type()+"/"+verb+"/action", target)
		}
		if r := s.World.Get(target); r != nil && (r.State == "Updating" || r.State == "Creating") {
			p := world.Refuse(http.StatusTooManyRequests, "RetryableError", "A retryable error occurred.")
			p.Details = []world.Problem{*world.Refuse(http.StatusTooManyRequests, "ReferencedResourceNotProvisioned",
				"Cannot proceed with operation because resource %s used by resource %s is not in Succeeded state. Resource is in %s state.", target, c.ID, r.State)}
			return p
		}
	}
	return nil
}

// Patch changes the tags of a resource, which takes no time.
func (s *Providers) Patch(c *Call) Result {
	if !c.Known() || c.Property != "" {
		return refuse(UnknownType(c))
	}
	r := s.World.Get(c.ID)
	if r == nil {
		return refuse(s.Absent(c))
	}
	body, err := rawjson.Parse(c.Body)
	if err != nil || len(body) != 1 || body.Get("tags") == nil {
		return refuse(world.Refuse(400, "InvalidRequestContent", "Only tags can be patched here."))
	}
	if p := s.precondition(c, r); p != nil {
		return refuse(p)
	}
	if waits := s.busy(c); waits != nil {
		if p := s.blocked(c, waits); p != nil {
			return refuse(p)
		}
	}
	s.keep(c.Now, c.ID)
	text := append(rawjson.Object{}, r.Text...)
	text.Set("tags", body.Get("tags"))
	s.World.Settle(s.World.Store(r.ID, r.Kind, text, r.State), r.State)
	s.ground = nil
	return s.written(c, http.StatusOK)
}

func (s *Providers) putGroup(c *Call) Result {
	text, p := s.World.Read(c.ID, c.Kind, c.Body)
	if p != nil {
		return refuse(p)
	}
	status := http.StatusCreated
	if s.World.Get(c.ID) != nil {
		status = http.StatusOK
	}
	s.World.Settle(s.World.Store(c.ID, c.Kind, text, "Succeeded"), "Succeeded")
	return s.written(c, status)
}

// Remove deletes a resource or a child. It is shown until the operation ends.
func (s *Providers) Remove(c *Call) Result {
	if !c.Known() {
		return refuse(UnknownType(c))
	}
	old := s.World.Get(c.Root())
	if old == nil {
		return done(http.StatusNoContent, nil)
	}
	if c.Property != "" {
		if _, found := s.World.Without(old, c.Property, c.ID.Name()); !found {
			return done(http.StatusNoContent, nil)
		}
	}
	if p := s.precondition(c, old); p != nil {
		return refuse(p)
	}
	if p := s.World.CheckRemoval(c.ID); p != nil {
		return refuse(p)
	}
	if waits := s.busy(c); waits != nil {
		if p := s.blocked(c, waits); p != nil {
			return refuse(p)
		}
	}
	s.keep(c.Now, c.Root())
	o := s.start(c, Operation{Name: operationName(c.Method, c.Type()), before: old.Text, gone: c.Property == "", drop: c.Property})
	if c.Property != "" {
		s.World.Store(old.ID, old.Kind, old.Text, "Updating")
	} else {
		s.World.Store(old.ID, old.Kind, old.Text, "Deleting")
	}
	s.Settle(c.Now)
	return done(http.StatusAccepted, nil).with(o)
}
