// Package posture says of every management port of every VM whether it is closed
// but for those who were let in, and if not, who gets in, by which rule, and how
// bad that is.
//
// # The question
//
// Tools that look for just-in-time access ask whether a policy names the machine,
// and those that look for open ports ask whether a rule has 0.0.0.0/0 in it. Both
// are wrong where it matters: an older rule is read first, a policy is about
// another port, a rule has no effect behind another firewall, nothing stands in
// front of the machine at all. Here package reach is asked, about every source, over
// every way and past every firewall. A finding is
//
//   - Healthy: nobody comes in but live grants and exempt sources. That is proven.
//   - Unhealthy: somebody else does. That is proven too; one address that gets in,
//     and the rule that decides about it, are named.
//   - NotApplicable: nobody could come, whatever the firewalls that can be locked
//     said: no way leads there, something else closes it, or the machine does not
//     run, in which case it is said who could come if it did.
//   - Unknown: neither is proven, and the fact that is missing is named. It counts
//     as bad.
//
// A machine without any firewall is open, and so unhealthy. What comes from
// addresses of the cloud's platform, or from ones that no packet comes from, is
// nobody.
//
// # Severity
//
// It begins with who can come: Low for the network, Medium for a partner, High for
// the Internet. It is a step more at a port for remote administration (22, 3389,
// 5985, 5986), and one more for a machine with a tag that the settings name.
// Machines' owners write tags: they make it more and never less. What is unknown is
// one step less than it would be if it were open.
//
// # Claims
//
// A just-in-time policy, Sesame's or Microsoft Defender's, is a claim. Claims decide
// who was let in and what a bad finding is called, never whether a port is closed.
package posture

import (
	"iter"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// An Estate is what is judged.
type Estate struct {
	VMs      []inventory.VM // sorted by id
	Model    reach.Model    // of every firewall that could be read
	Claims   []Claim
	Openings []Opening // for grants, as they were read back
}

// Settings say what to look at. The zero value is not useful; see Defaults.
type Settings struct {
	// Ports are the management ports, asked about of every VM. The ports of its claims
	// are asked about too.
	Ports []survey.Port
	// Raise lists tags as KEY=VALUE that make a finding one step more severe.
	Raise []string
}

// Defaults are the four ports that Microsoft Defender for Cloud recommends to lock:
// SSH, RDP and WinRM over HTTP and HTTPS.
func Defaults() Settings {
	s := Settings{Ports: nil, Raise: nil}
	for _, n := range administration() {
		s.Ports = append(s.Ports, survey.Port{Protocol: firewall.TCP, Number: n})
	}
	return s
}

func administration() []uint16 { return []uint16{22, 3389, 5985, 5986} }

// Judge returns the findings about e, VM by VM, those about one VM sorted by
// port and check; now decides which openings are live. Nothing is kept but what VMs
// share.
func Judge(e Estate, s Settings, now time.Time) iter.Seq[Finding] {
	return func(yield func(Finding) bool) {
		j := newJudge(e, s, now)
		at := 0
		for d, set := range survey.Ask(e.VMs, e.Model, j.ports...) {
			i, n := at/len(j.ports), at%len(j.ports)
			at++
			if n == 0 {
				j.enter(&e.VMs[i])
			}
			j.port(j.ports[n], d, set)
			if n+1 == len(j.ports) {
				for _, f := range j.leave() {
					if !yield(f) {
						return
					}
				}
			}
		}
	}
}

// Worst returns the finding about a port that most has to be done about, of those
// about one VM; false where there is none about a port.
func Worst(findings []Finding) (worst Finding, ok bool) {
	for _, f := range findings {
		if f.Check.OfPort() && (!ok || f.Verdict > worst.Verdict || f.Verdict == worst.Verdict && f.Severity > worst.Severity) {
			worst, ok = f, true
		}
	}
	return worst, ok
}

// raised reports whether v has one of the tags.
func raised(v *inventory.VM, tags []string) bool {
	for key, value := range v.Tags {
		if slices.Contains(tags, key+"="+value) {
			return true
		}
	}
	return false
}
