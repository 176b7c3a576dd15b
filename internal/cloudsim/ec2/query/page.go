package query

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Page says which part of a list a call is about.
type Page struct {
	Size  int    // 0 means everything
	After string // the key that the part before ended with
	what  string // a digest of all that the call asks, but for the page
	key   []byte
}

// Page returns which part of a list is asked for. Tokens are sealed with key,
// and are good for a call with the same parameters only. Least and most bound
// the size; a call with a size must not name ids where that is forbidden.
func (p *Params) Page(key []byte, least, most int, ids string, exclusive bool) Page {
	size, token := p.Number("MaxResults"), p.Text("NextToken")
	page := Page{Size: 0, After: "", what: p.digest(), key: key}
	if size != nil {
		page.Size = *size
		if *size < least || *size > most {
			p.fail("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", *size, least, most)
		}
		if exclusive && len(p.Each(ids)) > 0 {
			p.fail("InvalidParameterCombination", "The parameter %s cannot be used with the parameter maxResults", ids)
		}
	}
	if token == "" {
		return page
	}
	if page.Size == 0 {
		page.Size = most
	}
	after, ok := page.open(token)
	if !ok {
		p.fail("InvalidPaginationToken", "The token '%s' is invalid", token)
	}
	page.After = after
	return page
}

// digest sums up what a call asks for, but for the page.
func (p *Params) digest() string {
	var parts []string
	for name, values := range p.values {
		if name != "MaxResults" && name != "NextToken" && name != "DryRun" {
			parts = append(parts, name+"="+strings.Join(values, "\x00"))
		}
	}
	slices.Sort(parts)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x01")))
	return hex.EncodeToString(sum[:])
}

// Token is for the part that comes after the row with the given key.
func (p Page) Token(after string) string {
	return base64.URLEncoding.EncodeToString(append(p.seal(after), after...))
}

func (p Page) open(token string) (after string, ok bool) {
	raw, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return "", false
	}
	after = string(raw[sha256.Size:])
	return after, hmac.Equal(raw[:sha256.Size], p.seal(after))
}

func (p Page) seal(after string) []byte {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(p.what + after))
	return mac.Sum(nil)
}

// Dry is the answer to a call that only asks whether it would be allowed.
func Dry() error {
	return world.Refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
}
