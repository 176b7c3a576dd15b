//go:build linux

package nfnetlink

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

const (
	// dumpTries is how often a dump is begun anew that commits of others keep interrupting.
	dumpTries = 20
	// dumpPause is how long to wait before that, longer every time: the kernel may be busy growing or shrinking a table.
	dumpPause = 200 * time.Microsecond
	// lookupWindow is how many keys are asked for at once: their answers fit the smallest receive buffer.
	lookupWindow = 16
)

// errInterrupted says that a dump does not show one state: something changed between its parts.
var errInterrupted = fmt.Errorf("it kept changing while it was read: %w", unix.EINTR)

// Generation returns the current state's number.
func (c *Conn) Generation(ctx context.Context) (Generation, error) {
	var g Generation
	err := c.exchange(ctx, query{msg: unix.NFT_MSG_GETGEN}, func(d *ruleset.Decoder, _ ruleset.Family, b []byte) { g = readGeneration(d, b) })
	if err != nil {
		return Generation{}, fmt.Errorf("read generation: %w", err)
	}
	return g, nil
}

// Tables returns the tables of the family, sorted by family and name.
func (c *Conn) Tables(ctx context.Context, f ruleset.Family) ([]ruleset.Table, error) {
	list, err := dump(ctx, c, query{msg: unix.NFT_MSG_GETTABLE, family: f}, (*ruleset.Decoder).Table)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	slices.SortFunc(list, func(a, b ruleset.Table) int { return compareTables(a.TableID, b.TableID) })
	return list, nil
}

