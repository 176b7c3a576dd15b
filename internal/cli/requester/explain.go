package requester

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a commands) explainCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "explain VM [PORT]",
		Short: "Who can reach a port, and which rule decides",
		Long: `Explain reads the firewalls in front of a VM anew and says for every source
whether it gets through to the port, and by which rule: exactly, and for any
port, just-in-time or not. Without PORT it is about the one that
` + "`sesame open`" + ` would open.`,
		Example: `  sesame explain web-1
  sesame explain web-1 53/udp --from 203.0.113.7`,
		Args: console.Takes(1, 2, "a VM and a port, such as web-1 22"),
		RunE: func(cmd *cobra.Command, args []string) error {
			vm, port := console.SplitDoor(args[0])
			if port = append(port, args[1:]...); len(port) > 1 {
				return errkind.New(errkind.Invalid, "%s names a port, and %s is another one; name one", errkind.Quote(args[0]), errkind.Quote(args[1]))
			}
			if err := console.CheckVM(vm); err != nil {
				return err
			}
			ports, err := parseOne(port)
			if err != nil {
				return err
			}
			if from != "" {
				if err := console.CheckSources("--from", []string{from}); err != nil {
					return err
				}
			}
			c, _, err := a.Client(cmd.Context(), authz.Requester)
			if err != nil {
				return err
			}
			if len(ports) == 0 {
				known, err := c.VM(cmd.Context(), vm)
				if err != nil {
					return err
				}
				if ports, err = usualPort(known); err != nil {
					return err
				}
			}
			e, err := c.Explain(cmd.Context(), vm, ports[0], from)
			if err != nil {
				return err
			}
			return a.Show(e, func() error { return a.printExplanation(e) })
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "only about this address or prefix")
	return cmd
}

// parseOne reads the port that was named, if one was.
func parseOne(list []string) ([]api.Port, error) {
	var out []api.Port
	for _, s := range list {
		p, err := console.ParsePort("port", s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// decidedBy names every layer on the way, in order, and what it is not sure to do.
func decidedBy(s api.Span) string {
	steps := make([]string, len(s.Steps))
	for i, x := range s.Steps {
		rule := x.Rule
		if x.Maybe != "" {
			rule = x.Maybe + ", or " + x.Rule
		}
		if x.Firewall != "" {
			rule = x.Firewall + ": " + rule
		}
		if len(x.Can) > 1 && len(s.Steps) > 1 {
			rule += " (not known)"
		}
		steps[i] = rule
	}
	return strings.Join(steps, "; ")
}

func (a commands) printExplanation(e api.Explanation) error {
	lock := "not just-in-time"
	if e.Lock != nil {
		lock = doorState(*e.Lock)
		if e.Lock.Policy != "" {
			lock += ", by policy " + e.Lock.Policy
		}
	}
	fmt.Fprintf(a.Out, "%s is %s\n", e.Door, output.Plain(lock))
	spans := e.Reach.Spans
	if e.Source != nil {
		fmt.Fprintf(a.Out, "%s: %s\n\n", e.Source.Source, e.Source.Verdict)
		spans = e.Source.Spans
	} else {
		fmt.Fprintf(a.Out, "reached by %s\n", e.Reach.Open)
		if e.Reach.Unknown != "" {
			fmt.Fprintf(a.Out, "not known of %s\n", e.Reach.Unknown)
		}
		fmt.Fprintln(a.Out)
	}
	var rows [][]string
	for _, s := range spans {
		rows = append(rows, []string{s.Sources, s.Verdict, decidedBy(s)})
	}
	if err := output.WriteTable(a.Out, "Nothing is known about that source.", []string{"SOURCES", "VERDICT", "DECIDED BY"}, rows); err != nil {
		return err
	}
	if e.Source == nil {
		if e.Reach.Omitted > 0 {
			fmt.Fprintf(a.Out, "and %d ranges more; --from asks about one\n", e.Reach.Omitted)
		}
		fmt.Fprintf(a.Out, "\n%s\n", output.Plain(e.Says))
	}
	if len(e.Grants) > 0 {
		fmt.Fprintln(a.Out)
	}
	for _, g := range e.Grants {
		fmt.Fprintf(a.Out, "%s: %s for %s, %s\n", g.ID, g.State, strings.Join(g.Sources, " "), output.Until(g.Deadline.Time, console.Now()))
	}
	return nil
}
