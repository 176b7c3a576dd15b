// Package demo lets people try Sesame on their own machine, with nothing to set
// up and nothing left behind.
//
// As root on Linux it builds three VMs out of network namespaces, each with a
// real sshd (package netlab), and protects two of them with the kernel's own
// firewall. Elsewhere the same story is played over a simulated one, and it says
// so. The server is the real one in both cases, with the real API, and runs in
// this process. Beside the VMs there are machines of an AWS and an Azure that are
// simulated in this process, everywhere, and every line about them says so.
//
// # Its directory
//
// The demo that stays has a well-known one, which belongs to one demo at a time;
// a play has one of its own (package place). There are
//
//	env         where the server is, and a token for each role, for scripts
//	            and for the command line, which looks here by itself
//	ssh_config  knows the VMs by their names
//	pid         of the demo
//	state       the server's directory, with its CA
//	server.log  what the server has to say
//
// # Its people
//
// Ada is an administrator, Rosa may ask for access, Vito may look. The tokens
// are theirs.
//
// # Its end
//
// Whatever ends the demo, kill -9 included, ends everything it made: processes,
// namespaces and interfaces go with it by the kernel's doing, and two small
// processes that outlive it remove the files. The file of Options.EnvFile goes,
// too, unless it has become somebody else's.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/demo/place"
	"github.com/sesame-access/sesame/internal/demo/program"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/netlab"
)

// Options says what to do.
type Options struct {
	// Play acts the story out and ends. Otherwise the demo is there to be used,
	// until ctx is done.
	Play bool
	// EnvFile is where to write a copy of the file env when everything is ready;
	// empty for nowhere.
	EnvFile string
	// Memory plays over the simulated firewall even where the real one could be
	// had.
	Memory bool
	// Dir is instead of place.Default() or, for a play, place.Private(); for
	// tests.
	Dir string
	// Out is for the story, Err for what goes wrong in the end.
	Out, Err io.Writer
}

// Run runs a demo until it has been played or ctx is done, and removes it. The
// error of a play says which claim did not hold.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{teller: newTeller(o.Out), options: o}
	if d.options.EnvFile != "" {
		if d.options.EnvFile, err = filepath.Abs(o.EnvFile); err != nil {
			return errkind.Bad("--env-file", o.EnvFile, "a path")
		}
		if err := place.Writable(d.options.EnvFile); err != nil {
			return errkind.Wrap(errkind.Invalid, err, "--env-file: %s cannot be written: %v", errkind.Quote(o.EnvFile), err)
		}
	}
	if d.program.Path, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	switch {
	case d.options.Dir != "":
	case o.Play: // nobody has to find it, and it must not be in anybody's way
		if d.options.Dir, err = place.Private(); err != nil {
			return err
		}
	default:
		d.options.Dir = place.Default()
	}
	if err := netlab.Stale(""); err != nil {
		fmt.Fprintf(o.Err, "sesame: %v\n", err)
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	if o.Play {
		return d.goodbye()
	}
	d.line("\n%sEverything is removed.", margin)
	return nil
}

// The files in the demo's directory, besides those of package place.
const (
	stateDir   = "state" // the server's
	socketFile = "sesame.sock"
	sshFile    = "ssh_config"
)

// The VMs. The first two are protected from the start.
const (
	web   = "web-1"
	db    = "db-1"
	build = "build-1"
)

func vms() []string { return []string{web, db, build} }

const sshPort = 22

// A demo is one run.
type demo struct {
	*teller

	options Options
	place   *place.Place
	ground  ground.Ground
	cloud   *ground.Cloud  // beside it, and always simulated
	tenant  *ground.Tenant // the same
	site    ground.Site
	missing string // why there is no kernel below; empty when there is
	server  *server
	program program.Program
}

