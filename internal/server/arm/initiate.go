package arm

import (
	"context"
	"net/http"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/arm/view"
)

// initiate asks for ports of a policy. Either everything is granted or nothing: what
// was opened before a refusal is closed again.
func (f *Face) initiate(ctx context.Context, c *call) (answer, error) {
	s, sees, id, err := f.find(ctx, c)
	if err != nil {
		return answer{}, err
	}
	var in arm.Initiate
	if err := arm.Decode(c.body, &in); err != nil {
		return answer{}, err
	}
	_, vms, _ := s.Seen(sees)
	for i, x := range in.VirtualMachines {
		place := "virtualMachines[" + itoa(i) + "].id"
		vm, err := arm.ParseVM(place, id.Subscription, x.ID)
		if err != nil {
			return answer{}, err
		}
		if !slices.Contains(vms, vm) {
			return answer{}, errkind.Bad(place, x.ID, "a VM of the policy")
		}
		if err := f.Broker.May(ctx, c.caller(), "request access to "+vm.Name(), authz.Request, vm); err != nil {
			return answer{}, err
		}
	}
	asked, reason, err := in.Parse(s.ID, s.Parts, c.now.Wall)
	if err != nil {
		return answer{}, err
	}
	got, err := f.ask(ctx, c, id, asks(asked, reason))
	if err != nil {
		return answer{}, err
	}
	var list []arm.Request
	for _, a := range got {
		grants := view.Awaited(a.Request, c.now)
		if len(a.Grants) > 0 {
			grants = nil
		}
		for _, g := range a.Grants {
			grants = append(grants, g.Grant)
		}
		for _, g := range grants {
			// Azure always says that it has only begun; the next GET says how it stands.
			list = append(list, arm.RequestOf(g, access.Opening, s.Spelled))
		}
	}
	out := ok(arm.Joined(list))
	out.status = http.StatusAccepted
	return out, nil
}

// asks puts together what can be asked for together: the same sources and time. Here
// a newer request replaces an older one.
func asks(asked []arm.Asked, reason string) []broker.Ask {
	var out []broker.Ask
	for _, a := range asked {
		i := slices.IndexFunc(out, func(x broker.Ask) bool {
			return x.Duration == a.Duration && slices.Equal(x.Sources, a.Sources)
		})
		if i < 0 {
			i = len(out)
			out = append(out, broker.Ask{VM: string(a.VM), Sources: a.Sources, Duration: a.Duration, Reason: reason, Supersede: true})
		}
		add(&out[i], a)
	}
	return out
}

// add adds the doors of a to what is asked for.
func add(ask *broker.Ask, a arm.Asked) {
	ports := &ask.Ports
	if ask.VM != string(a.VM) {
		i := slices.IndexFunc(ask.Also, func(t broker.Target) bool { return t.VM == string(a.VM) })
		if i < 0 {
			i = len(ask.Also)
			ask.Also = append(ask.Also, broker.Target{VM: string(a.VM), Ports: nil})
		}
		ports = &ask.Also[i].Ports
	}
	for _, d := range a.Doors {
		*ports = append(*ports, broker.Port{Number: d.Port, Protocol: d.Protocol})
	}
}

// ask asks for all of it.
func (f *Face) ask(ctx context.Context, c *call, id arm.PolicyID, list []broker.Ask) ([]broker.Answer, error) {
	var got []broker.Answer
	for _, ask := range list {
		a, err := f.Broker.Request(ctx, c.caller(), ask)
		if err != nil {
			f.takeBack(ctx, c, got)
			if errkind.Of(err) == errkind.Denied {
				// The caller may ask, which was looked at before: this is about what for.
				err = refuse(http.StatusBadRequest, "AccessRequestNotAllowed", "", "The access request is not a subset of policy '%s'; please stay within the allowed policy properties: %s", id, errkind.Public(err))
			}
			return nil, err
		}
		got = append(got, a)
	}
	return got, nil
}

// takeBack closes what was opened, and cancels what waits for approval. It goes on although the caller has gone.
func (f *Face) takeBack(ctx context.Context, c *call, got []broker.Answer) {
	ctx = context.WithoutCancel(ctx)
	for _, a := range got {
		if len(a.Grants) == 0 {
			_, _ = f.Broker.Vote(ctx, c.caller(), a.Request.ID, broker.Say{Choice: approval.Cancel}) // it lapses otherwise
		}
		for _, g := range a.Grants {
			_, _ = f.Broker.Close(ctx, c.caller(), g.ID) // it closes at its deadline otherwise
		}
	}
}
