package clouds

import (
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

var _ provider.Exporter = (*Cloud)(nil)

// Writes implements [provider.Exporter].
func (c *Cloud) Writes(fw firewall.ID, part string) bool {
	p, err := c.known(fw)
	if err != nil {
		return false
	}
	x, can := p.(provider.Exporter)
	return can && x.Writes(fw, part)
}

// Export implements [provider.Exporter].
func (c *Cloud) Export(s provider.Snapshot, part string, displaced []plan.Change) ([]provider.Snippet, error) {
	p, err := c.known(s.Firewall)
	if err != nil {
		return nil, err
	}
	x, can := p.(provider.Exporter)
	if !can {
		return nil, nil
	}
	return x.Export(s, part, displaced)
}
