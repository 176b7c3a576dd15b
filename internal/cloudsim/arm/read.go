package arm

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

func (s *Simulator) get(c *call) reply {
	if !c.Known() {
		if strings.EqualFold(c.ID.Type(), "Microsoft.Resources/subscriptions") {
			return s.subscription(c)
		}
		if parent := s.rp.World.Get(c.ID.Parent()); parent != nil && len(c.ID.Types) > 1 {
			if text, ok := s.rp.World.Child(parent, c.ID); ok { // default rules
				return respond(http.StatusOK, text)
			}
		}
		return refusal(rp.UnknownType(c.Call))
	}
	r := s.rp.Seen(c.Call, c.Root(), s.rp.World.Get(c.Root()))
	if r == nil {
		return refusal(s.rp.Absent(c.Call))
	}
	if c.Property != "" {
		text, ok := s.rp.World.Child(r, c.ID)
		if !ok {
			return refusal(world.Refuse(404, "NotFound", "Resource %s not found.", c.ID))
		}
		return respond(http.StatusOK, text)
	}
	return respond(http.StatusOK, s.shown(c, r))
}

// shown returns r as the call wants to see it.
func (s *Simulator) shown(c *call, r *world.Resource) json.RawMessage {
	text := s.rp.World.Render(r)
	query := c.request.URL.Query()
	if !strings.EqualFold(r.Kind.Type, "Microsoft.Compute/virtualMachines") ||
		!strings.EqualFold(query.Get("$expand"), "instanceView") && !strings.EqualFold(query.Get("statusOnly"), "true") {
		return text
	}
	o, err := rawjson.Parse(text)
	if err != nil {
		return text
	}
	return o.With("instanceView", statuses(r)).Bytes()
}

// statuses is the instance view of a virtual machine.
func statuses(r *world.Resource) json.RawMessage {
	return encode(map[string]any{"statuses": []any{
		map[string]any{"code": "ProvisioningState/" + strings.ToLower(r.State), "level": "Info", "displayStatus": "Provisioning " + strings.ToLower(r.State)},
		map[string]any{"code": "PowerState/" + r.Power, "level": "Info", "displayStatus": "VM " + r.Power},
	}})
}

// list answers with one page, and where the next one is.
func (s *Simulator) list(c *call) reply {
	top, p := number(c, "$top", s.config.PageSize)
	if p != nil {
		return refusal(p)
	}
	after, p := skipped(c)
	if p != nil {
		return refusal(p)
	}
	if !c.Known() || strings.EqualFold(c.list, "resources") {
		return s.listOther(c)
	}
	if c.ID.Group != "" && s.rp.World.Get(c.ID.GroupID()) == nil {
		return refusal(s.rp.Absent(c.Call))
	}
	if len(c.ID.Types) > 0 && !strings.EqualFold(c.Kind.Type, c.list) {
		return s.children(c, top, after)
	}
	if len(c.ID.Types) > 0 && s.rp.World.Get(c.ID) == nil {
		return refusal(s.rp.Absent(c.Call))
	}
	page, more := s.rp.World.Page(c.Kind.Type, c.ID.Key()+"/", after, min(top, s.config.PageSize))
	items := []json.RawMessage{}
	for _, r := range page {
		if r = s.rp.Seen(c.Call, r.ID, r); r != nil {
			items = append(items, s.shown(c, r))
		}
	}
	next := ""
	if more {
		next = page[len(page)-1].ID.Key()
	}
	return respond(http.StatusOK, listing(c, items, next))
}

// children answers with the embedded children of one resource.
func (s *Simulator) children(c *call, top int, after string) reply {
	parent := s.rp.Seen(c.Call, c.ID, s.rp.World.Get(c.ID))
	if parent == nil {
		return refusal(s.rp.Absent(c.Call))
	}
	name := c.list[strings.LastIndex(c.list, "/")+1:]
	if c.Machine() && strings.EqualFold(name, "instanceView") {
		return respond(http.StatusOK, statuses(parent))
	}
	o, err := rawjson.Parse(s.rp.World.Render(parent))
	if err != nil {
		return refusal(world.Refuse(500, "InternalServerError", "%s", err))
	}
	for _, m := range o.Object("properties") {
		if !strings.EqualFold(m.Name, name) {
			continue
		}
		items := o.Object("properties").List(m.Name)
		from, _ := strconv.Atoi(after)
		from = min(max(from, 0), len(items))
		to := min(from+min(top, s.config.PageSize), len(items))
		next := ""
		if to < len(items) {
			next = strconv.Itoa(to)
		}
		return respond(http.StatusOK, listing(c, items[from:to], next))
	}
	if _, ok := parent.Kind.Embeds(name); ok {
		return respond(http.StatusOK, listing(c, nil, ""))
	}
	c.ID = c.ID.Child(name, "x")
	return refusal(rp.UnknownType(c.Call))
}

// listing is a page; next is where the one after it begins.
func listing(c *call, items []json.RawMessage, next string) json.RawMessage {
	o := rawjson.Object{{Name: "value", Value: rawjson.Array(items)}}
	if next != "" {
		query := c.request.URL.Query()
		query.Set("$skipToken", base64.RawURLEncoding.EncodeToString([]byte(next)))
		u := url.URL{Path: c.request.URL.Path, RawQuery: query.Encode()}
		o.Set("nextLink", rawjson.Quote(origin(c.request)+u.String()))
	}
	return o.Bytes()
}

func skipped(c *call) (string, *world.Problem) {
	token := c.request.URL.Query().Get("$skipToken")
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", world.Refuse(400, "InvalidSkipToken", "The skip token '%s' is invalid.", token)
	}
	return string(text), nil
}

func number(c *call, name string, otherwise int) (int, *world.Problem) {
	text := c.request.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, world.Refuse(400, "InvalidQueryParameterValue", "The value '%s' of the query parameter '%s' is not a positive number.", text, name)
	}
	return n, nil
}
