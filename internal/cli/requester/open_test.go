package requester

import (
	"testing"

	"github.com/sesame-access/sesame/internal/errkind"
)

// What the server finds wrong is called what was typed.
func TestAsTyped(t *testing.T) {
	for _, c := range []struct{ field, want string }{
		{"start", "--at: \"x\" is not y"}, {"sources[1]", "--from: \"x\" is not y"}, {"duration", "--for: \"x\" is not y"}, {"vm", "vm: \"x\" is not y"},
	} {
		if got := errkind.Public(asTyped(errkind.Bad(c.field, "x", "y"))); got != c.want {
			t.Errorf("%s: %s, want %s", c.field, got, c.want)
		}
	}
	denied := errkind.New(errkind.Denied, "no")
	if got := asTyped(denied); errkind.Of(got) != errkind.Denied || errkind.Public(got) != "no" {
		t.Errorf("an error about no field became %v", got)
	}
}
