// Package broker is the only code that creates, extends or ends a grant, and
// that adds or ends a lock. What package adopt takes note of was a grant before.
//
// Every method takes the caller, decides by the rules as they are now, saves
// state and audit record in one transaction that fails when the rules have moved
// on, and only then asks for the doors to be opened. No record, no grant. Ending
// is the exception: when the book cannot be written the grant still ends, and
// the record follows.
package broker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/broker/locks"
	"github.com/sesame-access/sesame/internal/broker/rights"
	"github.com/sesame-access/sesame/internal/broker/skew"
	"github.com/sesame-access/sesame/internal/broker/tokens"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Caller is who asks, and from where.
type Caller = desk.Caller

// Config is what a Broker is made of.
type Config = desk.Config

// A NewToken says what a token is for.
type NewToken = tokens.NewToken

// NewPerson stands for the person that the name of a token is by itself.
const NewPerson = tokens.NewPerson

// TokenPrefix starts every token, so that scanners of leaked secrets know one.
const TokenPrefix = tokens.TokenPrefix

// Quotas bound what one person may have and ask for.
type Quotas = desk.Quotas

// Agreed is what the caller of Enable and Disable was shown beforehand.
type Agreed = locks.Agreed

// A Broker turns requests into grants and grants into closed doors.
type Broker struct {
	*desk.Desk
	*locks.Locks
	*rights.Rights
	*tokens.Tokens
	skew *skew.Watch
	// reviewed is the version of the rules by which every grant was decided last.
	reviewed atomic.Int64
}

// New returns a broker.
func New(cfg Config) *Broker {
	d := &desk.Desk{Config: cfg}
	b := &Broker{
		Desk: d, Locks: &locks.Locks{Desk: d}, Rights: &rights.Rights{Desk: d}, Tokens: nil,
		skew: skew.New(cfg.Clocks()), reviewed: atomic.Int64{},
	}
	b.Tokens = &tokens.Tokens{Desk: d, Settle: func(ctx context.Context, grants []access.Grant) { b.settle(ctx, grants) }}
	return b
}

// Ready returns why nothing can be decided or opened now, or nil, in words that
// anybody may see.
func (b *Broker) Ready(ctx context.Context) error {
	if _, err := b.Ledger.Rules(ctx); err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the database cannot be read")
	}
	return b.ClocksAgree()
}

// ClocksAgree returns why nothing can be opened as the clocks are now, or nil.
func (b *Broker) ClocksAgree() error { return b.skew.Check(b.Clocks()) }

// SettleTime is how long an answer waits for the firewalls at most. What is not
// read back then goes on behind, and the grant says so.
const SettleTime = 20 * time.Second
