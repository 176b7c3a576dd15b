package demo

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/demo/ground"
)

// A trick is a ground on which nothing is as told: what should be shut is open,
// and what should be open is shut.
type trick struct {
	ground.Ground
	open bool
}

func (g trick) Knock(context.Context, ground.Side, string, uint16) (bool, error) { return g.open, nil }

func (g trick) Alive(context.Context) error { return errors.New("cut") }

func TestFalseClaimsFail(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		name  string
		open  bool
		claim func(s *story) error
	}{
		{"shut", true, func(s *story) error { return s.shut(ctx, web, sshPort, ground.You, ground.Stranger) }},
		{"open", false, func(s *story) error { return s.admits(ctx, web, ground.You) }},
		{"session", true, func(s *story) error { return s.lives(ctx) }},
	} {
		g := trick{open: c.open}
		s := &story{teller: newTeller(io.Discard), ground: g}
		s.session = session{g}
		if err := c.claim(s); !errors.Is(err, errNotAsTold) {
			t.Errorf("%s: a claim that does not hold gives %v", c.name, err)
		}
		s.ground = trick{open: !c.open}
		if err := c.claim(s); c.name != "session" && err != nil {
			t.Errorf("%s: a claim that holds gives %v", c.name, err)
		}
	}
}

type session struct{ trick }

func (session) Close() error { return nil }

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want []string
	}{
		{"", 10, nil},
		{"one two three", 7, []string{"one two", "three"}},
		{"äöü ß", 5, []string{"äöü ß"}},
		{"muchlongerthanthat is", 4, []string{"muchlongerthanthat", "is"}},
		{"\nsecond", 10, []string{"", "second"}},
	} {
		if got := wrap(c.text, c.most); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.most, got, c.want)
		}
	}
}

func TestColourOnlyOnTerminals(t *testing.T) {
	var b strings.Builder
	s := newTeller(&b)
	s.title(1, "A")
	s.ok("yes")
	s.wait("nobody sees this")
	if got, want := b.String(), "\n1  A\n   ok  yes\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.colour = true
	b.Reset()
	s.ok("yes")
	if got, want := b.String(), "   \x1b[32mok  \x1b[0myes\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
