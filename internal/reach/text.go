package reach

import (
	"fmt"
	"strconv"
	"strings"
)

// MarshalText writes s, one span a line: its sources, its verdict, its path, and
// of each step the firewall, the rule, the rule that may come before, and what
// the layer can do, in which names are quoted as in Go.
//
//	203.0.113.0/24 open "eth0" "nsg-web" "310 old-office" "" pass
func (s Set) MarshalText() ([]byte, error) {
	var b []byte
	for x := range s.All() {
		b = fmt.Appendf(b, "%s %s %s", x.Range, x.Verdict, strconv.Quote(x.Path()))
		for _, step := range x.Steps() {
			b = fmt.Appendf(b, " %s %s %s %s", strconv.Quote(string(step.Firewall)), strconv.Quote(step.Rule), strconv.Quote(step.Maybe), strings.Join(step.Can.Names(), "+"))
		}
		b = append(b, '\n')
	}
	return b, nil
}
