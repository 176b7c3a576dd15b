package document_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A recipe is a document of every kind of value there is.
type recipe struct {
	Name  string
	Eggs  int
	Hot   bool
	Steps []string
	Oven  struct{ Heat, Rack int }
}

func readRecipe(text string) (recipe, error) {
	return document.Read([]byte(text), func(root document.Value) recipe {
		m := root.Map("name", "eggs", "hot", "steps", "oven")
		oven := m.Get("oven").Map("heat", "rack")
		return recipe{
			Name:  document.Text(m.Get("name").Required("a name"), "", parseWord),
			Eggs:  document.Integer(m.Get("eggs"), 2, 0, 12),
			Hot:   m.Get("hot").Bool(),
			Steps: document.Texts(m.Get("steps"), 1, 3, parseWord, strings.Compare),
			Oven:  struct{ Heat, Rack int }{document.Integer(oven.Get("heat"), 180, 50, 300), document.Integer(oven.Get("rack"), 1, 1, 4)},
		}
	})
}

func parseWord(s string) (string, error) {
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "", errkind.Bad("word", s, "a word")
	}
	return s, nil
}

func TestReadBothGrammars(t *testing.T) {
	full := recipe{Name: "omelette", Eggs: 3, Hot: true, Steps: []string{"beat", "fry"}}
	full.Oven.Heat, full.Oven.Rack = 200, 1
	for name, text := range map[string]string{
		"block YAML": "# breakfast\nname: omelette\neggs: 3\nhot: true\nsteps:\n  - fry\n  - beat\noven:\n  heat: 200\n",
		"flow YAML":  "name: 'omelette'\neggs: 3\nhot: true\nsteps: [fry, \"beat\",]\noven: {heat: 200}\n",
		"one marker": "---\nname: omelette\neggs: 3\nhot: true\nsteps: [fry, beat]\noven: {heat: 200}\n...\n",
		"JSON":       "\r\n\t {\"name\": \"omelette\", \"eggs\": 3, \"hot\": true, \"steps\": [\"fry\", \"\\u0062eat\"],\n\t\"oven\": {\"heat\": 200}}\n ",
		"CRLF":       "name: omelette\r\neggs: 3\r\nhot: true\r\nsteps: [fry, beat]\r\noven: {heat: 200}\r\n",
	} {
		got, err := readRecipe(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(full, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	got, err := readRecipe("name: plain\n")
	least := recipe{Name: "plain", Eggs: 2}
	least.Oven.Heat, least.Oven.Rack = 180, 1
	if diff := cmp.Diff(least, got); err != nil || diff != "" {
		t.Errorf("defaults: %v (-want +got):\n%s", err, diff)
	}
}

func TestMistakes(t *testing.T) {
	deep := "name: " + strings.Repeat("[", document.MaxDepth+1) + strings.Repeat("]", document.MaxDepth+1)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "line 1: name is missing; it must be a name"},
		"only a comment":      {"# nothing\n", "line 1: name is missing; it must be a name"},
		"empty JSON":          {"{}", "line 1: name is missing; it must be a name"},
		"null":                {"null\n", "line 1: the document: says nothing, and must be a map; leave the key out for the default"},
		"a list":              {"[]", "line 1: the document: is a list, and must be a map"},
		"a word":              {"omelette", `line 1: the document: "omelette" is text, and must be a map`},
		"unknown key":         {"name: x\nhott: true\n", `line 2: there is no key "hott"; did you mean hot?`},
		"another case":        {"name: x\nHOT: true\n", `line 2: there is no key "HOT"; did you mean hot?`},
		"a distant key":       {"name: x\nsalt: 1\n", `line 2: there is no key "salt"; the keys here are name, eggs, hot, steps, oven`},
		"unknown below":       {"name: x\noven:\n  heet: 200\n", `line 3: there is no key "oven.heet"; did you mean heat?`},
		"twice":               {"name: x\nhot: true\nname: y\n", `line 3: the key "name" is there twice, first in line 1`},
		"twice, quoted":       {"name: x\n\"name\": y\n", `line 2: the key "name" is there twice, first in line 1`},
		"twice in JSON":       {"{\"name\": \"x\",\n\"n\\u0061me\": \"y\"}", `line 2: the key "name" is there twice`},
		"merge key":           {"name: x\n<<: {eggs: 3}\n", `line 2: there is no key "<<"; the keys here are name, eggs, hot, steps, oven`},
		"anchor":              {"name: &n x\n", "line 1: an anchor (&n); write the value out where it is used"},
		"alias":               {"oven: {heat: 200}\nname: x\nsteps: *n\n", "line 3: this is not YAML: unknown anchor 'n' referenced"},
		"bomb":                {"a: &a [x]\nb: &b [*a,*a]\nname: x\n", "line 1: an anchor (&a); write the value out where it is used"},
		"tag":                 {"name: !!str 22\n", "line 1: a tag (!!str); write the plain value"},
		"own tag":             {"name: !env HOME\n", "line 1: a tag (!env); write the plain value"},
		"a second document":   {"name: x\n---\nname: y\n", "line 2: a second document begins; one file holds one"},
		"a broken second":     {"name: x\n---\n[\n", "this is not YAML"},
		"trailing JSON":       {"{\"name\": \"x\"}\n{\"eggs\": 9}", "line 2: the document goes on after its end"},
		"trailing garbage":    {"{\"name\": \"x\"} x", "line 1: the document goes on after its end"},
		"a comma too many":    {"{\"name\": \"x\",}", "line 1: this is not JSON"},
		"a comment in JSON":   {"{\"name\": \"x\" // why\n}", "line 1: this is not JSON"},
		"JSON with bare keys": {"{name: x}", "line 1: this is not JSON"},
		"half a JSON":         {"{\"name\": \"x\"", "line 1: this is not JSON"},
		"half a JSON list":    {"{\"name\": \"x\",\n\"steps\": [\"a\"", "line 2: this is not JSON"},
		"a tab":               {"name: x\noven:\n\theat: 200\n", "line 3: this is not YAML"},
		"half a YAML":         {"name: [x\n", "this is not YAML"},
		"a colon too many":    {"name: a: b\n", "line 1: this is not YAML"},
		"NUL":                 {"name: a\x00b\n", "this is not YAML"},
		"byte order mark":     {"\ufeffname: x\n", "line 1: the document starts with a byte order mark; save it as plain UTF-8"},
		"UTF-16":              {"\xff\xfen\x00a\x00", "line 1: the document is not valid UTF-8"},
		"not UTF-8":           {"name: x\nsteps: [\xc3\x28]\n", "line 2: the document is not valid UTF-8"},
		"lone surrogate":      {`{"name": "\ud800"}`, "line 1: this is not JSON"},
		"a complex key":       {"? [a]\n: b\nname: x\n", "line 1: a list is no key"},
		"too deep":            {deep, fmt.Sprintf("line 1: the document is nested more than %d deep", document.MaxDepth)},
		"too deep in JSON":    {"{\"name\": " + strings.TrimPrefix(deep, "name: ") + "}", fmt.Sprintf("line 1: the document is nested more than %d deep", document.MaxDepth)},
		"too long":            {"name: " + strings.Repeat("x", document.MaxBytes), "the document has 1048582 bytes; at most 1048576 are read"},

		"null as text":     {"name: ~\n", "line 1: name: says nothing, and must be text; leave the key out for the default"},
		"empty as text":    {"name:\neggs: 3\n", "line 1: name: says nothing, and must be text; leave the key out for the default"},
		"null as number":   {"name: x\neggs: null\n", "line 2: eggs: says nothing, and must be a number; leave the key out for the default"},
		"number as text":   {"name: 22\n", `line 1: name: "22" is a number, and must be text; put it in quotes`},
		"bool as text":     {"name: true\n", `line 1: name: "true" is true or false, and must be text; put it in quotes`},
		"list as text":     {"name: []\n", "line 1: name: is a list, and must be text"},
		"map as text":      {"name: {}\n", "line 1: name: is a map, and must be text"},
		"text as number":   {"name: x\neggs: '3'\n", `line 2: eggs: "3" is text, and must be a number; write it in digits, without quotes`},
		"text as truth":    {"name: x\nhot: yes\n", `line 2: hot: "yes" is text, and must be true or false`},
		"number as truth":  {"name: x\nhot: 1\n", `line 2: hot: "1" is a number, and must be true or false`},
		"text as list":     {"name: x\nsteps: fry\n", `line 2: steps: "fry" is text, and must be a list`},
		"leading zero":     {"name: x\neggs: 03\n", `line 2: eggs: "03" is not a whole number from 0 to 12`},
		"a fraction":       {"name: x\neggs: 3.0\n", `line 2: eggs: "3.0" is not a whole number from 0 to 12`},
		"hexadecimal":      {"name: x\neggs: 0x3\n", `line 2: eggs: "0x3" is not a whole number from 0 to 12`},
		"an exponent":      {"name: x\neggs: 3e0\n", `line 2: eggs: "3e0" is not a whole number from 0 to 12`},
		"an exponent JSON": {"{\"name\": \"x\", \"eggs\": 3e0}", `line 1: eggs: "3e0" is not a whole number from 0 to 12`},
		"a plus":           {"name: x\neggs: +3\n", `line 2: eggs: "+3" is not a whole number from 0 to 12`},
		"an underscore":    {"name: x\neggs: 1_0\n", `line 2: eggs: "1_0" is not a whole number from 0 to 12`},
		"not a number":     {"name: x\neggs: .nan\n", `line 2: eggs: ".nan" is not a whole number from 0 to 12`},
		"out of range":     {"name: x\neggs: 13\n", `line 2: eggs: "13" is not a whole number from 0 to 12`},
		"far out of range": {"name: x\neggs: 99999999999999999999\n", `line 2: eggs: "99999999999999999999" is not a whole number from 0 to 12`},
		"a bad word":       {"name: \"a b\"\n", `line 1: name: "a b" is not a word`},
		"a bad item":       {"name: x\nsteps:\n- fry\n- a-b\n", `line 4: steps[1]: "a-b" is not a word`},
		"no items":         {"name: x\nsteps: []\n", "line 2: steps: the list has 0 entries; it must have 1 to 3"},
		"too many items":   {"name: x\nsteps: [a, b, c, d]\n", "line 2: steps: the list has 4 entries; it must have 1 to 3"},
		"the same twice":   {"name: x\nsteps:\n- fry\n- beat\n- fry\n", "line 5: steps[2]: the same as steps[0]; list it once"},
		"block text":       {"name: |\n  x\n", `line 1: name: "x\n" is not a word`},

		"everything at once": {"eggs: -1\nname: 1\nsalt: 1\nsteps: [A]\noven: {rack: 9}\n", `line 1: eggs: "-1" is not a whole number from 0 to 12
line 2: name: "1" is a number, and must be text; put it in quotes
line 3: there is no key "salt"; the keys here are name, eggs, hot, steps, oven
line 4: steps[0]: "A" is not a word
line 5: oven.rack: "9" is not a whole number from 1 to 4`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readRecipe(c.text)
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			if errkind.Of(err) != errkind.Invalid || !cmp.Equal(got, recipe{}) {
				t.Errorf("kind %q, result %+v", errkind.Of(err), got)
			}
			public := errkind.Public(err)
			if whole := c.want == public; !whole && (strings.HasSuffix(c.want, "; it must be a name") || !strings.Contains(public, c.want)) {
				t.Errorf("got\n%s\nwant\n%s", public, c.want)
			}
		})
	}
}

