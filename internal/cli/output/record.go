package output

import (
	"fmt"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
)

// RecordLine writes one record of the activity on one line, for people.
func RecordLine(r api.Record, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-16s", Clock(r.Time.Time, now), r.Kind)
	if r.Door != nil {
		fmt.Fprintf(&b, "  %s", r.Door)
	} else if r.VM != "" {
		fmt.Fprintf(&b, "  %s", r.VM)
	}
	if len(r.Sources) > 0 {
		fmt.Fprintf(&b, " for %s", strings.Join(r.Sources, " "))
	}
	if r.Actor != nil {
		fmt.Fprintf(&b, " by %s", r.Actor)
	}
	if !r.Deadline.IsZero() {
		fmt.Fprintf(&b, " until %s", Clock(r.Deadline.Time, now))
	}
	for i, m := range r.Measures {
		if i == 0 || m.Took != r.Measures[0].Took { // nothing is said twice
			fmt.Fprintf(&b, ", %s %s", m.Name, Rounded(m.Took))
		}
	}
	if r.Reason != "" {
		fmt.Fprintf(&b, ", %q", r.Reason)
	}
	for _, s := range []string{r.Level, firstLine(r.Text), repaired(r), changedBy(r), refused(r)} {
		if s != "" {
			fmt.Fprintf(&b, ": %s", s)
		}
	}
	if r.Erased {
		b.WriteString(" (personal part erased)")
	}
	return Plain(b.String())
}

// refused says why something was denied. A grant has such reasons, too, of the
// rules that did not allow it; beside the one that did they would mislead.
func refused(r api.Record) string {
	if r.Kind != string(audit.Denied) {
		return ""
	}
	return strings.Join(r.Not, "; ")
}

// repaired says what was put right first, and why: the count alone says nothing
// about what somebody did.
func repaired(r api.Record) string {
	if r.Kind != string(audit.Repaired) || len(r.Plan) == 0 {
		return ""
	}
	change, why, explained := strings.Cut(r.Plan[0], "  # ")
	op, _, _ := strings.Cut(change, " ")
	if !explained {
		return op
	}
	return op + ", because " + why
}

// changedBy says who did what was put right, as far as the firewall told it.
func changedBy(r api.Record) string {
	if r.Kind != string(audit.Repaired) || len(r.By) == 0 {
		return ""
	}
	return "changed by " + strings.Join(r.By, ", ")
}

func firstLine(s string) string {
	line, rest, _ := strings.Cut(s, "\n")
	if rest != "" {
		line += " …"
	}
	return line
}

// Rounded writes a measured time of a record as far as it means something to people.
func Rounded(took string) string {
	d, err := time.ParseDuration(took)
	switch {
	case err != nil:
		return took
	case d > time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
