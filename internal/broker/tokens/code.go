package tokens

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// The limits of codes.
const (
	MaxCodes        = 10
	MaxCodeLifetime = 90 * 24 * time.Hour
)

// CreateCodes makes codes for a principal, who may ask with each of them for access in
// one emergency, without being known in any other way: the identity provider may be
// what is on fire. Policies still say who may, where and for how long. The codes are
// returned this once; only their hashes are stored.
func (b *Tokens) CreateCodes(ctx context.Context, caller desk.Caller, who access.Principal, count int, lifetime time.Duration) ([]string, error) {
	switch {
	case count < 1 || count > MaxCodes:
		return nil, errkind.Bad("count", fmt.Sprint(count), fmt.Sprintf("a whole number from 1 to %d", MaxCodes))
	case lifetime < time.Hour || lifetime > MaxCodeLifetime:
		return nil, errkind.Bad("lifetime", access.FormatDuration(lifetime), "from 1h to "+access.FormatDuration(MaxCodeLifetime))
	}
	var codes []string
	err := b.Decide(ctx, func(rules store.Rules) error {
		if err := b.MayAsk(ctx, rules, caller, "create codes", authz.Manage, ""); err != nil {
			return err
		}
		known, _, err := b.Identity(ctx, who)
		if err != nil {
			return err
		}
		codes = nil
		now := firewall.Instant(b.Clocks().Wall)
		c := store.Change{Expect: rules.Version}
		rec := b.Record(audit.CodeCreated, caller)
		rec.Text = fmt.Sprintf("%d codes for %s:", count, who.Name())
		for range count {
			secret := newSecret()
			token := store.Token{
				ID: b.NewID(tokenIDPrefix), Hash: sha256.Sum256([]byte(secret)), Principal: who, Created: now,
				Expires: now.Add(lifetime), Revoked: time.Time{}, Person: known.Person, Code: true,
			}
			codes, c.Tokens = append(codes, secret), append(c.Tokens, token)
			rec.Text += " " + token.ID
		}
		c.Records = []audit.Record{rec}
		return b.Save(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}
