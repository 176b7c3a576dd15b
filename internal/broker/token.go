package broker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// TokenPrefix starts every token, so that scanners of leaked secrets know one.
const TokenPrefix = "sesame_"

// tokenIDPrefix starts the ids that name tokens in lists; they are no secrets.
const tokenIDPrefix = "t-"

// reservedName is the subject of the local administrator, who needs no token: a
// token with this name would be that administrator, whatever its role.
const reservedName = "root"

// A NewToken says what a token is for.
type NewToken struct {
	// Name is the local principal that the token stands for.
	Name string
	Role authz.Role
	// VMs limits the role to these VMs; none means all.
	VMs []firewall.VMID
	// Lifetime is how long the token is good; 0 means until it is revoked.
	Lifetime time.Duration
}

// CreateToken makes a token for a local principal and gives the principal the
// role. The secret is returned this once; only its hash is stored.
func (b *Broker) CreateToken(ctx context.Context, caller Caller, n NewToken) (secret string, token store.Token, err error) {
	if _, err := firewall.ParseName("name", n.Name); err != nil {
		return "", store.Token{}, err
	}
	if n.Name == reservedName {
		return "", store.Token{}, errkind.Bad("name", n.Name, "free; it is the local administrator's")
	}
	err = b.decide(ctx, func(rules store.Rules) error {
		if err := b.may(ctx, rules, caller, authz.Manage, ""); err != nil {
			return err
		}
		secret = newSecret()
		now := firewall.Instant(b.Clocks().Wall)
		p := access.Principal{Issuer: "local", Subject: n.Name, Display: n.Name}
		token = store.Token{
			ID: b.NewID(tokenIDPrefix), Hash: sha256.Sum256([]byte(secret)), Principal: p,
			Created: now, Expires: time.Time{}, Revoked: time.Time{},
		}
		if n.Lifetime > 0 {
			token.Expires = now.Add(n.Lifetime)
		}
		vms := n.VMs
		if len(vms) == 0 {
			vms = []firewall.VMID{""}
		}
		c := store.Change{Expect: rules.Version, Tokens: []store.Token{token}}
		for _, vm := range vms {
			c.Assignments = append(c.Assignments, authz.Assignment{Principal: p, Role: n.Role, VM: vm})
		}
		rec := b.record(audit.TokenCreated, caller)
		rec.Text = "token " + token.ID + " for " + n.Name + ", " + string(n.Role) + " of " + vmCount(n.VMs)
		c.Records = []audit.Record{rec}
		return b.save(ctx, c)
	})
	if err != nil {
		return "", store.Token{}, err
	}
	return secret, token, nil
}

func vmCount(vms []firewall.VMID) string {
	if len(vms) == 0 {
		return "all VMs"
	}
	return strconv.Itoa(len(vms)) + " VMs"
}

// newSecret returns a token's text: 256 random bits.
func newSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// RevokeToken ends a token. Grants that were asked for with it live on; close
// them if they should not.
func (b *Broker) RevokeToken(ctx context.Context, caller Caller, id string) error {
	if _, err := access.ParseID("token", tokenIDPrefix, id); err != nil {
		return err
	}
	return b.decide(ctx, func(rules store.Rules) error {
		if err := b.may(ctx, rules, caller, authz.Manage, ""); err != nil {
			return err
		}
		rec := b.record(audit.TokenRevoked, caller)
		rec.Text = "token " + id
		err := b.save(ctx, store.Change{
			Expect:       rules.Version,
			RevokeTokens: []store.Revocation{{ID: id, At: firewall.Instant(b.Clocks().Wall)}},
			Records:      []audit.Record{rec},
		})
		if !errors.Is(err, store.ErrStale) {
			return err
		}
		// Either the rules moved on, or there is no such token to end.
		if again, readErr := b.Ledger.Rules(ctx); readErr == nil && again.Version == rules.Version {
			return errkind.New(errkind.NotFound, "there is no token %s that is still good; `sesame token list` shows them", errkind.Quote(id))
		}
		return err
	})
}
