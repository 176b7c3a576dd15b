package requester

import (
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
)

// What a server says about a grant that is not as it should be is passed on.
func TestStandsSaysWhatIsMissing(t *testing.T) {
	g := api.Grant{
		ID: "g-0123456789abcdef", Door: api.Door{VM: "host://web-1", Port: 22, Protocol: "tcp"}, Sources: []string{"192.0.2.1"},
		State: "open", Deadline: api.Time{Time: time.Now().Add(time.Hour)}, Pending: "the firewall does not show it",
	}
	if got := stands(g); !strings.HasSuffix(got, "(g-0123456789abcdef), but the firewall does not show it") {
		t.Error(got)
	}
	g.Pending = ""
	if got := stands(g); !strings.HasSuffix(got, "(g-0123456789abcdef)") {
		t.Error(got)
	}
}
