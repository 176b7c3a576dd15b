package netlab

import (
	"os"
	"os/exec"
	"path/filepath"
)

// VM is a virtual machine: a host with namespaces of its own and sshd on port 22.
type VM struct {
	*Host

	machine machine
	cmd     *exec.Cmd     // sshd, process 1 of its pid namespace
	gone    chan struct{} // closed when sshd and every process of the VM are gone
}

// A machine is what the first process of a VM needs to know.
type machine struct {
	name string // host name, and directory within the lab's
	lab  string // the lab's directory
	home string // where a login begins
	sshd string // path of the server
}

// file returns the path of one of the VM's files.
func (m machine) file(name string) string { return filepath.Join(m.lab, m.name, name) }

// PID returns the process id of the VM's sshd as the caller sees it; nsenter -t
// enters the VM by it.
func (v *VM) PID() int { return v.cmd.Process.Pid }

// Log returns what the VM's sshd has said so far; empty after Close.
func (v *VM) Log() string {
	text, err := os.ReadFile(v.machine.file("sshd.log"))
	if err != nil {
		return ""
	}
	return string(text)
}
