package posture

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// Verdict is what a check says of one VM or one of its ports.
type Verdict uint8

// The verdicts, the best first.
const (
	Healthy       Verdict = iota // closed but for those who were let in, proven
	NotApplicable                // nobody could come there, whatever its lockable firewalls said, or it does not run
	Unknown                      // a fact is missing, which is named
	Unhealthy                    // somebody can come who was not let in, proven
)

// Verdicts returns all verdicts, the best first.
func Verdicts() []Verdict { return []Verdict{Healthy, NotApplicable, Unknown, Unhealthy} }

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Healthy:
		return "healthy"
	case NotApplicable:
		return "not applicable"
	case Unhealthy:
		return "unhealthy"
	case Unknown:
	}
	return "unknown"
}

// Severity is how much is at stake.
type Severity uint8

// The severities. A finding that is healthy or not applicable has None.
const (
	None Severity = iota
	Low
	Medium
	High
	Critical
)

// Severities returns all severities, the least first.
func Severities() []Severity { return []Severity{None, Low, Medium, High, Critical} }

// String returns the severity's name.
func (s Severity) String() string {
	switch s {
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	case Critical:
		return "critical"
	case None:
	}
	return "none"
}

// A Finding is what one check says of one VM, or of one port of it.
type Finding struct {
	Check ID
	VM    firewall.VMID
	Name  string      // what people call the VM
	Port  survey.Port // the zero Port where the finding is about the VM as a whole

	Verdict  Verdict
	Severity Severity
	// Proof is what the verdict rests on; nil where no packet was asked about. It is
	// shared between findings.
	Proof *Proof
	// Note says what Proof does not: the policy that is meant, the state of the VM.
	Note string
	// Accepted is the suppression that somebody answers for; nil for none.
	Accepted *Suppression
}

// A Proof is who can come to a port, and by what.
type Proof struct {
	// Sources are those that the verdict is about: who gets in without being let in,
	// or may; nobody where it is closed.
	Sources reach.Ranges
	Who     Who
	// Witness is one address of Sources, of the kind that Who says; invalid where the
	// port is closed.
	Witness netip.Addr
	// By is the step that decides about the witness; of a closed port, about a
	// stranger, from the Internet if there is a way.
	By   reach.Step
	Path string // the way that the step is on; may be empty
}

// Door returns the door that f is about; its port is 0 where it is about the VM.
func (f Finding) Door() firewall.Door {
	return firewall.Door{VM: f.VM, Protocol: f.Port.Protocol, Port: f.Port.Number}
}

// Bad reports whether somebody has to do something about f.
func (f Finding) Bad() bool { return f.Verdict >= Unknown && f.Accepted == nil }

// Where names what f is about, as people do: "web-1 22/tcp".
func (f Finding) Where() string {
	if f.Port.Number == 0 {
		return f.Name
	}
	return fmt.Sprintf("%s %d/%s", f.Name, f.Port.Number, f.Port.Protocol)
}

// Reason says in one sentence why the verdict is what it is.
func (f Finding) Reason() string {
	var parts []string
	if p := f.Proof; p != nil {
		switch f.Verdict {
		case Unhealthy:
			parts = append(parts, fmt.Sprintf("%s can come in%s, such as %s, by %s", p.Who, p.size(), p.Witness, p.by()))
		case Unknown:
			parts = append(parts, fmt.Sprintf("it is not known whether %s, such as %s, can come in: %s", p.Who, p.Witness, p.by()))
		case NotApplicable:
			if !p.Sources.Empty() {
				parts = append(parts, fmt.Sprintf("once it runs, %s can come in, by %s", p.Who, p.by()))
				break
			}
			fallthrough
		case Healthy:
			parts = append(parts, fmt.Sprintf("closed by %s", p.by()))
		}
	}
	if f.Note != "" {
		parts = append([]string{f.Note}, parts...)
	}
	return strings.Join(parts, "; ")
}

// by names the rule, and its firewall by the last part of its id.
func (p *Proof) by() string {
	short := p.By
	short.Firewall = short.Firewall[strings.LastIndexByte(string(short.Firewall), '/')+1:]
	return short.String()
}

// size writes the sources, and how many they are where that is not plain. The
// Internet is not written range by range: holes in it are where no packet comes from.
func (p *Proof) size() string {
	const plain = 2
	switch {
	case p.Who == Internet && len(p.Sources) > plain:
		return ""
	case len(p.Sources) == 1 && p.Sources[0].From != p.Sources[0].To:
		return fmt.Sprintf(": %s (%s addresses)", p.Sources, p.Sources.Count())
	}
	return ": " + p.Sources.String()
}

// Compare orders findings by VM, port and check.
func Compare(a, b Finding) int {
	return cmp.Or(firewall.CompareDoors(a.Door(), b.Door()), cmp.Compare(a.Check, b.Check))
}
