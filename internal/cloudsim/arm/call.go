package arm

import (
	"cmp"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// A call is a request that was understood, by somebody who may make it.
type call struct {
	*rp.Call

	request *http.Request
	// list is the full type of what is listed; ID is the scope then.
	list string
	// rest is a path outside of all subscriptions, in lower case.
	rest string
}

// name returns what the call is counted under.
func (c *call) name() string {
	switch {
	case c.rest != "":
		return c.rest
	case c.list != "":
		return c.list
	}
	return c.Type()
}

func (c *call) operation() gate.Operation {
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		return gate.Read
	case http.MethodDelete:
		return gate.Delete
	}
	return gate.Write
}

// permission returns the action that the call needs.
func (c *call) permission() string {
	name := c.name()
	switch {
	case strings.HasPrefix(name, "Microsoft.Resources/resourceGroups"):
		name = "Microsoft.Resources/subscriptions/resourceGroups"
	case !strings.Contains(name, "."):
		name = "Microsoft.Resources/subscriptions/" + name
	}
	if c.Action != "" {
		return name + "/" + c.Action + "/action"
	}
	return name + "/" + map[gate.Operation]string{gate.Read: "read", gate.Write: "write", gate.Delete: "delete"}[c.operation()]
}

// admit finds out who calls, about what, and whether they may.
func (s *Simulator) admit(r *http.Request, body []byte, now time.Time) (*call, reply, bool) {
	refuse := func(p *world.Problem) (*call, reply, bool) { return nil, refusal(p), false }
	who, p := s.identify(r)
	if p != nil {
		answer := refusal(p)
		answer.header["WWW-Authenticate"] = `Bearer authorization_uri="` + origin(r) + "/" + s.config.Subscriptions[0].Tenant + `", error="invalid_token"`
		return nil, answer, false
	}
	version := r.URL.Query().Get("api-version")
	if version == "" {
		return refuse(world.Refuse(400, "MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests."))
	}
	if !regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-(private)?preview)?$`).MatchString(version) {
		return refuse(world.Refuse(400, "InvalidApiVersionParameter", "The api-version '%s' is invalid.", version))
	}
	c, p := understand(r, now)
	if p != nil {
		return refuse(p)
	}
	c.Body, c.Who, c.IfMatch, c.IfNoneMatch = body, who, r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	c.Origin, c.Version = origin(r), version
	if c.ID.Subscription != "" {
		if _, ok := s.rp.World.Subscription(c.ID.Subscription); !ok {
			return refuse(world.Refuse(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", c.ID.Subscription))
		}
	}
	if c.rest == "" && !c.polls() && !who.Allows(c.permission(), c.ID.String()) {
		return refuse(world.Refuse(http.StatusForbidden, "AuthorizationFailed",
			"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			who.Object, who.Object, c.permission(), c.ID))
	}
	return c, respond(http.StatusOK, nil), true
}

func (s *Simulator) identify(r *http.Request) (gate.Identity, *world.Problem) {
	none := gate.Identity{Name: "", Token: "", Object: "", Actions: nil, Scopes: nil}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return none, world.Refuse(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	for _, i := range s.config.Identities {
		if i.Token == token {
			return i, nil
		}
	}
	return none, world.Refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
}

// understand reads the path.
func understand(r *http.Request, now time.Time) (*call, *world.Problem) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	c := &call{Call: rp.NewCall(r.Method, world.ID{Subscription: "", Group: "", Namespace: "", Types: nil, Names: nil}, now), request: r, list: "", rest: ""}
	if lower := strings.ToLower(path); lower == "/subscriptions" || !strings.HasPrefix(lower, "/subscriptions/") {
		c.rest = cmp.Or(lower, "/")
		return c, nil
	}
	parts := strings.Split(path, "/")
	if len(parts) == 5 && strings.EqualFold(parts[3], "providers") {
		parts = parts[:4] // one namespace is answered like all of them
	}
	// Behind a provider, types and names take turns; a path that ends in a type
	// lists, or acts. Where there is no provider, groups and the like are listed.
	first := len(parts)
	for i, part := range parts {
		if strings.EqualFold(part, "providers") {
			first = i + 2
		}
	}
	last, scope := "", parts
	if odd := (len(parts)-first)%2 != 0; first < len(parts) && odd || first >= len(parts) && len(parts)%2 == 0 {
		last, scope = parts[len(parts)-1], parts[:len(parts)-1]
	}
	if first < len(parts) && first == len(scope) {
		scope = scope[:first-2] // all resources of a type in a scope
	}
	id, err := world.ParseID(strings.Join(scope, "/"))
	if err != nil {
		return nil, world.Refuse(http.StatusBadRequest, "InvalidRequestUri", "The request uri is invalid: %s.", err)
	}
	c.Call = rp.NewCall(r.Method, id, now)
	switch {
	case last == "":
	case r.Method == http.MethodPost:
		c.Action = last
	case strings.EqualFold(last, "resourceGroups"):
		c.list = "Microsoft.Resources/resourceGroups"
	case first < len(parts):
		c.list = strings.Join(append(append([]string{parts[first-1]}, id.Types...), last), "/")
	default:
		c.list = last
	}
	if k, ok := world.KindOf(c.list); ok {
		c.Kind, c.Property, c.list = k, "", k.Type
	}
	return c, nil
}

// origin returns where the simulator was called, for the addresses that it gives
// out.
func origin(r *http.Request) string {
	scheme := "https"
	if r.TLS == nil && r.URL.Scheme == "" {
		scheme = "http"
	}
	return scheme + "://" + r.Host
}