func TestFieldOfTheFirstMistake(t *testing.T) {
	_, err := readRecipe("oven: {rack: 9}\nname: x\neggs: 99\n")
	want := errkind.Field{Name: "oven.rack", Value: "9", Want: "a whole number from 1 to 4"}
	if got := errkind.FieldOf(err); got != want {
		t.Errorf("field %+v, want %+v", got, want)
	}
}

func TestMistakesAreCutOff(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "unknown-key-%d: 1\n", i)
		if i != 29 && i != 1999 {
			continue
		}
		_, err := readRecipe(b.String())
		lines := strings.Split(errkind.Public(err), "\n")
		if want := fmt.Sprintf("and %d more mistakes", i+2-20); len(lines) != 21 || lines[20] != want { // the name is missing, too
			t.Errorf("%d lines, the last %q, want %q", len(lines), lines[len(lines)-1], want)
		}
	}
}

// Hostile text inside of a document comes out quoted.
func TestMistakesAreHarmless(t *testing.T) {
	for _, text := range []string{"\"\\e[31m\": 1\n", "name: \"\\e[31m\\u202e\"\n", "{\"\\u001b[31m\": 1}", "name: x\n\"a\\r\\nline 9: fine\": 1\n", "name: &\u202ex y\n", "name: !\u202ex y\n"} {
		_, err := readRecipe(text)
		if err == nil {
			t.Errorf("%q was read", text)
			continue
		}
		for _, r := range errkind.Public(err) {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Errorf("%q gives %q", text, errkind.Public(err))
			}
		}
	}
}

