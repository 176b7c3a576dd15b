package action

import (
	"iter"
	"slices"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/wire"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A head is anything with an id and an owner.
type head interface{ Head() world.Resource }

// A listing is an action that describes resources of one kind: by id, by filter,
// in pages.
type listing[T head, D any] struct {
	element     string   // of the reply: "reservationSet"
	ids         string   // the parameter with ids, "" for none
	kind        string   // how ids begin
	least, most int      // the bounds of a page; 0 for none
	exclusive   bool     // ids and pages cannot be had together
	flags       []string // parameters that make no difference here
	rows        func(c *Call) iter.Seq[T]
	mine        func(*Call, world.Resource) bool // nil: those of the account
	attribute   func(wire.View, T, string) ([]string, bool)
	document    func(wire.View, T) D
}

// action makes an action of a listing.
func (l listing[T, D]) action() Action {
	return Action{Run: func(c *Call) (query.Reply, error) { return l.run(c) }}
}

func (l listing[T, D]) run(c *Call) (query.Reply, error) {
	filters := c.Filters()
	for _, f := range l.flags {
		c.Flag(f)
	}
	var ids []string
	if l.ids != "" {
		ids = c.Texts(l.ids)
	}
	page := query.Page{}
	if l.most > 0 {
		page = c.Page(c.Setting.PageKey, l.least, l.most, l.ids, l.exclusive)
	}
	if err := c.permit(); err != nil {
		return nil, err
	}
	v := c.view()
	var nothing T
	if err := query.Unknown(filters, func(name string) ([]string, bool) { return l.attribute(v, nothing, name) }); err != nil {
		return nil, err
	}
	rows, err := l.wanted(c, ids)
	if err != nil {
		return nil, err
	}
	rows, next := l.cut(c, rows, page, func(r T) bool {
		return query.Keeps(filters, func(name string) ([]string, bool) { return l.attribute(v, r, name) })
	})
	list := wire.List[D]{}
	for _, r := range rows {
		list.Items = append(list.Items, l.document(v, r))
	}
	return query.Reply{{Name: l.element, Value: list}, {Name: "nextToken", Value: next}}, nil
}

// wanted returns the rows that the caller may see, or those of them with the
// given ids; it is an error if one is not there.
func (l listing[T, D]) wanted(c *Call, ids []string) ([]T, error) {
	mine := c.mine
	if l.mine != nil {
		mine = func(r world.Resource) bool { return l.mine(c, r) }
	}
	rows := rowsOf(l.rows(c), mine)
	if len(ids) == 0 {
		return rows, nil
	}
	there := map[string]bool{}
	for _, r := range rows {
		there[r.Head().ID] = true
	}
	for _, id := range ids {
		if !there[id] {
			return nil, c.World.Absent(l.kind, id)
		}
	}
	return slices.DeleteFunc(rows, func(r T) bool { return !slices.Contains(ids, r.Head().ID) }), nil
}

// cut returns one page of the rows that are kept, and the token for the next.
func (l listing[T, D]) cut(c *Call, rows []T, page query.Page, keep func(T) bool) (out []T, next string) {
	looked := 0
	for _, r := range rows {
		id := r.Head().ID
		if id <= page.After {
			continue
		}
		if page.Size > 0 && (len(out) == page.Size || c.Setting.ShortPages && looked == page.Size) {
			return out, next
		}
		looked++
		if keep(r) {
			out = append(out, r)
		}
		if page.Size > 0 {
			next = page.Token(id)
		}
	}
	return out, ""
}

// rowsOf returns the rows that an account can see.
func rowsOf[T head](rows iter.Seq[T], mine func(world.Resource) bool) []T {
	var out []T
	for r := range rows {
		if mine(r.Head()) {
			out = append(out, r)
		}
	}
	return out
}
