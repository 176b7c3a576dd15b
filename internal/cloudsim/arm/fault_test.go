package arm_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
)

const (
	mine    = nsgPath + "/securityRules/mine"
	latency = 3 * time.Second
	both    = packet.Delivered
	neither = packet.Denied
)

// inBubble runs do on a stage whose operations take three seconds of no time.
func inBubble(t *testing.T, c cloudsim.Config, do func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		c.Latency = latency
		do(t, newLocal(t, c))
	})
}

// names returns the rules that a reader sees.
func (s *stage) names(t *testing.T) string {
	t.Helper()
	a := s.do(t, "GET", nsgPath, "")
	var names []string
	for i := 0; a.at(fmt.Sprintf("properties.securityRules.%d", i)) != nil; i++ {
		names = append(names, a.at(fmt.Sprintf("properties.securityRules.%d.name", i)).(string))
	}
	return fmt.Sprint(names)
}

// status returns how the operation of a is going.
func (s *stage) status(t *testing.T, a answer) string {
	t.Helper()
	status, _ := s.do(t, "GET", a.header.Get("Azure-AsyncOperation"), "").at("status").(string)
	return status
}

func (s *stage) expect(t *testing.T, names string, reach packet.Outcome) {
	t.Helper()
	if got := s.names(t); got != names {
		t.Errorf("readers see %s, want %s", got, names)
	}
	if got := s.open("8.8.8.8"); got != reach {
		t.Errorf("the packet is %v, want %v", got, reach)
	}
}

func TestOperations(t *testing.T) {
	inBubble(t, cloudsim.Config{RetryAfter: 2 * time.Second}, func(t *testing.T, s *stage) {
		put := s.do(t, "PUT", mine, rule(100))
		put.want(t, 201, "properties.provisioningState", "Updating")
		if put.header.Get("Retry-After") != "2" || s.status(t, put) != "InProgress" {
			t.Errorf("%v", put.header)
		}
		s.expect(t, "[office mine]", neither)
		time.Sleep(latency)
		s.expect(t, "[office mine]", both)
		if s.status(t, put) != "Succeeded" {
			t.Error("the operation does not end")
		}
		gone := s.do(t, "DELETE", mine, "")
		gone.want(t, 202)
		location := gone.header.Get("Location")
		s.do(t, "GET", location, "").want(t, 202)
		s.expect(t, "[office mine]", both)
		time.Sleep(latency)
		s.do(t, "GET", location, "").want(t, 204)
		s.expect(t, "[office]", neither)
		s.do(t, "GET", strings.Replace(location, "operationResults/", "operationResults/x", 1), "").want(t, 404)
	})
}

// One group takes one operation at a time; a newer write of the same thing takes
// the place of an older one, everything else has to come again.
func TestOneOperationAtATime(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		first := s.do(t, "PUT", mine, rule(100))
		other := s.do(t, "PUT", nsgPath+"/securityRules/other", rule(101))
		other.want(t, 429, "error.code", "RetryableError", "error.details.0.code", "RetryableErrorDueToAnotherOperation")
		whole := s.do(t, "GET", nsgPath, "").text
		s.do(t, "PUT", nsgPath, strings.Replace(whole, `"priority":100`, `"priority":150`, 1)).want(t, 429)
		s.do(t, "DELETE", mine, "").want(t, 429)
		nic := networkPath + "networkInterfaces/web-nic"
		s.do(t, "PUT", nic, strings.Replace(s.do(t, "GET", nic, "").text, `"primary":true`, `"primary":true,"x":1`, 1)).
			want(t, 429, "error.details.0.code", "ReferencedResourceNotProvisioned")
		second := s.do(t, "PUT", mine, rule(102))
		second.want(t, 200)
		ended := s.do(t, "GET", first.header.Get("Azure-AsyncOperation"), "")
		ended.want(t, 200, "status", "Canceled", "error.code", "Canceled", "error.details.0.code", "CanceledAndSupersededDueToAnotherOperation")
		if !strings.Contains(ended.text, "Operation PutSecurityRuleOperation (") || !strings.Contains(ended.text, ") was canceled and superseded by operation PutSecurityRuleOperation (") {
			t.Errorf("it says %s", ended.text)
		}
		time.Sleep(latency)
		s.do(t, "GET", mine, "").want(t, 200, "properties.priority", 102.)
		s.expect(t, "[office mine]", both)
	})
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		vm := s.do(t, "POST", s.vm+"/deallocate", "")
		vm.want(t, 202)
		s.do(t, "POST", s.vm+"/start", "").want(t, 409, "error.code", "AnotherOperationInProgress")
		time.Sleep(latency)
		s.do(t, "GET", s.vm+"/instanceView", "").want(t, 200, "statuses.1.code", "PowerState/deallocated")
		s.do(t, "POST", networkPath+"networkInterfaces/web-nic/effectiveNetworkSecurityGroups", "").
			want(t, 400, "error.code", "NicMustBeAttachedToRunningVmToGetEffectiveSecurityGroups")
		if s.open("198.51.100.7") != neither {
			t.Error("a machine that is off answers")
		}
	})
}

