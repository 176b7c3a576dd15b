// Package rp is the resource providers behind the simulated Azure Resource
// Manager, Microsoft.Compute and Microsoft.Network: what happens to a call that
// was understood, may be made and is not throttled.
//
// A write is judged, shown, and becomes an operation; when that has ended, and
// not before, packets meet what was written. One network security group takes
// one operation at a time, as do everything else's resources, and a firewall
// policy with all that is below it. A deletion is shown when it has ended.
//
// Nothing here waits: what has ended by now is ended by Settle, which every
// entrance calls first, in the order in which it did. Faults that are about how a
// write ends are played here.
package rp

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Config says how the providers behave.
type Config struct {
	// Latency is how long an operation takes after it was accepted; Latencies
	// gives it for some types, such as Microsoft.Network/azureFirewalls.
	Latency   time.Duration
	Latencies map[string]time.Duration
	// IgnoreIfMatch makes writes of whole resources, IgnoreIfMatchOnChildren
	// those of children, blind to the header If-Match.
	IgnoreIfMatch, IgnoreIfMatchOnChildren bool
	// Seed makes ids of operations differ, and is where faults that have a rate
	// draw from.
	Seed uint64
	// Tags are expansions of service tags for Ground.
	Tags map[string][]netip.Prefix
}

// Providers are all resource providers of a world. They are not safe for
// concurrent use.
type Providers struct {
	World  *world.World
	Faults *fault.Set

	config     Config
	operations map[string]*Operation
	running    []*Operation
	late       []lateWrite
	past       map[string][]moment // by key, while there are stale reads
	issued     int                 // operations
	ground     *packet.World
}

// New returns the providers of an empty world.
func New(c Config) *Providers {
	return &Providers{
		World: world.New(), Faults: fault.NewSet(c.Seed), config: c, operations: map[string]*Operation{},
		running: nil, late: nil, past: map[string][]moment{}, issued: 0, ground: nil,
	}
}

// Forget forgets what resources were, once no reader sees the past any more.
func (s *Providers) Forget() { s.past = map[string][]moment{} }

// Ground returns what packets meet now.
func (s *Providers) Ground(now time.Time) (*packet.World, error) {
	s.Settle(now)
	if s.ground == nil {
		w, err := packet.New(s.World.Live(), s.config.Tags)
		if err != nil {
			return nil, err
		}
		s.ground = w
	}
	return s.ground, nil
}

// A Call is what somebody asks for.
type Call struct {
	Method string
	ID     world.ID // of a resource, or of an embedded child
	Action string   // of a POST
	Body   []byte
	Now    time.Time
	Who    gate.Identity

	IfMatch, IfNoneMatch string // headers
	// Origin and Version are what addresses in answers begin and end with.
	Origin, Version string

	// Kind is the kind of the resource; for an embedded child that of its parent,
	// and Property is where the parent lists it.
	Kind     world.Kind
	Property string

	Fault *fault.Fault // nil for none
}

// NewCall returns a call about id, whose kind it finds.
func NewCall(method string, id world.ID, now time.Time) *Call {
	c := &Call{
		Method: method, ID: id, Action: "", Body: nil, Now: now, Who: gate.Identity{Name: "", Token: "", Object: "", Actions: nil, Scopes: nil},
		IfMatch: "", IfNoneMatch: "", Origin: "", Version: "", Kind: world.Kind{}, Property: "", Fault: nil,
	}
	if k, ok := world.KindOf(id.Type()); ok {
		c.Kind = k
		return c
	}
	if len(id.Types) < 2 {
		return c
	}
	if k, ok := world.KindOf(id.Parent().Type()); ok {
		if property, ok := k.Embeds(id.Types[len(id.Types)-1]); ok {
			c.Kind, c.Property = k, property
		}
	}
	return c
}

// Known reports whether what the call is about is simulated.
func (c *Call) Known() bool { return c.Kind.Type != "" }

// Root returns the id of the resource that has the document.
func (c *Call) Root() world.ID {
	if c.Property != "" {
		return c.ID.Parent()
	}
	return c.ID
}

// Type returns the full type of what the call is about, in Azure's own case
// where it is known.
func (c *Call) Type() string {
	switch {
	case c.Property != "":
		return c.Kind.Type + "/" + c.Property
	case c.Known():
		return c.Kind.Type
	}
	return c.ID.Type()
}

// Machine reports whether the call is about a virtual machine.
func (c *Call) Machine() bool {
	return strings.EqualFold(c.Kind.Type, "Microsoft.Compute/virtualMachines")
}

// A Result is the answer to a call: a status and a body, or a problem.
type Result struct {
	Status    int
	Body      json.RawMessage
	Problem   *world.Problem
	Operation *Operation // that was started, nil for none
}

func done(status int, body json.RawMessage) Result {
	return Result{Status: status, Body: body, Problem: nil, Operation: nil}
}

func refuse(p *world.Problem) Result {
	return Result{Status: p.Status, Body: nil, Problem: p, Operation: nil}
}

func (r Result) with(o *Operation) Result {
	r.Operation = o
	return r
}

// Absent is why a resource is not there.
func (s *Providers) Absent(c *Call) *world.Problem {
	id := c.Root()
	if s.World.Get(id.GroupID()) == nil {
		return world.Refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.Group)
	}
	return world.Refuse(http.StatusNotFound, "ResourceNotFound",
		"The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		id.Type(), strings.Join(id.Names, "/"), id.Group)
}

// UnknownType is why what is not simulated cannot be asked for.
func UnknownType(c *Call) *world.Problem {
	return world.Refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found in the namespace '%s' for api version '%s'.",
		strings.Join(c.ID.Types, "/"), c.ID.Namespace, c.Version)
}
