package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/demo/place"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/tlsfiles"
)

func (a *app) simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run a simulated cloud on this machine",
		Long: `Simulate runs the API of a cloud on the loopback interface, without the cloud: as
strict as the real one, with a fleet of machines whose rules were written by
many hands. The cloud's own tools and SDKs work against it unchanged. Nothing is
kept when it ends.`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.simulateAWSCommand(), a.simulateAzureCommand())
	return cmd
}

// A simulation is a simulated cloud that is served on the loopback interface.
type simulation struct {
	name    string
	listen  string
	tls     bool
	envFile string
	handler http.Handler
	// env returns what clients have to know: assignments, in order. The
	// authority is a file, "" without TLS.
	env func(url, authority string) [][2]string
}

// simulate serves s until ctx is done. Whoever reaches a simulator may do
// anything to it, and so it listens on the loopback interface only.
func (a *app) simulate(ctx context.Context, s simulation) (err error) {
	at, err := netip.ParseAddrPort(s.listen)
	if err != nil || !at.Addr().IsLoopback() {
		return errkind.Bad("--listen", s.listen, "a loopback address and a port, such as 127.0.0.1:4566")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "cannot listen on %s: %v", s.listen, err)
	}
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16}
	scheme, authority := "http", ""
	if s.tls {
		dir, failed := os.MkdirTemp("", "sesame-simulate-*")
		if failed != nil {
			return errors.Join(fmt.Errorf("make a place for the certificates: %w", failed), listener.Close())
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		files, failed := tlsfiles.Open(dir, []string{at.Addr().String(), "localhost"}, time.Now)
		if failed != nil {
			return errors.Join(failed, listener.Close())
		}
		scheme, authority, server.TLSConfig = "https", files.CAPath(), files.Config()
	}
	url := scheme + "://" + listener.Addr().String()
	ended := make(chan error, 1)
	go func() {
		if s.tls {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	if err := a.announce(s, url, s.env(url, authority)); err != nil {
		return errors.Join(err, server.Close())
	}
	if s.envFile != "" {
		defer func() { err = errors.Join(err, os.Remove(s.envFile)) }()
	}
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", s.name, err)
	}
}

// announce says where the simulator is, and writes it down for scripts.
func (a *app) announce(s simulation, url string, env [][2]string) error {
	var text strings.Builder
	for _, e := range env {
		fmt.Fprintf(&text, "%s='%s'\n", e[0], strings.ReplaceAll(e[1], "'", `'\''`))
	}
	if s.envFile != "" {
		path, err := filepath.Abs(s.envFile)
		if err != nil {
			return errkind.Bad("--env-file", s.envFile, "a path")
		}
		if err := place.Replace(path, text.String()); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.Out, "%s at %s, until you end it. Clients need:\n\n%s", s.name, url, text.String())
	return nil
}
