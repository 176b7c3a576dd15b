package arm_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

const (
	groupPath   = "/subscriptions/" + sub + "/resourceGroups/" + group
	networkPath = groupPath + "/providers/Microsoft.Network/"
	nsgPath     = networkPath + "networkSecurityGroups/web-nsg"
)

// newLocal returns a stage that is reached without a network.
func newLocal(t *testing.T, c cloudsim.Config) *stage {
	t.Helper()
	s := &stage{Simulator: cloudsim.New(c), url: "https://arm.test"}
	s.client = s.Client()
	s.build(t)
	return s
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
	err    error
}

// do sends a request; headers are "Name: value".
func (s *stage) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	if !strings.Contains(path, "api-version") {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "api-version=2025-05-01"
	}
	r := must(http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))(t)
	r.Header.Set("Authorization", "Bearer "+s.Token())
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
		if v == "" {
			r.Header.Del(k)
		}
	}
	response, err := s.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	text := must(io.ReadAll(response.Body))(t)
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.body)
	return a
}

// at returns what lies at a path such as "error.details.0.code".
func (a answer) at(path string) any {
	var v any = a.body
	for step := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) want(t *testing.T, status int, pairs ...any) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s (%v)", a.status, status, a.text, a.err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if got := a.at(pairs[i].(string)); got != pairs[i+1] {
			t.Errorf("%s is %v, want %v: %s", pairs[i], got, pairs[i+1], a.text)
		}
	}
}

