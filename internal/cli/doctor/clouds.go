package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon/clouds"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Clouds tries every cloud of a configuration from here: whether the credentials
// are taken, which regions there are, and whether a firewall can be read.
func Clouds(ctx context.Context, cfg config.Config, tell func(Check)) {
	const patience = 30 * time.Second
	all := clouds.Open(cfg, firewall.Keyring{Instance: "doctor", Keys: nil}) // what is only read needs no keys
	if len(all) == 0 {
		tell(Check{"clouds", Skip, "the configuration names none", ""})
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	checks := make([]Check, len(all))
	var trying sync.WaitGroup
	for i, c := range all {
		trying.Go(func() {
			found, err := c.Try(ctx)
			if err != nil {
				checks[i] = failed("cloud", err, "`sesame config check` shows the roles and regions that are tried")
				return
			}
			text := fmt.Sprintf("%s: %s; %s behind %s, and what is there can be read", c.Name(), found.Place, output.Count(found.VMs, "VM"), output.Count(found.Firewalls, "firewall"))
			checks[i] = Check{"cloud", OK, text, ""}
		})
	}
	trying.Wait()
	for _, c := range checks {
		tell(c)
	}
}
