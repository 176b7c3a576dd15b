// Package tokens makes and ends what programs and people show instead of logging in:
// tokens, and codes for emergencies. A role that comes with a token goes with it, and
// what was granted by it ends in the same change.
package tokens

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// Tokens makes and ends tokens.
type Tokens struct {
	*desk.Desk
	// Settle waits until the firewalls show the given grants.
	Settle func(ctx context.Context, grants []access.Grant)
}

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
	VMs   []firewall.VMID
	Scope []string // what the token may be used for; none for all that the role allows
	// Lifetime is how long the token is good; 0 means until it is revoked.
	Lifetime time.Duration
	// Person says that the token is a person's, who may approve: the id of one, or
	// NewPerson. A token without is a program's.
	Person string
}

// NewPerson stands for the person that the name of a token is by itself.
const NewPerson = "new"

// CreateToken makes a token for a local principal and gives the principal the
// role for as long as the token is good. A name has one good token at most, and
// roles die with it: what an earlier token of the name brought is taken back, and
// grants that the new role does not cover end. The secret is returned this once;
// only its hash is stored.
func (b *Tokens) CreateToken(ctx context.Context, caller desk.Caller, n NewToken) (secret string, token store.Token, err error) {
	if _, err := firewall.ParseName("name", n.Name); err != nil {
		return "", store.Token{}, err
	}
	if n.Person != "" && n.Person != NewPerson {
		if _, err := access.ParseID("person", access.PersonPrefix, n.Person); err != nil {
			return "", store.Token{}, err
		}
	}
	if n.Name == reservedName {
		return "", store.Token{}, errkind.Bad("name", n.Name, "free; it is the local administrator's")
	}
	var lost []access.Grant
	err = b.Decide(ctx, func(rules store.Rules) error {
		if err := b.MayAsk(ctx, rules, caller, "create a token", authz.Manage, ""); err != nil {
			return err
		}
		secret = newSecret()
		token = b.newToken(n, secret)
		if good, err := b.goodTokens(ctx, token.Principal); err != nil {
			return err
		} else if len(good) > 0 {
			return errkind.New(errkind.Conflict, "%s has the token %s, which is still good, and a name has one; end it first with `sesame token revoke %s`, or choose another name",
				n.Name, good[0].ID, good[0].ID)
		}
		c := store.Change{Expect: rules.Version, Tokens: []store.Token{token}, Roles: store.RoleChange{Assign: n.assignments(token.Principal)}}
		c.Roles.Unassign = slices.DeleteFunc(rolesOf(rules, token.Principal), func(a authz.Assignment) bool {
			return slices.ContainsFunc(c.Roles.Assign, func(x authz.Assignment) bool { return authz.CompareAssignments(a, x) == 0 })
		})
		rec := b.Record(audit.TokenCreated, caller)
		rec.Text = "token " + token.ID + " for " + n.Name + ofPerson(token.Person) + ", " + string(n.Role) + " of " + extent(n.VMs) + takenBack(c.Roles.Unassign)
		c.Records = []audit.Record{rec}
		if lost, err = b.endLost(ctx, &c, caller, token.Principal, rules); err != nil {
			return err
		}
		return b.Save(ctx, c)
	})
	if err != nil {
		return "", store.Token{}, err
	}
	b.settleLost(ctx, lost)
	return secret, token, nil
}

// ofPerson says in a record whose a token is.
func ofPerson(id string) string {
	if id == "" {
		return ""
	}
	return " (person " + id + ")"
}

// newToken returns the token that n asks for, with the given secret.
func (b *Tokens) newToken(n NewToken, secret string) store.Token {
	now := firewall.Instant(b.Clocks().Wall)
	token := store.Token{
		ID: b.NewID(tokenIDPrefix), Hash: sha256.Sum256([]byte(secret)),
		Principal: access.Principal{Issuer: "local", Subject: n.Name, Display: n.Name},
		Scope:     n.Scope, Created: now, Expires: time.Time{}, Revoked: time.Time{},
	}
	token.Person = n.Person
	if n.Person == NewPerson {
		token.Person = access.PersonOf(token.Principal)
	}
	if n.Lifetime > 0 {
		token.Expires = now.Add(n.Lifetime)
	}
	return token
}

// assignments returns the roles that the token brings to p.
func (n NewToken) assignments(p access.Principal) []authz.Assignment {
	if len(n.VMs) == 0 {
		return []authz.Assignment{{Principal: p, Role: n.Role, Scope: scope.All}}
	}
	var out []authz.Assignment
	for _, vm := range n.VMs {
		out = append(out, authz.Assignment{Principal: p, Role: n.Role, Scope: scope.OfVM(vm)})
	}
	return out
}

