package sesame_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// invariants is how many invariants the design has: I1 to I15.
const invariants = 15

func TestInvariantsNameTheirTests(t *testing.T) {
	none(t, invariantProblems(repository(t)))
}

var (
	// An invariant begins a list item, a table row, a heading or a line.
	invariantEntry = regexp.MustCompile(`^\s*(?:[-*]\s+|\|\s*|#+\s+)?(?:\*\*)?I(\d+)\b`)
	endOfEntries   = regexp.MustCompile(`^#{1,6}\s`)
	testName       = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z0-9_]\w*`)
	placedTestName = regexp.MustCompile(`\b((?:internal|cmd|tools)(?:/[\w-]+)*)\.((?:Test|Fuzz)[A-Z0-9_]\w*)`)
)

// invariantProblems reads the invariants out of ARCHITECTURE.md. Each of I1 to
// I15 has one entry there, and each entry names at least one test; every test
// that it names exists, and where it names the package too
// (`internal/plan.TestSecondPlanIsEmpty`), it exists in that package.
func invariantProblems(tr *tree) (problems []string) {
	pages, _ := tr.pages()
	i := slices.IndexFunc(pages, func(pg page) bool { return pg.path == "ARCHITECTURE.md" })
	if i < 0 {
		return []string{"ARCHITECTURE.md does not exist"}
	}
	entries := map[int]string{}
	current := 0
	for n, line := range pages[i].prose {
		if m := invariantEntry.FindStringSubmatch(line); m != nil {
			number, err := strconv.Atoi(m[1])
			if err != nil || number < 1 || number > invariants {
				problems = append(problems, fmt.Sprintf("ARCHITECTURE.md:%d: there is no invariant I%s", n+1, m[1]))
				number = 0
			}
			if _, twice := entries[number]; twice && number > 0 {
				problems = append(problems, fmt.Sprintf("ARCHITECTURE.md:%d: a second entry for I%d", n+1, number))
			}
			current = number
		} else if endOfEntries.MatchString(line) {
			current = 0
		}
		if current > 0 {
			entries[current] += line + "\n"
		}
	}
	tests := tr.tests()
	for number := 1; number <= invariants; number++ {
		entry, ok := entries[number]
		names := testName.FindAllString(entry, -1)
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("ARCHITECTURE.md has no entry for I%d", number))
		case len(names) == 0:
			problems = append(problems, fmt.Sprintf("ARCHITECTURE.md: I%d names no test", number))
		}
		for _, name := range names {
			if len(tests[name]) == 0 {
				problems = append(problems, fmt.Sprintf("ARCHITECTURE.md: I%d names %s, which no package has", number, name))
			}
		}
		for _, m := range placedTestName.FindAllStringSubmatch(entry, -1) {
			if len(tests[m[2]]) > 0 && !slices.Contains(tests[m[2]], m[1]) {
				problems = append(problems, fmt.Sprintf("ARCHITECTURE.md: I%d names %s in %s; it is in %s", number, m[2], m[1], strings.Join(tests[m[2]], ", ")))
			}
		}
	}
	return problems
}

// tests returns the directories in which each test and fuzz function is. It
// takes the signature too: a helper that is only named like a test is none.
func (tr *tree) tests() map[string][]string {
	tests := map[string][]string{}
	for _, s := range tr.code {
		if !s.test {
			continue
		}
		for _, d := range s.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !testName.MatchString(fn.Name.Name) || len(fn.Type.Params.List) != 1 {
				continue
			}
			if star, ok := fn.Type.Params.List[0].Type.(*ast.StarExpr); ok {
				if sel, ok := star.X.(*ast.SelectorExpr); ok && (sel.Sel.Name == "T" || sel.Sel.Name == "F") {
					tests[fn.Name.Name] = append(tests[fn.Name.Name], s.dir)
				}
			}
		}
	}
	return tests
}

func TestInvariantFaultsAreFound(t *testing.T) {
	tr := plant(t,
		"internal/plan/plan_test.go", `package plan
			import "testing"
			func TestPlan(t *testing.T) {}
			func TestHelper(n int) {}
			func FuzzPlan(f *testing.F) {}`,
		"ARCHITECTURE.md", "# A\n\n"+
			"- **I1** holds: `TestPlan`.\n"+
			"- I2 holds,\n  says `internal/plan.FuzzPlan`\n"+
			"- I3 has none\n"+
			"- **I4**: `TestHelper`, `TestGone`\n"+
			"- **I5**: `internal/other.TestPlan`\n\n"+
			"| I6 | text | `TestPlan` |\n"+
			"- I1 again `TestPlan`\n- I16 `TestPlan`\n\nSee I7: `TestPlan`.\n\n## After\n\n`TestPlan`\n",
	)
	wants := []string{
		"I3 names no test",
		"I4 names TestHelper, which no package has",
		"I4 names TestGone, which no package has",
		"I5 names TestPlan in internal/other; it is in internal/plan",
		"a second entry for I1",
		"there is no invariant I16",
	}
	for n := 7; n <= invariants; n++ {
		wants = append(wants, fmt.Sprintf("no entry for I%d", n))
	}
	found(t, invariantProblems(tr), wants...)
	found(t, invariantProblems(plant(t, "README.md", "")), "ARCHITECTURE.md does not exist")
}
