package azure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/own"
)

// A Surveyor reads everything that stands around the groups.
type Surveyor interface {
	// Survey returns what there is. The error is for when nothing at all is known.
	Survey(ctx context.Context) (Survey, error)
}

// A Survey is what one reading of the estate says. It does not change.
type Survey struct {
	// VMs are the machines with the ways to them, sorted by id.
	VMs []inventory.VM
	// Layers are what stands on these ways, by firewall.
	Layers map[firewall.ID]firewall.Layer
	// Complete says that nothing was left unread.
	Complete bool
	// Own are the groups of Sesame's own, there or to be made.
	Own map[firewall.ID]own.Group
	// Around returns what package nsg needs to know around a group; everything but
	// the keys. The slice of attachments is the caller's.
	Around func(*resource.Group) dialect.Reading
}

// A survey is the last one, with the one before it.
type survey struct {
	Survey

	before *Survey // nil for the first
}

// look makes a new survey.
func (p *Provider) look(ctx context.Context) (*survey, error) {
	s, err := p.Surveyor.Survey(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what there is in Azure: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &survey{Survey: s}
	if p.survey != nil {
		next.before = &p.survey.Survey
	}
	p.survey = next
	return next, nil
}

// last returns the last survey, or the first where there was none.
func (p *Provider) last(ctx context.Context) (*survey, error) {
	p.mu.Lock()
	s := p.survey
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	return p.look(ctx)
}

// around returns what is known around g, and whether two complete surveys in a row
// say the same about who is behind it.
func (s *survey) around(g *resource.Group) (r dialect.Reading, settled bool) {
	r = s.Around(g)
	if s.before == nil || !s.before.Complete || !s.Complete {
		return r, false
	}
	same := func(a, b dialect.Attachment) bool {
		return strings.EqualFold(a.ID, b.ID) && a.VM == b.VM && slices.Equal(a.Addresses, b.Addresses)
	}
	return r, slices.EqualFunc(r.Attachments, s.before.Around(g).Attachments, same)
}
