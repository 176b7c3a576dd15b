package aws

import (
	"fmt"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/terraform"
)

var _ provider.Exporter = (*Provider)(nil)

// Writes implements [provider.Exporter].
func (p *Provider) Writes(fw firewall.ID, part string) bool { return terraform.Writes(fw, part) }

// Export implements [provider.Exporter].
func (p *Provider) Export(s provider.Snapshot, part string, displaced []plan.Change) ([]provider.Snippet, error) {
	r, read := s.Raw.(securitygroup.Reading)
	if !read {
		return nil, fmt.Errorf("export %s: the snapshot was not read by the AWS provider", s.Firewall)
	}
	return terraform.Of(r, part, displaced), nil
}
