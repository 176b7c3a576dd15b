package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/oidc/oidctest"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

func noon() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

// provider starts one whose clock stands at noon.
func provider(t *testing.T) *oidctest.Provider {
	p := oidctest.New()
	t.Cleanup(p.Close)
	p.Now = noon
	return p
}

// issuer returns the issuer that p is, for people and for tokens.
func issuer(p *oidctest.Provider, edits ...func(*Config)) *Issuer {
	cfg := Config{Secret: p.Secret, Issuer: config.Issuer{
		Name: "corp", URL: p.URL, Client: p.Client, Subject: config.SubjectSub, Groups: "groups", Audiences: []string{"us"}, People: true,
	}}
	for _, edit := range edits {
		edit(&cfg)
	}
	return New(cfg)
}

// entra is an issuer whose subject is oid.
func entra(c *Config) { c.Subject = config.SubjectOID }

// bearer returns claims of a good token for us.
func bearer(p *oidctest.Provider, more oidctest.Claims) oidctest.Claims {
	c := p.ID()
	c["aud"], c["sub"] = "us", "ana"
	maps.Copy(c, more)
	return c
}

// refused fails unless err says that it is not known who is asking.
func refused(t *testing.T, name string, who access.Identity, err error) {
	t.Helper()
	if errkind.Of(err) != errkind.Unauthenticated || !cmp.Equal(who, access.Identity{}) {
		t.Errorf("%s: %+v, %v", name, who, err)
	}
}

func TestA01UnsignedTokens(t *testing.T) {
	p := provider(t)
	i := issuer(p)
	good := p.Sign(bearer(p, nil))
	if _, err := i.Bearer(t.Context(), good, noon()); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, raw := range map[string]string{
		"alg none":                 p.Unsigned(bearer(p, nil)),
		"HMAC with the public key": p.Confused(bearer(p, nil)),
		"no signature":             parts[0] + "." + parts[1] + ".",
		"another's signature":      parts[0] + "." + oidctest.Segment(bearer(p, oidctest.Claims{"sub": "root"})) + "." + parts[2],
		"alg None":                 oidctest.Segment(map[string]string{"alg": "None"}) + "." + parts[1] + "." + parts[2],
		"two parts":                parts[0] + "." + parts[1],
		"nothing":                  "",
		"another provider's": func() string {
			q := provider(t)
			return q.Sign(bearer(p, nil))
		}(),
	} {
		who, err := i.Bearer(t.Context(), raw, noon())
		refused(t, name, who, err)
	}
}

func TestA02TokensThatDoNotCount(t *testing.T) {
	p := provider(t)
	i := issuer(p)
	at := func(d time.Duration) int64 { return noon().Add(d).Unix() }
	for _, c := range []struct {
		name string
		edit oidctest.Claims
		ok   bool
	}{
		{"as it should be", nil, true},
		{"another issuer", oidctest.Claims{"iss": "https://evil.example"}, false},
		{"the issuer with a slash", oidctest.Claims{"iss": p.URL + "/"}, false},
		{"no issuer", oidctest.Claims{"iss": nil}, false},
		{"another audience", oidctest.Claims{"aud": "them"}, false},
		{"no audience", oidctest.Claims{"aud": nil}, false},
		{"an empty list of audiences", oidctest.Claims{"aud": []string{}}, false},
		{"us among others", oidctest.Claims{"aud": []string{"them", "us"}}, true},
		{"ended", oidctest.Claims{"exp": at(-time.Hour)}, false},
		{"ended within the leeway", oidctest.Claims{"exp": at(-29 * time.Second)}, true},
		{"ended 31 s ago", oidctest.Claims{"exp": at(-31 * time.Second)}, false},
		{"ended 60 s ago", oidctest.Claims{"exp": at(-60 * time.Second)}, false},
		{"no end", oidctest.Claims{"exp": nil}, false},
		{"an end of zero", oidctest.Claims{"exp": 0}, false},
		{"an end beyond all time", oidctest.Claims{"exp": 1e300}, false},
		{"from later", oidctest.Claims{"nbf": at(31 * time.Second)}, false},
		{"from later within the leeway", oidctest.Claims{"nbf": at(29 * time.Second)}, true},
		{"made later", oidctest.Claims{"iat": at(time.Minute)}, false},
		{"no subject", oidctest.Claims{"sub": nil}, false},
		{"a subject of two lines", oidctest.Claims{"sub": "ana\nroot"}, false},
		{"a subject that is another's behind an issuer", oidctest.Claims{"sub": "x#ana"}, false},
		{"a subject without end", oidctest.Claims{"sub": strings.Repeat("a", 256)}, false},
		{"an end in words", oidctest.Claims{"exp": "tomorrow"}, false},
	} {
		claims := bearer(p, c.edit)
		maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
		who, err := i.Bearer(t.Context(), p.Sign(claims), noon())
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok {
			refused(t, c.name, who, err)
		}
	}
}

