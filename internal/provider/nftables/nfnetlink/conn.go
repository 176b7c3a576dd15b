//go:build linux

package nfnetlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

const (
	// sendBuffer bounds one transaction: about half a million elements. The kernel reserves none of it.
	sendBuffer = 64 << 20
	// receiveBuffer holds the answers that have not been read, for a batch in which thousands of messages fail.
	receiveBuffer = 16 << 20
	// answerTimeout is how long the kernel has to answer. It answers before the send returns, so that only a lost answer
	// takes this long.
	answerTimeout = 5 * time.Second
	// datagram is longer than anything that the kernel sends in one piece.
	datagram = 128 << 10
)

// Conn is one netlink socket of one network namespace. It is safe for concurrent use; one exchange runs at a time.
type Conn struct {
	*socket
	mu    sync.Mutex
	seq   uint32
	stale bool // an exchange was given up; its answers may still be waiting
}

// Dial opens a connection to nf_tables in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	s, err := openSocket(0)
	if err != nil {
		return nil, err
	}
	return &Conn{socket: s, seq: 1}, nil
}

// DialIn opens a connection to nf_tables in the network namespace at the path: /run/netns/NAME, /proc/PID/ns/net, or
// /proc/self/fd/N for one that is open. The connection stays in that namespace; the caller stays in its own.
func DialIn(namespace string) (c *Conn, err error) {
	inErr := inNamespace(namespace, func() { c, err = Dial() })
	if inErr != nil {
		return nil, inErr
	}
	return c, err
}

// inNamespace runs f on a thread of its own that is inside the network namespace.
func inNamespace(path string, f func()) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close() //nolint:errcheck // Only read from.
	done := make(chan error)
	go func() {
		// Never unlocked: the thread, which belongs to another namespace now, ends with this goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace %s: %w", path, err)
			return
		}
		f()
		done <- nil
	}()
	return <-done
}

// Commit sends the transaction and waits for the kernel's answer; see the package documentation for what it returns. An
// empty batch is committed without asking the kernel. A context that ends while the answer is awaited makes the outcome
// unknown; one that has ended before prevents the sending.
func (c *Conn) Commit(ctx context.Context, b *Batch) error {
	switch {
	case b.e.Err != nil:
		return fmt.Errorf("commit transaction: %w", b.e.Err)
	case len(b.sent) == 0:
		return nil
	case b.Size() > c.limit:
		return fmt.Errorf("commit transaction: it has %d bytes and the socket takes %d, split it: %w",
			b.Size(), c.limit, unix.EMSGSIZE)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	base, err := c.begin(ctx, len(b.sent)+2)
	if err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	if err := c.send(b.seal(base)); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	refused, err := c.outcome(ctx, b, base)
	if err != nil {
		c.stale = true
		return fmt.Errorf("commit transaction: %w: %w", ErrOutcomeUnknown, err)
	}
	if refused != nil {
		return refused
	}
	return nil
}

// outcome collects the answers to a batch. The kernel queues them in order and only after it committed or gave up, so
// that the answer to the last message, or one to the batch as a whole, is the end.
func (c *Conn) outcome(ctx context.Context, b *Batch, base uint32) (*BatchError, error) {
	var failures []*OpError
	refused := func() *BatchError {
		if len(failures) == 0 {
			return nil
		}
		return &BatchError{Failures: failures}
	}
	for {
		data, err := c.receive(ctx)
		if err != nil {
			return nil, err
		}
		var d ruleset.Decoder
		for m := range messages(&d, data) {
			i := int(int32(m.seq-base)) - 1 //nolint:gosec // Sequence numbers wrap.
			if m.typ != unix.NLMSG_ERROR || i < -1 || i >= len(b.sent) {
				continue // left over from an exchange that was given up
			}
			a := m.answer(&d)
			if a.errno != 0 {
				failures = append(failures, b.failure(i, a))
			}
			if i == -1 || i == len(b.sent)-1 {
				return refused(), d.Err
			}
		}
		if d.Err != nil {
			return nil, d.Err
		}
	}
}

// begin makes ready for an exchange of n messages and returns the first of their sequence numbers.
func (c *Conn) begin(ctx context.Context, n int) (uint32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.stale {
		if err := c.drain(); err != nil {
			return 0, err
		}
		c.stale = false
	}
	base := c.seq
	c.seq += uint32(n) //nolint:gosec // Wraps as sequence numbers do.
	return base, nil
}

// Limit returns the size in bytes of the largest batch that Commit can send.
func (c *Conn) Limit() int { return c.limit }

// Port returns the netlink port of the connection, by which an [Event] tells who made a change.
func (c *Conn) Port() uint32 { return c.port }

// Close closes the connection. An exchange that is under way fails. Tables that it owns without TablePersist vanish.
func (c *Conn) Close() error {
	if err := c.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}
