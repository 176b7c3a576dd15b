package engine_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/firewall"
)

var (
	ana  = access.Principal{Issuer: "local", Subject: "ana"}
	ben  = access.Principal{Issuer: "https://idp", Subject: "ben"}
	tree = scope.Tree{"aws://123456789012": "aws://o-abcdefghij"}
	ask  = engine.Ask{
		Port: 22, Protocol: firewall.TCP, Source: netip.MustParsePrefix("203.0.113.7/32"), Caller: netip.MustParseAddr("203.0.113.7"),
		Start: time.Date(2030, 1, 31, 14, 30, 0, 0, time.UTC), Duration: time.Hour, Reason: "why", Ticket: "T-1", Live: 2,
	}
)

const (
	instance = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
	ops      = "https://idp#ops"
)

// statement returns the rule of one statement, which no schema has judged.
func statement(t rapid.TB, name, text string) engine.Rule {
	t.Helper()
	var p cedar.Policy
	if err := p.UnmarshalCedar([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	r, err := engine.Statement(name, &p)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

func names(rules []engine.Rule) (out []string) {
	for _, r := range rules {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return out
}

// The index answers as the scan over all rules does: it hides no permit, no forbid
// and no failure, whatever the rules are.
func TestIndexHidesNothing(t *testing.T) {
	principals := []string{"principal", `principal == Principal::"local#ana"`, `principal == Principal::"https://idp#ben"`, `principal in Group::"https://idp#ops"`, `principal is Principal in Group::"https://idp#dev"`, "principal is Principal", `principal in Principal::"local#ana"`}
	actions := []string{`action == Action::"request"`, `action in [Action::"request", Action::"approve"]`, `action == Action::"approve"`, `action in Action::"request"`, "action in []"}
	resources := []string{"resource", `resource == VM::"host://web-1"`, `resource in Scope::"/"`, `resource in Scope::"host://"`, `resource is VM`, `resource is VM in Scope::"aws://o-abcdefghij"`, `resource in Scope::"tag:env=prod"`, `resource in VM::"host://web-1"`, `resource == Scope::"/"`}
	conditions := []string{"", "when { context.port == 22 }", "when { context.nothing == 1 }", `unless { resource.getTag("env") == "prod" }`, `when { principal in Group::"https://idp#ops" }`, "unless { context.live < 3 }", `when { resource.name like "web-*" }`, "when { principal.person == \"p\" }"}
	scopes := []scope.Scope{"/", "host://", "host://web-1", "aws://", "tag:env=prod", ""}
	holders := []engine.Holder{{Principal: ana}, {Principal: ben}, {Group: ops}, {}, {Group: "nonsense"}}
	rapid.Check(t, func(t *rapid.T) {
		pick := func(from []string) string { return rapid.SampledFrom(from).Draw(t, "part") }
		var rules []engine.Rule
		for i := range rapid.IntRange(0, 12).Draw(t, "rules") {
			name := fmt.Sprint("r", i)
			at := rapid.SampledFrom(scopes).Draw(t, "at")
			given := []string{"view", "request"}[:rapid.IntRange(0, 2).Draw(t, "actions")]
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				rules = append(rules, engine.Permit(name, rapid.SampledFrom(holders).Draw(t, "to"), given, at))
			case 1:
				rules = append(rules, engine.Forbid(name, engine.Denial{
					From:    rapid.SliceOfN(rapid.SampledFrom(holders), 0, 2).Draw(t, "from"),
					Except:  rapid.SliceOfN(rapid.SampledFrom(holders), 0, 2).Draw(t, "except"),
					Actions: given, At: at, Exactly: rapid.Bool().Draw(t, "exactly"),
				}))
			default:
				effect := pick([]string{"permit", "forbid"})
				rules = append(rules, statement(t, name, fmt.Sprintf("%s (%s, %s, %s) %s;", effect, pick(principals), pick(actions), pick(resources), pick(conditions))))
			}
		}
		who := access.Identity{
			Principal: rapid.SampledFrom([]access.Principal{ana, ben, {Issuer: "local"}, {}, {Issuer: "local#x", Subject: "ana"}}).Draw(t, "who"),
			Groups:    rapid.SliceOfDistinct(rapid.SampledFrom([]string{ops, "https://idp#dev", "nonsense"}), rapid.ID[string]).Draw(t, "groups"),
		}
		on := engine.Target{VM: rapid.SampledFrom([]firewall.VMID{"", "host://web-1", "host://db-1", instance}).Draw(t, "vm")}
		if on.VM != "" && rapid.Bool().Draw(t, "tagged") {
			on.Tags = map[string]string{"env": "prod"}
		}
		c := engine.NewIndex(rules, tree).Case(who, rapid.SampledFrom([]string{"request", "approve", "view"}).Draw(t, "action"), on)
		got := c.Request(ask)
		permits, forbids, failed := c.Scan(ask.Request())
		var failures []engine.Rule
		for _, f := range got.Failed {
			failures = append(failures, f.Rule)
		}
		nobody := who.Issuer != "local" && who.Issuer != "https://idp" || who.Subject == ""
		if nobody {
			if got.Allow || len(got.Permits) > 0 {
				t.Fatalf("nobody may: %v", names(got.Permits))
			}
			return
		}
		for what, lists := range map[string][2][]engine.Rule{"permits": {permits, got.Permits}, "forbids": {forbids, got.Forbids}, "failures": {failed, failures}} {
			if diff := cmp.Diff(names(lists[0]), names(lists[1])); diff != "" {
				t.Fatalf("%s (-scan +index):\n%s", what, diff)
			}
		}
		if want := len(permits) > 0 && len(forbids)+len(failed) == 0; got.Allow != want {
			t.Fatalf("allowed: %v, want %v", got.Allow, want)
		}
	})
}

// What Cedar is told fits the schema that policies are checked against, and says
// everything that it promises.
func TestQuestionsFitTheSchema(t *testing.T) {
	v, err := engine.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	unseen := ask
	unseen.Caller = netip.Addr{}
	for _, a := range []engine.Ask{ask, unseen} {
		for _, who := range []access.Identity{{Principal: ana}, {Principal: ben, Kind: access.Person, Person: "p-1", Groups: []string{ops}}} {
			for _, vm := range []firewall.VMID{"host://web-1", instance} {
				c := engine.NewIndex(nil, tree).Case(who, "request", engine.Target{VM: vm, Tags: map[string]string{"env": "prod"}})
				entities, question := c.Entities()
				question.Context = a.Request()
				if err := v.Request(question); err != nil {
					t.Error(err)
				}
				if err := v.Entities(entities); err != nil {
					t.Error(err)
				}
				question.Action = types.NewEntityUID("Action", "approve")
				question.Context = types.NewRecord(types.RecordMap{"ask": a.Request(), "requester": question.Principal, "stage": types.String("lead")})
				if err := v.Request(question); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestCircumstances(t *testing.T) {
	network := ask
	network.Source = netip.MustParsePrefix("10.1.0.0/16")
	for condition, c := range map[string]struct {
		ask  engine.Ask
		want bool
	}{
		`context.port == 22 && context.protocol == "tcp"`:                          {ask, true},
		`context.source.isInRange(ip("203.0.113.0/24")) && !context.foreign`:       {ask, true},
		`context.source == context.caller`:                                         {ask, true},
		`context.source.isInRange(ip("10.1.0.0/16")) && context.foreign`:           {network, true},
		`context.source.isInRange(ip("10.1.2.0/24"))`:                              {network, false},
		`context.hour == 14 && context.weekday == "thursday"`:                      {ask, true},
		`context.duration <= duration("1h")`:                                       {ask, true},
		`context.duration < duration("1h")`:                                        {ask, false},
		`context.start >= datetime("2030-01-31T14:30:00Z")`:                        {ask, true},
		`context.reason == "why" && context.ticket like "T-*" && context.live < 3`: {ask, true},
		`principal.kind == "program"`:                                              {ask, true},
		`resource.name == "web-1" && resource.cloud == "host"`:                     {ask, true},
		`resource.hasTag("env") && resource.getTag("env") == "prod"`:               {ask, false},
	} {
		r := statement(t, "r", `permit (principal, action == Action::"request", resource) when { `+condition+` };`)
		v := engine.NewIndex([]engine.Rule{r}, nil).Case(access.Identity{Principal: ana}, "request", engine.Target{VM: "host://web-1"}).Request(c.ask)
		if v.Allow != c.want || len(v.Failed) > 0 || len(v.Missed) != len(v.Permits)^1 {
			t.Errorf("%s: %+v", condition, v)
		}
	}
}

// A forbid that fails is no permit: whatever else allows, the answer is no.
func TestFailureIsNo(t *testing.T) {
	rules := []engine.Rule{
		engine.Permit("role", engine.Holder{Principal: ana}, []string{"request"}, "/"),
		statement(t, "broken", `forbid (principal, action == Action::"request", resource) when { resource.getTag("env") == "prod" };`),
	}
	c := engine.NewIndex(rules, nil).Case(access.Identity{Principal: ana}, "request", engine.Target{VM: "host://web-1"})
	if v := c.Request(ask); v.Allow || len(v.Failed) != 1 || v.Failed[0].Rule.Name != "broken" || v.Failed[0].Why == "" {
		t.Errorf("%+v", v)
	}
	if v := c.Possible(); !v.Allow {
		t.Errorf("not worth asking: %+v", v)
	}
}

func TestHeadNamesItsActions(t *testing.T) {
	var p cedar.Policy
	if err := p.UnmarshalCedar([]byte("forbid (principal, action, resource);")); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Statement("r", &p); err == nil {
		t.Error("a statement about every action is taken")
	}
}

func TestOwn(t *testing.T) {
	var rules []engine.Rule
	for i := range 40 {
		rules = append(rules, engine.Permit(fmt.Sprint("r", i), engine.Holder{Principal: ana}, nil, "/"))
	}
	x := engine.NewIndex(append(rules, engine.Permit("other", engine.Holder{Principal: ben}, nil, "/"), engine.Permit("group", engine.Holder{Group: ops}, nil, "/")), nil)
	if got, more := x.Case(access.Identity{Principal: ana}, "view", engine.Target{}).Own(3); !more || !slices.Equal(names(got), []string{"r0", "r1", "r2"}) {
		t.Errorf("%v, %v", names(got), more)
	}
	if got, more := x.Case(access.Identity{Principal: ben, Groups: []string{ops}}, "view", engine.Target{}).Own(3); more || !slices.Equal(names(got), []string{"group", "other"}) {
		t.Errorf("%v, %v", names(got), more)
	}
	if got, _ := x.Case(access.Identity{}, "view", engine.Target{}).Own(3); got != nil {
		t.Errorf("%v", got)
	}
}
