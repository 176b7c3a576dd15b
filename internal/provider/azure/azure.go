// Package azure locks and opens ports of Azure virtual machines with network
// security groups. It reads and writes; what to write, and what an answer means, is
// decided by package nsg, whose firewall is one group. What else stands on the way
// to a machine, an Azure Firewall or security admin rules, is shown and not
// written.
//
// # Reading
//
// A group is read as the document that Azure Resource Manager shows, and with it
// the other groups in front of the same machines. A group that is not there, or
// that may not be read, is an error: nobody knows what it lets through. Of another
// group that cannot be read nothing is known, which holds no close here.
//
// # Writing
//
// One rule is a write of its own. Several are one write of the whole group where
// Azure was seen to refuse a stale entity tag, and otherwise one after the other.
// Whether it does is found out for each group and identity by a write that cannot
// change anything: it names a tag that nobody has, and a rule that Azure does not
// take. The answer that the tag is stale proves it; any other answer proves
// nothing.
//
// A write is followed to the end of its operation. What was not accepted because
// Azure is busy is sent again for a while. Nothing else is: what became of a write
// without an answer only the next reading tells.
//
// # Identities
//
// Four identities can do this: one reads, one opens, one closes, one locks. A whole
// group is written by the one who may do the most of what is in it. Azure counts
// the calls of each in buckets of their own. When one runs low the calls stand in line,
// apart as it fills, for a while: the caller is told how long that can be. Who is told
// to wait longer does wait, and openings leave the last calls, and the line, to
// closings.
package azure

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/meter"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// Clients are those of the roles. All may be the same.
type Clients struct {
	Reader *arm.Client // reads
	Opener *arm.Client // writes openings
	Closer *arm.Client // deletes and narrows openings
	Locker *arm.Client // writes and deletes locks
}

// Config is what an Azure provider is made of.
type Config struct {
	Keys firewall.Keyring
	Clients
	Surveyor Surveyor
	// Windows and MayOutrank are those of [nsg.Reading].
	Windows    nsg.Windows
	MayOutrank []string
	// Strange is told of foreign rules that changed while we wrote to their group;
	// nil for nobody.
	Strange func(firewall.ID, []resource.Difference)
}

// A Provider is the provider of the network security groups of some subscriptions.
type Provider struct {
	Config

	meters meter.Meters

	mu     sync.Mutex
	survey *survey // nil before the first
	groups map[firewall.ID]*group
}

var _ provider.Provider = (*Provider)(nil)

// New returns a provider. It does no I/O.
func New(c Config) *Provider {
	return &Provider{Config: c, groups: map[firewall.ID]*group{}}
}

// Inventory implements [provider.Provider].
func (p *Provider) Inventory(ctx context.Context) ([]inventory.VM, error) {
	s, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	return s.VMs, nil
}

// Compile implements [provider.Provider]. What is shown and not written has nothing
// to do.
func (p *Provider) Compile(s provider.Snapshot, want firewall.Wants, _ []plan.Change) (plan.Plan, error) {
	if s.Raw == nil && s.Firewall != "" && !isGroup(s.Firewall) {
		return plan.Plan{Firewall: s.Firewall, Changes: nil, After: s.Layer, Refused: nil}, nil
	}
	return nsg.Compile(s, want)
}

// Limits implements [provider.Provider].
func (p *Provider) Limits(fw firewall.ID) provider.Limits {
	if !isGroup(fw) {
		return provider.Limits{}
	}
	l := p.of(fw).limits()
	l.Line, l.Resync = meter.Line, p.seldom()
	return l
}

// seldom is how long a group goes unread where there are so many that reading them
// more often took more than half of the reads that Azure allows one identity; 0
// where it does not.
func (p *Provider) seldom() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if resync := time.Duration(len(p.groups)) * 2 * meter.ReadGap; resync > often {
		return resync
	}
	return 0
}

// often is the resync of a fleet that knows nothing better.
const often = 30 * time.Second

// isGroup reports whether fw is a network security group.
func isGroup(fw firewall.ID) bool {
	return strings.Contains(strings.ToLower(string(fw)), "/providers/microsoft.network/networksecuritygroups/")
}

// meterOf returns the meter that counts c.
func (p *Provider) meterOf(c call) (*meter.Meter, error) {
	subscription, err := subscriptionOf(c.of)
	if err != nil {
		return nil, err
	}
	return p.meters.Of(c.client, c.method, subscription), nil
}

// subscriptionOf returns the id of the subscription that a resource is in.
func subscriptionOf(id firewall.ID) (string, error) {
	parts := strings.Split(string(id), "/")
	const least = 3
	if len(parts) < least || parts[0] != "" || !strings.EqualFold(parts[1], "subscriptions") {
		return "", fmt.Errorf("%s is no resource of Azure", id)
	}
	return strings.ToLower(parts[2]), nil
}
