package wire

import (
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// tagged answers for the filters that every resource with tags has.
func tagged(name string, r world.Resource) ([]string, bool) {
	switch key, isTag := strings.CutPrefix(name, "tag:"); {
	case isTag:
		if v, found := r.Tags[key]; found {
			return []string{v}, true
		}
		return nil, true
	case name == "tag-key":
		return r.Tags.Keys(), true
	case name == "owner-id":
		return []string{r.Owner}, true
	}
	return nil, false
}

func is(v string) ([]string, bool)    { return []string{v}, true }
func flag(v bool) ([]string, bool)    { return []string{strconv.FormatBool(v)}, true }
func digits(n int) ([]string, bool)   { return []string{strconv.Itoa(n)}, true }
func are(v []string) ([]string, bool) { return v, true }
