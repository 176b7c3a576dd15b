package connect

import (
	"context"

	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Client returns a client of the target's server; agent names the program.
func Client(ctx context.Context, t Target, agent string) (*client.Client, error) {
	cfg := client.Config{URL: t.URL, CA: nil, Socket: t.Socket, Token: t.Token, Timeout: 0, Agent: agent}
	if t.CA != "" {
		pem, err := input.ReadFile(ctx, t.CA)
		if err != nil {
			return nil, errkind.Wrap(errkind.Invalid, err, "the authority of %s cannot be read from %s: %s", t, t.CA, reason(err))
		}
		cfg.CA = pem
	}
	return client.New(cfg)
}
