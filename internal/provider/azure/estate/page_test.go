package estate

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
)

func TestReadPage(t *testing.T) {
	p, err := readPage([]byte(` {"other":{"a":1,"a":2},"value":[{"id":"/A","x":1e2},{"Id":"/b"}],"nextLink":"https://x"} `))
	if err != nil || p.next != "https://x" || len(p.documents) != 2 || p.documents[0].id != "/A" || string(p.documents[0].text) != `{"id":"/A","x":1e2}` || p.documents[1].id != "/b" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, text := range []string{`{"value":[],"nextLink":null}`, `{"value":[],"nextLink":""}`, `{"value":[]}`} {
		if p, err := readPage([]byte(text)); err != nil || p.next != "" || p.documents != nil {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

// A page that is read is a page: every element of it is there, as it was written.
func FuzzReadPage(f *testing.F) {
	for _, text := range []string{
		`{"value":[{"id":"/a"}],"nextLink":"https://x"}`, `{"value":[]}`, `{"value":[{"id":""}]}`, `{"value":[{"id":"\u002fa"}],"skipToken":"x"}`,
		`{"value":[{"id":"/a"},{"id":"/a"}],"value":[]}`, `{"value":null}`, `[]`, `{"value":[{"id":"/a"}]`, "{\"value\":[{\"id\":\"/\xff\"}]}", `{"value":[{"id":"/a"}]} x`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := readPage(text)
		if err != nil {
			return
		}
		var d struct{ Value []json.RawMessage }
		dec := json.NewDecoder(bytes.NewReader(text))
		if err := dec.Decode(&d); err != nil {
			t.Fatalf("what is no JSON was read: %v", err)
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(text, &whole); err != nil {
			t.Fatalf("what is no JSON was read: %v", err)
		}
		var value []json.RawMessage
		if err := json.Unmarshal(whole["value"], &value); err != nil || len(value) != len(p.documents) {
			t.Fatalf("%d elements of %d, %v", len(p.documents), len(value), err)
		}
		for i, x := range p.documents {
			if x.id == "" || !bytes.Equal(x.text, bytes.TrimSpace(value[i])) {
				t.Fatalf("%q was read as %q", value[i], x.text)
			}
		}
	})
}

func TestRemaining(t *testing.T) {
	for text, want := range map[string]int{
		"":                   math.MaxInt,
		"x-ms-request-id: 7": math.MaxInt,
		"x-ms-ratelimit-remaining-subscription-reads: 249":                        249,
		"x-ms-ratelimit-remaining-subscription-global-reads: 3749":                3749,
		"X-MS-RateLimit-Remaining-Tenant-Reads: 0":                                0,
		"x-ms-ratelimit-remaining-subscription-reads: many":                       math.MaxInt,
		"x-ms-ratelimit-remaining-subscription-reads: -1":                         math.MaxInt,
		"x-ms-ratelimit-remaining-resource: Microsoft.Compute/High3;107,Other;58": 58,
	} {
		h := http.Header{}
		if name, value, ok := strings.Cut(text, ": "); ok {
			h.Set(name, value)
			h.Set("x-ms-ratelimit-remaining-subscription-global-reads", "4000")
			if want == math.MaxInt {
				h.Del("x-ms-ratelimit-remaining-subscription-global-reads")
			}
			h.Set(name, value)
		}
		if got := remaining(h); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
