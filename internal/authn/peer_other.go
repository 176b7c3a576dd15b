//go:build !linux

package authn

import "net"

// PeerOf knows nobody here: without Linux, the local socket asks for a token.
func PeerOf(c net.Conn) (Peer, error) {
	if _, local := c.(*net.UnixConn); !local {
		return Peer{}, errNoPeer
	}
	return Peer{UID: nobody, PID: 0}, nil
}
