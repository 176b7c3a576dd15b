package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a *app) simulateAWSCommand() *cobra.Command {
	s := simulation{name: "Simulated AWS"}
	c := ec2.Config{Regions: nil}
	instances := 0
	cmd := &cobra.Command{
		Use:   "aws",
		Short: "Run a simulated AWS: EC2's networks, and a little of STS",
		Long: `Aws simulates the EC2 API as far as it decides who can reach an instance, with
the quotas, the token buckets and the error codes of the real one, and the calls
of STS that are about who one is. The SDKs of AWS and the aws command line find
it through the variables that it prints.

It listens on the loopback interface only, for under /_simulator/ everybody may
break it: make calls fail, edit behind the back of others, ask who gets in.`,
		Example: `  sesame simulate aws --instances 20 --env-file aws.env
  set -a; . ./aws.env; set +a; aws ec2 describe-instances --max-items 5`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if instances < 0 || instances > fleet.Most {
				return errkind.Bad("--instances", strconv.Itoa(instances), fmt.Sprintf("a number up to %d", fleet.Most))
			}
			sim, err := ec2.New(c)
			if err != nil {
				return err
			}
			region := sim.Regions()[0]
			if err := sim.Fleet(region, instances, c.Seed); err != nil {
				return err
			}
			s.handler = sim
			s.env = func(url, authority string) [][2]string {
				env := [][2]string{
					{"AWS_ENDPOINT_URL", url},
					{"AWS_ACCESS_KEY_ID", ec2.DefaultKey},
					{"AWS_SECRET_ACCESS_KEY", ec2.DefaultSecret},
					{"AWS_REGION", region},
					{"AWS_DEFAULT_REGION", region}, // which is all that older tools know
				}
				if authority != "" {
					env = append(env, [2]string{"AWS_CA_BUNDLE", authority})
				}
				return env
			}
			return a.simulate(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "a loopback address and port; port 0 takes a free one")
	f.BoolVar(&s.tls, "tls", false, "speak TLS, with an authority that is made for the occasion")
	f.StringVar(&s.envFile, "env-file", "", "when everything is ready, write the variables that clients need to this file")
	f.IntVar(&instances, "instances", 10, "how many instances there are")
	f.Uint64Var(&c.Seed, "seed", 1, "makes the fleet and its ids; the same seed makes the same ones")
	f.DurationVar(&c.ReadLag, "read-lag", 0, "how far reads may lag behind writes")
	f.DurationVar(&c.WriteTime, "write-time", 0, "how long a write takes")
	f.BoolVar(&c.Unthrottled, "unthrottled", false, "leave out the token buckets")
	return cmd
}
