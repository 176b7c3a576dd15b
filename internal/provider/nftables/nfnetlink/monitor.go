//go:build linux

package nfnetlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// EventKind is what an event is about.
type EventKind uint8

// The kinds of events. The kernel tells the objects of a transaction first and its new generation last. That an element
// expired is told nobody.
const (
	EventLost       EventKind = iota // events were lost; whoever follows them must read the state again
	EventTable                       // Table is the table
	EventChain                       // Name is the chain
	EventRule                        // Name is the chain of the rule
	EventSet                         // Name is the set
	EventElement                     // Name is the set
	EventGeneration                  // Generation is the new one, and who made it
	EventOther                       // something that this package does not model: an object, a flowtable
)

// Generation identifies a state of the whole ruleset of a network namespace: every commit makes a new one.
type Generation struct {
	ID   uint32
	PID  uint32 // the thread (not the process) that committed it
	Comm string // the name of that thread
}

// Event tells of one change of the ruleset of a network namespace.
type Event struct {
	Kind       EventKind
	Removed    bool // the object is gone; otherwise it is new or changed
	Table      ruleset.TableID
	Name       string
	Port       uint32 // the netlink port of who made the change; see [Conn.Port]
	Generation Generation
}

// Monitor follows the changes of the ruleset of one network namespace, by whomever they are made.
type Monitor struct {
	*socket
	mu      sync.Mutex
	pending []Event
}

// OpenMonitor follows the network namespace of the calling thread. Changes made after it returns are not missed.
func OpenMonitor() (*Monitor, error) {
	s, err := openSocket(unix.NFNLGRP_NFTABLES)
	if err != nil {
		return nil, err
	}
	return &Monitor{socket: s}, nil
}

// OpenMonitorIn follows the network namespace at the path; see [DialIn].
func OpenMonitorIn(namespace string) (m *Monitor, err error) {
	inErr := inNamespace(namespace, func() { m, err = OpenMonitor() })
	if inErr != nil {
		return nil, inErr
	}
	return m, err
}

// Next returns the next event, for which it waits until the context ends. That events were lost is an event, not an
// error: the monitor goes on. It is safe for concurrent use, though each event goes to one caller only.
func (m *Monitor) Next(ctx context.Context) (Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.pending) == 0 {
		if err := ctx.Err(); err != nil {
			return Event{}, fmt.Errorf("wait for events: %w", err)
		}
		data, err := m.receiveNow()
		if errors.Is(err, unix.EAGAIN) {
			data, err = m.wait(ctx)
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			m.pending = []Event{{Kind: EventLost}}
		case err != nil:
			return Event{}, fmt.Errorf("wait for events: %w", err)
		default:
			m.pending = events(data)
		}
	}
	e := m.pending[0]
	m.pending = m.pending[1:]
	return e, nil
}

// Close ends the monitor and whatever waits for it.
func (m *Monitor) Close() error {
	if err := m.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}

// events reads one datagram. One that cannot be read is as good as lost.
func events(data []byte) []Event {
	var d ruleset.Decoder
	var list []Event
	for m := range messages(&d, data) {
		if m.typ>>8 == unix.NFNL_SUBSYS_NFTABLES {
			list = append(list, m.event(&d))
		}
	}
	if d.Err != nil {
		return []Event{{Kind: EventLost}}
	}
	return list
}

func (m message) event(d *ruleset.Decoder) Event {
	e := Event{Kind: EventOther, Port: m.port}
	f, b := m.object(d)
	e.Table.Family = f
	name := 0 // the attribute that names the chain or the set; the table is always the first one
	switch m.typ & 0xff {
	case unix.NFT_MSG_NEWGEN:
		return Event{Kind: EventGeneration, Port: m.port, Generation: readGeneration(d, b)}
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		e.Kind = EventTable
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		e.Kind, name = EventChain, unix.NFTA_CHAIN_NAME
	case unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE:
		e.Kind, name = EventRule, unix.NFTA_RULE_CHAIN
	case unix.NFT_MSG_NEWSET, unix.NFT_MSG_DELSET:
		e.Kind, name = EventSet, unix.NFTA_SET_NAME
	case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		e.Kind, name = EventElement, unix.NFTA_SET_ELEM_LIST_SET
	}
	switch m.typ & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET,
		unix.NFT_MSG_DELSETELEM, unix.NFT_MSG_DELOBJ, unix.NFT_MSG_DELFLOWTABLE:
		e.Removed = true
	}
	const table = unix.NFTA_TABLE_NAME
	for t, a := range d.Attrs(b) {
		switch int(t) {
		case table:
			e.Table.Name = d.Str(a)
		case name:
			e.Name = d.Str(a)
		}
	}
	return e
}

func readGeneration(d *ruleset.Decoder, b []byte) Generation {
	var g Generation
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_GEN_ID:
			g.ID = d.U32(a)
		case unix.NFTA_GEN_PROC_PID:
			g.PID = d.U32(a)
		case unix.NFTA_GEN_PROC_NAME:
			g.Comm = d.Str(a)
		}
	}
	return g
}
