package table

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
)

// loss is the JSON of a firewall.Loss.
type loss struct {
	VM       string   `json:"vm"`
	Protocol uint8    `json:"protocol,omitempty"`
	But      []int    `json:"but,omitempty"`
	First    uint16   `json:"first,omitempty"`
	Last     uint16   `json:"last,omitempty"`
	From     []string `json:"from"`
}

// losses writes what may be lost with a lock; nothing is the empty text.
func losses(list []firewall.Loss) string {
	var rows []loss
	for _, l := range list {
		row := loss{VM: string(l.VM), Protocol: uint8(l.Protocol), But: nil, First: l.First, Last: l.Last, From: texts(l.From)}
		for _, p := range l.But {
			row.But = append(row.But, int(p))
		}
		rows = append(rows, row)
	}
	if rows == nil {
		return ""
	}
	return text(rows)
}

// parseLosses reads what losses wrote, sorted. What cannot be read was agreed to
// by nobody.
func parseLosses(text string) []firewall.Loss {
	var rows []loss
	if text == "" || !parse(text, &rows) {
		return nil
	}
	var out []firewall.Loss
	for _, row := range rows {
		from, ok := readAll(row.From)
		l := firewall.Loss{VM: firewall.VMID(row.VM), Protocol: firewall.Protocol(row.Protocol), But: nil, First: row.First, Last: row.Last, From: from}
		for _, p := range row.But {
			ok = ok && 0 < p && p <= 255
			l.But = append(l.But, firewall.Protocol(p)) //nolint:gosec // It was looked at.
		}
		if ok && l.First <= l.Last {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, firewall.CompareLosses)
	return out
}
