//go:build linux

package table

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A slot says which set an opening belongs in: one for each family and length of
// prefix, for grants and for exempt sources.
type slot struct {
	six    bool
	bits   int
	exempt bool
}

// slotOf returns the slot of an opening.
func slotOf(o firewall.Opening) slot {
	return slot{six: o.From.Addr().Is6(), bits: o.From.Bits(), exempt: o.Exempt()}
}

// longest is the length of a single address.
func (s slot) longest() int {
	if s.six {
		return 128
	}
	return 32
}

// name returns the name of the slot's set: host4, net6_64, exempt4, exempt6_64.
func (s slot) name() string {
	family := "4"
	if s.six {
		family = "6"
	}
	host := s.bits == s.longest()
	switch {
	case s.exempt && host:
		return "exempt" + family
	case s.exempt:
		return "exempt" + family + "_" + strconv.Itoa(s.bits)
	case host:
		return "host" + family
	}
	return "net" + family + "_" + strconv.Itoa(s.bits)
}

// parseSlot reads the name of a set.
func parseSlot(name string) (slot, bool) {
	head, bits, _ := strings.Cut(name, "_")
	s := slot{six: strings.HasSuffix(head, "6"), bits: 0, exempt: strings.HasPrefix(head, "exempt")}
	s.bits = s.longest()
	if bits != "" {
		n, err := strconv.Atoi(bits)
		if err != nil || n < 0 || n >= s.bits {
			return slot{}, false
		}
		s.bits = n
	}
	return s, s.name() == name
}

// fields are the parts of a packet that the slot's set is looked up with.
func (s slot) fields() []ruleset.Field {
	from := ruleset.SourceIPv4()
	if s.six {
		from = ruleset.SourceIPv6()
	}
	if s.bits != s.longest() {
		from = from.Prefix(s.bits)
	}
	return []ruleset.Field{from, ruleset.L4Proto(), ruleset.DestPort()}
}

// A key is what one element of a set matches: source . protocol . port.
type key struct {
	from     netip.Addr // the first address of the slot's prefix
	protocol firewall.Protocol
	port     uint16
}

// keyOf returns the key of an opening of a door.
func keyOf(d firewall.Door, from netip.Prefix) key {
	return key{from: from.Addr(), protocol: d.Protocol, port: d.Port}
}

// bytes returns the key as the kernel has it.
func (k key) bytes() []byte {
	return ruleset.Concat(k.from.AsSlice(), ruleset.ProtoKey(uint8(k.protocol)), ruleset.PortKey(k.port))
}

// readKey reads a kernel's key. It is false for one that no packet matches and
// that we would not write: with garbage between its fields.
func (s slot) readKey(b []byte) (key, bool) {
	const fields = 8 // protocol and port, padded
	addr, ok := netip.AddrFromSlice(b[:max(len(b)-fields, 0)])
	if !ok || addr.Is6() != s.six {
		return key{}, false
	}
	rest := b[len(b)-fields:]
	k := key{from: addr, protocol: firewall.Protocol(rest[0]), port: binary.BigEndian.Uint16(rest[4:])}
	return k, string(k.bytes()) == string(b)
}

// String returns the key as nft writes it.
func (k key) String() string {
	return fmt.Sprintf("%s . %s . %d", k.from, k.protocol, k.port)
}

// keyText writes any key of a set: as nft does, or in hexadecimal when it is not
// one of ours.
func (s slot) keyText(b []byte) string {
	if k, ok := s.readKey(b); ok && (k.protocol == firewall.TCP || k.protocol == firewall.UDP) && k.port != 0 {
		return k.String()
	}
	return "0x" + hex.EncodeToString(b)
}

// parseKey reads what keyText writes.
func parseKey(text string) ([]byte, error) {
	bad := errkind.New(errkind.Internal, "%s is no key of a set", errkind.Quote(text))
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, bad
		}
		return b, nil
	}
	part := strings.Split(text, " . ")
	if len(part) != 3 {
		return nil, bad
	}
	addr, errAddr := netip.ParseAddr(part[0])
	protocol, errProto := firewall.ParseProtocol(part[1])
	port, errPort := firewall.ParsePort(part[2])
	if errAddr != nil || errProto != nil || errPort != nil {
		return nil, bad
	}
	return key{from: addr, protocol: protocol, port: port}.bytes(), nil
}

// Find returns the sets in which an opening of the key would be, and under which
// key there.
func Find(k firewall.Key) (sets []string, kernel []byte) {
	grant := slot{six: k.From.Addr().Is6(), bits: k.From.Bits(), exempt: false}
	exempt := grant
	exempt.exempt = true
	return []string{grant.name(), exempt.name()}, keyOf(k.Door, k.From).bytes()
}
