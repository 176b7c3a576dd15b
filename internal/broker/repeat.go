package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// idempotency ties the caller's key to what is asked.
func idempotency(caller Caller, ask Ask, req access.Request) store.Idempotency {
	h := sha256.New()
	fmt.Fprintf(h, "%v\n%v\n%d\n%d\n%q", req.Doors, req.Sources, ask.Duration, ask.Start.UnixMilli(), ask.Reason)
	if !ask.Until.IsZero() || ask.Ticket != "" || ask.Glass || ask.Supersede {
		fmt.Fprintf(h, "\n%d\n%q\n%t\n%t", ask.Until.UnixMilli(), ask.Ticket, ask.Glass, ask.Supersede)
	}
	i := store.Idempotency{Principal: caller.Principal, Key: ask.IdempotencyKey, Body: [32]byte{}, Request: "", At: time.Time{}}
	copy(i.Body[:], h.Sum(nil))
	return i
}

// unused fails with store.ErrRepeated when the idempotency key was used before.
func (b *Broker) unused(ctx context.Context, idem store.Idempotency) error {
	if idem.Key == "" {
		return nil
	}
	was, err := b.Ledger.Idempotency(ctx, idem.Principal, idem.Key)
	switch {
	case errkind.Of(err) == errkind.NotFound:
		return nil
	case err != nil:
		return fmt.Errorf("look up idempotency key: %w", err)
	case b.Clocks().Wall.Sub(was.At) > store.KeepIdempotency:
		return nil // the next one forgets it
	}
	return store.ErrRepeated
}

// repeated answers an ask whose idempotency key was used before with what was
// answered then.
func (b *Broker) repeated(ctx context.Context, idem store.Idempotency) (Answer, error) {
	was, err := b.Ledger.Idempotency(ctx, idem.Principal, idem.Key)
	if err != nil {
		return Answer{}, fmt.Errorf("look up idempotency key: %w", err)
	}
	if was.Body != idem.Body {
		return Answer{}, errkind.New(errkind.Conflict,
			"the idempotency key %s was used for another request (%s, body %s); choose a new key", errkind.Quote(idem.Key), was.Request, hex.EncodeToString(was.Body[:4]))
	}
	return b.answer(ctx, was.Request)
}
