package session

import (
	"strings"
	"testing"
	"time"
)

func TestSessionsEnd(t *testing.T) {
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	secret := NewSecret()
	l := Limits{Absolute: 12 * time.Hour, Idle: time.Hour}
	s := Session{Hash: Hash(secret), Created: noon, Seen: noon}
	for _, c := range []struct {
		name string
		edit func(*Session)
		at   time.Duration
		want bool
	}{
		{"fresh", func(*Session) {}, 0, true},
		{"used", func(s *Session) { s.Seen = noon.Add(11 * time.Hour) }, 12*time.Hour - 1, true},
		{"idle", func(*Session) {}, time.Hour, false},
		{"at its end", func(s *Session) { s.Seen = noon.Add(12 * time.Hour) }, 12 * time.Hour, false},
		{"ended", func(s *Session) { s.Ended = noon }, 0, false},
		{"from the future", func(s *Session) { s.Created = noon.Add(time.Hour); s.Seen = s.Created }, 0, false},
		{"seen in the future", func(s *Session) { s.Seen = noon.Add(1000 * time.Hour) }, 12 * time.Hour, false},
	} {
		x := s
		c.edit(&x)
		if got := x.Good(Hash(secret), l, noon.Add(c.at)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	for _, other := range []string{"", secret[:len(secret)-1], secret + "A", strings.ToUpper(secret), NewSecret()} {
		if s.Good(Hash(other), l, noon) {
			t.Errorf("%q is the secret, too", other)
		}
	}
}
