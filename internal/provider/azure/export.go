package azure

import (
	"fmt"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/terraform"
)

var _ provider.Exporter = (*Provider)(nil)

// Writes implements [provider.Exporter].
func (p *Provider) Writes(fw firewall.ID, part string) bool {
	return isGroup(fw) && terraform.Writes(fw, part)
}

// Export implements [provider.Exporter]. Nothing is said about what is shown and not
// written.
func (p *Provider) Export(s provider.Snapshot, part string, _ []plan.Change) ([]provider.Snippet, error) {
	r, read := s.Raw.(nsg.Reading)
	if !read {
		return nil, nil
	}
	out, err := terraform.Of(r.Reading, part)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", s.Firewall, err)
	}
	return out, nil
}
