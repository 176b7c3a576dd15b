package arm_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

const (
	sub = "20ff7fc3-e762-44dd-bd96-b71116dcdc23"
	vm1 = "/subscriptions/" + sub + "/resourceGroups/myRg1/providers/Microsoft.Compute/virtualMachines/vm1"
	vm2 = "/subscriptions/" + sub + "/resourceGroups/Other/providers/Microsoft.Compute/virtualMachines/VM2"
)

func id(t testing.TB) arm.PolicyID {
	t.Helper()
	id, err := arm.NewPolicyID(sub, "myRg1", "westeurope", "default")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// bodies finds every policy and every request in a recording.
func bodies(v any, found func(v map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			bodies(x, found)
		}
	case map[string]any:
		found(v)
		for _, x := range v {
			bodies(x, found)
		}
	}
}

// Every policy and request that was recorded is read, and written again as it was.
func TestRecordedBodies(t *testing.T) {
	files, err := filepath.Glob("testdata/recorded/*.json")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	policies, requests := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all any
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		same := func(v map[string]any, into any) {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := arm.Decode(text, into); err != nil {
				t.Errorf("%s: %v\n%s", file, err, text)
				return
			}
			written, err := arm.Encode(into)
			if err != nil {
				t.Fatal(err)
			}
			var back map[string]any
			if err := json.Unmarshal(written, &back); err != nil {
				t.Fatal(err)
			}
			if p, ok := back["properties"].(map[string]any); ok && v["properties"].(map[string]any)["requests"] == nil {
				delete(p, "requests") // which are never left out here
			}
			if diff := cmp.Diff(v, back); diff != "" {
				t.Errorf("%s: (-recorded +ours)\n%s", file, diff)
			}
		}
		bodies(all, func(v map[string]any) {
			switch {
			case v["properties"] != nil:
				policies++
				same(v, &arm.Policy{})
			case v["startTimeUtc"] != nil:
				requests++
				same(v, &arm.Request{})
			}
		})
	}
	if policies < 10 || requests < 10 {
		t.Errorf("%d policies and %d requests", policies, requests)
	}
}

// I-06: durations.
func TestI06Durations(t *testing.T) {
	const h = time.Hour
	for s, want := range map[string]time.Duration{
		"PT3H": 3 * h, "PT3H0M": 3 * h, "P1D": 24 * h, "PT90M": 90 * time.Minute, "PT1H30M5S": h + 30*time.Minute + 5*time.Second, "P0DT5M": 5 * time.Minute, "PT08H": 8 * h,
	} {
		if got, err := arm.ParseDuration("d", s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "P", "PT", "3H", "PT3", "PT3h", "pt3h", "P1DT", "PT-3H", "PT+3H", "PT3.5H", "PT1M1H", "PT1H1H", "P1M", "P1Y", "P1W", "PT3H ", " PT3H", "PT1e9H",
		"PT9999999H", "PT9223372036854775808S", "PTH", "P1H", "PT1D", "3:00:00", "PT٣H", "forever",
	} {
		if got, err := arm.ParseDuration("d", s); errkind.FieldOf(err).Name != "d" || got != 0 {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 8*86400).Draw(t, "seconds")) * time.Second
		if got, err := arm.ParseDuration("d", arm.FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%v is written %s and read %v, %v", d, arm.FormatDuration(d), got, err)
		}
	})
}

