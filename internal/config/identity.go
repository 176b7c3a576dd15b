package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Identity says whom the daemon believes about who is asking.
type Identity struct {
	// URL is where people reach the server, such as https://sesame.example.org;
	// empty for that of the first listen address. An identity provider sends people
	// back to its /callback.
	URL string
	// Session is how long a sign-in lasts at most, Idle how long it lasts unused.
	Session, Idle time.Duration
	// Fresh is how recently people must have proved who they are in order to open
	// something; 0 for as long as their session lasts.
	Fresh   time.Duration
	Issuers []Issuer // sorted by name
	Groups  []Group  // sorted by name
	// AcceptARMTokens says that access tokens for Azure Resource Manager are taken
	// from clients. They open the whole tenant to whoever holds them, which this
	// server then does.
	AcceptARMTokens bool
}

// An Issuer is an identity provider, or an issuer of tokens for programs.
type Issuer struct {
	Name string // in lower case, as `sesame login --issuer` takes it
	URL  string // as the tokens have it, byte for byte
	Also []string
	// Client and SecretFile are how this server is registered; without a client
	// nobody signs in here. Scopes are asked for besides openid.
	Client, SecretFile string
	Scopes             []string
	// Subject is the claim that says who it is: SubjectSub, or SubjectOID for Entra,
	// whose sub differs from application to application.
	Subject string
	// Groups is the claim that lists groups; empty for none. Graph is where they
	// are asked for when Entra leaves them out because they are too many.
	Groups, Graph string
	// Audiences are those that bearer tokens may be for; none for no bearer tokens.
	Audiences []string
	// People says that whoever signs in here is a person, by themselves.
	People bool
	// MFA says that people must have proved themselves by more than one factor.
	MFA bool
}

// The claims that say who somebody is.
const (
	SubjectSub = "sub"
	SubjectOID = "oid"
)

// A Group is a group that the configuration makes. Members are ISSUER#SUBJECT.
type Group struct {
	Name    string
	Members []string
}

// The bounds of what a file may say about identities.
const (
	MaxIssuers = 32
	MaxRosters = 256
	MaxMembers = 10_000

	MinSession = 5 * time.Minute
	MaxSession = 30 * 24 * time.Hour
)

func defaultIdentity() Identity {
	return Identity{Session: 12 * time.Hour, Idle: time.Hour}
}

// identityFrom reads what a file says about identities. No two issuers answer for
// the same tokens.
func identityFrom(v document.Value) Identity {
	def := defaultIdentity()
	m := v.Map("url", "session", "idle", "fresh", "issuers", "groups", "accept_arm_tokens_that_open_the_whole_tenant")
	span := func(key string, fallback time.Duration) time.Duration {
		return document.Text(m.Get(key), fallback, func(s string) (time.Duration, error) {
			return access.ParseSpan(key, s, MinSession, MaxSession)
		})
	}
	seen := map[string]bool{}
	out := Identity{
		URL: document.Text(m.Get("url"), "", parseEndpoint), Session: span("session", def.Session), Idle: span("idle", def.Idle),
		Fresh: span("fresh", def.Fresh),
		Issuers: document.Items(m.Get("issuers"), 0, MaxIssuers, func(item document.Value) Issuer {
			i := issuerFrom(item)
			for _, u := range append([]string{i.URL}, i.Also...) {
				if seen[u] && u != "" {
					item.Fail(errkind.New(errkind.Invalid, "%s is an issuer already; each has one place", errkind.Quote(u)))
				}
				seen[u] = true
			}
			return i
		}, func(a, b Issuer) int { return cmp.Compare(a.Name, b.Name) }),
		Groups: document.Items(m.Get("groups"), 0, MaxRosters, func(item document.Value) Group {
			g := item.Map("name", "members")
			return Group{
				Name:    document.Text(g.Get("name").Required("a name such as oncall"), "", nameParser("group")),
				Members: document.Texts(g.Get("members"), 0, MaxMembers, parseMember, cmp.Compare),
			}
		}, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) }),
		AcceptARMTokens: m.Get("accept_arm_tokens_that_open_the_whole_tenant").Bool(),
	}
	return out
}

func issuerFrom(v document.Value) Issuer {
	m := v.Map("name", "url", "also", "client", "secret_file", "scopes", "subject", "groups", "graph", "audiences", "people", "mfa")
	out := Issuer{
		Name:       document.Text(m.Get("name").Required("a name such as corp"), "", nameParser("issuer")),
		URL:        document.Text(m.Get("url").Required("the URL of the issuer"), "", parseIssuer),
		Also:       document.Texts(m.Get("also"), 0, MaxIssuers, parseIssuer, cmp.Compare),
		Client:     document.Text(m.Get("client"), "", wordParser("client")),
		SecretFile: document.Text(m.Get("secret_file"), "", parsePath),
		Scopes:     document.Texts(m.Get("scopes"), 0, MaxIssuers, wordParser("scope"), cmp.Compare),
		Subject:    document.Text(m.Get("subject"), SubjectSub, parseSubjectClaim),
		Groups:     document.Text(m.Get("groups"), "", wordParser("claim")),
		Graph:      document.Text(m.Get("graph"), "", parseIssuer),
		Audiences:  document.Texts(m.Get("audiences"), 0, MaxIssuers, wordParser("audience"), cmp.Compare),
		People:     m.Get("people").Bool(),
		MFA:        m.Get("mfa").Bool(),
	}
	if out.Client == "" && len(out.Audiences) == 0 {
		v.Fail(errkind.New(errkind.Invalid, "nobody can come from here: give a client for people to sign in, audiences for tokens, or both"))
	}
	if out.Name == LocalIssuer {
		v.Fail(errkind.New(errkind.Invalid, "%s is the issuer of this server's own tokens; choose another name", LocalIssuer))
	}
	return out
}

