// Package guise makes what clients of Azure look into look as it does there: the ids
// of tenants and principals are GUIDs, and a token is a JSON web token. Nothing is
// decided by the guise: what Sesame knows a caller by is the token inside.
package guise

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
)

// Tenant returns the id that stands for an installation.
func Tenant(instance string) string { return named("tenant", instance) }

// Object returns the id that stands for a principal.
func Object(p access.Principal) string { return named("principal", p.Issuer+"#"+p.Subject) }

// named returns a GUID that is the same for the same name (RFC 9562, version 8).
func named(kind, name string) string {
	sum := sha256.Sum256([]byte("sesame " + kind + " " + name))
	b := [16]byte(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return written(b)
}

// Token returns a token in the form of a JSON web token, which says in words that
// clients read whose it is. Only its last part means anything here.
func Token(secret, tenant string, p access.Principal, audience string, expires time.Time) string {
	part := func(v map[string]any) string {
		text, err := json.Marshal(v)
		if err != nil {
			return "" // cannot be: texts and numbers
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "none", "typ": "JWT"}) + "." +
		part(map[string]any{"aud": audience, "tid": tenant, "oid": Object(p), "appid": Object(p), "upn": p.String(), "exp": expires.Unix()}) + "." + secret
}

// Off returns r with its token as Sesame knows it, whatever Token has put around it.
func Off(r *http.Request) *http.Request {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return r
	}
	const parts = 3
	scheme, token, _ := strings.Cut(headers[0], " ")
	if p := strings.Split(token, "."); len(p) == parts && strings.HasPrefix(p[2], broker.TokenPrefix) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", scheme+" "+p[2])
	}
	return r
}

// Random returns a random GUID.
func Random() string {
	var b [16]byte
	_, _ = rand.Read(b[:])                      // never fails: it ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4 of RFC 9562
	return written(b)
}

func written(b [16]byte) string {
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
