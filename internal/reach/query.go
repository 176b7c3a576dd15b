package reach

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

// A Query answers questions. It keeps its working memory between them, so that
// in the long run it allocates nothing but its answers. The zero value is ready;
// it is not for use by two goroutines at once.
type Query struct {
	sieve  sieve.Sieve
	vm     *inventory.VM
	layers []*sieve.Layer // of its firewalls, by path and hop; nil where there is none
	places []place
	given  []place // to the last answer, which the next may share
	links  []link

	// Of the path that is walked:
	entered int     // its first place
	nobody  [2]bool // by family, whether nobody of it comes this way
	columns []column
	packets []sieve.Packet // that the columns see
	pieces  []sieve.Piece
	sources []uint16
	blocks  []sieve.Block

	// By family, what is known so far, and of one family what a walk finds:
	best           [2][]stretch
	walked, folded []stretch

	// For answers:
	stretches room[stretch]
	linked    room[link]
}

// A room gives out memory for answers. Who asks once pays for one answer; who goes on
// asking gets many out of one piece, which lives as long as any of them.
type room[T any] struct {
	free []T
	last int // how large the last piece was
}

// mostAtOnce is how large a piece gets: so much may an answer that is kept hold with it.
const mostAtOnce = 1 << 10

// take returns n zero values.
func (r *room[T]) take(n int) []T {
	if n > len(r.free) {
		r.last = max(n, min(2*r.last, mostAtOnce))
		r.free = make([]T, r.last)
	}
	out := r.free[:n:n]
	r.free = r.free[n:]
	return out
}

// A column is what one firewall on a path does to each source, by family.
type column struct {
	now    link      // where the walk is
	next   sieve.Key // where the next piece begins
	more   bool      // there is one
	always bool
	varies bool // with the client's port
	route  bool // it says who can come this way, not what a firewall does
	pieces [2][]sieve.Piece
	at     int // the piece that the walk is at
	place  int
	packet int
}

// A link of the chain of decisions that leads to a verdict.
type link struct {
	sieve.Decision

	place int32
}

// A stretch is what becomes of the sources from a key up to the next stretch,
// and by which links.
type stretch struct {
	at      sieve.Key
	from    int32 // in the links
	steps   uint16
	verdict Verdict
	family  sieve.Family
}

// to returns where the links of x end.
func (x *stretch) to() int32 { return x.from + int32(x.steps) }

// VM returns who can come through d of v, given what each firewall shows: Enter,
// and Ask about one door.
func (q *Query) VM(v inventory.VM, m Model, d firewall.Door) Set {
	q.Enter(&v, m)
	return q.Ask(d)
}

// Enter goes to v, about whose doors Ask is asked from then on, as long as neither
// v nor m changes.
func (q *Query) Enter(v *inventory.VM, m Model) {
	q.EnterPast(v, nil)
	for i := range v.Paths {
		for h := range v.Paths[i].Hops {
			q.layers = append(q.layers, m[v.Paths[i].Hops[h].Firewall])
		}
	}
}

// EnterPast is Enter for who has looked the layers up: by path and hop, nil
// where there is none.
func (q *Query) EnterPast(v *inventory.VM, layers []*sieve.Layer) {
	q.vm, q.layers = v, append(q.layers[:0], layers...)
}

// Ask returns who can come through d of the VM that was entered. A source gets in
// if any path lets it in. A firewall without a layer is unknown; a VM without a
// path has nothing in front of it and is open. While something about the VM is
// missing there may be a path that nobody has seen, and no source is proven to be
// kept out.
func (q *Query) Ask(d firewall.Door) Set {
	v, layers := q.vm, q.layers
	q.places, q.links = q.places[:0], q.links[:0]
	q.best[sieve.IPv4], q.best[sieve.IPv6] = q.best[sieve.IPv4][:0], q.best[sieve.IPv6][:0]
	for i := range v.Paths {
		p := &v.Paths[i]
		if p.Leads(d) {
			q.path(p, layers, d)
		}
		layers = layers[len(p.Hops):]
	}
	switch {
	case len(v.Paths) == 0 && len(v.Missing) == 0:
		q.everybody(Open, firewall.Passes, place{why: noFirewall, about: string(v.ID)})
	case len(q.places) == 0:
		q.everybody(Closed, firewall.Denies, place{why: noWay, about: d.String()})
	}
	if len(v.Missing) > 0 {
		q.everybody(Unknown, firewall.Denies|firewall.Passes, place{why: missing, about: v.Missing[0]})
	}
	return q.answer()
}

