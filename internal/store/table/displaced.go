package table

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

// change is the JSON of a plan.Change, without what has columns of its own.
type change struct {
	Step     int    `json:"step"`
	Op       string `json:"op"`
	VM       string `json:"vm"`
	Port     uint16 `json:"port"`
	Protocol uint8  `json:"protocol"`
	From     string `json:"from,omitempty"`
	Until    int64  `json:"until,omitempty"`
	Grants   string `json:"grants,omitempty"`
	Why      string `json:"why"`
	Native   string `json:"native"`
	Undo     string `json:"undo"`
}

// ChangeText returns the column that holds a change of a plan.
func ChangeText(c plan.Change) string {
	row := change{
		Step: c.Step, Op: c.Op.String(), VM: string(c.Door.VM), Port: c.Door.Port, Protocol: uint8(c.Door.Protocol),
		From: "", Until: Millis(c.Opening.Until), Grants: string(c.Opening.Grants),
		Why: c.Why, Native: c.Native, Undo: c.Undo,
	}
	if c.Opening.From.IsValid() {
		row.From = c.Opening.From.String()
	}
	return text(row)
}

// Value returns the change that the row holds.
func (d Displaced) Value() (plan.Change, error) {
	var row change
	if !parse(d.Change, &row) {
		return plan.Change{}, fmt.Errorf("a displaced rule of %s cannot be read", d.Firewall)
	}
	op, ok := plan.ParseOp(row.Op)
	if !ok {
		return plan.Change{}, fmt.Errorf("a displaced rule of %s has the operation %q", d.Firewall, row.Op)
	}
	c := plan.Change{
		Step: row.Step, Op: op,
		Door:    firewall.Door{VM: firewall.VMID(row.VM), Protocol: firewall.Protocol(row.Protocol), Port: row.Port},
		Opening: firewall.Opening{From: netip.Prefix{}, Until: time.Time{}, Grants: firewall.Holders(row.Grants)},
		Why:     row.Why, Native: row.Native, Undo: row.Undo, Rule: d.Rule, Since: Instant(d.Since),
	}
	c.Opening.Until = Instant(row.Until)
	if row.From != "" {
		from, err := firewall.ParseSource(row.From)
		if err != nil {
			return plan.Change{}, fmt.Errorf("a displaced rule of %s: %w", d.Firewall, err)
		}
		c.Opening.From = from
	}
	return c, nil
}
