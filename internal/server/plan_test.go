package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/provider/memory"
)

// A plan that could not be made is not an empty one, which would read as if all
// were as it should be.
func TestPlanThatCannotBeMade(t *testing.T) {
	h := build(t)
	fw := h.world.Firewall("fw-web-1")
	fw.Fail(memory.Fault{Kind: memory.Down})
	t.Cleanup(fw.Mend)
	r := h.call("viewer", http.MethodGet, "/v1/plan", "")
	if r.code < 500 || strings.Contains(r.body, `"changes"`) {
		t.Errorf("with a firewall that does not answer: %d %s", r.code, r.body)
	}
}
