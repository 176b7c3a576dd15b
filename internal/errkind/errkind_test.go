package errkind_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/errkind"
)

func TestKindSurvivesWrapping(t *testing.T) {
	for _, k := range []errkind.Kind{
		errkind.Internal, errkind.Invalid, errkind.Unauthenticated, errkind.Denied,
		errkind.NotFound, errkind.Conflict, errkind.Exhausted, errkind.Unavailable,
	} {
		err := fmt.Errorf("save: %w", fmt.Errorf("store: %w", errkind.New(k, "no")))
		if got := errkind.Of(err); got != k {
			t.Errorf("Of(%v) = %q, want %q", err, got, k)
		}
		joined := errors.Join(io.EOF, err)
		if got := errkind.Of(joined); got != k {
			t.Errorf("Of(joined %v) = %q, want %q", err, got, k)
		}
	}
	if got := errkind.Of(io.EOF); got != errkind.Internal {
		t.Errorf("an error without a kind is %q", got)
	}
	if got := errkind.Of(nil); got != errkind.Internal {
		t.Errorf("Of(nil) = %q", got)
	}
}

func TestPublicHidesCauses(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.5: password=hunter2")
	for name, c := range map[string]struct {
		err        error
		public     string
		forTheLog  string
		unwrapping bool
	}{
		"plain":        {secret, "internal error; the server's log says more", secret.Error(), true},
		"internal":     {errkind.Wrap(errkind.Internal, secret, "open %s", "db"), "internal error; the server's log says more", "open db: " + secret.Error(), true},
		"cause within": {errkind.Wrap(errkind.Unavailable, io.EOF, "the database is damaged (%v)", io.EOF), "the database is damaged (EOF)", "the database is damaged (EOF)", false},
		"with a cause": {errkind.Wrap(errkind.Unavailable, secret, "the database does not answer"), "the database does not answer", "the database does not answer: " + secret.Error(), true},
		"without":      {errkind.New(errkind.Denied, "not %s", "you"), "not you", "not you", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errkind.Public(c.err); got != c.public {
				t.Errorf("public text %q, want %q", got, c.public)
			}
			if got := c.err.Error(); got != c.forTheLog {
				t.Errorf("log text %q, want %q", got, c.forTheLog)
			}
			if got := errors.Is(c.err, secret); got != c.unwrapping {
				t.Errorf("the cause is found: %v, want %v", got, c.unwrapping)
			}
		})
	}
}

func TestFieldsArePlaced(t *testing.T) {
	bad := errkind.Bad("port", "0\x00", "a port")
	for name, c := range map[string]struct {
		err  error
		msg  string
		path string
	}{
		"bare":         {bad, `port: "0\x00" is not a port`, "port"},
		"below":        {errkind.In("ports[2]", bad), `ports[2].port: "0\x00" is not a port`, "ports[2].port"},
		"far below":    {errkind.In("policy", errkind.In("ports[2]", bad)), `policy.ports[2].port: "0\x00" is not a port`, "policy.ports[2].port"},
		"in place":     {errkind.At("ports[2]", bad), `ports[2]: "0\x00" is not a port`, "ports[2]"},
		"an index":     {errkind.In("sources", errkind.At("[1]", bad)), `sources[1]: "0\x00" is not a port`, "sources[1]"},
		"wrapped once": {errkind.In("ports[2]", fmt.Errorf("parse: %w", bad)), `ports[2].port: "0\x00" is not a port`, "ports[2].port"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errkind.Public(c.err); got != c.msg {
				t.Errorf("message %q, want %q", got, c.msg)
			}
			want := errkind.Field{Name: c.path, Value: `0\x00`, Want: "a port"}
			if diff := cmp.Diff(want, errkind.FieldOf(c.err)); diff != "" {
				t.Errorf("field (-want +got):\n%s", diff)
			}
			if errkind.Of(c.err) != errkind.Invalid {
				t.Errorf("kind %q", errkind.Of(c.err))
			}
		})
	}
	if got := errkind.Public(bad); got != `port: "0\x00" is not a port` {
		t.Errorf("placing an error changed the original: %q", got)
	}
	for _, err := range []error{io.EOF, errkind.New(errkind.Denied, "no"), nil} {
		if got := errkind.In("x", err); !errors.Is(got, err) || errkind.FieldOf(got) != (errkind.Field{}) {
			t.Errorf("In gave %v, which names no field, one", err)
		}
		if got := errkind.At("x", err); !errors.Is(got, err) || errkind.FieldOf(got) != (errkind.Field{}) {
			t.Errorf("At gave %v, which names no field, one", err)
		}
	}
}

func TestShorten(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "0s": "0s", `say "x"`: `say "x"`, "日本": "日本",
		"line\nbreak\r":          `line\nbreak\r`,
		"\x1b[31mred":            `\x1b[31mred`,
		"\u202egnp.exe":          `\u202egnp.exe`,
		"\xff\xfe":               `\xff\xfe`,
		strings.Repeat("a", 80):  strings.Repeat("a", 80),
		strings.Repeat("a", 81):  strings.Repeat("a", 80) + "…",
		strings.Repeat("日", 100): strings.Repeat("日", 26) + "…",
	} {
		if got := errkind.Shorten(s); got != want {
			t.Errorf("Shorten(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestQuoteIsHarmless(t *testing.T) {
	for _, s := range []string{
		"", "plain", "line\nbreak\r", "\x1b[31mred", "nul\x00", "\u202egnp.exe", "\u2028", "日本", "\xff\xfe",
		strings.Repeat("é", 1000), strings.Repeat("a", 79) + "é",
	} {
		q := errkind.Quote(s)
		for _, r := range strings.TrimSuffix(q, "…") {
			if r < ' ' || r > '~' {
				t.Errorf("Quote(%q) = %s holds %q", s, q, r)
			}
		}
		if len(q) > 80*4+len(`""…`) {
			t.Errorf("Quote of %d bytes has %d", len(s), len(q))
		}
		if strings.HasSuffix(q, "…") != (len(s) > 80) {
			t.Errorf("Quote(%q) = %s: the mark of shortening is wrong", s, q)
		}
	}
}
