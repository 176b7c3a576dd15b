package server

import (
	"fmt"
	"strings"
	"testing"
)

// List I through HTTP: every bad input is refused with its field named, and
// nothing is changed.
func TestBadInput(t *testing.T) {
	h := build(t)
	ask := func(member string) string {
		out := `{"vm":"web-1","ports":[{"port":22}],"sources":["198.51.100.7"],"duration":"30m"`
		name, _, _ := strings.Cut(member, ":")
		for _, old := range []string{`"vm":"web-1",`, `"ports":[{"port":22}],`, `"sources":["198.51.100.7"],`, `,"duration":"30m"`} {
			if strings.HasPrefix(strings.TrimPrefix(old, ","), name+":") {
				out = strings.Replace(out, old, "", 1)
			}
		}
		return out + "," + member + "}"
	}
	var cases []struct{ name, member, field string }
	add := func(field, format string, values ...string) {
		for _, v := range values {
			cases = append(cases, struct{ name, member, field string }{field + " " + v, fmt.Sprintf(format, v), field})
		}
	}
	// I-01, I-03, I-04: addresses
	add("sources[0]", `"sources":["%s"]`,
		"010.0.0.1", "1.2.3", "0x7f.0.0.1", "2130706433", "１.2.3.4", `1.2.3.4\n`, ` 1.2.3.4`, "1.2.3.4 ",
		"::ffff:1.2.3.4", "::ffff:0:0/96", "::ffff:1.2.3.4/120", "1.2.3.4/032", "1.2.3.4/33", "1.2.3.4/-1",
		"fe80::1%eth0", "[2001:db8::1]", "198.51.100.7:22", `1.2.3.4\u0000`, `1.2.3.4\r\nX: y`, `\u202e1.2.3.4`,
		"198.51.100.7/24", "any", "*", "0.0.0.0/0 ", "example.org", "")
	add("sources", `"sources":%s`, `"198.51.100.7"`, `{}`, `7`, "["+strings.Repeat(`"198.51.100.7",`, 16)+`"198.51.100.8"]`)
	add("sources[0]", `"sources":[%s]`, "7", "null", "[]")
	// I-05: ports
	add("ports[0].port", `"ports":[{"port":%s}]`, "0", "65536", "-1", `"22"`, `"22-3389"`, `"*"`, "22.0", "22e0", "1e2", `"٢٢"`, "true", "[22]", "null", "99999999999999999999")
	add("ports[0].protocol", `"ports":[{"port":22,"protocol":"%s"}]`, "TCP", "icmp", "6", "tcp ")
	add("ports", `"ports":%s`, "[]", "22", `{"port":22}`, "["+strings.Repeat(`{"port":22},`, 16)+`{"port":23}]`, `[{"port":22},{"port":22}]`)
	add("ports[0].port", `"ports":[%s]`, "{}")
	add("ports[0].port", `"ports":[{"port":%s}]`, "")
	cases = cases[:len(cases)-1] // an empty value is no JSON
	// I-06: durations
	add("duration", `"duration":%s`, `"0"`, `"0s"`, `"-1h"`, `"NaN"`, `"1e9h"`, `"9223372036854775808h"`, `"1.5h"`, `"forever"`, "null", "3600", `"PT1H"`, `"1h "`, `"169h"`, `"59s"`, `"1m1h"`, `"٣h"`)
	// I-07: dates
	add("start", `"start":%s`, `"2030-01-01T00:00:00"`, `"2030-01-01T00:00:60Z"`, `"2030-01-01T24:00:00Z"`, `"0000-01-01T00:00:00Z"`,
		`"9999-12-31T00:00:00Z"`, `"10000-01-01T00:00:00Z"`, `"2030-01-01T00:00:00,5Z"`, `"2030-01-01T1:00:00Z"`, `"yesterday"`, "0", "null", `"2020-01-01T00:00:00Z"`, `"2030-02-30T00:00:00Z"`)
	// I-10: reasons
	add("reason", `"reason":%s`, `"a\nb"`, `"\u001b[31m"`, `"\u202eevil"`, `"a\u0000b"`, `"`+strings.Repeat("x", 501)+`"`, "7", `"\u2028"`)
	// names
	add("vm", `"vm":%s`, "null", "7", "[]", `""`)
	// Z-17, I-08: fields that are not the caller's to say
	add("status", `%s`, `"status":"approved"`)
	add("deadline", `%s`, `"deadline":"2030-01-01T00:00:00Z"`)
	add("principal", `%s`, `"principal":{}`)
	add("VM", `%s`, `"VM":"web-1"`)
	add("Duration", `%s`, `"Duration":"1h"`)
	add("reason", `%s`, `"reason":"a","reason":"b"`)
	add("ports[0].Port", `"ports":[{"port":22,"Port":23}]%s`, "")
	add("ports[0].port", `"ports":[{"port":22,"port":23}]%s`, "")
	h.quiet()
	before := h.size()
	for _, c := range cases {
		r := h.call("requester", "POST", "/v1/requests", ask(c.member))
		if r.code != 400 {
			t.Errorf("%s: %d %s", c.name, r.code, r.body)
			continue
		}
		p := r.problem(t)
		if len(p.Errors) != 1 || p.Errors[0].Field != c.field || p.Errors[0].Want == "" || !strings.Contains(p.Detail, c.field) {
			t.Errorf("%s: names %+v: %s", c.name, p.Errors, p.Detail)
		}
	}
	if after := h.size(); after != before {
		t.Errorf("bad input left %d records", after-before)
	}
}

