package cli

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/errkind"
)

// mostVMs is how many virtual machines a simulated fleet may have.
const mostVMs = 100_000

func (a *app) simulateAzureCommand() *cobra.Command {
	s := simulation{name: "Simulated Azure", tls: true}
	vms, seed, latency := 0, uint64(0), time.Duration(0)
	cmd := &cobra.Command{
		Use:   "azure",
		Short: "Run a simulated Azure Resource Manager",
		Long: `Azure simulates Azure Resource Manager as far as it decides who can reach a
virtual machine, with its operations, entity tags, token buckets and error codes.
The SDKs of Azure and the az command line work against it; the variables that it
prints say where it is and how to get in.

It listens on the loopback interface only, for under /_simulator/ everybody may
break it: make calls fail, edit behind the back of others, ask who gets in.`,
		Example: `  sesame simulate azure --vms 200 --env-file azure.env
  set -a; . ./azure.env; set +a; curl --cacert $ARM_CA -H "Authorization: Bearer $ARM_TOKEN" "$ARM_ENDPOINT/subscriptions?api-version=2022-12-01"`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if vms < 0 || vms > mostVMs {
				return errkind.Bad("--vms", strconv.Itoa(vms), fmt.Sprintf("a number up to %d", mostVMs))
			}
			if latency < 0 {
				return errkind.Bad("--latency", latency.String(), "a duration such as 2s")
			}
			secret := rand.Text()
			cloud := arm.New(arm.Config{
				Secret: secret, RetryAfter: time.Second, Limits: gate.Documented(),
				Config: rp.Config{Latency: latency, Seed: seed},
			})
			if _, err := cloud.Fleet(vms, seed); err != nil {
				return fmt.Errorf("make the fleet: %w", err)
			}
			mux := http.NewServeMux()
			mux.Handle("/", cloud)
			mux.Handle(arm.AdminPath, cloud.Admin())
			s.handler = mux
			s.env = func(url, authority string) [][2]string {
				return [][2]string{
					{"ARM_ENDPOINT", url},
					{"ARM_CA", authority},
					{"ARM_TOKEN", cloud.Token()},
					{"AZURE_SUBSCRIPTION_ID", arm.SubscriptionID},
					// The managed identity: az reads the names of 2017, the SDKs those of 2019.
					{"MSI_ENDPOINT", url + "/msi/token"},
					{"MSI_SECRET", secret},
					{"IDENTITY_ENDPOINT", url + "/msi/token"},
					{"IDENTITY_HEADER", secret},
				}
			}
			return a.simulate(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "a loopback address and port; port 0 takes a free one")
	f.StringVar(&s.envFile, "env-file", "", "when everything is ready, write the variables that clients need to this file")
	f.IntVar(&vms, "vms", 40, "how many virtual machines there are")
	f.Uint64Var(&seed, "seed", 1, "makes the fleet; the same seed makes the same one")
	f.DurationVar(&latency, "latency", 2*time.Second, "how long an operation takes")
	return cmd
}
