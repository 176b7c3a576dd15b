package nsg_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// course returns what is left of a group's good name after errors.
func course(errs ...error) (c nsg.Course) {
	for _, err := range errs {
		c = c.After(err)
	}
	return c
}

// calls writes down calls: "PUT" for the group, "PUT open" for a rule.
func calls(writes []nsg.Write) string {
	var out []string
	for _, w := range writes {
		text := w.Method
		if rest, ok := strings.CutPrefix(w.Path, "/securityRules/sesame-main-"); ok {
			sort, _, _ := strings.Cut(rest, "-")
			text += " " + sort
		}
		if w.IfMatch != "" {
			text += " if"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestWrites(t *testing.T) {
	conflict, refused, lost := fmt.Errorf("x: %w", provider.ErrConflict), fmt.Errorf("x: %w", provider.ErrRefused), errors.New("lost")
	enable := []firewall.Want{locked(ssh, alice, bob)}
	for name, x := range map[string]struct {
		from, to []firewall.Want
		way      nsg.Way
		want     string
	}{
		"nothing":                     {nil, nil, nsg.Way{Conditional: true}, ""},
		"several at once":             {nil, enable, nsg.Way{Conditional: true}, "PUT if"},
		"several, never probed":       {nil, enable, nsg.Way{}, "PUT open, PUT open, PUT lock"},
		"one":                         {enable, []firewall.Want{locked(ssh, alice)}, nsg.Way{Conditional: true}, "DELETE open"},
		"closes":                      {enable, []firewall.Want{locked(ssh)}, nsg.Way{Conditional: true}, "PUT if"},
		"closes after a refusal":      {enable, []firewall.Want{locked(ssh)}, nsg.Way{Conditional: true, Course: course(refused)}, "DELETE open, DELETE open"},
		"refused, then lost":          {enable, []firewall.Want{locked(ssh)}, nsg.Way{Conditional: true, Course: course(refused, lost)}, "DELETE open, DELETE open"},
		"half of what was refused":    {nil, enable, nsg.Way{Conditional: true, Course: course(refused)}, "PUT if"},
		"after one conflict":          {nil, enable, nsg.Way{Conditional: true, Course: course(conflict)}, "PUT if"},
		"after two in a row":          {nil, enable, nsg.Way{Conditional: true, Course: course(conflict, conflict)}, "PUT open, PUT open, PUT lock"},
		"closes after two in a row":   {enable, []firewall.Want{locked(ssh)}, nsg.Way{Conditional: true, Course: course(conflict, conflict)}, "DELETE open, DELETE open"},
		"not in a row":                {nil, enable, nsg.Way{Conditional: true, Course: course(conflict, nil, conflict)}, "PUT if"},
		"good again":                  {enable, []firewall.Want{locked(ssh)}, nsg.Way{Conditional: true, Course: course(refused, nil)}, "PUT if"},
		"disable":                     {enable, nil, nsg.Way{Conditional: true}, "PUT if"},
		"disable, closes being first": {enable, nil, nsg.Way{}, "DELETE open, DELETE open, DELETE lock"},
	} {
		c := alone(foreign("a", 500, "Allow", "80"))
		shown(t, c, x.from...)
		s, p := compiled(t, c, x.to...)
		writes, err := nsg.Writes(s, p.Changes, x.way, c.now)
		if got := calls(writes); err != nil || got != x.want {
			t.Errorf("%s: %s, %v; want %s\n%v", name, got, err, x.want, p)
		}
		var made []plan.Change
		for _, w := range writes {
			made = append(made, w.Changes...)
			if w.IfMatch != "" && w.IfMatch != s.Version {
				t.Errorf("%s: the condition is %s", name, w.IfMatch)
			}
		}
		if diff := cmp.Diff(p.Changes, made, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" && len(p.Changes) > 0 {
			t.Errorf("%s: the calls make other changes (-plan +calls):\n%s", name, diff)
		}
	}
}

func TestWritesOnlyWhatIsDue(t *testing.T) {
	c := alone()
	short := alice
	short.Until = firewall.Instant(c.now.Add(time.Hour))
	s, p := compiled(t, c, locked(ssh, short))
	for at, want := range map[time.Duration]string{time.Hour - time.Millisecond: "PUT if", time.Hour: "PUT lock", 2 * time.Hour: "PUT lock"} {
		if writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now.Add(at)); err != nil || calls(writes) != want {
			t.Errorf("after %v: %s, %v", at, calls(writes), err)
		}
	}
	shown(t, c, locked(ssh, alice))
	s, p = compiled(t, c, locked(ssh, short))
	if len(p.Changes) != 1 || p.Changes[0].Op != plan.Close {
		t.Fatalf("shortening is\n%v", p)
	}
	for at, want := range map[time.Duration]string{0: "PUT open", time.Hour: "DELETE open"} {
		if writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now.Add(at)); err != nil || calls(writes) != want {
			t.Errorf("after %v: %s, %v", at, calls(writes), err)
		}
	}
}

func TestWritesWhileBusy(t *testing.T) {
	c := alone()
	shown(t, c, locked(ssh, alice, bob))
	c.text = strings.Replace(c.text, `"provisioningState":"Succeeded"`, `"provisioningState":"Updating"`, 1)
	s, p := compiled(t, c, locked(ssh), locked(rdp))
	if writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now); !errors.Is(err, provider.ErrConflict) {
		t.Errorf("%s, %v", calls(writes), err)
	}
	// Closing waits for nothing.
	if writes, err := nsg.Writes(s, p.Only(plan.Close).Changes, nsg.Way{Conditional: true}, c.now); err != nil || calls(writes) != "DELETE open, DELETE open" {
		t.Errorf("%s, %v", calls(writes), err)
	}
}

