package securitygroup_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/reach"
)

func reading() securitygroup.Reading {
	r := securitygroup.Reading{
		Network: securitygroup.Network{ID: "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1", Quotas: securitygroup.DefaultQuotas()},
		Keys:    firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}},
	}
	vm := r.VM("i-1")
	r.Groups = []securitygroup.Group{{ID: "sg-1", Name: "web"}, {ID: "sg-9", Name: r.OwnName(vm)}}
	r.Interfaces = []securitygroup.Interface{
		{ID: "eni-1", VM: vm, Groups: []string{"sg-1", "sg-9"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		{ID: "eni-2", VM: vm, Groups: []string{"sg-9"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
	}
	return r
}

func ssh(r securitygroup.Reading) firewall.Door {
	return firewall.Door{VM: r.VM("i-1"), Protocol: firewall.TCP, Port: 22}
}

// AWS takes every mark: a description has 255 characters of a small alphabet, the
// value of a tag 256 of another.
func TestMarksFit(t *testing.T) {
	const (
		descriptions = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*"
		tags         = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 +-=._:/@"
	)
	within := func(s, alphabet string) bool {
		return strings.IndexFunc(s, func(c rune) bool { return !strings.ContainsRune(alphabet, c) }) < 0
	}
	r := reading()
	r.Keys.Instance, r.Keys.Keys[0].ID = strings.Repeat("i", 32), "zzzz"
	long := firewall.Opening{From: from("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128"), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	for range 200 {
		long.Grants = long.Grants.Join(firewall.HoldersOf(strings.Repeat("g", 40) + string(rune('a'+len(long.Grants)%26))))
	}
	for _, rule := range []securitygroup.Rule{r.Opening(ssh(r), long), r.SealRest("sg-1", securitygroup.Rule{Protocol: 6, First: 0, Last: 21, CIDR: long.From})} {
		if len(rule.Description) > 255 || !within(rule.Description, descriptions) {
			t.Errorf("AWS refuses %d characters: %s", len(rule.Description), rule.Description)
		}
	}
	if tag := r.Lock(ssh(r)); len(tag.Key) > 128 || len(tag.Value) > 256 || !within(tag.Key+tag.Value, tags) {
		t.Errorf("AWS refuses %+v", tag)
	}
	if name := r.OwnName(r.VM("i-0123456789abcdef0")); len(name) > 255 || strings.HasPrefix(name, "sg-") {
		t.Errorf("AWS refuses the name %s", name)
	}
}

// A mark that is copied anywhere else is broken; one of a rest or a lock is no
// opening's.
func TestMarksCannotBeCopied(t *testing.T) {
	r := reading()
	vm := r.VM("i-1")
	rule := r.Opening(ssh(r), firewall.Opening{From: from("203.0.113.7/32"), Grants: "g-1", Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)})
	if _, state := r.OpeningMark(vm, rule); state != firewall.MarkGood {
		t.Fatalf("a mark at its place is %v", state)
	}
	for name, change := range map[string]func(*securitygroup.Rule){
		"another port":     func(x *securitygroup.Rule) { x.First, x.Last = 23, 23 },
		"a range":          func(x *securitygroup.Rule) { x.Last = 65535 },
		"another protocol": func(x *securitygroup.Rule) { x.Protocol = 17 },
		"every protocol":   func(x *securitygroup.Rule) { x.Protocol, x.First, x.Last = -1, -1, -1 },
		"another source":   func(x *securitygroup.Rule) { x.CIDR = from("203.0.113.9/32") },
		"a group":          func(x *securitygroup.Rule) { x.CIDR, x.Group = netip.Prefix{}, "sg-1" },
		"a rest's":         func(x *securitygroup.Rule) { x.Description = r.SealRest("sg-9", *x).Description },
		"a lock's":         func(x *securitygroup.Rule) { x.Description = r.Lock(ssh(r)).Value },
	} {
		x := rule
		change(&x)
		if _, state := r.OpeningMark(vm, x); state != firewall.MarkBroken {
			t.Errorf("at %s the mark is %v", name, state)
		}
	}
	if _, state := r.OpeningMark(r.VM("i-2"), rule); state != firewall.MarkBroken {
		t.Errorf("at another VM the mark is %v", state)
	}
	rest := r.SealRest("sg-1", securitygroup.Rule{Protocol: 6, First: 0, Last: 21, CIDR: from("10.0.0.0/8")})
	wider := rest
	wider.Last = 22
	if !r.IsRest("sg-1", rest) || r.IsRest("sg-2", rest) || r.IsRest("sg-1", wider) {
		t.Error("a rest is known elsewhere, or not at its place")
	}
}

// Only a sealed tag at its own group and port is a lock.
func TestLocksAreSealed(t *testing.T) {
	r := reading()
	good := r.Lock(ssh(r))
	other := r.Lock(firewall.Door{VM: r.VM("i-2"), Protocol: firewall.TCP, Port: 22})
	moved := good
	moved.Key = "sesame:lock:3389/tcp"
	r.Groups[1].Tags = []securitygroup.Tag{moved, {Key: "sesame:lock:23/tcp", Value: "yes"}, {Key: "sesame:lock:022/tcp", Value: good.Value}, {Key: "Name"}, good}
	owned := r.Owned()
	if len(owned) != 1 || owned[0].Kind != provider.OwnedLock || owned[0].Door != ssh(r) {
		t.Errorf("the locks are %v", owned)
	}
	r.Groups[1].Tags = []securitygroup.Tag{other}
	if owned := r.Owned(); len(owned) != 0 {
		t.Errorf("another VM's lock is one here: %v", owned)
	}
}

// A group on one of two interfaces is about that one's addresses; what could not
// be read is not known, and what is known to be nobody is nobody.
func TestLayer(t *testing.T) {
	r := reading()
	r.Lists = map[string]securitygroup.List{"pl-1": {Entries: []netip.Prefix{from("198.51.100.0/24")}, Max: 2}, "pl-0": {}}
	rule := func(x securitygroup.Rule) { r.Groups[0].Ingress = append(r.Groups[0].Ingress, x) }
	rule(securitygroup.Rule{Protocol: 6, First: 22, Last: 22, List: "pl-1"})
	rule(securitygroup.Rule{Protocol: 6, First: 22, Last: 22, List: "pl-0"})
	rule(securitygroup.Rule{Protocol: 6, First: 23, Last: 23, List: "pl-unread"})
	rule(securitygroup.Rule{Protocol: 6, First: 22, Last: 22, Group: "sg-9"})
	rule(securitygroup.Rule{Protocol: 6, First: 24, Last: 24, Group: "sg-peered"})
	rule(securitygroup.Rule{Protocol: 1, First: 8, Last: -1, CIDR: from("10.0.0.0/8")})
	r.Interfaces[1].Groups = []string{"sg-9", "sg-1"} // all of them
	layer := r.Layer()
	verdict := func(protocol firewall.Protocol, port uint16, from string) reach.Verdict {
		d := firewall.Door{VM: r.VM("i-1"), Protocol: protocol, Port: port}
		return reach.Layer(layer, d).At(netip.MustParseAddr(from)).Verdict
	}
	for _, c := range []struct {
		protocol firewall.Protocol
		port     uint16
		from     string
		want     reach.Verdict
	}{
		{firewall.TCP, 22, "198.51.100.9", reach.Open},
		{firewall.TCP, 22, "203.0.113.9", reach.Closed},
		{firewall.TCP, 22, "10.0.0.2", reach.Open},
		{firewall.TCP, 22, "10.0.0.3", reach.Closed},
		{firewall.TCP, 23, "9.9.9.9", reach.Unknown},
		{firewall.TCP, 24, "9.9.9.9", reach.Unknown},
		{1, 0, "10.0.0.9", reach.Unknown},
		{1, 0, "9.9.9.9", reach.Closed},
	} {
		if got := verdict(c.protocol, c.port, c.from); got != c.want {
			t.Errorf("%s to %d/%v: %v, want %v", c.from, c.port, c.protocol, got, c.want)
		}
	}
	r.Interfaces[1].Groups = []string{"sg-9"}
	layer = r.Layer()
	for _, x := range layer.Rules {
		if len(x.To) != 1 || x.To[0].Addr() != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("%s is about %v, not about the interface that wears it", x.Name, x.To)
		}
	}
	if got := verdict(firewall.TCP, 22, "198.51.100.9"); got != reach.Unknown {
		t.Errorf("for an address that is not known: %v", got)
	}
}
