package arm

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/broker/revision"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/server/arm/view"
	"github.com/sesame-access/sesame/internal/server/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// pageSize is how many policies a page holds.
const pageSize = 200

// listPolicies answers the four lists, which differ in how much their path names.
func (f *Face) listPolicies(ctx context.Context, c *call) (answer, error) {
	v, sees, err := f.seen(ctx, c)
	if err != nil {
		return answer{}, err
	}
	after, err := c.skipped()
	if err != nil {
		return answer{}, err
	}
	var page []*view.Shown
	next := ""
	for _, s := range v.Policies {
		if _, _, visible := s.Seen(sees); !visible || !c.about(s.ID) || after != "" && s.ID.Key() <= after {
			continue
		}
		if len(page) == pageSize {
			next = c.next(page[pageSize-1].ID.Key())
			break
		}
		page = append(page, s)
	}
	past, err := f.history(ctx, page, sees)
	if err != nil {
		return answer{}, err
	}
	out := arm.List[arm.Policy]{Value: []arm.Policy{}, NextLink: next}
	locked := f.Fleet.Locked()
	for _, s := range page {
		out.Value = append(out.Value, shown(s, sees, past, locked))
	}
	return ok(out), nil
}

// about reports whether the path of a list names what id is in.
func (c *call) about(id arm.PolicyID) bool {
	for name, has := range map[string]string{"subscriptionId": id.Subscription, "resourceGroupName": id.Group, "ascLocation": id.Location} {
		if want, named := c.args[name]; named && !strings.EqualFold(want, has) {
			return false
		}
	}
	return true
}

// skipToken names the last policy of a page; it is only a place.
const skipToken = "$skiptoken"

func (c *call) next(key string) string {
	q := url.Values{"api-version": {c.query["api-version"]}, skipToken: {base64.RawURLEncoding.EncodeToString([]byte(key))}}
	return origin(c.request) + c.request.URL.EscapedPath() + "?" + q.Encode()
}

func (c *call) skipped() (string, error) {
	token, given := c.query[skipToken]
	if !given {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		_, err = arm.ParsePolicyID(string(text))
	}
	if err != nil {
		return "", refuse(http.StatusBadRequest, "InvalidSkipToken", skipToken, "%s is not from a nextLink of this list", skipToken)
	}
	return string(text), nil
}

// shown returns s as v sees it, with its requests and whether its locks are there.
func shown(s *view.Shown, v sight.Sight, past view.History, locked map[firewall.Door]bool) arm.Policy {
	out, vms, _ := s.Seen(v)
	out.Properties.Requests = past.Of(s, vms)
	for _, p := range s.Parts {
		for _, d := range p.Doors() {
			if !locked[d] && v.Sees(d.VM) {
				out.Properties.ProvisioningState = arm.Updating
			}
		}
	}
	return out
}

// find returns the policy that the path names, if the caller may see any of it.
func (f *Face) find(ctx context.Context, c *call) (*view.Shown, sight.Sight, arm.PolicyID, error) {
	id, err := c.id()
	if err != nil {
		return nil, sight.Sight{}, id, err
	}
	v, sees, err := f.seen(ctx, c)
	if err != nil {
		return nil, sight.Sight{}, id, err
	}
	s := v.ByKey[id.Key()]
	if s == nil {
		return nil, sees, id, noPolicy(id)
	}
	if _, _, visible := s.Seen(sees); !visible {
		return nil, sees, id, noPolicy(id)
	}
	return s, sees, id, nil
}

func (f *Face) getPolicy(ctx context.Context, c *call) (answer, error) {
	s, sees, _, err := f.find(ctx, c)
	if err != nil {
		return answer{}, err
	}
	past, err := f.history(ctx, []*view.Shown{s}, sees)
	if err != nil {
		return answer{}, err
	}
	out := ok(shown(s, sees, past, f.Fleet.Locked()))
	out.set("ETag", s.ETag())
	return out, nil
}

// putTries is how often a PUT is made again because somebody else changed the same
// policy meanwhile.
const putTries = 4

// putPolicy replaces a policy.
func (f *Face) putPolicy(ctx context.Context, c *call) (answer, error) {
	id, err := c.id()
	if err != nil {
		return answer{}, err
	}
	var in arm.Policy
	if err := arm.Decode(c.body, &in); err != nil {
		return answer{}, err
	}
	if err := fits(id, in); err != nil {
		return answer{}, err
	}
	for range putTries {
		out, err := f.tryPut(ctx, c, id, in)
		if errkind.Of(err) != errkind.Conflict || c.conditional() {
			return out, err
		}
		if _, final := errors.AsType[*refusal](err); final {
			return out, err
		}
	}
	return f.tryPut(ctx, c, id, in)
}

// fits fails if a body says that it is about another policy than its path.
func fits(id arm.PolicyID, in arm.Policy) error {
	for _, x := range []struct{ field, says, is string }{
		{"id", in.ID, id.String()},
		{"name", in.Name, id.Name},
		{"type", in.Type, arm.PolicyType},
		{"location", strings.ReplaceAll(in.Location, " ", ""), id.Location},
	} {
		if x.says != "" && !strings.EqualFold(x.says, x.is) {
			return errkind.Bad(x.field, x.says, errkind.Quote(x.is)+", which the path says")
		}
	}
	return nil
}

// conditional reports whether c names what it must have been made from.
func (c *call) conditional() bool {
	return c.request.Header.Get("If-Match") != "" || c.request.Header.Get("If-None-Match") != ""
}

