package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// An Edit is one native write: a rule is put in place, over the one of that name
// if there is one, or deleted.
type Edit struct {
	Name string          `json:"name"`
	Put  json.RawMessage `json:"put,omitempty"` // as Body writes it; empty to delete
}

// Put returns the edit that puts r in place.
func Put(r Rule) Edit { return Edit{Name: r.Name, Put: json.RawMessage(Body(r))} }

// Delete returns the edit that deletes the rule called name.
func Delete(name string) Edit { return Edit{Name: name, Put: nil} }

// Deletes reports whether e deletes.
func (e Edit) Deletes() bool { return len(e.Put) == 0 }

// Rule returns the rule that e puts in place, as it will be read.
func (e Edit) Rule() Rule {
	text := string(e.Put)
	at, err := read(text)
	if err != nil {
		return Rule{Name: e.Name, Action: firewall.Unknown, Opaque: err.Error(), Text: text}
	}
	return ruleOf(text, at)
}

// Encode writes e as the native text of a change.
func (e Edit) Encode() string {
	text, err := json.Marshal(e)
	if err != nil {
		return err.Error() // a body that is no JSON; nothing decodes this
	}
	return string(text)
}

// Decode reads what Encode writes.
func Decode(native string) (Edit, error) {
	var e Edit
	err := json.Unmarshal([]byte(native), &e)
	if err == nil && (e.Name == "" || string(e.Put) == "null") {
		err = errors.New("it names no rule")
	}
	if err != nil {
		return Edit{}, fmt.Errorf("read the native write %q: %w", native, err)
	}
	return e, nil
}

// Body writes a rule of ours as a resource of its own, which is also how it
// stands in the list. It writes nothing but what a request may hold.
func Body(r Rule) string {
	type properties struct {
		Description  string   `json:"description,omitempty"`
		Protocol     string   `json:"protocol"`
		SourcePort   string   `json:"sourcePortRange"`
		Port         string   `json:"destinationPortRange"`
		Source       string   `json:"sourceAddressPrefix,omitempty"`
		Sources      []string `json:"sourceAddressPrefixes,omitempty"`
		Destination  string   `json:"destinationAddressPrefix,omitempty"`
		Destinations []string `json:"destinationAddressPrefixes,omitempty"`
		Access       string   `json:"access"`
		Priority     int      `json:"priority"`
		Direction    string   `json:"direction"`
	}
	p := properties{
		Description: r.Description, Protocol: capital(r.Protocol), Access: capital(r.Action.String()),
		SourcePort: AnyPort().String(), Port: AnyPort().String(), Priority: r.Priority, Direction: "Inbound",
	}
	if len(r.Destination.Ports) == 1 {
		p.Port = r.Destination.Ports[0].String()
	}
	p.Source, p.Sources = r.Source.addresses()
	p.Destination, p.Destinations = r.Destination.addresses()
	text, err := json.Marshal(struct {
		Name       string     `json:"name"`
		Properties properties `json:"properties"`
	}{Name: r.Name, Properties: p})
	if err != nil {
		return err.Error() // there is nothing in it that could not be written
	}
	return string(text)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// addresses returns the one address, or all of several.
func (s Side) addresses() (one string, several []string) {
	if s.Any {
		return "*", nil
	}
	for _, p := range s.Prefixes {
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		several = append(several, text)
	}
	if len(several) == 1 {
		return several[0], nil
	}
	return "", several
}

// Edit returns the document after the edits. Nothing but the rules that they name
// is changed, and every name must begin with prefix. Of two edits of one rule the
// later counts. Deleting what is not there succeeds.
func (g *Group) Edit(prefix string, edits ...Edit) (string, error) {
	bodies := map[string]string{} // by name; empty for a rule that goes
	var order []string
	for _, e := range edits {
		name := strings.ToLower(e.Name)
		if prefix == "" || !strings.HasPrefix(name, strings.ToLower(prefix)) {
			return "", fmt.Errorf("edit %q: it is not ours", e.Name)
		}
		if _, again := bodies[name]; !again {
			order = append(order, name)
		}
		bodies[name] = string(e.Put)
	}
	c := cutter{text: g.text, copied: 0, behind: g.list.from + 1, kept: 0}
	for i, at := range g.items {
		name := strings.ToLower(g.Rules[i].Name)
		body, named := bodies[name]
		switch {
		case !named:
			c.keep(at)
		case body == "":
			next := at.to
			if i+1 < len(g.items) {
				next = g.items[i+1].from
			}
			c.remove(at, next)
		default:
			c.replace(at, body)
			bodies[name] = "" // a second one of that name goes
		}
	}
	for _, name := range order {
		if bodies[name] != "" {
			c.add(bodies[name])
		}
	}
	return c.end(), nil
}

// After returns the rules as they will be read once the edits are made, in the
// order of Edit's document. Only what the edits put in place is read.
func (g *Group) After(edits ...Edit) []Rule {
	last := map[string]Edit{}
	for _, e := range edits {
		last[strings.ToLower(e.Name)] = e
	}
	out := make([]Rule, 0, len(g.Rules)+len(edits))
	add := func(name string) {
		if e := last[name]; !e.Deletes() {
			out = append(out, e.Rule())
		}
		last[name] = Delete(name) // a second one of that name goes
	}
	for _, r := range g.Rules {
		name := strings.ToLower(r.Name)
		if _, named := last[name]; named {
			add(name)
			continue
		}
		out = append(out, r)
	}
	for _, e := range edits {
		add(strings.ToLower(e.Name))
	}
	return out
}

// A cutter copies a list, element by element, and leaves out, replaces and adds.
type cutter struct {
	text   string
	out    strings.Builder
	copied int // what was read up to here is written, or left out
	behind int // where the last element ends
	kept   int // how many elements are written
}

func (c *cutter) copyTo(to int) {
	c.out.WriteString(c.text[c.copied:max(to, c.copied)])
	c.copied = max(to, c.copied)
}

func (c *cutter) keep(at span) { c.behind, c.kept = at.to, c.kept+1 }

// remove leaves an element out, with the separator before it; the first one with
// the separator behind it.
func (c *cutter) remove(at span, next int) {
	if c.kept > 0 {
		c.copyTo(c.behind)
		c.copied = at.to
	} else {
		c.copyTo(at.from)
		c.copied = next
	}
	c.behind = at.to
}

func (c *cutter) replace(at span, body string) {
	c.copyTo(at.from)
	c.out.WriteString(body)
	c.copied = at.to
	c.keep(at)
}

// add writes an element right behind the last.
func (c *cutter) add(body string) {
	c.copyTo(c.behind)
	if c.kept > 0 {
		c.out.WriteByte(',')
	}
	c.out.WriteString(body)
	c.kept++
}

func (c *cutter) end() string {
	c.copyTo(len(c.text))
	return c.out.String()
}
