package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// guarded is full with everything that can be said about approval.
func guarded() policy.Policy {
	p := full()
	p.Approvals = []policy.Approval{{Stage: "security", Count: 2}, {Stage: "lead", Count: 1}}
	p.Within = 90 * time.Minute
	p.Reason = true
	p.Ticket = `CHG-\d+|INC-\d+`
	p.Glass = policy.Glass{
		Who: []access.Principal{{Issuer: "https://idp.example", Subject: "8a1f"}, {Issuer: "local", Subject: "dora"}},
		Max: 20 * time.Minute,
	}
	return p
}

const guardedText = fullText + `approvals:
  - {stage: security, count: 2}
  - {stage: lead, count: 1}
approve_within: 1h30m
reason: required
ticket: 'CHG-\d+|INC-\d+'
break_glass:
  who:
    - https://idp.example#8a1f
    - local#dora
  max: 20m
`

func TestApprovalsAreCanonical(t *testing.T) {
	got, err := policy.Parse([]byte(guardedText))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(guarded(), got, prefixes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again, err := policy.Parse(policy.Format(got)); err != nil || !cmp.Equal(got, again, prefixes) {
		t.Errorf("written as\n%s\n%v", policy.Format(got), err)
	}
	least := "name: p\nvms: [host://a]\nports: [{port: 22}]\napprovals: [{stage: lead}]\nbreak_glass: {who: [local#dora]}\n"
	got, err = policy.Parse([]byte(least))
	if err != nil || got.Within != policy.DefaultWithin || got.Approvals[0].Count != 1 || got.Glass.Max != policy.DefaultGlass {
		t.Errorf("defaults: %+v, %v", got, err)
	}
}

func TestMistakesAboutApproval(t *testing.T) {
	for text, want := range map[string]string{
		"approvals: [{count: 1}]":                            "approvals[0].stage is missing",
		"approvals: [{stage: Lead}]":                         `"Lead" is not a name`,
		"approvals: [{stage: a, count: 0}]":                  `"0" is not a whole number from 1 to 8`,
		"approvals: [{stage: a}, {stage: a, count: 2}]":      "there is a stage a already",
		"approvals: [a]":                                     "must be a map",
		"approve_within: 1h":                                 "left out where no approvals are wanted",
		"approvals: [{stage: a}]\napprove_within: 30s":       `"30s" is not a duration from 1m to 168h`,
		"approvals: [{stage: a}]\napprove_within: forever":   "is not a duration",
		"reason: yes please":                                 `"required" or "optional"`,
		"ticket: '('":                                        "a regular expression of RE2",
		"ticket: ''":                                         "a pattern of 1 to 200 bytes",
		"ticket: '.*'":                                       "the empty text does not match",
		"ticket: 'CHG|'":                                     "the empty text does not match",
		"ticket: '(?=a)b'":                                   "a regular expression of RE2",
		"break_glass: {max: 1h}":                             "break_glass.who is missing",
		"break_glass: {who: []}":                             "the list has 0 entries",
		"break_glass: {who: [dora]}":                         "ISSUER#SUBJECT",
		"break_glass: {who: ['#dora']}":                      "ISSUER#SUBJECT",
		"break_glass: {who: ['local#do ra']}":                "ISSUER#SUBJECT",
		"break_glass: {who: ['local#a', 'local#a']}":         "list it once",
		"break_glass: {who: ['local#a'], max: 5h}":           `"5h" is not a duration from 1m to 4h`,
		"break_glass: {who: ['local#a'], max: 1h, codes: 3}": "there is no key",
	} {
		got, err := policy.Parse([]byte("name: p\nvms: [host://a]\nports: [{port: 22}]\n" + text + "\n"))
		if err == nil || !strings.Contains(errkind.Public(err), want) || errkind.Of(err) != errkind.Invalid {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if got.Name != "" {
			t.Errorf("%s: came out as %+v", text, got)
		}
	}
}

func TestValidateApproval(t *testing.T) {
	if err := policy.Validate(guarded()); err != nil {
		t.Fatal(err)
	}
	for field, edit := range map[string]func(*policy.Policy){
		"approvals":          func(p *policy.Policy) { p.Approvals = make([]policy.Approval, policy.MaxStages+1) },
		"approvals[0].stage": func(p *policy.Policy) { p.Approvals[0].Stage = "" },
		"approvals[1].stage": func(p *policy.Policy) { p.Approvals[1].Stage = "security" },
		"approvals[1].count": func(p *policy.Policy) { p.Approvals[1].Count = 9 },
		"approve_within":     func(p *policy.Policy) { p.Within = 0 },
		"ticket":             func(p *policy.Policy) { p.Ticket = "[" },
		"break_glass.who":    func(p *policy.Policy) { p.Glass.Who = nil },
		"break_glass.who[0]": func(p *policy.Policy) { p.Glass.Who[0].Display = "Dora" },
		"break_glass.who[1]": func(p *policy.Policy) { p.Glass.Who[0], p.Glass.Who[1] = p.Glass.Who[1], p.Glass.Who[0] },
		"break_glass.max":    func(p *policy.Policy) { p.Glass.Max = 5 * time.Hour },
	} {
		p := guarded()
		edit(&p)
		if err := policy.Validate(p); errkind.Of(err) != errkind.Invalid || errkind.FieldOf(err).Name != field {
			t.Errorf("%s: %v (field %q)", field, err, errkind.FieldOf(err).Name)
		}
	}
}

func TestApprovalsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		for _, stage := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{1,5}`), 0, 3, rapid.ID).Draw(t, "stages") {
			p.Approvals = append(p.Approvals, policy.Approval{Stage: stage, Count: rapid.IntRange(1, 8).Draw(t, "count")})
		}
		p.Reason = rapid.Bool().Draw(t, "reason")
		p.Ticket = rapid.SampledFrom([]string{"", "CHG-[0-9]+", `a: 'b' # "c"`, "null", "~", `\d{3}`}).Draw(t, "ticket")
		for _, s := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"dora", "x#y", "0", "ü", "*"}), 0, 3, rapid.ID).Draw(t, "who") {
			p.Glass.Who = append(p.Glass.Who, access.Principal{Issuer: "local", Subject: s})
		}
		p = p.WithDefaults()
		if err := policy.Validate(p); err != nil {
			t.Fatal(err)
		}
		got, err := policy.Parse(policy.Format(p))
		if err != nil || !cmp.Equal(p, got, prefixes) {
			t.Fatalf("%v\n%s", err, policy.Format(p))
		}
	})
}

