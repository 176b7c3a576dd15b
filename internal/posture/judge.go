package posture

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A judge goes over an estate.
type judge struct {
	Settings

	ports    []survey.Port // sorted
	model    reach.Model
	unlocked reach.Model // everything that can be locked lets everybody pass; made when it is first needed
	now      time.Time
	census   census
	claims   map[firewall.VMID][]Claim
	openings map[firewall.VMID][]Opening
	known    map[any]sight // by the identity of the answer, where nobody was let in
	query    reach.Query

	vm     *inventory.VM // the current one
	raised bool
	out    []Finding // about it
}

// A sight is what an answer means where nobody was let in.
type sight struct {
	open, perhaps *Proof // nil where nobody is
	closed        *Proof
}

func newJudge(e Estate, s Settings, now time.Time) *judge {
	j := &judge{
		Settings: s, model: e.Model, unlocked: nil, now: now, census: newCensus(),
		ports:    slices.SortedFunc(slices.Values(s.Ports), comparePorts),
		claims:   map[firewall.VMID][]Claim{},
		openings: map[firewall.VMID][]Opening{}, known: map[any]sight{}, query: reach.Query{}, vm: nil, raised: false, out: nil,
	}
	j.ports = slices.Compact(j.ports)
	for _, c := range slices.SortedFunc(slices.Values(e.Claims), compareClaims) {
		j.claims[c.VM] = append(j.claims[c.VM], c)
	}
	for _, o := range e.Openings {
		j.openings[o.Door.VM] = append(j.openings[o.Door.VM], o)
	}
	return j
}

// enter goes to v.
func (j *judge) enter(v *inventory.VM) {
	j.vm, j.raised, j.out = v, raised(v, j.Raise), j.out[:0]
}

// leave returns what there is to say about the current VM.
func (j *judge) leave() []Finding {
	claims := j.claims[j.vm.ID]
	for _, c := range claims {
		for _, p := range c.Ports {
			if !slices.Contains(j.ports, p.Port) {
				d := firewall.Door{VM: j.vm.ID, Protocol: p.Port.Protocol, Port: p.Port.Number}
				j.port(p.Port, d, j.query.VM(*j.vm, j.model, d))
			}
		}
		j.claim(c)
	}
	for _, o := range j.openings[j.vm.ID] {
		j.opening(o)
	}
	// Two claims, or a claim and an opening, may say something of one port: the worst
	// of it stays.
	slices.SortStableFunc(j.out, func(a, b Finding) int { return cmp.Or(Compare(a, b), cmp.Compare(b.Verdict, a.Verdict)) })
	return slices.CompactFunc(j.out, func(a, b Finding) bool { return Compare(a, b) == 0 })
}

// port judges one port, which set says who can come to.
func (j *judge) port(p survey.Port, d firewall.Door, set reach.Set) {
	covered, by, claimed := covering(j.claims[j.vm.ID], p)
	f := j.finding(PortOpen, p)
	s := j.sight(set, j.letIn(covered, d))
	switch off := Stopped(j.vm.State); {
	case off:
		f.Verdict, f.Note, f.Proof = NotApplicable, "the machine is "+j.vm.State+" and answers nobody", s.closed
		if s.open != nil {
			f.Proof = s.open
		}
	case s.open != nil:
		f.Verdict, f.Proof = Unhealthy, s.open
		f.Severity, f.Check = j.severity(s.open.Who, p), j.cause(s.open, claimed)
		if claimed {
			f.Note = "just-in-time by " + by.name()
		}
	case s.perhaps != nil:
		f.Verdict, f.Proof = Unknown, s.perhaps
		f.Severity = max(Low, j.severity(s.perhaps.Who, p)-1)
	case !claimed && j.shutAnyway(d):
		f.Verdict, f.Proof = NotApplicable, s.closed
	default:
		f.Proof = s.closed
	}
	j.out = append(j.out, f, j.enabled(f, by, claimed))
}

// finding returns one that is healthy.
func (j *judge) finding(id ID, p survey.Port) Finding {
	return Finding{Check: id, VM: j.vm.ID, Name: j.vm.Name, Port: p, Verdict: Healthy, Severity: None, Proof: nil, Note: "", Accepted: nil}
}

// letIn returns who was let in to d: exempt sources and live grants.
func (j *judge) letIn(covered ClaimedPort, d firewall.Door) reach.Ranges {
	from := slices.Clone(covered.Exempt)
	for _, o := range j.openings[j.vm.ID] {
		if o.Door == d && !o.lapsed(j.now) {
			from = append(from, o.From)
		}
	}
	return reach.Of(from...)
}

// sight returns what set means past those who were let in. Where nobody was, doors
// that share an answer share what it means.
func (j *judge) sight(set reach.Set, in reach.Ranges) sight {
	id := set.Identity()
	if s, known := j.known[id]; known && in.Empty() {
		return s
	}
	s := sight{
		open: j.proof(set, reach.Open, in), perhaps: j.proof(set, reach.Unknown, in),
		closed: closedBy(set),
	}
	if in.Empty() {
		j.known[id] = s
	}
	return s
}