// met fails unless s, which may be nil, is what c was made from.
func (c *call) met(s *view.Shown) error {
	match, none := c.request.Header.Get("If-Match"), c.request.Header.Get("If-None-Match")
	is := ""
	if s != nil {
		is = s.ETag()
	}
	switch {
	case none != "" && none != "*":
		return errkind.Bad("If-None-Match", none, "*")
	case none != "" && s != nil:
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "If-None-Match", "the policy exists already")
	case match != "" && (s == nil || match != "*" && match != is):
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "If-Match", "the policy is not what this was made from any more; get it again")
	}
	return nil
}

func (f *Face) tryPut(ctx context.Context, c *call, id arm.PolicyID, in arm.Policy) (answer, error) {
	v, sees, err := f.seen(ctx, c)
	if err != nil {
		return answer{}, err
	}
	for i, x := range in.Properties.VirtualMachines {
		place := "properties.virtualMachines[" + itoa(i) + "].id"
		vm, err := arm.ParseVM(place, id.Subscription, x.ID)
		if err != nil {
			return answer{}, err
		}
		if _, known := v.VMs[vm]; !known || !sees.Sees(vm) {
			return answer{}, refuse(http.StatusNotFound, "ResourceNotFound", place, "The Resource 'Microsoft.Compute/virtualMachines/%s' under resource group '%s' was not found.", vm.Name(), vm.Home().Place)
		}
	}
	was := v.ByKey[id.Key()]
	if was != nil && was.Native {
		return answer{}, elsewhere(was)
	}
	if err := c.met(was); err != nil {
		return answer{}, err
	}
	var parts []policy.Policy
	if was != nil {
		parts = was.Parts
		if c.request.Header.Get("If-Match") == "" {
			in.Properties.VirtualMachines = slices.Concat(in.Properties.VirtualMachines, f.others(was, sees.Rules, c, in))
		}
	}
	made, err := arm.Parts(id, in, parts)
	if err != nil {
		return answer{}, err
	}
	if err := f.revise(ctx, c, parts, made); err != nil {
		return answer{}, err
	}
	c.now = f.Clocks()
	out, err := f.getPolicy(ctx, c)
	if p, whole := out.body.(arm.Policy); whole {
		p.Properties.Requests = []arm.Request{} // as Azure answers; the next GET has them
		out.body = p
	}
	return out, err
}

// others returns what is said of the VMs of s that a PUT does not name and the
// caller may not write: they are not the caller's to drop.
func (f *Face) others(s *view.Shown, rules store.Rules, c *call, in arm.Policy) []arm.VirtualMachine {
	var out []arm.VirtualMachine
	for i, vm := range s.VMs {
		named := slices.ContainsFunc(in.Properties.VirtualMachines, func(x arm.VirtualMachine) bool { return strings.EqualFold(x.ID, string(vm)) })
		if !named && !rules.Engine.Allows(c.who.Identity, authz.Enable, f.Broker.Target(vm)) {
			out = append(out, s.Policy.Properties.VirtualMachines[i])
		}
	}
	return out
}

// revise saves what is different between the parts in force and those that were made.
func (f *Face) revise(ctx context.Context, c *call, inForce, made []policy.Policy) error {
	var r revision.Revision
	for _, p := range made {
		i := slices.IndexFunc(inForce, func(old policy.Policy) bool { return old.Name == p.Name })
		if i >= 0 && len(policy.Diff(inForce[i], p)) == 0 {
			continue
		}
		if i >= 0 {
			p.Version = inForce[i].Version
		}
		r.Put = append(r.Put, p)
	}
	for _, old := range inForce {
		if !slices.ContainsFunc(made, func(p policy.Policy) bool { return p.Name == old.Name }) {
			r.Drop = append(r.Drop, old.Name)
		}
	}
	if len(r.Put)+len(r.Drop) == 0 {
		return nil
	}
	_, err := f.Broker.Revise(ctx, c.caller(), r, broker.Agreed{Losses: c.request.Header.Get(agreeHeader), Restore: false})
	return err
}

// agreeHeader is how a client agrees to what a lock takes away from others; what
// to send, `sesame policy put --dry-run` says.
const agreeHeader = "X-Sesame-Accept-Losses"

// elsewhere refuses to change what was not put here.
func elsewhere(s *view.Shown) error {
	return refuse(http.StatusConflict, "PolicyManagedElsewhere", "", "this is policy %s of Sesame, which may also be about VMs elsewhere; change it with `sesame policy put`, or put a policy of another name here", s.Parts[0].Name)
}

// deletePolicy ends a policy: nobody can ask for its ports any more, and they stay
// locked.
func (f *Face) deletePolicy(ctx context.Context, c *call) (answer, error) {
	for range putTries {
		s, _, _, err := f.find(ctx, c)
		var gone *refusal
		if errors.As(err, &gone) && gone.status == http.StatusNotFound {
			return answer{status: http.StatusNoContent, body: nil, header: http.Header{}}, nil
		}
		if err != nil {
			return answer{}, err
		}
		if s.Native {
			return answer{}, elsewhere(s)
		}
		if err := c.met(s); err != nil {
			return answer{}, err
		}
		err = f.revise(ctx, c, s.Parts, nil)
		if errkind.Of(err) == errkind.NotFound {
			continue // somebody was faster
		}
		return answer{status: http.StatusOK, body: nil, header: http.Header{}}, err
	}
	return answer{}, errkind.New(errkind.Conflict, "the policy keeps changing; try again")
}
