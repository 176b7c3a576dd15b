//go:build linux

package nftables

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables/foreign"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/provider/nftables/table"
)

// A host is one network namespace and our connection to it.
type host struct {
	Host
	owner table.Owner

	mu   sync.Mutex
	conn *nfnetlink.Conn // nil until it is needed
	seen *view           // the frame as it was read last; nil when it must be read
	own  uint32          // transactions of ours since then that left the frame alone
}

// A view is the frame and what others wrote, as of one generation.
type view struct {
	generation uint32
	frame      *table.Frame
	obstacles  []provider.Obstacle
	others     firewall.Layer // what other people's tables do
}

// connection returns the open connection. The lock is held.
func (h *host) connection() (*nfnetlink.Conn, error) {
	if h.conn != nil {
		return h.conn, nil
	}
	var err error
	if h.NetnsPath == "" {
		h.conn, err = nfnetlink.Dial()
	} else {
		h.conn, err = nfnetlink.DialIn(h.NetnsPath)
	}
	if err != nil {
		h.conn = nil
		return nil, fmt.Errorf("reach the kernel of host %s: %w", h.Name, err)
	}
	return h.conn, nil
}

// monitor follows what happens to the host's tables.
func (h *host) monitor() (*nfnetlink.Monitor, error) {
	if h.NetnsPath == "" {
		return nfnetlink.OpenMonitor()
	}
	return nfnetlink.OpenMonitorIn(h.NetnsPath)
}

// port returns the netlink port that our own transactions come from, 0 before
// there are any.
func (h *host) port() uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		return 0
	}
	return h.conn.Port()
}

func (h *host) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		return nil
	}
	err := h.conn.Close()
	h.conn, h.seen = nil, nil
	return err
}

// reachable asks the kernel for anything at all.
func (h *host) reachable(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _, err := h.generation(ctx)
	return err
}

// generation asks the kernel for its version number, over a new connection when
// the one there was is broken. The lock is held.
func (h *host) generation(ctx context.Context) (uint32, *nfnetlink.Conn, error) {
	c, err := h.connection()
	if err != nil {
		return 0, nil, err
	}
	g, err := c.Generation(ctx)
	if err == nil || ctx.Err() != nil {
		return g.ID, c, err
	}
	h.conn, h.seen = nil, nil
	fresh, dialErr := h.connection()
	if err = errors.Join(c.Close(), dialErr); err != nil {
		return 0, nil, err
	}
	g, err = fresh.Generation(ctx)
	return g.ID, fresh, err
}

// look returns the frame as it is now. The kernel's generation counts the
// commits of everybody in the namespace. When it says that nobody but us wrote
// since the frame was read, and we wrote no more than elements, the frame is as
// it was read.
func (h *host) look(ctx context.Context) (view, *nfnetlink.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, c, err := h.generation(ctx)
	if err != nil {
		return view{}, nil, err
	}
	if h.seen != nil && g == h.seen.generation+h.own {
		return view{generation: g, frame: h.seen.frame, obstacles: h.seen.obstacles, others: h.seen.others}, c, nil
	}
	v, err := h.read(ctx, c, g)
	if err != nil {
		h.seen = nil
		return view{}, nil, err
	}
	h.seen, h.own = &v, 0
	return v, c, nil
}

// steadyReads is how often everything is read again because somebody wrote
// meanwhile. Who writes all the time must not keep us from seeing anything: then
// what was read is taken, and is not believed at the next look, because its
// generation is that from before the reading.
const steadyReads = 4

// read reads the frame and what others wrote.
func (h *host) read(ctx context.Context, c *nfnetlink.Conn, generation uint32) (view, error) {
	for range steadyReads {
		v, err := h.readOnce(ctx, c)
		if errors.Is(err, unix.ENOENT) { // a set that was listed is gone
			v.frame = nil
		} else if err != nil {
			return view{}, err
		}
		g, err := c.Generation(ctx)
		if err != nil {
			return view{}, err
		}
		v.generation, generation = generation, g.ID
		if v.frame != nil && v.generation == g.ID {
			return v, nil
		}
	}
	v, err := h.readOnce(ctx, c)
	v.generation = generation
	return v, err
}

func (h *host) readOnce(ctx context.Context, c *nfnetlink.Conn) (view, error) {
	var (
		all foreign.Ruleset
		err error
	)
	if all.Tables, err = c.Tables(ctx, ruleset.AnyFamily); err != nil {
		return view{}, err
	}
	if all.Chains, err = c.Chains(ctx, ruleset.TableID{}); err != nil {
		return view{}, err
	}
	if all.Rules, err = c.Rules(ctx, ruleset.TableID{}); err != nil {
		return view{}, err
	}
	if all.Sets, err = c.Sets(ctx, ruleset.TableID{}); err != nil {
		return view{}, err
	}
	parts := table.Parts{Tables: all.Tables, Ports: map[string][]ruleset.Element{}}
	for _, x := range all.Chains {
		if x.Table == table.ID() {
			parts.Chains = append(parts.Chains, x)
		}
	}
	for _, x := range all.Rules {
		if x.Table == table.ID() {
			parts.Rules = append(parts.Rules, x)
		}
	}
	for _, x := range all.Sets {
		if x.Table == table.ID() {
			parts.Sets = append(parts.Sets, x)
		}
	}
	for _, name := range table.PortSets(parts.Sets) {
		if parts.Ports[name], err = c.Elements(ctx, table.ID().Set(name)); err != nil {
			return view{}, err
		}
	}
	v := view{generation: 0, frame: table.NewFrame(parts), obstacles: nil, others: firewall.Layer{}}
	others := all.Without(table.ID())
	if err := h.elements(ctx, c, others); err != nil {
		return view{}, err
	}
	v.others = others.Layer(h.owner.Firewall+" (other tables)", h.owner.VM)
	for _, d := range v.frame.Locked(h.owner.VM) {
		for _, text := range foreign.Blocks(v.others, d) {
			v.obstacles = append(v.obstacles, provider.Obstacle{Door: d, Blocks: true, Text: text})
		}
	}
	return v, nil
}

// elementTime is how long one set of others may take to be read: what a set that
// takes longer holds is not known.
const elementTime = 2 * time.Second

// elements reads what the sets of others hold, as far as it decides anything.
func (h *host) elements(ctx context.Context, c *nfnetlink.Conn, others *foreign.Ruleset) error {
	others.Elements = map[ruleset.SetID][]ruleset.Element{}
	for _, set := range others.Wanted() {
		soon, cancel := context.WithTimeout(ctx, elementTime)
		elements, err := c.Elements(soon, set)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil, errors.Is(err, unix.ENOENT): // or gone meanwhile
			continue
		case err != nil:
			return err
		}
		others.Elements[set] = elements
	}
	return nil
}
