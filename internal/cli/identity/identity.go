// Package identity holds the commands about who one is: signing in and out, and
// what administrators say about who is the same person as whom.
//
// Signing in goes through a browser. Where this machine has one, it comes back to a
// port on the loopback interface with a code that is good once, and only together
// with a secret that never left this process; where it has none, a code is typed in
// on another device. The session that comes of it is kept in a file that only its
// owner may read, and is shown to no other server than its own.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	wire "github.com/sesame-access/sesame/internal/api/identity"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

// commands are those of this package, on one console.
type commands struct{ *console.Console }

// Commands returns the commands.
func Commands(c *console.Console) []*cobra.Command {
	a := commands{c}
	return append(
		console.Group(console.GettingIn, a.loginCommand(), a.logoutCommand()),
		console.Group(console.Ruling, a.identityCommand())...,
	)
}

func (a commands) loginCommand() *cobra.Command {
	var issuer string
	var device, again bool
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in at your identity provider",
		Long: `Login signs you in at an identity provider of the server's configuration. It
shows a link to open in a browser on this machine; with --device, a code to type
in on any other. The session lasts as long as the server says, and is kept for
this server alone.`,
		Example: `  sesame login
  sesame login --device
  sesame login --issuer corp --again`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.login(cmd.Context(), issuer, device, again)
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "where to sign in; may be left out if there is one")
	cmd.Flags().BoolVar(&device, "device", false, "sign in on another device")
	cmd.Flags().BoolVar(&again, "again", false, "prove anew who you are, even if the provider still knows you")
	return cmd
}

func (a commands) login(ctx context.Context, issuer string, device, again bool) error {
	c, target, err := a.Client(ctx, authz.Requester)
	if err != nil {
		return err
	}
	if target.URL == "" || target.Demo != "" {
		return errkind.New(errkind.Invalid, "one signs in over TLS, and the server here is %s (%s); name one with --server", target, target.Source)
	}
	var in wire.SignedIn
	if device {
		in, err = a.byDevice(ctx, c, issuer)
	} else {
		in, err = a.byBrowser(ctx, c, issuer, again)
	}
	if err != nil {
		return err
	}
	if err := connect.KeepSession(a.Machine, target.URL, in.Secret); err != nil {
		return err
	}
	in.Secret = "" // it is in its file
	return a.Show(in, func() error {
		fmt.Fprintf(a.Out, "you are %s (%s), until %s at most\n", in.Principal, in.Principal.Issuer, output.Clock(in.Expires.Time, console.Now()))
		if target.TokenSource != "" && target.TokenSource != "sesame login" {
			fmt.Fprintf(a.Err, "commands go on using the token from %s\n", target.TokenSource)
		}
		return nil
	})
}

// waitTime is how long somebody has to sign in.
const waitTime = 15 * time.Minute

// byBrowser signs in with a browser on this machine.
func (a commands) byBrowser(ctx context.Context, c *client.Client, issuer string, again bool) (wire.SignedIn, error) {
	where, err := c.SignIns(ctx)
	if err != nil {
		return wire.SignedIn{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return wire.SignedIn{}, fmt.Errorf("wait for the browser: %w", err)
	}
	defer l.Close() //nolint:errcheck // nobody comes any more
	state, verifier := rand.Text(), rand.Text()
	hash := sha256.Sum256([]byte(verifier))
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return wire.SignedIn{}, err
	}
	q := url.Values{"port": {port}, "challenge": {base64.RawURLEncoding.EncodeToString(hash[:])}, "state": {state}}
	if issuer != "" {
		q.Set("issuer", issuer)
	}
	if again {
		q.Set("again", "true")
	}
	fmt.Fprintf(a.Err, "Open this in a browser on this machine (without one: sesame login --device):\n\n  %s/login?%s\n\n", where.URL, q.Encode())
	code, err := await(ctx, l, state)
	if err != nil {
		return wire.SignedIn{}, err
	}
	return c.FetchSession(ctx, wire.FetchSession{Handle: "", Code: code, Verifier: verifier})
}

// await returns the code that a browser brings to l with the right state.
func await(ctx context.Context, l net.Listener, state string) (string, error) {
	codes := make(chan string, 1)
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			if r.URL.Path != "/" || q.Get("code") == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
				http.Error(w, "This is not what sesame login waits for.", http.StatusBadRequest)
				return
			}
			fmt.Fprintln(w, "You are signed in. You can close this page and go back to the terminal.")
			select {
			case codes <- q.Get("code"):
			default: // another page was faster
			}
		}),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	defer func() {
		// The page that says so is still being written.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(closing)
	}()
	select {
	case code := <-codes:
		return code, nil
	case err := <-ended:
		return "", fmt.Errorf("wait for the browser: %w", err)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", errkind.New(errkind.Unauthenticated, "nobody signed in within %s", waitTime)
		}
		return "", ctx.Err()
	}
}

