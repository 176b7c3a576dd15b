package list_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/store/list"
)

func TestWhere(t *testing.T) {
	var w list.Where
	if w.String() != "" || w.Args() != nil {
		t.Errorf("no condition is %q with %v", w.String(), w.Args())
	}
	hostile := "' OR 1=1 --?$1"
	w.And("a = ? AND b < ?", hostile, 7)
	list.In(&w, "x IN (?)", []string{"p", hostile})
	list.In(&w, "y IN (?)", []string(nil))
	list.In(&w, "z IN (?)", []string{})
	if got, want := w.String(), " WHERE a = $1 AND b < $2 AND x IN ($3, $4) AND z IN ()"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if d := cmp.Diff([]any{hostile, 7, "p", hostile}, w.Args()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNeedle(t *testing.T) {
	for text, want := range map[string]string{
		"abc": "%abc%", `50%_\`: `%50\%\_\\\\%`, `"`: `%\\"%`, "<": `%\\u003c%`, "": "%%",
	} {
		if got, ok := list.Needle(text); got != want || !ok {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, ok := list.Needle("Ä"); ok {
		t.Error("every database knows the case of Ä")
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(list.Place{List: "grants", At: 7, ID: "g-1"}.Cursor())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := list.ParseCursor("grants", s)
		if err == nil && (p.Cursor() != s || p.List != "grants") {
			t.Errorf("%q was read as %+v", s, p)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "cursor: ") {
			t.Errorf("%q: %v", s, err)
		}
	})
}
