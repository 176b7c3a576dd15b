package admin

import (
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
)

func TestTokenState(t *testing.T) {
	now := time.Date(2030, 1, 31, 14, 0, 0, 0, time.Local)
	at := func(d time.Duration) api.Time { return api.Time{Time: now.Add(d)} }
	for name, c := range map[string]struct {
		token rights.Token
		want  string
	}{
		"no end":      {rights.Token{}, "good"},
		"still":       {rights.Token{Expires: at(time.Second)}, "until 14:00:01"},
		"just over":   {rights.Token{Expires: at(0)}, "expired 14:00:00"},
		"over":        {rights.Token{Expires: at(-time.Minute)}, "expired 13:59:00"},
		"ended early": {rights.Token{Expires: at(time.Hour), Revoked: at(-time.Minute)}, "revoked 13:59:00"},
	} {
		if got := tokenState(c.token, now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