// The same address at two providers is two people; what is written where an
// address belongs is not shown as one.
func TestA03TheIssuerIsHalfOfWho(t *testing.T) {
	p, q := provider(t), provider(t)
	same := oidctest.Claims{"sub": "ana", "email": "ana@corp.example", "email_verified": true, "preferred_username": "ana@corp.example", "scp": "x"}
	a, errA := issuer(p).Bearer(t.Context(), p.Sign(bearer(p, same)), noon())
	b, errB := issuer(q).Bearer(t.Context(), q.Sign(bearer(q, same)), noon())
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.Is(b.Principal) || a.Same(b) || a.Person == "" {
		t.Errorf("%+v and %+v are one", a, b)
	}
	_, err := issuer(p).Bearer(t.Context(), q.Sign(bearer(q, same)), noon())
	if errkind.Of(err) != errkind.Unauthenticated {
		t.Errorf("one provider's token counts at the other: %v", err)
	}
}

func TestA04AnEMailAddressDecidesNothing(t *testing.T) {
	p := provider(t)
	for _, mail := range []string{`"a@evil.example"@corp.example`, "a@evil@corp.example", "ana@corp.example", "ana@corp.example\u202e", "a\x00b"} {
		who, err := issuer(p).Bearer(t.Context(), p.Sign(bearer(p, oidctest.Claims{"sub": "7", "email": mail, "email_verified": false})), noon())
		if err != nil || who.Subject != "7" || who.Display != "7" {
			t.Errorf("%q: %+v, %v", mail, who, err)
		}
		who, err = issuer(p).Bearer(t.Context(), p.Sign(bearer(p, oidctest.Claims{"sub": nil, "email": mail, "email_verified": true})), noon())
		refused(t, mail, who, err)
	}
	who, err := issuer(p).Bearer(t.Context(), p.Sign(bearer(p, oidctest.Claims{"preferred_username": "root\u202etoor", "name": "Ana\r\nroot"})), noon())
	if err != nil || who.Display != "ana" {
		t.Errorf("%+v, %v", who, err)
	}
}

// attempt is a sign-in under way.
func attempt(n int) Attempt {
	return Attempt{State: fmt.Sprint("s", n), Nonce: fmt.Sprint("n", n), Verifier: strings.Repeat("v", 43+n), Redirect: "https://us.example/callback"}
}

