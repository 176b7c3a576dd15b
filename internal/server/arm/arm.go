// Package arm is the Azure face: the part of Azure Resource Manager that az,
// PowerShell, the SDKs and posture scanners use for just-in-time network access,
// over the same broker, policies and grants as everything else.
//
// # What is answered
//
// The eight operations on just-in-time network access policies, as package api/arm
// has them; batches of requests, each of which is authorised by itself; tenants,
// subscriptions, resource groups, virtual machines, network interfaces and network
// security groups as far as the inventory knows them, for reading; where the
// endpoints of this cloud are; and a managed identity, which is a token of Sesame
// in a form that az takes for one of Azure. There is no way from here to the real
// Azure Resource Manager.
//
// # Paths
//
// Segments are compared whatever their case. A segment is unescaped once, and one
// that holds a slash or a backslash, a control character or dots alone then is
// nowhere. Query parameters that mean something may be there once.
//
// # Who sees what
//
// What holds for /v1: a VM that the caller may not view does not exist, nor does a
// policy without any other, and VMs that they may not view are left out of it.
//
// # Where Azure is not followed
//
// docs/adr/0023 lists every departure with its reason. The most important: a lock
// outlives its policy; the rules that were there before do not win over it; a PUT
// leaves alone the VMs of a shared policy that the caller may not write; what makes
// no sense is a 400 that names the field.
package arm

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/broker/revision"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/server/arm/guise"
	"github.com/sesame-access/sesame/internal/server/arm/view"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// A Judge says who may do what.
type Judge interface {
	Target(vm firewall.VMID) authz.Target
	May(ctx context.Context, caller broker.Caller, asked string, action authz.Action, vm firewall.VMID) error
}

// A Broker decides, and makes and ends grants and locks.
type Broker interface {
	Judge
	Revise(ctx context.Context, caller broker.Caller, r revision.Revision, agreed broker.Agreed) ([]policy.Policy, error)
	Request(ctx context.Context, caller broker.Caller, ask broker.Ask) (broker.Answer, error)
	Close(ctx context.Context, caller broker.Caller, id string) (broker.Standing, error)
	Vote(ctx context.Context, caller broker.Caller, id string, say broker.Say) (broker.Answer, error)
}

// A Fleet says what there is, and how it stands.
type Fleet interface {
	VMs() []inventory.VM
	Locked() map[firewall.Door]bool
	Current(g access.Grant) access.Grant
}

// A Store reads what was saved.
type Store interface {
	Rules(ctx context.Context) (store.Rules, error)
	Grants(ctx context.Context, f store.GrantFilter) (grants []access.Grant, next string, err error)
	Waiting(ctx context.Context) ([]store.Request, error)
	Pending(ctx context.Context, of ...firewall.VMID) ([]access.Grant, error)
}

// Config is what a Face is made of.
type Config struct {
	Broker Broker
	Fleet  Fleet
	Store  Store
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// Instance is the name of the installation, which stands for the tenant.
	Instance string
	// Authenticate says who sent a request.
	Authenticate func(r *http.Request) (authn.Caller, error)
	// Admit fails where the token of a caller is not for what it is used for, or the
	// caller has to sign in again; ends says that it ends access.
	Admit func(who authn.Caller, uses authz.Action, ends bool) error
	// Rates counts requests by their caller; those that end access are not held up.
	Rates *authn.Limiter
	// Body reads the body of a request, which is JSON.
	Body func(w http.ResponseWriter, r *http.Request, media []string) ([]byte, error)
}

// A Face answers as Azure Resource Manager does. It implements [front.Face].
type Face struct {
	Config
	routes []route
	last   atomic.Pointer[view.View]
}

// New returns a face.
func New(cfg Config) *Face {
	f := &Face{Config: cfg, routes: nil, last: atomic.Pointer[view.View]{}}
	f.routes = f.table()
	return f
}

// Owns implements [front.Face].
func (f *Face) Owns(r *http.Request) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	switch strings.ToLower(first) {
	case "subscriptions", "tenants", "metadata", "batch", "msi", "providers":
		return true
	}
	return false
}

// Serve implements [front.Face].
func (f *Face) Serve(w *front.Recorder, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	c, err := f.call(r)
	if err != nil {
		return err
	}
	w.Route(c.route.method, c.route.path)
	if !c.route.public {
		if c.who, err = f.Authenticate(guise.Off(r)); err != nil {
			return err
		}
		w.Caller(c.who)
		if c.who.Code != "" {
			return errkind.New(errkind.Denied, "this code is good for asking for access in an emergency, and not here")
		}
	}
	if c.body, err = f.read(w, r, c.route); err != nil {
		return err
	}
	out, err := f.answer(ctx, c)
	if err != nil {
		return err
	}
	write(w, r, out)
	return nil
}

// callTime bounds one call; it is longer than an answer waits for firewalls.
const callTime = 2 * broker.SettleTime

// read reads the body of a request. What takes none is sent an empty one, or what
// some clients send instead of none.
func (f *Face) read(w *front.Recorder, r *http.Request, rt route) ([]byte, error) {
	if !rt.body {
		return nil, nil
	}
	return f.Body(w, r, []string{front.JSON})
}

// answer answers a call of a caller who is known.
func (f *Face) answer(ctx context.Context, c *call) (answer, error) {
	key := c.who.Issuer + "#" + c.who.Subject
	if !c.route.public && !c.route.ends && !f.Rates.Allow(key, c.now.Wall) {
		return answer{}, refuse(http.StatusTooManyRequests, "TooManyRequests", "", "too many requests in a minute; wait a little")
	}
	if err := f.Admit(c.who, c.route.uses(), c.route.ends); err != nil {
		return answer{}, err
	}
	out, err := c.route.serve(ctx, c)
	if err != nil {
		return answer{}, err
	}
	if !c.route.public && c.route.counted != "" {
		out.set("x-ms-ratelimit-remaining-subscription-"+c.route.counted, f.Rates.Left(key, c.now.Wall))
	}
	return out, nil
}

// A call is one request.
type call struct {
	request *http.Request
	route   route
	args    map[string]string // of the path
	query   query
	who     authn.Caller
	body    []byte
	now     access.Reading
}

// caller returns who asks, as the broker wants it.
func (c *call) caller() broker.Caller {
	return broker.Caller{Identity: c.who.Identity, Addr: c.who.Addr, Code: c.who.Code}
}

// seen returns the rules, and what the caller sees of everything.
func (f *Face) seen(ctx context.Context, c *call) (*view.View, sight.Sight, error) {
	rules, err := f.Store.Rules(ctx)
	if err != nil {
		return nil, sight.Sight{}, unreadable(err)
	}
	return f.view(rules, c.now.Wall), sight.Of(rules, c.who.Identity, f.Fleet.VMs(), f.Broker.Target), nil
}

// view returns the view of the rules: the last one, while it holds.
func (f *Face) view(rules store.Rules, now time.Time) *view.View {
	if v := f.last.Load(); v != nil && v.Version == rules.Version && now.Sub(v.Made).Abs() < viewTime {
		return v
	}
	v := view.New(rules, f.Fleet.VMs())
	v.Made = now
	f.last.Store(v)
	return v
}

// viewTime is how long a view stands although the inventory may have moved on:
// regions and the spelling of ids are taken from there, and nothing is decided by it.
const viewTime = 5 * time.Second

var _ front.Face = (*Face)(nil)

// Refuse implements [front.Face].
func (f *Face) Refuse(w *front.Recorder, r *http.Request, err error, p api.Problem) {
	write(w, r, failure(err, p, origin(r)))
}
