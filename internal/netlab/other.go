//go:build !linux

package netlab

import (
	"context"
	"io"
	"os/exec"
)

// Without namespaces there is no lab, so no host ever exists to call the rest.
type (
	namespace struct{}
	starter   struct{}
)

// Stage reports that this process is not a stage of a lab; see the Linux version.
func Stage([]string, io.Writer) (code int, ran bool) { return 0, false }

// New returns ErrNeedsLinux.
func New(context.Context, Options) (*Lab, error) { return nil, ErrNeedsLinux }

// Stale does nothing: no lab was ever here.
func Stale(string) error { return nil }

func (l *Lab) tearDown() error { return nil }

func (n *namespace) path() string { return "" }

func (n *namespace) do(func() error) error { return ErrNeedsLinux }

func (s *starter) start(*namespace, *exec.Cmd) error { return ErrNeedsLinux }

func setReuseAddress(uintptr) error { return ErrNeedsLinux }
