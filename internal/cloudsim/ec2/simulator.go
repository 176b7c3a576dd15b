package ec2

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/action"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// What a simulator has when its configuration says nothing else.
const (
	DefaultRegion  = "eu-central-1"
	DefaultAccount = "111122223333"
	DefaultKey     = "AKIASESAMESIMULATOR0" //nolint:gosec // it opens nothing real
	DefaultSecret  = "everybody-may-know-this-it-opens-nothing"
)

// Config describes a simulator. The zero value is usable.
type Config struct {
	// Regions are those that are enabled, DefaultRegion alone if there are none.
	// Every account has all of them.
	Regions []string
	// Seed makes ids and draws everything that is left to chance.
	Seed uint64
	// Quotas are those of every account.
	Quotas world.Quotas
	// Keys are the access keys of users, one that may do everything in
	// DefaultAccount if there are none. Roles can be assumed.
	Keys  []gate.Key
	Roles []gate.Role
	// ReadLag is how long reads may lag behind writes: each shows a moment of its
	// own, up to this long ago. What was made since is not found by other calls
	// either.
	ReadLag time.Duration
	// WriteTime is how long a write takes until it has effect and is answered.
	WriteTime time.Duration
	// Unthrottled leaves out the token buckets.
	Unthrottled bool
	// ShortPages makes pages filter after they were cut, so that some are short
	// or empty and more come after them, as it happens with the real ones.
	ShortPages bool
	// Written is called after every change that a call, a hand or a late write
	// has made, from the goroutine that made it. It may look at the simulator.
	Written func(Write)
}

// A Write is a change that was made.
type Write struct {
	Region  string
	Action  string // "Hand" for a change by hand
	Account string
}

// A Simulator is the EC2 API of all accounts and regions, and the little of STS
// that goes with it. It is a handler for HTTP.
type Simulator struct {
	cfg     Config
	ec2     map[string]action.Action
	sts     map[string]action.Action
	setting action.Setting

	mu      sync.Mutex
	regions map[string]*world.World
	buckets gate.Buckets
	chance  *rand.Rand
	packed  map[string]documents // by region
	faults  []*standing
	late    []lateWrite
	calls   map[string]int
	served  uint64
}

// A lateWrite has effect when its time comes.
type lateWrite struct {
	at    time.Time
	write Write
	do    func(now time.Time) (wrote bool)
}

// New returns a simulator with empty regions.
func New(c Config) (*Simulator, error) {
	if len(c.Regions) == 0 {
		c.Regions = []string{DefaultRegion}
	}
	if len(c.Keys) == 0 {
		c.Keys = []gate.Key{Admin(DefaultAccount, DefaultKey, DefaultSecret)}
	}
	quotas, err := c.Quotas.Filled()
	if err != nil {
		return nil, fmt.Errorf("make an EC2 simulator: %w", err)
	}
	s := &Simulator{
		cfg: c, ec2: action.EC2(), sts: action.STS(), regions: map[string]*world.World{}, buckets: gate.Buckets{},
		setting: action.Setting{
			Regions: slices.Sorted(slices.Values(c.Regions)), PageKey: fmt.Appendf(nil, "page tokens of seed %d", c.Seed),
			ShortPages: c.ShortPages, Identities: gate.NewIdentities(c.Keys, c.Roles),
		},
		chance: rand.New(rand.NewPCG(c.Seed, 0)), //nolint:gosec // histories have to be repeatable
		calls:  map[string]int{}, packed: map[string]documents{},
	}
	for _, r := range c.Regions {
		s.regions[r] = world.New(r, quotas, c.Seed, c.ReadLag)
	}
	return s, nil
}

// Admin is the key of a user who may do everything in an account.
func Admin(account, id, secret string) gate.Key {
	return gate.Key{ID: id, Secret: secret, Principal: gate.Principal{
		Account: account, ARN: "arn:aws:iam::" + account + ":user/admin", UserID: "AIDASESAMESIMULATOR0",
		May: []gate.Statement{{Actions: []string{"*"}}},
	}}
}

