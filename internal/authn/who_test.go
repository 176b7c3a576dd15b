package authn

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/authn/oidc/oidctest"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

// signedIn returns a book with one session, its secret, and its identity.
func signedIn() (book, string, access.Identity) {
	ana := access.Identity{
		Principal: access.Principal{Issuer: "https://corp.example", Subject: "1", Display: "Ana"}, Kind: access.Person,
		Person: "p-own", Groups: []string{"https://corp.example#admins"}, At: noon(),
	}
	secret := session.NewSecret()
	hash := session.Hash(secret)
	return book{
		sessions: map[[sha256.Size]byte]session.Session{hash: {ID: "s-1", Hash: hash, Identity: ana, Created: noon(), Seen: noon()}},
		links:    map[access.Principal]string{}, used: map[string]time.Time{},
	}, secret, ana
}

func limits() session.Limits { return session.Limits{Absolute: 12 * time.Hour, Idle: time.Hour} }

func TestSessions(t *testing.T) {
	b, secret, ana := signedIn()
	a := New(Config{Book: b, Sessions: limits(), Groups: map[string][]string{"https://corp.example#1": {"local#oncall", "https://corp.example#admins"}}})
	want := ana
	want.Groups = []string{"https://corp.example#admins", "local#oncall"}
	for _, r := range []*http.Request{request("Authorization", "Bearer "+secret), request("Cookie", Cookie+"="+secret)} {
		who, err := a.Authenticate(r, noon())
		if diff := cmp.Diff(want, who.Identity); err != nil || diff != "" || who.Session != "s-1" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if len(b.used) != 0 {
		t.Error("a use right after the last is written")
	}
	later := noon().Add(59 * time.Minute)
	if _, err := a.Authenticate(request("Cookie", Cookie+"="+secret), later); err != nil || b.used["s-1"] != later {
		t.Errorf("%v, %v", b.used, err)
	}
	for name, r := range map[string]*http.Request{
		"a secret that is a token's": request("Authorization", "Bearer sesame_"+strings.TrimPrefix(secret, session.Prefix)),
		"two cookies":                request("Cookie", Cookie+"="+secret+"; "+Cookie+"=x"),
		"another name":               request("Cookie", "sesame="+secret),
		"truncated":                  request("Cookie", Cookie+"="+secret[:len(secret)-1]),
		"case flipped":               request("Cookie", Cookie+"="+strings.ToUpper(secret)),
	} {
		if _, err := New(a.cfg).Authenticate(r, noon()); errkind.Of(err) != errkind.Unauthenticated || err.Error() != unknown().Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, at := range map[string]time.Time{"idle": noon().Add(time.Hour), "too old": noon().Add(12 * time.Hour)} {
		if _, err := New(a.cfg).Authenticate(request("Cookie", Cookie+"="+secret), at); errkind.Of(err) != errkind.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cookie comes along whoever sends the browser here, so that what changes
// something must say that a page of ours did.
func TestCookiesChangeNothingFromElsewhere(t *testing.T) {
	b, secret, _ := signedIn()
	a := New(Config{Book: b, Sessions: limits()})
	for _, c := range []struct {
		method string
		header []string
		ok     bool
	}{
		{http.MethodGet, nil, true},
		{http.MethodPost, nil, false},
		{http.MethodPost, []string{"Sec-Fetch-Site", "same-origin"}, true},
		{http.MethodPost, []string{"Sec-Fetch-Site", "cross-site"}, false},
		{http.MethodPost, []string{"Sec-Fetch-Site", "same-site"}, false},
		{http.MethodDelete, []string{"Sec-Fetch-Site", "none"}, false},
		{http.MethodPost, []string{"Origin", "https://sesame.example"}, true}, // compared by package front
	} {
		r := request(append([]string{"Cookie", Cookie + "=" + secret}, c.header...)...)
		r.Method = c.method
		if _, err := a.Authenticate(r, noon()); (err == nil) != c.ok {
			t.Errorf("%s %v: %v", c.method, c.header, err)
		}
	}
}

// What an administrator linked is one person, whichever way they come; what nobody
// linked is none, and a token alone never is.
func TestLinksMakePersons(t *testing.T) {
	b, _, _ := signedIn()
	tokens := lookup(Token{Scope: []string{"view"}})
	tokens.links = b.links
	a := New(Config{Book: tokens})
	who, err := a.Authenticate(request("Authorization", "Bearer "+secret), noon())
	if err != nil || who.Kind != access.Program || who.Person != "" || !cmp.Equal(who.Scope, []string{"view"}) {
		t.Errorf("%+v, %v", who, err)
	}
	b.links[ada()] = "p-own"
	who, err = a.Authenticate(request("Authorization", "Bearer "+secret), noon())
	if err != nil || who.Kind != access.Person || who.Person != "p-own" {
		t.Errorf("%+v, %v", who, err)
	}
}

// Tokens of issuers are those of the issuer that they name, and of no other.
func TestTokensOfIssuers(t *testing.T) {
	p, q := oidctest.New(), oidctest.New()
	t.Cleanup(p.Close)
	t.Cleanup(q.Close)
	p.Now, q.Now = noon, noon
	a := New(Config{Book: lookup(Token{}), Issuers: []*oidc.Issuer{
		oidc.New(oidc.Config{Issuer: config.Issuer{Name: "ci", URL: p.URL, Subject: config.SubjectSub, Audiences: []string{"us"}}}),
	}})
	claims := func(p *oidctest.Provider, iss string) oidctest.Claims {
		c := p.ID()
		c["iss"], c["aud"], c["sub"] = iss, "us", "repo:x"
		return c
	}
	who, err := a.Authenticate(request("Authorization", "Bearer "+p.Sign(claims(p, p.URL))), noon())
	if err != nil || !who.Is(access.Principal{Issuer: p.URL, Subject: "repo:x"}) || who.Kind != access.Program {
		t.Errorf("%+v, %v", who, err)
	}
	for name, raw := range map[string]string{
		"an issuer that is not known": q.Sign(claims(q, q.URL)),
		"another in its name":         q.Sign(claims(q, p.URL)),
		"no issuer":                   p.Sign(claims(p, "")),
		"three parts of nothing":      "..",
		"three parts of words":        "a.b.c",
	} {
		if who, err := a.Authenticate(request("Authorization", "Bearer "+raw), noon()); errkind.Of(err) != errkind.Unauthenticated {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

// Whatever an address tries, it is counted as one that tries.
func TestA09OneCountForEverything(t *testing.T) {
	b, secret, _ := signedIn()
	a := New(Config{Book: b, Sessions: limits()})
	tries := []*http.Request{
		request(), request("Authorization", "Bearer sesame_x"), request("Authorization", "Bearer SESAME_X"), request("Authorization", "Bearer a.b.c"),
		request("Cookie", Cookie+"="+secret+"x"), request("Authorization", "Bearer "+session.Prefix),
	}
	for i := range failuresAtOnce {
		if _, err := a.Authenticate(tries[i%len(tries)], noon()); errkind.Of(err) != errkind.Unauthenticated {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	for i, r := range tries {
		if _, err := a.Authenticate(r, noon()); errkind.Of(err) != errkind.Exhausted {
			t.Errorf("try %d has a count of its own: %v", i, err)
		}
	}
	if a.Fails(netip.MustParseAddr("192.0.2.7"), noon()) {
		t.Error("a code has a count of its own")
	}
}

// Known or not, the answer is the same, byte for byte.
func TestA15UnknownIsUnknown(t *testing.T) {
	b, secret, _ := signedIn()
	texts := map[string]bool{}
	for _, bad := range []string{secret + "x", secret[:len(secret)-1], "sesame_unknown", session.Prefix, "a.b.c"} {
		_, err := New(Config{Book: b, Sessions: limits()}).Authenticate(request("Authorization", "Bearer "+bad), noon())
		texts[err.Error()+errkind.Public(err)] = true
	}
	ended := New(Config{Book: b, Sessions: limits()})
	_, err := ended.Authenticate(request("Authorization", "Bearer "+secret), noon().Add(24*time.Hour))
	texts[err.Error()+errkind.Public(err)] = true
	if len(texts) != 1 {
		t.Errorf("%d different answers: %v", len(texts), texts)
	}
}
