package estate

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Below reserve calls that are left, each call waits for slope longer for every one
// of them that is missing. Reading settles where the bucket fills as fast as it is
// emptied: at the sizes that are documented, 250 calls and 25 a second, that is with
// half of it left.
const (
	reserve = 150
	slope   = 2 * time.Millisecond
)

// A pace is how fast calls of one kind may be made in one subscription.
type pace struct {
	mu   sync.Mutex
	held time.Time // no call before, since one was refused
	why  error     // that refusal
	next time.Time // no call before, since the last one
	gap  time.Duration
}

// wait returns when a call may be made. Where that is later than until it returns the
// refusal at once.
func (p *pace) wait(ctx context.Context, until time.Time) error {
	for {
		p.mu.Lock()
		now := time.Now()
		at, why := p.next, p.why
		late := p.held.After(until)
		if at.Before(p.held) {
			at = p.held
		}
		if !at.After(now) {
			p.next = now.Add(p.gap)
		}
		p.mu.Unlock()
		if !at.After(now) {
			return ctx.Err()
		}
		if late {
			return why
		}
		if err := pause(ctx, at.Sub(now)); err != nil {
			return err
		}
	}
}

// holds reports whether nobody may call: somebody was refused in the meantime.
func (p *pace) holds() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.After(time.Now())
}

// hear takes in what an answer says is left.
func (p *pace) hear(h http.Header) {
	left := remaining(h)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gap = time.Duration(max(0, reserve-left)) * slope
	if at := time.Now().Add(p.gap); at.After(p.next) {
		p.next = at
	}
}

// hold lets nobody call for a while, for the reason why.
func (p *pace) hold(d time.Duration, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := time.Now().Add(d); at.After(p.held) {
		p.held, p.why = at, why
	}
}

// remaining returns how many calls are left, as the scarcest of all counters says:
// a number, or for those of a resource provider a list such as "Name;107,Other;587".
func remaining(h http.Header) int {
	left := math.MaxInt
	for name, values := range h {
		if !strings.HasPrefix(strings.ToLower(name), "x-ms-ratelimit-remaining-") {
			continue
		}
		for _, value := range values {
			for part := range strings.SplitSeq(value, ",") {
				text := part[strings.LastIndexByte(part, ';')+1:]
				if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && n >= 0 {
					left = min(left, n)
				}
			}
		}
	}
	return left
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
