package world

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/past"
)

// A Resource is what every row of a table has.
type Resource struct {
	ID    string // the cloud's own, unique in all accounts: "sg-0a1b…"
	Owner string // the account: twelve digits; "AWS" for what Amazon manages
	Tags  Tags
}

// Key is the id.
func (r Resource) Key() string { return r.ID }

// Head is what the row has in common with all others.
func (r Resource) Head() Resource { return r }

// A shelf is a table whose rows are not looked into.
type shelf interface {
	head(at time.Time, id string) (Resource, bool)
	heads(at time.Time) iter.Seq[Resource]
	retag(now time.Time, id string, tags Tags)
}

// A kind is one kind of resource: how its ids begin, and what it is called in
// tags and in ARNs.
type kind struct {
	prefix string // "sg"
	name   string // "security-group"
	absent string // the code for an id that is not there, without ".NotFound"
	noun   string // what the message calls it
	shelf  shelf
}

// kinds returns all kinds of resources that have a table.
func (w *World) kinds() []kind {
	return []kind{
		{"sg", "security-group", "InvalidGroup", "security group", on(&w.Groups, func(r *Group) *Resource { return &r.Resource })},
		{"i", "instance", "InvalidInstanceID", "instance ID", on(&w.Instances, func(r *Instance) *Resource { return &r.Resource })},
		{"eni", "network-interface", "InvalidNetworkInterfaceID", "networkInterface ID", on(&w.Interfaces, func(r *Interface) *Resource { return &r.Resource })},
		{"vpc", "vpc", "InvalidVpcID", "vpc ID", on(&w.VPCs, func(r *VPC) *Resource { return &r.Resource })},
		{"subnet", "subnet", "InvalidSubnetID", "subnet ID", on(&w.Subnets, func(r *Subnet) *Resource { return &r.Resource })},
		{"rtb", "route-table", "InvalidRouteTableID", "routeTable ID", on(&w.RouteTables, func(r *RouteTable) *Resource { return &r.Resource })},
		{"igw", "internet-gateway", "InvalidInternetGatewayID", "internetGateway ID", on(&w.InternetGateways, func(r *InternetGateway) *Resource { return &r.Resource })},
		{"acl", "network-acl", "InvalidNetworkAclID", "networkAcl ID", on(&w.NetworkACLs, func(r *NetworkACL) *Resource { return &r.Resource })},
		{"pl", "prefix-list", "InvalidPrefixListID", "prefix list ID", on(&w.PrefixLists, func(r *PrefixList) *Resource { return &r.Resource })},
		{"pcx", "vpc-peering-connection", "InvalidVpcPeeringConnectionID", "vpcPeeringConnection ID", on(&w.Peerings, func(r *Peering) *Resource { return &r.Resource })},
		{"eipalloc", "elastic-ip", "InvalidAllocationID", "allocation ID", on(&w.Addresses, func(r *Address) *Resource { return &r.Resource })},
	}
}

// kind returns the kind that id is of.
func (w *World) kind(id string) (kind, bool) {
	prefix, _, _ := strings.Cut(id, "-")
	for _, k := range w.kinds() {
		if k.prefix == prefix {
			return k, true
		}
	}
	return kind{}, false
}

// A tableShelf is a table whose rows embed a Resource, and how to get at it.
type tableShelf[T interface{ Key() string }] struct {
	table *past.Table[T]
	of    func(*T) *Resource
}

func on[T interface{ Key() string }](t *past.Table[T], of func(*T) *Resource) shelf {
	return tableShelf[T]{t, of}
}

func (s tableShelf[T]) head(at time.Time, id string) (Resource, bool) {
	v, found := s.table.Get(at, id)
	return *s.of(&v), found
}

func (s tableShelf[T]) heads(at time.Time) iter.Seq[Resource] {
	return func(yield func(Resource) bool) {
		for v := range s.table.All(at) {
			if !yield(*s.of(&v)) {
				return
			}
		}
	}
}

func (s tableShelf[T]) retag(now time.Time, id string, tags Tags) {
	if v, found := s.table.Get(now, id); found {
		s.of(&v).Tags = tags
		s.table.Put(now, v)
	}
}

// ARN returns the name by which permissions know a resource.
func (w *World) ARN(r Resource) string {
	name := "security-group-rule"
	if k, found := w.kind(r.ID); found {
		name = k.name
	}
	return fmt.Sprintf("arn:aws:ec2:%s:%s:%s/%s", w.Region, r.Owner, name, r.ID)
}
