package server

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/rule"
)

// The rules of routes; a test refuses one that is unruled.
const (
	unruled   = rule.Unruled
	public    = rule.Public
	known     = rule.Known
	viewsAll  = rule.ViewsAll
	closesAll = rule.ClosesAll
	manages   = rule.Manages
)

// A route is one operation of the API.
type route struct {
	method, path string
	id           string // of the operation, in the OpenAPI document
	summary      string
	may          rule.Rule
	query        []front.Param
	keyed        bool // takes an idempotency key
	ends         bool // ends access, and is never held up
	loose        bool // takes any query string, which it reads itself
	status       int  // of success
	answers      string
	endpoint
}

// faces returns every route as package front serves and describes it.
func (s *Server) faces() []front.Route {
	var out []front.Route
	for _, rt := range s.routes() {
		out = append(out, front.Route{
			Method: rt.method, Path: rt.path, ID: rt.id, Summary: rt.summary,
			Who: rt.may.String(), Public: rt.may == public, Query: rt.query, Keyed: rt.keyed,
			In: rt.in, Out: rt.out, Takes: rt.media, Status: rt.status, Answers: rt.answers,
			Serve: func(w *front.Recorder, r *http.Request) error { return s.answer(w, r, rt) },
		})
	}
	return out
}

// routes returns every route of the server.
func (s *Server) routes() []route {
	return slices.Concat(s.accessRoutes(), s.voteRoutes(), s.ruleRoutes(), s.rightRoutes(), s.recordRoutes(), s.serverRoutes(), s.identityRoutes())
}

func get(path, id, summary string, may rule.Rule, query []front.Param, e endpoint) route {
	return route{
		method: http.MethodGet, path: path, id: id, summary: summary, may: may, query: query,
		keyed: false, ends: false, loose: false, status: http.StatusOK, answers: front.JSON, endpoint: e,
	}
}

func change(method, path, id, summary string, may rule.Rule, status int, e endpoint) route {
	return route{
		method: method, path: path, id: id, summary: summary, may: may, query: nil,
		keyed: false, ends: false, loose: false, status: status, answers: front.JSON, endpoint: e,
	}
}

// accessRoutes are what people use to get in.
func (s *Server) accessRoutes() []route {
	list := func(more ...front.Param) []front.Param { return append(more, front.PageParams()...) }
	ask := change(http.MethodPost, "/v1/requests", "request-access",
		"Ask for ports of a VM", known, http.StatusCreated, takes(s.request))
	ask.keyed = true
	end := change(http.MethodPost, "/v1/grants/{grant}/close", "close-grant",
		"End a grant now", known, http.StatusOK, reads(s.closeGrant))
	end.ends = true
	return []route{
		get("/v1/whoami", "whoami", "Who the server takes you for", known, nil, reads(s.whoami)),
		get("/v1/vms", "list-vms", "The VMs that you may view", known, nil, reads(s.listVMs)),
		get("/v1/vms/{vm}", "get-vm", "One VM, by name or escaped id", known, nil, reads(s.getVM)),
		ask,
		get("/v1/requests", "list-requests", "Requests, newest first", known,
			list(front.VMParam(false), front.PrincipalParam(), front.WaitingParam()), reads(s.listRequests)),
		get("/v1/requests/{request}", "get-request", "One request with its grants", known, nil, reads(s.getRequest)),
		get("/v1/grants", "list-grants", "Grants, newest first", known,
			list(front.VMParam(false), front.PrincipalParam(), front.StateParam()), reads(s.listGrants)),
		get("/v1/grants/{grant}", "get-grant", "One grant", known, nil, reads(s.getGrant)),
		end,
		change(http.MethodPost, "/v1/grants/{grant}/extend", "extend-grant",
			"Make a grant last for the given time from now", known, http.StatusOK, takes(s.extendGrant)),
		get("/v1/explain", "explain", "Who can come through a port, and by which rule", known,
			[]front.Param{front.VMParam(true), front.PortParam(), front.ProtocolParam(), front.SourceParam()}, reads(s.explain)),
	}
}