// TestWriteAt: time passes while a write waits for its turn.
func TestWriteAt(t *testing.T) {
	c := alone()
	shown(t, c, locked(ssh))
	s, p := compiled(t, c, locked(ssh, alice, bob))
	for _, conditional := range []bool{true, false} {
		writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: conditional}, c.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range writes {
			if now, due := w.At(c.now); !due || now.Body != w.Body || now.IfMatch != w.IfMatch {
				t.Errorf("%s %s is not what it was", w.Method, w.Path)
			}
			if _, due := w.At(c.now.AddDate(50, 0, 0)); due {
				t.Errorf("%s %s opens what is over", w.Method, w.Path)
			}
		}
	}
}

// TestFailedGroup: what a document shows whose last write has failed is not known to
// be in force, and is written again, whatever of ours is in it.
func TestFailedGroup(t *testing.T) {
	failed := func(c *cloud) {
		c.text = strings.Replace(c.text, `"provisioningState":"Succeeded"`, `"provisioningState":"Failed"`, 1)
	}
	c := alone()
	failed(c)
	s, p := compiled(t, c)
	writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now)
	if err != nil || len(writes) != 2 || writes[0].Body == "" || writes[1].Body != "" || writes[0].Path != writes[1].Path {
		t.Errorf("%+v, %v", writes, err)
	}
	if d := s.Layer.Rules[0]; len(s.Layer.Rules) != 1 || d.Action != firewall.Unknown || !strings.Contains(d.Name, "Failed") {
		t.Errorf("the layer is %+v", s.Layer)
	}
	c = alone()
	shown(t, c, locked(ssh, alice))
	failed(c)
	s, p = compiled(t, c, locked(ssh, alice))
	writes, err = nsg.Writes(s, p.Changes, nsg.Way{Conditional: true}, c.now)
	if err != nil || len(p.Changes) != 1 || !p.Has(plan.Close) || calls(writes) != "PUT lock" {
		t.Errorf("%v\n%s, %v", p, calls(writes), err)
	}
	// A closing does it, too.
	if _, p = compiled(t, c, locked(ssh)); len(p.Changes) != 1 || !p.Changes[0].Opening.From.IsValid() {
		t.Errorf("%v", p)
	}
}