// A firewall policy is written in one place at a time, and takes its own time.
func TestFirewallPoliciesTakeTurns(t *testing.T) {
	inBubble(t, cloudsim.Config{Config: rp.Config{Latencies: map[string]time.Duration{"microsoft.network/firewallpolicies/rulecollectiongroups": 4 * time.Minute}}}, func(t *testing.T, s *stage) {
		policy := networkPath + "firewallPolicies/p"
		s.do(t, "PUT", policy+"/ruleCollectionGroups/a", `{"properties":{"priority":100}}`).want(t, 404, "error.code", "ParentResourceNotFound")
		if err := s.Put(policy, `{"location":"westeurope","properties":{}}`); err != nil {
			t.Fatal(err)
		}
		one := s.do(t, "PUT", policy+"/ruleCollectionGroups/a", `{"properties":{"priority":100}}`)
		one.want(t, 201, "properties.provisioningState", "Updating")
		s.do(t, "PUT", policy+"/ruleCollectionGroups/b", `{"properties":{"priority":200}}`).want(t, 409, "error.code", "AnotherOperationInProgress")
		s.do(t, "PUT", policy, `{"location":"westeurope","properties":{"x":1}}`).want(t, 409)
		time.Sleep(4*time.Minute - time.Second)
		if s.status(t, one) != "InProgress" {
			t.Error("it is done before its time")
		}
		time.Sleep(time.Second)
		s.do(t, "PUT", policy+"/ruleCollectionGroups/b", `{"properties":{"priority":200}}`).want(t, 201)
	})
}

func TestWritesThatEndBadly(t *testing.T) {
	tests := []struct {
		kind         fault.Kind
		status       string
		shown        string
		reach        packet.Outcome
		laterShown   string
		laterReached packet.Outcome
	}{
		{fault.Fail, "Failed", "[office mine]", neither, "[office mine]", neither},
		{fault.FailApplied, "Failed", "[office mine]", both, "[office mine]", both},
		{fault.Partial, "Failed", "[office]", neither, "[office]", neither},
		{fault.Supersede, "Canceled", "[office]", neither, "[office]", neither},
		{fault.Lie, "Succeeded", "[office]", neither, "[office]", neither},
		{fault.Late, "Succeeded", "[office]", neither, "[office mine]", both},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind), func(t *testing.T) {
			inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
				s.Inject(fault.Fault{Kind: tt.kind, Times: 1, Delay: 10 * time.Minute})
				a := s.do(t, "PUT", mine, rule(100))
				if a.status != 200 && a.status != 201 || a.at("name") != "mine" {
					t.Errorf("the write gets %d %s", a.status, a.text)
				}
				time.Sleep(latency)
				if got := s.status(t, a); got != tt.status {
					t.Errorf("the operation ends %s, want %s", got, tt.status)
				}
				s.expect(t, tt.shown, tt.reach)
				time.Sleep(10 * time.Minute)
				s.expect(t, tt.laterShown, tt.laterReached)
			})
		})
	}
}

func TestDeletionsThatEndBadly(t *testing.T) {
	for _, tt := range []struct {
		kind  fault.Kind
		shown string
		later string
	}{
		{fault.Fail, "[office mine]", "[office mine]"},
		{fault.FailApplied, "[office]", "[office]"},
		{fault.Supersede, "[office mine]", "[office mine]"},
		{fault.Lie, "[office mine]", "[office mine]"},
		{fault.Late, "[office mine]", "[office]"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
				if err := s.Put(mine, rule(100)); err != nil {
					t.Fatal(err)
				}
				s.Inject(fault.Fault{Kind: tt.kind, Method: "DELETE", Delay: time.Hour})
				s.do(t, "DELETE", mine, "").want(t, 202)
				time.Sleep(latency)
				reach := map[bool]packet.Outcome{true: both, false: neither}
				s.expect(t, tt.shown, reach[strings.Contains(tt.shown, "mine")])
				time.Sleep(time.Hour)
				s.expect(t, tt.later, reach[strings.Contains(tt.later, "mine")])
			})
		})
	}
}

// A late write meets what is there by then: the rule that was closed since
// comes back.
func TestLateAfterClose(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		s.Inject(fault.Fault{Kind: fault.Late, Times: 1, Delay: 10 * time.Minute})
		s.do(t, "PUT", mine, rule(100))
		time.Sleep(time.Minute)
		s.do(t, "PUT", nsgPath+"/securityRules/other", rule(101)).want(t, 201)
		s.do(t, "DELETE", mine, "").want(t, 204)
		time.Sleep(10 * time.Minute)
		s.expect(t, "[office other mine]", both)
	})
}

