package reach

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// A Query answers questions. It keeps its working memory between them, so that
// in the long run it allocates nothing but its answers. The zero value is ready;
// it is not for use by two goroutines at once.
type Query struct {
	// Of the layer that is swept:
	kinds  []kind
	active [kinds]tracker

	// Of the path that is walked:
	columns []column
	pieces  []piece
	sources []uint16
	blocks  []block

	// Of the answer that is put together:
	places []place
	chains []link
	best   []stretch // of one family, over the paths so far
	walked []stretch // of one path
	folded []stretch
	found  []stretch // of both families
}

// A place is what stands on a path: a firewall, or what stands for one.
type place struct {
	firewall firewall.ID // empty for what is no firewall
	layer    *Compiled   // nil when it could not be read
	text     string      // what is to be said where there is no layer
	about    string      // and about what
}

// A packet is what is fixed about the packets that a hop sees.
type packet struct {
	door   firewall.Door
	source uint16 // the client's port
	to     key
	aimed  bool // whether to is known
}

// A column is what one firewall on a path does to each source.
type column struct {
	packet

	place  int
	or     bool // it stands at the same place as the column before
	always bool
	varies bool // with the client's port
	route  bool // it says who can come this way, not what a firewall does
	pieces []piece
	at     int // where the walk is
}

// A link of the chain of decisions that leads to a verdict.
type link struct {
	place int
	decision
}

// A stretch is what becomes of the sources from a key up to the next stretch,
// and by which links.
type stretch struct {
	at       key
	verdict  Verdict
	path     int // -1 when it is none
	from, to int // in Query.chains
}

// VM returns who can come through d of v, given what each firewall shows. A
// source gets in if any path lets it in. A firewall without a layer is unknown;
// a VM without a path has nothing in front of it and is open. While something
// about the VM is missing there may be a path that nobody has seen, and no
// source is proven to be kept out.
func (q *Query) VM(v inventory.VM, m Model, d firewall.Door) Set {
	q.places, q.chains, q.found = q.places[:0], q.chains[:0], q.found[:0]
	sixth := 0
	for f := range family(2) {
		sixth = len(q.found)
		q.best = q.best[:0]
		for i := range v.Paths {
			if p := &v.Paths[i]; p.Leads(d) {
				q.path(p, i, m, d, f)
			}
		}
		switch {
		case len(v.Paths) == 0 && len(v.Missing) == 0:
			q.everybody(Open, Passes, place{text: "no firewall in front of ", about: string(v.ID)})
		case len(q.best) == 0:
			q.everybody(Closed, Denies, place{text: "no way leads to ", about: d.String()})
		}
		if len(v.Missing) > 0 {
			q.everybody(Unknown, Denies|Passes, place{text: "not known: ", about: v.Missing[0]})
		}
		q.found = append(q.found, q.best...)
	}
	return q.answer(v.Paths, sixth)
}

// everybody folds in a verdict that is the same for every source.
func (q *Query) everybody(v Verdict, can Outcomes, p place) {
	n := len(q.chains)
	q.chains = append(q.chains, link{place: q.place(p), decision: decision{rule: 0, maybe: nobody, can: can}})
	q.walked = append(q.walked[:0], stretch{at: key{}, verdict: v, path: -1, from: n, to: n + 1})
	q.fold()
}

func (q *Query) place(p place) int {
	q.places = append(q.places, p)
	return len(q.places) - 1
}

// path folds in who comes through d along p. The client chooses its source port:
// a source gets in if one of its ports does. Where a rule begins or ends to speak
// about source ports they are cut, jointly for all layers, so that one port of
// each class stands for all 65,536.
func (q *Query) path(p *inventory.Path, i int, m Model, d firewall.Door, f family) {
	q.columns, q.pieces, q.sources = q.columns[:0], q.pieces[:0], append(q.sources[:0], 0)
	q.route(p, f)
	for h := range p.Hops {
		q.hop(p, &p.Hops[h], m, d, f)
	}
	if len(p.Hops) == 0 {
		q.column(column{place: q.place(place{text: "no firewall on path ", about: p.Name})}, decision{rule: 0, maybe: nobody, can: Passes})
	}
	slices.Sort(q.sources)
	q.sources = slices.Compact(q.sources)
	settled := len(q.pieces)
	for _, source := range q.sources {
		q.pieces = q.pieces[:settled]
		for c := range q.columns {
			x := &q.columns[c]
			if x.source = source; x.varies {
				x.pieces = q.sweep(q.places[x.place].layer, &x.packet, f)
			}
			x.at = 0
		}
		q.walk(i)
		q.fold()
	}
}