// TestBug5LocalValidation: a document that Azure would refuse because of one bad
// rule is not sent.
func TestBug5LocalValidation(t *testing.T) {
	c := alone(foreign("taken", 2000, "Allow", "80"), changed(foreign("out", 2001, "Allow", "80"), "direction", "Outbound"))
	s, p := compiled(t, c, locked(ssh, alice), locked(rdp))
	bad := func(change func(*resource.Rule)) []plan.Change {
		out := slices.Clone(p.Changes)
		e, err := resource.Decode(out[0].Native)
		if err != nil {
			t.Fatal(err)
		}
		r := e.Rule()
		change(&r)
		out[0].Native = resource.Edit{Name: e.Name, Put: resource.Put(r).Put}.Encode()
		return out
	}
	for name, changes := range map[string][]plan.Change{
		"number twice":     bad(func(r *resource.Rule) { r.Priority = 2000 }),
		"number too low":   bad(func(r *resource.Rule) { r.Priority = 99 }),
		"number too high":  bad(func(r *resource.Rule) { r.Priority = 4097 }),
		"two families":     bad(func(r *resource.Rule) { r.Source.Prefixes = append(r.Source.Prefixes, prefix("2001:db8::/32")) }),
		"long description": bad(func(r *resource.Rule) { r.Description = strings.Repeat("x", 141) }),
		"long name":        bad(func(r *resource.Rule) { r.Name += strings.Repeat("x", 80) }),
		"another's name":   bad(func(r *resource.Rule) { r.Name = "taken" }),
		"no action":        bad(func(r *resource.Rule) { r.Action = firewall.Unknown }),
	} {
		for _, conditional := range []bool{true, false} {
			if writes, err := nsg.Writes(s, changes, nsg.Way{Conditional: conditional}, c.now); !errors.Is(err, provider.ErrRefused) {
				t.Errorf("%s: %s, %v", name, calls(writes), err)
			}
		}
	}
	if _, err := nsg.Writes(s, bad(func(r *resource.Rule) { r.Priority = 2001 }), nsg.Way{Conditional: true}, c.now); err != nil {
		t.Errorf("the number of an outbound rule: %v", err)
	}
	if _, err := nsg.Writes(s, []plan.Change{{Native: "{"}}, nsg.Way{}, c.now); err == nil {
		t.Error("a change that is none")
	}
	if _, err := nsg.Writes(s, []plan.Change{{Native: resource.Delete("taken").Encode()}, {Native: resource.Delete("x").Encode()}}, nsg.Way{Conditional: true}, c.now); err == nil {
		t.Error("a foreign rule would be deleted")
	}
}