// rule returns the document of a rule as somebody writes it; more are members of
// its properties that come first.
func rule(priority int, more ...string) string {
	p := map[string]any{
		"protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority,
		"sourcePortRange": "*", "destinationPortRange": "22", "sourceAddressPrefix": "8.8.8.8", "destinationAddressPrefix": "10.0.0.4",
	}
	for _, m := range more {
		var x map[string]any
		if err := json.Unmarshal([]byte("{"+m+"}"), &x); err != nil {
			panic(err)
		}
		for k, v := range x {
			p[k] = v
			if v == nil {
				delete(p, k)
			}
		}
	}
	text, err := json.Marshal(map[string]any{"properties": p})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// What a new group looked like when az made one in 2022: order, both twins, and
// one entity tag for everything.
func TestRecordedGroup(t *testing.T) {
	s := newLocal(t, cloudsim.Config{Config: rp.Config{Latency: 1}})
	a := s.do(t, "PUT", networkPath+"networkSecurityGroups/test-nsg1", `{"location": "westus", "tags": {"foo": "doo"}}`)
	a.want(t, 201, "properties.provisioningState", "Updating")
	if a.header.Get("Azure-AsyncOperation") == "" || a.header.Get("Azure-AsyncNotification") != "Enabled" || a.header.Get("Retry-After") != "" {
		t.Errorf("headers: %v", a.header)
	}
	etag, id := a.at("etag").(string), networkPath+"networkSecurityGroups/test-nsg1"
	first, _, _ := strings.Cut(a.text, `,{"name":"AllowAzureLoadBalancerInBound"`)
	want := fmt.Sprintf(`{"name":"test-nsg1","id":%q,"etag":%q,"type":"Microsoft.Network/networkSecurityGroups","location":"westus","tags":{"foo": "doo"},"properties":{"provisioningState":"Updating","resourceGuid":%q,"securityRules":[],"defaultSecurityRules":[{"name":"AllowVnetInBound","id":"%s/defaultSecurityRules/AllowVnetInBound","etag":%q,"type":"Microsoft.Network/networkSecurityGroups/defaultSecurityRules","properties":{"provisioningState":"Updating","description":"Allow inbound traffic from all VMs in VNET","protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"VirtualNetwork","destinationAddressPrefix":"VirtualNetwork","access":"Allow","priority":65000,"direction":"Inbound","sourcePortRanges":[],"destinationPortRanges":[],"sourceAddressPrefixes":[],"destinationAddressPrefixes":[]}}`,
		id, etag, a.at("properties.resourceGuid"), id, etag)
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	poll := s.do(t, "GET", a.header.Get("Azure-AsyncOperation"), "")
	if poll.text != `{"status":"Succeeded"}` {
		t.Errorf("the operation says %s", poll.text)
	}
	after := s.do(t, "GET", id, "")
	after.want(t, 200, "properties.provisioningState", "Succeeded")
	if after.at("etag") == etag {
		t.Error("the entity tag did not change when the operation ended")
	}
	again := s.do(t, "PUT", id, after.text)
	again.want(t, 200, "properties.provisioningState", "Succeeded", "etag", after.at("etag"))
	if again.text != after.text {
		t.Error("writing back what was read changed something")
	}
}

// The answer to a stale entity tag, as it was recorded.
func TestRecordedPreconditionFailed(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	current := s.do(t, "GET", nsgPath, "").at("etag").(string)
	for path, body := range map[string]string{nsgPath: `{"location":"westeurope"}`, nsgPath + "/securityRules/office": rule(100)} {
		a := s.do(t, "PUT", path, body, `If-Match: W/"old"`)
		want := `{"error":{"code":"PreconditionFailed","details":[{"code":"PreconditionFailedEtagMismatch","details":[],"message":"Etag provided in if-match header W/\"old\" does not match etag ` +
			strings.ReplaceAll(current, `"`, `\"`) + ` of resource ` + path + ` in NRP data store."}],"message":"Precondition failed."}}`
		if a.status != 412 || a.text != want {
			t.Errorf("%d %s\nwant %s", a.status, a.text, want)
		}
	}
	s.do(t, "PUT", nsgPath+"/securityRules/office", rule(100), "If-Match: "+current).want(t, 200)
	s.do(t, "DELETE", nsgPath+"/securityRules/office", "", "If-Match: "+current).want(t, 412)
	s.do(t, "PUT", nsgPath+"/securityRules/office", rule(101), "If-None-Match: *").want(t, 412)
	s.do(t, "PUT", nsgPath+"/securityRules/y", rule(102), "If-None-Match: *").want(t, 201)
	s.do(t, "PUT", nsgPath+"/securityRules/z", rule(103), "If-Match: *").want(t, 412)
}

// What customers' groups were seen to hold: Defender's rules, in either
// generation of names.
func TestRecordedDefenderRules(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	for i, name := range []string{
		"SecurityCenter-JITRule_-1105480617_9EF6964FE766478B9EC568B32FB82045", "SecurityCenter-JITRule-1170687618-8C18BF8921F041989344B4F1E3A0C370",
		"MicrosoftDefenderForCloud-JITRule_-1151891693_545C5DBC675443D3BF179EFD1EF8254D", "MicrosoftDefenderForCloud-JITRule_2114225062_213199037216425D9204C19E2158183D",
	} {
		s.do(t, "PUT", nsgPath+"/securityRules/"+name, rule(4093+i, `"description":"ASC JIT Network Access rule for policy 'default' of VM 'W2K22DataCenterAz'.","protocol":"*","sourceAddressPrefix":"*"`)).
			want(t, 201, "name", name, "properties.priority", float64(4093+i))
	}
}

func TestValidation(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	long := strings.Repeat("x", 141)
	manyASGs := `"sourceAddressPrefix":null,"sourceApplicationSecurityGroups":[` + strings.TrimSuffix(strings.Repeat(`{"id":"`+networkPath+`applicationSecurityGroups/a"},`, 11), ",") + `]`
	for _, tt := range []struct{ name, document, code string }{
		{"a", rule(99), "SecurityRuleInvalidPriority"},
		{"a", rule(4097), "SecurityRuleInvalidPriority"},
		{"a", rule(100, `"priority":"100"`), "InvalidRequestFormat"},
		{"a", rule(100, `"priority":null`), "SecurityRuleParametersMissing"},
		{"a", rule(300), "SecurityRuleConflict"},
		{"a", rule(100, `"access":"Maybe"`), "InvalidRequestFormat"},
		{"a", rule(100, `"protocol":"Tcp,Udp"`), "InvalidRequestFormat"},
		{"a", rule(100, `"direction":null`), "SecurityRuleParametersMissing"},
		{"a", rule(100, `"description":"`+long+`"`), "InvalidRequestFormat"},
		{"a", rule(100, `"destinationPortRange":"80,443"`), "SecurityRuleInvalidPortRange"},
		{"a", rule(100, `"destinationPortRange":"70000"`), "SecurityRuleInvalidPortRange"},
		{"a", rule(100, `"destinationPortRange":"90-80"`), "SecurityRuleInvalidPortRange"},
		{"a", rule(100, `"destinationPortRange":null`), "SecurityRuleParametersMissing"},
		{"a", rule(100, `"destinationPortRanges":["80"]`), "InvalidRequestFormat"},
		{"a", rule(100, `"sourceAddressPrefix":null`), "SecurityRuleParametersMissing"},
		{"a", rule(100, `"sourceAddressPrefixes":["1.1.1.1"]`), "InvalidRequestFormat"},
		{"a", rule(100, `"sourceAddressPrefix":"10.0.0.1/24"`), "SecurityRuleInvalidAddressPrefix"},
		{"a", rule(100, `"sourceAddressPrefix":"10.0.0.256"`), "SecurityRuleInvalidAddressPrefix"},
		{"a", rule(100, `"sourceAddressPrefix":"AzureBastionSubnet"`), "SecurityRuleInvalidAddressPrefix"},
		{"a", rule(100, `"sourceAddressPrefix":null,"sourceAddressPrefixes":["Internet"]`), "SecurityRuleParameterContainsUnsupportedValue"},
		{"a", rule(100, `"sourceAddressPrefix":null,"sourceAddressPrefixes":["*"]`), "SecurityRuleParameterContainsUnsupportedValue"},
		{"a", rule(100, `"sourceAddressPrefix":"2001:db8::1"`), "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies"},
		{"a", rule(100, `"sourceAddressPrefix":"AzurePlatformDNS"`), "SecurityRuleInvalidAccessType"},
		{"a", rule(100, manyASGs), "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached"},
		{"a", rule(100, `"sourceAddressPrefix":null,"sourceApplicationSecurityGroups":[{"id":"`+networkPath+`applicationSecurityGroups/none"}]`), "InvalidResourceReference"},
		{"a", rule(100, `"sourceAddressPrefix":null,"sourceApplicationSecurityGroups":[{"id":"/none"}]`), "LinkedInvalidPropertyId"},
		{"a.", rule(100), "InvalidResourceName"},
		{"-a", rule(100), "InvalidResourceName"},
		{strings.Repeat("a", 81), rule(100), "InvalidResourceName"},
		{"a", `{"name":"b","properties":{}}`, "InvalidRequestFormat"},
		{"a", `{"properties":{},"Properties":{}}`, "InvalidRequestContent"},
		{"a", `[]`, "InvalidRequestContent"},
	} {
		a := s.do(t, "PUT", nsgPath+"/securityRules/"+tt.name, tt.document)
		if a.status != 400 || a.at("error.code") != tt.code {
			t.Errorf("%s %s: %d %s", tt.name, tt.document, a.status, a.text)
		}
	}
	// What is at the edge is accepted.
	for i, document := range []string{
		rule(100), rule(4096), rule(300, `"direction":"Outbound"`), rule(101, `"description":"`+long[:140]+`"`), rule(102, `"protocol":"TCP","access":"allow"`),
		rule(103, `"sourceAddressPrefix":"Storage.WestEurope"`), rule(104, `"sourceAddressPrefix":"AzurePlatformDNS","access":"Deny"`),
	} {
		s.do(t, "PUT", fmt.Sprintf("%s/securityRules/edge%d", nsgPath, i), document).want(t, 201)
	}
	s.do(t, "PUT", nsgPath+"/securityRules/_"+strings.Repeat("a", 79), rule(105)).want(t, 201)
}

func TestGroupLimits(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	build := func(n, addresses int) string {
		var rules []string
		for i := range n {
			var list []string
			for j := range addresses {
				list = append(list, fmt.Sprintf(`"9.%d.%d.%d"`, i, j/256, j%256))
			}
			from := `"sourceAddressPrefix":"8.8.8.8"`
			if addresses > 0 {
				from = `"sourceAddressPrefix":null,"sourceAddressPrefixes":[` + strings.Join(list, ",") + `]`
			}
			rules = append(rules, strings.Replace(rule(100+i, from), "{", fmt.Sprintf(`{"name":"r%d",`, i), 1))
		}
		return `{"location":"westeurope","properties":{"securityRules":[` + strings.Join(rules, ",") + `]}}`
	}
	path := networkPath + "networkSecurityGroups/big"
	s.do(t, "PUT", path, build(1000, 0)).want(t, 201)
	s.do(t, "PUT", path, build(1001, 0)).want(t, 400, "error.code", "SecurityRuleCountLimitReached")
	s.do(t, "PUT", path+"/securityRules/more", rule(4000)).want(t, 400, "error.code", "SecurityRuleCountLimitReached")
	s.do(t, "PUT", path, build(4, 1000)).want(t, 200)
	s.do(t, "PUT", path, build(4, 1001)).want(t, 400)
	s.do(t, "PUT", path, `{"location":"eastus"}`).want(t, 409, "error.code", "InvalidResourceLocation")
	s.do(t, "PUT", path, `{}`).want(t, 400, "error.code", "LocationRequired")
	s.do(t, "PUT", path, `{"location":"westeurope","properties":{"securityRules":[`+strings.Repeat(strings.Replace(rule(100), "{", `{"name":"a",`, 1)+",", 1)+strings.Replace(rule(101), "{", `{"name":"A",`, 1)+`]}}`).want(t, 400)
}

// A part of a whole is left alone, byte for byte: unknown members, numbers and
// spaces as they were written.
func TestUnknownFieldsSurvive(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	const odd = `{"name":"odd","x-note": {"a":1e2,  "b":[1, 2]},"properties":{"protocol":"TCP","access":"Allow","direction":"Inbound","priority":200,"sourcePortRange":"*","destinationPortRange":"1","sourceAddressPrefix":"*","destinationAddressPrefix":"*","future": {"z":1.50, "y":null}}}`
	s.do(t, "PUT", nsgPath, `{"location":"westeurope","zones": [ "1" ],"properties":{"flushConnection":true,"securityRules":[`+odd+`]}}`).want(t, 200)
	before := string(must(s.Document(nsgPath))(t))
	for _, part := range []string{`"zones":[ "1" ]`, `"flushConnection":true`, `"x-note":{"a":1e2,  "b":[1, 2]}`, `"future":{"z":1.50, "y":null}`} {
		if !strings.Contains(before, part) {
			t.Errorf("%s is not in %s", part, before)
		}
	}
	if got := string(must(s.Document(nsgPath + "/securityRules/ODD"))(t)); !strings.HasPrefix(got, `{"name":"odd","x-note":{"a":1e2,  "b":[1, 2]},`) {
		t.Errorf("the rule is stored as %s", got)
	}
	s.do(t, "PUT", nsgPath+"/securityRules/mine", rule(100)).want(t, 201)
	s.do(t, "PUT", nsgPath, s.do(t, "GET", nsgPath, "").text).want(t, 200)
	s.do(t, "PATCH", nsgPath, `{"tags":{"a":"b"}}`).want(t, 200, "tags.a", "b")
	s.do(t, "PATCH", nsgPath, `{"tags":{}}`).want(t, 200)
	s.do(t, "DELETE", nsgPath+"/securityRules/MINE", "").want(t, 202)
	s.do(t, "DELETE", nsgPath+"/securityRules/mine", "").want(t, 204)
	after := strings.Replace(string(must(s.Document(nsgPath))(t)), `,"tags":{}`, "", 1)
	if before != after {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	s.do(t, "GET", strings.ToUpper(nsgPath), "").want(t, 200, "id", nsgPath)
}

func TestWhatIsNotThere(t *testing.T) {
	s := newLocal(t, cloudsim.Config{PageSize: 2})
	for _, tt := range []struct {
		method, path string
		status       int
		code         any
	}{
		{"GET", nsgPath + "x", 404, "ResourceNotFound"},
		{"GET", nsgPath + "/securityRules/none", 404, "NotFound"},
		{"GET", nsgPath + "/defaultSecurityRules/DenyAllInBound", 200, nil},
		{"GET", nsgPath + "/defaultSecurityRules", 200, nil},
		{"GET", nsgPath + "/nothing", 404, "InvalidResourceType"},
		{"GET", strings.Replace(nsgPath, group, "other", 1), 404, "ResourceGroupNotFound"},
		{"PUT", strings.Replace(nsgPath, group, "other", 1), 404, "ResourceGroupNotFound"},
		{"GET", networkPath + "gateways/x", 404, "InvalidResourceType"},
		{"GET", "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups", 404, "SubscriptionNotFound"},
		{"GET", networkPath + "networkSecurityGroups?$skipToken=***", 400, "InvalidSkipToken"},
		{"GET", networkPath + "networkSecurityGroups?$top=no", 400, "InvalidQueryParameterValue"},
		{"GET", networkPath + "networkSecurityGroups?api-version=now", 400, "InvalidApiVersionParameter"},
		{"GET", networkPath + "networkSecurityGroups?api-version=", 400, "MissingApiVersionParameter"},
		{"DELETE", nsgPath + "x", 204, nil},
		{"DELETE", nsgPath, 400, "InUseNetworkSecurityGroupCannotBeDeleted"},
		{"DELETE", networkPath + "virtualNetworks/net/subnets/default", 400, "InUseSubnetCannotBeDeleted"},
		{"POST", nsgPath + "/dance", 404, "NotFound"},
		{"GET", "/providers/Microsoft.Management/managementGroups/SIMULATED/subscriptions", 200, nil},
		{"GET", "/providers/Microsoft.Management/managementGroups/simulated/descendants", 200, nil},
		{"GET", "/providers/Microsoft.Management/managementGroups/none/subscriptions", 404, "NotFound"},
		{"GET", "/subscriptions/" + sub, 200, nil},
		{"GET", "/subscriptions/" + sub + "/locations", 200, nil},
		{"GET", "/subscriptions/" + sub + "/providers/Microsoft.Network", 200, nil},
		{"GET", "/subscriptions/" + sub + "/resourceGroups", 200, nil},
		{"GET", groupPath, 200, nil},
		{"GET", "/tenants", 200, nil},
		{"GET", networkPath + "virtualNetworks/net/subnets", 200, nil},
		{"GET", "/", 404, "NotFound"},
	} {
		a := s.do(t, tt.method, tt.path, `{"location":"westeurope"}`)
		if a.status != tt.status || a.at("error.code") != tt.code {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, a.status, a.text)
		}
	}
	if _, err := s.Document(nsgPath + "/securityRules/none"); err == nil {
		t.Error("what is not there has a document")
	}
	s.do(t, "PUT", nsgPath+"2", strings.Repeat(" ", 5<<20)).want(t, 413, "error.code", "RequestContentTooLarge")
}

func TestPages(t *testing.T) {
	s := newLocal(t, cloudsim.Config{PageSize: 4})
	b := s.Builder(group)
	for i := range 9 {
		must(b.ASG(fmt.Sprintf("a%d", i)))(t)
	}
	other := b
	other.Group = "rg2" // whose name begins like the first one's
	must(other.ASG("z"))(t)
	read := func(path string) (names []string, pages int) {
		for path != "" {
			a := s.do(t, "GET", path, "")
			a.want(t, 200)
			for i := 0; a.at(fmt.Sprintf("value.%d", i)) != nil; i++ {
				names = append(names, a.at(fmt.Sprintf("value.%d.name", i)).(string))
			}
			path, _ = a.at("nextLink").(string)
			pages++
		}
		return names, pages
	}
	all := "/subscriptions/" + sub + "/providers/Microsoft.Network/applicationSecurityGroups"
	if names, pages := read(all); len(names) != 10 || pages != 3 {
		t.Errorf("the subscription: %v in %d pages", names, pages)
	}
	if names, _ := read(networkPath + "applicationSecurityGroups"); len(names) != 9 {
		t.Errorf("the group: %v", names)
	}
	if names, pages := read(all + "?$top=2"); len(names) != 10 || pages != 5 {
		t.Errorf("two at a time: %v in %d pages", names, pages)
	}
	for i := range 5 {
		s.do(t, "PUT", fmt.Sprintf("%s/securityRules/r%d", nsgPath, i), rule(100+i)).want(t, 201)
	}
	if names, pages := read(nsgPath + "/securityRules"); len(names) != 6 || pages != 2 {
		t.Errorf("children: %v in %d pages", names, pages)
	}
}

func TestReferences(t *testing.T) {
	s := newLocal(t, cloudsim.Config{})
	nic := networkPath + "networkInterfaces/web-nic"
	other := strings.ReplaceAll(s.do(t, "GET", nic, "").text, "web-nic", "web-nic2")
	s.do(t, "PUT", nic+"2", other).want(t, 400, "error.code", "PrivateIPAddressIsAllocated")
	s.do(t, "PUT", nic, strings.Replace(s.do(t, "GET", nic, "").text, "web-nsg", "none", 1)).want(t, 400, "error.code", "InvalidResourceReference")
	s.do(t, "PUT", nic, `{"location":"westeurope","properties":{}}`).want(t, 400)
	s.do(t, "GET", nsgPath, "").want(t, 200, "properties.networkInterfaces.0.id", nic, "properties.subnets", nil)
	free := strings.Replace(s.do(t, "GET", nic, "").text, `,"networkSecurityGroup":{"id":"`+nsgPath+`"}`, "", 1)
	s.do(t, "PUT", nic, free).want(t, 200)
	s.do(t, "GET", nsgPath, "").want(t, 200, "properties.networkInterfaces", nil)
	subnet := networkPath + "virtualNetworks/net/subnets/default"
	s.do(t, "PUT", subnet, `{"properties":{"addressPrefix":"10.0.0.0/24","networkSecurityGroup":{"id":"`+nsgPath+`"}}}`).want(t, 200)
	s.do(t, "GET", nsgPath, "").want(t, 200, "properties.subnets.0.id", subnet)
	s.do(t, "GET", networkPath+"publicIPAddresses/web-ip", "").want(t, 200, "properties.ipConfiguration.id", nic+"/ipConfigurations/ipconfig1")
	s.do(t, "GET", nic, "").want(t, 200, "properties.virtualMachine.id", s.vm)
	s.do(t, "DELETE", s.vm, "").want(t, 202)
	s.do(t, "GET", s.vm, "").want(t, 404)
	s.do(t, "GET", nic, "").want(t, 200, "properties.virtualMachine", nil)
}

func TestWhoMayDoWhat(t *testing.T) {
	identity := func(name string, actions ...string) gate.Identity {
		return gate.Identity{Name: name, Token: name, Object: name + "-id", Actions: actions, Scopes: []string{groupPath}}
	}
	s := newLocal(t, cloudsim.Config{Identities: []gate.Identity{
		identity("reader", "*/read"),
		identity("opener", "*/read", "Microsoft.Network/networkSecurityGroups/securityRules/write"),
		identity("closer", "*/read", "Microsoft.Network/networkSecurityGroups/securityRules/delete"),
		identity("attacher", "*/read", "Microsoft.Network/networkInterfaces/write", "Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.Network/publicIPAddresses/join/action"),
	}})
	as := func(name string) string { return "Authorization: Bearer " + name }
	child := nsgPath + "/securityRules/x"
	for _, tt := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"reader", "GET", nsgPath, "", 200},
		{"reader", "GET", networkPath + "networkSecurityGroups", "", 200},
		{"reader", "GET", "/subscriptions/" + sub + "/providers/Microsoft.Network/networkSecurityGroups", "", 403},
		{"reader", "PUT", child, rule(100), 403},
		{"closer", "PUT", child, rule(100), 403},
		{"opener", "PUT", nsgPath, `{"location":"westeurope"}`, 403},
		{"opener", "PUT", child, rule(100), 201},
		{"opener", "DELETE", child, "", 403},
		{"closer", "DELETE", child, "", 202},
		{"reader", "POST", networkPath + "networkInterfaces/web-nic/effectiveNetworkSecurityGroups", "", 403},
		{"nobody", "GET", nsgPath, "", 401},
	} {
		a := s.do(t, tt.method, tt.path, tt.body, as(tt.who))
		if a.status != tt.status {
			t.Errorf("%s %s %s: %d %s", tt.who, tt.method, tt.path, a.status, a.text)
		}
		if a.status == 403 && a.at("error.code") != "AuthorizationFailed" || a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s %s %s: %s %v", tt.who, tt.method, tt.path, a.text, a.header)
		}
	}
	s.do(t, "GET", nsgPath, "", "Authorization: ").want(t, 401, "error.code", "AuthenticationFailed")
	nic := networkPath + "networkInterfaces/web-nic"
	s.do(t, "PUT", nic, s.do(t, "GET", nic, "", as("reader")).text, as("attacher")).want(t, 403, "error.code", "LinkedAuthorizationFailed")
}