// column adds a column that is the same for every source.
func (q *Query) column(c column, d decision) {
	n := len(q.pieces)
	q.pieces = append(q.pieces, piece{at: key{}, decision: d})
	c.pieces = q.pieces[n:]
	q.columns = append(q.columns, c)
}

// route adds the column of who can come along p at all, unless anybody can.
func (q *Query) route(p *inventory.Path, f family) {
	_, reaches := addressOf(p.To, f)
	reaches = reaches || len(p.To) == 0
	if reaches && p.From == nil && !p.Unsure {
		return
	}
	other := decision{rule: 0, maybe: nobody, can: Denies}
	c := column{route: true, place: q.place(place{text: "nobody else comes this way: path ", about: p.Name})}
	if !reaches {
		q.places[c.place].text = "no address of this family on path "
		q.column(c, other)
		return
	}
	if p.Unsure {
		other.can = Denies | Passes
		q.places[c.place].text = "not known who else comes this way: path "
	}
	q.blocks = q.blocks[:0]
	for _, x := range p.From {
		if !x.IsValid() {
			continue
		}
		if family, b := blockOf(x); family == f {
			q.blocks = append(q.blocks, b)
		}
	}
	q.column(c, other)
	pieces := q.pieces[len(q.pieces)-1:]
	known := decision{rule: 1, maybe: nobody, can: Passes}
	for _, b := range join(q.blocks, f) {
		if b.from == (key{}) {
			pieces = pieces[:0]
		}
		if pieces = append(pieces, piece{at: b.from, decision: known}); b.to != f.last() {
			pieces = append(pieces, piece{at: b.to.next(), decision: other})
		}
	}
	q.pieces = append(q.pieces[:len(q.pieces)-1], pieces...)
	q.columns[len(q.columns)-1].pieces = pieces
}

// hop adds the columns of the firewalls at h. What can be said for every source
// port alike is said now.
func (q *Query) hop(p *inventory.Path, h *inventory.Hop, m Model, d firewall.Door, f family) {
	if h.Sees.IsValid() {
		f = familyOf(h.Sees.Addr())
	}
	if h.Port != 0 {
		d.Port = h.Port
	}
	to := p.To
	if h.To != nil {
		to = h.To
	}
	seen := packet{door: d, source: 0, to: key{}, aimed: false}
	if a, ok := addressOf(to, f); ok {
		seen.to, seen.aimed = keyOf(a), true
	}
	for i := range 1 + len(h.Or) {
		id := h.Firewall
		if i > 0 {
			id = h.Or[i-1]
		}
		l := m[id]
		c := column{packet: seen, place: q.place(place{firewall: id, layer: l}), or: i > 0, always: h.Always}
		switch {
		case l == nil:
			q.column(c, decision{rule: 0, maybe: nobody, can: Denies | Passes})
		case h.Sees.IsValid():
			q.column(c, q.translated(l, &seen, h.Sees))
		case l.ports && hasPorts(d.Protocol):
			q.sources, c.varies = l.sources(q.sources, &seen), true
			q.columns = append(q.columns, c)
		default:
			c.pieces = q.sweep(l, &seen, f)
			q.columns = append(q.columns, c)
		}
	}
}

// translated returns what l does behind a translation to sees. Which address of
// it a client's packet gets, and which port, is not known and not the client's to
// choose: any of them may be.
func (q *Query) translated(l *Compiled, p *packet, sees netip.Prefix) decision {
	seen := *p
	f, within := blockOf(sees)
	before, cuts := len(q.pieces), len(q.sources)
	q.sources = append(q.sources, 0)
	if l.ports && hasPorts(p.door.Protocol) {
		q.sources = l.sources(q.sources, p)
	}
	var out decision
	for i := cuts; i < len(q.sources); i++ {
		seen.source = q.sources[i]
		pieces := q.sweep(l, &seen, f)
		for n, x := range pieces {
			if within.to.less(x.at) || n+1 < len(pieces) && !within.from.less(pieces[n+1].at) {
				continue
			}
			out = either(out, x.decision)
		}
		q.pieces = q.pieces[:before]
	}
	q.sources = q.sources[:cuts]
	return out
}

// either returns what is known when a packet meets a or b, and nobody can say
// which: the rule that does less decides, the other makes that uncertain.
func either(a, b decision) decision {
	switch {
	case a.can == 0:
		return b
	case b.can&-b.can < a.can&-a.can:
		a, b = b, a
	}
	if a.maybe == nobody && b.can&^a.can != 0 {
		if a.maybe = b.maybe; a.maybe == nobody {
			a.maybe = b.rule
		}
	}
	a.can |= b.can
	return a
}

func addressOf(list []netip.Addr, f family) (netip.Addr, bool) {
	for _, a := range list {
		if a.IsValid() && familyOf(a) == f {
			return a, true
		}
	}
	return netip.Addr{}, false
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