// everybody folds in a verdict that is the same for every source.
func (q *Query) everybody(v Verdict, can firewall.Outcomes, p place) {
	q.places = append(q.places, p)
	q.links = append(q.links, link{place: small(len(q.places) - 1), Decision: fixed(can)})
	for f := range sieve.Family(2) {
		q.walked = append(q.walked[:0], stretch{at: sieve.Key{}, verdict: v, family: f, from: small(len(q.links) - 1), steps: 1})
		q.fold(f)
	}
}

// small returns n as it is kept: there are never 2^31 of anything.
func small(n int) int32 { return int32(n) } //nolint:gosec // See above.

// steps returns n as it is kept: no path has 2^16 firewalls.
func steps(n int) uint16 { return uint16(n) } //nolint:gosec // See above.

// fixed returns a decision that no rule takes.
func fixed(can firewall.Outcomes) sieve.Decision {
	return sieve.Decision{Rule: 0, Maybe: sieve.Nobody, Can: can}
}

// path folds in who comes through d along p. The client chooses its source port:
// a source gets in if one of its ports does. Where a rule begins or ends to speak
// about source ports they are cut, jointly for all layers, so that one port of
// each class stands for all 65,536.
func (q *Query) path(p *inventory.Path, layers []*sieve.Layer, d firewall.Door) {
	q.entered = len(q.places)
	q.columns, q.packets, q.pieces = q.columns[:0], q.packets[:0], q.pieces[:0]
	q.sources = append(q.sources[:0], 0)
	q.route(p)
	for h := range p.Hops {
		q.hop(p, &p.Hops[h], layers[h], d)
	}
	if len(p.Hops) == 0 {
		c := column{place: q.place(place{path: p.Name, why: noFirewallOnPath})}
		q.constant(&c, fixed(firewall.Passes))
		q.columns = append(q.columns, c)
	}
	slices.Sort(q.sources)
	q.sources = slices.Compact(q.sources)
	settled := len(q.pieces)
	for _, source := range q.sources {
		q.pieces = q.pieces[:settled]
		for c := range q.columns {
			if x := &q.columns[c]; x.varies {
				packet := &q.packets[x.packet]
				packet.Source = source
				x.pieces = q.sweep(q.places[x.place].layer, packet)
			}
		}
		for f := range sieve.Family(2) {
			q.walk(f)
			q.fold(f)
		}
	}
}

// sweep returns what l does to p, of a family that comes as far.
func (q *Query) sweep(l *sieve.Layer, p *sieve.Packet) (out [2][]sieve.Piece) {
	q.sieve.Match(l, p)
	for f := range out {
		if q.nobody[f] {
			continue
		}
		n := len(q.pieces)
		q.pieces = q.sieve.Sweep(sieve.Family(f), q.pieces)
		out[f] = q.pieces[n:]
	}
	return out
}

// place returns the place p, of the path that is walked.
func (q *Query) place(p place) int {
	for i := len(q.places) - 1; i >= q.entered; i-- {
		if q.places[i] == p {
			return i
		}
	}
	q.places = append(q.places, p)
	return len(q.places) - 1
}

// constant makes c the same for every source.
func (q *Query) constant(c *column, d sieve.Decision) {
	n := len(q.pieces)
	q.pieces = append(q.pieces, sieve.Piece{At: sieve.Key{}, Decision: d})
	c.pieces = [2][]sieve.Piece{q.pieces[n:], q.pieces[n:]}
}

// route adds the column of who can come along p at all, unless anybody can.
func (q *Query) route(p *inventory.Path) {
	q.nobody = [2]bool{}
	if p.From == nil && !p.Unsure && len(p.To) == 0 {
		return
	}
	c := column{route: true, place: q.place(place{path: p.Name, why: noWayFromThere})}
	for f := range c.pieces {
		start := len(q.pieces)
		q.pieces = q.comers(p, sieve.Family(f), q.pieces)
		c.pieces[f] = q.pieces[start:]
		q.nobody[f] = len(c.pieces[f]) == 1 && c.pieces[f][0].Can == firewall.Denies
	}
	q.columns = append(q.columns, c)
}

