package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api/strict"
	"github.com/sesame-access/sesame/internal/errkind"
)

// decode reads text as DecodeAsked does, and takes what is empty, too.
func decode(text []byte, v any) error {
	return strict.Read(text, v, strict.Leniency{Unknown: false, Empty: true})
}

// A message is a sentence, and quotes only what was sent.
func TestDecodeSaysWhatItFound(t *testing.T) {
	for text, want := range map[string]string{
		`{"duration":5}`:     "duration: it is a number, and must be text in quotes",
		`{"vm":["a"]}`:       "vm: it is a list, and must be text in quotes",
		`{"ports":"22"}`:     "ports: it is text, and must be a list",
		`{"sources":[true]}`: "sources[0]: it is true or false, and must be text in quotes",
	} {
		if got := errkind.Public(decode([]byte(text), &Ask{})); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	_, err := Ask{VM: "a", Ports: make([]Port, 17)}.Parse(time.Time{})
	if got, want := errkind.Public(err), "ports: it has 17 entries, and may have 16 at most"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is empty is not what was left out.
func TestEmptyIsNotAbsent(t *testing.T) {
	for text, field := range map[string]string{
		`{"vm":"a","duration":""}`:                         "duration",
		`{"vm":"a","start":"","reason":"x"}`:               "start",
		`{"vm":"a","sources":[]}`:                          "sources",
		`{"vm":"a","sources":[ ] }`:                        "sources",
		`{"sources":["192.0.2.1",""]}`:                     "sources[1]",
		`{"ports":[{"port":1,"protocol":"\u0022\u0022"}]}`: "",
		`{"ports":[{"port":1,"protocol":""}]}`:             "ports[0].protocol",
		`{}`:                                               "",
		`{"vm":"a","ports":[{"port":1}]}`:                  "",
	} {
		err := DecodeAsked([]byte(text), &Ask{})
		if f := errkind.FieldOf(err); f.Name != field || field != "" && !strings.Contains(errkind.Public(err), field+" is empty; ") {
			t.Errorf("%s: field %q, want %q: %v", text, f.Name, field, err)
		}
		if err := decode([]byte(text), &Ask{}); err != nil {
			t.Errorf("%s, as an answer: %v", text, err)
		}
	}
	if err := DecodeAsked([]byte(`{"":1}`), &Ask{}); !strings.Contains(errkind.Public(err), "not a field") {
		t.Errorf("a name without letters: %v", err)
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]struct{ field, says string }{
		`{"vm":7}`:                               {"vm", "text in quotes"},
		`{"vm":["a"]}`:                           {"vm", "text in quotes"},
		`{"ports":{"port":1}}`:                   {"ports", "a list"},
		`{"ports":[{"port":1},{"port":"1"}]}`:    {"ports[1].port", "1 to 65535"},
		`{"ports":[{"port":65536}]}`:             {"ports[0].port", "65536"},
		`{"ports":[7]}`:                          {"ports[0]", "an object"},
		`{"vm":null}`:                            {"vm", "null"},
		`{"ports":[{"port":1,"protocol":null}]}`: {"ports[0].protocol", "null"},
		`{"vm":"a","vm":"b"}`:                    {"vm", "twice"},
		`{"ports":[{"port":1,"port":2}]}`:        {"ports[0].port", "twice"},
		`{"VM":"a"}`:                             {"VM", "lower case"},
		`{"ports":[{"Port":1}]}`:                 {"ports[0].Port", "lower case"},
		`{"\u212Aey":1}`:                         {`"\u212aey"`, "not a field"},
		`{"a\"b":1}`:                             {`"a\"b"`, "not a field"},
		`{"vm":"a"} {"vm":"b"}`:                  {"", "goes on"},
		`{"vm":"a"}]`:                            {"", "goes on"},
		``:                                       {"", "no JSON"},
		" \n":                                    {"", "no JSON"},
		"\ufeff{}":                               {"", "byte order mark"},
		"{\"vm\":\"\xff\"}":                      {"", "UTF-8"},
		`{"vm":"\ud800"}`:                        {"", "not JSON"},
		`{"vm":"a"`:                              {"", "too early"},
		`{"vm":}`:                                {"", "not JSON"},
		`[]`:                                     {"the body", "an object"},
		`null`:                                   {"the body", "null"},
		strings.Repeat("[", 33):                  {"", "nested"},
		`{"vm":` + strings.Repeat("[", 1_000_000): {"", "nested"},
		`{"vm":"` + strings.Repeat("x", MaxBody):  {"", "at most"},
	} {
		err := decode([]byte(text), &Ask{})
		if errkind.Of(err) != errkind.Invalid {
			t.Errorf("%.60q: %v", text, err)
			continue
		}
		f := errkind.FieldOf(err)
		if f.Name != want.field || !strings.Contains(errkind.Public(err), want.says) {
			t.Errorf("%.60q: field %q: %s", text, f.Name, errkind.Public(err))
		}
		if want.field != "" && (f.Want == "" || !strings.HasPrefix(errkind.Public(err), want.field)) {
			t.Errorf("%.60q: %+v: %s", text, f, errkind.Public(err))
		}
		if len(errkind.Public(err)) > 400 {
			t.Errorf("%.60q: a message of %d bytes", text, len(errkind.Public(err)))
		}
	}
}

func TestDecodeTakesTheLimits(t *testing.T) {
	var nested any
	if err := decode([]byte(strings.Repeat("[", strict.MaxDepth)+strings.Repeat("]", strict.MaxDepth)), &nested); err != nil {
		t.Error(err)
	}
	if err := decode([]byte(`{"vm":"`+strings.Repeat("x", MaxBody-9)+`"}`), &Ask{}); err != nil {
		t.Error(err)
	}
}

func TestAnswersMaySayMore(t *testing.T) {
	var p Principal
	text := []byte(`{"issuer":"local","subject":"a","born":{"in":1}}`)
	if err := DecodeAnswer(text, &p); err != nil || p.Subject != "a" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := decode(text, &p); err == nil {
		t.Error("a request may not")
	}
	if err := DecodeAnswer([]byte(`{"issuer":"a","issuer":"b"}`), &p); err == nil {
		t.Error("an answer may say nothing twice")
	}
}

// What is decoded is what one other, lenient reader would read, too: there is no
// second reading of a text that is taken.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"vm":"a","ports":[{"port":22,"protocol":"tcp"}],"sources":["::1"],"duration":"1h"}`,
		`{"vm":"a","VM":"b"}`, `{"ports":[{"port":2.0}]}`, "{\"vm\":\"\\u0000\"}", `[[[]]]`, `{"ports":[{}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var strict Ask
		if err := decode(text, &strict); err != nil {
			if errkind.Of(err) != errkind.Invalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var lenient Ask
		if err := json.Unmarshal(text, &lenient); err != nil {
			t.Fatalf("%q is taken, and encoding/json says %v", text, err)
		}
		a, _ := Encode(strict)
		b, _ := Encode(lenient)
		if !bytes.Equal(a, b) {
			t.Fatalf("%q reads as %s and as %s", text, a, b)
		}
		if slices.ContainsFunc(strict.Ports, func(p Port) bool { return p.Port == 0 }) {
			return // a port that is missing; Parse says so
		}
		var again Ask
		if err := decode(a, &again); err != nil {
			t.Fatalf("%s was written and is not read: %v", a, err)
		}
	})
}
