// Package gate is what stands in front of the simulated Azure Resource Manager:
// who calls and what they may do, and how often.
//
// An identity is a bearer token with a list of allowed actions, as a role of
// Azure has them, and the scopes where it has them. Calls are counted in token
// buckets for each subscription, principal and kind of operation, for each
// subscription over all principals, and for Microsoft.Network. Sizes and refill
// are those that Microsoft documents (Resource Manager's page on throttling,
// 2024; the limits of Microsoft.Network from its copies of 2020 to 2023).
package gate

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// An Identity is one that may call.
type Identity struct {
	Name  string // how reports call it
	Token string // without "Bearer "
	// Object is the object id of the principal; buckets are kept by it.
	Object string
	// Actions are allowed: such as
	// Microsoft.Network/networkSecurityGroups/securityRules/write, in any case; a
	// star stands for anything.
	Actions []string
	// Scopes are ids below which the actions are allowed; none means everywhere.
	Scopes []string
}

// Allows reports whether i may do action on the resource with this id.
func (i Identity) Allows(action, id string) bool {
	within := len(i.Scopes) == 0
	for _, s := range i.Scopes {
		s = strings.ToLower(strings.TrimSuffix(s, "/"))
		within = within || strings.HasPrefix(strings.ToLower(id)+"/", s+"/")
	}
	if !within {
		return false
	}
	for _, a := range i.Actions {
		if matches(strings.ToLower(a), strings.ToLower(action)) {
			return true
		}
	}
	return false
}

// matches reports whether text is what pattern, with stars, stands for.
func matches(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) {
		return false
	}
	for text = text[len(first):]; ; text = text[1:] {
		if matches(rest, text) {
			return true
		}
		if text == "" {
			return false
		}
	}
}

// Token returns a bearer token in the form of Azure's, a JSON web token without
// a signature, for clients that look into it. Nobody but the simulator takes it.
func Token(tenant, object, audience string, expires time.Time) string {
	part := func(v map[string]any) string {
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "none", "typ": "JWT"}) + "." +
		part(map[string]any{"aud": audience, "tid": tenant, "oid": object, "appid": object, "exp": expires.Unix()}) + "."
}

// An Operation is a kind of calls that is counted by itself.
type Operation string

// The operations.
const (
	Read   Operation = "reads"
	Write  Operation = "writes"
	Delete Operation = "deletes"
)

// A Size is what a bucket holds when it is full, and how fast it fills.
type Size struct{ Burst, PerSecond float64 }

// Limits are the sizes of all buckets. The zero value limits nothing.
type Limits struct {
	Reads, Writes, Deletes Size
	// Principals is by how much the buckets of a whole subscription are larger.
	Principals float64
	// NetworkReads and NetworkWrites are those of Microsoft.Network, for each
	// subscription; a delete is a write there.
	NetworkReads, NetworkWrites Size
}

// Documented returns the limits that Microsoft documents.
func Documented() Limits {
	return Limits{
		Reads: Size{250, 25}, Writes: Size{200, 10}, Deletes: Size{200, 10}, Principals: 15,
		NetworkReads: Size{10000, 10000. / 300}, NetworkWrites: Size{1000, 1000. / 300},
	}
}

// Buckets counts calls. It is not safe for concurrent use.
type Buckets struct {
	limits Limits
	levels map[string]*level
}

type level struct {
	tokens float64
	at     time.Time
}

// NewBuckets returns full buckets.
func NewBuckets(limits Limits) *Buckets {
	return &Buckets{limits: limits, levels: map[string]*level{}}
}

// A Call is what is counted.
type Call struct {
	Subscription, Principal string
	Operation               Operation
	Network                 bool // of Microsoft.Network
}

// A Count is the outcome of a call.
type Count struct {
	Allowed bool
	// Wait is after how long to try again, in whole seconds, where it is not
	// allowed.
	Wait time.Duration
	// Remaining are the headers that say what is left.
	Remaining map[string]string
}

// Take counts c at now. What is refused costs nothing.
func (b *Buckets) Take(c Call, now time.Time) Count {
	size := map[Operation]Size{Read: b.limits.Reads, Write: b.limits.Writes, Delete: b.limits.Deletes}[c.Operation]
	count := Count{Allowed: true, Wait: 0, Remaining: map[string]string{}}
	if size.Burst == 0 {
		return count
	}
	type bucket struct {
		header string
		level  *level
		size   Size
	}
	whole := Size{size.Burst * b.limits.Principals, size.PerSecond * b.limits.Principals}
	header := "x-ms-ratelimit-remaining-subscription-"
	all := []bucket{
		{header + string(c.Operation), b.level(now, size, c.Subscription, c.Principal, string(c.Operation)), size},
		{header + "global-" + string(c.Operation), b.level(now, whole, c.Subscription, string(c.Operation)), whole},
	}
	if c.Network {
		s, kind := b.limits.NetworkWrites, "network writes"
		if c.Operation == Read {
			s, kind = b.limits.NetworkReads, "network reads"
		}
		all = append(all, bucket{"", b.level(now, s, c.Subscription, kind), s})
	}
	for _, x := range all {
		if x.level.tokens < 1 {
			wait := math.Ceil((1 - x.level.tokens) / x.size.PerSecond)
			count.Allowed, count.Wait = false, max(count.Wait, time.Duration(wait)*time.Second)
		}
	}
	for _, x := range all {
		if count.Allowed {
			x.level.tokens--
		}
		if x.header != "" {
			count.Remaining[x.header] = strconv.Itoa(int(x.level.tokens))
		}
	}
	return count
}

// level returns the named bucket as it is at now.
func (b *Buckets) level(now time.Time, size Size, name ...string) *level {
	key := strings.ToLower(strings.Join(name, "\x00"))
	l := b.levels[key]
	if l == nil {
		l = &level{tokens: size.Burst, at: now}
		b.levels[key] = l
	}
	if passed := now.Sub(l.at).Seconds(); passed > 0 {
		l.tokens, l.at = min(size.Burst, l.tokens+passed*size.PerSecond), now
	}
	return l
}
