package document

import (
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sesame-access/sesame/internal/errkind"
)

// readYAML reads one YAML document as far as its values: nothing is resolved,
// merged or converted.
func readYAML(text []byte) (*node, error) {
	loader, err := yaml.NewLoader(strings.NewReader(string(text)))
	if err != nil {
		return nil, errkind.Wrap(errkind.Internal, err, "make a YAML loader")
	}
	var doc, more yaml.Node
	if err := loader.Load(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlMistake(err)
	}
	if len(doc.Content) == 0 || isEmpty(doc.Content[0]) {
		return &node{kind: kindMap, text: "", line: 1, items: nil, pairs: nil}, nil
	}
	switch err := loader.Load(&more); {
	case err == nil:
		return nil, mistakeAt(more.Line, "a second document begins; one file holds one")
	case !errors.Is(err, io.EOF):
		return nil, yamlMistake(err)
	}
	return fromYAML(doc.Content[0], 0)
}

// isEmpty reports whether n stands for a document without content, which is
// different from one that says null.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == ""
}

func yamlMistake(err error) error {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		return mistakeAt(max(e.Mark.Line, 1), "this is not YAML: %s", e.Message)
	}
	return errkind.New(errkind.Invalid, "this is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

func fromYAML(n *yaml.Node, depth int) (*node, error) {
	out := &node{kind: kindNull, text: n.Value, line: n.Line, items: nil, pairs: nil}
	switch {
	case depth > MaxDepth:
		return nil, mistakeAt(n.Line, "the document is nested more than %d deep", MaxDepth)
	case n.Anchor != "": // and without one before it no alias is read
		return nil, mistakeAt(n.Line, "an anchor (&%s); write the value out where it is used", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		return nil, mistakeAt(n.Line, "a tag (%s); write the plain value", n.Tag)
	case n.Kind == yaml.SequenceNode:
		out.kind = kindList
		for _, c := range n.Content {
			item, err := fromYAML(c, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, item)
		}
		return out, nil
	case n.Kind == yaml.MappingNode:
		out.kind = kindMap
		return out, pairsOf(out, n.Content, depth)
	}
	switch n.Tag {
	case "!!null":
		out.kind = kindNull
	case "!!bool":
		out.kind = kindBool
	case "!!int", "!!float":
		out.kind = kindNumber
	default:
		out.kind = kindText
	}
	return out, nil
}

// pairsOf fills out with the keys and values of a YAML mapping.
func pairsOf(out *node, content []*yaml.Node, depth int) error {
	seen := make(map[string]int, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		key, err := fromYAML(content[i], depth+1)
		if err != nil {
			return err
		}
		if key.kind == kindList || key.kind == kindMap {
			return mistakeAt(key.line, "%s is no key", key.kind)
		}
		if first, twice := seen[key.text]; twice {
			return mistakeAt(key.line, "the key %s is there twice, first in line %d", errkind.Quote(key.text), first)
		}
		seen[key.text] = key.line
		value, err := fromYAML(content[i+1], depth+1)
		if err != nil {
			return err
		}
		out.pairs = append(out.pairs, pair{key: key.text, line: key.line, value: value})
	}
	return nil
}
