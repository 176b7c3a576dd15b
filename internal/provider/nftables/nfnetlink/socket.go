//go:build linux

package nfnetlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// socket is a netlink socket. Only one that hears of events is under the Go runtime's poller: the answers to what was
// sent are there before the sending returns, and each would wake a thread of the poller's that finds nothing to do.
type socket struct {
	file  *os.File
	raw   syscall.RawConn
	port  uint32
	limit int
	buf   []byte
}

// openSocket opens a socket of the calling thread's network namespace that is a member of the group, 0 for none.
func openSocket(group int) (*socket, error) {
	kind := unix.SOCK_RAW | unix.SOCK_CLOEXEC
	if group != 0 {
		kind |= unix.SOCK_NONBLOCK // which puts it under the poller
	}
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := configure(fd, group); err != nil {
		_ = unix.Close(fd) // Nothing was written to it.
		return nil, err
	}
	return newSocket(fd)
}

// configure makes a fresh netlink socket ours.
func configure(fd, group int) error {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind netlink socket: %w", err)
	}
	for _, option := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1); err != nil {
			return fmt.Errorf("set netlink option %d: %w", option, err)
		}
	}
	if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer); err != nil {
		return err
	}
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return err
	}
	if group == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
		return fmt.Errorf("subscribe to nf_tables events: %w", err)
	}
	return nil
}

// newSocket takes over a configured socket.
func newSocket(fd int) (*socket, error) {
	const reserved = 32 // what the kernel keeps of the send buffer
	file := os.NewFile(uintptr(fd), "netlink")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink socket: %w", err), file.Close())
	}
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read size of send buffer: %w", err), file.Close())
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read netlink port: %w", err), file.Close())
	}
	s := &socket{file: file, raw: raw, limit: size - reserved, buf: make([]byte, datagram)}
	if own, ok := name.(*unix.SockaddrNetlink); ok {
		s.port = own.Pid
	}
	return s, nil
}

// setBuffer sets a buffer size beyond the system's limit, or up to it where that is not allowed.
func setBuffer(fd, force, plain, size int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size); err != nil {
		return fmt.Errorf("set size of socket buffer: %w", err)
	}
	return nil
}

// send hands data to the kernel, which works on them before it returns. After an error it has not seen them.
func (s *socket) send(data []byte) error {
	var sendErr error
	err := s.raw.Write(func(fd uintptr) bool {
		for {
			// MSG_NOSIGNAL and no address: a netlink socket that is not connected speaks to the kernel.
			sendErr = unix.Send(int(fd), data, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if !errors.Is(sendErr, unix.EINTR) {
				return true
			}
		}
	})
	if err != nil {
		sendErr = os.ErrClosed // what else could keep the function from being called
	}
	if sendErr != nil {
		return fmt.Errorf("send to the kernel: %w", sendErr)
	}
	return nil
}

// receive returns the next datagram from the kernel, which is valid until the next call. It waits no longer than
// answerTimeout or the context allow.
func (s *socket) receive(ctx context.Context) ([]byte, error) {
	// The answer to what was just sent is there already: no timer.
	if data, err := s.receiveNow(); !errors.Is(err, unix.EAGAIN) {
		return data, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout,
		fmt.Errorf("wait %v for the kernel's answer: %w", answerTimeout, context.DeadlineExceeded))
	defer cancel()
	return s.await(ctx)
}

// await returns the next datagram, for which it looks again and again until the context ends.
func (s *socket) await(ctx context.Context) ([]byte, error) {
	const often = 10 // milliseconds
	for ctx.Err() == nil {
		// When it fails, so does the receiving.
		_ = s.raw.Control(func(fd uintptr) {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, often) //nolint:gosec // A descriptor is small.
		})
		if data, err := s.receiveNow(); !errors.Is(err, unix.EAGAIN) {
			return data, err
		}
	}
	return nil, context.Cause(ctx)
}

// receiveNow returns the next datagram, or unix.EAGAIN when there is none yet.
func (s *socket) receiveNow() (data []byte, err error) {
	if ctlErr := s.raw.Control(func(fd uintptr) { data, err = s.recv(int(fd)) }); ctlErr != nil {
		return nil, fmt.Errorf("receive from the kernel: %w", os.ErrClosed)
	}
	return data, err
}

// wait returns the next datagram of a socket under the poller, for which it waits until the context ends.
func (s *socket) wait(ctx context.Context) (data []byte, err error) {
	if s.file.SetReadDeadline(time.Time{}) != nil {
		return nil, fmt.Errorf("receive from the kernel: %w", os.ErrClosed)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = s.file.SetReadDeadline(time.Unix(1, 0)) // It fails on a closed socket, whose read has ended already.
	})
	readErr := s.raw.Read(func(fd uintptr) bool {
		data, err = s.recv(int(fd))
		return !errors.Is(err, unix.EAGAIN)
	})
	if !stop() {
		<-interrupted // so that it cannot interrupt the next wait
	}
	switch {
	case readErr == nil:
		return data, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, fmt.Errorf("receive from the kernel: %w", os.ErrClosed)
	}
}

// recv reads one datagram. What did not come from the kernel, whose port is 0, is not for us.
func (s *socket) recv(fd int) ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(fd, s.buf, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("receive from the kernel: %w", err)
		case n > len(s.buf):
			return nil, fmt.Errorf("receive from the kernel: a datagram of %d bytes, at most %d expected: %w",
				n, len(s.buf), unix.EMSGSIZE)
		case n == 0:
			return nil, fmt.Errorf("receive from the kernel: an empty datagram: %w", ruleset.ErrMalformed)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid != 0 {
			continue
		}
		return s.buf[:n], nil
	}
}

// drain throws away what is still waiting of an exchange that was given up. A dump that was not read to its end would
// make the kernel refuse the next one.
func (s *socket) drain() error {
	for {
		_, err := s.receiveNow()
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENOBUFS), err == nil:
			continue
		default:
			return err
		}
	}
}