// rolesOf returns every role of p.
func rolesOf(rules store.Rules, p access.Principal) []authz.Assignment {
	var out []authz.Assignment
	for _, a := range rules.Access.Assignments {
		if a.Principal.Is(p) {
			out = append(out, a)
		}
	}
	return out
}

// takenBack says in a record which roles end.
func takenBack(roles []authz.Assignment) string {
	names := make([]string, len(roles))
	for i, a := range roles {
		names[i] = strings.TrimPrefix(a.String(), "assignment ")
	}
	if len(names) == 0 {
		return ""
	}
	return "; taken back: " + strings.Join(names, ", ")
}

// goodTokens returns the tokens of p that are neither revoked nor expired.
func (b *Tokens) goodTokens(ctx context.Context, p access.Principal) ([]store.Token, error) {
	tokens, err := b.Ledger.Tokens(ctx)
	if err != nil {
		return nil, errkind.Wrap(errkind.Unavailable, err, "the tokens cannot be read, so none is made or ended")
	}
	now := b.Clocks().Wall
	return slices.DeleteFunc(tokens, func(t store.Token) bool {
		return t.Code || !t.Principal.Is(p) || !t.Revoked.IsZero() || !t.Expires.IsZero() && !now.Before(t.Expires)
	}), nil
}

// endLost adds to c the end of every grant of p that p could not ask for with
// the roles that are left after c, and returns them.
func (b *Tokens) endLost(ctx context.Context, c *store.Change, caller desk.Caller, p access.Principal, rules store.Rules) ([]access.Grant, error) {
	after := authz.New(c.Roles.Apply(rules.Access))
	return b.EndAll(ctx, c, caller, func(g access.Grant) bool {
		return g.Principal.Is(p) && !after.Allows(access.Identity{Principal: p}, authz.Request, b.Target(g.Door.VM))
	}, access.RoleLost)
}

// settleLost waits until the grants that a lost role has ended are closed, or
// SettleTime has passed; what is not closed by then goes on behind.
func (b *Tokens) settleLost(ctx context.Context, lost []access.Grant) {
	if len(lost) > 0 {
		b.Settle(ctx, lost)
	}
}

// extent says how many VMs a role is for.
func extent(vms []firewall.VMID) string {
	if len(vms) == 0 {
		return "all VMs"
	}
	return desk.VMCount(len(vms))
}

// newSecret returns a token's text: 256 random bits.
func newSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// RevokeToken ends a token. With the last good token of a name its roles are
// taken back, and its grants end: both in the same change.
func (b *Tokens) RevokeToken(ctx context.Context, caller desk.Caller, id string) error {
	if _, err := access.ParseID("token", tokenIDPrefix, id); err != nil {
		return err
	}
	var lost []access.Grant
	err := b.Decide(ctx, func(rules store.Rules) error {
		if err := b.MayAsk(ctx, rules, caller, "revoke a token", authz.Manage, ""); err != nil {
			return err
		}
		token, err := b.token(ctx, id)
		if err != nil {
			return err
		}
		good, err := b.goodTokens(ctx, token.Principal)
		if err != nil {
			return err
		}
		c := store.Change{
			Expect:       rules.Version,
			RevokeTokens: []store.Revocation{{ID: id, At: firewall.Instant(b.Clocks().Wall)}},
		}
		last := !token.Code && !slices.ContainsFunc(good, func(t store.Token) bool { return t.ID != id })
		if last {
			c.Roles.Unassign = rolesOf(rules, token.Principal)
		}
		rec := b.Record(audit.TokenRevoked, caller)
		rec.Text = "token " + id + " of " + token.Principal.String() + takenBack(c.Roles.Unassign)
		c.Records = []audit.Record{rec}
		if last {
			if lost, err = b.endLost(ctx, &c, caller, token.Principal, rules); err != nil {
				return err
			}
		}
		return b.Save(ctx, c)
	})
	if err == nil {
		b.settleLost(ctx, lost)
	}
	return err
}

// token returns a token that nobody has revoked yet.
func (b *Tokens) token(ctx context.Context, id string) (store.Token, error) {
	tokens, err := b.Ledger.Tokens(ctx)
	if err != nil {
		return store.Token{}, errkind.Wrap(errkind.Unavailable, err, "the tokens cannot be read, so none is made or ended")
	}
	for _, t := range tokens {
		if t.ID == id && t.Revoked.IsZero() {
			return t, nil
		}
	}
	return store.Token{}, errkind.New(errkind.NotFound, "there is no token %s that is still good; `sesame token list` shows them", errkind.Quote(id))
}
