package console

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Consent says how a command that changes who gets in may go ahead.
type Consent struct{ Yes, DryRun bool }

// Register adds the flags --yes and --dry-run.
func (c *Consent) Register(f *pflag.FlagSet) {
	f.BoolVarP(&c.Yes, "yes", "y", false, "do it without asking")
	f.BoolVar(&c.DryRun, "dry-run", false, "only show what would be done")
}

// Possible fails when consent is needed and nobody is there to give it.
func (c *Console) Possible(how Consent) error {
	switch {
	case how.Yes && how.DryRun:
		return errkind.New(errkind.Invalid, "--yes does it and --dry-run does not; give one of them")
	case !how.Yes && !how.DryRun && !IsTerminal(c.In):
		return errkind.New(errkind.Invalid, "this changes who gets in, and nobody is at a terminal to agree; say --yes to do it, or --dry-run to look first")
	}
	return nil
}

// Ask puts a question to the person at the terminal. Anything but yes is no, and
// the end of ctx is ErrInterrupted.
func (c *Console) Ask(ctx context.Context, question string) error {
	fmt.Fprintf(c.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(c.Input(ctx)).ReadString('\n')
	if ctx.Err() != nil {
		fmt.Fprintln(c.Err)
		return ErrInterrupted
	}
	if err != nil && answer == "" {
		fmt.Fprintln(c.Err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errkind.New(errkind.Conflict, "you did not agree, so nothing was changed")
}

// PrintPreview shows what would be written, and who gets in before and after. VMs
// are called as people call them, with their ids behind.
func PrintPreview(w io.Writer, p api.Preview) error {
	var b strings.Builder
	head := "What would be written:\n"
	if len(p.Changes) == 0 {
		head = "Nothing would be written.\n"
	}
	b.WriteString(head)
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "  %s  %s\n", c.Firewall, output.Plain(c.Text))
	}
	writeReach(&b, p)
	writeTerms(&b, p)
	for _, r := range p.Refused {
		from := ""
		if r.From != "" {
			from = " from " + r.From
		}
		fmt.Fprintf(&b, "cannot be had: %s%s: %s\n", r.Door, from, output.Plain(r.Why))
	}
	if _, err := io.WriteString(w, Named(p, b.String())); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// PrintReach shows who gets in by it and who does not any more, and what has to be
// agreed to, and nothing where that stays as it is.
func PrintReach(w io.Writer, p api.Preview) error {
	var b strings.Builder
	writeReach(&b, p)
	writeTerms(&b, p)
	if _, err := io.WriteString(w, Named(p, b.String())); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func writeReach(b *strings.Builder, p api.Preview) {
	for _, r := range p.Reach {
		if r.Admits == nil && r.Shuts == nil && r.Doubts == nil {
			continue
		}
		fmt.Fprintf(b, "%s: reached by %s now, by %s then\n", r.Door, r.Before.Open, r.After.Open)
		if s := r.Shuts; s != nil {
			fmt.Fprintf(b, "  loses access: %s (by %s)\n", s.Sources, output.Plain(s.By))
		}
		if s := r.Doubts; s != nil {
			fmt.Fprintf(b, "  may lose access: %s (by %s)\n", s.Sources, output.Plain(s.By))
		}
		if s := r.Admits; s != nil {
			fmt.Fprintf(b, "  gets in: %s (by %s)\n", s.Sources, output.Plain(s.By))
		}
	}
}

// writeTerms writes what is to be known before anybody agrees: what is lost to
// others, who is locked out that cannot ask, and what comes back.
func writeTerms(b *strings.Builder, p api.Preview) {
	for i, l := range p.Losses {
		if i == 0 {
			b.WriteString("Lost with these locks, beyond their ports (--accept-losses):\n")
		}
		fmt.Fprintf(b, "  %s\n", output.Plain(l.Text))
	}
	for i, o := range p.Others {
		if i == 0 {
			b.WriteString("Another installation is there already, and neither touches the other's rules; whoever one lets in the other may keep out:\n")
		}
		fmt.Fprintf(b, "  %s: %s\n", o.Door, output.Plain(o.Text))
	}
	for i, x := range p.Proposed {
		if i == 0 {
			b.WriteString("Proposed as exempt (all of them with --exempt-proposed):\n")
		}
		fmt.Fprintf(b, "  %s %s of %s: --exempt %s\n", x.Kind, output.Plain(x.Name), firewall.VMID(x.VM).Name(), strings.Join(x.From, " --exempt "))
	}
	for i, r := range p.Restored {
		if i == 0 {
			b.WriteString("Displaced rules that come back:\n")
		}
		fmt.Fprintf(b, "  %s on %s: %s; %s\n", output.Plain(cmp.Or(r.Rule, r.Why)), r.Firewall, cmp.Or(output.Plain(strings.Join(r.Opens, ", ")), "what it lets in is not known"), history(r))
	}
}

// history says how long a rule was out, and how it comes back.
func history(r api.Restored) string {
	text := "nobody knows how long it was out"
	if r.Age != "" {
		text = "out for " + r.Age
	}
	if r.NewID {
		text += "; under a new id"
	}
	if r.Asks != "" {
		text += "; only with --restore-open: " + output.Plain(r.Asks)
	}
	return text
}