func TestOpenEndpoints(t *testing.T) {
	s := newLocal(t, cloudsim.Config{Secret: "sesame", Subscriptions: []world.Subscription{{ID: sub, Name: "a", Tenant: "t", ManagementGroup: "m"}}})
	s.do(t, "GET", "/metadata/endpoints?api-version=2015-01-01", "", "Authorization: ").want(t, 200, "authentication.loginEndpoint", s.url, "name", nil)
	s.do(t, "GET", "/metadata/endpoints?api-version=2022-09-01", "", "Authorization: ").want(t, 200, "resourceManager", s.url)
	path := "/MSI/token/?resource=x&api-version=2017-09-01"
	a := s.do(t, "GET", path, "", "Authorization: ", "Secret: sesame")
	a.want(t, 200, "access_token", s.Token(), "resource", "x", "token_type", "Bearer")
	if text, ok := a.at("expires_on").(string); !ok || !strings.HasSuffix(text, " +00:00") {
		t.Errorf("the form of 2017 has %v", a.at("expires_on"))
	}
	s.do(t, "GET", path, "", "Authorization: ", "Secret: guess").want(t, 401)
	s.do(t, "GET", path, "", "Authorization: ").want(t, 401)
	path = "/msi/token?api-version=2019-08-01&resource=x"
	a = s.do(t, "GET", path, "", "Authorization: ", "X-Identity-Header: sesame")
	a.want(t, 200, "access_token", s.Token(), "resource", "x", "token_type", "Bearer")
	text, _ := a.at("expires_on").(string)
	if at, err := strconv.ParseInt(text, 10, 64); err != nil || time.Until(time.Unix(at, 0)) < time.Hour {
		t.Errorf("the form of 2019 has %v", a.at("expires_on"))
	}
	s.do(t, "GET", path, "", "Authorization: ", "Secret: sesame").want(t, 401)
}