// Chains returns the chains of a table, or of many, sorted by table and name. A table that is not there has none.
func (c *Conn) Chains(ctx context.Context, in ruleset.TableID) ([]ruleset.Chain, error) {
	list, err := dump(ctx, c, query{msg: unix.NFT_MSG_GETCHAIN, family: in.Family}, (*ruleset.Decoder).Chain)
	if err != nil {
		return nil, fmt.Errorf("list chains of %s: %w", in, err)
	}
	list = slices.DeleteFunc(list, func(x ruleset.Chain) bool { return !in.Admits(x.Table) })
	slices.SortFunc(list, func(a, b ruleset.Chain) int {
		return cmp.Or(compareTables(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Rules returns the rules of a table, or of many, sorted by table and chain, and within a chain in the order in which
// packets meet them. A table that is not there has none.
func (c *Conn) Rules(ctx context.Context, in ruleset.TableID) ([]ruleset.Rule, error) {
	q := query{msg: unix.NFT_MSG_GETRULE, family: in.Family}
	if in.Name != "" {
		q.body = func(e *ruleset.Encoder) { e.Name(unix.NFTA_RULE_TABLE, in.Name) }
	}
	list, err := dump(ctx, c, q, (*ruleset.Decoder).Rule)
	if err != nil {
		return nil, fmt.Errorf("list rules of %s: %w", in, err)
	}
	list = slices.DeleteFunc(list, func(x ruleset.Rule) bool { return !in.Admits(x.Table) })
	slices.SortStableFunc(list, func(a, b ruleset.Rule) int {
		return cmp.Or(compareTables(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Sets returns the sets and maps of a table, or of many, sorted by table and name. A table that is not there has none.
func (c *Conn) Sets(ctx context.Context, in ruleset.TableID) ([]ruleset.Set, error) {
	list, err := dump(ctx, c, query{msg: unix.NFT_MSG_GETSET, family: in.Family}, (*ruleset.Decoder).Set)
	if err != nil {
		return nil, fmt.Errorf("list sets of %s: %w", in, err)
	}
	list = slices.DeleteFunc(list, func(x ruleset.Set) bool { return !in.Admits(x.Table) })
	slices.SortFunc(list, func(a, b ruleset.Set) int {
		return cmp.Or(compareTables(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Elements returns the live elements of the set, sorted by key. It costs the kernel quadratic time: up to ten thousand
// elements it is a matter of milliseconds, at a million of minutes. A set that is not there is unix.ENOENT.
func (c *Conn) Elements(ctx context.Context, s ruleset.SetID) ([]ruleset.Element, error) {
	var list []ruleset.Element
	q := query{
		msg: unix.NFT_MSG_GETSETELEM, family: s.Table.Family, dump: true,
		body: func(e *ruleset.Encoder) { encodeList(e, s) },
	}
	err := c.retry(ctx, func() error {
		list = nil
		err := c.exchange(ctx, q, func(d *ruleset.Decoder, f ruleset.Family, b []byte) {
			_, more := d.Elements(f, b)
			list = append(list, more...)
		})
		sortElements(list)
		// A hash table that the kernel is resizing comes with elements twice and others not at all, without any
		// generation changing. It never leaves one out without another one coming twice.
		if err == nil && twice(list) {
			err = errInterrupted
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list elements of %s: %w", s, err)
	}
	return list, nil
}

// twice says whether an element comes twice in the sorted list.
func twice(list []ruleset.Element) bool {
	for i := 1; i < len(list); i++ {
		if compareElements(list[i-1], list[i]) == 0 {
			return true
		}
	}
	return false
}

// Lookup returns those of the elements with these keys that are live, sorted by key, at a price that does not depend on
// the size of the set. A set that is not there is unix.ENOENT.
func (c *Conn) Lookup(ctx context.Context, s ruleset.SetID, keys ...[]byte) ([]ruleset.Element, error) {
	var list []ruleset.Element
	for window := range slices.Chunk(keys, lookupWindow) {
		queries := make([]query, len(window))
		for i, key := range window {
			queries[i] = query{msg: unix.NFT_MSG_GETSETELEM, family: s.Table.Family, body: func(e *ruleset.Encoder) {
				encodeList(e, s)
				at := e.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
				(&ruleset.Element{Key: key}).Encode(e, true)
				e.EndNest(at)
			}, mayMiss: true}
		}
		err := c.exchanges(ctx, queries, func(d *ruleset.Decoder, f ruleset.Family, b []byte) {
			_, more := d.Elements(f, b)
			list = append(list, more...)
		})
		if err != nil {
			return nil, fmt.Errorf("look up elements of %s: %w", s, err)
		}
	}
	if len(list) < len(keys) {
		// The kernel says unix.ENOENT of an absent key and of an absent set alike.
		if err := c.exists(ctx, s); err != nil {
			return nil, fmt.Errorf("look up elements of %s: %w", s, err)
		}
	}
	sortElements(list)
	return slices.CompactFunc(list, func(a, b ruleset.Element) bool { return bytes.Equal(a.Key, b.Key) }), nil
}

// exists returns unix.ENOENT when there is no such set.
func (c *Conn) exists(ctx context.Context, s ruleset.SetID) error {
	return c.exchange(ctx, query{msg: unix.NFT_MSG_GETSET, family: s.Table.Family, body: func(e *ruleset.Encoder) {
		e.Name(unix.NFTA_SET_TABLE, s.Table.Name)
		e.Name(unix.NFTA_SET_NAME, s.Name)
	}}, func(*ruleset.Decoder, ruleset.Family, []byte) {})
}

// encodeList names the set in a message about its elements.
func encodeList(e *ruleset.Encoder, s ruleset.SetID) {
	e.Name(unix.NFTA_SET_ELEM_LIST_TABLE, s.Table.Name)
	e.Name(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
}

func compareTables(a, b ruleset.TableID) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Name, b.Name))
}

func compareElements(a, b ruleset.Element) int {
	return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.KeyEnd, b.KeyEnd), cmp.Compare(a.Flags, b.Flags))
}

func sortElements(list []ruleset.Element) { slices.SortFunc(list, compareElements) }

// query is one question to the kernel.
type query struct {
	msg     int
	family  ruleset.Family
	dump    bool
	mayMiss bool // unix.ENOENT is an answer, not an error
	body    func(e *ruleset.Encoder)
}

// dump collects what a dump delivers, one object in each message.
func dump[T any](ctx context.Context, c *Conn, q query, decode func(*ruleset.Decoder, ruleset.Family, []byte) T) ([]T, error) {
	q.dump = true
	var list []T
	err := c.retry(ctx, func() error {
		list = nil
		return c.exchange(ctx, q, func(d *ruleset.Decoder, f ruleset.Family, b []byte) {
			list = append(list, decode(d, f, b))
		})
	})
	return list, err
}

// retry dumps until a dump comes through whole.
func (c *Conn) retry(ctx context.Context, dump func() error) error {
	for try := range dumpTries {
		if err := dump(); !errors.Is(err, errInterrupted) {
			return err
		}
		select {
		case <-time.After(dumpPause << min(try, 8)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errInterrupted
}

func (c *Conn) exchange(ctx context.Context, q query, deliver func(*ruleset.Decoder, ruleset.Family, []byte)) error {
	return c.exchanges(ctx, []query{q}, deliver)
}

// exchanges sends queries in one piece and delivers what comes back, until each of them is answered to its end.
func (c *Conn) exchanges(ctx context.Context, queries []query, deliver func(*ruleset.Decoder, ruleset.Family, []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	base, err := c.begin(ctx, len(queries))
	if err != nil {
		return err
	}
	var e ruleset.Encoder
	for i, q := range queries {
		flags := uint16(unix.NLM_F_ACK)
		if q.dump {
			flags = unix.NLM_F_DUMP
		}
		at := beginMessage(&e, subsystem|q.msg, flags, q.family, 0)
		binary.NativeEndian.PutUint32(e.Buf[at+8:], base+uint32(i))
		if q.body != nil {
			q.body(&e)
		}
		endMessage(&e, at)
	}
	if e.Err != nil {
		return e.Err
	}
	if err := c.send(e.Buf); err != nil {
		return err
	}
	r := replies{queries: queries, base: base, open: len(queries)}
	for r.open > 0 {
		data, err := c.receive(ctx)
		if err == nil {
			err = r.read(data, deliver)
		}
		if err == nil && r.open > 0 {
			err = ctx.Err() // a long dump never waits
		}
		if err != nil {
			c.stale = true
			return err
		}
	}
	return r.err
}

// replies follows the answers to queries.
type replies struct {
	queries []query
	base    uint32
	open    int   // how many are not answered to their end
	err     error // the first that a query was answered with
}

// read takes one datagram. The error it returns means that the answers cannot be followed any longer.
func (r *replies) read(data []byte, deliver func(*ruleset.Decoder, ruleset.Family, []byte)) error {
	var d ruleset.Decoder
	for m := range messages(&d, data) {
		i := m.seq - r.base
		if i >= uint32(len(r.queries)) { //nolint:gosec // A few.
			continue // left over from an exchange that was given up
		}
		if m.flags&unix.NLM_F_DUMP_INTR != 0 {
			r.fail(errInterrupted)
		}
		switch m.typ {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			r.open--
			if a := m.answer(&d); a.errno != 0 && (a.errno != unix.ENOENT || !r.queries[i].mayMiss) {
				r.fail(&OpError{Op: -1, Element: -1, What: "read", Errno: a.errno, Text: a.text, Offset: a.offset})
			}
		default:
			if f, b := m.object(&d); d.Err == nil && m.typ>>8 == unix.NFNL_SUBSYS_NFTABLES {
				deliver(&d, f, b)
			}
		}
	}
	return d.Err
}

func (r *replies) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
