//go:build !linux

package ground

import "github.com/sesame-access/sesame/internal/netlab"

// flushRules is never called: without namespaces there is nobody to call it.
func flushRules() error { return netlab.ErrNeedsLinux }
