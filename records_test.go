package sesame_test

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestDecisionRecords(t *testing.T) { none(t, recordProblems(repository(t))) }

const recordLines = 70 // one page

var (
	recordName   = regexp.MustCompile(`^docs/adr/(\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.md$`)
	recordTitle  = regexp.MustCompile(`^# (\d{4})\. \S`)
	recordStatus = regexp.MustCompile(`(?m)^- Status: (draft|accepted|superseded by \[(\d{4})\]\(\S+\))$`)
	recordDate   = regexp.MustCompile(`(?m)^- Date: \d{4}-\d{2}-\d{2}$`)
)

// recordProblems checks the decision records: numbered without gaps, dated,
// with a status and the three parts, and no longer than a page.
func recordProblems(tr *tree) (problems []string) {
	next := 1
	for _, p := range tr.paths {
		if path.Dir(p) != "docs/adr" {
			continue
		}
		m := recordName.FindStringSubmatch(p)
		if m == nil {
			problems = append(problems, p+" is not named NNNN-some-title.md")
			continue
		}
		if want := fmt.Sprintf("%04d", next); m[1] != want {
			problems = append(problems, fmt.Sprintf("%s comes where %s should", p, want))
		}
		next++
		text, err := fs.ReadFile(tr.fsys, p)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if title := recordTitle.FindSubmatch(text); title == nil || string(title[1]) != m[1] {
			problems = append(problems, fmt.Sprintf("%s does not begin with %q", p, "# "+m[1]+". title"))
		}
		if status := recordStatus.FindSubmatch(text); status == nil {
			problems = append(problems, p+` has no line "- Status: draft", "accepted" or "superseded by [NNNN](file)"`)
		}
		if !recordDate.Match(text) {
			problems = append(problems, p+` has no line "- Date: YYYY-MM-DD"`)
		}
		for _, part := range []string{"Context", "Decision", "Consequences"} {
			if !strings.Contains(string(text), "\n## "+part+"\n") {
				problems = append(problems, fmt.Sprintf("%s has no part %q", p, "## "+part))
			}
		}
		if n := strings.Count(string(text), "\n"); n > recordLines {
			problems = append(problems, fmt.Sprintf("%s has %d lines; a decision fits on a page of %d", p, n, recordLines))
		}
	}
	if next == 1 {
		problems = append(problems, "docs/adr holds no decision records")
	}
	return problems
}

func TestDecisionRecordFaultsAreFound(t *testing.T) {
	tr := plant(t,
		"docs/adr/0001-good.md", "# 0001. Good\n\n- Status: accepted\n- Date: 2026-01-02\n\n## Context\n\n## Decision\n\n## Consequences\n",
		"docs/adr/0003-bad.md", "# 0002. Bad\n\nStatus: fine\n\n## Context\n\n## Decision\n"+strings.Repeat("\n", recordLines),
		"docs/adr/notes.txt", "",
	)
	found(t, recordProblems(tr),
		"docs/adr/0003-bad.md comes where 0002 should",
		`docs/adr/0003-bad.md does not begin with "# 0003. title"`,
		"docs/adr/0003-bad.md has no line \"- Status",
		"docs/adr/0003-bad.md has no line \"- Date",
		`docs/adr/0003-bad.md has no part "## Consequences"`,
		"docs/adr/0003-bad.md has 77 lines",
		"docs/adr/notes.txt is not named",
	)
	found(t, recordProblems(plant(t, "README.md", "")), "docs/adr holds no decision records")
}
