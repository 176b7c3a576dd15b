package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a commands) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove what happened: verify and export the audit log",
		Example: `  sesame audit verify
  sesame audit export log.jsonl
  sesame audit verify log.jsonl --key "$KEY" --earlier checkpoint.txt`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.auditVerifyCommand(), a.auditExportCommand())
	return cmd
}

func (a commands) auditExportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Write the whole log as a bundle that anyone can verify",
		Long: `Export writes the whole audit log, with its signed checkpoints, to a new file or,
without one or for -, to standard output.`,
		Example: "  sesame audit export log.jsonl",
		Args:    console.Takes(0, 1, "nothing, - or a file that does not exist yet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			if len(args) == 0 || args[0] == "-" {
				return vouched(c.Export(cmd.Context(), a.Out))
			}
			a.Stays("%s is removed again, because the log is not all in it", args[0])
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return errkind.Wrap(errkind.Invalid, err, "the file cannot be made: %v", err)
			}
			if err := errors.Join(c.Export(cmd.Context(), f), f.Sync(), f.Close()); err != nil {
				return errors.Join(vouched(err), os.Remove(args[0]))
			}
			fmt.Fprintf(a.Err, "the audit log is in %s\n", args[0])
			return nil
		},
	}
}

// A verifying is what `audit verify` was told.
type verifying struct {
	key     string
	earlier []string
}

func (a commands) auditVerifyCommand() *cobra.Command {
	var v verifying
	cmd := &cobra.Command{
		Use:   "verify [FILE|-]",
		Short: "Check that nothing in the log was changed, and find the first record that was",
		Long: `Verify fetches the audit log, or reads a bundle from a file or - for standard
input, and checks every record, every hash and every signed checkpoint here.

A file vouches for itself only as far as its key does: --key is the public key
that you noted earlier, and --earlier a signed checkpoint that you kept.
Without a file the key is the one that the server names.`,
		Example: `  sesame audit verify
  sesame audit verify log.jsonl --key sesame/0123456789ab+1b0c… --earlier kept.txt`,
		Args: console.Takes(0, 1, "nothing, - or a file with a bundle"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args, v) },
	}
	cmd.Flags().StringVar(&v.key, "key", "", "the log's public key")
	cmd.Flags().StringArrayVar(&v.earlier, "earlier", nil, "file with a signed checkpoint of the same log; may be given again")
	return cmd
}

func (a commands) verify(ctx context.Context, args []string, v verifying) error {
	if v.key != "" {
		if _, err := note.NewVerifier(v.key); err != nil {
			return errkind.Bad("--key", v.key, "the public key of an audit log, as `sesame audit verify` shows it")
		}
	}
	var earlier [][]byte
	for _, file := range v.earlier {
		text, err := input.ReadFile(ctx, file)
		if err != nil {
			return errkind.Wrap(errkind.Invalid, err, "the checkpoint cannot be read: %v", err)
		}
		earlier = append(earlier, text)
	}
	bundle, key, err := a.bundle(ctx, args, v.key)
	if err != nil {
		return err
	}
	defer bundle.Close() //nolint:errcheck // only read
	read := source{bundle, nil}
	report, err := audit.Verify(&read, key, earlier...)
	if read.failed != nil { // then nothing is known about the log
		return errkind.Wrap(errkind.Invalid, read.failed, "the bundle cannot be read: %v", read.failed)
	}
	if errors.Is(err, audit.ErrNoBundle) {
		return errkind.Wrap(errkind.Invalid, err, "this cannot be verified: %v", err)
	}
	if fault, ok := errors.AsType[*audit.BundleError](err); ok {
		return console.Hint(errkind.Wrap(errkind.Conflict, console.ErrUnsound, "the audit log is not sound: %v", fault),
			"keep this bundle and every checkpoint you have; whoever could write the database after that record is where to look")
	}
	if err != nil {
		return err
	}
	out := api.AuditReport{
		OK: true, Checkpoints: report.Checkpoints + report.Earlier, Personal: report.Personal, Erased: report.Erased,
		Checkpoint: api.Checkpoint{Origin: report.Head.Origin, Key: key, Size: report.Head.Size, Root: report.Head.Root.String(), Signed: ""},
		History:    api.HistoryOf(report.History), Fault: "", FaultIndex: nil,
	}
	return a.Show(out, func() error { return a.printVerified(out) })
}

// A source is a bundle that is read, and why that failed: what could not be read
// says nothing about the log.
type source struct {
	from   io.Reader
	failed error
}

// Read notes how reading failed.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

func (a commands) printVerified(r api.AuditReport) error {
	fmt.Fprintln(a.Out, "The audit log is sound: nothing was changed, removed or put in between.")
	h := r.History
	return a.Pairs([][]string{
		{"  records", fmt.Sprintf("%d, of them %d with the personal part erased", r.Checkpoint.Size, r.Erased)},
		{"  checkpoints", fmt.Sprintf("%d agree with the records", r.Checkpoints)},
		{"  grants", fmt.Sprintf("%d granted, %d opened, %d closed, %d still running, %d still closing", h.Granted, h.Opened, h.Closed, h.Ongoing, h.Closing)},
		{"  latest close", latestClose(h)},
		{"  root", r.Checkpoint.Root},
		{"  key", r.Checkpoint.Key},
	})
}

// latestClose says how long after its end the grant was closed that had to wait
// longest for it.
func latestClose(h api.History) string {
	switch {
	case h.Closed == 0:
		return "none yet"
	case h.Latest == "":
		return "none was seen late"
	}
	return h.MaxLate + " after its end (" + h.Latest + ")"
}

// bundle returns what is to be verified, and the key to do it with.
func (a commands) bundle(ctx context.Context, args []string, key string) (io.ReadCloser, string, error) {
	if len(args) == 1 {
		if key == "" {
			return nil, "", errkind.New(errkind.Invalid, "a bundle is verified with the log's public key; say --key KEY (`sesame audit verify` shows it while the server is there)")
		}
		if args[0] == "-" {
			return io.NopCloser(a.Input(ctx)), key, nil
		}
		f, err := input.Open(ctx, args[0])
		if err != nil {
			return nil, "", errkind.Wrap(errkind.Invalid, err, "the bundle cannot be read: %v", err)
		}
		return f, key, nil
	}
	c, _, err := a.Client(ctx, authz.Admin)
	if err != nil {
		return nil, "", err
	}
	if key == "" {
		head, err := c.Checkpoint(ctx)
		if err != nil {
			return nil, "", vouched(err)
		}
		key = head.Key
	}
	var log bytes.Buffer
	if err := c.Export(ctx, &log); err != nil {
		return nil, "", vouched(err)
	}
	return io.NopCloser(&log), key, nil
}

// vouched says what it means that the server could not vouch for its log: the only
// state that forbids that is a log which is not the one it signed before.
func vouched(err error) error {
	if errkind.Of(err) != errkind.Conflict {
		return err
	}
	return console.Hint(errkind.Wrap(errkind.Conflict, console.ErrUnsound, "the audit log is not sound: %s", errkind.Public(err)),
		"unless you put the database back yourself, keep it as it is and every checkpoint you have; whoever could write it is where to look")
}
