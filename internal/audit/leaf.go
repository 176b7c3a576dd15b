package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

const version = 1

// leaf is the wire form of what stays for ever. The order of the fields is the
// order in the text.
type leaf struct {
	V        int               `json:"v"`
	Kind     Kind              `json:"kind"`
	Time     int64             `json:"time"`
	Request  string            `json:"request,omitempty"`
	Grant    string            `json:"grant,omitempty"`
	VM       firewall.VMID     `json:"vm,omitempty"`
	Port     uint16            `json:"port,omitempty"`
	Protocol firewall.Protocol `json:"protocol,omitempty"`
	Firewall firewall.ID       `json:"firewall,omitempty"`
	Deadline int64             `json:"deadline,omitempty"`
	Clocks   *clocks           `json:"clocks,omitempty"`
	Measures []measure         `json:"measures,omitempty"`
	Level    Level             `json:"level,omitempty"`
	Personal []byte            `json:"personal"`
}

type clocks struct {
	Wall   int64  `json:"wall,omitempty"`
	Boot   int64  `json:"boot,omitempty"`
	BootID string `json:"boot_id,omitempty"`
	Third  int64  `json:"third,omitempty"`
}

type measure struct {
	Name string `json:"name"`
	NS   int64  `json:"ns"`
}

// personal is the wire form of what can be erased.
type personal struct {
	V       int        `json:"v"`
	Actor   *principal `json:"actor,omitempty"`
	Caller  string     `json:"caller,omitempty"`
	Sources []string   `json:"sources,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	By      []string   `json:"by,omitempty"`
	Not     []string   `json:"not,omitempty"`
	Plan    []string   `json:"plan,omitempty"`
	Text    string     `json:"text,omitempty"`
}

type principal struct {
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	Display string `json:"display,omitempty"`
}

func leafOf(r Record, commitment []byte) leaf {
	l := leaf{
		V: version, Kind: clean(r.Kind), Time: millis(r.Time),
		Request: clean(r.Request), Grant: clean(r.Grant),
		VM: clean(r.Door.VM), Port: r.Door.Port, Protocol: r.Door.Protocol,
		Firewall: clean(r.Firewall), Deadline: millis(r.Deadline),
		Clocks: nil, Measures: nil, Level: clean(r.Level), Personal: commitment,
	}
	c := clocks{
		Wall: millis(r.Clocks.Wall), Boot: r.Clocks.Boot.Milliseconds(),
		BootID: clean(r.Clocks.BootID), Third: millis(r.Clocks.Third),
	}
	if c != (clocks{}) {
		l.Clocks = &c
	}
	for _, m := range r.Measures {
		l.Measures = append(l.Measures, measure{Name: clean(m.Name), NS: m.Took.Nanoseconds()})
	}
	return l
}

// addTo puts what l says into r.
func (l leaf) addTo(r *Record) {
	r.Kind, r.Time = l.Kind, instant(l.Time)
	r.Request, r.Grant = l.Request, l.Grant
	r.Door = firewall.Door{VM: l.VM, Protocol: l.Protocol, Port: l.Port}
	r.Firewall, r.Deadline, r.Level = l.Firewall, instant(l.Deadline), l.Level
	if c := l.Clocks; c != nil {
		r.Clocks = access.Reading{
			Wall: instant(c.Wall), Boot: time.Duration(c.Boot) * time.Millisecond,
			BootID: c.BootID, Third: instant(c.Third),
		}
	}
	for _, m := range l.Measures {
		r.Measures = append(r.Measures, Measure{Name: m.Name, Took: time.Duration(m.NS)})
	}
}

func personalOf(r Record) personal {
	p := personal{
		V: version, Actor: nil, Caller: "", Sources: nil, Reason: clean(r.Reason),
		By: cleanAll(r.By), Not: cleanAll(r.Not), Plan: cleanAll(r.Plan), Text: clean(r.Text),
	}
	actor := principal{Issuer: clean(r.Actor.Issuer), Subject: clean(r.Actor.Subject), Display: clean(r.Actor.Display)}
	if actor != (principal{}) {
		p.Actor = &actor
	}
	if r.Caller.IsValid() {
		p.Caller = r.Caller.String()
	}
	for _, s := range r.Sources {
		p.Sources = append(p.Sources, s.String())
	}
	return p
}

// addTo puts what p says into r.
func (p personal) addTo(r *Record) error {
	if a := p.Actor; a != nil {
		r.Actor = access.Principal{Issuer: a.Issuer, Subject: a.Subject, Display: a.Display}
	}
	if p.Caller != "" {
		caller, err := netip.ParseAddr(p.Caller)
		if err != nil {
			return fmt.Errorf("read caller: %w", err)
		}
		r.Caller = caller
	}
	for _, s := range p.Sources {
		source, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		r.Sources = append(r.Sources, source)
	}
	r.Reason, r.By, r.Not, r.Plan, r.Text = p.Reason, p.By, p.Not, p.Plan, p.Text
	return nil
}

// decode reads canonical text into v and refuses every other text: what is
// written differently has unknown, repeated or reordered members, blanks,
// another spelling of a string, or something behind its end. It reads with the
// faster package and writes with the one whose output is promised not to change.
func decode(text []byte, v any) error {
	if err := jsonv2.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %T: %w", v, err)
	}
	again, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %T again: %w", v, err)
	}
	if !bytes.Equal(text, again) {
		return errors.New("the text is not canonical")
	}
	return nil
}

// clean makes s valid UTF-8, so that it reads back as it was written.
func clean[S ~string](s S) S { return S(strings.ToValidUTF8(string(s), "\uFFFD")) }

func cleanAll(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, clean(s))
	}
	return out
}

// millis is t in milliseconds of Unix time; 0 stands for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