// ruleRoutes are what administrators use to say what is just-in-time.
func (s *Server) ruleRoutes() []route {
	put := change(http.MethodPut, "/v1/policies/{policy}", "put-policy",
		"Save a policy and lock its doors", known, http.StatusOK, takesDocument[api.Policy](s.putPolicy))
	put.query = []front.Param{front.DryRunParam(), front.AgreeParam()}
	return []route{
		get("/v1/policies", "list-policies", "The policies about VMs that you may view", known, nil, reads(s.listPolicies)),
		get("/v1/policies/{policy}", "get-policy", "One policy", known, nil, reads(s.getPolicy)),
		put,
		change(http.MethodDelete, "/v1/policies/{policy}", "delete-policy",
			"Delete a policy; its grants end, its locks stay", known, http.StatusNoContent, reads(s.dropPolicy)),
		change(http.MethodPost, "/v1/disable", "disable",
			"End locks, and show who gets in again", known, http.StatusOK, takes(s.disable)),
		get("/v1/plan", "plan", "What the next pass would write", viewsAll, nil, reads(s.plan)),
		change(http.MethodPost, "/v1/sweep", "sweep",
			"Close what no live grant justifies", closesAll, http.StatusOK, takes(s.sweep)),
		get("/v1/export/terraform", "export-terraform", "What Terraform has to know so that it and Sesame do not undo each other's work",
			manages, []front.Param{{Name: "of", Doc: "the id or the name of a VM, or the id of a security group or a network security group", Required: true}}, reads(s.exportTerraform)),
		get("/v1/tokens", "list-tokens", "All tokens, without their secrets", manages, nil, reads(s.listTokens)),
		change(http.MethodPost, "/v1/tokens", "create-token",
			"Make a token; its secret is shown this once", manages, http.StatusCreated, takes(s.createToken)),
		change(http.MethodDelete, "/v1/tokens/{token}", "revoke-token",
			"End a token, the roles that it brought and their grants", manages, http.StatusNoContent, reads(s.revokeToken)),
	}
}

// recordRoutes are what people use to see what happened.
func (s *Server) recordRoutes() []route {
	filter := front.ActivityParams()
	stream := get("/v1/activity/stream", "follow-activity",
		"The activity as it happens; Last-Event-ID resumes", known, filter, streams(s.followActivity))
	stream.answers = front.Events
	export := get("/v1/audit/export", "export-audit",
		"The whole audit log as a bundle that can be verified anywhere", viewsAll, nil, streams(s.exportAudit))
	export.answers = front.Lines
	return []route{
		get("/v1/activity", "list-activity", "What happened, newest first", known,
			append(filter, front.PageParams()...), reads(s.listActivity)),
		stream,
		get("/v1/audit/checkpoint", "audit-checkpoint", "A signed commitment to the whole audit log", viewsAll, nil, reads(s.checkpoint)),
		export,
		get("/v1/audit/verify", "verify-audit", "Have the server verify its own log", viewsAll, nil, reads(s.verifyAudit)),
	}
}

// serverRoutes are about the server itself.
func (s *Server) serverRoutes() []route {
	metrics := get("/metrics", "metrics", "Figures for Prometheus", viewsAll, nil, streams(s.serveMetrics))
	metrics.answers = front.Text
	ready := get("/readyz", "ready", "Whether the server can do its work; 503 if not", public, nil, streams(s.ready))
	ready.out = reflect.TypeFor[api.Health]()
	return []route{
		get("/healthz", "alive", "Whether the server is alive", public, nil, reads(s.alive)),
		ready,
		get("/v1/openapi.json", "openapi", "This document", public, nil, streams(s.serveOpenAPI)),
		metrics,
	}
}
