package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// An event is one line of go test -json, as go doc test2json describes it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output, in place of Package
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// A name is a test in its package; the package itself has no Test.
type name struct{ Package, Test string }

func (n name) String() string {
	if n.Test == "" {
		return n.Package
	}
	return n.Package + "." + n.Test
}

// A report is what is known of a run so far.
type report struct {
	passed, failed, skipped int
	packages                int             // that finished, with or without tests
	broken                  []name          // packages that failed apart from their tests
	reasons                 map[name]string // why a test was skipped
	running                 map[name]bool
	output                  map[name][]string
	failures                map[string]int // failed tests by package
}

// read follows the events in r and writes to w what can be told at once.
func read(r io.Reader, w io.Writer) (*report, error) {
	rep := &report{
		reasons:  map[name]string{},
		running:  map[name]bool{},
		output:   map[name][]string{},
		failures: map[string]int{},
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			rep.addLine(line, w)
		}
		if errors.Is(err, io.EOF) {
			return rep, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the events: %w", err)
		}
	}
}

// addLine takes a line of input. What is not an event is passed on, because
// somebody has to see it.
func (rep *report) addLine(line []byte, w io.Writer) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(w, "%s\n", strings.TrimSuffix(string(line), "\n"))
		return
	}
	rep.add(e, w)
}

func (rep *report) add(e event, w io.Writer) {
	n := name{cmp.Or(e.Package, e.ImportPath), e.Test}
	switch e.Action {
	case "start", "run":
		rep.running[n] = true
	case "output", "build-output":
		rep.output[n] = append(rep.output[n], e.Output)
	case "build-fail":
		fmt.Fprintf(w, "FAIL  %s does not build\n%s", n, indent(rep.output[n]))
	case "pass", "fail", "skip":
		delete(rep.running, n)
		if n.Test == "" {
			rep.endPackage(n, e, w)
		} else {
			rep.endTest(n, e.Action, w)
		}
		delete(rep.output, n)
	}
}

func (rep *report) endTest(n name, action string, w io.Writer) {
	switch action {
	case "pass":
		rep.passed++
	case "skip":
		rep.skipped++
		rep.reasons[n] = reason(rep.output[n])
	case "fail":
		rep.failed++
		rep.failures[n.Package]++
		fmt.Fprintf(w, "FAIL  %s\n%s", n, indent(ending(rep.output[n])))
	}
}

// ending leaves out all of a long output but its last lines, which say what was
// wrong.
func ending(output []string) []string {
	const most = 30
	lines := slices.Collect(strings.Lines(strings.Join(output, "")))
	if len(lines) <= most {
		return lines
	}
	left := fmt.Sprintf("(%d lines before)\n", len(lines)-most)
	return append([]string{left}, lines[len(lines)-most:]...)
}

func (rep *report) endPackage(n name, e event, w io.Writer) {
	rep.packages++
	switch e.Action {
	case "pass":
		fmt.Fprintf(w, "ok    %s  %.1fs\n", n, e.Elapsed)
	case "skip":
		fmt.Fprintf(w, "-     %s  has no tests\n", n)
	case "fail":
		fmt.Fprintf(w, "FAIL  %s  %.1fs\n", n, e.Elapsed)
		if rep.failures[n.Package] == 0 {
			rep.broken = append(rep.broken, n)
			fmt.Fprint(w, indent(rep.output[n]))
		}
	}
}

// write tells what only the end of the run can tell.
func (rep *report) write(w io.Writer) {
	for _, n := range rep.unfinished() {
		fmt.Fprintf(w, "FAIL  %s began and did not end\n%s", n, indent(rep.output[n]))
	}
	if len(rep.reasons) > 0 {
		fmt.Fprintln(w, "\nSkipped:")
		for _, n := range sorted(rep.reasons) {
			fmt.Fprintf(w, "  %s: %s\n", n, rep.reasons[n])
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", rep.passed, rep.failed+len(rep.unfinished()), rep.skipped)
}

// verdict is nil if the run was good.
func (rep *report) verdict(failSkips bool) error {
	switch {
	case rep.failed > 0 || len(rep.unfinished()) > 0:
		return errors.New("a test failed")
	case len(rep.broken) > 0:
		return fmt.Errorf("%s failed outside its tests", rep.broken[0])
	case rep.packages == 0 || rep.passed+rep.skipped == 0:
		return errors.New("nothing was tested")
	case failSkips && rep.skipped > 0:
		return errors.New("a test was skipped where every test has to run")
	default:
		return nil
	}
}

// unfinished lists the tests and packages that began and have no end; those
// above another one are left out, because the one below says it.
func (rep *report) unfinished() []name {
	all := sorted(rep.running)
	return slices.DeleteFunc(slices.Clone(all), func(n name) bool {
		return slices.ContainsFunc(all, func(m name) bool {
			below := strings.HasPrefix(m.Test, n.Test+"/") || n.Test == "" && m.Test != ""
			return m.Package == n.Package && below
		})
	})
}

func sorted[V any](m map[name]V) []name {
	return slices.SortedFunc(maps.Keys(m), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Test, b.Test))
	})
}

// reason finds what a test said when it skipped itself: the last line that is
// not the framework's own, without the place in front.
func reason(output []string) string {
	found := "no reason given"
	for line := range strings.SplitSeq(strings.Join(output, ""), "\n") {
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- ") {
			continue
		}
		if at, rest, ok := strings.Cut(text, ": "); ok && strings.Contains(at, ".go:") {
			text = rest
		}
		found = text
	}
	return found
}

// indent sets output off from the report, without the framework's markers.
func indent(output []string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Join(output, "")) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "=== ") {
			b.WriteString("      " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	return b.String()
}