// browse follows the issuer's page and returns what a browser brings back.
func browse(t *testing.T, i *Issuer, a Attempt) url.Values {
	t.Helper()
	to, err := i.AuthURL(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return back.Query()
}

func TestA05TheAnswerFitsTheQuestion(t *testing.T) {
	p := provider(t)
	i := issuer(p)
	for name, c := range map[string]struct {
		edit   func(a *Attempt, answer *Answer)
		person oidctest.Claims
		ok     bool
	}{
		"as it should be":        {func(*Attempt, *Answer) {}, nil, true},
		"another verifier":       {func(a *Attempt, _ *Answer) { a.Verifier = attempt(2).Verifier }, nil, false},
		"no verifier":            {func(a *Attempt, _ *Answer) { a.Verifier = "" }, nil, false},
		"another nonce":          {func(a *Attempt, _ *Answer) { a.Nonce = attempt(2).Nonce }, nil, false},
		"a token without nonce":  {func(*Attempt, *Answer) {}, oidctest.Claims{"nonce": ""}, false},
		"another redirect":       {func(a *Attempt, _ *Answer) { a.Redirect += "2" }, nil, false},
		"somebody else answered": {func(_ *Attempt, answer *Answer) { answer.Issuer = "https://evil.example" }, nil, false},
		"no code":                {func(_ *Attempt, answer *Answer) { answer.Code = "" }, nil, false},
		"for somebody else, too": {func(*Attempt, *Answer) {}, oidctest.Claims{"aud": []string{"sesame", "other"}}, false},
		"made for somebody else": {func(*Attempt, *Answer) {}, oidctest.Claims{"aud": []string{"sesame", "other"}, "azp": "other"}, false},
		"for both, made for us":  {func(*Attempt, *Answer) {}, oidctest.Claims{"aud": []string{"sesame", "other"}, "azp": "sesame"}, true},
		"without end":            {func(*Attempt, *Answer) {}, oidctest.Claims{"exp": 0}, false},
	} {
		p.Person = oidctest.Claims{"sub": "ana"}
		maps.Copy(p.Person, c.person)
		a := attempt(1)
		q := browse(t, i, a)
		answer := Answer{Code: q.Get("code"), Issuer: q.Get("iss")}
		c.edit(&a, &answer)
		who, err := i.Exchange(t.Context(), a, answer, noon())
		if !c.ok {
			refused(t, name, who, err)
			continue
		}
		if err != nil || who.Subject != "ana" || who.Kind != access.Person || who.Person == "" || who.At != noon() {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		who, err = i.Exchange(t.Context(), a, answer, noon())
		refused(t, "a code used again", who, err)
	}
}

func TestA06NothingIsFollowedElsewhere(t *testing.T) {
	evil := provider(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/keys"} {
		p := provider(t)
		p.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				http.Redirect(w, r, evil.URL+path, http.StatusFound)
			}
			return r.URL.Path == path
		}
		_, err := issuer(p).Bearer(t.Context(), p.Sign(bearer(p, nil)), noon())
		if errkind.Of(err) != errkind.Unavailable || evil.Asked(path) != 0 {
			t.Errorf("%s: %v, and the other was asked %d times", path, err, evil.Asked(path))
		}
	}
	// A document of one issuer that describes another.
	p := provider(t)
	p.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/.well-known/openid-configuration" {
			return false
		}
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, evil.URL, evil.URL+"/keys")
		return true
	}
	if _, err := issuer(p).Bearer(t.Context(), p.Sign(bearer(p, nil)), noon()); errkind.Of(err) != errkind.Unavailable {
		t.Error(err)
	}
	for _, addr := range []string{"169.254.169.254:80", "[fe80::1]:443", "[fd00:ec2::254]:80", "168.63.129.16:80", "0.0.0.0:80", "[::ffff:169.254.169.254]:80"} {
		if guard("tcp", addr, nil) == nil {
			t.Errorf("%s may be called", addr)
		}
	}
	if err := guard("tcp", "192.0.2.1:443", nil); err != nil {
		t.Error(err)
	}
}

