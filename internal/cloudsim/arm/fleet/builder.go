// Package fleet fills a simulated subscription: documents of virtual machines and
// what is around them, one by one, or a whole fleet with the rules of real life.
//
// Documents look like those that Azure shows, unknown fields, old spellings and
// all. What is built depends on the arguments only, the seed among them.
package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

// A Ground is where documents are put: the simulator.
type Ground interface {
	Put(id, document string) error
}

// A Builder puts documents into one resource group. Its methods return the id of
// what they put.
type Builder struct {
	Ground       Ground
	Subscription string
	Group        string
	Location     string
}

// ID returns the id of a resource of Microsoft.Network in the builder's group.
func (b Builder) ID(kind, name string) string {
	return "/subscriptions/" + b.Subscription + "/resourceGroups/" + b.Group + "/providers/Microsoft.Network/" + kind + "/" + name
}

// VMID returns the id of a virtual machine in the builder's group.
func (b Builder) VMID(name string) string {
	return "/subscriptions/" + b.Subscription + "/resourceGroups/" + b.Group + "/providers/Microsoft.Compute/virtualMachines/" + name
}

// put writes a document with the given properties. Members of extra come first.
func (b Builder) put(id string, properties rawjson.Object, extra ...rawjson.Member) (string, error) {
	o := append(rawjson.Object{{Name: "location", Value: rawjson.Quote(b.Location)}}, extra...)
	o.Set("properties", properties.Bytes())
	return id, b.Ground.Put(id, string(o.Bytes()))
}

// A Subnet is one of a virtual network. Group and Table are ids, or empty.
type Subnet struct {
	Name, Prefix string
	Group, Table string
}

// Network puts a virtual network.
func (b Builder) Network(name, space string, subnets ...Subnet) (string, error) {
	var items []json.RawMessage
	for _, s := range subnets {
		p := rawjson.Object{{Name: "addressPrefix", Value: rawjson.Quote(s.Prefix)}}
		refer(&p, "networkSecurityGroup", s.Group)
		refer(&p, "routeTable", s.Table)
		items = append(items, named(s.Name, p))
	}
	return b.put(b.ID("virtualNetworks", name), rawjson.Object{
		{Name: "addressSpace", Value: object("addressPrefixes", texts([]string{space}))},
		{Name: "subnets", Value: rawjson.Array(items)},
		{Name: "virtualNetworkPeerings", Value: rawjson.Array(nil)},
	})
}

// Peer peers two networks, both ways.
func (b Builder) Peer(one, other string) error {
	for _, x := range [][2]string{{one, other}, {other, one}} {
		id := x[0] + "/virtualNetworkPeerings/to-" + x[1][strings.LastIndex(x[1], "/")+1:]
		p := rawjson.Object{
			{Name: "peeringState", Value: rawjson.Quote("Connected")},
			{Name: "allowVirtualNetworkAccess", Value: json.RawMessage("true")},
		}
		refer(&p, "remoteVirtualNetwork", x[1])
		if err := b.Ground.Put(id, string(object("properties", p.Bytes()))); err != nil {
			return err
		}
	}
	return nil
}

// A Rule is a security rule. One address, or port, is written in the singular
// form, more in the plural one.
type Rule struct {
	Name        string
	Priority    int
	Direction   string // Inbound if empty
	Access      string // Allow if empty
	Protocol    string // Tcp if empty
	From, To    []string
	FromASGs    []string // ids; instead of From
	ToASGs      []string // ids; instead of To
	Ports       []string
	Description string
	// Extra is written into the properties as it is: fields of the future.
	Extra rawjson.Object
}

// NSG puts a network security group.
func (b Builder) NSG(name string, rules ...Rule) (string, error) {
	var items []json.RawMessage
	for _, r := range rules {
		items = append(items, r.document())
	}
	return b.put(b.ID("networkSecurityGroups", name), rawjson.Object{{Name: "securityRules", Value: rawjson.Array(items)}})
}

func (r Rule) document() json.RawMessage {
	either := func(s, otherwise string) json.RawMessage {
		if s == "" {
			s = otherwise
		}
		return rawjson.Quote(s)
	}
	var p rawjson.Object
	if r.Description != "" {
		p.Set("description", rawjson.Quote(r.Description))
	}
	p.Set("protocol", either(r.Protocol, "Tcp"))
	p.Set("sourcePortRange", rawjson.Quote("*"))
	list(&p, "destinationPortRange", r.Ports)
	end(&p, "source", r.From, r.FromASGs)
	end(&p, "destination", r.To, r.ToASGs)
	p.Set("access", either(r.Access, "Allow"))
	p.Set("priority", json.RawMessage(fmt.Sprint(r.Priority)))
	p.Set("direction", either(r.Direction, "Inbound"))
	p = append(p, r.Extra...)
	return named(r.Name, p)
}

func end(p *rawjson.Object, side string, addresses, asgs []string) {
	if len(asgs) > 0 {
		p.Set(side+"ApplicationSecurityGroups", references(asgs))
		return
	}
	if len(addresses) == 0 {
		addresses = []string{"*"}
	}
	if len(addresses) == 1 {
		p.Set(side+"AddressPrefix", rawjson.Quote(addresses[0]))
		return
	}
	p.Set(side+"AddressPrefixes", texts(addresses))
}

