package compile

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// A Displaced is a foreign rule that a lock took out, whole: what a displace
// change stores to undo it.
type Displaced struct {
	Group string             `json:"group"` // its id
	Rule  securitygroup.Rule `json:"rule"`
	// At is when it was taken out, to the hour, so that a write which is tried
	// again stores the same; zero where the cloud told no time.
	At time.Time `json:"at,omitzero"`
}

const ageStep = time.Hour

// ReadDisplaced reads what a displace or a restore change says about its rule.
func ReadDisplaced(c plan.Change) (Displaced, error) {
	var x Displaced
	if err := json.Unmarshal([]byte(c.Undo), &x); err != nil {
		return Displaced{}, fmt.Errorf("read a displaced rule: %w", err)
	}
	return x, nil
}

// stale is how old a displaced rule is that may have been forgotten by those who
// wrote it.
const stale = 7 * 24 * time.Hour

// Doubt says why x should not come back without being asked for by itself, at now;
// empty when nothing speaks against it. Whom a list or a group stands for is not
// looked at.
func (x Displaced) Doubt(now time.Time) string {
	switch {
	case x.Rule.CIDR.IsValid() && x.Rule.CIDR.Bits() == 0:
		return "it lets in the Internet"
	case x.At.IsZero():
		return "it is not known since when it is out"
	case now.Sub(x.At) > stale:
		return fmt.Sprintf("it is out since %s", x.At.UTC().Format(time.DateOnly))
	}
	return ""
}

// fine is what else there is to say about giving x back, at now.
func (x Displaced) fine(now time.Time) string {
	out := ""
	if !x.At.IsZero() && !now.IsZero() {
		out += fmt.Sprintf("; it was out for %s", now.Sub(x.At).Round(ageStep))
	}
	if x.Rule.ID != "" {
		out += "; it gets a new id instead of " + x.Rule.ID
	}
	return out
}
