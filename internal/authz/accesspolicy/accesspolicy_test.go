package accesspolicy_test

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/errkind"
)

func reader(t testing.TB) *accesspolicy.Reader {
	t.Helper()
	r, err := accesspolicy.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const good = `
// Production sleeps at night.
@id("office-hours")
forbid (principal, action == Action::"request", resource in Scope::"tag:env=prod")
unless { context.hour >= 7 && context.hour < 19 };

permit (
    principal in Group::"https://login.example.com#sre",
    action in [Action::"request", Action::"skipApproval"],
    resource in Scope::"/subscriptions/11111111-2222-3333-4444-555555555555"
) when {
    resource.hasTag("team") && resource.getTag("team") == "sre" &&
    context.duration <= duration("2h") &&
    context.source.isInRange(ip("203.0.113.0/24")) &&
    context.ticket like "INC-*"
};

permit (principal, action == Action::"approve", resource)
when { context.stage == "lead" && principal in Group::"local#leads" && !(context.requester in Group::"local#leads") };
`

func TestRead(t *testing.T) {
	rules, err := reader(t).Read(accesspolicy.Document{Name: "prod", Text: good})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name    string
		forbids bool
		actions string
	}{
		{"access policy prod (office-hours)", true, "request"},
		{"access policy prod (line 7)", false, "request skipApproval"},
		{"access policy prod (line 18)", false, "approve"},
	}
	for i, r := range rules {
		if r.Name != want[i].name || r.Forbids() != want[i].forbids || strings.Join(r.Actions(), " ") != want[i].actions {
			t.Errorf("%q, forbids %v, %v", r.Name, r.Forbids(), r.Actions())
		}
	}
	if len(rules) != len(want) {
		t.Errorf("%d rules", len(rules))
	}
}

// Every mistake is found when the document is read, and its line is said.
func TestMistakes(t *testing.T) {
	on := func(head, when string) string { return "\npermit (" + head + ") " + when + ";" }
	const request = `principal, action == Action::"request", resource`
	for name, c := range map[string]struct{ text, want string }{
		"nothing":              {"", "no statement"},
		"only a comment":       {"// x\n", "no statement"},
		"no grammar":           {"\n\npermit (principal, action", "line 3"},
		"a forgotten semi":     {on(request, "") + "\npermit", "line 3"},
		"every action":         {on("principal, action, resource", ""), "line 2: the statement does not say which actions"},
		"an unknown action":    {on(`principal, action == Action::"manage", resource`, ""), `line 2: unrecognized action`},
		"closing":              {on(`principal, action == Action::"close", resource`, ""), `unrecognized action`},
		"an unknown attribute": {on(request, "when { context.prot == 22 }"), "attribute `prot`"},
		"another type":         {on(request, `when { context.port == "22" }`), "line 2"},
		"an unsafe tag":        {on(request, `when { resource.getTag("env") == "prod" }`), "unable to guarantee safety"},
		"an optional one":      {on(request, `when { principal.person == "p-1" }`), "unable to guarantee safety"},
		"an unknown type":      {on(`principal == User::"ana", action == Action::"request", resource`, ""), "line 2"},
		"a scope's spelling": {
			on(`principal, action == Action::"request", resource in Scope::"/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Prod"`, ""),
			`write it as Scope::"/subscriptions/11111111-2222-3333-4444-555555555555/resourcegroups/prod"`,
		},
		"no scope":            {on(`principal, action == Action::"request", resource in Scope::"/prod"`, ""), "is not a scope"},
		"a VM's name":         {on(`principal, action == Action::"request", resource == VM::"web-1"`, ""), "is not a VM id"},
		"a name in a set":     {on(request, `when { principal in [Group::"local#a", Group::"leads"] }`), `Group::"leads" names nobody`},
		"a name in a conditi": {on(request, `when { resource in Scope::"HOST://" }`), "is not a scope"},
		"a bare principal":    {on(`principal == Principal::"ana", action == Action::"request", resource`, ""), "names nobody"},
		"an odd id":           {"@id(\"x y\")" + on(request, ""), "line 1: @id"},
		"an id twice":         {"@id(\"x\")" + on(request, "") + "\n@id(\"x\")" + on(request, ""), "line 3: @id"},
		"deep brackets":       {on(request, "when { "+strings.Repeat("(", 100)+"true"+strings.Repeat(")", 100)+" }"), "nested"},
		"too long":            {strings.Repeat("/", 70_000), "at most"},
		"too many":            {strings.Repeat(on(request, ""), 300), "300 statements"},
		"two mistakes":        {on(request, "when { context.a }") + on(request, "when { context.b }"), "line 3: attribute `b`"},
	} {
		_, err := reader(t).Read(accesspolicy.Document{Name: "p", Text: c.text})
		if err == nil || !strings.Contains(err.Error(), c.want) || errkind.Of(err) != errkind.Invalid {
			t.Errorf("%s: %v\nwant %q", name, err, c.want)
		}
	}
	if _, err := reader(t).Read(accesspolicy.Document{Name: "A b", Text: good}); err == nil {
		t.Error("a document has a name that is none")
	}
}

func FuzzRead(f *testing.F) {
	r := reader(f)
	f.Add(good)
	f.Add(`permit (principal, action == Action::"request", resource) when { [1, 2].contains(context.port) };`)
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := r.Read(accesspolicy.Document{Name: "p", Text: text})
		if err != nil {
			if errkind.Of(err) != errkind.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, r := range rules {
			for _, a := range r.Actions() {
				if a != "request" && a != "skipApproval" && a != "approve" {
					t.Fatalf("%q is about %s", text, a)
				}
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	r := reader(b)
	for b.Loop() {
		if _, err := r.Read(accesspolicy.Document{Name: "p", Text: good}); err != nil {
			b.Fatal(err)
		}
	}
}
