package arm_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is answered to the golden files")

// recording reads a recorded exchange; see testdata/recorded in package api/arm.
func recording(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../api/arm/testdata/recorded/" + name + ".json")
	must(t, err)
	var v map[string]any
	must(t, json.Unmarshal(text, &v))
	return v
}

// at returns the value at a path of keys and indexes.
func at(v any, keys ...any) any {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			list, _ := v.([]any)
			if k >= len(list) {
				return nil
			}
			v = list[k]
		}
	}
	return v
}

var instants = regexp.MustCompile(`20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]+Z`)

// states are those that a policy has for as long as its locks are being written.
var states = regexp.MustCompile(`Updating|Succeeded`)

// sent returns a recorded body as it is sent: its instants are an hour ahead.
func sent(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return instants.ReplaceAllString(string(text), time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.0000001Z"))
}

// shape is what a value is made of: its names, and what kind of value each has. A
// list is the shape of its first element; an empty one has none.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k != "appendMode" && k != "justification" { // which Azure adds, and which is there when it was sent
				out[k] = shape(x)
			}
		}
		return out
	case []any:
		if len(v) == 0 {
			return nil
		}
		return []any{shape(v[0])}
	case string:
		return "text"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// compare compares an answer with the recording, and with the golden file, which
// shows both.
func compare(t *testing.T, name string, status int, recorded any, got reply) {
	t.Helper()
	if got.status != status {
		t.Fatalf("%s: %d, recorded %d: %s", name, got.status, status, got.body)
	}
	var ours any
	if got.body != "" {
		must(t, json.Unmarshal([]byte(got.body), &ours))
	}
	a, b := shape(recorded), shape(ours)
	for _, m := range []any{a, b} {
		if p, ok := at(m, "properties").(map[string]any); ok && (at(a, "properties", "requests") == nil || at(b, "properties", "requests") == nil) {
			delete(p, "requests") // empty in one of them
		}
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s: (-recorded +ours)\n%s", name, diff)
	}
	text, err := json.MarshalIndent(map[string]any{"status": got.status, "recorded": recorded, "ours": ours}, "", "  ")
	must(t, err)
	golden := "testdata/golden/" + name + ".json"
	shown := states.ReplaceAllString(instants.ReplaceAllString(string(text), "TIME"), "Updating or Succeeded") + "\n"
	if *update {
		must(t, os.WriteFile(golden, []byte(shown), 0o600))
	}
	was, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(was), shown); diff != "" {
		t.Errorf("%s is not what is answered; look at the difference, and write it with -update:\n%s", golden, diff)
	}
}

// ids finds the VMs that a recording is about.
func ids(v any) []string {
	found := map[string]bool{}
	text, _ := json.Marshal(v) //nolint:errchkjson // it was read from JSON
	for _, id := range regexp.MustCompile(`/subscriptions/[^"]+/virtualMachines/[A-Za-z0-9_-]+`).FindAllString(string(text), -1) {
		found[id] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// stand builds a house with the VMs of a recording.
func stand(t *testing.T, v any) *house {
	t.Helper()
	var vms []machine
	for _, id := range ids(v) {
		vms = append(vms, machine{id, "westeurope"})
	}
	return build(t, zero, vms...)
}

// The examples of the specification.
func TestExamplesOfTheSpecification(t *testing.T) {
	put := recording(t, "create_or_update")
	h := stand(t, put["body"])
	compare(t, "create_or_update", 200, at(put, "responses", "200"), h.call("admin", "PUT", policyPath+version, sent(t, put["body"])))
	for _, name := range []string{"initiate_endTimeUtc", "initiate_duration_variant"} {
		x := recording(t, name)
		got := h.call("requester", "POST", policyPath+"/initiate"+version, sent(t, x["body"]))
		compare(t, name, 202, at(x, "responses", "202"), reply{got.status, got.header, strings.ReplaceAll(got.body, "requester", "barbara@contoso.com")})
	}
	h.eventually(func() bool {
		return strings.Contains(h.call("viewer", "GET", policyPath+version, "").body, "Succeeded")
	})
	scope, security := "/subscriptions/"+sub, "/providers/Microsoft.Security"
	for name, path := range map[string]string{
		"get": policyPath, "list_subscription": scope + security + "/jitNetworkAccessPolicies", "list_region": scope + security + "/locations/westeurope/jitNetworkAccessPolicies",
		"list_resource_group": inGroup + security + "/jitNetworkAccessPolicies", "list_resource_group_region": place,
	} {
		compare(t, name, 200, at(recording(t, name), "responses", "200"), h.call("viewer", "GET", path+version, ""))
	}
	for _, status := range []int{200, 204} {
		if got := h.call("admin", "DELETE", policyPath+version, ""); got.status != status || got.body != "" {
			t.Errorf("delete: %d %q", got.status, got.body)
		}
	}
}

// What real servers answered the tests of the SDKs and of PowerShell.
func TestRecordings(t *testing.T) {
	const in = "/subscriptions/487bb485-b5b0-471e-9c0d-10717612f869/resourceGroups/"
	path := func(group, region string) string {
		return in + group + "/providers/Microsoft.Security/locations/" + region + "/jitNetworkAccessPolicies/default"
	}
	shell := recording(t, "recorded_put_then_initiate_2022_powershell")
	h := stand(t, shell)
	put, initiate := at(shell, "entries", 0), at(shell, "entries", 1)
	us := path("myService1", "centralus")
	compare(t, "put_2022", 200, at(put, "response"), h.call("admin", "PUT", us+version, sent(t, at(put, "body"))))
	compare(t, "initiate_2022", 202, at(initiate, "response"), h.call("requester", "POST", us+"/initiate"+version, sent(t, at(initiate, "body"))))
	again := h.call("admin", "PUT", us+version, sent(t, at(put, "body")))
	if !strings.Contains(again.body, `"requests":[]`) {
		t.Errorf("a PUT shows requests: %s", again.body)
	}
	list := in[:strings.Index(in, "/resourceGroups")] + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version
	compare(t, "list_2023", 200, at(recording(t, "recorded_list_2023_requests_survive_put"), "response"), h.call("viewer", "GET", list, ""))

	past := recording(t, "recorded_list_2018_history")
	h = stand(t, past)
	europe := path("myService1", "northeurope")
	policy := at(past, "response", "value", 0)
	want(t, h.call("admin", "PUT", europe+version, sent(t, policy)), 200, "")
	one := recording(t, "recorded_initiate_2018_no_source")
	compare(t, "initiate_2018", 202, at(one, "response"), h.call("requester", "POST", europe+"/initiate"+version, sent(t, one["body"]), "X-Forwarded-For", "167.220.196.64"))
	compare(t, "list_2018", 200, at(past, "response"), h.call("viewer", "GET", list, ""))

	other := recording(t, "recorded_put_2018_vm_in_other_rg")
	h = stand(t, other)
	want(t, h.call("admin", "PUT", path("mainWS", "westeurope")+version, sent(t, other["body"])), 200, "")

	gone := recording(t, "recorded_get_404_2023")
	message, _ := at(gone, "response", "error", "message").(string)
	id := strings.Split(message, "'")[1]
	got := h.call("admin", "GET", id+version, "")
	compare(t, "get_404_2023", 404, at(gone, "response"), got)
	if ours := at(got.json(t), "error", "message"); ours != message {
		t.Errorf("%v, recorded %v", ours, message)
	}
}
