// Package login is signing in over HTTP: the few pages that a browser passes
// through, and the calls that `sesame login` makes.
//
// A page is text and at most one button. Nothing is changed by a GET but the
// beginning of a sign-in, which changes nothing yet; what ends a session or uses a
// link up is a button, so that no scanner of mails does it. Where a page leads
// afterwards is a path of this server, or a port of the person's own machine.
package login

import (
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/identity"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/signin"
)

// Config is what the pages are made of.
type Config struct {
	Desk  *signin.Desk
	Authn func() *authn.Authenticator
	// Client returns the address that a request comes from.
	Client func(r *http.Request) (netip.Addr, error)
	Now    func() time.Time
}

// Pages answers browsers.
type Pages struct{ Config }

// attemptCookie binds a sign-in to the browser that began it.
const attemptCookie = "__Host-sesame-login"

func cookie(name, value string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", Expires: expires, Secure: true, HttpOnly: true,
		// The way back from the identity provider is a link from elsewhere.
		SameSite: http.SameSiteLaxMode,
	}
}

func gone(name string) *http.Cookie {
	c := cookie(name, "", time.Unix(0, 0)) //nolint:gosec // it has what it needs
	c.MaxAge = -1
	return c
}

// valueOf returns the one cookie called name; empty if there is none, or more.
func valueOf(r *http.Request, name string) string {
	if list := r.CookiesNamed(name); len(list) == 1 {
		return list[0].Value
	}
	return ""
}

// Params are those of Start.
func Params() []front.Param {
	return []front.Param{
		{Name: "issuer", Doc: "where to sign in; may be left out if there is one"},
		{Name: "next", Doc: "the path to go to afterwards"},
		{Name: "again", Doc: "true to prove anew who you are", OneOf: []string{"true"}},
		{Name: "port", Doc: "the port on 127.0.0.1 where a program waits", Integer: true},
		{Name: "challenge", Doc: "SHA-256 of the program's secret, in base64"},
		{Name: "state", Doc: "what the program wants back"},
	}
}

// challengeLength is that of a SHA-256 in base64 without padding.
const challengeLength = 43

