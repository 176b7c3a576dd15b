package rights_test

import (
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/errkind"
)

// An empty list of VMs is what a template leaves that had nothing to fill in: it is
// not all of them.
func TestATokenIsForSomeVMOrForAll(t *testing.T) {
	err := api.DecodeAsked([]byte(`{"name":"ana","role":"viewer","vms":[],"lifetime":""}`), &rights.NewToken{})
	if errkind.FieldOf(err).Name != "vms" {
		t.Errorf("a token for no VM: %v", err)
	}
}
