package gate

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Principal is who makes a call.
type Principal struct {
	Account string
	ARN     string // arn:aws:iam::111122223333:user/ann
	UserID  string // AIDA…, or AROA…:SESSION for who has assumed a role
	May     []Statement
}

// A Statement is one line of the table of permissions.
type Statement struct {
	Deny    bool
	Actions []string // "ec2:AuthorizeSecurityGroupIngress"; a * stands for anything
	// Tags are what the resource must have, with * for any value. An action that
	// is about no resource, as describing is not, is not allowed by a statement
	// with tags.
	Tags world.Tags
	// Types restrict the statement to kinds of resources: "security-group". A
	// call has to be allowed for every resource that it is about.
	Types []string
}

// A Role can be assumed.
type Role struct {
	ARN        string // arn:aws:iam::111122223333:role/opener
	ExternalID string // "" when none is asked for
	Trusts     []string
	May        []Statement
	MaxSession time.Duration // 0 means an hour
}

// A Key is an access key.
type Key struct {
	ID, Secret string
	Token      string    // of a session, "" for a user
	Ends       time.Time // of a session, the zero time for a user
	Principal  Principal
}

// Identities are the keys and roles that there are.
type Identities struct {
	keys  map[string]Key
	roles map[string]Role
	made  int
}

// NewIdentities returns the given keys and roles.
func NewIdentities(keys []Key, roles []Role) *Identities {
	ids := &Identities{keys: map[string]Key{}, roles: map[string]Role{}}
	for _, k := range keys {
		ids.keys[k.ID] = k
	}
	for _, r := range roles {
		ids.roles[r.ARN] = r
	}
	return ids
}

// Key returns the key with the given id, if it still is one.
func (ids *Identities) Key(id, token string, now time.Time) (Key, error) {
	k, found := ids.keys[id]
	if !found || k.Token != token {
		return Key{}, world.Refuse("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if !k.Ends.IsZero() && !now.Before(k.Ends) {
		return Key{}, world.Refuse("ExpiredToken", "The security token included in the request is expired")
	}
	return k, nil
}

// Revoke makes a key unknown from now on, with the sessions of its principal.
func (ids *Identities) Revoke(id string) {
	gone := ids.keys[id].Principal.ARN
	for k, v := range ids.keys {
		if k == id || v.Token != "" && v.Principal.ARN == gone {
			delete(ids.keys, k)
		}
	}
}

// The bounds of a session. (STS API reference, AssumeRole.)
const (
	minSession = 15 * time.Minute
	stdSession = time.Hour
)

// Assume gives p a session in a role. Zero for the length means an hour.
func (ids *Identities) Assume(p Principal, arn, session, externalID string, length time.Duration, now time.Time) (Key, error) {
	denied := world.Refuse("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", p.ARN, arn)
	r, found := ids.roles[arn]
	if !found || !r.trusts(p) || r.ExternalID != "" && r.ExternalID != externalID {
		return Key{}, denied
	}
	longest := r.MaxSession
	if longest == 0 {
		longest = stdSession
	}
	if length == 0 {
		length = stdSession
	}
	if length < minSession || length > longest {
		return Key{}, world.Refuse("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	ids.made++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", arn, session, ids.made))
	name := base32.StdEncoding.EncodeToString(sum[:10])
	account := strings.Split(arn, ":")[4]
	role := arn[strings.LastIndex(arn, "/")+1:]
	k := Key{
		ID: "ASIA" + name, Secret: base64.StdEncoding.EncodeToString(sum[:30]),
		Token: "FwoG" + base64.StdEncoding.EncodeToString(sum[:]), Ends: now.Add(length),
		Principal: Principal{
			Account: account, May: r.May,
			ARN:    fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", account, role, session),
			UserID: "AROA" + base32.StdEncoding.EncodeToString([]byte(role + "0123456789")[:10]) + ":" + session,
		},
	}
	ids.keys[k.ID] = k
	return k, nil
}

// trusts reports whether p may assume the role: by name, or all of its account.
func (r Role) trusts(p Principal) bool {
	return slices.Contains(r.Trusts, p.ARN) || slices.Contains(r.Trusts, p.Account) ||
		slices.Contains(r.Trusts, fmt.Sprintf("arn:aws:iam::%s:root", p.Account))
}

// Allows reports whether p may do an action to all of the resources, whose types
// are read from their ARNs; to none, when the action is about no resource. The
// first resource that it may not be done to is returned.
func (p Principal) Allows(action string, w *world.World, resources ...world.Resource) (denied string, ok bool) {
	if len(resources) == 0 && !p.allows(action, "*", nil) {
		return "*", false
	}
	for _, r := range resources {
		if arn := w.ARN(r); !p.allows(action, arn, r.Tags) {
			return arn, false
		}
	}
	return "", true
}

// MayAssume reports whether p may ask for a session in a role.
func (p Principal) MayAssume(role string) bool { return p.allows("sts:AssumeRole", role, nil) }

func (p Principal) allows(action, arn string, tags world.Tags) bool {
	allowed := false
	for _, s := range p.May {
		if !s.about(action, arn, tags) {
			continue
		}
		if s.Deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s Statement) about(action, arn string, tags world.Tags) bool {
	if !slices.ContainsFunc(s.Actions, func(a string) bool { return Matches(a, action) }) {
		return false
	}
	if len(s.Types) > 0 {
		_, name, _ := strings.Cut(arn, "/")
		kind := strings.TrimSuffix(arn, "/"+name)
		if !slices.Contains(s.Types, kind[strings.LastIndex(kind, ":")+1:]) {
			return false
		}
	}
	for k, want := range s.Tags {
		if v, found := tags[k]; !found || !Matches(want, v) {
			return false
		}
	}
	return true
}

// Matches reports whether text is of the pattern, in which a * stands for any
// characters and a ? for one.
func Matches(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0 // the last * and the text that it has not taken yet
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
