package netlab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// What a stage is called, in place of the program's name.
const (
	stageVM     = "sesame-netlab-vm"
	stageReaper = "sesame-netlab-reaper"
)

// pathInside is the search path of what runs inside a VM before a login.
const pathInside = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Stage takes over when this process was started by a lab for one of its small
// jobs: to become the first process of a VM, or to be the reaper. It reports
// whether it did, and the code to exit with. Call it before anything else in
// main and in TestMain:
//
//	if code, ran := netlab.Stage(os.Args, os.Stderr); ran {
//		os.Exit(code)
//	}
func Stage(args []string, stderr io.Writer) (code int, ran bool) {
	var err error
	switch {
	case len(args) == 5 && args[0] == stageVM:
		err = becomeVM(machine{name: args[1], lab: args[2], home: args[3], sshd: args[4]})
	case len(args) == 2 && args[0] == stageReaper:
		err = reap(args[1], os.Stdin)
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
		return 1, true
	}
	return 0, true
}

// becomeVM furnishes the fresh namespaces of this process and turns it into the
// VM's sshd. It returns only when that fails.
func becomeVM(m machine) error {
	if err := unix.Sethostname([]byte(m.name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := m.furnish(); err != nil {
		return err
	}
	argv := []string{m.sshd, "-D", "-e", "-f", m.file("sshd_config")}
	// Newer servers lock out an address that behaves oddly, as a test of a
	// firewall does; older ones refuse to start when told not to.
	patient := []string{"-o", "PerSourcePenalties=no"}
	try := append(append([]string{"-t"}, argv[3:]...), patient...)
	if exec.Command(m.sshd, try...).Run() == nil { //nolint:gosec,noctx // the lab chose it; it ends at once
		argv = append(argv, patient...)
	}
	// The signal that ends us with the lab was asked for by the thread we began
	// on. The thread that executes sshd is the one to survive, so it asks again.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the VM's life to the lab's: %w", err)
	}
	return fmt.Errorf("run %s: %w", m.sshd, unix.Exec(m.sshd, argv, []string{pathInside}))
}

// furnish gives the VM its own processes, home, /run, /var/log and password
// file. The last has no passwords: a locked account, as root often is, may not
// log in even by key, and one without a password may.
func (m machine) furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, dir := range []string{m.home, "/run", "/var/log"} {
		if err := m.empty(dir); err != nil {
			return fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { //nolint:gosec // sshd wants it so
		return fmt.Errorf("make sshd's directory: %w", err)
	}
	// sshd tells everybody who logs in when this one is missing.
	if err := os.WriteFile("/var/log/lastlog", nil, 0o600); err != nil {
		return fmt.Errorf("make the record of logins: %w", err)
	}
	err := unix.Mount(m.file("shadow"), "/etc/shadow", "", unix.MS_BIND, "")
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("replace the password file: %w", err)
	}
	return nil
}

// empty covers a directory with an empty one. The lab's own stays in sight.
func (m machine) empty(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil || dir == "/" {
		return err
	}
	lab, err := os.Open(m.lab)
	if err != nil {
		return fmt.Errorf("open the lab's directory: %w", err)
	}
	defer lab.Close() //nolint:errcheck // only read
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if !strings.HasPrefix(m.lab, dir+"/") {
		return nil
	}
	if err := os.MkdirAll(m.lab, 0o700); err != nil {
		return fmt.Errorf("keep the lab's directory: %w", err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", lab.Fd()), m.lab, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep the lab's directory: %w", err)
	}
	return nil
}
