package front

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/errkind"
)

func TestQueryMistakesAreSentences(t *testing.T) {
	params := []Param{{Name: "port", Doc: "a port number from 1 to 65535", Required: true}, {Name: "limit"}}
	for query, want := range map[string]string{
		"port=22&limit=1&limit=2": "limit: it is given 2 times, and may be given once",
		"limit=1":                 "port: it is missing; needed is a port number from 1 to 65535",
		"port=22&x=1":             `query: "x" is not a parameter here; there are port, limit`,
	} {
		_, err := ParseQuery(query, params)
		if got := errkind.Public(err); errkind.Of(err) != errkind.Invalid || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
