package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/errkind"
)

const secret = "sesame_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func ada() access.Principal { return access.Principal{Issuer: "local", Subject: "ada"} }

func noon() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

// book is what is stored: tokens, sessions and links.
type book struct {
	token    func(hash [sha256.Size]byte) (Token, error)
	sessions map[[sha256.Size]byte]session.Session
	links    map[access.Principal]string
	used     map[string]time.Time
}

func (b book) Token(_ context.Context, hash [sha256.Size]byte) (Token, error) {
	if b.token == nil {
		return Token{}, errkind.New(errkind.NotFound, "no such token")
	}
	return b.token(hash)
}

func (b book) Session(_ context.Context, hash [sha256.Size]byte) (session.Session, error) {
	if s, ok := b.sessions[hash]; ok {
		return s, nil
	}
	return session.Session{}, errkind.New(errkind.NotFound, "no such session")
}

func (b book) Used(_ context.Context, id string, at time.Time) { b.used[id] = at }

func (b book) Person(_ context.Context, p access.Principal) (string, error) { return b.links[p], nil }

// lookup knows one token.
func lookup(t Token) book {
	t.Hash, t.Principal = sha256.Sum256([]byte(secret)), ada()
	return book{token: func(hash [sha256.Size]byte) (Token, error) {
		if hash == t.Hash {
			return t, nil
		}
		return Token{}, errkind.New(errkind.NotFound, "no such token")
	}}
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil)
	r.RemoteAddr = "[::ffff:192.0.2.7]:4711"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestA10Tokens(t *testing.T) {
	for _, c := range []struct {
		name  string
		token Token
		auth  []string
		want  errkind.Kind
	}{
		{"good", Token{}, []string{"Bearer " + secret}, ""},
		{"scheme in another case", Token{}, []string{"bearer " + secret}, ""},
		{"not yet expired", Token{Expires: noon().Add(time.Nanosecond)}, []string{"Bearer " + secret}, ""},
		{"expired", Token{Expires: noon()}, []string{"Bearer " + secret}, errkind.Unauthenticated},
		{"revoked", Token{Revoked: noon().Add(time.Hour)}, []string{"Bearer " + secret}, errkind.Unauthenticated},
		{"truncated", Token{}, []string{"Bearer " + secret[:len(secret)-1]}, errkind.Unauthenticated},
		{"extended", Token{}, []string{"Bearer " + secret + "A"}, errkind.Unauthenticated},
		{"case flipped", Token{}, []string{"Bearer " + strings.ToLower(secret)}, errkind.Unauthenticated},
		{"prefix only", Token{}, []string{"Bearer sesame_"}, errkind.Unauthenticated},
		{"blank in front", Token{}, []string{"Bearer  " + secret}, errkind.Unauthenticated},
		{"no scheme", Token{}, []string{secret}, errkind.Unauthenticated},
		{"other scheme", Token{}, []string{"Basic " + secret}, errkind.Unauthenticated},
		{"none", Token{}, nil, errkind.Unauthenticated},
		{"twice", Token{}, []string{"Bearer " + secret, "Bearer " + secret}, errkind.Unauthenticated},
	} {
		r := request()
		r.Header["Authorization"] = c.auth
		who, err := New(Config{Book: lookup(c.token), UID: 1}).Authenticate(r, noon())
		if c.want == "" {
			if err != nil || !who.Is(ada()) || who.Addr != netip.MustParseAddr("192.0.2.7") {
				t.Errorf("%s: %+v, %v", c.name, who, err)
			}
			continue
		}
		if errkind.Of(err) != c.want || !reflect.DeepEqual(who, Caller{}) {
			t.Errorf("%s: %+v, %v", c.name, who, err)
		}
		if err.Error() != unknown().Error() {
			t.Errorf("%s: the answer tells why: %v", c.name, err)
		}
	}
}