// run builds everything, plays or waits, and takes everything down, the last
// thing first.
func (d *demo) run(ctx context.Context) (err error) {
	if d.place, err = place.Claim(d.options.Dir, d.options.EnvFile); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.place.Release()) }()
	if err := d.lay(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.ground.Close()) }()
	if d.cloud, err = ground.NewCloud(ctx); err != nil {
		return err
	}
	if d.tenant, err = ground.NewTenant(); err != nil {
		return err
	}
	d.site = beside(d.ground.Site(), d.accounts()...)
	if d.server, err = startServer(ctx, d.place, d.site); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.server.stop()) }()
	if err := d.settle(ctx); err != nil {
		return err
	}
	if d.options.Play {
		return d.play(ctx)
	}
	return d.stay(ctx)
}

// lay lays the ground: the kernel's, or the simulated one where that cannot be.
func (d *demo) lay(ctx context.Context) error {
	if d.options.Memory {
		d.missing = "as you asked"
		d.ground = ground.NewSimulator(vms()...)
		return nil
	}
	k, err := ground.NewKernel(ctx, d.place.Dir(), vms()...)
	d.missing = d.whyNot(err)
	switch {
	case d.missing != "":
		d.ground = ground.NewSimulator(vms()...)
	case err != nil:
		return err
	default:
		d.ground = k
		if err := os.Symlink(k.Site().SSHConfig, d.place.Path(sshFile)); err != nil {
			return errors.Join(fmt.Errorf("name the ssh configuration: %w", err), k.Close())
		}
	}
	return nil
}

// whyNot says what is missing for a demo on the kernel, and the line that gets
// it; empty when err is not about that.
func (d *demo) whyNot(err error) string {
	switch {
	case errors.Is(err, netlab.ErrNeedsLinux):
		return "the real one needs Linux, and this is " + runtime.GOOS
	case errors.Is(err, netlab.ErrNeedsRoot) && os.Geteuid() == 0:
		return "the real one needs the right to make network namespaces; in a container: --privileged"
	case errors.Is(err, netlab.ErrNeedsRoot):
		return "the real one needs root: sudo " + program.Word(d.program.Path) + " demo"
	case errors.Is(err, netlab.ErrNoSSHD):
		return "the real one needs sshd: sudo apt-get install openssh-server"
	}
	return ""
}

// settle makes people and policy, waits until the doors are shut, and writes
// down how to use it all.
func (d *demo) settle(ctx context.Context) error {
	machines := len(vms())
	for _, a := range d.accounts() {
		machines += len(a.Names())
	}
	e, err := d.server.settle(ctx, d.site, machines, d.options.Play)
	if err != nil {
		return err
	}
	if d.site.SSHConfig != "" {
		e.SSHConfig = d.place.Path(sshFile)
	}
	d.program.Env, d.program.Home = e, d.place.Dir()
	if err := d.place.Write(place.EnvFile, e.Text()); err != nil {
		return err
	}
	if d.options.EnvFile != "" {
		return place.Replace(d.options.EnvFile, e.Text())
	}
	return nil
}

// play acts the story out.
func (d *demo) play(ctx context.Context) (err error) {
	begin := time.Now()
	d.introduce()
	if k, ok := d.ground.(*ground.Kernel); ok {
		stop, err := k.Listen(ctx, web, otherPort)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	s := &story{teller: d.teller, ground: d.ground, cloud: d.cloud, tenant: d.tenant, program: d.program, admin: d.server.admin, real: d.missing == ""}
	if err := s.tell(ctx); err != nil {
		return err
	}
	d.title(s.chapter+1, "Goodbye")
	d.say("That took %s.", time.Since(begin).Round(time.Second))
	return nil
}

// goodbye looks whether anything is left.
func (d *demo) goodbye() error {
	for _, path := range []string{d.options.Dir, d.options.EnvFile} {
		if _, err := os.Lstat(path); path != "" && err == nil {
			return fmt.Errorf("%w: %s is still there", errNotAsTold, path)
		}
	}
	if d.missing != "" {
		d.ok("every file of the demo is gone")
		return nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the addresses of this machine: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == d.site.You {
			return fmt.Errorf("%w: this machine still has the address %s", errNotAsTold, d.site.You)
		}
	}
	d.ok("the VMs, their network and every file of the demo are gone")
	return nil
}
