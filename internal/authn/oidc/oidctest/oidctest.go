// Package oidctest is an identity provider for tests, small and strict: it checks
// what a good one checks (client, redirect, PKCE, codes that count once) and signs
// whatever a test wants to see refused.
//
// Who opens its page for signing in is signed in at once, as Person.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Claims are what a token says.
type Claims map[string]any

// A Provider is an identity provider. Its fields may be changed between calls.
type Provider struct {
	*httptest.Server
	// Client and Secret are the one registration.
	Client, Secret string
	// Redirects are where it may send people back to; none for anywhere.
	Redirects []string
	// Person is who signs in: the claims besides those that every ID token has.
	Person Claims
	// Now is its clock.
	Now func() time.Time
	// Intercept, if it is there, answers a request in its place where it says so.
	Intercept func(w http.ResponseWriter, r *http.Request) bool

	key *ecdsa.PrivateKey
	mu  sync.Mutex
	// codes and devices are what is under way, by code.
	codes   map[string]url.Values
	devices map[string]bool // whether somebody has signed in
	asked   map[string]int
}

// New starts a provider for the client "sesame" with the secret "hush"; close it.
func New() *Provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	p := &Provider{
		Client: "sesame", Secret: "hush", Person: Claims{"sub": "ana"}, Now: time.Now, key: key,
		codes: map[string]url.Values{}, devices: map[string]bool{}, asked: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /device", p.device)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		p.mu.Unlock()
		if p.Intercept == nil || !p.Intercept(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	return p
}

// Asked returns how often a path was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// SignIn has somebody sign in on every device that waits.
func (p *Provider) SignIn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for code := range p.devices {
		p.devices[code] = true
	}
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"device_authorization_endpoint": p.URL + "/device", "jwks_uri": p.URL + "/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	x, y := p.coordinates()
	answer(w, http.StatusOK, map[string]any{"keys": []map[string]string{
		{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": x, "y": y},
	}})
}

func (p *Provider) coordinates() (x, y string) {
	const size = 32
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return encode(point[1 : 1+size]), encode(point[1+size:])
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	redirect := q.Get("redirect_uri")
	if q.Get("client_id") != p.Client || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		len(p.Redirects) > 0 && !slices.Contains(p.Redirects, redirect) {
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	http.Redirect(w, r, redirect+"?"+back.Encode(), http.StatusFound) //nolint:gosec // that is what it is for; Redirects limits it
}

func (p *Provider) device(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("client_id") != p.Client {
		fail(w, "invalid_client")
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.devices[code] = false
	p.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": "WDJB-MJHT", "verification_uri": p.URL + "/activate", "expires_in": 600, "interval": 1,
	})
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("client_id") != p.Client || r.FormValue("client_secret") != p.Secret {
		fail(w, "invalid_client")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := r.FormValue("code")
	switch r.FormValue("grant_type") {
	case "authorization_code":
		q, ok := p.codes[code]
		delete(p.codes, code)
		challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || q.Get("redirect_uri") != r.FormValue("redirect_uri") || q.Get("code_challenge") != encode(challenge[:]) {
			fail(w, "invalid_grant")
			return
		}
		p.tokens(w, q.Get("nonce"))
	case "urn:ietf:params:oauth:grant-type:device_code":
		done, ok := p.devices[r.FormValue("device_code")]
		switch {
		case !ok:
			fail(w, "expired_token")
		case !done:
			fail(w, "authorization_pending")
		default:
			delete(p.devices, r.FormValue("device_code"))
			p.tokens(w, "")
		}
	case "client_credentials":
		answer(w, http.StatusOK, map[string]any{"access_token": "app " + r.FormValue("scope"), "token_type": "Bearer", "expires_in": 60})
	default:
		fail(w, "unsupported_grant_type")
	}
}

func (p *Provider) tokens(w http.ResponseWriter, nonce string) {
	c := p.ID()
	if nonce != "" {
		c["nonce"] = nonce
	}
	maps.Copy(c, p.Person)
	answer(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300, "id_token": p.Sign(c),
	})
}

// ID returns the claims of a good ID token for the client, without a subject.
func (p *Provider) ID() Claims {
	now := p.Now()
	return Claims{"iss": p.URL, "aud": p.Client, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
}

// Sign returns a token that says c, signed by the provider.
func (p *Provider) Sign(c Claims) string {
	const size = 32
	head := Segment(map[string]string{"alg": "ES256", "kid": "1"}) + "." + Segment(c)
	digest := sha256.Sum256([]byte(head))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		panic(err)
	}
	return head + "." + encode(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
}

// Unsigned returns a token that says c and that nobody has signed.
func (p *Provider) Unsigned(c Claims) string {
	return Segment(map[string]string{"alg": "none"}) + "." + Segment(c) + "."
}

// Confused returns a token that says c, signed with HMAC by the text of the
// public key.
func (p *Provider) Confused(c Claims) string {
	x, _ := p.coordinates()
	head := Segment(map[string]string{"alg": "HS256", "kid": "1"}) + "." + Segment(c)
	mac := hmac.New(crypto.SHA256.New, []byte(x))
	mac.Write([]byte(head))
	return head + "." + encode(mac.Sum(nil))
}

// Segment returns v as a part of a token.
func Segment(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encode(text)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // made of text and numbers; and whoever asked is gone if it fails
}

func fail(w http.ResponseWriter, code string) {
	answer(w, http.StatusBadRequest, map[string]string{"error": code})
}
