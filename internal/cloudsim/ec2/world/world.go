// Package world is the state behind the simulated EC2 API: the resources of one
// region, in all accounts, and how strict the cloud is about changing them.
//
// # Strictness
//
// Rules are canonical: networks lose their host bits, protocols get their names.
// A rule is identified by direction, protocol, ports and source; description and
// tags do not count. What a call carries is checked whole before any of it is
// done: one bad rule refuses the call. Errors have the codes of the EC2 API
// reference, and messages close to the real ones.
//
// A security group holds 60 rules for each direction and address family. A
// reference to a group counts in both families, a prefix list as often as its
// maximum has it. An interface wears at most 5 groups. Both quotas can be
// changed as long as their product is at most 1000. (VPC user guide, quotas.)
//
// A new group has one rule: everything may leave. A group that an interface
// wears, or that a rule of another group in its VPC names, is not deleted.
//
// # Time
//
// A table remembers what its rows were, and every question says of which moment
// it is. A [Moment] has two clocks: what a call does is done Now, but it sees
// things that were made after Seen as little as a reader would.
//
// Nothing here locks; package ec2 does.
package world

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/past"
)

// A World is the resources of one region. Its tables can be read and written
// directly, to build it and to be the other hands in it; its methods are what
// the API does.
type World struct {
	Region string
	Quotas Quotas

	VPCs             past.Table[VPC]
	Subnets          past.Table[Subnet]
	RouteTables      past.Table[RouteTable]
	InternetGateways past.Table[InternetGateway]
	NetworkACLs      past.Table[NetworkACL]
	PrefixLists      past.Table[PrefixList]
	Peerings         past.Table[Peering]
	Groups           past.Table[Group]
	Interfaces       past.Table[Interface]
	Instances        past.Table[Instance]
	Addresses        past.Table[Address]

	// Past is the memory of the tables.
	Past *past.Book

	seed uint64
	made uint64
}

// Quotas are the limits of an account. The zero value means the defaults.
type Quotas struct {
	RulesPerGroup      int // for each direction and family; 60
	GroupsPerInterface int // 5
	GroupsPerRegion    int // 2500
	EntriesPerACL      int // for each direction and family; 20
}

// Filled returns q with the defaults in place, and an error when Amazon would
// not grant it.
func (q Quotas) Filled() (Quotas, error) {
	for _, f := range []struct {
		value    *int
		standard int
	}{{&q.RulesPerGroup, 60}, {&q.GroupsPerInterface, 5}, {&q.GroupsPerRegion, 2500}, {&q.EntriesPerACL, 20}} {
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	const most = 1000
	if product := q.RulesPerGroup * q.GroupsPerInterface; product > most {
		return Quotas{}, fmt.Errorf("%d rules per group and %d groups per interface make %d, more than %d", q.RulesPerGroup, q.GroupsPerInterface, product, most)
	}
	return q, nil
}

// New returns an empty region. The seed makes its ids; memory is how far back
// readers may look.
func New(region string, q Quotas, seed uint64, memory time.Duration) *World {
	b := past.NewBook(memory)
	return &World{
		Region: region, Quotas: q, Past: b, seed: seed,
		VPCs: past.In[VPC](b), Subnets: past.In[Subnet](b), RouteTables: past.In[RouteTable](b),
		InternetGateways: past.In[InternetGateway](b), NetworkACLs: past.In[NetworkACL](b),
		PrefixLists: past.In[PrefixList](b), Peerings: past.In[Peering](b), Groups: past.In[Group](b),
		Interfaces: past.In[Interface](b), Instances: past.In[Instance](b), Addresses: past.In[Address](b),
	}
}

// A Moment is when a call is made.
type Moment struct {
	Now  time.Time // what it does is done now
	Seen time.Time // what is younger than this is not found yet
}

// At is a moment at which everything is seen.
func At(now time.Time) Moment { return Moment{Now: now, Seen: now} }

// ID makes an id that was not there before, with the given prefix: "sg".
func (w *World) ID(prefix string) string {
	w.made++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s %d", w.Region, w.seed, prefix, w.made))
	const digits = 17
	return prefix + "-0" + hex.EncodeToString(sum[:])[:digits-1]
}
