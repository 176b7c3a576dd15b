package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

func TestCheckHosts(t *testing.T) {
	there, gone := t.TempDir(), filepath.Join(t.TempDir(), "web-2")
	if err := checkHosts([]config.Host{{Name: "build-1"}, {Name: "web-1", NetNS: there}}); err != nil {
		t.Error(err)
	}
	err := checkHosts([]config.Host{{Name: "web-1", NetNS: there}, {Name: "web-2", NetNS: gone}})
	if errkind.Of(err) != errkind.Invalid || !strings.Contains(errkind.Public(err), "host web-2: its network namespace is not there") {
		t.Errorf("a namespace that is not there: %v", err)
	}
}
