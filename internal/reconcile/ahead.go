package reconcile

import (
	"context"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/reconcile/book"
)

// aheadTime is how long what was seen ahead of a grant may be gone by.
const aheadTime = time.Second

// Prepare asks for a look ahead at what grants will need that are about to be
// saved; done says that they are, or that they will not be. It never blocks. In a
// crowd there is no look ahead: a pass that many share costs none of them much.
func (l *Loop) Prepare(s book.Share) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.preparing++; l.preparing == 1 {
		l.asked.ahead = &s
		l.rouse()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.preparing--; l.asked.ahead == &s {
			l.asked.ahead = nil // it is too late for it
		}
	}
}

// lookAhead returns a pass that has looked, with the grants of s among what is
// wanted, and waits; nil if there is nothing to wait with.
func (l *Loop) lookAhead(ctx context.Context, fw Firewall, s book.Share) *pass {
	p := &pass{loop: l, fw: fw, keys: s.Canonical(), began: time.Now(), ahead: s}
	if err := p.look(ctx); err != nil || p.bookErr != nil {
		return nil // the pass that somebody asks for says what is wrong
	}
	return p
}

// readied returns the pass that looked ahead if just that is asked for now, and
// nothing has come between; else nil. In any case it waits no more.
func (l *Loop) readied(asked book.Share, now access.Reading) *pass {
	p := l.ready
	l.ready = nil
	if p == nil || !p.ahead.Same(asked) || now.BootID != p.now.BootID || now.Boot-p.now.Boot >= aheadTime {
		return nil
	}
	return p
}
