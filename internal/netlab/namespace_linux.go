package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errUnfinished is what a function leaves behind that ended its goroutine
// instead of returning, as t.Fatal does.
var errUnfinished = errors.New("the function did not return")

// A namespace is a network namespace held open by a file.
type namespace struct {
	file *os.File
}

// newNamespace makes an empty network namespace with its loopback up.
func newNamespace() (*namespace, error) {
	var n *namespace
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			if errors.Is(err, unix.EPERM) {
				return ErrNeedsRoot
			}
			return fmt.Errorf("unshare: %w", err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set loopback up: %w", err)
		}
		n, err = currentNamespace()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// currentNamespace returns the network namespace of the calling thread.
func currentNamespace() (*namespace, error) {
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the current namespace: %w", err)
	}
	return &namespace{file: file}, nil
}

func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// enter moves the calling thread into the namespace for good.
func (n *namespace) enter() error {
	return os.NewSyscallError("setns", unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET))
}

// do runs f on a thread inside the namespace.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return f()
	})
}

// onOwnThread runs f on an operating-system thread that ends with it, so that
// f may change what belongs to a thread and nothing needs to be changed back.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	spawnThread(func() {
		err := errUnfinished
		defer func() { result <- err }()
		err = f()
	})
	return <-result
}

// spawnThread is onOwnThread without waiting. The main thread is passed over:
// it cannot end, and /proc/self shows its namespaces to the whole world.
func spawnThread(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked but below: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		other := make(chan struct{})
		spawnThread(func() {
			close(other)
			f()
		})
		<-other
		runtime.UnlockOSThread()
	}()
}

func setReuseAddress(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
}
