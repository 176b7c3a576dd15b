package authn

import (
	"context"
	"errors"
	"math"
	"net"
)

// A Peer is the process at the other end of the local socket, as the kernel
// knows it from when it connected.
type Peer struct {
	UID uint32
	PID int32
}

// errNoPeer says that a connection does not say who is at its other end.
var errNoPeer = errors.New("the connection is no local socket")

// peerKey is where a connection's peer lies in the context of its requests.
type peerKey struct{}

// ConnContext puts the peer of a local connection into the context of every
// request on it; it is for http.Server.ConnContext, which is the only way from
// a connection to its requests. A connection of another kind gets none, and one
// whose peer the kernel does not tell gets nobody.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	peer, err := PeerOf(c)
	switch {
	case errors.Is(err, errNoPeer):
		return ctx
	case err != nil:
		peer = Peer{UID: nobody, PID: 0}
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// nobody is the user id that no user can have.
const nobody = math.MaxUint32

// peerOf returns the peer of the request with the context ctx.
func peerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

// Local reports whether the request with the context ctx came over the local
// socket.
func Local(ctx context.Context) bool {
	_, ok := peerOf(ctx)
	return ok
}
