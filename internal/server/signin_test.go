package server

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/identity"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn"
	people "github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/authn/oidc/oidctest"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/login"
	"github.com/sesame-access/sesame/internal/signin"
	"github.com/sesame-access/sesame/internal/store"
)

// withProvider has people sign in at p.
func withProvider(p *oidctest.Provider) func(*Config) {
	return func(c *Config) {
		c.Issuers = []*oidc.Issuer{oidc.New(oidc.Config{Secret: p.Secret, Issuer: config.Issuer{
			Name: "corp", URL: p.URL, Client: p.Client, Subject: config.SubjectSub, Groups: "groups", People: true,
		}})}
		desk := c.Desk.Config
		desk.Issuers = c.Issuers
		desk.Sessions = session.Limits{Absolute: 12 * time.Hour, Idle: time.Hour}
		c.Desk = signin.New(desk)
	}
}

// browser is one browser: its cookies, and no redirects that it does not show.
type browser struct {
	h       *house
	cookies map[string]string
}

func (b *browser) send(r *http.Request) reply {
	b.h.t.Helper()
	r.Host = "sesame.example.org"
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	out := b.h.send(r)
	for _, c := range out.Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
			b.h.t.Errorf("a cookie that others may take or set: %v", c)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return out
}

func (b *browser) get(path string) reply {
	b.h.t.Helper()
	return b.send(b.h.newRequest("", "GET", path, ""))
}

func (b *browser) post(path string, form url.Values) reply {
	b.h.t.Helper()
	r := b.h.newRequest("", "POST", path, form.Encode())
	r.Header.Set("Content-Type", front.Form)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

// provider goes to the provider's page and returns the path that it sends back to.
func (b *browser) provider(path string) string {
	b.h.t.Helper()
	begun := b.get(path)
	if begun.code != http.StatusSeeOther {
		b.h.t.Fatalf("%s: %d %s", path, begun.code, begun.body)
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, begun.Header.Get("Location"), nil)
	must(b.h.t, err)
	resp, err := c.Do(r)
	must(b.h.t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	must(b.h.t, resp.Body.Close())
	back, err := resp.Location()
	must(b.h.t, err)
	return back.RequestURI()
}

// office is a house in which people sign in at a provider.
func office(t *testing.T) (*house, *oidctest.Provider, *browser) {
	p := oidctest.New()
	t.Cleanup(p.Close)
	p.Redirects = []string{"https://sesame.example.org/callback"}
	h := build(t, withProvider(p))
	h.http = nil // handlers directly, by the name that the provider knows
	return h, p, &browser{h: h, cookies: map[string]string{}}
}

func TestSignIn(t *testing.T) {
	h, p, b := office(t)
	p.Person = oidctest.Claims{"sub": "42", "name": "Ana", "groups": []string{"ops"}}
	if r := b.get("/v1/whoami"); r.code != http.StatusUnauthorized {
		t.Fatalf("before: %d", r.code)
	}
	done := b.get(b.provider("/login?next=/v1/vms"))
	if done.code != http.StatusOK || !strings.Contains(done.body, `href="/v1/vms"`) || b.cookies[authn.Cookie] == "" {
		t.Fatalf("%d %s", done.code, done.body)
	}
	if got := done.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the page is kept: %q", got)
	}
	who := b.get("/v1/whoami")
	if who.code != http.StatusOK || !strings.Contains(who.body, p.URL) || !strings.Contains(who.body, `"Ana"`) {
		t.Errorf("%d %s", who.code, who.body)
	}
	// Signed in is not allowed: somebody has to give them a role.
	if r := b.get("/v1/vms"); strings.Contains(r.body, "web-1") {
		t.Errorf("somebody without a role sees %s", r.body)
	}
	all := read[api.Page[wire.Identity]](h, "admin", "GET", "/v1/identities", "")
	person := access.PersonOf(access.Principal{Issuer: p.URL, Subject: "42"})
	if i := all.Items[len(all.Items)-1]; i.Principal.Subject != "viewer" && i.Person != person && all.Items[0].Person != person {
		t.Errorf("%+v", all.Items)
	}
	out := b.post("/logout", nil)
	if out.code != http.StatusOK || b.cookies[authn.Cookie] != "" {
		t.Errorf("%d %v", out.code, b.cookies)
	}
	kinds := map[audit.Kind]int{}
	records, err := h.store.Tail(t.Context(), store.ActivityFilter{Kinds: []audit.Kind{audit.SignedIn, audit.SignedOut}}, -1)
	must(t, err)
	for _, r := range records {
		kinds[r.Kind]++
	}
	if kinds[audit.SignedIn] != 1 || kinds[audit.SignedOut] != 1 {
		t.Errorf("%v", kinds)
	}
}

func TestA05Callbacks(t *testing.T) {
	_, _, b := office(t)
	first := b.provider("/login")
	mine := b.cookies["__Host-sesame-login"]
	other := &browser{h: b.h, cookies: map[string]string{}}
	second := other.provider("/login")
	for name, c := range map[string]struct {
		path   string
		cookie string
	}{
		"no state":              {"/callback?code=x", mine},
		"a made-up state":       {"/callback?code=x&state=y", mine},
		"no cookie":             {first, ""},
		"another's sign-in":     {second, mine},
		"two states":            {first + "&state=x", mine},
		"an error for an error": {"/callback?error=%3Cscript%3Ealert(1)%3C/script%3E&state=x", mine},
	} {
		x := &browser{h: b.h, cookies: map[string]string{}}
		if c.cookie != "" {
			x.cookies["__Host-sesame-login"] = c.cookie
		}
		if r := x.get(c.path); r.code != http.StatusUnauthorized || x.cookies[authn.Cookie] != "" || strings.Contains(r.body, "<script") {
			t.Errorf("%s: %d %s", name, r.code, r.body)
		}
	}
}

// One answer of the provider, sent 64 times at once, signs in once.
func TestA07OneAnswerOneSession(t *testing.T) {
	h, _, b := office(t)
	path := b.provider("/login")
	var mu sync.Mutex
	in := 0
	var all sync.WaitGroup
	for range 64 {
		r := h.newRequest("", "GET", path, "")
		r.Host = "sesame.example.org"
		r.AddCookie(&http.Cookie{Name: "__Host-sesame-login", Value: b.cookies["__Host-sesame-login"]})
		all.Go(func() {
			out := httptest.NewRecorder()
			h.server.handler.ServeHTTP(out, r)
			if out.Code == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				in++
			}
		})
	}
	all.Wait()
	if in != 1 {
		t.Errorf("%d sessions", in)
	}
}

