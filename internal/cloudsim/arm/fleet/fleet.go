package fleet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

// A Machine is one of a fleet.
type Machine struct {
	ID      string // of the virtual machine
	Address string // private
	Public  string // address, or empty
	Groups  []string
}

// perNetwork is how many machines share a virtual network, a subnet and the
// subnet's group.
const perNetwork = 40

// Make puts n virtual machines, vm-0 and so on, and returns them in order. About
// a third is governed by the group of its subnet only, a third by that of its
// interface, a few by a group that several share, a quarter by both, some by
// none. The groups hold what people, tools and Microsoft Defender leave there
// over the years.
func Make(b Builder, n int, seed uint64) ([]Machine, error) {
	m := maker{Builder: b, random: rand.New(rand.NewPCG(seed, 0x5e5a3e))} //nolint:gosec // a fleet is meant to be repeatable
	var out []Machine
	for i := 0; i < n; i += perNetwork {
		machines, err := m.network(i/perNetwork, i, min(perNetwork, n-i))
		if err != nil {
			return nil, err
		}
		out = append(out, machines...)
	}
	return out, nil
}

type maker struct {
	Builder

	random *rand.Rand
}

func (m maker) chance(percent int) bool { return m.random.IntN(100) < percent }

func (m maker) pick(texts ...string) string { return texts[m.random.IntN(len(texts))] }

