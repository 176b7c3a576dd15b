// Package oidc asks identity providers who somebody is.
//
// An issuer vouches in two ways. People sign in: by the authorization code flow
// with PKCE in a browser, or by the device flow where there is none; what comes
// back is an ID token. And whoever has a token of an issuer that is meant for this
// server, a CI job or a client of Azure, sends it with every request.
//
// # What is believed
//
// A token counts if a key of the issuer signed it with an asymmetric algorithm,
// its iss is that of the configuration byte for byte, it is for us, and now lies
// between its times, with 30 s of leeway. A token without an expiry counts for
// nothing. Keys are fetched from where the issuer's discovery document says;
// redirects are not followed, tokens that name other places are not obeyed, and
// addresses at which clouds hand out credentials are never called.
//
// Who it is, is the issuer and what the issuer calls them for ever: sub or, for
// Entra ID, whose sub differs from application to application, oid. An e-mail
// address decides nothing: it can be somebody else's tomorrow.
//
// # Groups
//
// Groups come from a claim. Where Entra leaves them out because they are too many,
// they are asked for at Microsoft Graph, by the server and for its own
// registration (application permission GroupMember.Read.All); the address is that
// of the configuration, never that of the token. When that fails nobody is let in
// with half their groups: one of the others may be what forbids it.
package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

// An Issuer is one identity provider. It is safe for concurrent use.
type Issuer struct {
	cfg    config.Issuer
	secret string
	arm    bool // whether tokens for Azure Resource Manager are taken
	client *http.Client
	groups *groupCache

	mu       sync.Mutex
	provider *discovered // nil until it was found
	failed   time.Time   // when it was last not found
}

// discovered is what an issuer says about itself.
type discovered struct {
	endpoint oauth2.Endpoint
	verifier *gooidc.IDTokenVerifier
}

// Config is what an Issuer is made of.
type Config struct {
	config.Issuer
	// Secret is the client's; empty for a public client.
	Secret string
	// ARM says that tokens for Azure Resource Manager are taken.
	ARM bool
	// HTTP is how the issuer is reached; nil for NewClient(nil).
	HTTP *http.Client
}

// How long an issuer is left alone that did not answer, and how often keys are
// asked for that are not known.
const (
	findEvery = 3 * time.Second
	keysEvery = time.Second
	keysBurst = 3
)

// New returns an issuer. It is asked nothing before somebody comes from it, so
// that the server starts without it.
func New(cfg Config) *Issuer {
	if cfg.HTTP == nil {
		cfg.HTTP = NewClient(nil)
	}
	return &Issuer{
		cfg: cfg.Issuer, secret: cfg.Secret, arm: cfg.ARM, client: cfg.HTTP, groups: newGroupCache(),
		mu: sync.Mutex{}, provider: nil, failed: time.Time{},
	}
}

// Name returns what the configuration calls the issuer.
func (i *Issuer) Name() string { return i.cfg.Name }

// SignsIn reports whether people may sign in here.
func (i *Issuer) SignsIn() bool { return i.cfg.Client != "" }

// Issues reports whether iss is one of the names that the issuer gives itself.
func (i *Issuer) Issues(iss string) bool {
	return iss != "" && (iss == i.cfg.URL || slices.Contains(i.cfg.Also, iss))
}

// algorithms are those that need no shared secret.
func algorithms() []string {
	return []string{
		gooidc.RS256, gooidc.RS384, gooidc.RS512, gooidc.PS256, gooidc.PS384, gooidc.PS512,
		gooidc.ES256, gooidc.ES384, gooidc.ES512, gooidc.EdDSA,
	}
}

// find returns what the issuer says about itself, which is asked for once.
func (i *Issuer) find(ctx context.Context) (*discovered, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.provider != nil {
		return i.provider, nil
	}
	if time.Since(i.failed) < findEvery {
		return nil, i.unreachable(errors.New("it did not answer a moment ago"))
	}
	found, err := i.discover(ctx)
	if err != nil {
		i.failed = time.Now()
		return nil, i.unreachable(err)
	}
	i.provider = found
	return found, nil
}

// discover asks the issuer about itself.
func (i *Issuer) discover(ctx context.Context) (*discovered, error) {
	// The keys are fetched with this client, too, whenever a token names one that is
	// not known; whoever makes up names must not make us ask all the time.
	keys := *i.client
	keys.Transport = &throttled{next: i.client.Transport, rate: rate.NewLimiter(rate.Every(keysEvery), keysBurst)}
	p, err := gooidc.NewProvider(gooidc.ClientContext(ctx, &keys), i.cfg.URL)
	if err != nil {
		return nil, err
	}
	var more struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, err
	}
	endpoint := p.Endpoint()
	// Said, not tried out: trying sends a code or a device code twice. In the header
	// is what every provider has to take that says nothing else.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if i.secret == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &discovered{
		endpoint: endpoint,
		verifier: p.VerifierContext(gooidc.ClientContext(context.WithoutCancel(ctx), &keys), &gooidc.Config{
			ClientID: "", SupportedSigningAlgs: algorithms(), Now: nil, InsecureSkipSignatureCheck: false,
			// Package gooidc allows more than we do: see check.
			SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true,
		}),
	}, nil
}

// throttled asks at most so often.
type throttled struct {
	next http.RoundTripper
	rate *rate.Limiter
}

var errThrottled = errors.New("asked too often; keys that are not there do not come by asking")

// RoundTrip sends r, or says that there were too many.
func (t *throttled) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.rate.Allow() {
		return nil, errThrottled
	}
	return t.next.RoundTrip(r)
}

// unreachable says that the issuer could not be asked.
func (i *Issuer) unreachable(err error) error {
	return errkind.Wrap(errkind.Unavailable, err,
		"the identity provider %s cannot be asked now, so nobody new comes in through it; what is open stays open until its time", i.cfg.Name)
}

// refused says that what came from the issuer, or from somebody in its name, does
// not show who it is. Why is for whoever set it up; it holds nothing secret.
func (i *Issuer) refused(format string, args ...any) error {
	why := errkind.New(errkind.Unauthenticated, format, args...)
	return errkind.Wrap(errkind.Unauthenticated, why, "%s does not say who is asking: %s", i.cfg.Name, errkind.Public(why))
}

// People reports whether whoever signs in here is a person by themselves.
func (i *Issuer) People() bool { return i.cfg.People }