// TestAnswers: what Azure says, and what it means.
func TestAnswers(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	body := func(code string, details ...string) []byte {
		text := ""
		for i, d := range details {
			text += strings.Repeat(",", min(i, 1)) + fmt.Sprintf(`{"code":%q,"message":"m"}`, d)
		}
		return fmt.Appendf(nil, `{"error":{"code":%q,"message":"why","details":[%s]}}`, code, text)
	}
	operation := func(status, code string) []byte {
		return fmt.Appendf(nil, `{"status":%q,"error":{"code":%q,"message":"why"}}`, status, code)
	}
	// As recorded.
	mismatch := []byte(`{"error":{"code":"PreconditionFailed","message":"Precondition failed.","details":[{"code":"PreconditionFailedEtagMismatch","message":"Etag provided in if-match header W/\"a\" does not match etag W/\"b\" of resource /subscriptions/x in NRP data store."}]}}`)
	for name, x := range map[string]struct {
		answer nsg.Answer
		want   string // "", conflict, refused, unknown, or how long to wait
	}{
		"made":                     {nsg.Answer{Status: 200, Body: []byte(document(1))}, ""},
		"created":                  {nsg.Answer{Status: 201, Body: []byte(`{}`)}, ""},
		"gone":                     {nsg.Answer{Status: 204, Deletes: true}, ""},
		"operation made":           {nsg.Answer{Status: 200, Body: operation("Succeeded", "")}, ""},
		"operation failed":         {nsg.Answer{Status: 200, Body: operation("Failed", "InternalServerError")}, "unknown"},
		"bug 18, superseded":       {nsg.Answer{Status: 200, Body: operation("Canceled", "CanceledAndSupersededDueToAnotherOperation")}, "wait 0s"},
		"canceled":                 {nsg.Answer{Status: 200, Body: operation("canceled", "OperationCanceled")}, "unknown"},
		"bug 13, stale":            {nsg.Answer{Status: 412, Body: mismatch}, "conflict"},
		"stale without a body":     {nsg.Answer{Status: 412}, "conflict"},
		"another operation":        {nsg.Answer{Status: 409, Body: body("AnotherOperationInProgress")}, "wait 0s"},
		"exclusive access":         {nsg.Answer{Status: 400, Body: body("ConflictError")}, "wait 0s"},
		"bug 14, another writes":   {nsg.Answer{Status: 429, Body: body("RetryableError", "RetryableErrorDueToAnotherOperation")}, "wait 0s"},
		"bug 15, others wait":      {nsg.Answer{Status: 429, Body: body("RetryableError", "ReferencedResourceNotProvisioned"), RetryAfter: "3"}, "wait 3s"},
		"throttled":                {nsg.Answer{Status: 429, Body: body("SubscriptionRequestsThrottled"), RetryAfter: "17"}, "wait 17s"},
		"throttled until":          {nsg.Answer{Status: 429, RetryAfter: "Sun, 22 Nov 2026 09:01:00 GMT"}, "wait 1m0s"},
		"throttled, in the past":   {nsg.Answer{Status: 429, RetryAfter: "Sun, 22 Nov 2026 08:01:00 GMT"}, "wait 0s"},
		"throttled, nonsense":      {nsg.Answer{Status: 429, RetryAfter: "soon"}, "wait 0s"},
		"throttled, negative":      {nsg.Answer{Status: 429, RetryAfter: "-5"}, "wait 0s"},
		"throttled for ever":       {nsg.Answer{Status: 429, RetryAfter: "99999999999"}, "wait 24h0m0s"},
		"unavailable":              {nsg.Answer{Status: 503, RetryAfter: "1"}, "wait 1s"},
		"number taken":             {nsg.Answer{Status: 400, Body: body("SecurityRuleConflict")}, "refused"},
		"forbidden":                {nsg.Answer{Status: 403, Body: body("AuthorizationFailed")}, "refused"},
		"policy":                   {nsg.Answer{Status: 403, Body: body("RequestDisallowedByPolicy")}, "refused"},
		"locked":                   {nsg.Answer{Status: 409, Body: body("ScopeLocked"), Deletes: true}, "refused"},
		"no answer":                {nsg.Answer{}, "unknown"},
		"time is up":               {nsg.Answer{Status: 408}, "unknown"},
		"who are you":              {nsg.Answer{Status: 401, Body: body("ExpiredAuthenticationToken")}, "unknown"},
		"broken":                   {nsg.Answer{Status: 500, Body: body("InternalServerError")}, "unknown"},
		"gateway":                  {nsg.Answer{Status: 502, Body: []byte("<html>")}, "unknown"},
		"elsewhere":                {nsg.Answer{Status: 302}, "unknown"},
		"C-06, gone before":        {nsg.Answer{Status: 404, Deletes: true, Body: body("NotFound")}, ""},
		"C-06, the group is gone":  {nsg.Answer{Status: 404, Deletes: true, Body: body("ResourceNotFound")}, ""},
		"C-06, a proxy's word":     {nsg.Answer{Status: 404, Deletes: true, Body: []byte("not found")}, "refused"},
		"C-06, wrong subscription": {nsg.Answer{Status: 404, Deletes: true, Body: body("SubscriptionNotFound")}, "refused"},
		"nothing to put it in":     {nsg.Answer{Status: 404, Body: body("ResourceNotFound")}, "refused"},
	} {
		err := x.answer.Err(now)
		var busy *nsg.BusyError
		got := ""
		switch {
		case err == nil:
		case errors.Is(err, provider.ErrConflict):
			got = "conflict"
		case errors.Is(err, provider.ErrRefused):
			got = "refused"
		case errors.As(err, &busy):
			got = "wait " + busy.After.String()
		default:
			got = "unknown"
		}
		if got != x.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, x.want)
		}
		if x.answer.Pending() {
			t.Errorf("%s is pending", name)
		}
	}
	for _, a := range []nsg.Answer{{Status: 202, Body: operation("InProgress", "")}, {Status: 200, Body: operation("Updating", "")}} {
		if !a.Pending() {
			t.Errorf("%s is not pending", a.Body)
		}
	}
	err := nsg.Answer{Status: 400, Body: []byte(`{"error":{"code":"X","message":"line\n\u001b[` + strings.Repeat("y", 5000) + `"}}`)}.Err(now)
	if text := err.Error(); !strings.Contains(text, "X") || strings.ContainsAny(text, "\n\x1b") || len(text) > 500 {
		t.Errorf("a message is quoted as %q", text)
	}
	if (&nsg.BusyError{Code: "c", After: time.Second}).Error() != "Azure is busy: c; ask again in 1s" {
		t.Error("the message of a BusyError")
	}
}

func TestStrange(t *testing.T) {
	c := alone(foreign("a", 500, "Allow", "80"), foreign("b", 501, "Allow", "80"))
	before := c.read().Group
	shown(t, c, locked(ssh, alice))
	if got := nsg.Strange(before, c.read().Group, keys); len(got) > 0 {
		t.Errorf("our own write is strange: %v", got)
	}
	c.edit(t, func(rules []string) []string { return rules[1:] })
	if got := nsg.Strange(before, c.read().Group, keys); len(got) != 1 || got[0].Name != "a" || got[0].After != "" || !strings.Contains(got[0].Before, "futureField") {
		t.Errorf("strange is %v", got)
	}
}