func TestA08EverySignInIsANewSession(t *testing.T) {
	_, p, b := office(t)
	// A session that somebody else planted is not the one that the sign-in fills.
	b.cookies[authn.Cookie] = session.NewSecret()
	planted := b.cookies[authn.Cookie]
	b.get(b.provider("/login"))
	first := b.cookies[authn.Cookie]
	p.Person = oidctest.Claims{"sub": "root"}
	b.get(b.provider("/login?again=true"))
	second := b.cookies[authn.Cookie]
	if first == planted || second == first || second == "" {
		t.Fatalf("%q, %q", first, second)
	}
	for name, secret := range map[string]string{"planted": planted, "the first": first} {
		x := &browser{h: b.h, cookies: map[string]string{authn.Cookie: secret}}
		if r := x.get("/v1/whoami"); r.code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, r.code)
		}
	}
	if r := b.get("/v1/whoami"); !strings.Contains(r.body, `"root"`) {
		t.Errorf("%s", r.body)
	}
	b.post("/logout", nil)
	b.cookies[authn.Cookie] = second
	if r := b.get("/v1/whoami"); r.code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", r.code)
	}
}

// No path and no header lets anybody past the question who they are.
func TestA11NothingSkipsTheQuestion(t *testing.T) {
	h := build(t)
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0"} {
		for _, path := range []string{"/metrics", "/v1/whoami", "/v1/vms", "/healthz/../v1/vms", "/healthz/v1/vms", "/v1/vms/healthz", "/ping"} {
			r := h.newRequest("", "GET", path, "")
			r.Header.Set("User-Agent", agent)
			r.Header.Set("X-Forwarded-User", "admin")
			r.Header.Set("X-Auth-Request-User", "admin")
			if got := h.send(r); got.code/100 == 2 {
				t.Errorf("%s as %s: %d", path, agent, got.code)
			}
		}
	}
}

// Whoever proved themselves too long ago may look and close, and opens nothing.
func TestA12OpeningNeedsAFreshSignIn(t *testing.T) {
	p := oidctest.New()
	t.Cleanup(p.Close)
	h := build(t, withProvider(p), func(c *Config) { c.Identity.Fresh = 10 * time.Minute })
	h.http = nil
	b := &browser{h: h, cookies: map[string]string{}}
	ask := func(want int, text string) {
		t.Helper()
		r := h.newRequest("", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"1m"}`)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if got := b.send(r); got.code != want || !strings.Contains(got.body, text) {
			t.Errorf("%d %s, want %d", got.code, got.body, want)
		}
	}
	p.Person = oidctest.Claims{"sub": "42", "auth_time": time.Now().Add(-11 * time.Minute).Unix()}
	b.get(b.provider("/login"))
	ask(http.StatusUnauthorized, "sesame login --again")
	if r := b.get("/v1/vms"); r.code != http.StatusOK {
		t.Errorf("looking: %d", r.code)
	}
	p.Person["auth_time"] = time.Now().Unix()
	b.get(b.provider("/login?again=true"))
	ask(http.StatusNotFound, "web-1") // known, and without a role
	// A token of ours is no person who could prove anything.
	if r := h.call("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"1m"}`); r.code != http.StatusCreated {
		t.Errorf("with a token: %d %s", r.code, r.body)
	}
}

