// Package netlabtest is what tests do on a lab's network. It has no part in the
// product.
package netlabtest

import (
	"errors"
	"fmt"
	"net"
)

// Abort closes a TCP connection with a reset instead of an orderly end. Nothing
// remembers the connection afterwards, so its local port can be used again at
// once.
func Abort(c net.Conn) error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("abort a connection of type %T: only TCP has a reset", c)
	}
	return errors.Join(t.SetLinger(0), t.Close())
}
