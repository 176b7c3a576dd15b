package table

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// latest is the last instant that is taken for one, at the end of the year 9999.
const latest = 253402300799999

// Millis is t as it is stored: rounded down, 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Instant is a stored time; one that is out of range is none.
func Instant(ms int64) time.Time {
	if ms <= 0 || ms > latest {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// past is a stored time that ends something: one that is out of range lies in
// the past.
func past(ms int64) time.Time {
	if ms < 0 || ms > latest {
		return time.UnixMilli(1).UTC()
	}
	return Instant(ms)
}

func duration(ms int64) time.Duration {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// prefixes writes a list of prefixes as it is stored.
func prefixes(list []netip.Prefix) string {
	text := make([]string, len(list))
	for i, p := range list {
		text[i] = p.String()
	}
	return strings.Join(text, ",")
}

// parsePrefixes reads what prefixes wrote, and leaves out what it did not.
func parsePrefixes(text string) []netip.Prefix {
	var list []netip.Prefix
	for s := range strings.SplitSeq(text, ",") {
		if p, err := firewall.ParseSource(s); err == nil {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

// doors writes a list of doors as it is stored.
func doors(list []firewall.Door) string {
	text := make([]string, len(list))
	for i, d := range list {
		text[i] = fmt.Sprintf("%s:%d/%d", d.VM, d.Port, d.Protocol)
	}
	return strings.Join(text, " ")
}

// parseDoors reads what doors wrote, and leaves out what it did not.
func parseDoors(text string) []firewall.Door {
	var list []firewall.Door
	for s := range strings.FieldsSeq(text) {
		vm, number, _ := cutLast(s, ":")
		port, protocol, _ := strings.Cut(number, "/")
		p, errPort := strconv.ParseInt(port, 10, 64)
		q, errProtocol := strconv.ParseInt(protocol, 10, 64)
		if d, ok := door(vm, p, q); ok && errPort == nil && errProtocol == nil {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, firewall.CompareDoors)
	return list
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// door reads the columns of a door; false if no door has such a port or protocol.
func door(vm string, port, protocol int64) (firewall.Door, bool) {
	const most = 1<<16 - 1
	d := firewall.Door{VM: firewall.VMID(vm), Protocol: firewall.Protocol(protocol), Port: uint16(port)} //nolint:gosec // judged below
	return d, vm != "" && 0 < port && port <= most && int64(d.Protocol) == protocol
}

func principal(issuer, subject, display string) access.Principal {
	return access.Principal{Issuer: issuer, Subject: subject, Display: display}
}

// Flag writes b as it is stored.
func Flag(b bool) int64 { return flag(b) }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// text writes one of our JSON columns, which hold nothing that JSON cannot.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("table: " + err.Error())
	}
	return string(b)
}
