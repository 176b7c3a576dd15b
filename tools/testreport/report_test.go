package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const start = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
`
	tests := []struct {
		name    string
		events  string
		says    []string // all of them, in this order
		verdict string   // with skips allowed
		strict  string   // with skips failing
	}{
		{
			name:   "all is well",
			events: start + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":1.25}`,
			says:   []string{"ok    p  1.2s\n", "\n1 passed, 0 failed, 0 skipped\n"},
		},
		{
			name: "a skipped test and its reason",
			events: start + `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: needs root: no right to make a namespace\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			says:   []string{"Skipped:\n  p.TestA: needs root: no right to make a namespace\n", "0 passed, 0 failed, 1 skipped"},
			strict: "a test was skipped where every test has to run",
		},
		{
			name: "a failed test shows its output once",
			events: start + `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: 1 is not 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p","Elapsed":0.1}`,
			says:    []string{"FAIL  p.TestA\n          a_test.go:7: 1 is not 2\nFAIL  p  0.1s\n\n0 passed, 1 failed, 0 skipped"},
			verdict: "a test failed",
			strict:  "a test failed",
		},
		{
			name: "of a long output only the end is shown",
			events: start + `{"Action":"output","Package":"p","Test":"TestA","Output":"` + strings.Repeat(`it goes on\n`, 40) + `    a_test.go:7: 1 is not 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Elapsed":0.1}`,
			says:    []string{"FAIL  p.TestA\n      (11 lines before)\n" + strings.Repeat("      it goes on\n", 29) + "          a_test.go:7: 1 is not 2\nFAIL  p"},
			verdict: "a test failed",
			strict:  "a test failed",
		},
		{
			name: "a package that does not build",
			events: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"./a.go:1:1: expected 'package'\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			says:    []string{"FAIL  p [p.test] does not build\n      ./a.go:1:1: expected 'package'\n", "[build failed]", "0 passed, 0 failed, 0 skipped"},
			verdict: "p failed outside its tests",
			strict:  "p failed outside its tests",
		},
		{
			name: "a good test in a package that fails at its end",
			events: start + `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"goleak: found unexpected goroutines\n"}
{"Action":"fail","Package":"p"}`,
			says:    []string{"goleak: found unexpected goroutines", "1 passed, 0 failed, 0 skipped"},
			verdict: "p failed outside its tests",
			strict:  "p failed outside its tests",
		},
		{
			name:    "a test that never ended",
			events:  start + `{"Action":"run","Package":"p","Test":"TestA/sub"}`,
			says:    []string{"FAIL  p.TestA/sub began and did not end", "0 passed, 1 failed, 0 skipped"},
			verdict: "a test failed",
			strict:  "a test failed",
		},
		{
			name:    "a run cut short",
			events:  `{"Action":"start","Package":"o"}` + "\n" + `{"Action":"pass","Package":"o"}` + "\n" + `{"Action":"start","Package":"p"}`,
			says:    []string{"ok    o", "FAIL  p began and did not end", "0 passed, 1 failed, 0 skipped"},
			verdict: "a test failed",
			strict:  "a test failed",
		},
		{
			name:    "no events",
			says:    []string{"0 passed, 0 failed, 0 skipped"},
			verdict: "nothing was tested",
			strict:  "nothing was tested",
		},
		{
			name:    "only packages without tests",
			events:  `{"Action":"skip","Package":"p"}`,
			says:    []string{"has no tests", "0 passed, 0 failed, 0 skipped"},
			verdict: "nothing was tested",
			strict:  "nothing was tested",
		},
		{
			name:   "a line that is no event is passed on",
			events: "go: some complaint\n" + start + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p"}`,
			says:   []string{"go: some complaint\n", "1 passed"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			rep, err := read(strings.NewReader(tt.events), &out)
			if err != nil {
				t.Fatal(err)
			}
			rep.write(&out)
			rest := out.String()
			for _, want := range tt.says {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("the report lacks %q:\n%s", want, out.String())
				}
				rest = after
			}
			if got := text(rep.verdict(false)); got != tt.verdict {
				t.Errorf("verdict %q, want %q", got, tt.verdict)
			}
			if got := text(rep.verdict(true)); got != tt.strict {
				t.Errorf("strict verdict %q, want %q", got, tt.strict)
			}
		})
	}
}

// The events above are written from memory of the format; these come from the
// go command that is here.
func TestReportOfRealRun(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{
		"go.mod":           "module toy\n\ngo 1.26\n",
		"good/a_test.go":   "package good\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) { t.Run(\"sub\", func(t *testing.T) {}) }\n\nfunc TestSkip(t *testing.T) { t.Skip(\"the moon: is not up\") }\n",
		"bad/a_test.go":    "package bad\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Error(\"it broke\") }\n",
		"broken/a_test.go": "package broken\n\nvar x int = \"no\"\n",
		"panics/a_test.go": "package panics\n\nimport \"testing\"\n\nfunc TestPanic(t *testing.T) { panic(\"oh\") }\n",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "./...")
	cmd.Dir = dir
	events, err := cmd.Output()
	if err == nil {
		t.Fatal("go test passed the toy")
	}
	var out strings.Builder
	rep, err := read(strings.NewReader(string(events)), &out)
	if err != nil {
		t.Fatal(err)
	}
	rep.write(&out)
	for _, want := range []string{
		"FAIL  toy/bad.TestBad\n          a_test.go:5: it broke\n",
		"FAIL  toy/broken [toy/broken.test] does not build\n",
		"FAIL  toy/panics.TestPanic\n",
		"ok    toy/good ",
		"Skipped:\n  toy/good.TestSkip: the moon: is not up\n",
		"\n2 passed, 2 failed, 1 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
