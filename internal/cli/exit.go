package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

// exitCode says what a code to exit with means: that the error is of a kind, or
// is the given one. It is the one place where errors become codes.
type exitCode struct {
	code    int
	kind    errkind.Kind
	err     error
	meaning string
}

func exitCodes() []exitCode {
	return []exitCode{
		{0, "", nil, "done"},
		{1, errkind.Internal, nil, "failed for a reason that has no other code"},
		{2, errkind.Invalid, nil, "the command line or an input makes no sense; nothing was sent or changed"},
		{3, errkind.Denied, nil, "you may not do that, or the policy does not allow it"},
		{4, errkind.NotFound, nil, "there is no such thing, or it is not yours to see"},
		{5, errkind.Conflict, nil, "somebody was faster, or the state forbids it"},
		{6, errkind.Unavailable, nil, "the server, a firewall or a clock is not there now, did not answer in time, or is not the one that is trusted"},
		{7, errkind.Unauthenticated, nil, "the server does not know who you are"},
		{8, errkind.Exhausted, nil, "a quota or a rate limit is used up"},
		{9, "", console.ErrUnsound, "the audit log is not sound: what it says is not what was signed"},
		{10, "", console.ErrFound, "`sesame scan` found something as bad as --fail-on says"},
		{130, "", console.ErrInterrupted, "interrupted, as by Ctrl-C; `serve` and `demo` are ended so, and exit with 0"},
	}
}

// exitCodeOf returns the code for err.
func exitCodeOf(err error) int {
	if err == nil {
		return 0
	}
	codes := exitCodes()
	for _, c := range codes {
		if c.err != nil && errors.Is(err, c.err) {
			return c.code
		}
	}
	for _, c := range codes {
		if c.kind != "" && c.kind == errkind.Of(err) {
			return c.code
		}
	}
	return 1
}

// finish says what went wrong, if anything did, and returns the code to exit
// with.
func (a *app) finish(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, console.ErrInterrupted)) {
		if !errors.Is(err, console.ErrSaid) {
			a.complain(errkind.New(errkind.Unavailable, "interrupted; %s", a.LeftAsItIs()), "")
		}
		return exitCodeOf(console.ErrInterrupted)
	}
	if !a.started && errkind.Of(err) == errkind.Internal {
		// Whatever fails before a command begins is about the command line.
		err = errkind.Wrap(errkind.Invalid, err, "%v", err)
	}
	if !errors.Is(err, console.ErrSaid) {
		a.complain(err, hintFor(cmd, err, a.started))
	}
	return exitCodeOf(err)
}

// A complaint is an error as a program reads it: the API's own problem, and the
// hint.
type complaint struct {
	api.Problem
	Hint string `json:"hint,omitzero"`
}

// complain writes an error in the format that was asked for.
func (a *app) complain(err error, hint string) {
	if a.Format == output.JSON {
		p := api.ProblemOf(err)
		p.Detail = console.ErrorText(err)
		_ = output.WriteJSON(a.Err, complaint{p, hint}) // who does not listen cannot be told
		return
	}
	fmt.Fprintf(a.Err, "sesame: %s\n", console.ErrorText(err))
	if hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", hint)
	}
}

// asksForJSON reports whether args ask for JSON, for when they make no sense
// otherwise and were not read to the end.
func asksForJSON(args []string) bool {
	for i, s := range args {
		switch s {
		case "--":
			return false
		case "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			return i+1 < len(args) && args[i+1] == "json"
		}
	}
	return false
}

// hintFor returns what to do about err.
func hintFor(cmd *cobra.Command, err error, started bool) string {
	switch own := console.HintOf(err); {
	case own != "":
		return own
	case errors.Is(err, connect.ErrNoServer):
		return "`sudo sesame demo` starts one to play with; to use yours, set SESAME_URL, SESAME_CA and SESAME_TOKEN, or write them into ~/.config/sesame/client.yaml"
	case !started:
		return "`" + cmd.CommandPath() + " --help` shows how it is used"
	case errkind.Of(err) == errkind.Unauthenticated:
		return "`sesame doctor` says which token was used; an administrator makes one with `sesame token create NAME --role requester`"
	case errkind.Of(err) == errkind.Unavailable:
		return "`sesame doctor` tries every step of the way"
	}
	return ""
}

// exitCodesTopic is the help about exit codes.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Sesame exits with one of these codes:\n\n")
	for _, c := range exitCodes() {
		fmt.Fprintf(&b, "%5d  %s\n", c.code, c.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the codes mean that sesame exits with", Long: strings.TrimRight(b.String(), "\n")}
}
