package rp

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Act answers a POST.
func (s *Providers) Act(c *Call) Result {
	if !c.Known() || c.Property != "" {
		return refuse(UnknownType(c))
	}
	r := s.World.Get(c.ID)
	if r == nil {
		return refuse(s.Absent(c))
	}
	power := map[string]string{"start": "running", "restart": "running", "poweroff": "stopped", "deallocate": "deallocated"}
	switch action := strings.ToLower(c.Action); {
	case c.Machine() && power[action] != "":
		return s.switchPower(c, r, power[action])
	case strings.EqualFold(c.Kind.Type, "Microsoft.Network/networkInterfaces") && action == "effectivenetworksecuritygroups":
		return s.effectiveGroups(c, r)
	case strings.EqualFold(c.Kind.Type, "Microsoft.Network/virtualNetworks") && action == "listnetworkmanagereffectivesecurityadminrules":
		rules := s.World.AdminRules[c.ID.Key()]
		o := rawjson.Object{{Name: "value", Value: rawjson.Array(rules)}}
		return done(http.StatusOK, o.Bytes())
	}
	return refuse(world.Refuse(404, "NotFound", "The action '%s' on '%s' is not simulated.", c.Action, c.Kind.Type))
}

func (s *Providers) switchPower(c *Call, r *world.Resource, to string) Result {
	if waits := s.busy(c); waits != nil {
		if p := s.blocked(c, waits); p != nil {
			return refuse(p)
		}
	}
	r.Power = to
	o := s.start(c, Operation{Name: c.Action, before: r.Text})
	s.Settle(c.Now)
	return done(http.StatusAccepted, nil).with(o)
}

// effectiveGroups answers what applies to a network interface, which Azure says
// only while its machine runs.
func (s *Providers) effectiveGroups(c *Call, r *world.Resource) Result {
	var shown struct {
		Properties struct {
			VirtualMachine, NetworkSecurityGroup struct{ ID string }
			IPConfigurations                     []struct {
				Properties struct{ Subnet struct{ ID string } }
			}
		}
	}
	if err := json.Unmarshal(s.World.Render(r), &shown); err != nil {
		return refuse(world.Refuse(500, "InternalServerError", "%s", err))
	}
	machine, err := world.ParseID(shown.Properties.VirtualMachine.ID)
	vm := s.World.Get(machine)
	if err != nil || vm == nil || vm.Power != "running" {
		return refuse(world.Refuse(400, "NicMustBeAttachedToRunningVmToGetEffectiveSecurityGroups",
			"Network interface %s must be attached to a running VM to get its effective security groups.", c.ID))
	}
	value := []any{}
	if id := shown.Properties.NetworkSecurityGroup.ID; id != "" {
		value = append(value, s.effectiveGroup(id, map[string]any{"networkInterface": map[string]any{"id": r.ID.String()}}))
	}
	for _, configuration := range shown.Properties.IPConfigurations {
		id, err := world.ParseID(configuration.Properties.Subnet.ID)
		if err != nil || len(id.Types) < 2 {
			continue
		}
		network := s.World.Get(id.Parent())
		if network == nil {
			continue
		}
		text, _ := s.World.Child(network, id)
		var subnet struct {
			Properties struct{ NetworkSecurityGroup struct{ ID string } }
		}
		if json.Unmarshal(text, &subnet) == nil && subnet.Properties.NetworkSecurityGroup.ID != "" {
			value = append(value, s.effectiveGroup(subnet.Properties.NetworkSecurityGroup.ID, map[string]any{"subnet": map[string]any{"id": id.String()}}))
			break
		}
	}
	o := s.start(c, Operation{Name: c.Action, Result: encode(map[string]any{"value": value})})
	o.lock = o.ID // asking holds nothing
	s.Settle(c.Now)
	return done(http.StatusAccepted, nil).with(o)
}

func (s *Providers) effectiveGroup(id string, association any) any {
	rules := []any{}
	parsed, err := world.ParseID(id)
	if g := s.World.Get(parsed); err == nil && g != nil {
		var shown struct {
			Properties struct {
				SecurityRules, DefaultSecurityRules []struct {
					Name       string
					Properties map[string]any
				}
			}
		}
		_ = json.Unmarshal(s.World.Render(g), &shown) // it was rendered here
		for _, r := range shown.Properties.SecurityRules {
			rules = append(rules, effectiveRule("securityRules/"+r.Name, r.Properties))
		}
		for _, r := range shown.Properties.DefaultSecurityRules {
			rules = append(rules, effectiveRule("defaultSecurityRules/"+r.Name, r.Properties))
		}
	}
	return map[string]any{"networkSecurityGroup": map[string]any{"id": id}, "association": association, "effectiveSecurityRules": rules}
}

// effectiveRule renames what this reply calls by other names. Service tags are
// not expanded here.
func effectiveRule(name string, properties map[string]any) map[string]any {
	delete(properties, "provisioningState")
	delete(properties, "description")
	properties["name"] = name
	if properties["protocol"] == "*" {
		properties["protocol"] = "All"
	}
	return properties
}

// encode returns v as JSON. It is made of maps, lists and texts.
func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}
