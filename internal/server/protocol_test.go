package server

import (
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
)

func TestProtocolProblems(t *testing.T) {
	h := build(t)
	type edit = func(*http.Request)
	set := func(k, v string) edit { return func(r *http.Request) { r.Header.Set(k, v) } }
	for _, c := range []struct {
		name, method, path, body string
		edit                     edit
		want                     int
	}{
		{"no route", "GET", "/v2/vms", "", nil, 404},
		{"root", "GET", "/", "", nil, 404},
		{"trailing slash", "GET", "/v1/vms/", "", nil, 404},
		{"double slash", "GET", "/v1//vms", "", nil, 404},
		{"dots", "GET", "/v1/x/../vms", "", nil, 404},
		{"case", "GET", "/V1/vms", "", nil, 404},
		{"debug", "GET", "/debug/pprof/", "", nil, 404},
		{"method", "PATCH", "/v1/vms", "", nil, 405},
		{"method of one", "POST", "/v1/whoami", "{}", nil, 405},
		{"trace", "TRACE", "/v1/vms", "", nil, 405},
		{"type", "POST", "/v1/sweep", "{}", set("Content-Type", "text/plain"), 415},
		{"no type", "POST", "/v1/sweep", "{}", set("Content-Type", ""), 415},
		{"form", "POST", "/v1/sweep", "a=b", set("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"charset", "POST", "/v1/sweep", "{}", set("Content-Type", "application/json; charset=utf-16"), 415},
		{"yaml", "POST", "/v1/sweep", "dry_run: true", set("Content-Type", front.YAML), 415},
		{"gzip", "POST", "/v1/sweep", "{}", set("Content-Encoding", "gzip"), 415},
		{"body of a GET", "GET", "/v1/vms", "{}", nil, 400},
		{"large", "POST", "/v1/sweep", strings.Repeat(" ", 1<<20+1), nil, 413},
		{"host", "GET", "/v1/vms", "", func(r *http.Request) { r.Host = "evil.example" }, 421},
		{"host with address in front", "GET", "/v1/vms", "", func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 421},
		{"no host", "GET", "/healthz", "", func(r *http.Request) { r.Host = "evil.example:443" }, 421},
		{"own name", "GET", "/healthz", "", func(r *http.Request) { r.Host = "Sesame.Example.org:8443" }, 200},
		{"origin", "POST", "/v1/sweep", "{}", set("Origin", "https://evil.example"), 403},
		{"fetch", "POST", "/v1/sweep", "{}", set("Sec-Fetch-Site", "cross-site"), 403},
		{"same site", "POST", "/v1/sweep", "{}", set("Sec-Fetch-Site", "same-site"), 403},
		{"same origin", "POST", "/v1/sweep", `{"dry_run":true}`, set("Sec-Fetch-Site", "same-origin"), 200},
		{"key", "POST", "/v1/requests", "{}", set(api.KeyHeader, "a b"), 400},
		{"long key", "POST", "/v1/requests", "{}", set(api.KeyHeader, strings.Repeat("k", 129)), 400},
		{"two keys", "POST", "/v1/requests", "{}", func(r *http.Request) { r.Header[http.CanonicalHeaderKey(api.KeyHeader)] = []string{"a", "b"} }, 400},
	} {
		req := h.newRequest("admin", c.method, c.path, c.body)
		if c.edit != nil {
			c.edit(req)
		}
		r := h.send(req)
		if r.code != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, r.code, c.want, r.body)
			continue
		}
		if c.want >= 400 {
			r.problem(t)
		}
		if c.want == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", c.name)
		}
	}
}

func TestEveryAnswerIsSafeToShow(t *testing.T) {
	h := build(t)
	for _, path := range []string{"/v1/vms", "/nothing", "/healthz", "/v1/openapi.json"} {
		r := h.call("admin", "GET", path, "")
		for k, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Access-Control-Allow-Origin": "",
		} {
			if got := r.Header.Get(k); got != want {
				t.Errorf("%s: %s is %q, want %q", path, k, got, want)
			}
		}
		if r.Header.Get(api.RequestIDHeader) == "" {
			t.Errorf("%s: no request id", path)
		}
	}
}

// whatever is wrong with a token, the answer is the same.
func TestBadTokensAreAllAlike(t *testing.T) {
	h := build(t)
	good := h.tokens["requester"]
	revoked := read[wire.CreatedToken](h, "admin", "POST", "/v1/tokens", `{"name":"gone","role":"admin"}`)
	h.ok("admin", "DELETE", "/v1/tokens/"+revoked.Token.ID, "")
	answers := map[string]bool{}
	for _, auth := range []string{
		"", "twice", "Bearer", "Bearer ", "Basic " + good, good, "Bearer " + good[:len(good)-1], "Bearer " + good + "A",
		"Bearer " + strings.ToUpper(good), "Bearer sesame_", "Bearer  " + good, "Bearer " + revoked.Secret,
	} {
		req := h.newRequest("", "GET", "/v1/whoami", "")
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		if auth == "twice" {
			req.Header["Authorization"] = []string{"Bearer " + good, "Bearer " + good}
		}
		r := h.send(req)
		p := r.problem(t)
		if r.code != 401 || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d", auth, r.code)
		}
		answers[strings.ReplaceAll(r.body, p.RequestID, "")] = true
		h.server.authn = h.server.newAuthn()
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers", len(answers))
	}
}

