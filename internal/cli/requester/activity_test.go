package requester

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// What cannot be looked for is refused by the name of its flag, before a server
// would by that of its parameter.
func TestCheckText(t *testing.T) {
	for _, s := range []string{"", "web-1", strings.Repeat("x", api.MaxParam)} {
		if err := checkText(s); err != nil {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	for _, s := range []string{strings.Repeat("x", api.MaxParam+1), "a\x00b", "\xff"} {
		if err := checkText(s); errkind.Of(err) != errkind.Invalid || !strings.HasPrefix(errkind.Public(err), "--text: ") {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}