func TestHalfOfAWrite(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		s.Inject(fault.Fault{Kind: fault.Partial, Times: 1})
		whole := s.do(t, "GET", nsgPath, "").text
		var more []string
		for i := range 4 {
			more = append(more, strings.Replace(rule(100+i), "{", fmt.Sprintf(`{"name":"r%d",`, i), 1))
		}
		s.do(t, "PUT", nsgPath, strings.Replace(whole, `"securityRules":[`, `"securityRules":[`+strings.Join(more, ",")+",", 1)).want(t, 200)
		time.Sleep(latency)
		s.expect(t, "[office r0 r1]", both)
		s.do(t, "GET", nsgPath, "").want(t, 200, "properties.provisioningState", "Failed")
		s.Inject(fault.Fault{Kind: fault.Partial, Times: 1})
		s.do(t, "PUT", nsgPath, `{"location":"westeurope"}`).want(t, 200)
		time.Sleep(latency)
		s.expect(t, "[r0 r1]", both)
	})
}

func TestCallsThatGoWrong(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		s.Inject(fault.Fault{Kind: fault.Lost, Times: 1})
		if a := s.do(t, "PUT", mine, rule(100)); a.err == nil {
			t.Errorf("a lost call is answered: %s", a.text)
		}
		s.expect(t, "[office]", neither)

		s.Inject(fault.Fault{Kind: fault.Unanswered, Times: 1})
		if a := s.do(t, "PUT", mine, rule(100)); a.err == nil {
			t.Errorf("an answer that is lost arrives: %s", a.text)
		}
		time.Sleep(latency)
		s.expect(t, "[office mine]", both)

		s.Inject(fault.Fault{Kind: fault.Disowned, Method: "DELETE", Times: 1})
		s.do(t, "DELETE", mine, "").want(t, 500)
		time.Sleep(latency)
		s.expect(t, "[office]", neither)

		s.Inject(fault.Fault{Kind: fault.Slow, Times: 1, Delay: 20 * time.Second})
		at := time.Now()
		s.do(t, "GET", nsgPath, "").want(t, 200)
		if took := time.Since(at); took != 20*time.Second {
			t.Errorf("a slow answer takes %v", took)
		}
	})
}

func TestRefusalsForAWhile(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 429, RetryAfter: 17 * time.Second, Method: "PUT", For: 3 * time.Hour})
		for range 3 {
			a := s.do(t, "PUT", mine, rule(100))
			a.want(t, 429, "error.code", "SubscriptionRequestsThrottled")
			if a.header.Get("Retry-After") != "17" {
				t.Errorf("%v", a.header)
			}
			s.do(t, "GET", nsgPath, "").want(t, 200)
			time.Sleep(59 * time.Minute)
		}
		time.Sleep(3 * time.Minute)
		s.do(t, "PUT", mine, rule(100)).want(t, 201)
		time.Sleep(latency)

		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 412, Type: "Microsoft.Network/networkSecurityGroups", Method: "PUT", Skip: 1, Times: 2})
		whole := s.do(t, "GET", nsgPath, "").text
		for _, status := range []int{200, 412, 412, 200} {
			a := s.do(t, "PUT", nsgPath, whole)
			a.want(t, status)
			if status == 412 {
				a.want(t, 412, "error.details.0.code", "PreconditionFailedEtagMismatch")
			}
		}
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 503, Code: "ServiceUnavailable", Identity: "everything"})
		s.do(t, "GET", nsgPath, "").want(t, 503, "error.code", "ServiceUnavailable")
		s.Heal()
		s.do(t, "GET", nsgPath, "").want(t, 200)
	})
}

func TestRates(t *testing.T) {
	inBubble(t, cloudsim.Config{Config: rp.Config{Seed: 7}}, func(t *testing.T, s *stage) {
		s.Inject(fault.Fault{Kind: fault.Refuse, Status: 500, Rate: 0.3})
		failed := 0
		for range 400 {
			if s.do(t, "GET", nsgPath+"/securityRules/office", "").status == 500 {
				failed++
			}
		}
		if failed < 90 || failed > 150 {
			t.Errorf("%d of 400 calls meet a fault of 30 %%", failed)
		}
	})
}

func TestStaleReads(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		s.Inject(fault.Fault{Kind: fault.Stale, Delay: 5 * time.Minute, Type: "Microsoft.Network/networkSecurityGroups"})
		s.do(t, "PUT", mine, rule(100)).want(t, 201)
		time.Sleep(4 * time.Minute)
		s.expect(t, "[office]", both)
		s.do(t, "GET", mine, "").want(t, 200) // another type
		if a := s.do(t, "GET", networkPath+"networkSecurityGroups", ""); strings.Contains(a.text, "mine") {
			t.Error("a list shows the present")
		}
		time.Sleep(2 * time.Minute)
		s.expect(t, "[office mine]", both)
	})
}

