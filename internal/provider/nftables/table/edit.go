//go:build linux

package table

import (
	"encoding/json"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// An Edit is what one change writes, as it is kept in plans and in the audit
// log. All edits of a plan are one transaction.
type Edit struct {
	// Frame says that the frame is written first, with these sets.
	Frame []string `json:"frame,omitempty"`
	// Remove says that the whole table goes; nothing else is written then.
	Remove bool     `json:"remove_table,omitempty"`
	Lock   *Port    `json:"lock,omitempty"`
	Unlock *Port    `json:"unlock,omitempty"`
	Put    *Element `json:"put,omitempty"`
	Delete *Element `json:"delete,omitempty"`
}

// A Port is a locked port.
type Port struct {
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	Cut      bool   `json:"cut,omitempty"`
}

// An Element is an element of a set of openings.
type Element struct {
	Set string `json:"set"`
	Key string `json:"key"`
	// Until is the deadline; zero for an exempt source.
	Until time.Time `json:"until,omitzero"`
	// Mark is the element's comment.
	Mark string `json:"mark,omitempty"`
	// Replaces says that there is an element with this key already.
	Replaces bool `json:"replaces,omitempty"`
}

func portOf(d firewall.Door, cut bool) *Port {
	return &Port{Protocol: d.Protocol.String(), Port: d.Port, Cut: cut && d.Protocol == firewall.TCP}
}

// encode writes e as a change's native text.
func (e Edit) encode() string {
	text, err := json.Marshal(e)
	if err != nil {
		return err.Error() // strings, numbers and times in range; decode would refuse it
	}
	return string(text)
}

// decode reads a change's native text.
func decode(native string) (Edit, error) {
	var e Edit
	if err := json.Unmarshal([]byte(native), &e); err != nil {
		return Edit{}, errkind.Wrap(errkind.Internal, err, "%s is no write to a kernel's table", errkind.Quote(native))
	}
	return e, nil
}