// I-07: instants.
func TestI07Times(t *testing.T) {
	for s, want := range map[string]string{
		"2018-07-22T15:51:55.21337Z": "2018-07-22T15:51:55.21337Z", "2026-01-02T03:04:05.678901234Z": "2026-01-02T03:04:05.6789012Z",
		"2026-01-02T03:04:05+02:00": "2026-01-02T01:04:05Z", "2018-05-17T09:06:45.5691611Z": "2018-05-17T09:06:45.5691611Z",
	} {
		if got, err := arm.ParseTime("t", s); err != nil || arm.FormatTime(got) != want {
			t.Errorf("%s: %s, %v", s, arm.FormatTime(got), err)
		}
	}
	for _, s := range []string{"", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z", "2026-01-02T03:04:05,5Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-1-2T3:04:05Z"} {
		if got, err := arm.ParseTime("t", s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// I-09: ids in any case are the same; nothing else is an id.
func TestI09IDs(t *testing.T) {
	good := id(t).String()
	for _, s := range []string{good, strings.ToUpper(good), strings.ToLower(good)} {
		if got, err := arm.ParsePolicyID(s); err != nil || got.Key() != id(t).Key() {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, x := range [][2]string{
		{"default", ""},
		{"default", ".."},
		{"default", "a/b"},
		{"default", "a%2fb"},
		{"default", "dé"},
		{"default", "a b"},
		{"default", strings.Repeat("a", 81)},
		{"myRg1", ".."},
		{"myRg1", "a."},
		{"westeurope", "west europe"},
		{"westeurope", "."},
		{sub, "20ff7fc3"},
		{"Security", "Compute"},
		{"/subscriptions", "subscriptions"},
	} {
		if got, err := arm.ParsePolicyID(strings.Replace(good, x[0], x[1], 1)); err == nil {
			t.Errorf("%v: %v", x, got)
		}
	}
}

const putText = `{"kind":"Basic","properties":{"virtualMachines":[
 {"id":"` + vm2 + `","ports":[{"number":"3389","protocol":"TCP","allowedSourceAddressPrefixes":["10.0.0.0/8","2001:db8::/32"],"maxRequestAccessDuration":"PT3H0M"}],"publicIpAddress":"192.0.2.1"},
 {"id":"` + vm1 + `","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","allowedSourceAddressPrefixes":null,"maxRequestAccessDuration":"PT3H"}]}],
 "requests":null}}`

func put(t testing.TB, text string) arm.Policy {
	t.Helper()
	var p arm.Policy
	if err := arm.Decode([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// What was put is shown as it was put, until it is not in force any more; what it
// cannot say stays, VM by VM.
func TestPartsAndBack(t *testing.T) {
	p := put(t, putText)
	parts, err := arm.Parts(id(t), p, nil)
	if err != nil || len(parts) != 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if a, b := parts[0].Name, parts[1].Name; !firewall.ValidName(a) || !strings.HasPrefix(a, "default-") || b != a+"-2" {
		t.Errorf("called %s and %s", a, b)
	}
	spell := func(vm firewall.VMID) string { return arm.Spelled(vm) }
	shown := arm.Shown(id(t), parts, spell)
	if diff := cmp.Diff(p.Properties.VirtualMachines, shown.Properties.VirtualMachines); diff != "" {
		t.Errorf("(-put +shown)\n%s", diff)
	}
	// Somebody changes one part otherwise.
	parts[0].Cut, parts[0].Ports[0].Max = true, 2*time.Hour
	shown = arm.Shown(id(t), parts, spell)
	text, _ := arm.Encode(shown.Properties.VirtualMachines)
	if !strings.Contains(string(text), `"PT2H"`) || strings.Contains(string(text), "PT3H0M") {
		t.Errorf("shown is what is not in force: %s", text)
	}
	again, err := arm.Parts(id(t), p, parts)
	if err != nil || len(again) != 2 || again[0].Cut == again[1].Cut {
		t.Fatalf("what cannot be put did not stay: %+v, %v", again, err)
	}
}

func TestMistakesNameTheirField(t *testing.T) {
	for _, c := range []struct{ old, new, field string }{
		{`"number":22`, `"number":0`, "properties.virtualMachines[1].ports[0].port"},
		{`"number":22`, `"number":"22a"`, "properties.virtualMachines[1].ports[0].number"},
		{`"protocol":"*"`, `"protocol":""`, "properties.virtualMachines[1].ports[0].protocol"},
		{`"PT3H0M"`, `"PT4M"`, "properties.virtualMachines[0].ports[0].maxRequestAccessDuration"},
		{`"PT3H0M"`, `"P2D"`, "properties.virtualMachines[0].ports[0].maxRequestAccessDuration"},
		{`"10.0.0.0/8"`, `"*"`, "properties.virtualMachines[0].ports[0].allowedSourceAddressPrefixes"},
		{`"10.0.0.0/8"`, `"10.0.0.1/8"`, "properties.virtualMachines[0].ports[0].allowedSourceAddressPrefixes"},
		{`"allowedSourceAddressPrefixes":null`, `"allowedSourceAddressPrefixes":["1.2.3.4"]`, "properties.virtualMachines[1].ports[0].allowedSourceAddressPrefix"},
		{`"allowedSourceAddressPrefix":"*"`, `"allowedSourceAddressPrefix":""`, "properties.virtualMachines[1].ports[0].allowedSourceAddressPrefix"},
		{"VM2", "VM2/x", "properties.virtualMachines[0].id"},
		{"virtualMachines/VM2", "virtualMachineScaleSets/VM2", "properties.virtualMachines[0].id"},
		{vm2, vm1, "properties.virtualMachines[1].id"},
		{`"kind"`, `"Kind"`, "Kind"},
		{`"kind":"Basic",`, `"kind":"Basic","kind":"Basic",`, "kind"},
	} {
		var p arm.Policy
		text := strings.Replace(putText, c.old, c.new, 1)
		err := arm.Decode([]byte(text), &p)
		if err == nil {
			_, err = arm.Parts(id(t), p, nil)
		}
		if got := errkind.FieldOf(err).Name; got != c.field || errkind.Of(err) != errkind.Invalid {
			t.Errorf("%s: %q, %v", c.new, got, err)
		}
	}
}

func TestInitiate(t *testing.T) {
	parts, err := arm.Parts(id(t), put(t, putText), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 5e8, time.UTC)
	parse := func(port string) ([]arm.Asked, error) {
		var in arm.Initiate
		if err := arm.Decode([]byte(`{"virtualMachines":[{"id":"`+strings.ToUpper(vm1)+`","ports":[`+port+`]}],"justification":null}`), &in); err != nil {
			return nil, err
		}
		asked, _, err := in.Parse(id(t), parts, now)
		return asked, err
	}
	got, err := parse(`{"number":"22","endTimeUtc":"2026-11-22T13:00:00.25Z"}`)
	if err != nil || len(got) != 1 || len(got[0].Doors) != 2 || got[0].Sources != nil || got[0].Duration != 59*time.Minute+59*time.Second {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = parse(`{"number":22,"endTimeUtc":"2026-11-22T15:00:20Z","allowedSourceAddressPrefixes":["2001:db8::7"],"status":"Initiated"}`)
	if err != nil || got[0].Duration != 3*time.Hour || len(got[0].Sources) != 1 {
		t.Errorf("a clock that is ahead: %+v, %v", got, err)
	}
	if got, err = parse(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"198.51.100.7"}`); err != nil || got[0].Duration != time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	for port, field := range map[string]string{
		`{"number":22}`: "endTimeUtc",
		`{"number":22,"duration":"PT1H","endTimeUtc":"2026-11-22T15:00:00Z"}`:                                                                           "endTimeUtc",
		`{"number":22,"endTimeUtc":"2026-11-22T11:00:00Z"}`:                                                                                             "endTimeUtc",
		`{"number":22,"duration":"PT0S"}`:                                                                                                               "duration",
		`{"number":23,"duration":"PT1H"}`:                                                                                                               "number",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"*"}`:                                                                              "allowedSourceAddressPrefix",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"0.0.0.0/0 "}`:                                                                     "allowedSourceAddressPrefix",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefixes":["1.2.3.4","*"]}`:                                                                "allowedSourceAddressPrefixes",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"::ffff:1.2.3.4"}`:                                                                 "allowedSourceAddressPrefix",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"1.2.3.4,5.6.7.8"}`:                                                                "allowedSourceAddressPrefix",
		`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"1.2.3.4"},{"number":22,"duration":"PT2H","allowedSourceAddressPrefix":"1.2.3.4"}`: "ports",
		`{"number":22,"duration":"PT1H","approver":"me"}`:                                                                                               "approver",
	} {
		if got, err := parse(port); errkind.Of(err) != errkind.Invalid || !strings.HasSuffix(errkind.FieldOf(err).Name, field) {
			t.Errorf("%s: %+v, %v", port, got, err)
		}
	}
}

// A grant that ended and was not read back closed is not shown as revoked.
func TestStatus(t *testing.T) {
	g := access.Grant{Door: firewall.Door{VM: "/x", Port: 22}, Deadline: access.Deadline{Wall: time.Unix(0, 0)}}
	status := func(state access.State, why access.EndReason) string {
		g.Ended.Why = why
		p := arm.RequestOf(g, state, arm.Spelled).VirtualMachines[0].Ports[0]
		return p.Status + "/" + p.StatusReason
	}
	got := []string{
		status(access.Scheduled, ""), status(access.Opening, ""), status(access.Open, ""), status(access.Closing, ""), status(access.Overdue, access.ClosedByUser),
		status(access.Closed, ""), status(access.Closed, access.ClosedByUser), status(access.Closed, access.Superseded), status(access.Closed, access.NeverOpened),
	}
	want := []string{
		"Initiating/UserRequested", "Initiating/UserRequested", "Initiated/UserRequested", "Initiated/Expired", "Initiated/UserRequested",
		"Revoked/Expired", "Revoked/UserRequested", "Revoked/NewerRequestInitiated", "Revoked/Expired",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Whatever is put, what is in force is never wider than it, and shows it again.
func FuzzPut(f *testing.F) {
	f.Add(putText)
	f.Add(`{"properties":{"virtualMachines":[{"id":"` + vm1 + `","ports":[{"number":22,"protocol":"UDP","allowedSourceAddressPrefix":"1.2.3.4/31","maxRequestAccessDuration":"P1D"}]}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var p arm.Policy
		if arm.Decode([]byte(text), &p) != nil {
			return
		}
		parts, err := arm.Parts(id(t), p, nil)
		if err != nil {
			if errkind.Of(err) != errkind.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, part := range parts {
			if err := policy.Validate(part); err != nil {
				t.Fatal(err)
			}
			for _, port := range part.Ports {
				if port.Max > arm.MaxAccess || len(port.Sources) == 0 && !strings.Contains(text, "*") && !strings.Contains(text, `\u`) {
					t.Fatalf("%s became %+v", text, port)
				}
			}
		}
		if diff := cmp.Diff(p.Properties.VirtualMachines, arm.Shown(id(t), parts, arm.Spelled).Properties.VirtualMachines); diff != "" {
			t.Fatalf("(-put +shown)\n%s", diff)
		}
	})
}
