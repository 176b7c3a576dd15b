package arm

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/arm/path"
)

// A route is one operation. Its path has parameters in braces; the rest of it is
// compared whatever its case.
type route struct {
	method, path string
	action       string   // what Azure calls it
	versions     []string // api-versions; nil for any
	public       bool     // needs no token
	ends         bool     // ends access, and is never held up
	body         bool     // takes JSON
	counted      string   // what the rate-limit header calls it
	serve        func(ctx context.Context, c *call) (answer, error)
}

// uses returns what a token must be for; empty for nothing: a batch is what is in it.
func (rt route) uses() authz.Action {
	switch {
	case rt.public, rt.path == batchPath:
		return ""
	case rt.method == http.MethodGet:
		return authz.View
	case rt.method == http.MethodPut, rt.method == http.MethodDelete:
		return authz.Enable
	}
	return authz.Request
}

// The paths.
const (
	inSubscription = "/subscriptions/{subscriptionId}"
	inGroup        = inSubscription + "/resourcegroups/{resourceGroupName}"
	security       = "/providers/microsoft.security"
	inLocation     = security + "/locations/{ascLocation}"
	policies       = "/jitnetworkaccesspolicies"
	onePolicy      = inGroup + inLocation + policies + "/{jitNetworkAccessPolicyName}"
	machines       = "/providers/microsoft.compute/virtualmachines"
	interfaces     = "/providers/microsoft.network/networkinterfaces"
	groups         = "/providers/microsoft.network/networksecuritygroups"

	batchPath    = "/batch"
	policyAction = "Microsoft.Security/locations/jitNetworkAccessPolicies/"
)

// table returns every route.
func (f *Face) table() []route {
	return slices.Concat(f.policyRoutes(), f.resourceRoutes(), f.cloudRoutes())
}

func (f *Face) policyRoutes() []route {
	one := func(method, at, action, counted string, body, ends bool, serve func(context.Context, *call) (answer, error)) route {
		return route{
			method: method, path: at, action: policyAction + action, versions: arm.Versions(), public: false, ends: ends, body: body, counted: counted, serve: serve,
		}
	}
	read := func(at string, serve func(context.Context, *call) (answer, error)) route {
		return one(http.MethodGet, at, "read", "reads", false, false, serve)
	}
	return []route{
		read(inSubscription+security+policies, f.listPolicies),
		read(inSubscription+inLocation+policies, f.listPolicies),
		read(inGroup+security+policies, f.listPolicies),
		read(inGroup+inLocation+policies, f.listPolicies),
		read(onePolicy, f.getPolicy),
		one(http.MethodPut, onePolicy, "write", "writes", true, false, f.putPolicy),
		one(http.MethodDelete, onePolicy, "delete", "deletes", false, true, f.deletePolicy),
		one(http.MethodPost, onePolicy+"/initiate", "initiate/action", "writes", true, false, f.initiate),
	}
}

func (f *Face) resourceRoutes() []route {
	read := func(at, action string, serve func(context.Context, *call) (answer, error)) route {
		return route{
			method: http.MethodGet, path: at, action: action, versions: nil, public: false, ends: false, body: false, counted: "reads", serve: serve,
		}
	}
	const (
		vms  = "Microsoft.Compute/virtualMachines/read"
		nics = "Microsoft.Network/networkInterfaces/read"
		nsgs = "Microsoft.Network/networkSecurityGroups/read"
		rgs  = "Microsoft.Resources/subscriptions/resourceGroups/read"
		subs = "Microsoft.Resources/subscriptions/read"
	)
	return []route{
		read("/tenants", "Microsoft.Resources/tenants/read", f.tenants),
		read("/subscriptions", subs, f.subscriptions),
		read(inSubscription, subs, f.subscription),
		read(inSubscription+"/locations", "Microsoft.Resources/subscriptions/locations/read", f.locations),
		read(inSubscription+"/providers", "Microsoft.Resources/subscriptions/providers/read", f.providers),
		read(inSubscription+"/resourcegroups", rgs, f.resourceGroups),
		read(inGroup, rgs, f.resourceGroup),
		read(inSubscription+machines, vms, f.virtualMachines),
		read(inGroup+machines, vms, f.virtualMachines),
		read(inGroup+machines+"/{name}", vms, f.virtualMachine),
		read(inGroup+machines+"/{name}/instanceview", vms, f.instanceView),
		read(inSubscription+interfaces, nics, f.networkInterfaces),
		read(inGroup+interfaces, nics, f.networkInterfaces),
		read(inGroup+interfaces+"/{name}", nics, f.networkInterface),
		read(inSubscription+groups, nsgs, f.securityGroups),
		read(inGroup+groups, nsgs, f.securityGroups),
		read(inGroup+groups+"/{name}", nsgs, f.securityGroup),
	}
}

