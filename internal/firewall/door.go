package firewall

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/sesame-access/sesame/internal/errkind"
)

// ID names one firewall: one thing that is written as a whole and has one
// writer, such as a network security group or the nftables table of a host.
type ID string

// ValidName reports whether s may name a host or a policy: 1 to 63 characters,
// lower-case letters, digits and inner hyphens, as in a DNS label.
func ValidName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// ParseName reads a name as ValidName defines it; field says what it names.
func ParseName(field, s string) (string, error) {
	if !ValidName(s) {
		return "", errkind.Bad(field, s, "a name of 1 to 63 lower-case letters, digits and inner hyphens")
	}
	return s, nil
}

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols whose ports can be doors.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// ParseProtocol reads "tcp" or "udp".
func ParseProtocol(s string) (Protocol, error) {
	switch s {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	}
	return 0, errkind.Bad("protocol", s, `"tcp" or "udp"`)
}

// String returns the protocol's name, or its number when it has none here.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return strconv.Itoa(int(p))
}

// ParsePort reads a port number from 1 to 65535: decimal digits without sign,
// blank or leading zero.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s != strconv.FormatUint(n, 10) {
		return 0, errkind.Bad("port", s, "a port number from 1 to 65535")
	}
	return uint16(n), nil
}

// A Door is what a grant opens and a lock closes: one port of one VM.
type Door struct {
	VM       VMID
	Protocol Protocol
	Port     uint16
}

// String returns the door as people write it: "host://web-1:22/tcp".
func (d Door) String() string { return fmt.Sprintf("%s:%d/%s", d.VM, d.Port, d.Protocol) }

// CompareDoors orders doors by VM, port and protocol.
func CompareDoors(a, b Door) int {
	return cmp.Or(
		cmp.Compare(a.VM, b.VM),
		cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.Protocol, b.Protocol),
	)
}