// byDevice signs in on another device.
func (a commands) byDevice(ctx context.Context, c *client.Client, issuer string) (wire.SignedIn, error) {
	dev, err := c.StartDevice(ctx, issuer)
	if err != nil {
		return wire.SignedIn{}, err
	}
	fmt.Fprintf(a.Err, "Open %s on any device and type in\n\n  %s\n\n", output.Plain(dev.Page), output.Plain(dev.Code))
	handle, interval := dev.Handle, dev.Interval
	for {
		if !console.Pause(ctx, time.Duration(max(interval, 1))*time.Second) {
			return wire.SignedIn{}, ctx.Err()
		}
		in, err := c.FetchSession(ctx, wire.FetchSession{Handle: handle, Code: "", Verifier: ""})
		if err != nil || !in.Pending {
			return in, err
		}
		handle, interval = in.Handle, in.Interval
	}
}

func (a commands) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the session that login began",
		Long: `Logout ends the session on the server and forgets it here. What was opened stays
open until its time; sesame close ends it.`,
		Example: "  sesame logout",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, target, err := a.Client(cmd.Context(), authz.Requester)
			if err != nil {
				return err
			}
			var ended error
			if target.TokenSource == "sesame login" {
				ended = c.EndSession(cmd.Context())
			}
			had, err := connect.DropSession(a.Machine, target.URL)
			if err != nil {
				return fmt.Errorf("forget the session: %w", err)
			}
			// A session that the server does not know any more has ended, too.
			if ended != nil && errkind.Of(ended) != errkind.Unauthenticated {
				return ended
			}
			return a.Show(struct {
				SignedOut bool `json:"signed_out"`
			}{had}, func() error {
				text := "you were not signed in at " + target.String()
				if had {
					text = "you are signed out of " + target.String()
				}
				fmt.Fprintln(a.Out, text)
				return nil
			})
		},
	}
}

func (a commands) identityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Who is known, and who is the same person",
		Long: `An identity is an issuer and what it calls somebody. One person may have several:
of the portal, of az, of a token. Only a person approves, and nobody approves what
they asked for themselves, whichever identity they use. Whoever signs in at an
issuer of people is a person; other identities are one when an administrator links
them.`,
		Example: `  sesame identity list
  sesame identity link ana --to https://login.example.org#42
  sesame identity unlink ana`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.listCommand(), a.linkCommand(), a.unlinkCommand())
	return cmd
}

func (a commands) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Everybody who is known",
		Example: "  sesame identity list",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			all, err := c.Identities(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(api.PageOf(all, ""), func() error {
				var rows [][]string
				for _, x := range all {
					seen, person := "never", "nobody"
					if !x.Seen.IsZero() {
						seen = output.Clock(x.Seen.Time, console.Now())
					}
					if x.Person != "" {
						person = x.Person
					}
					rows = append(rows, []string{x.Principal.Issuer + "#" + x.Principal.Subject, x.Principal.String(), x.Kind, person, strconv.Itoa(len(x.Groups)), seen})
				}
				return output.WriteTable(a.Out, "Nobody is known.", []string{"IDENTITY", "NAME", "KIND", "PERSON", "GROUPS", "SIGNED IN"}, rows)
			})
		},
	}
}

func (a commands) linkCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "link IDENTITY",
		Short: "Make an identity a person",
		Long: `Link says who stands behind an identity: with --to the person that another one
is, and without it a person by itself. From then on it may approve where roles
and policies allow that, and never what an identity of the same person asked for.`,
		Example: `  sesame identity link ana --to https://login.example.org#42
  sesame identity link ana`,
		Args: console.Takes(1, 1, "an identity, as `sesame identity list` shows it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			x, err := c.LinkIdentity(cmd.Context(), wire.Link{Identity: args[0], To: to})
			if err != nil {
				return err
			}
			return a.Show(x, func() error {
				fmt.Fprintf(a.Out, "%s is the person %s\n", x.Principal, x.Person)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "another identity of the same person")
	return cmd
}

func (a commands) unlinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unlink IDENTITY",
		Short:   "Take a link back",
		Example: "  sesame identity unlink ana",
		Args:    console.Takes(1, 1, "an identity, as `sesame identity list` shows it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			if err := c.UnlinkIdentity(cmd.Context(), wire.Unlink{Identity: args[0]}); err != nil {
				return err
			}
			return a.Show(struct {
				Unlinked string `json:"unlinked"`
			}{args[0]}, func() error {
				fmt.Fprintf(a.Out, "%s is linked to nobody any more\n", args[0])
				return nil
			})
		},
	}
}