func (f *Face) cloudRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/metadata/endpoints", action: "", versions: nil, public: true, ends: false, body: false, counted: "", serve: f.endpoints,
		},
		{
			method: http.MethodGet, path: "/msi/token", action: "", versions: []string{"2017-09-01", "2019-08-01"}, public: true, ends: false, body: false, counted: "", serve: f.identity,
		},
		{
			method: http.MethodPost, path: batchPath, action: "", versions: nil, public: false, ends: true, body: true, counted: "", serve: f.batch,
		},
	}
}

// A query is a query string whose parameters are there once.
type query map[string]string

// versioned is the form of every api-version.
var versioned = regexp.MustCompile(`^20[0-9]{2}-[01][0-9]-[0-3][0-9](-preview)?$`)

// call finds what a request asks for.
func (f *Face) call(r *http.Request) (*call, error) {
	segments, plain := path.Split(r.URL.EscapedPath())
	c := &call{request: r, route: route{}, args: nil, query: query{}, who: authn.Caller{}, body: nil, now: f.Clocks()}
	var methods []string
	for _, rt := range f.routes {
		args, found := path.Match(rt.path, segments)
		if !found || !plain {
			continue
		}
		methods = append(methods, rt.method)
		if rt.method == r.Method {
			c.route, c.args = rt, args
		}
	}
	switch {
	case len(methods) == 0:
		return nil, refuse(http.StatusNotFound, "InvalidResourceType", "", "there is nothing at %s here; the Azure face has just-in-time network access policies, and reads subscriptions, virtual machines and their network", errkind.Quote(r.URL.EscapedPath()))
	case c.route.serve == nil:
		return nil, refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "", "there is no %s here; there is %s", errkind.Quote(r.Method), strings.Join(methods, ", "))
	}
	if err := c.parameters(r.URL.RawQuery); err != nil {
		return nil, err
	}
	return c, c.judge()
}

// parameters reads the query string. A parameter that means something may be there
// once; others are passed over, as Azure does.
func (c *call) parameters(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "InvalidQueryString", "", "the query string cannot be read")
	}
	for name, list := range values {
		name = strings.ToLower(name)
		if _, twice := c.query[name]; twice || len(list) > 1 {
			return refuse(http.StatusBadRequest, "InvalidQueryString", name, "%s is there twice; send it once", errkind.Quote(name))
		}
		c.query[name] = list[0]
	}
	return nil
}

// judge refuses parameters that make no sense.
func (c *call) judge() error {
	version, given := c.query["api-version"]
	lower := strings.ToLower(version)
	switch {
	case !given:
		return refuse(http.StatusBadRequest, "MissingApiVersionParameter", "api-version", "The api-version query parameter (?api-version=) is required for all requests.")
	case len(c.route.versions) > 0 && !slices.Contains(c.route.versions, lower):
		return refuse(http.StatusBadRequest, "InvalidApiVersionParameter", "api-version", "The api-version %s is invalid. The supported versions are '%s'.", errkind.Quote(version), strings.Join(c.route.versions, ","))
	case !versioned.MatchString(lower):
		return refuse(http.StatusBadRequest, "InvalidApiVersionParameter", "api-version", "The api-version %s is invalid. It is a date, such as 2020-01-01.", errkind.Quote(version))
	}
	c.query["api-version"] = lower
	for name, parse := range map[string]func(string) error{
		"subscriptionId": arm.ParseSubscription, "resourceGroupName": arm.ParseGroup, "ascLocation": arm.ParseLocation,
	} {
		if value, there := c.args[name]; there {
			if name == "ascLocation" {
				value = strings.ReplaceAll(value, " ", "")
				c.args[name] = value
			}
			if err := parse(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// id returns the id of the policy that the path names.
func (c *call) id() (arm.PolicyID, error) {
	return arm.NewPolicyID(c.args["subscriptionId"], c.args["resourceGroupName"], c.args["ascLocation"], c.args["jitNetworkAccessPolicyName"])
}

// origin returns where the client sees this server.
func origin(r *http.Request) string { return "https://" + r.Host }

func itoa(n int) string { return strconv.Itoa(n) }