// Start sends a browser to the identity provider, or asks to which.
func (p Pages) Start(w *front.Recorder, r *http.Request, q front.Query) error {
	start := signin.Start{
		Issuer: q.Text("issuer"), Next: Path(q.Text("next")), Port: 0, Challenge: q.Text("challenge"), State: q.Text("state"), Again: q.Flag("again"),
	}
	if text := q.Text("port"); text != "" {
		const least = 1024
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n < least || len(start.Challenge) != challengeLength {
			return errkind.Bad("port", text, "a port from 1024 to 65535, with a challenge of 43 characters")
		}
		start.Port = uint16(n)
	}
	if names := p.Desk.Names(); start.Issuer == "" && len(names) > 1 {
		return p.choose(w, r, names)
	}
	target, secret, err := p.Desk.Begin(r.Context(), start)
	if err != nil {
		return err
	}
	http.SetCookie(w, cookie(attemptCookie, secret, time.Time{}))
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// choose shows where one can sign in.
func (p Pages) choose(w *front.Recorder, r *http.Request, names []string) error {
	var links []link
	for _, n := range names {
		q := r.URL.Query()
		q.Set("issuer", n)
		links = append(links, link{Text: n, To: "/login?" + q.Encode()})
	}
	return show(w, http.StatusOK, page{Title: "Sign in", Text: "Where do you want to sign in?", Links: links})
}

// CallbackParams are those of Callback. Providers add more, which are passed over.
func CallbackParams() []string { return []string{"state", "code", "iss", "error"} }

// Callback takes what a browser brings back from the identity provider.
func (p Pages) Callback(w *front.Recorder, r *http.Request) error {
	addr, err := p.Client(r)
	if err != nil {
		return err
	}
	http.SetCookie(w, gone(attemptCookie))
	q := r.URL.Query()
	for _, name := range CallbackParams() {
		if len(q[name]) > 1 {
			return p.failed(w, addr, errkind.New(errkind.Unauthenticated, "the answer says %s twice; begin again", name))
		}
	}
	end, err := p.Desk.Finish(r.Context(), signin.Return{
		State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Problem: q.Get("error"),
		Cookie: valueOf(r, attemptCookie), Session: valueOf(r, authn.Cookie), Addr: addr,
	})
	if err != nil {
		return p.failed(w, addr, err)
	}
	if end.Start.Port != 0 {
		back := url.Values{"code": {end.Code}, "state": {end.Start.State}}
		w.Header().Set("Location", "http://127.0.0.1:"+strconv.Itoa(int(end.Start.Port))+"/?"+back.Encode())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	http.SetCookie(w, cookie(authn.Cookie, end.Secret, end.Expires))
	if end.Start.Next != "" {
		// Not by Location: the browser came from elsewhere, and must come from here
		// for what follows to be ours.
		return show(w, http.StatusOK, page{Title: "You are signed in", Links: []link{{Text: "Go on", To: end.Start.Next}}})
	}
	return show(w, http.StatusOK, page{Title: "You are signed in", Text: "You can close this page."})
}

// failed shows what went wrong, and counts it.
func (p Pages) failed(w *front.Recorder, addr netip.Addr, err error) error {
	if errkind.Of(err) == errkind.Unauthenticated && !p.Authn().Fails(addr, p.Now()) {
		err = errkind.New(errkind.Exhausted, "too many attempts; wait a minute")
	}
	return show(w, api.ProblemOf(err).Status, page{
		Title: "You are not signed in", Text: errkind.Public(err), Links: []link{{Text: "Begin again", To: "/login"}},
	})
}

// First shows the button that uses the link of the first administrator up.
func (p Pages) First(w *front.Recorder, q front.Query) error {
	return show(w, http.StatusOK, page{
		Title: "The first administrator",
		Text:  "Whoever presses this button is the local administrator of this server. It works once.",
		Form:  "/login/first", Field: "key", Value: q.Text("key"), Button: "Sign in",
	})
}

// TakeFirst signs in whoever has the secret of the link.
func (p Pages) TakeFirst(w *front.Recorder, r *http.Request, body []byte) error {
	addr, err := p.Client(r)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return errkind.New(errkind.Invalid, "the form cannot be read")
	}
	secret, s, err := p.Desk.TakeFirst(r.Context(), strings.TrimSpace(form.Get("key")), valueOf(r, authn.Cookie), addr)
	if err != nil {
		return p.failed(w, addr, err)
	}
	http.SetCookie(w, cookie(authn.Cookie, secret, s.Expires(p.Desk.Sessions)))
	return show(w, http.StatusOK, page{Title: "You are signed in", Text: "You are the local administrator of this server."})
}

// Leave shows the button that signs out.
func (p Pages) Leave(w *front.Recorder, _ *http.Request) error {
	return show(w, http.StatusOK, page{Title: "Sign out", Form: "/logout", Button: "Sign out"})
}

// Left signs out. Whoever is not signed in is told the same.
func (p Pages) Left(w *front.Recorder, r *http.Request, _ []byte) error {
	if c, err := p.Authn().Authenticate(r, p.Now()); err == nil && c.Session != "" {
		if err := p.Desk.Out(r.Context(), c.Principal, c.Session, c.Addr); err != nil {
			return err
		}
	}
	http.SetCookie(w, gone(authn.Cookie))
	return show(w, http.StatusOK, page{Title: "You are signed out", Links: []link{{Text: "Sign in again", To: "/login"}}})
}

// Path returns next if it is a path of this server, and nothing otherwise: no
// host, no backslash that a browser takes for a slash, nothing that is not ASCII.
func Path(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '\\'
	}) {
		return ""
	}
	if u, err := url.Parse(next); err != nil || u.Host != "" || u.Scheme != "" {
		return ""
	}
	return next
}

// page is all that a page can be.
type page struct {
	Title, Text string
	Links       []link
	// Form is where a button leads, Field and Value what it sends; empty for nothing.
	Form, Field, Value, Button string
}

type link struct{ Text, To string }

// show writes a page.
func show(w *front.Recorder, status int, p page) error {
	t, err := template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}} – Sesame</title></head>
<body><h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>
{{end}}{{range .Links}}<p><a href="{{.To}}">{{.Text}}</a></p>
{{end}}{{if .Form}}<form method="post" action="{{.Form}}">{{with .Field}}<input type="hidden" name="{{.}}" value="{{$.Value}}">{{end}}<button>{{.Button}}</button></form>
{{end}}</body></html>
`)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := t.Execute(&text, p); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String())) // whoever asked may be gone
	return nil
}

// signedIn says how a sign-in ended, for a program.
func signedIn(secret string, s session.Session, l session.Limits) wire.SignedIn {
	return wire.SignedIn{
		Pending: false, Handle: "", Interval: 0, Secret: secret, Principal: api.PrincipalOf(s.Identity.Principal), Expires: api.TimeOf(s.Expires(l)),
	}
}
