package program_test

import (
	"testing"

	"github.com/sesame-access/sesame/internal/demo/program"
)

func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		`sesame open web-1 --reason "read the logs"`: {"open", "web-1", "--reason", "read the logs"},
		`sesame open 'a$b c' ''`:                     {"open", "a$b c", ""},
		`sesame x 'it'\''s'`:                         {"x", "it's"},
	} {
		if got := program.CommandLine(args); got != want {
			t.Errorf("%q is typed as %s, want %s", args, got, want)
		}
	}
}
