// Package dialect is the simulated cloud at one moment: what a firewall holds, how
// strict it is about it, which packets it admits, and how its rules are named,
// marked and read. A dialect is a kind of firewall; package memory describes the
// three.
//
// Everything is a pure function of its arguments. The packet test does not use
// the reach engine, so that each can contradict the other.
package dialect

import (
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Dialect is the kind of firewall that is simulated.
type Dialect uint8

// The dialects.
const (
	Numbered Dialect = iota
	Union
	Keyed
)

// String returns the dialect's name.
func (d Dialect) String() string {
	return map[Dialect]string{Numbered: "numbered", Union: "union", Keyed: "keyed"}[d]
}

// Config describes one firewall. The zero values of all but ID are usable.
type Config struct {
	ID      firewall.ID
	Dialect Dialect
	// Rooms is how many rules it holds; 0 means as many as the real thing: 1000
	// numbered rules, 60 in a union, 65536 keys.
	Rooms int
	// WriteTime is how long a write takes until it has effect and is answered.
	WriteTime time.Duration
	// ReadLag is how long a union's reads may lag behind its writes.
	ReadLag time.Duration
	// Single makes every change of a plan a write of its own on a numbered
	// firewall; otherwise a plan is one write of the whole document.
	Single bool
	// VirtualNetwork is let in by a numbered firewall's default rule.
	VirtualNetwork []netip.Prefix
	// MayOutrank names the foreign Denies that openings may be put above.
	MayOutrank []string
	// First and Last bound the priorities that Sesame may use; 0 means all, 100
	// to 4096.
	First, Last int
}

// The priorities that a numbered firewall has.
const (
	MinPriority = 100
	MaxPriority = 4096
)

// Filled returns c with the defaults in place.
func (c Config) Filled() Config {
	if c.Rooms == 0 {
		c.Rooms = map[Dialect]int{Numbered: 1000, Union: 60, Keyed: 1 << 16}[c.Dialect]
	}
	if c.First == 0 {
		c.First = MinPriority
	}
	if c.Last == 0 {
		c.Last = MaxPriority
	}
	return c
}

// Versioned reports whether writes are conditional on a version.
func (c Config) Versioned() bool { return c.Dialect != Union }

// Whole reports whether a plan is one write.
func (c Config) Whole() bool { return c.Dialect == Keyed || c.Dialect == Numbered && !c.Single }

// noteLength is how many bytes a rule's note may have.
func (c Config) noteLength() int {
	return map[Dialect]int{Numbered: 140, Union: 255, Keyed: 127}[c.Dialect]
}

// namePrefix is how the names of an installation's rules begin.
func namePrefix(instance string) string { return namesOfSesame + instance + "-" }

const namesOfSesame = "sesame-"

// spellable reports whether s may name a rule: 1 to 80 letters, digits, dots,
// hyphens, underscores, and in a union whatever describes the content.
func (c Config) spellable(s string) bool {
	const most = 80
	if c.Dialect == Union {
		return s != "" && len(s) <= 255
	}
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r)
	}) < 0
}
