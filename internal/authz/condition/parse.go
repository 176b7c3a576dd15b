package condition

import "strings"

// tokens splits a condition: quoted texts, what stands in square brackets, signs,
// and words; false where a quote or a bracket is not closed.
func tokens(text string) (out []string, ok bool) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := 1
		switch text[0] {
		case '\'':
			n = through(text, '\'')
		case '[':
			n = through(text, ']')
		case '(', ')', '{', '}', ',', '!':
		case '&', '|':
			if strings.HasPrefix(text[1:], text[:1]) {
				n = 2
			}
		default:
			if n = strings.IndexAny(text, "'[](){},!&| \t\r\n"); n < 0 {
				n = len(text)
			}
			n = max(n, 1)
		}
		if n > len(text) {
			return nil, false
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return out, true
}

// through returns the length of what begins text and ends with the next end; more
// than there is where none follows.
func through(text string, end byte) int {
	if i := strings.IndexByte(text[1:], end); i >= 0 {
		return i + 2
	}
	return len(text) + 1
}

// parser reads tokens by descent: any → every ("OR" every)*, every → one ("AND"
// one)*, one → "!" one | "(" any ")" | leaf.
type parser struct {
	rest  []string
	depth int
}

// next takes the first token if it is one of words, whatever their case.
func (p *parser) next(words ...string) bool {
	for _, w := range words {
		if len(p.rest) > 0 && strings.EqualFold(p.rest[0], w) {
			p.rest = p.rest[1:]
			return true
		}
	}
	return false
}

func (p *parser) any() (*node, bool) { return p.list(or, p.every, "OR", "||") }

func (p *parser) every() (*node, bool) { return p.list(and, p.one, "AND", "&&") }

// list reads parts between the given words.
func (p *parser) list(k kind, part func() (*node, bool), words ...string) (*node, bool) {
	var parts []*node
	for {
		n, ok := part()
		if !ok {
			return nil, false
		}
		parts = append(parts, n)
		if !p.next(words...) {
			return &node{kind: k, pattern: "", parts: parts}, true
		}
	}
}

func (p *parser) one() (*node, bool) {
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case p.depth > maxDepth:
		return nil, false
	case p.next("!", "NOT"):
		n, ok := p.one()
		return &node{kind: not, pattern: "", parts: []*node{n}}, ok
	case p.next("("):
		n, ok := p.any()
		return n, ok && p.next(")")
	case p.next("ActionMatches"):
		return p.matches()
	}
	return p.leaf()
}

// matches reads what follows ActionMatches: one pattern in braces.
func (p *parser) matches() (*node, bool) {
	if !p.next("{") || len(p.rest) == 0 {
		return nil, false
	}
	pattern, ok := quoted(p.rest[0])
	p.rest = p.rest[1:]
	return &node{kind: actionMatches, pattern: pattern, parts: nil}, ok && p.next("}")
}

// leaf reads an expression that is not decided here, up to where it must end: at
// a word that combines, or at a closing bracket. Braces stay together.
func (p *parser) leaf() (*node, bool) {
	n, open := 0, 0
	for n < len(p.rest) {
		switch t := strings.ToUpper(p.rest[n]); t {
		case "{":
			open++
		case "}":
			open--
		case "AND", "&&", "OR", "||", ")", "(", "!", "&", "|":
			if open == 0 {
				p.rest = p.rest[n:]
				return &node{kind: other, pattern: "", parts: nil}, n > 0
			}
		}
		if open < 0 {
			return nil, false
		}
		n++
	}
	p.rest = nil
	return &node{kind: other, pattern: "", parts: nil}, n > 0 && open == 0
}

// quoted returns the text between single quotes.
func quoted(token string) (string, bool) {
	inner, ok := strings.CutPrefix(token, "'")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inner, "'")
}
