// Package aws locks and opens ports of EC2 instances with security groups. It
// reads and writes; what to write is decided by package securitygroup/compile,
// which describes the firewall too: one for each VPC.
//
// It uses the documented calls of the EC2 API and nothing of the endpoint that
// answers them. Reads are filtered and paged, and an incomplete page set is no
// reading. Writes are put together into as few calls as their steps allow. The
// cloud's reads lag behind its writes, so that no answer is taken to be the last
// word: what an answer leaves open is unknown, and the next pass looks.
//
// Somebody who puts back what a lock took out, or takes off the group that it put
// on, is met at once three times, and then with growing patience (package truce):
// meanwhile the door is held, with the reason.
package aws

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup/compile"
	"github.com/sesame-access/sesame/internal/provider/aws/truce"
)

// A Region is one region of one account, with a client for each role.
type Region struct {
	Partition string // "aws", "aws-cn", "aws-us-gov"
	Account   string
	Name      string // "eu-central-1"
	Clients
}

// Clients are those of the roles. All may be the same.
type Clients struct {
	Reader *ec2.Client // reads
	Opener *ec2.Client // adds and describes rules in owned groups
	Closer *ec2.Client // revokes rules in owned groups
	Locker *ec2.Client // everything else: groups, interfaces, foreign rules, locks
}

// Config is what an AWS provider is made of.
type Config struct {
	Keys    firewall.Keyring
	Regions []Region
	// Network is what every VPC starts from. Its ID is filled in, and the quota of
	// groups, where the account says it.
	Network securitygroup.Network
	// Resync is how long a VPC may go unread when nothing happens; 0 leaves that to
	// the caller.
	Resync time.Duration
}

// A Provider is the provider of the VPCs of some regions.
type Provider struct {
	Config

	byPrefix map[string]Region // by what the ids of their VPCs begin with

	truces map[firewall.ID]*truce.Guard // of each VPC that was written to
	mu     sync.Mutex
	last   map[string][]inventory.VM // the machines of each region, as last read in full
	groups map[string]int            // how many an interface may wear in each region that says so
}

var _ provider.Provider = (*Provider)(nil)

// New returns a provider. It does no I/O.
func New(c Config) *Provider {
	if c.Network.Quotas == (securitygroup.Quotas{}) {
		c.Network.Quotas = securitygroup.DefaultQuotas()
	}
	p := &Provider{Config: c, byPrefix: map[string]Region{}, truces: map[firewall.ID]*truce.Guard{}, mu: sync.Mutex{}, last: map[string][]inventory.VM{}, groups: map[string]int{}}
	for _, r := range c.Regions {
		p.byPrefix[r.prefix()] = r
	}
	return p
}

func (r Region) prefix() string {
	return strings.Join([]string{"arn", r.Partition, "ec2", r.Name, r.Account, ""}, ":")
}

// network returns the VPC with that id as a firewall.
func (p *Provider) network(r Region, vpc string) securitygroup.Network {
	n := p.Network
	n.ID = firewall.ID(r.prefix() + vpcKind + vpc)
	p.mu.Lock()
	defer p.mu.Unlock()
	if most, said := p.groups[r.prefix()]; said {
		n.Quotas.Groups = most
	}
	return n
}

const vpcKind = "vpc/"

// locate returns the region and the VPC that fw is.
func (p *Provider) locate(fw firewall.ID) (Region, string, error) {
	prefix, vpc, ok := strings.Cut(string(fw), vpcKind)
	r, known := p.byPrefix[prefix]
	if !ok || !known {
		return Region{}, "", fmt.Errorf("%s is no VPC of a region that is configured", fw)
	}
	return r, vpc, nil
}

// truce returns the guard of a VPC.
func (p *Provider) truce(fw firewall.ID) *truce.Guard {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.truces[fw]
	if g == nil {
		g = &truce.Guard{}
		p.truces[fw] = g
	}
	return g
}

// Compile implements [provider.Provider].
func (p *Provider) Compile(s provider.Snapshot, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	r, read := s.Raw.(securitygroup.Reading)
	if !read || r.ID != s.Firewall {
		return plan.Plan{}, fmt.Errorf("compile for %s: the snapshot was not read by the AWS provider", s.Firewall)
	}
	return compile.Plan(r, want, displaced)
}

// Limits implements [provider.Provider]. An owned group holds as many openings of
// each family as a group holds rules, for each VM: there is no one number for all.
// It cannot cut: a connection that a rule for some sources let in is tracked, and
// outlives the rule, and a network ACL, which would end it, is for a whole subnet.
// (EC2 user guide, security group connection tracking.)
func (p *Provider) Limits(firewall.ID) provider.Limits {
	return provider.Limits{Resync: p.Resync, NewIDs: true}
}
