// Package report writes findings down for programs: as one document, whose fields
// keep their names and meaning, whatever else is added.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/posture/defender"
	"github.com/sesame-access/sesame/internal/posture/history"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A Document is one scan.
type Document struct {
	Taken    time.Time                 `json:"taken"`
	Machines []Machine                 `json:"machines"`
	Findings []Finding                 `json:"findings"`
	Counts   map[string]map[string]int `json:"counts"` // of findings, by check and verdict
	// Unread is what could not be read.
	Unread []string `json:"unread,omitempty"`
	// Ended and Idle are suppressions that have run out, and ones that are about
	// nothing bad, by the id of the VM.
	Ended []string `json:"ended,omitempty"`
	Idle  []string `json:"idle,omitempty"`
}

// A Machine is one VM, with the worst that is said of its ports.
type Machine struct {
	VM       string `json:"vm"`
	Name     string `json:"name"`
	Verdict  string `json:"verdict"`
	Severity string `json:"severity"`
	// Defender is what Microsoft Defender for Cloud would say, and Differs why the
	// verdict is right where that is something else.
	Defender string `json:"defender"`
	Differs  string `json:"differs,omitzero"`
	// Audit and Remedy are commands for this very machine; Remedy is for its ports
	// that are open.
	Audit  []Step `json:"audit,omitempty"`
	Remedy []Step `json:"remedy,omitempty"`
}

// A Step is one thing to do.
type Step struct {
	Text    string `json:"text"`
	Command string `json:"command"`
}

// A Finding is what one check says.
type Finding struct {
	Check    string `json:"check"`
	Title    string `json:"title"`
	VM       string `json:"vm"`
	Name     string `json:"name"`
	Port     uint16 `json:"port,omitzero"` // absent where it is about the VM
	Protocol string `json:"protocol,omitzero"`
	Verdict  string `json:"verdict"`
	Severity string `json:"severity"`
	Reason   string `json:"reason"`
	Who      string `json:"who,omitzero"`
	// Sources are ranges, and Addresses how many they are, in decimal.
	Sources   []string  `json:"sources,omitempty"`
	Addresses string    `json:"addresses,omitzero"`
	Witness   string    `json:"witness,omitzero"`
	Firewall  string    `json:"firewall,omitzero"`
	Rule      string    `json:"rule,omitzero"`
	Accepted  *Accepted `json:"accepted,omitempty"`
	Change    string    `json:"change,omitzero"` // new, fixed, regressed; absent for the same
}

// Accepted is who answers for a finding.
type Accepted struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// Of returns the document of findings about e, which are sorted as
// [posture.Compare] does.
func Of(e posture.Estate, findings []posture.Finding, trend history.Trend, taken time.Time) Document {
	out := Document{Taken: taken.UTC(), Machines: []Machine{}, Findings: []Finding{}, Counts: map[string]map[string]int{}, Unread: nil, Ended: nil, Idle: nil}
	of := map[firewall.VMID][]posture.Finding{}
	for _, f := range findings {
		of[f.VM] = append(of[f.VM], f)
		x := findingOf(f)
		if c := trend.Changes[history.KeyOf(f)]; c != history.Same {
			x.Change = c.String()
		}
		out.Findings = append(out.Findings, x)
		if out.Counts[x.Check] == nil {
			out.Counts[x.Check] = map[string]int{}
		}
		out.Counts[x.Check][x.Verdict]++
	}
	for _, v := range e.VMs {
		if worst, ok := posture.Worst(of[v.ID]); ok {
			out.Machines = append(out.Machines, machineOf(v, e.Claims, of[v.ID], worst))
		}
	}
	return out
}

func machineOf(v inventory.VM, claims []posture.Claim, findings []posture.Finding, worst posture.Finding) Machine {
	c := defender.Classify(v, claims, findings)
	out := Machine{
		VM: string(v.ID), Name: v.Name, Verdict: worst.Verdict.String(), Severity: worst.Severity.String(),
		Defender: c.String(), Differs: c.Against(worst), Audit: nil, Remedy: nil,
	}
	var bad []survey.Port
	for _, f := range findings {
		if f.Check.OfPort() && f.Bad() {
			bad = append(bad, f.Port)
		}
	}
	if len(bad) > 0 {
		out.Audit, out.Remedy = steps(posture.Audit(v, bad...)), steps(posture.Remedy(v, bad...))
	}
	return out
}

func steps(list []posture.Step) (out []Step) {
	for _, s := range list {
		out = append(out, Step(s))
	}
	return out
}

func findingOf(f posture.Finding) Finding {
	out := Finding{
		Check: string(f.Check), Title: posture.CheckOf(f.Check).Title, VM: string(f.VM), Name: f.Name, Port: f.Port.Number,
		Verdict: f.Verdict.String(), Severity: f.Severity.String(), Reason: f.Reason(),
	}
	if f.Port.Number != 0 {
		out.Protocol = f.Port.Protocol.String()
	}
	if p := f.Proof; p != nil {
		out.Firewall, out.Rule = string(p.By.Firewall), p.By.Named()
		if !p.Sources.Empty() {
			out.Who, out.Witness, out.Addresses = p.Who.String(), p.Witness.String(), p.Sources.Count().String()
			for _, r := range p.Sources {
				out.Sources = append(out.Sources, r.String())
			}
		}
	}
	if a := f.Accepted; a != nil {
		out.Accepted = &Accepted{Owner: a.Owner, Reason: a.Reason, Until: a.Until}
	}
	return out
}

// Rows returns what people want to see first, for a table: what is bad and nobody
// accepted, the worst first, as severity, machine, port, check, change and reason.
// That no policy covers a port is left out: where that matters the port is open, and
// there is a row for it.
func Rows(d Document) (rows [][]string) {
	bad := slices.DeleteFunc(slices.Clone(d.Findings), func(f Finding) bool {
		good := f.Verdict == posture.Healthy.String() || f.Verdict == posture.NotApplicable.String()
		return good || f.Accepted != nil || f.Check == string(posture.Enabled)
	})
	rank := func(f Finding) int {
		return slices.IndexFunc(posture.Severities(), func(s posture.Severity) bool { return s.String() == f.Severity })
	}
	slices.SortStableFunc(bad, func(a, b Finding) int { return cmp.Or(cmp.Compare(rank(b), rank(a)), strings.Compare(a.Name, b.Name)) })
	for _, f := range bad {
		port := ""
		if f.Port != 0 {
			port = fmt.Sprintf("%d/%s", f.Port, f.Protocol)
		}
		check := f.Check
		if f.Verdict == posture.Unknown.String() {
			check = f.Verdict
		}
		rows = append(rows, []string{f.Severity, f.Name, port, check, f.Change, f.Reason})
	}
	return rows
}