// network puts virtual network k with its machines, the first of which is number
// first.
func (m maker) network(k, first, count int) ([]Machine, error) {
	space := fmt.Sprintf("10.%d.%d.0/24", k/256%256, k%256)
	asg, err := m.ASG(fmt.Sprintf("asg-%d", k))
	if err != nil {
		return nil, err
	}
	governed := m.chance(65)
	group := ""
	if governed {
		if group, err = m.NSG(fmt.Sprintf("nsg-subnet-%d", k), m.rules(asg, nil)...); err != nil {
			return nil, err
		}
	}
	network, err := m.Network(fmt.Sprintf("vnet-%d", k), space, Subnet{Name: "default", Prefix: space, Group: group, Table: ""})
	if err != nil {
		return nil, err
	}
	shared, err := m.NSG(fmt.Sprintf("nsg-shared-%d", k), m.rules(asg, nil)...)
	if err != nil {
		return nil, err
	}
	var out []Machine
	for i := range count {
		x, err := m.machine(first+i, fmt.Sprintf("10.%d.%d.%d", k/256%256, k%256, 4+i), network+"/subnets/default", asg, group, shared)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (m maker) machine(i int, address, subnet, asg, ofSubnet, shared string) (Machine, error) {
	out := Machine{ID: "", Address: address, Public: "", Groups: nil}
	if ofSubnet != "" {
		out.Groups = append(out.Groups, ofSubnet)
	}
	group := ""
	switch {
	case m.chance(10):
		group = shared
	case m.chance(55):
		var err error
		if group, err = m.NSG(fmt.Sprintf("vm-%d-nsg", i), m.rules(asg, []string{address})...); err != nil {
			return out, err
		}
	}
	if group != "" {
		out.Groups = append(out.Groups, group)
	}
	ip := IP{Subnet: subnet, Address: address, Public: "", ASGs: nil, NATRules: nil}
	if m.chance(40) {
		out.Public = fmt.Sprintf("20.%d.%d.%d", i>>16&255, i>>8&255, i&255)
		id, err := m.PublicIP(fmt.Sprintf("vm-%d-ip", i), out.Public, m.pick("Standard", "Standard", "Basic"))
		if err != nil {
			return out, err
		}
		ip.Public = id
	}
	if m.chance(30) {
		ip.ASGs = []string{asg}
	}
	nic, err := m.NIC(fmt.Sprintf("vm-%d-nic", i), group, ip)
	if err != nil {
		return out, err
	}
	tags := map[string]string{"env": m.pick("prod", "test", "dev"), "owner": m.pick("web", "data", "platform")}
	out.ID, err = m.VM(fmt.Sprintf("vm-%d", i), m.pick("Linux", "Linux", "Windows"), tags, nic)
	return out, err
}

// rules returns what has gathered in a group. to are the addresses of the one
// machine behind it, none for a group of many.
func (m maker) rules(asg string, to []string) []Rule {
	used := map[int]bool{}
	var out []Rule
	add := func(r Rule) {
		for used[r.Priority] {
			r.Priority-- // the numbers below those above are free
		}
		used[r.Priority] = true
		if m.chance(10) {
			r.Extra = rawjson.Object{{Name: "x-reviewed", Value: json.RawMessage(fmt.Sprintf(`{"by": "team-%d",  "n":1e%d}`, m.random.IntN(9), m.random.IntN(9)))}}
		}
		out = append(out, r)
	}
	office := fmt.Sprintf("198.51.100.%d/32", m.random.IntN(256))
	if m.chance(60) {
		add(Rule{Name: "default-allow-ssh", Priority: 1000, Protocol: m.pick("Tcp", "TCP", "tcp"), Ports: []string{"22"}})
	}
	if m.chance(30) {
		add(Rule{Name: "RDP", Priority: 300, Ports: []string{"3389"}, From: []string{m.pick("Internet", "*", office)}})
	}
	if m.chance(50) {
		add(Rule{Name: "AllowOffice", Priority: 110 + m.random.IntN(300), Ports: []string{"22", "3389", "5985-5986"}, From: []string{office, "203.0.113.0/24"}, Description: "Büro & VPN"})
	}
	if m.chance(40) {
		add(Rule{Name: "web", Priority: 200, Ports: []string{"80", "443"}, From: []string{"Internet"}, To: to})
	}
	if m.chance(25) {
		add(Rule{Name: "probes", Priority: 210, Protocol: "*", From: []string{"AzureLoadBalancer"}})
	}
	if m.chance(15) {
		add(Rule{Name: "ssh-from-web", Priority: 400, Ports: []string{"22"}, FromASGs: []string{asg}})
	}
	if m.chance(10) {
		add(Rule{Name: "Cloud_Backup", Priority: 405, Protocol: "*", From: []string{"AzureCloud.westeurope"}})
	}
	if m.chance(35) {
		add(Rule{Name: "DenyAll", Priority: []int{4096, 4000, 3333, 900, 137}[m.random.IntN(5)], Access: "Deny", Protocol: "*"})
	}
	if m.chance(20) {
		add(Rule{Name: "deny-v6", Priority: 2000, Access: "Deny", Protocol: "*", From: []string{"::/0"}})
	}
	if m.chance(20) {
		add(Rule{Name: "no-internet", Priority: 4000, Direction: "Outbound", Access: "Deny", Protocol: "*", To: []string{"Internet"}})
	}
	if len(to) > 0 && m.chance(20) {
		m.defender(add, to[0])
	}
	return out
}

// defender leaves what Microsoft Defender for Cloud's just-in-time access left,
// in either generation of its names, forgotten Allows included.
func (m maker) defender(add func(Rule), address string) {
	prefix, mark := "SecurityCenter", "ASC"
	if m.chance(50) {
		prefix, mark = "MicrosoftDefenderForCloud", "MDC"
	}
	hash := func() string { return fmt.Sprintf("%016X%016X", m.random.Uint64(), m.random.Uint64()) }
	add(Rule{
		Name:     fmt.Sprintf("%s-JITRule_%d_%s", prefix, int32(m.random.Uint32()), hash()), //nolint:gosec // Defender's numbers have a sign
		Priority: []int{1000, 4095, 4096}[m.random.IntN(3)], Access: "Deny", Protocol: "*", Ports: []string{"22", "3389"}, To: []string{address},
		Description: mark + " JIT Network Access rule for policy 'default' of VM 'vm'.",
	})
	if m.chance(40) {
		add(Rule{
			Name:     fmt.Sprintf("%s-JITRule-%d-%s", prefix, m.random.Uint32()>>1, hash()),
			Priority: 100, Protocol: "*", Ports: []string{"22"}, From: []string{"192.0.2.77"}, To: []string{address},
			Description: mark + " JIT Network Access rule created by an initiation request for policy 'default' of VM 'vm'.",
		})
	}
}
