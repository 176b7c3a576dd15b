package query

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// Params are the parameters of a call. Whoever has read what it knows asks for
// Err, which tells of the first one that was wrong, and of those that nobody
// wanted to read.
type Params struct {
	values url.Values
	read   map[string]bool
	wrong  error
}

// NewParams returns the parameters of a form.
func NewParams(form url.Values) *Params {
	p := &Params{values: form, read: map[string]bool{"Action": true, "Version": true}, wrong: nil}
	for name, values := range form {
		if len(values) > 1 {
			p.fail("InvalidParameterCombination", "The parameter %s may only be specified once", name)
		}
	}
	return p
}

// Again returns the same parameters, unread.
func (p *Params) Again() *Params { return NewParams(p.values) }

func (p *Params) fail(code, message string, args ...any) {
	if p.wrong == nil {
		p.wrong = world.Refuse(code, message, args...)
	}
}

// Text returns a parameter, or "".
func (p *Params) Text(name string) string {
	p.read[name] = true
	return p.values.Get(name)
}

// Has reports whether a parameter is there, be it empty.
func (p *Params) Has(name string) bool { return p.values.Has(name) }

// Need returns a parameter that has to be there.
func (p *Params) Need(name string) string {
	v := p.Text(name)
	if v == "" {
		p.fail("MissingParameter", "The request must contain the parameter %s", name)
	}
	return v
}

// Number returns a parameter that is a number, or nil.
func (p *Params) Number(name string) *int {
	v := p.Text(name)
	if v == "" {
		return nil
	}
	const bits = 32
	n, err := strconv.ParseInt(v, 10, bits)
	if err != nil {
		p.fail("InvalidParameterValue", "Invalid integer value %s for parameter %s", v, name)
		return nil
	}
	i := int(n)
	return &i
}

// NeedNumber returns a number that has to be there.
func (p *Params) NeedNumber(name string) int {
	p.Need(name)
	if n := p.Number(name); n != nil {
		return *n
	}
	return 0
}

// Flag returns a parameter that is true or false; false if it is not there.
func (p *Params) Flag(name string) bool {
	switch v := p.Text(name); v {
	case "", "false":
		return false
	case "true":
		return true
	default:
		p.fail("InvalidParameterValue", "Invalid boolean value %s for parameter %s", v, name)
		return false
	}
}

// Each returns the names of the members of a list, by their numbers: NAME.1,
// NAME.2.
func (p *Params) Each(name string) []string {
	seen := map[int]bool{}
	for key := range p.values {
		rest, ok := strings.CutPrefix(key, name+".")
		if !ok {
			continue
		}
		index, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(index); err == nil && n > 0 && strconv.Itoa(n) == index {
			seen[n] = true
		}
	}
	var names []string
	for n := range seen {
		names = append(names, name+"."+strconv.Itoa(n))
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	return names
}

// Texts returns the members of a list of texts.
func (p *Params) Texts(name string) []string {
	var out []string
	for _, n := range p.Each(name) {
		out = append(out, p.Need(n))
	}
	return out
}

// Tags returns the members of a list of tags.
func (p *Params) Tags(name string) world.Tags {
	var tags world.Tags
	for _, n := range p.Each(name) {
		k := p.Need(n + ".Key")
		if _, twice := tags[k]; twice {
			p.fail("InvalidParameterValue", "Duplicate tag key '%s' specified.", k)
		}
		if tags == nil {
			tags = world.Tags{}
		}
		tags[k] = p.Text(n + ".Value")
	}
	return tags
}

// TagSpecifications returns the tags for what the call makes.
func (p *Params) TagSpecifications(kind string) world.Tags {
	var tags world.Tags
	for i, n := range p.Each("TagSpecification") {
		if t := p.Need(n + ".ResourceType"); t != kind {
			p.fail("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", t)
		}
		if i > 0 {
			p.fail("InvalidParameterValue", "The same resource type may not be specified more than once in tag specifications")
		}
		tags = p.Tags(n + ".Tag")
	}
	return tags
}

// Permissions returns the members of a list of permissions, one spec for each
// source.
func (p *Params) Permissions(name string) []world.Spec {
	var out []world.Spec
	for _, n := range p.Each(name) {
		whole := world.Spec{Protocol: p.Text(n + ".IpProtocol"), First: p.Number(n + ".FromPort"), Last: p.Number(n + ".ToPort")}
		before := len(out)
		add := func(list, value string, set func(*world.Spec, string, string)) {
			for _, m := range p.Each(n + "." + list) {
				s := whole
				set(&s, m, p.Need(m+"."+value))
				s.Description = p.Text(m + ".Description")
				out = append(out, s)
			}
		}
		add("IpRanges", "CidrIp", func(s *world.Spec, _, v string) { s.CIDR = v })
		add("Ipv6Ranges", "CidrIpv6", func(s *world.Spec, _, v string) { s.CIDR6 = v })
		add("PrefixListIds", "PrefixListId", func(s *world.Spec, _, v string) { s.List = v })
		add("Groups", "GroupId", func(s *world.Spec, m, v string) {
			s.Group, s.GroupOwner = v, p.Text(m+".UserId")
			p.Text(m + ".VpcId") // the group says it better
			p.Text(m + ".VpcPeeringConnectionId")
		})
		if len(out) == before {
			out = append(out, whole) // refused for its missing source
		}
	}
	return out
}

// Err returns what was wrong, also with parameters that were not read.
func (p *Params) Err() error {
	if p.wrong != nil {
		return p.wrong
	}
	var strange []string
	for name := range p.values {
		if !p.read[name] {
			strange = append(strange, name)
		}
	}
	if len(strange) > 0 {
		slices.Sort(strange)
		return world.Refuse("UnknownParameter", "The parameter %s is not recognized", strange[0])
	}
	return nil
}
