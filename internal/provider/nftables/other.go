//go:build !linux

package nftables

import (
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/provider"
)

// A Provider exists on Linux only.
type Provider struct{ provider.Provider }

// New reports that this system's kernel has no nf_tables.
func New(Config) (*Provider, error) {
	return nil, errkind.New(errkind.Unavailable, "hosts are protected by nf_tables, which only Linux has; run this on the Linux host itself")
}

// Close does nothing.
func (p *Provider) Close() error { return nil }
