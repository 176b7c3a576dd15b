package output_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/cli/output"
)

func TestTable(t *testing.T) {
	var b strings.Builder
	rows := [][]string{
		{"web-1", "locked", ""},
		{"größer", "x\x1b[31mred\u202e", "last"},
	}
	if err := output.WriteTable(&b, "empty", []string{"VM", "STATE", "NOTE"}, rows); err != nil {
		t.Fatal(err)
	}
	want := "VM      STATE       NOTE\n" +
		"web-1   locked\n" +
		"größer  x\ufffd[31mred\ufffd  last\n"
	if b.String() != want {
		t.Errorf("table:\n%q\nwant:\n%q", b.String(), want)
	}
	b.Reset()
	if err := output.WriteTable(&b, "Nothing is open.", []string{"VM"}, nil); err != nil || b.String() != "Nothing is open.\n" {
		t.Errorf("an empty table is %q, %v", b.String(), err)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2030, 1, 31, 14, 0, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		at   time.Time
		want string
	}{
		{now.Add(2 * time.Minute), "14:02:00 (in 2m)"},
		{now.Add(-90 * time.Second).UTC(), "13:58:30 (1m30s ago)"},
		{now.Add(300 * time.Millisecond), "14:00:00 (now)"},
		{now.Add(12 * time.Hour), "2030-02-01 02:00:00 (in 12h)"},
		{time.Time{}, "-"},
	} {
		if got := output.Until(tt.at, now); got != tt.want {
			t.Errorf("Until(%v) = %q, want %q", tt.at, got, tt.want)
		}
	}
}

func TestLive(t *testing.T) {
	var b strings.Builder
	l := output.NewLive(&b, true)
	l.Show("web-1:22 asked")
	l.Then("granted")
	l.Then("granted") // said already counts as another stage
	l.Show("x\ny")
	l.Show("x\ny")
	l.Done()
	l.Done()
	const back = "\r\x1b[K"
	want := back + "web-1:22 asked" + back + "web-1:22 asked → granted" + back + "web-1:22 asked → granted → granted" + back + "x\ufffdy\n"
	if b.String() != want {
		t.Errorf("live line:\n%q\nwant:\n%q", b.String(), want)
	}
	b.Reset()
	silent := output.NewLive(&b, false)
	silent.Show("x")
	silent.Then("y")
	silent.Clear()
	if b.String() != "" {
		t.Errorf("without a terminal the line says %q", b.String())
	}
}

func TestJSON(t *testing.T) {
	var b strings.Builder
	v := struct {
		B []string `json:"b"`
		A string   `json:"a"`
	}{[]string{"<x>"}, "\u2028"}
	if err := output.WriteJSON(&b, v); err != nil {
		t.Fatal(err)
	}
	if err := output.WriteJSONLine(&b, v); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"b\": [\n    \"<x>\"\n  ],\n  \"a\": \"\u2028\"\n}\n{\"b\":[\"<x>\"],\"a\":\"\u2028\"}\n"; b.String() != want {
		t.Errorf("JSON:\n%q\nwant:\n%q", b.String(), want)
	}
	if _, err := output.ParseFormat("yaml"); err == nil {
		t.Error("yaml is taken for a format")
	}
}

// The reasons against a request are those of a denial; a grant has some, too, and
// they would read as if it had been denied.
func TestRecordLineTellsGrantsFromDenials(t *testing.T) {
	for kind, want := range map[audit.Kind]bool{audit.Requested: false, audit.Extended: false, audit.Denied: true} {
		line := output.RecordLine(api.Record{Kind: string(kind), Not: []string{"assignment viewer: does not include request"}}, time.Time{})
		if got := strings.Contains(line, "does not include"); got != want {
			t.Errorf("%s gives reasons against it: %v, want %v", line, got, want)
		}
	}
}

func TestRecordLineTellsWhoBrokeWhatWasRepaired(t *testing.T) {
	for kind, want := range map[audit.Kind]bool{audit.Repaired: true, audit.Requested: false} {
		line := output.RecordLine(api.Record{Kind: string(kind), By: []string{"nft (pid 7)", "\x1b[2Jevil (pid 8)"}}, time.Time{})
		if got := strings.HasSuffix(line, ": changed by nft (pid 7), \ufffd[2Jevil (pid 8)"); got != want {
			t.Errorf("%s: %q", kind, line)
		}
	}
}
