package arm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Put writes a document, of a resource or of a child, as somebody else would:
// at once, judged like every other. It is how a world is built, and how a third
// party edits one. The resource group is made when it is not there.
func (s *Simulator) Put(id, document string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.rp.Settle(now)
	return s.rp.Edit(fault.Edit{Method: http.MethodPut, ID: id, Body: document}, now)
}

// Delete takes a resource or a child away, as somebody else would: at once.
func (s *Simulator) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.rp.Settle(now)
	return s.rp.Edit(fault.Edit{Method: http.MethodDelete, ID: id, Body: ""}, now)
}

// Document returns what is stored of a resource or of an embedded child: what
// was written, less what the server adds. Two equal documents are equal byte for
// byte.
func (s *Simulator) Document(id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.rp.Settle(now)
	parsed, err := world.ParseID(id)
	if err != nil {
		return nil, err
	}
	if text := s.rp.Document(rp.NewCall(http.MethodGet, parsed, now)); text != nil {
		return text, nil
	}
	return nil, fmt.Errorf("there is no %s", id)
}

// AdminRules sets the effective security admin rules of the virtual network with
// this id: the elements of the listing that Azure's Virtual Network Manager
// gives for it.
func (s *Simulator) AdminRules(network string, rules ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rp.Settle(time.Now())
	id, err := world.ParseID(network)
	if err != nil {
		return err
	}
	var items []json.RawMessage
	for _, r := range rules {
		if _, err := rawjson.Parse([]byte(r)); err != nil {
			return fmt.Errorf("read an admin rule: %w", err)
		}
		items = append(items, json.RawMessage(r))
	}
	s.rp.SetAdminRules(id, items)
	return nil
}

// Builder returns what puts documents into a resource group of the first
// subscription, in westeurope.
func (s *Simulator) Builder(group string) fleet.Builder {
	return fleet.Builder{Ground: s, Subscription: s.config.Subscriptions[0].ID, Group: group, Location: "westeurope"}
}

// Fleet puts n virtual machines, with the rules of real life, into the resource
// group fleet. They depend on n and seed only.
func (s *Simulator) Fleet(n int, seed uint64) ([]fleet.Machine, error) {
	return fleet.Make(s.Builder("fleet"), n, seed)
}
