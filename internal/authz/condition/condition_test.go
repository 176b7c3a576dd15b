package condition_test

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/authz/condition"
	"github.com/sesame-access/sesame/internal/authz/role"
)

func TestOf(t *testing.T) {
	const assign = "Microsoft.Authorization/roleAssignments/write"
	for text, want := range map[string]condition.Truth{
		"":                                       condition.True,
		" \n":                                    condition.True,
		"ActionMatches{'*/initiate/action'}":     condition.True,
		"actionmatches {'Microsoft.Security/*'}": condition.True,
		"!(ActionMatches{'" + assign + "'})":     condition.True,
		"NOT ActionMatches{'*'}":                 condition.False,
		"@Resource[Microsoft.Storage/storageAccounts:name] StringEquals 'x'":                                                condition.Unknown,
		"!(@Request[a] StringEquals 'x')":                                                                                   condition.Unknown,
		"!(ActionMatches{'" + assign + "'}) OR @Request[a] ForAnyOfAnyValues:GuidEquals {b-1, c-2}":                         condition.True,
		"ActionMatches{'" + assign + "'} && @Request[a] BoolEquals true":                                                    condition.False,
		"ActionMatches{'*'} AND @Request[a] BoolEquals true":                                                                condition.Unknown,
		"ActionMatches{'*'} || @Request[a] BoolEquals true":                                                                 condition.True,
		"SubOperationMatches{'Blob.List'}":                                                                                  condition.Unknown,
		"Exists @Principal[x] OR ActionMatches{'x'}":                                                                        condition.Unknown,
		"@Environment[UtcNow] DateTimeGreaterThan '2026-01-01T00:00:00.0Z'":                                                 condition.Unknown,
		"@Request[a] StringEquals 'x OR y) AND ('":                                                                          condition.Unknown,
		"ActionMatches{'x'} OR ActionMatches{'*'} AND ActionMatches{'y'}":                                                   condition.False, // AND binds first
		"(ActionMatches{'x'} OR ActionMatches{'*'}) AND !ActionMatches{'y'}":                                                condition.True,
		"((!(ActionMatches{'" + assign + "'})) OR (@Request[a:b] ForAnyOfAllValues:GuidNotEquals {x} AND @Request[c] X 1))": condition.True,
	} {
		c, err := condition.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Of(role.JITInitiate); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"(", ")", "()", "!", "ActionMatches", "ActionMatches{", "ActionMatches{'*'", "ActionMatches{*}", "ActionMatches{'a' , 'b'}",
		"ActionMatches{'*'} OR", "AND ActionMatches{'*'}", "(ActionMatches{'*'}", "ActionMatches{'*'})", "ActionMatches{'*'} ActionMatches{'x'}",
		"ActionMatches{'*} OR x", "ActionMatches{'*'} & ActionMatches{'*'}", "@Request[a] In {b", "@Request[a] In }",
		strings.Repeat("(", 100) + "ActionMatches{'*'}" + strings.Repeat(")", 100), strings.Repeat("!", 100) + "ActionMatches{'*'}",
		"ActionMatches{'" + strings.Repeat("x", 9_000) + "'}",
	} {
		if c, err := condition.Parse(text); err == nil {
			t.Errorf("%.60s: no error, and is %v", text, c.Of(role.JITInitiate))
		}
	}
}

// Whatever the text says, what is Unknown does not become True by wrapping it.
func FuzzParse(f *testing.F) {
	f.Add("!(ActionMatches{'x'}) OR @Request[a] GuidEquals {b}")
	f.Add("@Request[a] StringEquals 'x' AND (ActionMatches{'*'})")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := condition.Parse(text)
		if err != nil {
			return
		}
		if strings.TrimSpace(text) == "" {
			return
		}
		if len(text) > 4_000 || strings.Count(text, "(")+strings.Count(text, "!") > 20 || strings.Contains(strings.ToUpper(text), "NOT") {
			return
		}
		wrapped, err := condition.Parse("!(" + text + ")")
		if err != nil {
			t.Fatalf("%q cannot be put into brackets: %v", text, err)
		}
		if got, want := wrapped.Of(role.VMRead), condition.True-c.Of(role.VMRead); got != want {
			t.Fatalf("the opposite of %q is %v, want %v", text, got, want)
		}
	})
}