// Keys that do not exist are not asked for as often as somebody likes.
func TestMadeUpKeysAreNotFetchedAllTheTime(t *testing.T) {
	p := provider(t)
	i := issuer(p)
	body := oidctest.Segment(bearer(p, nil)) + "." + strings.Repeat("A", 86)
	for n := range 100 {
		raw := oidctest.Segment(map[string]string{"alg": "ES256", "kid": fmt.Sprint(n)}) + "." + body
		if _, err := i.Bearer(t.Context(), raw, noon()); err == nil {
			t.Fatal("it counts")
		}
	}
	if n := p.Asked("/keys"); n > 2*keysBurst {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestA12ASecondFactor(t *testing.T) {
	p := provider(t)
	i := issuer(p, func(c *Config) { c.MFA = true })
	for _, c := range []struct {
		amr any
		ok  bool
	}{{nil, false}, {[]string{"pwd"}, false}, {"mfa", true}, {[]string{"pwd", "mfa"}, true}} {
		p.Person = oidctest.Claims{"sub": "ana"}
		if c.amr != nil {
			p.Person["amr"] = c.amr
		}
		a := attempt(1)
		q := browse(t, i, a)
		who, err := i.Exchange(t.Context(), a, Answer{Code: q.Get("code"), Issuer: q.Get("iss")}, noon())
		if c.ok != (err == nil) {
			t.Errorf("%v: %+v, %v", c.amr, who, err)
		}
	}
	// Proved long ago is said as it was.
	p.Person = oidctest.Claims{"sub": "ana", "amr": "mfa", "auth_time": noon().Add(-8 * time.Hour).Unix()}
	a := attempt(1)
	a.Again = true
	to, err := i.AuthURL(t.Context(), a)
	if err != nil || !strings.Contains(to, "prompt=login") || !strings.Contains(to, "max_age=0") {
		t.Error(to, err)
	}
	q := browse(t, i, a)
	who, err := i.Exchange(t.Context(), a, Answer{Code: q.Get("code")}, noon())
	if err != nil || who.At != noon().Add(-8*time.Hour) {
		t.Errorf("%+v, %v", who, err)
	}
}

// An identity provider that is down lets nobody new in and is not blamed on them.
func TestA13TheProviderIsDown(t *testing.T) {
	p := provider(t)
	i, cold := issuer(p), issuer(p)
	token := p.Sign(bearer(p, nil))
	if _, err := i.Bearer(t.Context(), token, noon()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := cold.Bearer(t.Context(), token, noon()); errkind.Of(err) != errkind.Unavailable {
		t.Error(err)
	}
	if _, err := i.Exchange(t.Context(), attempt(1), Answer{Code: "c"}, noon()); errkind.Of(err) != errkind.Unavailable {
		t.Error(err)
	}
	// Keys that are known go on to show who somebody is.
	if _, err := i.Bearer(t.Context(), token, noon()); err != nil {
		t.Error(err)
	}
}

func TestA14ClocksApart(t *testing.T) {
	p := provider(t)
	i := issuer(p)
	for apart, want := range map[time.Duration]string{
		-10 * time.Minute: "counts only in 10m0s; the clock of this server or that of corp is wrong",
		10 * time.Minute:  "ended 5m0s ago; get a new one, and see whether the clock of this server is right",
	} {
		a := attempt(1)
		q := browse(t, i, a)
		who, err := i.Exchange(t.Context(), a, Answer{Code: q.Get("code")}, noon().Add(apart))
		refused(t, apart.String(), who, err)
		if !strings.Contains(errkind.Public(err), want) {
			t.Errorf("%s: %s", apart, errkind.Public(err))
		}
	}
}

func TestGroups(t *testing.T) {
	p := provider(t)
	for _, c := range []struct {
		claim any
		want  []string
	}{
		{nil, nil},
		{[]string{}, nil},
		{[]string{"b", "a", "b"}, []string{p.URL + "#a", p.URL + "#b"}},
		{"one", []string{p.URL + "#one"}},
		{[]string{"a#b", "", "c\n"}, nil},
	} {
		claims := bearer(p, nil)
		if c.claim != nil {
			claims["groups"] = c.claim
		}
		who, err := issuer(p).Bearer(t.Context(), p.Sign(claims), noon())
		if diff := cmp.Diff(c.want, who.Groups); err != nil || diff != "" {
			t.Errorf("%v: %v\n%s", c.claim, err, diff)
		}
	}
	who, err := issuer(p).Bearer(t.Context(), p.Sign(bearer(p, oidctest.Claims{"groups": map[string]int{"a": 1}})), noon())
	refused(t, "no list", access.Identity{Groups: who.Groups}, err)
}

// Groups that Entra leaves out are asked for where the configuration says, and
// half of them is not enough.
func TestGroupsThatAreTooMany(t *testing.T) {
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token said whom to ask") }))
	t.Cleanup(evil.Close)
	p := provider(t)
	asked, status, answer := 0, http.StatusOK, `{"value":["g2","g1"]}`
	graph := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		want := "Bearer app http://" + r.Host + "/.default"
		if r.Method != http.MethodPost || r.URL.Path != "/v1.0/users/o-1/getMemberObjects" || r.Header.Get("Authorization") != want {
			t.Errorf("%s %s %s", r.Method, r.URL, r.Header)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(graph.Close)
	token := p.Sign(bearer(p, oidctest.Claims{
		"oid": "o-1", "_claim_names": map[string]string{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": evil.URL}},
	}))
	with := func(c *Config) { entra(c); c.Graph = graph.URL + "/v1.0" }
	i := issuer(p, with)
	for range 3 {
		who, err := i.Bearer(t.Context(), token, noon())
		if diff := cmp.Diff([]string{p.URL + "#g1", p.URL + "#g2"}, who.Groups); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times within a minute", asked)
	}
	for name, set := range map[string]func(){
		"refused":      func() { status = http.StatusForbidden },
		"half of them": func() { status, answer = http.StatusOK, `{"value":["g1"],"@odata.nextLink":"x"}` },
		"no JSON":      func() { answer = "<html>" },
	} {
		set()
		if _, err := issuer(p, with).Bearer(t.Context(), token, noon()); errkind.Of(err) != errkind.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := issuer(p, entra).Bearer(t.Context(), token, noon()); errkind.Of(err) != errkind.Unauthenticated {
		t.Errorf("without a place to ask: %v", err)
	}
}

// Who a token of Entra stands for is told by tenant and object id; delegated ones
// are people, those of applications programs. Tokens for Azure itself are taken
// only where that was asked for.
func TestEntra(t *testing.T) {
	p := provider(t)
	claims := func(more oidctest.Claims) string {
		c := bearer(p, oidctest.Claims{"oid": "o-1", "sub": "differs"})
		maps.Copy(c, more)
		return p.Sign(c)
	}
	also := func(c *Config) { entra(c); c.Also = []string{"https://sts.example/t/"} }
	for _, c := range []struct {
		name string
		edit oidctest.Claims
		kind access.Kind
	}{
		{"a person through a client", oidctest.Claims{"scp": "user_impersonation"}, access.Person},
		{"an application", oidctest.Claims{"idtyp": "app"}, access.Program},
		{"an application with a scope", oidctest.Claims{"idtyp": "app", "scp": "x"}, access.Program},
		{"version 1", oidctest.Claims{"scp": "x", "iss": "https://sts.example/t/"}, access.Person},
	} {
		who, err := issuer(p, also).Bearer(t.Context(), claims(c.edit), noon())
		if err != nil || who.Kind != c.kind || (who.Person != "") != (c.kind == access.Person) {
			t.Errorf("%s: %+v, %v", c.name, who, err)
		}
		if want := (access.Principal{Issuer: p.URL, Subject: "o-1"}); !who.Is(want) {
			t.Errorf("%s: %+v", c.name, who)
		}
	}
	who, err := issuer(p, also).Bearer(t.Context(), claims(oidctest.Claims{"tid": "another"}), noon())
	refused(t, "another tenant", who, err)
	for _, aud := range arm() {
		token := claims(oidctest.Claims{"aud": aud, "scp": "user_impersonation"})
		who, err := issuer(p, also).Bearer(t.Context(), token, noon())
		refused(t, aud, who, err)
		if _, err := issuer(p, also, func(c *Config) { c.ARM = true }).Bearer(t.Context(), token, noon()); err != nil {
			t.Errorf("%s, although it is asked for: %v", aud, err)
		}
	}
}

// Programs have the same way in, and are never people.
func TestPrograms(t *testing.T) {
	p := provider(t)
	i := issuer(p, func(c *Config) { c.People, c.Client = false, "" })
	sub := "repo:corp/web:ref:refs/heads/main"
	who, err := i.Bearer(t.Context(), p.Sign(bearer(p, oidctest.Claims{"sub": sub, "scp": "x"})), noon())
	if err != nil || who.Kind != access.Program || who.Person != "" || who.Subject != sub || !who.At.IsZero() {
		t.Errorf("%+v, %v", who, err)
	}
	who, err = issuer(p, func(c *Config) { c.Audiences = nil }).Bearer(t.Context(), p.Sign(bearer(p, nil)), noon())
	refused(t, "tokens that are for signing in", who, err)
}

func TestDeviceFlow(t *testing.T) {
	p := provider(t)
	i := issuer(p)
	dev, err := i.StartDevice(t.Context(), noon())
	if err != nil || dev.UserCode == "" || !strings.HasPrefix(dev.Page, p.URL) || dev.Interval != time.Second {
		t.Fatalf("%+v, %v", dev, err)
	}
	if _, err := i.Poll(t.Context(), dev, noon()); !errors.Is(err, ErrPending) {
		t.Errorf("before: %v", err)
	}
	p.SignIn()
	var mu sync.Mutex
	var in []access.Identity
	var all sync.WaitGroup
	for range 8 { // of all who ask at once, one is told
		all.Go(func() {
			if who, err := i.Poll(context.WithoutCancel(t.Context()), dev, noon()); err == nil {
				mu.Lock()
				defer mu.Unlock()
				in = append(in, who)
			}
		})
	}
	all.Wait()
	if len(in) != 1 || in[0].Subject != "ana" || in[0].Kind != access.Person {
		t.Errorf("%+v", in)
	}
	who, err := i.Poll(t.Context(), dev, noon().Add(time.Hour))
	refused(t, "too late", who, err)
	if got := []string{page("javascript:alert(1)"), page("https://a.example/x"), page("file:///etc/passwd")}; !slices.Equal(got, []string{"", "https://a.example/x", ""}) {
		t.Errorf("%q", got)
	}
}