// A lookup that hands out the wrong token is not believed.
func TestHashIsCompared(t *testing.T) {
	wrong := book{token: func([sha256.Size]byte) (Token, error) { return Token{Principal: ada()}, nil }}
	if _, err := New(Config{Book: wrong}).Authenticate(request("Authorization", "Bearer x"), noon()); errkind.Of(err) != errkind.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func TestLookupThatFailsIsNoAnswer(t *testing.T) {
	broken := book{token: func([sha256.Size]byte) (Token, error) { return Token{}, errors.New("disk") }}
	_, err := New(Config{Book: broken}).Authenticate(request("Authorization", "Bearer x"), noon())
	if errkind.Of(err) != errkind.Unavailable || strings.Contains(errkind.Public(err), "disk") {
		t.Errorf("%v", err)
	}
}

func TestLocalPeers(t *testing.T) {
	a := New(Config{Book: lookup(Token{}), UID: 500})
	for uid, known := range map[uint32]bool{0: true, 500: true, 501: false, nobody: false} {
		r := request()
		r = r.WithContext(context.WithValue(r.Context(), peerKey{}, Peer{UID: uid}))
		who, err := a.Authenticate(r, noon())
		if (err == nil) != known || known && (!who.Is(LocalAdmin()) || who.Addr.IsValid()) {
			t.Errorf("uid %d: %+v, %v", uid, who, err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		if who, err := a.Authenticate(r, noon()); err != nil || !who.Is(ada()) {
			t.Errorf("uid %d with a token: %+v, %v", uid, who, err)
		}
		r.Header.Set("Authorization", "Bearer wrong")
		if who, err := a.Authenticate(r, noon()); errkind.Of(err) != errkind.Unauthenticated {
			t.Errorf("uid %d with a bad token: %+v, %v", uid, who, err)
		}
	}
}

func TestFailuresAreCountedByAddress(t *testing.T) {
	a := New(Config{Book: lookup(Token{})})
	kind := func(r *http.Request, at time.Time) errkind.Kind {
		_, err := a.Authenticate(r, at)
		return errkind.Of(err)
	}
	for i := range failuresAtOnce {
		if got := kind(request(), noon()); got != errkind.Unauthenticated {
			t.Fatalf("attempt %d: %s", i, got)
		}
	}
	if got := kind(request(), noon()); got != errkind.Exhausted {
		t.Errorf("one more: %s", got)
	}
	if _, err := a.Authenticate(request("Authorization", "Bearer "+secret), noon()); err != nil {
		t.Errorf("a good token from there: %v", err)
	}
	other := request()
	other.RemoteAddr = "192.0.2.8:1"
	if got := kind(other, noon()); got != errkind.Unauthenticated {
		t.Errorf("another address: %s", got)
	}
	if got := kind(request(), noon().Add(time.Minute)); got != errkind.Unauthenticated {
		t.Errorf("a minute later: %s", got)
	}
}

func TestLimiterForgets(t *testing.T) {
	l := NewLimiter(1, 1)
	for i := range 5 * generation {
		if !l.Allow(fmt.Sprint(i), noon()) {
			t.Fatalf("key %d was refused the first time", i)
		}
		if len(l.now)+len(l.old) > 2*generation {
			t.Fatalf("%d keys are remembered", len(l.now)+len(l.old))
		}
	}
	last := fmt.Sprint(5*generation - 1)
	if l.Allow(last, noon()) {
		t.Error("the last key was forgotten at once")
	}
	for i := range generation - 1 { // a new generation, in which the key is kept by being seen
		l.Allow(fmt.Sprint("x", i), noon())
		if l.Allow(last, noon()) {
			t.Fatal("a key that is in use was forgotten")
		}
	}
}

func TestAddrKey(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:0:1::7": "2001:db8:0:1::/64", "2001:db8:0:1:ffff::7": "2001:db8:0:1::/64",
	} {
		if got := AddrKey(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"", "192.0.2.1", "a, 192.0.2.1", "::ffff:10.0.0.1,10.0.0.2", "fe80::1%x", ",,", "192.0.2.1:80"} {
		f.Add(s, "10.0.0.1")
	}
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, header, last string) {
		r := request("X-Forwarded-For", header)
		if got, err := proxies.Client(r); err != nil || got != netip.MustParseAddr("192.0.2.7") {
			t.Fatalf("an untrusted peer is believed: %v, %v", got, err)
		}
		r.RemoteAddr = "10.1.2.3:4"
		r.Header.Add("X-Forwarded-For", "198.51.100.9")
		if got, err := proxies.Client(r); err != nil || got != netip.MustParseAddr("198.51.100.9") {
			t.Fatalf("what stands left of the client's address counts: %v, %v", got, err)
		}
		r.Header.Set("X-Forwarded-For", last)
		if got, err := proxies.Client(r); err == nil && (!got.IsValid() || got.Zone() != "" || got.Is4In6()) {
			t.Fatalf("%q gives %v", last, got)
		}
	})
}
