package front

import (
	"net"
	"net/netip"
	"sync"
)

// share is which part of a room one source may take: so many others have to help
// before somebody else is kept out.
const share = 4

// wholeNetwork is what one host on IPv6 has as a rule to take addresses from.
const wholeNetwork = 64

// A Room holds so many connections, and of one source a part of them. A source is
// an IPv4 address or an IPv6 network of 64 bits; what has no address, as on the
// local socket, is not told apart and may fill the room.
type Room struct {
	most int

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// NewRoom returns an empty room for so many connections.
func NewRoom(most int) *Room {
	return &Room{most: most, mu: sync.Mutex{}, all: 0, from: map[netip.Prefix]int{}}
}

// enter takes a place for a connection of a source; leave gives it back, once.
func (r *Room) enter(of netip.Prefix) (leave func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= r.most || of.IsValid() && r.from[of] >= max(r.most/share, 1) {
		return nil, false
	}
	r.all++
	r.from[of]++
	return sync.OnceFunc(func() { r.leave(of) }), true
}

func (r *Room) leave(of netip.Prefix) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.from[of]--; r.from[of] == 0 {
		delete(r.from, of)
	}
}

// source returns whose place the connection takes; the zero prefix when it has no
// address.
func source(c net.Conn) netip.Prefix {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = wholeNetwork
	}
	return netip.PrefixFrom(addr, bits).Masked()
}