// Build changes the resources of a region before anybody looks: what it makes at
// the zero time was always there.
func (s *Simulator) Build(region string, build func(*world.World)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	build(s.regions[region])
}

// Hand changes the resources of a region behind everybody's back, now.
func (s *Simulator) Hand(region string, edit func(w *world.World, now time.Time)) {
	s.mu.Lock()
	now := time.Now()
	done := s.settle(now)
	w := s.regions[region]
	before := w.Past.Writes()
	edit(w, now)
	if w.Past.Writes() != before {
		done = append(done, Write{Region: region, Action: "Hand", Account: ""})
	}
	s.mu.Unlock()
	s.tell(done)
}

// Identities changes the keys and roles that there are.
func (s *Simulator) Identities(change func(*gate.Identities)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.setting.Identities)
}

// Skew sets how far the cloud's clock is ahead of the true one. It is told by the
// Date of every answer, and judges signatures and sessions; what happens when is
// not up to it.
func (s *Simulator) Skew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setting.Skew = d
}

// clock is the time that the cloud believes it is.
func (s *Simulator) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.setting.Skew)
}

// Groups returns the security groups of a region as they are, whatever reads may
// say, by id.
func (s *Simulator) Groups(region string) []world.Group {
	return look(s, region, func(w *world.World, now time.Time) []world.Group { return slices.Collect(w.Groups.All(now)) })
}

// Interfaces returns the network interfaces of a region as they are, by id.
func (s *Simulator) Interfaces(region string) []world.Interface {
	return look(s, region, func(w *world.World, now time.Time) []world.Interface { return slices.Collect(w.Interfaces.All(now)) })
}

// Instances returns the instances of a region as they are, by id.
func (s *Simulator) Instances(region string) []world.Instance {
	return look(s, region, func(w *world.World, now time.Time) []world.Instance { return slices.Collect(w.Instances.All(now)) })
}

// Document prints what the groups of a region mean and who wears them, in one
// canonical form: two regions with the same document admit the same.
func (s *Simulator) Document(region string) string {
	return look(s, region, func(w *world.World, now time.Time) string {
		var out strings.Builder
		for g := range w.Groups.All(now) {
			fmt.Fprintf(&out, "%s %s\n%s", g.ID, g.Name, g.Document())
		}
		for n := range w.Interfaces.All(now) {
			groups := slices.Sorted(slices.Values(n.Groups))
			fmt.Fprintf(&out, "%s wears %s\n", n.ID, groups)
		}
		return out.String()
	})
}

func look[T any](s *Simulator, region string, at func(*world.World, time.Time) T) T {
	s.mu.Lock()
	now := time.Now()
	done := s.settle(now)
	out := at(s.regions[region], now)
	s.mu.Unlock()
	s.tell(done)
	return out
}

// Calls returns how often each action was called since the simulator was made,
// refused calls too.
func (s *Simulator) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// settle makes the late writes whose time has come.
func (s *Simulator) settle(now time.Time) (done []Write) {
	for {
		i := -1
		for j, l := range s.late {
			if !l.at.After(now) && (i < 0 || l.at.Before(s.late[i].at)) {
				i = j
			}
		}
		if i < 0 {
			return done
		}
		l := s.late[i]
		s.late = slices.Delete(s.late, i, i+1)
		if l.do(l.at) {
			done = append(done, l.write)
		}
	}
}

// tell reports writes, without the lock.
func (s *Simulator) tell(done []Write) {
	if s.cfg.Written == nil {
		return
	}
	for _, w := range done {
		s.cfg.Written(w)
	}
}

// Regions returns the regions that are enabled, sorted.
func (s *Simulator) Regions() []string { return slices.Clone(s.setting.Regions) }

// Fleet puts n instances of the first key's account into a region, with groups
// as they are found in real life. The same number and seed make the same fleet.
func (s *Simulator) Fleet(region string, n int, seed uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.regions[region]
	if w == nil {
		return fmt.Errorf("build a fleet: there is no region %q", region)
	}
	return fleet.Build(w, s.cfg.Keys[0].Principal.Account, n, seed)
}
