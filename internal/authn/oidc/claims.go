package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/config"
)

// claims are what a token says that we look at. Names are matched as they are
// written, and none may be there twice.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	OID       string   `json:"oid"`
	Tenant    string   `json:"tid"`
	Audience  audience `json:"aud"`
	Party     string   `json:"azp"`
	Expiry    seconds  `json:"exp"`
	Earliest  seconds  `json:"nbf"`
	Issued    seconds  `json:"iat"`
	Proved    seconds  `json:"auth_time"`
	Nonce     string   `json:"nonce"`
	Scope     string   `json:"scp"`
	IDType    string   `json:"idtyp"`
	Methods   audience `json:"amr"`
	Username  string   `json:"preferred_username"`
	Name      string   `json:"name"`
	Elsewhere struct {
		Groups string `json:"groups"`
	} `json:"_claim_names"`
	HasGroups truth `json:"hasgroups"`

	all map[string]json.RawMessage
}

// audience is a string or a list of them.
type audience []string

// UnmarshalJSON reads either.
func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// truth is a bool, which some write as a string.
type truth bool

// UnmarshalJSON reads either.
func (t *truth) UnmarshalJSON(text []byte) error {
	*t = truth(strings.Trim(string(text), `"`) == "true")
	return nil
}

// seconds is an instant in seconds of Unix time; 0 for none.
type seconds float64

func (s seconds) time() time.Time {
	const latest = 253402300799 // the end of the year 9999
	if !(s > 0 && s <= latest) {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// verify returns the claims of a token that the issuer signed, for one of the
// given audiences, and that counts at now.
func (i *Issuer) verify(ctx context.Context, raw string, audiences []string, now time.Time) (*claims, error) {
	d, err := i.find(ctx)
	if err != nil {
		return nil, err
	}
	token, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		// The text, because not every step on the way wraps the error. Keys that were
		// fetched a moment ago are all there are.
		if text := err.Error(); strings.Contains(text, "fetching keys") && !strings.Contains(text, errThrottled.Error()) {
			return nil, i.unreachable(err)
		}
		return nil, i.refused("the token is not one of its own, or was changed")
	}
	var text json.RawMessage
	if err := token.Claims(&text); err != nil {
		return nil, i.refused("the token cannot be read")
	}
	c := new(claims)
	if jsonv2.Unmarshal(text, c) != nil || jsonv2.Unmarshal(text, &c.all) != nil {
		return nil, i.refused("the token says something twice, or not in the form that it has to have")
	}
	return c, i.check(c, audiences, now)
}

// check judges claims whose signature is good.
func (i *Issuer) check(c *claims, audiences []string, now time.Time) error {
	const leeway = access.MaxSkew
	expires, earliest, issued := c.Expiry.time(), c.Earliest.time(), c.Issued.time()
	switch {
	case !i.Issues(c.Issuer):
		return i.refused("the token is by another issuer")
	case len(c.Audience) == 0 || !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(audiences, a) }):
		return i.refused("the token is not for this server, but for %s", strings.Join(quoted(c.Audience), ", "))
	case expires.IsZero():
		return i.refused("the token has no end")
	case issued.After(now.Add(leeway)), earliest.After(now.Add(leeway)):
		ahead := issued
		if earliest.After(ahead) {
			ahead = earliest
		}
		return i.refused("the token counts only in %s; the clock of this server or that of %s is wrong", ahead.Sub(now).Round(time.Second), i.cfg.Name)
	case !now.Before(expires.Add(leeway)):
		return i.refused("the token ended %s ago; get a new one, and see whether the clock of this server is right", now.Sub(expires).Round(time.Second))
	case i.cfg.Subject == config.SubjectOID && c.Tenant != "" && !strings.Contains(i.cfg.URL, c.Tenant):
		return i.refused("the token is of another tenant")
	case !isName(i.subject(c)):
		return i.refused("the token has no %s that could name anybody", i.cfg.Subject)
	}
	return nil
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = printable(s)
	}
	return out
}

// subject returns what the issuer calls them for ever.
func (i *Issuer) subject(c *claims) string {
	if i.cfg.Subject == config.SubjectOID {
		return c.OID
	}
	return c.Subject
}

// isName reports whether s can be the name of somebody: 1 to 255 bytes of text.
// A # would make it mean something else where it is written behind its issuer.
func isName(s string) bool {
	const most = 255
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || r == unicode.ReplacementChar || r == '#'
	})
}

// identity returns who the claims are about.
func (i *Issuer) identity(ctx context.Context, c *claims, kind access.Kind, now time.Time) (access.Identity, error) {
	p := access.Principal{Issuer: i.cfg.URL, Subject: i.subject(c), Display: ""}
	p.Display = cmp.Or(printable(c.Username), printable(c.Name), p.Subject)
	who := access.Identity{Principal: p, Kind: kind, Person: "", Groups: nil, Scope: nil, At: time.Time{}}
	if kind == access.Person {
		who.At = c.Proved.time()
		if i.cfg.People {
			who.Person = access.PersonOf(p)
		}
	}
	groups, err := i.groupsOf(ctx, c, now)
	who.Groups = groups
	return who, err
}

// printable returns s on one line and not too long, for people to read; empty if
// there is something in it that only pretends to be text.
func printable(s string) string {
	const most = 100
	s = strings.TrimSpace(s)
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r)
	}) {
		return ""
	}
	return s
}

// arm are the audiences of Azure Resource Manager.
func arm() []string {
	return []string{
		"https://management.azure.com", "https://management.azure.com/",
		"https://management.core.windows.net", "https://management.core.windows.net/",
	}
}

// Bearer says who a token stands for that was sent with a request.
//
// Somebody with a token of an issuer of people is a person if the token was given
// to a client on their behalf, as its scopes say; everybody else is a program.
func (i *Issuer) Bearer(ctx context.Context, raw string, now time.Time) (access.Identity, error) {
	audiences := i.cfg.Audiences
	if i.arm && i.cfg.Subject == config.SubjectOID {
		audiences = slices.Concat(audiences, arm())
	}
	if len(audiences) == 0 {
		return access.Identity{}, i.refused("its tokens are for signing in; run `sesame login`")
	}
	c, err := i.verify(ctx, raw, audiences, now)
	if err != nil {
		return access.Identity{}, err
	}
	kind := access.Program
	if i.cfg.People && c.Scope != "" && c.IDType != "app" {
		kind = access.Person
		if err := i.factors(c); err != nil {
			return access.Identity{}, err
		}
	}
	return i.identity(ctx, c, kind, now)
}

// factors fails for whoever has not proved themselves by as many as it takes.
func (i *Issuer) factors(c *claims) error {
	if i.cfg.MFA && !slices.Contains(c.Methods, "mfa") {
		return i.refused("a second factor is asked for here, and %s does not say that there was one", i.cfg.Name)
	}
	return nil
}
