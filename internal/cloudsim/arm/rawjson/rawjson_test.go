package rawjson

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatIsNotTouchedKeepsItsBytes(t *testing.T) {
	const text = `{"b": 1e2, "a" : {"z":1,  "y":[1, 2]}, "c":"\u0041"}`
	o, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Set("a2", Quote("new"))
	o.Set("b", []byte("2"))
	o.Delete("c")
	if got, want := string(o.Bytes()), `{"b":2,"a":{"z":1,  "y":[1, 2]},"a2":"new"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	again, err := Parse(o.Bytes())
	if err != nil || string(again.Bytes()) != string(o.Bytes()) {
		t.Errorf("a second time it is %s (%v)", again.Bytes(), err)
	}
	if o.Text("a2") != "new" || len(o.Object("a").List("y")) != 2 || o.Text("b") != "" || o.Get("none") != nil {
		t.Error("the values read back differ")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{``, `[]`, `null`, `{`, `{"a":1}x`, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":{"b":1,"b":2}}`, `{"a":01}`, "{\"a\":\"\xff\"}"} {
		if o, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, o.Bytes())
		}
	}
}

func TestAnyNameSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o Object
		name := rapid.String().Draw(t, "name")
		o.Set(name, Array([]json.RawMessage{Quote(rapid.String().Draw(t, "value"))}))
		back, err := Parse(o.Bytes())
		if err != nil || string(back.Bytes()) != string(o.Bytes()) {
			t.Fatalf("%s became %s (%v)", o.Bytes(), back.Bytes(), err)
		}
	})
}
