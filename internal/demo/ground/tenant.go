package ground

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

// The virtual machines of the simulated subscription: an office that works from a
// jump host, and the payroll behind the same network security group.
const (
	Jump    = "jump-1"
	Payroll = "payroll-1"
)

// How the simulated Azure is: how long a write takes, and how often a group is read
// when nothing happens, which is more often than one would ask Azure.
const (
	azureLatency = 300 * time.Millisecond
	azureResync  = 2 * time.Second
)

// A Tenant is an Azure subscription in this process: Resource Manager with its
// operations and entity tags, and the packets that its network security groups let
// through. The provider speaks to it as to Azure, by the SDK of Azure.
type Tenant struct {
	sim      *arm.Simulator
	builder  fleet.Builder
	group    string // id
	clients  azure.Clients
	surveyor azure.Surveyor
}

// NewTenant makes the subscription.
func NewTenant() (*Tenant, error) {
	sim := arm.New(arm.Config{Config: rp.Config{Latency: azureLatency, Seed: 1}})
	t := &Tenant{sim: sim, builder: sim.Builder("office"), group: "", clients: azure.Clients{}, surveyor: nil}
	if err := t.build(); err != nil {
		return nil, fmt.Errorf("simulate Azure: %w", err)
	}
	way := azure.Cloud{Endpoint: "https://azure.simulated", Token: sim.Token(), Client: sim.Client()}
	var err, failed error
	t.clients, err = azure.Connect(way)
	t.surveyor, failed = way.Survey(estate.Config{Subscriptions: []string{arm.SubscriptionID}})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("reach the simulated Azure: %w", err)
	}
	return t, nil
}

// build furnishes the subscription.
func (t *Tenant) build() (err error) {
	t.group, err = t.builder.NSG(
		"office",
		fleet.Rule{Name: "ssh-for-now", Priority: 300, Ports: []string{"22"}, Description: "temporary"},
		fleet.Rule{Name: "pay-day", Priority: 310, Ports: []string{"443"}, From: []string{"Internet"}},
		fleet.Rule{Name: "deny-all", Priority: 4096, Access: "Deny", Protocol: "*"},
	)
	if err != nil {
		return err
	}
	const space = "10.30.0.0/24"
	network, err := t.builder.Network("office", space, fleet.Subnet{Name: "default", Prefix: space, Group: t.group, Table: ""})
	if err != nil {
		return err
	}
	const first = 4 // Azure keeps those before
	for i, name := range t.Names() {
		public, err := t.builder.PublicIP(name+"-ip", fmt.Sprintf("192.0.2.%d", 100+i), "Standard")
		if err != nil {
			return err
		}
		at := fleet.IP{Subnet: network + "/subnets/default", Address: fmt.Sprintf("10.30.0.%d", first+i), Public: public, ASGs: nil, NATRules: nil}
		nic, err := t.builder.NIC(name+"-nic", "", at)
		if err != nil {
			return err
		}
		// The tag is for who would be told to log in.
		if _, err := t.builder.VM(name, "Linux", map[string]string{"simulated-by": "sesame"}, nic); err != nil {
			return err
		}
	}
	return nil
}

// Names implements Account.
func (t *Tenant) Names() []string { return []string{Jump, Payroll} }

// prompt is a provider whose groups are read often.
type prompt struct{ *azure.Provider }

// Limits implements [provider.Provider].
func (p prompt) Limits(fw firewall.ID) provider.Limits {
	l := p.Provider.Limits(fw)
	l.Resync = azureResync
	return l
}

// Providers implements Account.
func (t *Tenant) Providers(keys firewall.Keyring) []provider.Provider {
	return []provider.Provider{prompt{azure.New(azure.Config{Keys: keys, Clients: t.clients, Surveyor: t.surveyor})}}
}

// Called implements Account.
func (t *Tenant) Called(vm firewall.VMID) string {
	for _, name := range t.Names() {
		if strings.EqualFold(string(vm), t.builder.VMID(name)) {
			return name
		}
	}
	return ""
}

// Knock implements Account.
func (t *Tenant) Knock(from, machine string, port uint16) (bool, error) {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		return false, fmt.Errorf("knock: %w", err)
	}
	return t.sim.Connect(addr, t.builder.VMID(machine), port).Outcome == packet.Delivered, nil
}

// Rules implements Account.
func (t *Tenant) Rules() string {
	text, err := t.sim.Document(t.group)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text))
}

// meddling is a rule that somebody puts above everything.
const meddling = "/securityRules/let-me-in"

// Meddle puts a rule above everything that lets the world in to ssh, as somebody
// with the portal open would.
func (t *Tenant) Meddle() error {
	return t.sim.Put(t.group+meddling, `{"name":"let-me-in","properties":{"description":"just for a minute","protocol":"Tcp","sourcePortRange":"*",`+
		`"destinationPortRange":"22","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":150,"direction":"Inbound"}}`)
}

// Repent takes that rule away again.
func (t *Tenant) Repent() error { return t.sim.Delete(t.group + meddling) }