// comers appends to out who of family f can come along p.
func (q *Query) comers(p *inventory.Path, f sieve.Family, out []sieve.Piece) []sieve.Piece {
	known, others := fixed(firewall.Passes), fixed(firewall.Denies)
	var nowhere firewall.Door
	switch to := sieve.NewPacket(nowhere, p.To); {
	case len(p.To) > 0 && !to.Aimed[f]:
		return append(out, sieve.Piece{At: sieve.Key{}, Decision: others})
	case p.Unsure || slices.ContainsFunc(p.From, damaged):
		others = fixed(firewall.Denies | firewall.Passes)
	case p.From == nil:
		return append(out, sieve.Piece{At: sieve.Key{}, Decision: known})
	}
	q.blocks = q.blocks[:0]
	for _, x := range p.From {
		if family, b := sieve.BlockOf(x); x.IsValid() && family == f {
			q.blocks = append(q.blocks, b)
		}
	}
	q.blocks = sieve.Join(q.blocks, f)
	if len(q.blocks) == 0 || q.blocks[0].From != (sieve.Key{}) {
		out = append(out, sieve.Piece{At: sieve.Key{}, Decision: others})
	}
	for _, b := range q.blocks {
		if out = append(out, sieve.Piece{At: b.From, Decision: known}); b.To != f.Last() {
			out = append(out, sieve.Piece{At: b.To.Next(), Decision: others})
		}
	}
	return out
}

func damaged(p netip.Prefix) bool { return !p.IsValid() }

// hop adds the column of the firewall at h, which shows l. What can be said for every
// source port alike is said now.
func (q *Query) hop(p *inventory.Path, h *inventory.Hop, l *sieve.Layer, d firewall.Door) {
	d, to := p.Seen(*h, d)
	q.packets = append(q.packets, sieve.NewPacket(d, to))
	seen := &q.packets[len(q.packets)-1]
	c := column{packet: len(q.packets) - 1, place: q.place(place{path: p.Name, firewall: h.Firewall, layer: l}), always: h.Always}
	switch {
	case l == nil:
		q.constant(&c, fixed(firewall.Denies|firewall.Passes))
	case h.Sees.IsValid():
		q.constant(&c, q.translated(l, *seen, h.Sees))
	case l.LooksAtSourcePorts() && hasPorts(d.Protocol):
		q.sources, c.varies = q.sieve.SourcePorts(l, q.sources, d), true
	default:
		c.pieces = q.sweep(l, seen)
	}
	q.columns = append(q.columns, c)
}

// translated returns what l does behind a translation to sees. Which address of
// it a client's packet gets, and which port, is not known and not the client's to
// choose: any of them may be.
func (q *Query) translated(l *sieve.Layer, p sieve.Packet, sees netip.Prefix) (out sieve.Decision) {
	f, within := sieve.BlockOf(sees)
	before, cuts := len(q.pieces), len(q.sources)
	q.sources = append(q.sources, 0)
	if l.LooksAtSourcePorts() && hasPorts(p.Door.Protocol) {
		q.sources = q.sieve.SourcePorts(l, q.sources, p.Door)
	}
	for i := cuts; i < len(q.sources); i++ {
		p.Source = q.sources[i]
		q.sieve.Match(l, &p)
		q.pieces = q.sieve.Sweep(f, q.pieces)
		pieces := q.pieces[before:]
		for n, x := range pieces {
			if !within.To.Less(x.At) && (n+1 == len(pieces) || within.From.Less(pieces[n+1].At)) {
				out = either(out, x.Decision)
			}
		}
		q.pieces = q.pieces[:before]
	}
	q.sources = q.sources[:cuts]
	return out
}

// either returns what is known when a packet meets a or b, and nobody can say
// which: the rule that does less decides, the other makes that uncertain.
func either(a, b sieve.Decision) sieve.Decision {
	switch {
	case a.Can == 0:
		return b
	case b.Can.Least() < a.Can.Least():
		a, b = b, a
	}
	if a.Maybe == sieve.Nobody && b.Can&^a.Can != 0 {
		if a.Maybe = b.Maybe; a.Maybe == sieve.Nobody {
			a.Maybe = b.Rule
		}
	}
	a.Can |= b.Can
	return a
}

// hasPorts reports whether packets of p have ports: TCP, UDP, DCCP, SCTP and
// UDP-Lite.
func hasPorts(p firewall.Protocol) bool {
	switch p {
	case firewall.TCP, firewall.UDP, 33, 132, 136:
		return true
	}
	return false
}
