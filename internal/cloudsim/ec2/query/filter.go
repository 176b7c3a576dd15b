package query

import (
	"slices"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Filter keeps what has one of the values.
type Filter struct {
	Name   string
	Values []string
}

// The limits of filters. (EC2 user guide, list and filter resources.)
const (
	mostFilters      = 50
	mostFilterValues = 200
)

// Filters returns the filters of a call. All of them have to match.
func (p *Params) Filters() []Filter {
	var out []Filter
	values := 0
	for _, n := range p.Each("Filter") {
		f := Filter{Name: p.Need(n + ".Name"), Values: nil}
		for _, v := range p.Each(n + ".Value") {
			f.Values = append(f.Values, p.Text(v))
		}
		if len(f.Values) == 0 {
			p.fail("InvalidParameterValue", "The filter '%s' has no values", f.Name)
		}
		values += len(f.Values)
		out = append(out, f)
	}
	if len(out) > mostFilters || values > mostFilterValues {
		p.fail("FilterLimitExceeded", "The maximum number of filters or filter values has been exceeded")
	}
	return out
}

// Attributes says which values something has under the name of a filter, and
// whether there is such a filter.
type Attributes func(name string) (values []string, known bool)

// Keeps reports whether something with the attributes passes all filters.
func Keeps(filters []Filter, a Attributes) bool {
	for _, f := range filters {
		have, _ := a(f.Name)
		if !slices.ContainsFunc(have, func(v string) bool {
			return slices.ContainsFunc(f.Values, func(pattern string) bool { return gate.Matches(pattern, v) })
		}) {
			return false
		}
	}
	return true
}

// Unknown is the error for a filter that does not exist.
func Unknown(filters []Filter, a Attributes) error {
	for _, f := range filters {
		if _, known := a(f.Name); !known {
			return world.Refuse("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
	}
	return nil
}
