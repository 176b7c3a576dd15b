package admin

import (
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
)

func TestTokenState(t *testing.T) {
	now := time.Date(2030, 1, 31, 14, 0, 0, 0, time.Local)
	at := func(d time.Duration) api.Time { return api.Time{Time: now.Add(d)} }
	for name, c := range map[string]struct {
		token api.Token
		want  string
	}{
		"no end":      {api.Token{}, "good"},
		"still":       {api.Token{Expires: at(time.Second)}, "until 14:00:01"},
		"just over":   {api.Token{Expires: at(0)}, "expired 14:00:00"},
		"over":        {api.Token{Expires: at(-time.Minute)}, "expired 13:59:00"},
		"ended early": {api.Token{Expires: at(time.Hour), Revoked: at(-time.Minute)}, "revoked 13:59:00"},
	} {
		if got := tokenState(c.token, now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