// While the provider is down nobody new comes in; who is in stays, and closes.
func TestA13TheProviderIsDown(t *testing.T) {
	h, p, b := office(t)
	b.get(b.provider("/login"))
	under := &browser{h: h, cookies: map[string]string{}}
	path := under.provider("/login")
	g := read[api.Request](h, "requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.9"],"duration":"5m"}`)
	p.Close()
	if r := under.get(path); r.code != http.StatusServiceUnavailable || under.cookies[authn.Cookie] != "" {
		t.Errorf("a sign-in under way: %d %s", r.code, r.body)
	}
	if r := b.get("/v1/whoami"); r.code != http.StatusOK {
		t.Errorf("who is in: %d", r.code)
	}
	h.ok("requester", "POST", "/v1/grants/"+g.Grants[0].ID+"/close", "")
}

func TestDeviceAndProgram(t *testing.T) {
	h, p, b := office(t)
	h.tokens["nobody"] = ""
	dev := read[wire.Device](h, "", "POST", "/v1/sign-in/device", `{"issuer":"corp"}`)
	pending := read[wire.SignedIn](h, "", "POST", "/v1/sign-in/session", `{"handle":"`+dev.Handle+`"}`)
	if !pending.Pending || pending.Handle == dev.Handle || pending.Secret != "" {
		t.Fatalf("%+v", pending)
	}
	if r := h.call("", "POST", "/v1/sign-in/session", `{"handle":"`+dev.Handle+`"}`); r.code != http.StatusUnauthorized {
		t.Errorf("an old handle: %d", r.code)
	}
	p.SignIn()
	in := read[wire.SignedIn](h, "", "POST", "/v1/sign-in/session", `{"handle":"`+pending.Handle+`"}`)
	h.tokens["ana"] = in.Secret
	if who := read[api.Whoami](h, "ana", "GET", "/v1/whoami", ""); who.Principal.Issuer != p.URL || who.Principal.Subject != "ana" {
		t.Errorf("%+v", who)
	}
	h.ok("ana", "DELETE", "/v1/session", "")
	if r := h.call("ana", "GET", "/v1/whoami", ""); r.code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", r.code)
	}

	verifier := strings.Repeat("v", 43)
	hash := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(hash[:])
	program := func() string {
		t.Helper()
		end := b.get(b.provider("/login?port=43210&state=mine&challenge=" + challenge))
		to, err := url.Parse(end.Header.Get("Location"))
		if err != nil || end.code != http.StatusSeeOther || to.Host != "127.0.0.1:43210" || to.Query().Get("state") != "mine" || b.cookies[authn.Cookie] != "" {
			t.Fatalf("%d %s %v", end.code, to, err)
		}
		return to.Query().Get("code")
	}
	if r := h.call("", "POST", "/v1/sign-in/session", fmt.Sprintf(`{"code":%q,"verifier":%q}`, program(), strings.Repeat("w", 43))); r.code != http.StatusUnauthorized {
		t.Errorf("a code that somebody overheard: %d", r.code)
	}
	code := program()
	in = read[wire.SignedIn](h, "", "POST", "/v1/sign-in/session", fmt.Sprintf(`{"code":%q,"verifier":%q}`, code, verifier))
	if in.Principal.Subject != "ana" || in.Secret == "" {
		t.Errorf("%+v", in)
	}
	if r := h.call("", "POST", "/v1/sign-in/session", fmt.Sprintf(`{"code":%q,"verifier":%q}`, code, verifier)); r.code != http.StatusUnauthorized {
		t.Errorf("a code used again: %d", r.code)
	}
	for _, q := range []string{"port=22&challenge=" + challenge, "port=43210", "port=43210&challenge=short", "port=x&challenge=" + challenge, "port=65536&challenge=" + challenge} {
		if r := b.get("/login?" + q); r.code != http.StatusBadRequest {
			t.Errorf("%s: %d", q, r.code)
		}
	}
}

func TestTheFirstAdministrator(t *testing.T) {
	h, _, b := office(t)
	link := h.server.Desk.First()
	if r := b.get(link); r.code != http.StatusOK || b.cookies[authn.Cookie] != "" {
		t.Fatalf("looking at the link: %d", r.code)
	}
	key := strings.TrimPrefix(link, "/login/first?key=")
	other := &browser{h: h, cookies: map[string]string{}}
	if r := other.post("/login/first", url.Values{"key": {key + "x"}}); r.code != http.StatusUnauthorized {
		t.Errorf("another key: %d", r.code)
	}
	if r := b.post("/login/first", url.Values{"key": {key}}); r.code != http.StatusOK {
		t.Fatalf("%d %s", r.code, r.body)
	}
	if r := b.get("/v1/tokens"); r.code != http.StatusOK {
		t.Errorf("the administrator may not see tokens: %d %s", r.code, r.body)
	}
	if r := other.post("/login/first", url.Values{"key": {key}}); r.code != http.StatusUnauthorized {
		t.Errorf("the link again: %d", r.code)
	}
	cross := h.newRequest("", "POST", "/login/first", "key="+key)
	cross.Header.Set("Content-Type", front.Form)
	cross.Header.Set("Sec-Fetch-Site", "cross-site")
	if r := other.send(cross); r.code != http.StatusForbidden {
		t.Errorf("from another page: %d", r.code)
	}
}

// Persons: what is linked is one, what is a program never is.
func TestPersons(t *testing.T) {
	h, p, b := office(t)
	p.Person = oidctest.Claims{"sub": "42"}
	b.get(b.provider("/login"))
	must(t, h.store.Save(t.Context(), store.Change{
		Identity: people.Change{Seen: []people.Sighting{{Seen: time.Now(), Identity: access.Identity{
			Principal: access.Principal{Issuer: "https://ci.example", Subject: "repo:x"}, Kind: access.Program,
		}}}},
		Records: []audit.Record{{Kind: audit.SignedIn, Time: firewall.Instant(time.Now())}},
	}))
	person := access.PersonOf(access.Principal{Issuer: p.URL, Subject: "42"})
	got := read[wire.Identity](h, "admin", "POST", "/v1/identities/link", `{"identity":"viewer","to":"`+p.URL+`#42"}`)
	if got.Person != person || got.Kind != "person" {
		t.Errorf("%+v", got)
	}
	for _, body := range []string{
		`{"identity":"nobody"}`, `{"identity":"https://ci.example#repo:x"}`, `{"identity":"requester","to":"web-viewer"}`, `{"identity":"requester","to":"x"}`,
	} {
		if r := h.call("admin", "POST", "/v1/identities/link", body); r.code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, r.code, r.body)
		}
	}
	h.ok("admin", "POST", "/v1/identities/unlink", `{"identity":"viewer"}`)
	if r := h.call("admin", "POST", "/v1/identities/unlink", `{"identity":"viewer"}`); r.code != http.StatusBadRequest {
		t.Errorf("twice: %d", r.code)
	}
}

func TestPathsOfThisServer(t *testing.T) {
	for next, want := range map[string]string{
		"/": "/", "/v1/vms?x=y": "/v1/vms?x=y", "//evil.example": "", "/\\evil.example": "", "https://evil.example": "", "evil": "",
		"/\tevil": "", "javascript:alert(1)": "", "": "", "/%2f/evil": "/%2f/evil", "///evil.example": "",
	} {
		if got := login.Path(next); got != want {
			t.Errorf("%q: %q, want %q", next, got, want)
		}
	}
}

// A token is good for what it is for, whatever the role that came with it allows.
func TestScopes(t *testing.T) {
	h := build(t)
	made := read[rights.CreatedToken](h, "admin", "POST", "/v1/tokens", `{"name":"looker","role":"admin","scope":["view"]}`)
	h.tokens["looker"] = made.Secret
	h.ok("looker", "GET", "/v1/vms", "")
	for _, c := range [][3]string{
		{"POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"]}`},
		{"GET", "/v1/tokens", ""},
		{"PUT", "/v1/policies/web-1-ssh", policyText(web)},
		{"POST", "/v1/disable", `{"vm":"web-1","ports":[{"port":22}]}`},
		{"POST", "/v1/sweep", `{"dry_run":true}`},
		{"POST", "/v1/grants/g-0123456789abcdef/close", ""},
	} {
		if r := h.call("looker", c[0], c[1], c[2]); r.code != http.StatusForbidden {
			t.Errorf("%s %s: %d", c[0], c[1], r.code)
		}
	}
	for _, scope := range []string{`["everything"]`, `["manage"]`} {
		if r := h.call("admin", "POST", "/v1/tokens", `{"name":"x","role":"viewer","scope":`+scope+`}`); r.code != http.StatusBadRequest {
			t.Errorf("%s: %d", scope, r.code)
		}
	}
}