// LocalIssuer is the issuer of principals that this server makes itself.
const LocalIssuer = "local"

func nameParser(field string) func(string) (string, error) {
	return func(s string) (string, error) { return firewall.ParseName(field, s) }
}

// wordParser returns a parser of what an identity provider calls something: up to
// 256 printable characters of ASCII without blanks.
func wordParser(field string) func(string) (string, error) {
	return func(s string) (string, error) {
		const most = 256
		if s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", errkind.Bad(field, s, "up to 256 printable characters without blanks")
		}
		return s, nil
	}
}

// parseIssuer reads the URL of an issuer. It is compared byte for byte, so that
// nothing is made canonical here.
func parseIssuer(s string) (string, error) {
	u, err := url.Parse(s)
	ok := err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.String() == s
	if ok {
		host, err := netip.ParseAddr(u.Hostname())
		loopback := u.Hostname() == "localhost" || err == nil && host.IsLoopback()
		ok = u.Scheme == "https" || u.Scheme == "http" && loopback
	}
	if !ok || slices.Contains([]string{"common", "organizations", "consumers"}, strings.Split(strings.Trim(u.Path, "/"), "/")[0]) && strings.Contains(u.Host, "microsoftonline") {
		return "", errkind.Bad("url", s, "the URL of one issuer, such as https://accounts.google.com or, for Entra, that of one tenant; http:// is for the loopback interface only")
	}
	return s, nil
}

func parseSubjectClaim(s string) (string, error) {
	if s != SubjectSub && s != SubjectOID {
		return "", errkind.Bad("subject", s, `"sub" or, for Entra, "oid"`)
	}
	return s, nil
}

// parseMember reads ISSUER#SUBJECT.
func parseMember(s string) (string, error) {
	i := strings.LastIndexByte(s, '#')
	if i <= 0 || i == len(s)-1 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errkind.Bad("member", s, "ISSUER#SUBJECT, as `sesame identity list` shows it")
	}
	return s, nil
}

// identity writes whom the daemon believes.
func (w *writer) identity(x Identity) {
	const in = "  "
	same := func(s string) string { return s }
	w.comment("", "Who is asking. Without issuers there are only tokens of Sesame's own.")
	w.line("identity:")
	w.comment(in, "Where people reach the server; identity providers send them back to its /callback.")
	if x.URL == "" {
		w.comment(in, "url: https://sesame.example.org")
	} else {
		w.text(in, "url", x.URL)
	}
	w.comment(in, "How long a sign-in lasts at most, and how long unused.")
	w.text(in, "session", access.FormatDuration(x.Session))
	w.text(in, "idle", access.FormatDuration(x.Idle))
	w.comment(in, "How recently people must have signed in to open something; not limited if it is left out.")
	if x.Fresh == 0 {
		w.comment(in, "fresh: 1h")
	} else {
		w.text(in, "fresh", access.FormatDuration(x.Fresh))
	}
	w.issuers(x.Issuers)
	w.comment(in, "Groups besides those that issuers tell of, by the ISSUER#SUBJECT of their members. Such as",
		"  - name: oncall",
		`    members: ["https://accounts.google.com#1234567890"]`)
	if len(x.Groups) == 0 {
		w.line("  groups: []")
	} else {
		w.line("  groups:")
	}
	for _, g := range x.Groups {
		w.line("    - name: %s", document.Scalar(g.Name))
		list(w, "      ", "members", g.Members, same)
	}
	w.comment(in, "Whether to take access tokens for Azure Resource Manager from clients. Whoever holds",
		"one may do in Azure what its owner may; leave this off, and use a token for Sesame.")
	w.line("  accept_arm_tokens_that_open_the_whole_tenant: %t", x.AcceptARMTokens)
}

func (w *writer) issuers(issuers []Issuer) {
	const in = "      "
	same := func(s string) string { return s }
	w.comment("  ", "Identity providers, and issuers of tokens for programs, by name. Such as",
		"  - name: corp",
		"    url: https://login.example.org",
		"    client: sesame        # people sign in; the secret stands in secret_file, if there is one",
		"    groups: groups        # the claim that lists them",
		"    people: true          # whoever signs in is a person, and may approve",
		"  - name: github",
		"    url: https://token.actions.githubusercontent.com",
		"    audiences: [sesame]   # programs send tokens that are for us")
	if len(issuers) == 0 {
		w.line("  issuers: []")
		return
	}
	w.line("  issuers:")
	for _, i := range issuers {
		w.line("    - name: %s", document.Scalar(i.Name))
		for _, f := range []struct{ key, value string }{
			{"url", i.URL},
			{"client", i.Client},
			{"secret_file", i.SecretFile},
			{"subject", i.Subject},
			{"groups", i.Groups},
			{"graph", i.Graph},
		} {
			if f.value != "" {
				w.text(in, f.key, f.value)
			}
		}
		list(w, in, "also", i.Also, same)
		list(w, in, "scopes", i.Scopes, same)
		list(w, in, "audiences", i.Audiences, same)
		w.line("%speople: %t", in, i.People)
		w.line("%smfa: %t", in, i.MFA)
	}
}
