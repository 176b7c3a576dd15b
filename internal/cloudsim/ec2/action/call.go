// Package action is what the simulated API can do: every call of EC2 that is
// simulated, and the two of STS. An action reads its parameters, which must all
// be known, asks whether the caller may, answers dry runs, and does its work on
// the world.
//
// Whoever may make a call is asked for every resource that it is about: for the
// group whose rules change, for the interface and each group that it is to wear,
// and for CreateTags where a call gives tags to what it makes.
package action

import (
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/wire"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Setting is what all calls have in common.
type Setting struct {
	Regions    []string // that are enabled, sorted
	PageKey    []byte   // seals page tokens
	ShortPages bool     // pages are filtered after they were cut
	Identities *gate.Identities
	Skew       time.Duration // how far the cloud's clock is ahead
}

// A Call is one request while it is served.
type Call struct {
	*query.Params

	Setting *Setting
	Name    string // of the action
	Who     gate.Principal
	World   *world.World
	Now     time.Time // what it does is done now
	Seen    time.Time // what it shows is of this moment
	Half    bool      // only the first half of its rules count
	Asked   bool      // it has asked for permission
}

// An Action is what the API can do. It reads its parameters, asks for
// permission, and does it. A call that is refused has done nothing.
type Action struct {
	Writes bool
	Run    func(*Call) (query.Reply, error)
}

// moment is when the call has effect.
func (c *Call) moment() world.Moment { return world.Moment{Now: c.Now, Seen: c.Seen} }

// view is what the call sees.
func (c *Call) view() wire.View { return wire.View{World: c.World, At: c.Seen} }

// permit ends the reading of parameters: it refuses those that are wrong or that
// nobody knows, calls that the caller may not make, and dry runs. The ids are
// those of what the call is about; what does not exist has no tags, and is asked
// about like everything else.
func (c *Call) permit(ids ...string) error {
	var about []world.Resource
	for _, id := range ids {
		about = append(about, c.resource(id))
	}
	return c.permitAbout(about, nil)
}

// permitAbout does the same for resources that need not be there yet; tagged is
// what the call gives tags to, with those that it will have.
func (c *Call) permitAbout(about, tagged []world.Resource) error {
	c.Asked = true
	dry := c.Flag("DryRun")
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.allowed(c.Name, about...); err != nil {
		return err
	}
	for _, r := range tagged {
		if err := c.allowed("CreateTags", r); len(r.Tags) > 0 && err != nil {
			return err
		}
	}
	if dry {
		return query.Dry()
	}
	return nil
}

// resource is what a call knows of a resource by its id.
func (c *Call) resource(id string) world.Resource {
	r, err := c.World.Resource(world.At(c.Now), c.Who.Account, id)
	if err != nil {
		return c.yetToBe(id, nil)
	}
	return r
}

// yetToBe is a resource that the call may make.
func (c *Call) yetToBe(id string, tags world.Tags) world.Resource {
	return world.Resource{ID: id, Owner: c.Who.Account, Tags: tags}
}

// allowed asks whether the caller may do an action.
func (c *Call) allowed(name string, about ...world.Resource) error {
	denied, ok := c.Who.Allows("ec2:"+name, c.World, about...)
	if !ok {
		return world.Refuse("UnauthorizedOperation",
			"You are not authorized to perform this operation. User: %s is not authorized to perform: ec2:%s on resource: %s because no identity-based policy allows the ec2:%s action",
			c.Who.ARN, name, denied, name)
	}
	return nil
}

// mine reports whether the caller sees a resource.
func (c *Call) mine(r world.Resource) bool { return r.Owner == c.Who.Account }

// firstHalf cuts a list for a Partial fault.
func firstHalf[T any](c *Call, all []T) []T {
	if c.Half {
		return all[:(len(all)+1)/2]
	}
	return all
}

// EC2 returns everything that can be done of the EC2 API, by name.
func EC2() map[string]Action {
	all := map[string]Action{}
	for _, some := range []map[string]Action{instanceReads(), groupReads(), networkReads(), groupWrites(), ruleWrites(), otherWrites()} {
		for name, a := range some {
			a.Writes = !strings.HasPrefix(name, "Describe") && !strings.HasPrefix(name, "Get")
			all[name] = a
		}
	}
	return all
}
