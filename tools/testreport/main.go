// Command testreport reads the events of go test -json from its standard input
// and writes what a person wants to see of them: a line for each package as it
// finishes, the whole output of what failed, every skipped test with its
// reason, and a closing line
//
//	214 passed, 0 failed, 3 skipped
//
// It exits with 1 if a test or a package failed, if a test began and never
// ended, if nothing was tested at all, and, with -skips fail, if a test was
// skipped: where everything can run, a skipped test is a test that is missing.
// Tests are counted with their subtests.
//
//	go test -json ./... | testreport -skips fail
//
// The exit code of go test is lost in such a pipe unless the shell is told to
// keep it (set -o pipefail); testreport does not rely on it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

func main() {
	skips := flag.String("skips", "allow", "allow or fail: whether a skipped test is a failure")
	flag.Parse()
	if err := run(*skips, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

func run(skips string, rest []string) error {
	if len(rest) > 0 || (skips != "allow" && skips != "fail") {
		return errors.New("usage: go test -json ./... | testreport [-skips allow|fail]")
	}
	rep, err := read(os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	rep.write(os.Stdout)
	return rep.verdict(skips == "fail")
}
