// Package hcl writes the language of Terraform as `terraform fmt` leaves it.
//
// It writes blocks, and not programs: a value is a string, a number, a list, a map
// or a name. Whatever text comes from a cloud stands in quotes or in a comment, and
// cannot leave either: quotes, templates and line ends are escaped there, and here
// are blanks. (HCL native syntax specification, "Quoted and Heredoc Template
// Expressions".)
package hcl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Block is a block with what stands in it: first its attributes, then its blocks.
type Block struct {
	// Comment are the lines above it, wrapped when they are written.
	Comment []string
	Type    string
	Labels  []string
	Body    []Attribute
	Blocks  []Block
}

// An Attribute gives a name a value.
type Attribute struct {
	Name  string
	Value Value
}

// A Value is an expression.
type Value struct {
	text string
	of   []Attribute // of a map, which takes lines of its own
}

// Name is a reference, or a word of the language.
func Name(s string) Value { return Value{text: s} }

// Number is a whole number.
func Number(n int) Value { return Value{text: strconv.Itoa(n)} }

// String is a text.
func String(s string) Value { return Value{text: quote(s)} }

// List is a list.
func List(values ...Value) Value {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.text
	}
	return Value{text: "[" + strings.Join(texts, ", ") + "]"}
}

// Strings is a list of texts.
func Strings(list []string) Value {
	values := make([]Value, len(list))
	for i, s := range list {
		values[i] = String(s)
	}
	return List(values...)
}

// Map is a map from texts; the keys are quoted.
func Map(of []Attribute) Value {
	quoted := slices.Clone(of)
	for i, a := range quoted {
		quoted[i].Name = quote(a.Name)
	}
	return Value{text: "{", of: quoted}
}

// Label is s as the name of a resource may be: letters, digits, "-" and "_", and no
// digit or "-" first.
func Label(s string) string {
	out := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, s)
	if out == "" || out[0] == '-' || unicode.IsDigit(rune(out[0])) {
		out = "_" + out
	}
	return out
}

// quote writes s as a text that is no template.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	last := rune(0)
	s = strings.ToValidUTF8(s, "\ufffd")
	for i, r := range s {
		template := strings.HasPrefix(s[i+utf8.RuneLen(r):], "{")
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case (r == '$' || r == '%') && template && last == r:
			fmt.Fprintf(&b, `\u%04x`, r) // twice the sign would be one that is escaped
		case (r == '$' || r == '%') && template:
			b.WriteRune(r)
			b.WriteRune(r)
		case !unicode.IsPrint(r):
			if r > 0xffff {
				fmt.Fprintf(&b, `\U%08x`, r)
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		default:
			b.WriteRune(r)
		}
		last = r
	}
	b.WriteByte('"')
	return b.String()
}

// Format writes blocks, each after an empty line but for the first.
func Format(blocks ...Block) string {
	var b strings.Builder
	for i, x := range blocks {
		if i > 0 {
			b.WriteByte('\n')
		}
		x.write(&b, 0)
	}
	return b.String()
}

const (
	indent  = "  "
	longest = 100 // of a line of a comment
)

// Comment writes lines of text as comments, wrapped.
func Comment(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		at := "#"
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) {
			if utf8.RuneCountInString(at)+1+utf8.RuneCountInString(word) > longest && at != "#" {
				b.WriteString(at + "\n")
				at = "#"
			}
			at += " " + word
		}
		b.WriteString(at + "\n")
	}
	return b.String()
}

func (x Block) write(b *strings.Builder, depth int) {
	margin := strings.Repeat(indent, depth)
	for line := range strings.Lines(Comment(x.Comment...)) {
		b.WriteString(margin + line)
	}
	b.WriteString(margin + x.Type)
	for _, l := range x.Labels {
		b.WriteString(" " + quote(l))
	}
	if len(x.Body)+len(x.Blocks) == 0 {
		b.WriteString(" {\n" + margin + "}\n")
		return
	}
	b.WriteString(" {\n")
	writeAll(b, x.Body, depth+1)
	for i, y := range x.Blocks {
		if i > 0 || len(x.Body) > 0 {
			b.WriteByte('\n')
		}
		y.write(b, depth+1)
	}
	b.WriteString(margin + "}\n")
}

// writeAll writes attributes: the one-line ones below each other with their signs
// in a column, and a map after an empty line.
func writeAll(b *strings.Builder, list []Attribute, depth int) {
	margin := strings.Repeat(indent, depth)
	width := 0
	for _, a := range list {
		if a.Value.of == nil {
			width = max(width, utf8.RuneCountInString(a.Name))
		}
	}
	for i, a := range list {
		if a.Value.of == nil {
			fmt.Fprintf(b, "%s%-*s = %s\n", margin, width, a.Name, a.Value.text)
			continue
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "%s%s = {\n", margin, a.Name)
		writeAll(b, a.Value.of, depth+1)
		b.WriteString(margin + "}\n")
	}
}
