package netlab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// Cmd is a command that runs on a host. It is used like an exec.Cmd; Start, Run,
// Output and CombinedOutput start it in the host's network namespace. It is
// killed when ctx or the lab ends.
type Cmd struct {
	*exec.Cmd

	host *Host
}

// Command prepares a command on the host.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // any command is the point
	cmd.WaitDelay = time.Second                    // what a killed command started may hold its output open
	return &Cmd{Cmd: cmd, host: h}
}

// Start starts the command.
func (c *Cmd) Start() error {
	if err := c.host.starter.start(c.host.ns, c.Cmd); err != nil {
		return fmt.Errorf("start %s on %s: %w", c.Path, c.host.name, err)
	}
	return nil
}

// Run starts the command and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the command and returns what it wrote to its standard output.
// Standard error goes where c.Stderr says.
func (c *Cmd) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the command and returns what it wrote to standard output
// and standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
