package authn

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Limiter limits how often each of many keys may do something. What it
// remembers is bounded: keys that were not seen for a while are forgotten, and
// whoever floods it with new keys only makes others' past count for less.
type Limiter struct {
	limit rate.Limit
	burst int

	mu  sync.Mutex
	now map[string]*rate.Limiter // keys seen lately
	old map[string]*rate.Limiter // keys of the generation before
}

// generation is how many keys one generation of a limiter holds.
const generation = 8192

// NewLimiter returns a limiter that allows each key so many a minute, and so
// many at once.
func NewLimiter(aMinute, atOnce int) *Limiter {
	return &Limiter{
		limit: rate.Limit(float64(aMinute) / time.Minute.Seconds()), burst: atOnce,
		mu: sync.Mutex{}, now: map[string]*rate.Limiter{}, old: nil,
	}
}

// Allow reports whether key may do it once more at now, and counts it if so.
func (l *Limiter) Allow(key string, now time.Time) bool {
	return l.of(key).AllowN(now, 1)
}

// Left returns how often key may do it at once, as of now.
func (l *Limiter) Left(key string, now time.Time) int { return max(0, int(l.of(key).TokensAt(now))) }

// of returns what counts for key, and remembers that it was seen.
func (l *Limiter) of(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, known := l.now[key]
	if !known {
		if x, known = l.old[key]; !known {
			x = rate.NewLimiter(l.limit, l.burst)
		}
		if len(l.now) >= generation {
			l.old, l.now = l.now, map[string]*rate.Limiter{}
		}
		l.now[key] = x
	}
	return x
}

// AddrKey returns the key that an address is counted under: an IPv4 address, or
// the /64 that somebody with IPv6 has as a whole.
func AddrKey(a netip.Addr) string {
	const network = 64
	if a.Is6() {
		if p, err := a.Prefix(network); err == nil {
			return p.String()
		}
	}
	return a.String()
}