// list writes one element in the singular form, more in the plural one.
func list(p *rawjson.Object, name string, elements []string) {
	switch len(elements) {
	case 0:
		p.Set(name, rawjson.Quote("*"))
	case 1:
		p.Set(name, rawjson.Quote(elements[0]))
	default:
		p.Set(name+"s", texts(elements))
	}
}

// ASG puts an application security group.
func (b Builder) ASG(name string) (string, error) {
	return b.put(b.ID("applicationSecurityGroups", name), rawjson.Object{})
}

// PublicIP puts a public address of the given kind, Standard or Basic.
func (b Builder) PublicIP(name, address, sku string) (string, error) {
	version := "IPv4"
	if strings.Contains(address, ":") {
		version = "IPv6"
	}
	return b.put(b.ID("publicIPAddresses", name), rawjson.Object{
		{Name: "ipAddress", Value: rawjson.Quote(address)},
		{Name: "publicIPAddressVersion", Value: rawjson.Quote(version)},
		{Name: "publicIPAllocationMethod", Value: rawjson.Quote("Static")},
	}, rawjson.Member{Name: "sku", Value: object("name", rawjson.Quote(sku))})
}

// An IP is an IP configuration. Everything but Address is an id.
type IP struct {
	Subnet   string
	Address  string
	Public   string
	ASGs     []string
	NATRules []string
}

// NIC puts a network interface. Its configurations are called ipconfig1 and so
// on. group is the id of its network security group, or empty.
func (b Builder) NIC(name, group string, ips ...IP) (string, error) {
	var items []json.RawMessage
	for i, ip := range ips {
		version := "IPv4"
		if strings.Contains(ip.Address, ":") {
			version = "IPv6"
		}
		p := rawjson.Object{
			{Name: "privateIPAddress", Value: rawjson.Quote(ip.Address)},
			{Name: "privateIPAllocationMethod", Value: rawjson.Quote("Static")},
			{Name: "privateIPAddressVersion", Value: rawjson.Quote(version)},
			{Name: "primary", Value: json.RawMessage(fmt.Sprint(i == 0))},
		}
		refer(&p, "subnet", ip.Subnet)
		refer(&p, "publicIPAddress", ip.Public)
		if len(ip.ASGs) > 0 {
			p.Set("applicationSecurityGroups", references(ip.ASGs))
		}
		if len(ip.NATRules) > 0 {
			p.Set("loadBalancerInboundNatRules", references(ip.NATRules))
		}
		items = append(items, named(fmt.Sprintf("ipconfig%d", i+1), p))
	}
	p := rawjson.Object{{Name: "ipConfigurations", Value: rawjson.Array(items)}}
	refer(&p, "networkSecurityGroup", group)
	return b.put(b.ID("networkInterfaces", name), p)
}

// VM puts a virtual machine, running Linux or Windows, with these network
// interfaces, the first of which is the primary one.
func (b Builder) VM(name, system string, tags map[string]string, nics ...string) (string, error) {
	var items []json.RawMessage
	for i, nic := range nics {
		o := rawjson.Object{{Name: "id", Value: rawjson.Quote(nic)}, {Name: "properties", Value: object("primary", json.RawMessage(fmt.Sprint(i == 0)))}}
		items = append(items, o.Bytes())
	}
	var labels rawjson.Object
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		labels.Set(k, rawjson.Quote(tags[k]))
	}
	return b.put(b.VMID(name), rawjson.Object{
		{Name: "hardwareProfile", Value: object("vmSize", rawjson.Quote("Standard_D2s_v5"))},
		{Name: "storageProfile", Value: object("osDisk", object("osType", rawjson.Quote(system)))},
		{Name: "osProfile", Value: object("computerName", rawjson.Quote(name))},
		{Name: "networkProfile", Value: object("networkInterfaces", rawjson.Array(items))},
	}, rawjson.Member{Name: "tags", Value: labels.Bytes()})
}

func named(name string, properties rawjson.Object) json.RawMessage {
	o := rawjson.Object{{Name: "name", Value: rawjson.Quote(name)}, {Name: "properties", Value: properties.Bytes()}}
	return o.Bytes()
}

func object(name string, value json.RawMessage) json.RawMessage {
	return rawjson.Object{{Name: name, Value: value}}.Bytes()
}

// refer sets name to a reference, unless there is nothing to refer to.
func refer(o *rawjson.Object, name, id string) {
	if id != "" {
		o.Set(name, object("id", rawjson.Quote(id)))
	}
}

func references(ids []string) json.RawMessage {
	var items []json.RawMessage
	for _, id := range ids {
		items = append(items, object("id", rawjson.Quote(id)))
	}
	return rawjson.Array(items)
}

func texts(list []string) json.RawMessage {
	var items []json.RawMessage
	for _, s := range list {
		items = append(items, rawjson.Quote(s))
	}
	return rawjson.Array(items)
}
