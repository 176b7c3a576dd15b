package arm_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/authz"
)

const (
	sub        = "20ff7fc3-e762-44dd-bd96-b71116dcdc23"
	version    = "?api-version=2020-01-01"
	inGroup    = "/subscriptions/" + sub + "/resourceGroups/myRg1"
	place      = inGroup + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies"
	policyPath = place + "/default"
)

func vm1() string { return vm("myRg1", "vm1") }
func vm2() string { return vm("myRg1", "Vm2") }

func two(t testing.TB) *house {
	t.Helper()
	return build(t, zero, machine{vm1(), "westeurope"}, machine{vm2(), "West Europe"})
}

func rule(port int, source, most string) string {
	return fmt.Sprintf(`{"number":%d,"protocol":"TCP","allowedSourceAddressPrefix":%q,"maxRequestAccessDuration":%q}`, port, source, most)
}

// body is that of a PUT: VMs with their ports.
func body(pairs ...string) string {
	var vms []string
	for i := 0; i < len(pairs); i += 2 {
		vms = append(vms, fmt.Sprintf(`{"id":%q,"ports":[%s]}`, pairs[i], pairs[i+1]))
	}
	return `{"kind":"Basic","properties":{"virtualMachines":[` + strings.Join(vms, ",") + `]}}`
}

func ask(id, port string) string {
	return fmt.Sprintf(`{"virtualMachines":[{"id":%q,"ports":[%s]}],"justification":"why not"}`, id, port)
}

const fromOffice = `{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.51.100.7"}`

func want(t testing.TB, r reply, status int, code string) {
	t.Helper()
	if r.status != status {
		t.Fatalf("%d, want %d: %s", r.status, status, r.body)
	}
	if code != "" && r.code(t) != code {
		t.Fatalf("%s, want %s", r.body, code)
	}
}

// The life of a policy and of a request, as a client sees it.
func TestStory(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "GET", policyPath+version, ""), 404, "PolicyNotFound")
	put := h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"), vm2(), rule(3389, "198.51.100.0/24", "PT3H0M")))
	want(t, put, 200, "")
	if v := put.json(t); v["id"] != policyPath || v["type"] != "Microsoft.Security/locations/jitNetworkAccessPolicies" || !strings.Contains(put.body, `"requests":[]`) || put.header.Get("Etag") == "" {
		t.Errorf("%s", put.body)
	}
	h.eventually(func() bool { return !h.admits(vm1(), 22, "198.51.100.7") })
	h.eventually(func() bool {
		return strings.Contains(h.call("viewer", "GET", policyPath+version, "").body, `"provisioningState":"Succeeded"`)
	})
	got := h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice))
	want(t, got, 202, "")
	if v := got.json(t); v["requestor"] != "requester" || v["justification"] != "why not" || !strings.Contains(got.body, `"status":"Initiating","statusReason":"UserRequested"`) || got.header.Get("Location") != "" {
		t.Errorf("%s", got.body)
	}
	if !h.admits(vm1(), 22, "198.51.100.7") || h.admits(vm1(), 22, "198.51.100.8") {
		t.Error("it is not open, or to others")
	}
	if list := h.call("viewer", "GET", "/Subscriptions/"+strings.ToUpper(sub)+"/providers/microsoft.security/jitNetworkaccesspolicies"+version, ""); !strings.Contains(list.body, `"status":"Initiated"`) {
		t.Errorf("%d %s", list.status, list.body)
	}
	// A newer request replaces the older one, and the door stays open.
	want(t, h.call("requester", "POST", policyPath+"/Initiate"+version, ask(strings.ToUpper(vm1()), strings.Replace(fromOffice, "PT1H", "PT2H", 1))), 202, "")
	list := h.call("viewer", "GET", policyPath+version, "")
	if !strings.Contains(list.body, "NewerRequestInitiated") || !h.admits(vm1(), 22, "198.51.100.7") {
		t.Errorf("%s", list.body)
	}
	// DELETE ends what can be asked for, and what was; never the lock (I13).
	want(t, h.call("admin", "DELETE", policyPath+version, ""), 200, "")
	want(t, h.call("admin", "DELETE", policyPath+version, ""), 204, "")
	h.eventually(func() bool { return !h.admits(vm1(), 22, "198.51.100.7") })
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice)), 404, "PolicyNotFound")
	time.Sleep(50 * time.Millisecond)
	if h.admits(vm1(), 22, "198.51.100.7") || h.admits(vm2(), 3389, "198.51.100.7") {
		t.Error("the lock went with the policy")
	}
}