// What is well formed and not allowed is a denial with its reasons (I-02, I-03).
func TestSourcesThatNoPolicyAllows(t *testing.T) {
	h := build(t)
	for _, source := range []string{"0.0.0.0/0", "0.0.0.0/1", "::/0", "2001:db8::/32", "169.254.169.254", "168.63.129.16", "fd00:ec2::254", "224.0.0.1", "100.64.0.1", "64:ff9b::a9fe:a9fe", "198.51.100.0/25"} {
		r := h.call("requester", "POST", "/v1/requests", `{"vm":"web-1","ports":[{"port":22}],"sources":["`+source+`"],"duration":"30m"}`)
		if r.code != 403 || !strings.Contains(r.problem(t).Detail, "source "+source) {
			t.Errorf("%s: %d %s", source, r.code, r.body)
		}
	}
}

func TestBadJSON(t *testing.T) {
	h := build(t)
	h.quiet()
	before := h.size()
	for name, body := range map[string]string{
		"empty":         " ",
		"trailing":      `{"duration":"1h"}{"duration":"9h"}`,
		"trailing text": `{"duration":"1h"} x`,
		"bom":           "\ufeff{\"duration\":\"1h\"}",
		"utf-8":         "{\"duration\":\"1h\xff\"}",
		"utf-8 key":     "{\"durat\xffion\":\"1h\"}",
		"deep":          strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		"deeper":        `{"duration":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 41),
		"list":          `["1h"]`,
		"text":          `"1h"`,
		"number":        `1e999999`,
		"cut":           `{"duration":"1h"`,
		"comment":       `{"duration":"1h"} // x`,
		"quotes":        `{'duration':'1h'}`,
		"surrogate":     `{"duration":"\ud800"}`,
	} {
		r := h.call("requester", "POST", "/v1/grants/g-0000000000000000/extend", body)
		if r.code != 400 {
			t.Errorf("%s: %d %s", name, r.code, r.body)
			continue
		}
		r.problem(t)
	}
	if h.size() != before {
		t.Error("something was recorded")
	}
}

func TestBadQueries(t *testing.T) {
	h := build(t)
	for path, field := range map[string]string{
		"/v1/grants?limit=0":                                       "limit",
		"/v1/grants?limit=1001":                                    "limit",
		"/v1/grants?limit=010":                                     "limit",
		"/v1/grants?limit=1&limit=2":                               "limit",
		"/v1/grants?Limit=1":                                       "query",
		"/v1/grants?verbose=1":                                     "query",
		"/v1/grants?state=open":                                    "state",
		"/v1/grants?vm=":                                           "vm",
		"/v1/grants?cursor=forged":                                 "cursor",
		"/v1/grants?cursor=" + strings.Repeat("9", 2000):           "cursor",
		"/v1/vms?x=1":                                              "query",
		"/v1/activity?since=yesterday":                             "since",
		"/v1/activity?until=2030-01-01T00:00:00":                   "until",
		"/v1/activity?kind=grant.stolen":                           "kind",
		"/v1/activity?grant=g-1":                                   "grant",
		"/v1/activity?request=r-UPPER":                             "request",
		"/v1/activity?q=%00":                                       "q",
		"/v1/activity?q=%ff":                                       "q",
		"/v1/explain?vm=web-1&port=022":                            "port",
		"/v1/explain?vm=web-1&port=0":                              "port",
		"/v1/explain?vm=web-1":                                     "port",
		"/v1/explain?port=22":                                      "vm",
		"/v1/explain?vm=web-1&port=22&protocol=icmp":               "protocol",
		"/v1/explain?vm=web-1&port=22&source=::ffff:1.2.3.4":       "source",
		"/v1/explain?vm=web-1&port=22&source=fe80::1%25eth0":       "source",
		"/v1/grants/g-1":                                           "grant",
		"/v1/grants/g-0000000000000000%0a":                         "grant",
		"/v1/requests/..%2f..%2fetc":                               "request",
		"/v1/explain?vm=web-1&port=22&source=198.51.100.7&source=": "source",
	} {
		r := h.call("admin", "GET", path, "")
		if r.code != 400 {
			t.Errorf("%s: %d %s", path, r.code, r.body)
			continue
		}
		if p := r.problem(t); len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("%s: names %+v: %s", path, p.Errors, p.Detail)
		}
	}
	for _, path := range []string{"/v1/grants?a=%zz", "/v1/grants?a=1;b=2"} {
		if r := h.call("admin", "GET", path, ""); r.code != 400 {
			t.Errorf("%s: %d", path, r.code)
		}
	}
	for _, path := range []string{"/v1/vms/nope", "/v1/vms/WEB-1", "/v1/vms/web-1.", "/v1/vms/host:%2F%2Fweb-1%2F..", "/v1/policies/nope", "/v1/grants?vm=nope", "/v1/grants/g-0000000000000000"} {
		if r := h.call("admin", "GET", path, ""); r.code != 404 {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
}

func TestBadPolicies(t *testing.T) {
	h := build(t)
	h.quiet()
	before := h.size()
	for body, field := range map[string]string{
		"name: other\nvms: [host://web-1]\nports: [{port: 22}]\n":                   "name",
		"vms: [host://web-1]\nports: [{port: 22}]\n":                                "name",
		"name: x\nvms: [web-1]\nports: [{port: 22}]\n":                              "vms[0]",
		"name: x\nvms: [host://web-1]\nports: [{port: 022}]\n":                      "ports[0].port",
		"name: x\nvms: [host://web-1]\nports: [{port: 22, max: forever}]\n":         "ports[0].max",
		"name: x\nvms: [host://web-1]\nports: [{port: 22, sources: [0.0.0.0/0]}]\n": "ports[0].sources[0]",
		`{"name":"x","vms":["host://web-1"],"ports":[{"port":22}],"Cut":true}`:      "",
		`{"name":"x","name":"x","vms":["host://web-1"],"ports":[{"port":22}]}`:      "",
		"a: &a [*a]\n": "",
	} {
		r := h.call("admin", "PUT", "/v1/policies/x", body)
		if r.code != 400 {
			t.Errorf("%q: %d %s", body, r.code, r.body)
			continue
		}
		if p := r.problem(t); field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != field) {
			t.Errorf("%q: names %+v: %s", body, p.Errors, p.Detail)
		}
	}
	for body, want := range map[string]int{
		"name: x\nvms: [host://nope]\nports: [{port: 22}]\n":  404,
		"name: x\nvms: [host://web-1]\nports: [{port: 22}]\n": 409, // web-1-ssh has it
	} {
		if r := h.call("admin", "PUT", "/v1/policies/x", body); r.code != want {
			t.Errorf("%q: %d %s", body, r.code, r.body)
		}
	}
	if h.size() != before {
		t.Error("something was recorded")
	}
}

func TestBadTokens(t *testing.T) {
	h := build(t)
	for body, field := range map[string]string{
		`{"name":"root","role":"viewer"}`:                                   "name",
		`{"name":"A b","role":"viewer"}`:                                    "name",
		`{"role":"viewer"}`:                                                 "name",
		`{"name":"x","role":"owner"}`:                                       "role",
		`{"name":"x","role":"viewer","lifetime":"0s"}`:                      "lifetime",
		`{"name":"x","role":"viewer","lifetime":"1000000h"}`:                "lifetime",
		`{"name":"x","role":"viewer","secret":"sesame_mine"}`:               "secret",
		`{"name":"x","role":"viewer","vms":"web-1"}`:                        "vms",
		`{"name":"x","role":"viewer","expires":"2030-01-01T00:00:00.000Z"}`: "expires",
	} {
		r := h.call("admin", "POST", "/v1/tokens", body)
		if r.code != 400 {
			t.Errorf("%s: %d %s", body, r.code, r.body)
			continue
		}
		if p := r.problem(t); len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("%s: names %+v: %s", body, p.Errors, p.Detail)
		}
	}
}
