package hcl_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/provider/hcl"
	"github.com/sesame-access/sesame/internal/provider/hcl/hcltest"
)

// nasty are texts that want to be more than text.
func nasty() []string {
	return []string{
		"", "plain", `a "quoted" \ word`, "${file(\"/etc/passwd\")}", "$${x}", "$$${x}", "%{ if true }", "%%{x}", "$%{x}", "%${x}", "$", "${", "$$", "{$}",
		"two\nlines\r\tand a tab", "nul\x00bell\a", "zero width \u200b, line \u2028 end", "Grüße 🔑", "# no comment */ // \"", "broken \xff byte", "\xff", "$\xff{", "EOT\n}\nresource \"x\" \"y\" {}",
	}
}

// What is written is formatted as Terraform would, whatever the texts are.
func TestFormat(t *testing.T) {
	var blocks []hcl.Block
	for _, s := range nasty() {
		blocks = append(blocks, hcl.Block{
			Comment: []string{s, strings.Repeat(s+" word ", 30)},
			Type:    "resource", Labels: []string{"kind", hcl.Label(s)},
			Body: []hcl.Attribute{
				{"id", hcl.Name("kind.name")},
				{"longer_name", hcl.String(s)},
				{"count", hcl.Number(-1)},
				{"list", hcl.Strings([]string{s, "b"})},
				{"tags", hcl.Map([]hcl.Attribute{{s, hcl.String(s)}, {"a much longer key", hcl.String("x")}})},
			},
			Blocks: []hcl.Block{
				{Comment: []string{s}, Type: "lifecycle", Body: []hcl.Attribute{{"ignore_changes", hcl.List(hcl.Name("ingress"))}}},
				{Type: "empty"},
			},
		})
	}
	text := hcl.Format(blocks...)
	hcltest.Formatted(t, text)
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 130 && strings.HasPrefix(line, "#") {
			t.Errorf("a comment is not wrapped: %s", line)
		}
	}
}

// Terraform reads a text as what was written, and evaluates nothing in it.
func TestStringIsText(t *testing.T) {
	texts := nasty()
	draw := rapid.Custom(func(t *rapid.T) string {
		part := rapid.SampledFrom([]string{"$", "%", "{", "}", `"`, `\`, "u0024", "n", "\n", " ", "é", "~"})
		return strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "parts"), "")
	})
	for seed := range 300 {
		texts = append(texts, draw.Example(seed))
	}
	got := hcltest.Terraform(t, "jsonencode("+consoleList(texts)+")\n", "console")
	var inner string // the console quotes what it says
	if err := json.Unmarshal([]byte(strings.TrimSpace(got)), &inner); err != nil {
		t.Fatalf("%v: %.300s", err, got)
	}
	var read []string
	if err := json.Unmarshal([]byte(inner), &read); err != nil {
		t.Fatalf("%v: %.300s", err, inner)
	}
	for i, s := range texts {
		if want := strings.ToValidUTF8(s, "\ufffd"); i >= len(read) || read[i] != want {
			t.Fatalf("%q is read as %q", s, read[min(i, len(read)-1)])
		}
	}
}

// consoleList writes texts as one expression on one line.
func consoleList(texts []string) string {
	text := hcl.Format(hcl.Block{Type: "x", Body: []hcl.Attribute{{"l", hcl.Strings(texts)}}})
	_, list, _ := strings.Cut(text, "l = ")
	list, _, _ = strings.Cut(list, "\n")
	return list
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{"sg-0a1": "sg-0a1", "0a": "_0a", "-a": "_-a", "": "_", "Web Server (é)": "Web_Server____", "a.b/c": "a_b_c"} {
		if got := hcl.Label(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