// Z-13: a ticket matches from its first letter to its last, whatever the pattern
// has alternatives of.
func TestZ13TicketsMatchAsAWhole(t *testing.T) {
	p := guarded()
	d := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	req := access.Request{Sources: sources("198.51.100.7"), Duration: time.Hour, Reason: "look"}
	for ticket, fits := range map[string]bool{
		"CHG-1": true, "INC-22": true,
		"": false, "CHG-": false, "XCHG-1": false, "CHG-1 and more": false, "CHG-1\nINC-2": false, "INC-2\n": false, "chg-1": false, "СHG-1": false,
	} {
		req.Ticket = ticket
		if not := policy.Check(p, req, d, time.Time{}); (len(not) == 0) != fits {
			t.Errorf("ticket %q: %q", ticket, not)
		}
	}
	req.Ticket, req.Reason = "CHG-1", ""
	if not := policy.Check(p, req, d, time.Time{}); len(not) != 1 || not[0] != "gives no reason, and must give one" {
		t.Errorf("without a reason: %q", not)
	}
	req.Reason, req.Ticket, req.Glass, req.Duration = "fire", "", true, 21*time.Minute
	if not := policy.Check(p, req, d, time.Time{}); len(not) != 1 || not[0] != "asks for 21m, at most 20m" {
		t.Errorf("a long emergency: %q", not)
	}
}

func TestDiffOfApproval(t *testing.T) {
	want := []string{
		"approvals: none → 2 of security, 1 of lead", "approve within: 0s → 1h30m", "reason: optional → required",
		`ticket: any → CHG-\d+|INC-\d+`, "break glass in: https://idp.example#8a1f", "break glass in: local#dora", "break glass max: 0s → 20m",
	}
	if diff := cmp.Diff(want, policy.Diff(full(), guarded())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if same := policy.Diff(guarded(), guarded()); len(same) > 0 {
		t.Errorf("nothing is different, and it says %q", same)
	}
}
