// Package api holds the wire types of /v1: what the server writes, the client
// reads, and both keep stable.
//
// Names are snake_case. What is empty or zero is left out, and nothing is ever
// null. Instants are RFC 3339 in UTC with milliseconds, durations are written as
// "1h30m", addresses and prefixes as people write them, and a door is an object
// of vm, port and protocol. Lists are sorted or newest first, in pages of an
// object with items and, where there are more, the cursor of the next page.
//
// Every error is a Problem (RFC 9457). Every text that comes in goes through
// DecodeAsked or DecodeAnswer, which take exactly one reading of it and refuse
// everything else.
//
// Conversions from the values of the lower floors are plain functions beside
// the types; those that can be read back have their inverse next to them.
package api

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api/strict"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// MaxBody is the most bytes of JSON that are read.
const MaxBody = strict.MaxBytes

// MaxParam is the most bytes that a parameter of a query string may have.
const MaxParam = 1024

// KeyHeader names the header with which a request is made safe to repeat.
const KeyHeader = "Idempotency-Key"

// RequestIDHeader names the header with the id of an answer, which the server's
// log has, too.
const RequestIDHeader = "X-Request-Id"

// timeLayout is RFC 3339 with exactly three digits behind the second.
const timeLayout = "2006-01-02T15:04:05.000Z"

// A Time is an instant: RFC 3339, UTC, whole milliseconds.
type Time struct{ time.Time }

// TimeOf returns t as it goes over the wire; the zero time is left out.
func TimeOf(t time.Time) Time { return Time{firewall.Instant(t)} }

// MarshalJSON writes t.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(strconv.Quote(firewall.Instant(t.Time).Format(timeLayout))), nil
}

// UnmarshalJSON reads exactly what MarshalJSON writes.
func (t *Time) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return errkind.Bad("time", string(text), wantTime)
	}
	at, err := time.Parse(timeLayout, s)
	if err != nil || at.Format(timeLayout) != s {
		return errkind.Bad("time", s, wantTime)
	}
	t.Time = firewall.Instant(at)
	return nil
}

const wantTime = "an instant in UTC with milliseconds, such as 2030-01-31T14:00:00.000Z"

// A PortNumber is a port from 1 to 65535.
type PortNumber uint16

// UnmarshalJSON reads a number as firewall.ParsePort does: digits and nothing
// else.
func (p *PortNumber) UnmarshalJSON(text []byte) error {
	n, err := firewall.ParsePort(string(text))
	*p = PortNumber(n)
	return err
}

// A Principal is who asks.
type Principal struct {
	Issuer  string `json:"issuer" doc:"Who vouches for the subject."`
	Subject string `json:"subject" doc:"What the issuer calls the principal; never reassigned."`
	Display string `json:"display,omitzero" doc:"For people's eyes; nothing is decided by it."`
}

// PrincipalOf returns p as it goes over the wire.
func PrincipalOf(p access.Principal) Principal {
	return Principal{Issuer: p.Issuer, Subject: p.Subject, Display: p.Display}
}

// Domain returns what PrincipalOf was given.
func (p Principal) Domain() access.Principal {
	return access.Principal{Issuer: p.Issuer, Subject: p.Subject, Display: p.Display}
}

// String returns the name to show.
func (p Principal) String() string { return p.Domain().String() }

// A Port is one port of a VM that is named elsewhere.
type Port struct {
	Port     PortNumber `json:"port" minimum:"1" maximum:"65535"`
	Protocol string     `json:"protocol,omitzero" enum:"tcp,udp" default:"tcp"`
}

// A Door is one port of one VM.
type Door struct {
	VM       string     `json:"vm" doc:"The id of the VM."`
	Port     PortNumber `json:"port" minimum:"1" maximum:"65535"`
	Protocol string     `json:"protocol" enum:"tcp,udp"`
}

// DoorOf returns d as it goes over the wire.
func DoorOf(d firewall.Door) Door {
	return Door{VM: string(d.VM), Port: PortNumber(d.Port), Protocol: d.Protocol.String()}
}

// Domain returns what DoorOf was given.
func (d Door) Domain() (firewall.Door, error) {
	vm, err := firewall.ParseVMID(d.VM)
	if err != nil {
		return firewall.Door{}, err
	}
	port, protocol, err := Port{Port: d.Port, Protocol: d.Protocol}.Domain()
	return firewall.Door{VM: vm, Protocol: protocol, Port: port}, err
}

// String returns the door as people write it: "web-1:22/tcp".
func (d Door) String() string {
	return fmt.Sprintf("%s:%d/%s", firewall.VMID(d.VM).Name(), d.Port, d.Protocol)
}

// Domain returns the port and its protocol, which is TCP if p does not say.
func (p Port) Domain() (uint16, firewall.Protocol, error) {
	if p.Port == 0 {
		return 0, 0, missing("port", "a port number from 1 to 65535")
	}
	if p.Protocol == "" {
		return uint16(p.Port), firewall.TCP, nil
	}
	protocol, err := firewall.ParseProtocol(p.Protocol)
	return uint16(p.Port), protocol, err
}

// DoorsOf is DoorOf for many.
func DoorsOf(doors []firewall.Door) []Door { return mapped(doors, DoorOf) }

// SourcesOf returns prefixes as they go over the wire: a single address without
// its length.
func SourcesOf(prefixes []netip.Prefix) []string { return mapped(prefixes, firewall.FormatSource) }

// ParseSources returns what SourcesOf was given; field says what they are.
func ParseSources(field string, sources []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, s := range sources {
		p, err := firewall.ParseSource(s)
		if err != nil {
			return nil, errkind.At(place(field, i), err)
		}
		out = append(out, p)
	}
	return out, nil
}

// A Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitzero" doc:"The cursor of the next page; absent at the end."`
}

// PageOf returns a page of items, which is an empty list rather than none.
func PageOf[T any](items []T, next string) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{Items: items, Next: next}
}

// PageFrom returns a page of f of every item.
func PageFrom[A, B any](items []A, next string, f func(A) B) Page[B] {
	return PageOf(mapped(items, f), next)
}

// mapped returns f of every item; nil for none.
func mapped[A, B any](items []A, f func(A) B) []B {
	if len(items) == 0 {
		return nil
	}
	out := make([]B, len(items))
	for i, x := range items {
		out[i] = f(x)
	}
	return out
}

// missing reports that an input that must be given is not there.
func missing(field, want string) error {
	return &errkind.Error{
		Kind: errkind.Invalid, Msg: field + " is missing; it must be " + want,
		Field: errkind.Field{Name: field, Value: "", Want: want}, Err: nil,
	}
}

// place names an entry of a list: "sources[1]".
func place(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
