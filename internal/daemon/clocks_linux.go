package daemon

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/access"
)

const bootIDFile = "/proc/sys/kernel/random/boot_id"

// MachineClocks returns a reader of this machine's clocks: UTC, and the time
// since the boot, which goes on while the machine sleeps.
func MachineClocks() (func() access.Reading, error) {
	text, err := os.ReadFile(bootIDFile)
	if err != nil {
		return nil, fmt.Errorf("read the id of this boot: %w", err)
	}
	boot := strings.TrimSpace(string(text))
	if _, err := sinceBoot(); err != nil {
		return nil, err
	}
	return func() access.Reading {
		since, err := sinceBoot()
		if err != nil {
			panic("daemon: " + err.Error()) // it worked at the start, and asks for no resources
		}
		return access.Reading{Wall: time.Now().UTC().Round(0), Boot: since, BootID: boot, Third: time.Time{}}
	}, nil
}

func sinceBoot() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}