func TestHugeDocumentsEndSoon(t *testing.T) {
	const n = document.MaxBytes / 4 // a square of this would be noticed
	for name, text := range map[string]string{
		"flow":      strings.Repeat("[", n),
		"JSON":      "{\"name\": " + strings.Repeat("[", n-20),
		"block":     strings.Repeat("- ", n/2),
		"maps":      "a: " + strings.Repeat("{a: ", n/4-1),
		"keys":      strings.Repeat("? ", n/2),
		"many keys": manyKeys(n),
		"many JSON": "{" + strings.TrimSuffix(strings.Repeat("\"a\":\n1,", n/7), ",") + "}",
		"list":      "{\"steps\": [" + strings.TrimSuffix(strings.Repeat("1,\n", n/4), ",\n") + "]}",
		"anchors":   strings.Repeat("a: &x [*x,*x]\n", n/14),
		"comments":  strings.Repeat("#\n", n/2),
	} {
		start := time.Now()
		if _, err := readRecipe(text); err == nil {
			t.Errorf("%s was read", name)
		} else if len(err.Error()) > 10_000 {
			t.Errorf("%s gives an error of %d bytes", name, len(err.Error()))
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n-20; i++ {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func TestScalar(t *testing.T) {
	bare := []string{"web-1", "host://web-1", "/run/sesame.sock", "1h30m", "30s", "64KiB", "203.0.113.7", "198.51.100.0/24", "127.0.0.1:8443", "info", "sesame.example.org"}
	for _, s := range bare {
		if got := document.Scalar(s); got != s {
			t.Errorf("Scalar(%q) = %s", s, got)
		}
	}
	words := append(bare, "", "22", "0", "1e3", "0x1f", "0o17", "0b1", "1_000", "1.5", ".5", "5.", "1:30", "1:30:00", "2024-01-01", "null", "true", "false", "yes", "no", "on", "off", "y", "n",
		"~", "-", "- a", "?", ":", "a:", "a: b", "a #b", "#", "&a", "*a", "!a", "|", ">", "%", "@", "`", "'", "\"", "{}", "[]", ",", ".inf", ".nan", "<<", "=", "::1", "[::1]:22", "2001:db8::7", " a", "a ", "é", "\n", "\x00", "\u2028", "\ufeff", "---", "...", "1h", "h", "1d", "12", "1KiB2")
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.SampledFrom(words), rapid.String(), rapid.StringMatching(`[0-9a-z.:/_-]{0,8}`)).Draw(t, "s")
		for place, text := range []string{"x: " + document.Scalar(s) + "\n", "x: [" + document.Scalar(s) + "]\n", document.Scalar(s) + ": 1\n"} {
			got, err := document.Read([]byte(text), func(root document.Value) string {
				if place == 2 {
					m := root.Map(s)
					return strings.Repeat(s, document.Integer(m.Get(s), 0, 0, 1))
				}
				v := root.Map("x").Get("x")
				if place == 1 {
					v = v.List(1, 1)[0]
				}
				return document.Text(v, "missing", func(s string) (string, error) { return s, nil })
			})
			if err != nil || got != s {
				t.Fatalf("%s reads as %q, %v; want %q", strconv.Quote(text), got, err, s)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", "name: omelette\neggs: 3\n", `{"name": "x", "steps": ["a"]}`, "a: &a [*a]", "name: !!str x", "? a\n: b", "name: |\n x\n", "- - - a", "{\"a\":1,\"a\":2}", "---\n---\n", "%YAML 1.2\n---\nname: x\n",
		"name: \"\\ud800\"", "\ufeff", "\xff", "name: x # c\n...\n", "<<: *x", "\"\\u0000\": 1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readRecipe(text)
		if err != nil {
			if errkind.Of(err) != errkind.Invalid || !cmp.Equal(got, recipe{}) {
				t.Fatalf("%q: kind %q, result %+v", text, errkind.Of(err), got)
			}
			return
		}
		if _, wordErr := parseWord(got.Name); wordErr != nil || got.Eggs < 0 || got.Eggs > 12 || !slices.IsSorted(got.Steps) {
			t.Fatalf("%q is read as %+v", text, got)
		}
	})
}
