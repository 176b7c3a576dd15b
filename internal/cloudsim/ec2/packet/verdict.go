package packet

import (
	"fmt"
	"strings"
)

// An Outcome is what becomes of a packet.
type Outcome uint8

// The outcomes. Of several layers the lowest one wins.
const (
	Denied Outcome = iota
	Unknown
	Delivered
)

// String returns the outcome in one word.
func (o Outcome) String() string {
	return map[Outcome]string{Denied: "denied", Unknown: "unknown", Delivered: "delivered"}[o]
}

// A Layer is one of the places where packets are judged.
type Layer string

// The layers, in the order of the way in.
const (
	Routing       Layer = "routing"
	ACLIn         Layer = "network ACL, inbound"
	SecurityGroup Layer = "security groups"
	ACLOut        Layer = "network ACL, outbound"
)

// A Step is the judgement of one layer.
type Step struct {
	Layer   Layer
	Outcome Outcome
	By      string // the deciding rule, route or entry, with where it stands
}

// A Verdict is the judgement of all layers, in order. The way ends at the first
// that denies.
type Verdict struct {
	Outcome Outcome
	Steps   []Step
}

// String prints the verdict with its steps, in one line.
func (v Verdict) String() string {
	var b strings.Builder
	b.WriteString(v.Outcome.String())
	for i, s := range v.Steps {
		fmt.Fprintf(&b, "%s %s: %s by %s", map[bool]string{true: ":", false: ";"}[i == 0], s.Layer, s.Outcome, s.By)
	}
	return b.String()
}

// judge asks the layers one by one.
func judge(layers ...func() Step) Verdict {
	v := Verdict{Outcome: Delivered}
	for _, layer := range layers {
		s := layer()
		v.Steps = append(v.Steps, s)
		v.Outcome = min(v.Outcome, s.Outcome)
		if s.Outcome == Denied {
			break
		}
	}
	return v
}
