package posture

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Suppression is a bad finding that somebody answers for, for some time. It
// changes no verdict: the finding is there, with who accepted it.
type Suppression struct {
	Check ID            // empty for every check
	VM    firewall.VMID // of one VM only: who accepts a risk knows whose it is
	Port  uint16        // 0 for every port
	// Reason says why it is accepted, Owner who answers for it.
	Reason, Owner string
	// Until is when it ends; then the finding is back.
	Until time.Time
}

// mostSuppressions is how many one document may have.
const mostSuppressions = 1000

// ParseSuppressions reads a document, YAML or JSON, sorted by VM, check and port:
//
//	suppressions:
//	  - vm: host://web-1                  # required
//	    check: management-port-open       # every check
//	    port: 22                          # every port
//	    reason: decommissioned in March   # required
//	    owner: ada@example.com            # required
//	    until: 2027-03-31                 # required: the day on which it ends, UTC
//
// The error is of kind errkind.Invalid and names every mistake.
func ParseSuppressions(text []byte) ([]Suppression, error) {
	return document.Read(text, func(root document.Value) []Suppression {
		m := root.Map("suppressions")
		return document.Items(m.Get("suppressions").Required("a list of suppressions"), 1, mostSuppressions, suppressionFrom, compareSuppressions)
	})
}

func suppressionFrom(v document.Value) Suppression {
	m := v.Map("vm", "check", "port", "reason", "owner", "until")
	return Suppression{
		VM:     document.Text(m.Get("vm").Required("the id of a VM"), "", firewall.ParseVMID),
		Check:  document.Text(m.Get("check"), "", ParseID),
		Port:   document.Number(m.Get("port"), 0, firewall.ParsePort),
		Reason: document.Text(m.Get("reason").Required("why it is accepted"), "", said("reason")),
		Owner:  document.Text(m.Get("owner").Required("who answers for it"), "", said("owner")),
		Until:  document.Text(m.Get("until").Required("the day on which it ends"), time.Time{}, parseDay),
	}
}

// ParseID reads the id of a check.
func ParseID(s string) (ID, error) {
	if CheckOf(ID(s)).ID == "" {
		return "", errkind.Bad("check", s, "the id of a check, such as management-port-open")
	}
	return ID(s), nil
}

// said reads a text that has to say something, on one line.
func said(field string) func(string) (string, error) {
	return func(s string) (string, error) {
		const most = 500
		if s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return "", errkind.Bad(field, s, "one line of text")
		}
		return s, nil
	}
}

func parseDay(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, errkind.Bad("until", s, "a day, such as 2027-03-31")
	}
	return t, nil
}

func compareSuppressions(a, b Suppression) int {
	return cmp.Or(cmp.Compare(a.VM, b.VM), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Port, b.Port))
}

// means reports whether x is about f.
func (x Suppression) means(f Finding) bool {
	return x.VM == f.VM && (x.Check == "" || x.Check == f.Check) && (x.Port == 0 || x.Port == f.Port.Number)
}

// Suppress writes into findings who accepted them, and returns the suppressions that
// have ended and those that are about nothing bad any more, in their order.
func Suppress(findings []Finding, by []Suppression, now time.Time) (ended, idle []Suppression) {
	at := map[firewall.VMID][]int{}
	for i, f := range findings {
		if f.Verdict >= Unknown {
			at[f.VM] = append(at[f.VM], i)
		}
	}
	for _, x := range by {
		if !now.Before(x.Until) {
			ended = append(ended, x)
			continue
		}
		about := slices.DeleteFunc(slices.Clone(at[x.VM]), func(i int) bool { return !x.means(findings[i]) })
		for _, i := range about {
			findings[i].Accepted = &x
		}
		if len(about) == 0 {
			idle = append(idle, x)
		}
	}
	return ended, idle
}