// Somebody else writes between our reading and our writing.
func TestMeddling(t *testing.T) {
	inBubble(t, cloudsim.Config{}, func(t *testing.T, s *stage) {
		etag := s.do(t, "GET", nsgPath, "").at("etag").(string)
		s.Inject(fault.Fault{Kind: fault.Meddle, Method: "PUT", Times: 1, Edits: []fault.Edit{
			{Method: "PUT", ID: nsgPath + "/securityRules/theirs", Body: rule(120, `"sourceAddressPrefix":"9.9.9.9"`)},
			{Method: "DELETE", ID: nsgPath + "/securityRules/office"},
		}})
		s.do(t, "PUT", nsgPath, `{"location":"westeurope"}`, "If-Match: "+etag).want(t, 412)
		s.expect(t, "[theirs]", neither)
		if s.open("9.9.9.9") != both {
			t.Error("what somebody else writes does not take effect")
		}
	})
}

// The documented buckets, by the header of what is left and by what is refused.
func TestThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocal(t, cloudsim.Config{Limits: gate.Documented()})
		write := func(i int) answer { return s.do(t, "PUT", nsgPath+"/securityRules/r", rule(100+i)) }
		for i := range 200 {
			a := write(i)
			if a.status/100 != 2 || a.header.Get("X-Ms-Ratelimit-Remaining-Subscription-Writes") != fmt.Sprint(199-i) {
				t.Fatalf("write %d: %d %v", i, a.status, a.header)
			}
		}
		a := write(1)
		a.want(t, 429, "error.code", "SubscriptionRequestsThrottled")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("%v", a.header)
		}
		s.do(t, "GET", nsgPath, "").want(t, 200)
		time.Sleep(time.Second)
		write(2).want(t, 200)
		if n := s.Counts()["PUT Microsoft.Network/networkSecurityGroups/securityRules"]; n != 202 {
			t.Errorf("%d writes are counted", n)
		}
	})
}

// Whoever reads the cloud's clock reads it here, right or wrong.
func TestDate(t *testing.T) {
	inBubble(t, cloudsim.Config{Skew: time.Hour}, func(t *testing.T, s *stage) {
		a, b := s.do(t, "GET", nsgPath, ""), s.do(t, "GET", nsgPath, "", "Authorization: ")
		for _, x := range []answer{a, b} {
			if at, err := http.ParseTime(x.header.Get("Date")); err != nil || !at.Equal(time.Now().Add(time.Hour).Truncate(time.Second)) {
				t.Errorf("%v %v", at, err)
			}
		}
		if id := a.header.Get("X-Ms-Request-Id"); id == "" || id == b.header.Get("X-Ms-Request-Id") {
			t.Errorf("request ids: %v", a.header)
		}
	})
}

func TestAdmin(t *testing.T) {
	s := newStage(t, cloudsim.Config{})
	mux := http.NewServeMux()
	mux.Handle("/", s)
	mux.Handle(cloudsim.AdminPath, s.Admin())
	admin := &stage{Simulator: s.Simulator, url: "https://arm.test", client: &http.Client{Transport: cloudsim.InProcess(mux)}}
	do := func(method, path, body string) answer { return admin.do(t, method, "/_simulator/"+path, body) }
	do("POST", "faults", `{"kind":"refuse","status":503,"method":"GET","for":"1h"}`).want(t, 200)
	admin.do(t, "GET", nsgPath, "").want(t, 503)
	do("DELETE", "faults", "").want(t, 200)
	admin.do(t, "GET", nsgPath, "").want(t, 200)
	do("POST", "faults", `{"kind":"gremlins"}`).want(t, 400)
	do("POST", "faults", `{"kind":"late","delay":"soon"}`).want(t, 400)
	do("POST", "edits", `{"method":"PUT","id":"`+mine+`","body":`+rule(100)+`}`).want(t, 200)
	do("GET", "connect?client=8.8.8.8&port=22&vm="+s.vm, "").want(t, 200, "outcome", "delivered")
	do("POST", "edits", `{"method":"DELETE","id":"`+mine+`"}`).want(t, 200)
	do("GET", "connect?client=8.8.8.8&port=22&vm="+s.vm, "").want(t, 200, "outcome", "denied")
	do("GET", "document?id="+nsgPath, "").want(t, 200, "properties.securityRules.0.name", "office")
	do("GET", "counts", "").want(t, 200)
	admin.do(t, "GET", "/_simulator/counts", "", "Authorization: Bearer x").want(t, 401)
}