// proof returns who of set has the verdict, past those who were let in; nil for nobody.
func (j *judge) proof(set reach.Set, v reach.Verdict, in reach.Ranges) *Proof {
	sources := set.Sources(v)
	if sources.Empty() {
		return nil
	}
	if !in.Empty() {
		sources = sources.Minus(in)
	}
	who, witness := j.census.of(sources.Intersect(j.census.people))
	if who == Nobody {
		return nil
	}
	x := set.At(witness)
	return &Proof{Sources: sources, Who: who, Witness: witness, By: x.Decides(), Path: x.Path()}
}

// closedBy returns what closes a door to the first address of the Internet, or, where
// no way leads from there, what firewall closes it to anybody else.
func closedBy(set reach.Set) *Proof {
	x := set.At(netip.AddrFrom4([4]byte{1}))
	by := x.Decides()
	if by.Firewall == "" || x.Verdict != reach.Closed {
		for other := range set.All() {
			if other.Verdict != reach.Closed {
				continue
			}
			if x, by = other, other.Decides(); by.Firewall != "" {
				break
			}
		}
	}
	return &Proof{Sources: nil, Who: Nobody, Witness: netip.Addr{}, By: by, Path: x.Path()}
}

// severity is how bad it is that who can come to p of the current VM.
func (j *judge) severity(who Who, p survey.Port) Severity {
	s := map[Who]Severity{Network: Low, Partner: Medium, Internet: High}[who]
	if p.Protocol == firewall.TCP && slices.Contains(administration(), p.Number) {
		s++
	}
	if j.raised {
		s++
	}
	return min(s, Critical)
}

// cause names why a port is open.
func (j *judge) cause(p *Proof, claimed bool) ID {
	switch {
	case claimed:
		return LockOutranked
	case p.By.Firewall == "":
		return NoFirewall
	case temporary(p.By.Rule):
		return LeftBehind
	case slices.ContainsFunc(j.claims[j.vm.ID], Claim.inForce):
		return NotCovered
	}
	return PortOpen
}

// shutAnyway reports whether nobody could come to d whatever the firewalls said
// that can be locked.
func (j *judge) shutAnyway(d firewall.Door) bool {
	if len(j.vm.Paths) == 0 {
		return false // it is closed, so something about it is missing, and then it is not known
	}
	if j.unlocked == nil {
		j.unlocked = maps.Clone(j.model)
		for id := range j.model {
			if lockable(id) {
				j.unlocked.Put(firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: nil, Default: firewall.Allow})
			}
		}
	}
	return j.query.VM(*j.vm, j.unlocked, d).MaybeOpen().Intersect(j.census.people).Empty()
}

// enabled is the rule that auditors have, about the port of f.
func (j *judge) enabled(f Finding, by Claim, claimed bool) Finding {
	out := j.finding(Enabled, f.Port)
	switch {
	case claimed:
		out.Note = "just-in-time by " + by.name()
	case f.Verdict == NotApplicable:
		out.Verdict, out.Note, out.Proof = NotApplicable, f.Note, f.Proof
	default:
		out.Verdict, out.Severity, out.Note = Unhealthy, max(Low, f.Severity-1), "no just-in-time policy in force covers it"
	}
	return out
}

// claim judges what a claim says of itself.
func (j *judge) claim(c Claim) {
	empty := j.finding(PolicyEmpty, survey.Port{})
	empty.Note = c.name() + " is in force"
	if !c.inForce() {
		empty.Verdict, empty.Severity, empty.Note = Unhealthy, Medium, c.name()+" covers no port"
		if c.Failed != "" {
			empty.Note = c.name() + " is not in force: " + c.Failed
		}
	}
	j.out = append(j.out, empty)
	for _, p := range c.Ports {
		f := j.finding(AnySource, p.Port)
		f.Note = c.name() + " opens it to no more than a part of the Internet at once"
		sources := reach.Of(p.Sources...)
		if len(p.Sources) == 0 {
			sources = reach.All()
		}
		if who, _ := j.census.of(sources); who == Internet && everybody(p.WidestIPv4, p.WidestIPv6) {
			f.Verdict, f.Severity, f.Note = Unhealthy, Medium, c.name()+" may open it to everybody at once"
		}
		j.out = append(j.out, f)
	}
}

// opening judges an opening that was read back.
func (j *judge) opening(o Opening) {
	p := survey.Port{Protocol: o.Door.Protocol, Number: o.Door.Port}
	if o.lapsed(j.now) {
		f := j.finding(OpeningExpired, p)
		f.Verdict, f.Severity = Unhealthy, High
		f.Note = fmt.Sprintf("it is open to %s, and was to be closed at %s", firewall.FormatSource(o.From), o.Until.Format(time.RFC3339))
		j.out = append(j.out, f)
	}
	if who, _ := j.census.of(reach.Of(o.From)); who == Internet {
		f := j.finding(AnySource, p)
		f.Verdict, f.Severity, f.Note = Unhealthy, Medium, "it is open to "+firewall.FormatSource(o.From)+" now"
		j.out = append(j.out, f)
	}
}

// name says which policy c is of.
func (c Claim) name() string {
	if c.Policy == "" {
		return c.By.String() + ", by a lock without a policy"
	}
	return fmt.Sprintf("policy %q of %s", c.Policy, c.By)
}
