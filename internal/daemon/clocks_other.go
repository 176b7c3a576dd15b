//go:build !linux

package daemon

import (
	"time"

	"github.com/sesame-access/sesame/internal/access"
)

// MachineClocks returns a reader of this machine's clocks: UTC alone, because no
// other clock here is known to go on while the machine sleeps. Boot counts from
// the program's start, which is enough for loops and for no deadline.
func MachineClocks() (func() access.Reading, error) {
	start := time.Now()
	return func() access.Reading {
		return access.Reading{Wall: time.Now().UTC().Round(0), Boot: time.Since(start), BootID: "", Third: time.Time{}}
	}, nil
}