// Where others have to agree, a request has only begun until they have.
func TestInitiateWaitsForApproval(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"))), 200, "")
	h.eventually(func() bool { return !h.admits(vm1(), 22, "198.51.100.7") })
	h.approvals("lead")
	for _, lasts := range []string{"PT1H", "PT2H"} { // the newer one replaces the older one
		got := h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), strings.Replace(fromOffice, "PT1H", lasts, 1)))
		want(t, got, 202, "")
		if !strings.Contains(got.body, `"status":"Initiating"`) || !strings.Contains(got.body, `"number":22`) {
			t.Errorf("%s", got.body)
		}
	}
	got := h.call("viewer", "GET", policyPath+version, "")
	if strings.Count(got.body, `"requestor":"requester"`) != 1 || !strings.Contains(got.body, `"status":"Initiating"`) {
		t.Errorf("%s", got.body)
	}
	if h.admits(vm1(), 22, "198.51.100.7") {
		t.Error("it is open before anybody agreed")
	}
	// Putting what was there keeps who has to agree.
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT2H"))), 200, "")
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice)), 202, "")
	if h.admits(vm1(), 22, "198.51.100.7") {
		t.Error("a PUT took the approval away")
	}
}

// A token that is for something else is for nothing here, alone or in a batch.
func TestScopesOfTokens(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"))), 200, "")
	h.scoped("looks", authz.Admin, authz.View)
	want(t, h.call("looks", "GET", policyPath+version, ""), 200, "")
	want(t, h.call("looks", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT2H"))), 403, "AuthorizationFailed")
	want(t, h.call("looks", "DELETE", policyPath+version, ""), 403, "AuthorizationFailed")
	want(t, h.call("looks", "POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice)), 403, "AuthorizationFailed")
	got := h.call("looks", "POST", "/batch"+version, `{"requests":[{"httpMethod":"DELETE","url":"`+policyPath+version+`"}]}`)
	if !strings.Contains(got.body, `"httpStatusCode":403`) {
		t.Errorf("%s", got.body)
	}
	h.scoped("asks", authz.Admin, authz.Request)
	want(t, h.call("asks", "GET", policyPath+version, ""), 403, "AuthorizationFailed")
	want(t, h.call("asks", "POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice)), 202, "")
}

// What was put comes back as it was, also when parts of it are policies of their own.
func TestShownAsItWasPut(t *testing.T) {
	h := two(t)
	text := body(strings.ToUpper(vm2()), rule(3389, "10.0.0.0/8", "PT3H0M")+","+rule(22, "*", "P1D"), vm1(), rule(22, "198.51.100.9/32", "PT5M"))
	want(t, h.call("admin", "PUT", policyPath+version, text), 200, "")
	got := h.call("admin", "GET", policyPath+version, "").json(t)["properties"].(map[string]any)["virtualMachines"]
	var sent map[string]any
	must(t, json.Unmarshal([]byte(text), &sent))
	a, err := json.Marshal(sent["properties"].(map[string]any)["virtualMachines"])
	must(t, err)
	b, err := json.Marshal(got)
	must(t, err)
	if string(a) != string(b) {
		t.Errorf("put %s\ngot %s", a, b)
	}
	v1 := h.call("admin", "GET", "/v1/policies", "")
	if strings.Count(v1.body, `"name":"default-`) != 2 {
		t.Errorf("%s", v1.body)
	}
	etag := h.call("admin", "GET", policyPath+version, "").header.Get("Etag")
	want(t, h.call("admin", "PUT", policyPath+version, text), 200, "")
	if again := h.call("admin", "GET", policyPath+version, "").header.Get("Etag"); again != etag {
		t.Error("putting the same changed something")
	}
}

// A PUT leaves the VMs of others alone, unless it says what it was made from; then it
// needs the right on them.
func TestPutLeavesOthersAlone(t *testing.T) {
	h := two(t)
	h.token("owner1", authz.Admin, vm1())
	h.token("owner2", authz.Admin, vm2())
	want(t, h.call("owner1", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"))), 200, "")
	want(t, h.call("owner2", "PUT", policyPath+version, body(vm2(), rule(22, "*", "PT1H"))), 200, "")
	all := h.call("viewer", "GET", policyPath+version, "")
	if !strings.Contains(all.body, vm1()) || !strings.Contains(all.body, vm2()) {
		t.Fatalf("a VM was dropped: %s", all.body)
	}
	if mine := h.call("owner2", "GET", policyPath+version, ""); strings.Contains(mine.body, vm1()) {
		t.Errorf("seen without a role: %s", mine.body)
	}
	etag := all.header.Get("Etag")
	want(t, h.call("owner2", "PUT", policyPath+version, body(vm2(), rule(22, "*", "PT1H")), "If-Match", etag), 403, "AuthorizationFailed")
	want(t, h.call("owner2", "DELETE", policyPath+version, ""), 403, "AuthorizationFailed")
	want(t, h.call("owner2", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT1H"))), 404, "ResourceNotFound")
	want(t, h.call("admin", "PUT", policyPath+version, body(vm2(), rule(22, "*", "PT1H")), "If-Match", `"other"`), 412, "PreconditionFailed")
	want(t, h.call("admin", "PUT", policyPath+version, body(vm2(), rule(22, "*", "PT1H")), "If-None-Match", "*"), 412, "PreconditionFailed")
	want(t, h.call("admin", "PUT", policyPath+version, body(vm2(), rule(22, "*", "PT1H")), "If-Match", etag), 200, "")
	if all := h.call("viewer", "GET", policyPath+version, ""); strings.Contains(all.body, vm1()) {
		t.Errorf("it was not dropped: %s", all.body)
	}
}

// A policy of /v1 is shown once for each region that it has VMs in, can be asked for
// there, and is changed elsewhere.
func TestNativePolicy(t *testing.T) {
	h := two(t)
	text := fmt.Sprintf(`{"name":"prod","vms":[%q,%q],"ports":[{"port":22,"max":"48h","sources":["198.51.100.0/24"]}]}`, strings.ToLower(vm1()), strings.ToLower(vm2()))
	want(t, h.call("admin", "PUT", "/v1/policies/prod", text, "Content-Type", "application/json"), 200, "")
	got := h.call("viewer", "GET", place+"/PROD"+version, "")
	want(t, got, 200, "")
	if !strings.Contains(got.body, `"maxRequestAccessDuration":"PT48H"`) || !strings.Contains(got.body, vm2()) {
		t.Errorf("%s", got.body)
	}
	want(t, h.call("requester", "POST", place+"/prod/initiate"+version, ask(vm1(), fromOffice)), 202, "")
	want(t, h.call("admin", "PUT", place+"/prod"+version, body(vm1(), rule(22, "*", "PT3H"))), 409, "PolicyManagedElsewhere")
	want(t, h.call("admin", "DELETE", place+"/prod"+version, ""), 409, "PolicyManagedElsewhere")
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"))), 409, "Conflict")
}

func TestInitiateRefuses(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "198.51.100.0/24", "PT3H"))), 200, "")
	for port, code := range map[string]string{
		`{"number":22,"duration":"PT4H","allowedSourceAddressPrefix":"198.51.100.7"}`:    "AccessRequestNotAllowed",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}`:     "AccessRequestNotAllowed",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.51.100.1/24"}`: "InvalidRequestContent",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.51.0.0/16"}`:   "AccessRequestNotAllowed",
		`{"number":22,"duration":"PT1H"}`:                                                "AccessRequestNotAllowed", // 127.0.0.1
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"*"}`:               "InvalidRequestContent",
		`{"number":23,"duration":"PT1H"}`:                                                "InvalidRequestContent",
		`{"number":22}`:                                                                  "InvalidRequestContent",
	} {
		r := h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), port))
		if r.status != 400 || r.code(t) != code {
			t.Errorf("%s: %d %s", port, r.status, r.body)
		}
	}
	r := h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), `{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"*"}`))
	if target := r.json(t)["error"].(map[string]any)["target"]; target != "virtualMachines[0].ports[0].allowedSourceAddressPrefix" {
		t.Errorf("target %v", target)
	}
	want(t, h.call("viewer", "POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice)), 403, "AuthorizationFailed")
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm2(), fromOffice)), 400, "InvalidRequestContent")
}

// A subset of what the policy lists may be asked for, and IPv6.
func TestSubsetsAndIPv6(t *testing.T) {
	h := two(t)
	many := `{"number":"22","protocol":"*","allowedSourceAddressPrefixes":["198.51.100.0/24","2001:db8::/32"],"maxRequestAccessDuration":"PT3H"}`
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), many)), 200, "")
	r := h.call("requester", "POST", policyPath+"/initiate"+version, ask(vm1(), `{"number":22,"duration":"PT1H","allowedSourceAddressPrefixes":["198.51.100.64/28","2001:db8::7"]}`))
	want(t, r, 202, "")
	if n := strings.Count(r.body, `"number":22`); n != 1 {
		t.Errorf("both protocols are one port: %s", r.body)
	}
	if !h.admits(vm1(), 22, "198.51.100.70") || !h.admits(vm1(), 22, "2001:db8::7") {
		t.Error("it is not open")
	}
}

// Nothing is granted by halves.
func TestInitiateIsWhole(t *testing.T) {
	h := two(t)
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"), vm2(), rule(22, "*", "PT1H"))), 200, "")
	text := fmt.Sprintf(`{"virtualMachines":[{"id":%q,"ports":[%s]},{"id":%q,"ports":[%s]}]}`, vm1(), fromOffice, vm2(), strings.Replace(fromOffice, "PT1H", "PT2H", 1))
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, text), 400, "AccessRequestNotAllowed")
	h.eventually(func() bool { return !h.admits(vm1(), 22, "198.51.100.7") })
	text = strings.Replace(text, "PT2H", "PT1H", 1)
	want(t, h.call("requester", "POST", policyPath+"/initiate"+version, text), 202, "")
	if !h.admits(vm1(), 22, "198.51.100.7") || !h.admits(vm2(), 22, "198.51.100.7") {
		t.Error("it is not open")
	}
}

func TestBatch(t *testing.T) {
	h := two(t)
	h.token("one", authz.Requester, vm1())
	want(t, h.call("admin", "PUT", policyPath+version, body(vm1(), rule(22, "*", "PT3H"), vm2(), rule(22, "*", "PT3H"))), 200, "")
	member := func(method, url, content string) string {
		return fmt.Sprintf(`{"httpMethod":%q,"name":%q,"requestHeaderDetails":{"commandName":"x"},"url":%q,"content":%s}`, method, method, url, content)
	}
	text := `{"requests":[` + strings.Join([]string{
		member("POST", policyPath+"/initiate"+version, ask(vm1(), fromOffice)),
		member("POST", policyPath+"/initiate"+version, ask(vm2(), fromOffice)),
		member("GET", h.url+policyPath+version, "null"),
		member("DELETE", policyPath+version, "null"),
		member("POST", "/batch?api-version=2020-06-01", `{"requests":[]}`),
		member("GET", "https://elsewhere.example"+policyPath+version, "null"),
		member("GET", "/v1/tokens", "null"),
	}, ",") + `]}`
	r := h.call("one", "POST", "/batch?api-version=2020-06-01", text)
	want(t, r, 200, "")
	var got []int
	for _, x := range r.json(t)["responses"].([]any) {
		got = append(got, int(x.(map[string]any)["httpStatusCode"].(float64)))
	}
	if fmt.Sprint(got) != "[202 400 200 403 400 400 404]" {
		t.Errorf("%v\n%s", got, r.body)
	}
	if h.admits(vm2(), 22, "198.51.100.7") {
		t.Error("a member was not authorised by itself")
	}
}

func TestCloud(t *testing.T) {
	h := two(t)
	for v, list := range map[string]bool{"2015-01-01": false, "2018-05-01": false, "2019-05-01": true, "2022-09-01": true} {
		r := h.call("", "GET", "/metadata/endpoints?api-version="+v, "")
		want(t, r, 200, "")
		if strings.HasPrefix(r.body, "[") != list || !strings.Contains(r.body, `"loginEndpoint":"`+h.url) {
			t.Errorf("%s: %s", v, r.body)
		}
	}
	secret := h.tokens["viewer"]
	r := h.call("", "GET", "/MSI/token/?resource=x&api-version=2017-09-01", "", "Secret", secret)
	want(t, r, 200, "")
	token := r.json(t)["access_token"].(string)
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || !strings.Contains(string(claims), `"tid"`) {
		t.Errorf("%s %v", claims, err)
	}
	h.tokens["dressed"] = token
	subs := h.call("dressed", "GET", "/subscriptions?api-version=2019-11-01", "")
	want(t, subs, 200, "")
	if !strings.Contains(subs.body, sub) {
		t.Errorf("%s", subs.body)
	}
	want(t, h.call("", "GET", "/msi/token?api-version=2019-08-01", "", "X-Identity-Header", secret), 200, "")
	want(t, h.call("", "GET", "/msi/token?api-version=2019-08-01", "", "X-Identity-Header", secret+"x"), 401, "AuthenticationFailed")
	want(t, h.call("", "GET", "/msi/token?api-version=2017-09-01", ""), 401, "AuthenticationFailed")
	for path, has := range map[string]string{
		"/tenants": `"tenantId"`, "/subscriptions/" + sub: `"displayName"`, "/subscriptions/" + sub + "/resourcegroups": `"name":"myRg1"`, inGroup: `"name":"myRg1"`,
		"/subscriptions/" + sub + "/locations": `"westeurope"`, "/subscriptions/" + sub + "/providers": "Microsoft.Security",
		inGroup + "/providers/Microsoft.Compute/virtualMachines": vm2(), vm1(): `"osType":"Linux"`, vm2() + "/instanceView": "PowerState/running",
		inGroup + "/providers/Microsoft.Network/networkInterfaces":                     "10.0.0.4",
		inGroup + "/providers/Microsoft.Network/networkInterfaces/vm1-nic":             `"privateIPAddress":"10.0.0.4"`,
		"/subscriptions/" + sub + "/providers/Microsoft.Network/networkSecurityGroups": "networkSecurityGroups/vm2",
	} {
		r := h.call("viewer", "GET", path+"?api-version=2021-04-01", "")
		if r.status != 200 || !strings.Contains(r.body, has) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	want(t, h.call("viewer", "GET", vm("myRg1", "vm3")+"?api-version=2021-04-01", ""), 404, "ResourceNotFound")
}

// Pages follow each other by nextLink, and hold every policy once.
func TestPages(t *testing.T) {
	var vms []machine
	var names []string
	for i := range 205 {
		m := machine{vm(fmt.Sprintf("rg%d", i), "a"), "westeurope"}
		vms, names = append(vms, m), append(names, fmt.Sprintf("%q", strings.ToLower(m.id)))
	}
	h := build(t, zero, vms...)
	text := `{"name":"all","vms":[` + strings.Join(names, ",") + `],"ports":[{"port":22}]}`
	want(t, h.call("admin", "PUT", "/v1/policies/all", text, "Content-Type", "application/json"), 200, "")
	seen := map[string]bool{}
	path := "/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version
	var sizes []int
	for path != "" {
		page := h.call("viewer", "GET", path, "")
		want(t, page, 200, "")
		v := page.json(t)
		list, _ := v["value"].([]any)
		sizes = append(sizes, len(list))
		for _, x := range list {
			seen[fmt.Sprint(at(x, "id"))] = true
		}
		next, _ := v["nextLink"].(string)
		path = strings.TrimPrefix(next, h.url)
	}
	if fmt.Sprint(sizes) != "[200 5]" || len(seen) != len(vms) {
		t.Errorf("pages of %v, %d policies", sizes, len(seen))
	}
	want(t, h.call("viewer", "GET", place+version+"&$skiptoken=AAAA", ""), 400, "InvalidSkipToken")
}

func TestPaths(t *testing.T) {
	h := two(t)
	for path, status := range map[string]int{
		policyPath: 400, policyPath + "?api-version=2019-01-01": 400, policyPath + "?api-version=2020-01-01&api-version=2020-01-01": 400, policyPath + "?api-version=2020-01-01&API-version=x": 400,
		policyPath + "/initiate" + version: 405, policyPath + "/" + version: 404, policyPath + "%2f" + version: 404, policyPath + "/%2e%2e" + version: 404, policyPath + "/..%2finitiate" + version: 404,
		strings.Replace(policyPath, "default", "%2e", 1) + version: 404, strings.Replace(policyPath, "default", "d%00", 1) + version: 404, strings.Replace(policyPath, sub, "x", 1) + version: 400,
		"/subscriptions/" + version: 200, "//subscriptions" + version: 404, strings.Replace(policyPath, "westeurope", "West%20Europe", 1) + version: 404,
		strings.Replace(policyPath, "/subscriptions", "/ſubscriptions", 1) + version: 404, "/providers" + version: 404, policyPath + "?api-version=2015-06-01-PREVIEW": 404,
		strings.Replace(policyPath, "default", strings.Repeat("a", 500), 1) + version: 400,
	} {
		if r := h.call("admin", "GET", path, ""); r.status != status {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	r := h.call("", "GET", policyPath+version, "")
	want(t, r, http.StatusUnauthorized, "AuthenticationFailed")
	if !strings.HasPrefix(r.header.Get("Www-Authenticate"), "Bearer authorization_uri=") {
		t.Errorf("%v", r.header)
	}
	r = h.call("admin", "GET", policyPath+version, "", "X-Ms-Correlation-Request-Id", sub)
	if r.header.Get("X-Ms-Correlation-Request-Id") != sub {
		t.Errorf("%v", r.header)
	}
	if r := h.call("admin", "GET", place+version, ""); r.header.Get("X-Ms-Ratelimit-Remaining-Subscription-Reads") == "" || r.body != `{"value":[]}` {
		t.Errorf("%v %s", r.header, r.body)
	}
}
