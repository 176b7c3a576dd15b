//go:build linux

package nfnetlink

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of the test's own.
type namespace string

// newNamespace makes one that lasts as long as the test. Nothing here ever writes to the namespace we run in.
func newNamespace(tb testing.TB) namespace {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root: it writes nf_tables rules in a network namespace of its own")
	}
	type result struct {
		ns  *os.File
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		made <- result{ns, err}
	}()
	r := <-made
	if r.err != nil {
		tb.Fatalf("make network namespace: %v", r.err)
	}
	tb.Cleanup(func() { _ = r.ns.Close() })
	return namespace(fmt.Sprintf("/proc/self/fd/%d", r.ns.Fd()))
}

// dial opens a connection that the test closes.
func (n namespace) dial(tb testing.TB) *Conn {
	tb.Helper()
	c, err := DialIn(string(n))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// run runs a program inside of the namespace and returns what it printed.
func (n namespace) run(tb testing.TB, stdin, name string, args ...string) string {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	var runErr error
	err := inNamespace(string(n), func() {
		cmd := exec.CommandContext(tb.Context(), name, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
		runErr = cmd.Run()
	})
	if err != nil || runErr != nil {
		tb.Fatalf("%s %s: %v %v\n%s", name, strings.Join(args, " "), err, runErr, &stderr)
	}
	return stdout.String()
}

// nft runs the nft tool, our oracle: what it reads is what we wrote, or we wrote it wrong.
func (n namespace) nft(tb testing.TB, args ...string) string {
	tb.Helper()
	return n.run(tb, "", "nft", args...)
}

// load lets nft write a ruleset.
func (n namespace) load(tb testing.TB, text string) {
	tb.Helper()
	n.run(tb, text, "nft", "-f", "-")
}

func commit(tb testing.TB, c *Conn, b *Batch) {
	tb.Helper()
	if err := c.Commit(tb.Context(), b); err != nil {
		tb.Fatal(err)
	}
}
