package daemon

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// The states that a service manager is told.
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notify tells the service manager that listens on the datagram socket (systemd
// names it in NOTIFY_SOCKET) how the daemon is. Without a socket nobody asked.
func notify(ctx context.Context, socket, state string) error {
	if socket == "" {
		return nil
	}
	if name, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + name
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixgram", socket)
	if err != nil {
		return fmt.Errorf("reach the service manager: %w", err)
	}
	defer c.Close() //nolint:errcheck // a datagram is sent or not when Write returns
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}
