package ground

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws"
)

// The instances of the simulated account: a shop whose ssh somebody opened to the
// world for a moment, years ago, and its database.
const (
	Shop     = "shop-1"
	ShopData = "shop-db-1"
)

// Office and Elsewhere are addresses on the simulated internet.
const (
	Office    = "203.0.113.20"
	Elsewhere = "198.51.100.77"
)

// An Account is a part of a cloud that this process simulates.
type Account interface {
	// Names are those of its machines, sorted.
	Names() []string
	// Providers are what writes its firewalls.
	Providers(keys firewall.Keyring) []provider.Provider
	// Called returns what people call the VM with that id; "" when it is none of
	// the account's.
	Called(vm firewall.VMID) string
	// Knock reports whether a new connection from an address on the simulated
	// internet gets through to a machine. Nobody asks the server.
	Knock(from, machine string, port uint16) (bool, error)
	// Rules is what all its firewalls say, in one canonical text.
	Rules() string
}

// A Cloud is an AWS account in this process: the EC2 API with its quotas and its
// errors, and the packets that its security groups let through. The provider
// speaks to it as to AWS, by the SDK of AWS.
type Cloud struct {
	sim       *ec2.Simulator
	regions   []aws.Region
	instances map[string]string // ids by name
}

// NewCloud makes the account.
func NewCloud(ctx context.Context) (*Cloud, error) {
	sim, err := ec2.New(ec2.Config{Seed: 1})
	if err != nil {
		return nil, fmt.Errorf("simulate AWS: %w", err)
	}
	c := &Cloud{sim: sim, regions: nil, instances: map[string]string{}}
	sim.Build(ec2.DefaultRegion, c.build)
	way := aws.Access{Endpoint: "http://ec2.simulated", Authorities: nil, Key: ec2.DefaultKey, Secret: ec2.DefaultSecret, Client: sim.Client()}
	if c.regions, err = way.Connect(ctx, aws.Account{Regions: []string{ec2.DefaultRegion}}); err != nil {
		return nil, fmt.Errorf("reach the simulated AWS: %w", err)
	}
	return c, nil
}

// build furnishes a region.
func (c *Cloud) build(w *world.World) {
	b := fleet.NewBuilder(w, ec2.DefaultAccount)
	v := b.VPC("shop", "10.20.0.0/16")
	igw := b.Gateway(v.ID)
	b.Routes(v.ID, true, "10.20.0.0/16", "local", "0.0.0.0/0", igw)
	subnet := b.Subnet(v.ID, "a", "10.20.0.0/20", "", true)
	shop := b.Group(v.ID, "shop", "the shop", "tcp 443 0.0.0.0/0 # customers", "tcp 22 0.0.0.0/0 # temporary")
	data := b.Group(v.ID, "shop-db", "the database", "tcp 5432 @shop", "tcp 22 "+Office+"/32 # office")
	for name, group := range map[string]string{Shop: shop, ShopData: data} {
		leg := fleet.Leg{Subnet: subnet, Groups: []string{group}, Addresses: 1, IPv6: false, Public: true}
		// The tag is for who would be told to log in.
		tags := world.Resource{ID: "", Owner: "", Tags: world.Tags{"simulated-by": "sesame"}}
		c.instances[name] = b.Instance(name, world.Instance{Resource: tags, State: "running"}, leg).ID
	}
}

// Names implements Account.
func (c *Cloud) Names() []string { return []string{Shop, ShopData} }

// Providers implements Account.
func (c *Cloud) Providers(keys firewall.Keyring) []provider.Provider {
	return []provider.Provider{aws.New(aws.Config{Keys: keys, Regions: c.regions})}
}

// Called implements Account.
func (c *Cloud) Called(vm firewall.VMID) string {
	for _, name := range c.Names() {
		if vm.Home().Cloud == firewall.CloudAWS && vm.Name() == c.instances[name] {
			return name
		}
	}
	return ""
}

// Knock implements Account.
func (c *Cloud) Knock(from, instance string, port uint16) (bool, error) {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		return false, fmt.Errorf("knock: %w", err)
	}
	return c.sim.Connect(addr, c.instances[instance], int(port)).Outcome == packet.Delivered, nil
}

// Rules implements Account.
func (c *Cloud) Rules() string { return strings.TrimSpace(c.sim.Document(ec2.DefaultRegion)) }
