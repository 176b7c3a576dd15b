package rp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Edit makes e, with every right and at once.
func (s *Providers) Edit(e fault.Edit, now time.Time) error {
	id, err := world.ParseID(e.ID)
	if err != nil {
		return err
	}
	c := NewCall(e.Method, id, now)
	c.Body = []byte(e.Body)
	if !c.Known() {
		return fmt.Errorf("resources of type %s are not simulated", id.Type())
	}
	if group := id.GroupID(); e.Method == http.MethodPut && s.World.Get(group) == nil {
		k, _ := world.KindOf(group.Type())
		text := rawjson.Object{{Name: "location", Value: rawjson.Quote("westeurope")}}
		s.World.Settle(s.World.Store(group, k, text, "Succeeded"), "Succeeded")
	}
	if err := s.apply(c); err != nil {
		return fmt.Errorf("write %s: %w", e.ID, err)
	}
	return nil
}

// apply does what c asks for, at once.
func (s *Providers) apply(c *Call) error {
	s.ground = nil
	s.keep(c.Now, c.Root())
	old := s.World.Get(c.Root())
	var text rawjson.Object
	var p *world.Problem
	switch {
	case c.Method == http.MethodDelete && old == nil:
		return nil
	case c.Method == http.MethodDelete && c.Property == "":
		if p = s.World.CheckRemoval(c.ID); p == nil {
			s.World.Remove(old)
			return nil
		}
	case c.Method == http.MethodDelete:
		text, _ = s.World.Without(old, c.Property, c.ID.Name())
	case c.Property != "" && old == nil:
		return errors.New("its parent is not there")
	case c.Property != "":
		text, _, p = s.World.ReadChild(old, c.Property, c.ID, c.Body)
	default:
		text, p = s.World.Read(c.ID, c.Kind, c.Body)
	}
	if p != nil {
		return p.Err()
	}
	r := s.World.Store(c.Root(), c.Kind, text, "Succeeded")
	if r.Power == "" {
		r.Power = "running"
	}
	s.World.Settle(r, "Succeeded")
	return nil
}

// SetAdminRules sets the effective security admin rules of a virtual network.
func (s *Providers) SetAdminRules(network world.ID, rules []json.RawMessage) {
	s.World.AdminRules[network.Key()] = rules
	s.ground = nil
}

// Document returns what is stored of what c is about, nil if there is nothing.
func (s *Providers) Document(c *Call) json.RawMessage {
	r := s.World.Get(c.Root())
	switch {
	case r == nil:
		return nil
	case c.Property == "":
		return r.Text.Bytes()
	}
	return r.Stored(c.Property, c.ID.Name())
}
