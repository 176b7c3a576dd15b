// Package gate is what every call has to pass before it does anything: whose it
// is, whether there is room for it, and whether it is allowed.
//
// Signatures are version 4 and verified in full, over the request as it came,
// with the known secret. Each API action has a token bucket for each account and
// region, of the documented size. Permissions are a table: an action, and tags
// that the resource must have; what is not in the table is denied.
//
// Time is an argument. Nothing here locks.
package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Scope is what a signature says about its use.
type Scope struct {
	AccessKey string
	Date      string // 20260102
	Region    string
	Service   string // "ec2", "sts"
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	maxSkew    = 15 * time.Minute
)

// ReadScope returns what the Authorization header of r says.
func ReadScope(r *http.Request) (Scope, error) {
	fields, err := authorization(r)
	if err != nil {
		return Scope{}, err
	}
	parts := strings.Split(fields["Credential"], "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return Scope{}, world.Refuse("IncompleteSignature", "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term")
	}
	return Scope{AccessKey: parts[0], Date: parts[1], Region: parts[2], Service: parts[3]}, nil
}

// authorization splits the Authorization header.
func authorization(r *http.Request) (map[string]string, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, world.Refuse("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return nil, world.Refuse("IncompleteSignature", "Authorization header requires the algorithm %s", algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return nil, world.Refuse("IncompleteSignature", "Authorization header requires '%s' parameter", name)
		}
	}
	return fields, nil
}

// Verify checks the signature of r, whose body was read, with a secret.
func Verify(r *http.Request, body []byte, s Scope, secret string, now time.Time) error {
	fields, err := authorization(r)
	if err != nil {
		return err
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(timeFormat, date)
	if err != nil || !strings.HasPrefix(date, s.Date) {
		return world.Refuse("IncompleteSignature", "Date must be in ISO-8601 'basic format'. Got '%s'.", date)
	}
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return world.Refuse("RequestExpired", "Request has expired.")
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	for _, name := range []string{"host", "x-amz-date"} {
		if !slices.Contains(signed, name) {
			return world.Refuse("IncompleteSignature", "'%s' must be a signed header", name)
		}
	}
	if sum := r.Header.Get("X-Amz-Content-Sha256"); sum != "" && sum != digest(body) {
		return mismatch()
	}
	request := strings.Join([]string{
		r.Method, canonicalPath(r.URL), canonicalQuery(r.URL), canonicalHeaders(r, signed), fields["SignedHeaders"], digest(body),
	}, "\n")
	scope := strings.Join([]string{s.Date, s.Region, s.Service, "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, date, scope, digest([]byte(request))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.Date, s.Region, s.Service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(fields["Signature"])) != 1 {
		return mismatch()
	}
	return nil
}

func mismatch() error {
	return world.Refuse("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func canonicalPath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

func canonicalQuery(u *url.URL) string {
	return strings.ReplaceAll(u.Query().Encode(), "+", "%20")
}

func canonicalHeaders(r *http.Request, signed []string) string {
	var b strings.Builder
	for _, name := range signed {
		values := slices.Clone(r.Header.Values(name))
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length":
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		for i, v := range values {
			values[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String()
}
