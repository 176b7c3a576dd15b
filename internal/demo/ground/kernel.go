package ground

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/netlab"
)

// Kernel is a ground of network namespaces, with a real sshd in each VM behind
// the kernel's own firewall.
type Kernel struct{ lab *netlab.Lab }

// NewKernel builds a ground for VMs of the given names, with its files below
// base. The errors are those of netlab.New.
func NewKernel(ctx context.Context, base string, vms ...string) (*Kernel, error) {
	lab, err := netlab.New(ctx, netlab.Options{
		Base: base, VMs: vms, Clients: []string{"stranger"}, Caller: true,
	})
	if err != nil {
		return nil, err
	}
	return &Kernel{lab: lab}, nil
}

// Site implements Ground.
func (k *Kernel) Site() Site {
	v4, v6 := k.lab.Subnets()
	s := Site{
		Hosts: nil, You: k.lab.Caller().Addr4(), Stranger: k.lab.Client("stranger").Addr4(),
		Allowed: []netip.Prefix{v4.Masked()}, SSHConfig: k.lab.SSHConfig(), Providers: nil,
	}
	if v6.IsValid() {
		s.Allowed = append(s.Allowed, v6.Masked())
	}
	for _, v := range k.lab.VMs() {
		h := config.Host{Name: v.Name(), Addresses: []netip.Addr{v.Addr4()}, NetNS: v.NetnsPath()}
		if v.Addr6().IsValid() {
			h.Addresses = append(h.Addresses, v.Addr6())
		}
		s.Hosts = append(s.Hosts, h)
	}
	slices.SortFunc(s.Hosts, func(a, b config.Host) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// Knock implements Ground.
func (k *Kernel) Knock(ctx context.Context, from Side, vm string, port uint16) (bool, error) {
	host := k.lab.Caller()
	if from == Stranger {
		host = k.lab.Client("stranger")
	}
	c, err := host.Dial(ctx, "tcp", netip.AddrPortFrom(k.lab.VM(vm).Addr4(), port).String())
	if err == nil {
		return true, c.Close()
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return false, nil
	}
	return false, fmt.Errorf("connect to %s:%d: %w", vm, port, err)
}

// Login logs in by ssh and talks to cat.
func (k *Kernel) Login(ctx context.Context, vm string) (Session, error) {
	cmd := k.lab.Caller().Command(ctx, "ssh", "-F", k.lab.SSHConfig(), vm, "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("prepare ssh: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("prepare ssh: %w", err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &sshSession{cmd: cmd, in: in, lines: make(chan string), said: &said}
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	if err := s.Alive(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("ssh %s: %w", vm, err), s.Close())
	}
	return s, nil
}

// Flush runs a program of its own in the VM, so that it is somebody else who
// does it.
func (k *Kernel) Flush(ctx context.Context, vm string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := k.lab.VM(vm).Command(ctx, self)
	cmd.Args = []string{stageFlusher}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("flush the rules of %s: %w: %s", vm, err, out)
	}
	return nil
}

// Close implements Ground.
func (k *Kernel) Close() error { return k.lab.Close() }

// An sshSession is a login whose other end repeats every line.
type sshSession struct {
	cmd   *netlab.Cmd
	in    io.WriteCloser
	lines chan string
	said  *strings.Builder // read it only after the end
}

func (s *sshSession) Alive(ctx context.Context) error {
	const answerTime = 5 * time.Second
	word := time.Now().Format(time.RFC3339Nano)
	if _, err := io.WriteString(s.in, word+"\n"); err != nil {
		return fmt.Errorf("write into the session: %w", err)
	}
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("the session did not answer within %v", answerTime)
	case line, open := <-s.lines:
		if !open {
			return errors.New("the session ended")
		}
		if line != word {
			return fmt.Errorf("the session answered %q to %q", line, word)
		}
		return nil
	}
}

func (s *sshSession) Close() error {
	err := s.in.Close()
	for range s.lines { // until the other end has closed, too
		continue
	}
	if werr := s.cmd.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", werr, strings.TrimSpace(s.said.String())))
	}
	return err
}

// Listen answers on another port of a VM until stop: a port where nobody listens
// would say nothing about a firewall.
func (k *Kernel) Listen(ctx context.Context, vm string, port uint16) (stop func() error, err error) {
	l, err := k.lab.VM(vm).Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen on %s:%d: %w", vm, port, err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // it was let in, and that is all that counts
		}
	}()
	return l.Close, nil
}

// VM returns a VM of the ground's, for what the interface does not have.
func (k *Kernel) VM(name string) *netlab.VM { return k.lab.VM(name) }
