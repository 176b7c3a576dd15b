package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/errkind"
)

// The limits of a connection. A request that comes in slowly is cut off.
const (
	HeaderTime   = 5 * time.Second // for the header of a request
	idleTime     = 2 * time.Minute
	shutdownTime = 10 * time.Second
	localMost    = 64 // connections on the local socket, apart from all others
)

// Listen returns a listener on a TCP address that speaks TLS, and holds at most
// as many connections as most has room for; several listeners may share it.
func Listen(ctx context.Context, addr netip.AddrPort, cfg *tls.Config, most *Room) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, errkind.Wrap(errkind.Unavailable, err, "nothing can listen on %s; is another server running there?", addr)
	}
	return tls.NewListener(&limited{Listener: l, room: most}, cfg), nil
}

// ListenSocket returns a listener on the local socket at path, which only its
// owner may open. A socket that nobody listens on any more is replaced; one that
// somebody listens on, and anything else that is there, is an error.
func ListenSocket(ctx context.Context, path string) (net.Listener, error) {
	busy := func(what string, err error) error {
		return errkind.Wrap(errkind.Unavailable, err, "the local socket %s cannot be used: %s", path, what)
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&os.ModeSocket == 0:
		return nil, busy("something else is there; move it away", nil)
	case err == nil:
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return nil, busy("another server listens on it", c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, busy("an old one is there and cannot be removed", err)
		}
	}
	// Made under a name that nobody knows and renamed when only its owner may
	// open it, so that there is no moment in which others may.
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path+".new")
	if err != nil {
		return nil, busy("it cannot be made", err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		return nil, busy("it is no socket", l.Close())
	}
	u.SetUnlinkOnClose(false)
	const ownerOnly = 0o600
	if err := errors.Join(os.Chmod(path+".new", ownerOnly), os.Rename(path+".new", path)); err != nil {
		return nil, busy("it cannot be made", errors.Join(err, l.Close(), os.Remove(path+".new")))
	}
	return &socket{limited: limited{Listener: l, room: NewRoom(localMost)}, path: path, once: sync.Once{}}, nil
}

// socket is a local socket that goes away when it is closed.
type socket struct {
	limited
	path string
	once sync.Once
}

// Close removes the socket and ends listening.
func (s *socket) Close() error {
	s.once.Do(func() { _ = os.Remove(s.path) }) // whoever starts next removes it, too
	return s.limited.Close()
}

// limited refuses connections that there is no room for, at once: a queue would
// only hide that, and let those in front hold up everybody behind.
type limited struct {
	net.Listener
	room *Room
}

// Accept returns the next connection that there is room for.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave, ok := l.room.enter(source(c)); ok {
			return &held{Conn: c, leave: leave}, nil
		}
		_ = c.Close() // nobody is served on it
	}
}

// held is a connection with a place, which it gives back when it is closed. A Unix
// connection stays below, because the kernel is asked about it.
type held struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place back.
func (h *held) Close() error {
	defer h.leave()
	return h.Conn.Close()
}

// NetConn returns the connection below.
func (h *held) NetConn() net.Conn { return h.Conn }

// Serve serves h on every listener until ctx is done, and lets the requests
// under way finish. Streams must end by themselves when ctx is done. It closes
// the listeners.
func (f *Front) Serve(ctx context.Context, h http.Handler, listeners ...net.Listener) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: HeaderTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    f.Limits.Header,
		ConnContext:       connContext,
		ErrorLog:          slog.NewLogLogger(f.Log.Handler(), slog.LevelDebug),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve on %s: %w", l.Addr(), err))
			}
		})
	}
	<-ctx.Done()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	bound, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer stop()
	if srv.Shutdown(bound) != nil {
		err = errors.Join(err, srv.Close())
	}
	wg.Wait()
	return err
}

// connContext tells every request who is at the other end of a local socket.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if h, ok := c.(*held); ok {
		c = h.Conn
	}
	return authn.ConnContext(ctx, c)
}