func TestFailedAttemptsAreLimitedAndGoodTokensAreNot(t *testing.T) {
	h := build(t)
	last := 0
	for range 50 {
		last = h.call("", "GET", "/v1/whoami", "").code
	}
	if last != 429 {
		t.Errorf("after 50 attempts: %d", last)
	}
	if r := h.call("viewer", "GET", "/v1/whoami", ""); r.code != 200 {
		t.Errorf("a good token from there: %d", r.code)
	}
}

func TestRateLimitSparesClosing(t *testing.T) {
	h := build(t, func(c *Config) { c.Limits.Rate = 40 }) // 10 at once
	got := 0
	for range 30 {
		if h.call("viewer", "GET", "/v1/whoami", "").code == 429 {
			got++
		}
	}
	if got < 15 {
		t.Errorf("%d of 30 were refused", got)
	}
	if r := h.call("viewer", "POST", "/v1/grants/g-0000000000000000/close", ""); r.code != 404 {
		t.Errorf("closing: %d", r.code)
	}
}

// N-01 to N-03: nobody is believed about an address but a trusted proxy.
func TestCallerAddress(t *testing.T) {
	trusting := build(t, func(c *Config) {
		c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("192.0.2.0/24")}
	})
	plain := build(t)
	for _, c := range []struct {
		h      *house
		header http.Header
		want   string // "" for 400
	}{
		{plain, http.Header{"X-Forwarded-For": {"198.51.100.9"}, "X-Real-Ip": {"198.51.100.9"}, "True-Client-Ip": {"198.51.100.9"}, "Cf-Connecting-Ip": {"198.51.100.9"}, "Forwarded": {"for=198.51.100.9"}, "X-Client-Ip": {"198.51.100.9"}}, "127.0.0.1"},
		{trusting, http.Header{}, "127.0.0.1"},
		{trusting, http.Header{"X-Real-Ip": {"198.51.100.9"}, "Forwarded": {"for=198.51.100.9"}}, "127.0.0.1"},
		{trusting, http.Header{"X-Forwarded-For": {"198.51.100.9"}}, "198.51.100.9"},
		{trusting, http.Header{"X-Forwarded-For": {"203.0.113.1, 198.51.100.9, 192.0.2.7"}}, "198.51.100.9"},
		{trusting, http.Header{"X-Forwarded-For": {"203.0.113.1", "198.51.100.9"}}, "198.51.100.9"},
		{trusting, http.Header{"X-Forwarded-For": {"::ffff:198.51.100.9"}}, "198.51.100.9"},
		{trusting, http.Header{"X-Forwarded-For": {"x, 198.51.100.9"}}, "198.51.100.9"},
		{trusting, http.Header{"X-Forwarded-For": {"192.0.2.1, 192.0.2.2"}}, "192.0.2.1"},
		{trusting, http.Header{"X_forwarded_for": {"198.51.100.9"}}, "127.0.0.1"},
		{trusting, http.Header{"X-Forwarded-For": {"198.51.100.9:4711"}}, ""},
		{trusting, http.Header{"X-Forwarded-For": {"fe80::1%eth0"}}, ""},
		{trusting, http.Header{"X-Forwarded-For": {"198.51.100.9,"}}, ""},
		{trusting, http.Header{"X-Forwarded-For": {"unknown"}}, ""},
	} {
		req := c.h.newRequest("viewer", "GET", "/v1/whoami", "")
		maps.Copy(req.Header, c.header)
		r := c.h.send(req)
		if c.want == "" {
			if r.code != 400 {
				t.Errorf("%v: %d %s", c.header, r.code, r.body)
			}
			continue
		}
		var who api.Whoami
		if err := decode([]byte(r.body), &who); err != nil || who.Address != c.want {
			t.Errorf("%v: %d, address %q, want %q", c.header, r.code, who.Address, c.want)
		}
	}
}

