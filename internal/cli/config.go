package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/configdoc"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

// defaultConfig is where the daemon's configuration lies.
const defaultConfig = "/etc/sesame/sesame.yaml"

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "The daemon's configuration",
		Example: "  sesame config check /etc/sesame/sesame.yaml",
		RunE:    console.ShowHelp,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration, and print what it comes to",
		Long: `Check reads a configuration as ` + "`sesame serve`" + ` would, says every mistake in it
with its line, and prints the whole of it with the defaults filled in. It also
loads the certificate and the key that it names, and looks for the network
namespaces of its hosts. Without FILE it reads
` + defaultConfig + `, or takes the defaults where that does not exist.`,
		Example: `  sesame config check
  sesame config check /dev/null > sesame.yaml    an example with every key`,
		Args: console.Takes(0, 1, "nothing, or a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := ""
			if len(args) == 1 {
				file = args[0]
			}
			cfg, err := readConfig(cmd.Context(), file)
			if err != nil {
				return err
			}
			if _, err := os.Stat(cmpFile(file)); file == "" && errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintf(a.Err, "there is no %s, so these are the defaults, which `sesame serve` would use; they name no host\n", defaultConfig)
			}
			if err := cmp.Or(checkCertificate(cmd.Context(), cfg.TLS), checkHosts(cfg.Hosts)); err != nil {
				return err
			}
			return a.Show(configdoc.Of(cfg), func() error {
				_, err := a.Out.Write(config.Format(cfg))
				return err
			})
		},
	})
	return cmd
}

// readConfig reads a configuration. Without a name it reads the usual file, and
// takes the defaults where that does not exist.
func readConfig(ctx context.Context, file string) (config.Config, error) {
	text, err := input.ReadFile(ctx, cmpFile(file))
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return config.Default(), nil
	}
	if err != nil {
		return config.Config{}, errkind.Wrap(errkind.Invalid, err, "the configuration cannot be read: %v", err)
	}
	cfg, err := config.Parse(text)
	if err != nil {
		return config.Config{}, errkind.Wrap(errkind.Invalid, err, "%s: %s", cmpFile(file), errkind.Public(err))
	}
	return cfg, nil
}

// checkCertificate loads the key pair that t names, if it names one: serve would
// refuse what cannot be loaded.
func checkCertificate(ctx context.Context, t config.TLS) error {
	if t.Own() {
		return nil
	}
	cert, errCert := input.ReadFile(ctx, t.Cert)
	key, errKey := input.ReadFile(ctx, t.Key)
	err := cmp.Or(errCert, errKey)
	if err == nil {
		_, err = tls.X509KeyPair(cert, key)
	}
	if err != nil {
		return errkind.Wrap(errkind.Invalid, err, "the certificate in tls.cert and tls.key cannot be used: %v", err)
	}
	return nil
}

// checkHosts looks for the network namespaces that hosts are on: serve could write
// no firewall where there is none.
func checkHosts(hosts []config.Host) error {
	for _, h := range hosts {
		if h.NetNS == "" {
			continue
		}
		if _, err := os.Stat(h.NetNS); err != nil {
			return errkind.Wrap(errkind.Invalid, err, "host %s: its network namespace is not there: %v", h.Name, err)
		}
	}
	return nil
}

func cmpFile(file string) string {
	if file == "" {
		return defaultConfig
	}
	return file
}

// An override is what flags say over the configuration.
type override struct {
	stateDir, socket string
	listen           []string
}

// over puts o over cfg.
func (o override) over(cfg config.Config) (config.Config, error) {
	for _, p := range []struct {
		flag, value string
		to          *string
	}{{"--state-dir", o.stateDir, &cfg.StateDir}, {"--socket", o.socket, &cfg.Socket}} {
		if p.value == "" {
			continue
		}
		path, err := filepath.Abs(p.value)
		if err != nil {
			return cfg, fmt.Errorf("%s: %w", p.flag, err)
		}
		*p.to = path
	}
	if len(o.listen) > 0 {
		cfg.Listen = nil
	}
	for _, s := range o.listen {
		addr, err := netip.ParseAddrPort(s)
		if err != nil {
			return cfg, errkind.Bad("--listen", s, "an address and a port, such as 127.0.0.1:8443 or [::]:8443")
		}
		cfg.Listen = append(cfg.Listen, addr)
	}
	slices.SortFunc(cfg.Listen, netip.AddrPort.Compare)
	return cfg, config.Validate(cfg)
}
