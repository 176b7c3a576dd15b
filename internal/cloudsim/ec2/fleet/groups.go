package fleet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// shared makes the prefix lists and the groups that many instances wear.
func (b *builder) shared(vpc, tools, peering string) {
	office := world.PrefixList{Resource: b.own("pl", "Name", "office"), Name: "office", MaxEntries: 5, Version: 3}
	for _, p := range prefixes("203.0.113.0/25", "203.0.113.128/26") {
		office.Entries = append(office.Entries, world.ListEntry{CIDR: p, Description: "site"})
	}
	b.w.PrefixLists.Put(always(), office)
	amazon := world.PrefixList{Resource: world.Resource{ID: b.w.ID("pl"), Owner: world.Amazon}, Name: "com.amazonaws." + b.w.Region + ".ec2-instance-connect", MaxEntries: 1, Version: 1}
	amazon.Entries = []world.ListEntry{{CIDR: netip.MustParsePrefix("198.51.100.0/29")}}
	b.w.PrefixLists.Put(always(), amazon)

	b.group(tools, "scanner", "")
	b.group(vpc, "bastion", "ssh for the world, until somebody has time",
		"tcp 22 0.0.0.0/0 # temporary", "tcp 22 ::/0", "icmp 8:-1 0.0.0.0/0")
	b.group(vpc, "web", "",
		"tcp 80 0.0.0.0/0", "tcp 80 ::/0", "tcp 443 0.0.0.0/0", "tcp 443 ::/0")
	b.group(vpc, "from-bastion", "",
		"tcp 22 @bastion # ssh by way of the bastion", "tcp 3389 @bastion", "tcp 5985:5986 @bastion")
	b.group(vpc, "office", "",
		"tcp 22 "+office.ID+" # people", "tcp 3389 "+office.ID, "tcp 22 "+amazon.ID, "tcp 443 "+office.ID)
	b.group(vpc, "wide", "an afternoon of debugging",
		"tcp 20:25 10.0.0.0/8", "tcp 3000:4000 10.0.0.0/16 # everything of the team", "udp 0:65535 10.0.0.0/16", "tcp 20:25 2001:db8:a::/56")
	b.group(vpc, "scanned", "", "-1 @scanner "+peering+" # compliance")
	b.group(vpc, "legacy", "from before there were rules",
		"-1 192.168.0.0/16 # data centre", "tcp 0:65535 203.0.113.77/32", "50 192.168.0.0/16", "icmpv6 ::/0")
	b.group(vpc, "database", "", "tcp 5432 @web", "tcp 5432 10.0.0.0/16", "tcp 22 10.0.0.0/20")
}

// wears chooses the groups of an instance. Some have one of their own, and some
// only the default one.
func (b *builder) wears(role string, i int) []string {
	names := map[string][]string{
		"web":      {"web", "from-bastion"},
		"app":      {"production/default", "from-bastion"},
		"database": {"database", "scanned"},
		"windows":  {"from-bastion", "office"},
		"legacy":   {"legacy", "wide", "production/default"},
		"bastion":  {"bastion", "office"},
	}[role]
	var ids []string
	for _, n := range names {
		ids = append(ids, b.groups[n])
	}
	switch b.chance.IntN(4) {
	case 0:
		return []string{b.groups["production/default"]}
	case 1:
		vpc := b.subnets[0].VPC
		port := strconv.Itoa(8000 + b.chance.IntN(1000))
		own := fmt.Sprintf("app-%d", i)
		b.group(vpc, own, "of one machine", "tcp "+port+" @web", "tcp 22 198.51.100."+strconv.Itoa(1+b.chance.IntN(250))+"/32 # on call", "tcp "+port+" 10.0.0.0/16")
		return append(ids, b.groups[own])
	}
	return ids
}

// group makes a group of rules like "tcp 20:25 10.0.0.0/8 # why".
func (b *builder) group(vpc, name, description string, rules ...string) {
	if description == "" {
		description = name + " servers"
	}
	g := world.Group{Resource: b.own("sg", "Name", name), VPC: vpc, Name: name, Description: strings.ReplaceAll(description, "'", "")}
	for _, text := range rules {
		g.Rules = append(g.Rules, b.rule(text))
	}
	g.Rules = append(g.Rules, b.everythingOut())
	b.w.Groups.Put(always(), g)
	b.groups[name] = g.ID
}

func (b *builder) rule(text string) world.Rule {
	text, why, _ := strings.Cut(text, " # ")
	words := strings.Fields(text)
	r := world.Rule{ID: b.w.ID("sgr"), Description: why, Protocol: words[0], First: world.All, Last: world.All}
	words = words[1:]
	if len(words) > 1 && words[0][0] != '@' {
		first, last, ranged := strings.Cut(words[0], ":")
		r.First, _ = strconv.Atoi(first) // the texts are ours
		if r.Last = r.First; ranged {
			r.Last, _ = strconv.Atoi(last)
		}
		words = words[1:]
	}
	switch source := words[0]; {
	case source[0] == '@':
		r.Group, r.GroupOwner = b.groups[source[1:]], b.account
		if len(words) > 1 {
			r.Peering = words[1]
		}
	case strings.HasPrefix(source, "pl-"):
		r.List = source
	default:
		r.CIDR = netip.MustParsePrefix(source)
	}
	return r
}