// L-08: secrets are in no log and in no record.
func TestSecretsStayOut(t *testing.T) {
	h := build(t)
	made := read[wire.CreatedToken](h, "admin", "POST", "/v1/tokens", `{"name":"canary","role":"admin"}`)
	h.tokens["canary"] = made.Secret
	h.ok("canary", "GET", "/v1/vms", "")
	h.call("canary", "GET", "/v1/vms?token="+made.Secret, "")
	h.call("canary", "POST", "/v1/requests", `{"vm":"`+made.Secret+`"`)
	if !strings.Contains(h.log.String(), `"principal":"local#canary"`) {
		t.Error("the log does not say who asked")
	}
	activity := h.ok("admin", "GET", "/v1/activity?limit=1000", "").body
	export := h.ok("admin", "GET", "/v1/audit/export", "").body
	metrics := h.ok("admin", "GET", "/metrics", "").body
	for name, text := range map[string]string{"log": h.log.String(), "activity": activity, "export": export, "metrics": metrics} {
		if strings.Contains(text, made.Secret) {
			t.Errorf("the secret is in the %s", name)
		}
	}
}

// P-09: what callers choose is no label.
func TestMetrics(t *testing.T) {
	h := build(t)
	h.call("viewer", "GET", "/v1/vms/some-name", "")
	h.call("viewer", "GET", "/x/1", "")
	h.call("viewer", "BREW", "/x/2", "")
	h.ok("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.9"]}`)
	text := h.ok("viewer", "GET", "/metrics", "").body
	for _, want := range []string{
		`sesame_http_requests_total{method="GET",route="/v1/vms/{vm}",status="404"} 1`,
		`sesame_http_requests_total{method="none",route="none",status="404"} 2`,
		`sesame_doors{state="locked"} `, `sesame_doors{state="exposed"} 0`,
		`sesame_grants{state="closing"} 0`, `sesame_grants{state="scheduled"} 0`,
		`sesame_build_info{`, `sesame_firewalls_failing 0`, `sesame_clock_skew_seconds 0`,
		`sesame_passes_total{result="ok"}`, `sesame_close_lateness_seconds_count 0`, `sesame_issue_seconds_count{call="close"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "some-name") || strings.Contains(text, "BREW") {
		t.Error("a caller's text is a label")
	}
}

// The log is exported, verified by the server, and verified without it.
func TestAudit(t *testing.T) {
	h := build(t)
	h.ok("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.9"]}`)
	h.quiet()
	cp := read[api.Checkpoint](h, "viewer", "GET", "/v1/audit/checkpoint", "")
	if cp.Size != h.size() || !strings.Contains(cp.Signed, cp.Root) {
		t.Errorf("checkpoint: %+v", cp)
	}
	if r := read[api.AuditReport](h, "viewer", "GET", "/v1/audit/verify", ""); !r.OK || r.History.Granted != 1 || r.Checkpoint.Size != cp.Size {
		t.Errorf("report: %+v", r)
	}
	if got := read[api.Page[api.Record]](h, "viewer", "GET", "/v1/activity?kind=request.granted&vm=web-1", ""); len(got.Items) != 1 || got.Items[0].Door == nil {
		t.Errorf("activity: %+v", got)
	}
	var all []int64
	for next := ""; ; {
		path := "/v1/activity?limit=3"
		if next != "" {
			path += "&cursor=" + next
		}
		page := read[api.Page[api.Record]](h, "viewer", "GET", path, "")
		for _, r := range page.Items {
			all = append(all, r.Index)
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if int64(len(all)) != cp.Size || all[0] != cp.Size-1 || all[len(all)-1] != 0 {
		t.Errorf("paging saw %v of %d", all, cp.Size)
	}
}

// S-03: without a database nothing is shown and nothing is decided, and nobody is
// told how it failed.
func TestWithoutADatabase(t *testing.T) {
	h := build(t)
	must(t, h.store.Close())
	r := h.call("", "GET", "/readyz", "")
	var ready api.Health
	if err := decode([]byte(r.body), &ready); err != nil || r.code != 503 || ready.Ready || len(ready.Reasons) == 0 {
		t.Errorf("ready: %d %s %v", r.code, r.body, err)
	}
	for _, path := range []string{"/v1/vms", "/v1/whoami", "/v1/grants", "/v1/audit/export", "/metrics"} {
		r := h.call("admin", "GET", path, "")
		if p := r.problem(t); r.code != 503 || strings.Contains(strings.ToLower(p.Detail), "sql") {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
	if r := h.call("", "GET", "/healthz", ""); r.code != 200 {
		t.Errorf("alive: %d", r.code)
	}
}

// A log that went back is not signed.
func TestBrokenLogIsNotSigned(t *testing.T) {
	h := build(t, func(c *Config) {
		c.LogBreak = func() error { return errkind.New(errkind.Unavailable, "the log went back") }
	})
	for _, path := range []string{"/v1/audit/checkpoint", "/v1/audit/verify", "/v1/audit/export"} {
		if r := h.call("admin", "GET", path, ""); r.code != 503 || !strings.Contains(r.body, "the log") {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
}
