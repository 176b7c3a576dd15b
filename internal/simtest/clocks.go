package simtest

import (
	"strconv"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
)

// Clocks are the clocks of one machine. They show the true time until somebody
// meddles with them.
type Clocks struct {
	mu     sync.Mutex
	booted time.Time     // true time
	boots  int           // how often
	slept  time.Duration // how long the machine has been suspended in all
	wall   time.Duration // how far the wall clock is ahead
	third  time.Duration // how far other machines' clocks are ahead
}

// NewClocks returns the clocks of a machine that has just booted.
func NewClocks() *Clocks { return &Clocks{booted: time.Now(), boots: 1} }

// Now is the true time. A suspended machine does not notice how it passes, and
// neither does the bubble: after a suspend, the true time is ahead of its clock.
func (c *Clocks) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clocks) now() time.Time { return time.Now().Add(c.slept).Round(0).UTC() }

// Read is one look at the machine's own clocks.
func (c *Clocks) Read() access.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	return access.Reading{
		Wall: now.Add(c.wall), Boot: now.Sub(c.booted),
		BootID: "boot-" + strconv.Itoa(c.boots), Third: time.Time{},
	}
}

// Step sets the wall clock forward by d.
func (c *Clocks) Step(d time.Duration) { c.change(func() { c.wall += d }) }

// Suspend puts the machine to sleep for d.
func (c *Clocks) Suspend(d time.Duration) { c.change(func() { c.slept += d }) }

// StepThird sets other machines' clocks forward by d.
func (c *Clocks) StepThird(d time.Duration) { c.change(func() { c.third += d }) }

// Reboot boots the machine anew.
func (c *Clocks) Reboot() {
	c.change(func() {
		c.boots++
		c.booted = c.now()
	})
}

// Mend sets every clock right.
func (c *Clocks) Mend() { c.change(func() { c.wall, c.third = 0, 0 }) }

func (c *Clocks) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Skews returns how far the clocks of other machines, and of this one's own
// kernel, are ahead of the bubble's.
func (c *Clocks) Skews() (others, own time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slept + c.third, c.slept + c.wall
}
