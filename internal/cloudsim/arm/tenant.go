package arm

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// open answers what asks for no token: where the cloud's endpoints are, and the
// managed identity endpoint of App Service, in its form of 2017 and of 2019.
func (s *Simulator) open(r *http.Request) (reply, bool) {
	switch strings.ToLower(strings.TrimSuffix(r.URL.Path, "/")) {
	case "/metadata/endpoints":
		return respond(http.StatusOK, encode(s.endpoints(r))), true
	case "/msi/token":
		return s.managedIdentity(r), true
	}
	return respond(http.StatusNotFound, nil), false
}

// endpoints describes this cloud. Everything that it needs is here.
func (s *Simulator) endpoints(r *http.Request) map[string]any {
	here := origin(r)
	cloud := map[string]any{
		"galleryEndpoint": here, "graphEndpoint": here, "portalEndpoint": here,
		"authentication": map[string]any{
			"loginEndpoint": here, "audiences": []string{here, here + "/"}, "tenant": s.config.Subscriptions[0].Tenant, "identityProvider": "AAD",
		},
	}
	if r.URL.Query().Get("api-version") != "2015-01-01" {
		cloud["name"], cloud["resourceManager"] = "Simulated", here
		cloud["suffixes"] = map[string]any{}
	}
	return cloud
}

// managedIdentity gives out a token. Each form has its own header for the secret
// and its own way to say when the token expires. (learn.microsoft.com: how to use
// managed identities for App Service, REST endpoint reference.)
func (s *Simulator) managedIdentity(r *http.Request) reply {
	old := r.URL.Query().Get("api-version") == "2017-09-01"
	secret := r.Header.Get("X-Identity-Header")
	if old {
		secret = r.Header.Get("Secret")
	}
	if s.config.Secret == "" || secret != s.config.Secret {
		return refusal(world.Refuse(http.StatusUnauthorized, "Unauthorized", "The secret of the managed identity endpoint is missing or wrong."))
	}
	const day = 24 * time.Hour
	expires, who := time.Now().Add(day).UTC(), s.config.Identities[0]
	answer := map[string]any{
		"access_token": who.Token, "resource": r.URL.Query().Get("resource"), "token_type": "Bearer", "client_id": who.Object,
		"expires_on": strconv.FormatInt(expires.Unix(), 10),
	}
	if old {
		answer["expires_on"] = expires.Format("01/02/2006 15:04:05 -07:00")
	}
	return respond(http.StatusOK, encode(answer))
}

// tenant answers what is above all subscriptions.
func (s *Simulator) tenant(c *call) (reply, bool) {
	var items []any
	switch {
	case c.rest == "":
		return respond(http.StatusNotFound, nil), false
	case c.rest == "/tenants":
		tenant := s.config.Subscriptions[0].Tenant
		items = append(items, map[string]any{"id": "/tenants/" + tenant, "tenantId": tenant, "displayName": "Simulated", "tenantCategory": "Home"})
	case c.rest == "/subscriptions":
		for _, x := range s.rp.World.Subscriptions() {
			if c.Who.Allows("Microsoft.Resources/subscriptions/read", "/subscriptions/"+x.ID) {
				items = append(items, subscriptionBody(x))
			}
		}
	case strings.HasPrefix(c.rest, "/providers/microsoft.management/managementgroups/"):
		var p *world.Problem
		if items, p = s.below(c); p != nil {
			return refusal(p), true
		}
	default:
		return refusal(world.Refuse(404, "NotFound", "The path '%s' is not simulated.", c.rest)), true
	}
	if items == nil {
		items = []any{}
	}
	return respond(http.StatusOK, encode(map[string]any{"value": items})), true
}

// below returns the subscriptions of a management group, in one of the two forms
// that Azure has. There are no management groups below others here.
func (s *Simulator) below(c *call) ([]any, *world.Problem) {
	parts := strings.Split(c.rest, "/")
	const form = 5
	if len(parts) != form+1 || parts[form] != "subscriptions" && parts[form] != "descendants" {
		return nil, world.Refuse(404, "NotFound", "The path '%s' is not simulated.", c.rest)
	}
	action := "Microsoft.Management/managementGroups/" + parts[form] + "/read"
	if !c.Who.Allows(action, c.rest) {
		return nil, world.Refuse(http.StatusForbidden, "AuthorizationFailed",
			"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			c.Who.Object, c.Who.Object, action, c.rest)
	}
	var items []any
	for _, x := range s.rp.World.Subscriptions() {
		group := "/providers/Microsoft.Management/managementGroups/" + x.ManagementGroup
		if !strings.EqualFold(x.ManagementGroup, parts[form-1]) {
			continue
		}
		parent := map[string]any{"id": group}
		if parts[form] == "descendants" {
			items = append(items, map[string]any{
				"id": "/subscriptions/" + x.ID, "name": x.ID, "type": "/subscriptions",
				"properties": map[string]any{"displayName": x.Name, "parent": parent},
			})
			continue
		}
		items = append(items, map[string]any{
			"id": group + "/subscriptions/" + x.ID, "name": x.ID, "type": "Microsoft.Management/managementGroups/subscriptions",
			"properties": map[string]any{"displayName": x.Name, "state": "Active", "tenant": x.Tenant, "parent": parent},
		})
	}
	if items == nil {
		return nil, world.Refuse(404, "NotFound", "'/providers/Microsoft.Management/managementGroups/%s' not found", parts[form-1])
	}
	return items, nil
}

func (s *Simulator) subscription(c *call) reply {
	x, ok := s.rp.World.Subscription(c.ID.Subscription)
	if !ok {
		return refusal(world.Refuse(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", c.ID.Subscription))
	}
	return respond(http.StatusOK, encode(subscriptionBody(x)))
}

func subscriptionBody(x world.Subscription) map[string]any {
	return map[string]any{
		"id": "/subscriptions/" + x.ID, "subscriptionId": x.ID, "tenantId": x.Tenant, "displayName": x.Name, "state": "Enabled",
		"authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": map[string]any{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
	}
}

// listOther answers the few lists that are not of documents.
func (s *Simulator) listOther(c *call) reply {
	items := []any{}
	switch strings.ToLower(c.list) {
	case "locations":
		for _, name := range []string{"westeurope", "northeurope", "eastus"} {
			items = append(items, map[string]any{"id": "/subscriptions/" + c.ID.Subscription + "/locations/" + name, "name": name, "displayName": name})
		}
	case "providers":
		for _, name := range []string{"Microsoft.Compute", "Microsoft.Network"} {
			items = append(items, map[string]any{
				"id":        "/subscriptions/" + c.ID.Subscription + "/providers/" + name,
				"namespace": name, "registrationState": "Registered", "resourceTypes": []any{},
			})
		}
	default:
		return refusal(rp.UnknownType(c.Call))
	}
	return respond(http.StatusOK, encode(map[string]any{"value": items}))
}
