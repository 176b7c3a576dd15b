package posture_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/posture/defender"
)

// A peer is how another tool decides about a machine, in our own words: whether it
// would be told to be fine. What each reads is in its comment; as of 2026-11.
type peer struct {
	name string
	fine func(x seen) bool
}

// seen is what a peer can see.
type seen struct {
	*machine

	classified defender.Classification
	policies   int // in the whole subscription
}

func peers() []peer {
	named := func(x seen) bool { return len(x.claims) > 0 }
	return []peer{
		// AuditIfNotExists on Defender's assessment: healthy or not applicable. Which ports are
		// open Defender is told by our own findings, which flatters it.
		{"azure-policy", func(x seen) bool { return x.classified.Verdict <= posture.NotApplicable }},
		// vm_jit_access_enabled: the machine is in any policy, whatever is in that.
		{"prowler", named},
		// compute_vm_jit_access_protected: a join that forgets its condition says both of
		// every machine that is in a policy as soon as two are, and a row of alarm counts.
		{"steampipe", func(x seen) bool { return named(x) && x.policies < 2 }},
		// virtual_machines_without_jit_network_access_policy: compares with = NULL.
		{"cloudquery", func(seen) bool { return true }},
		// monitorJitNetworkAccess: looks whether the recommendation is switched on.
		{"cloudsploit", func(seen) bool { return true }},
		// Checkov and ScoutSuite: no rule lets everybody in to the port by these words.
		{"rule-scanners", func(x seen) bool { return !slices.ContainsFunc(x.build, opensToAll) }},
		// Ours.
		{"sesame", nil},
	}
}

// opensToAll reports whether a line of a machine is a rule as the checkers of rules
// look for: an Allow of a management port to everybody, one rule at a time.
func opensToAll(words []string) bool {
	if len(words) < 5 || words[0] == "admin" || words[2] != "Allow" || !slices.Contains([]string{"*", "Internet", "0.0.0.0/0"}, words[4]) {
		return false
	}
	return words[3] == "*" || slices.ContainsFunc(strings.Split(words[3], ","), func(p string) bool { return p == "22" || p == "3389" })
}

// open reports whether somebody gets in to a port of m who should not, as it is
// written in the corpus; known is false where that is not known.
func (m *machine) open() (open, known bool) {
	known = true
	for _, x := range m.want {
		open = open || x.verdict == posture.Unhealthy
		known = known && x.verdict != posture.Unknown
	}
	return open, known || open
}

// BenchmarkPeers counts on how many machines of the Azure corpus each tool is right
// and wrong about the one question: is every management port closed but for those
// who were let in? It measures no time: the figures are right, missed, for open
// machines that were called fine, and false, for closed ones that were not.
func BenchmarkPeers(b *testing.B) {
	c := azureCloud(b, readCorpus(b, "azure.corpus"))
	scores := score(c)
	for _, p := range peers() {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				continue // the score does not depend on how often it is taken
			}
			s := scores[p.name]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(s.right), "right")
			b.ReportMetric(float64(s.missed), "missed")
			b.ReportMetric(float64(s.false), "false")
		})
	}
}

// A tally is how a tool did.
type tally struct{ right, missed, false int }

func score(c *cloud) map[string]tally {
	e := c.estate()
	found := map[firewall.VMID][]posture.Finding{}
	for f := range posture.Judge(e, settings(), now) {
		found[f.VM] = append(found[f.VM], f)
	}
	out := map[string]tally{}
	for i, m := range c.machines {
		open, known := m.open()
		if !known {
			continue
		}
		findings := found[c.ids[i]]
		at := slices.IndexFunc(findings, func(f posture.Finding) bool { return f.Check.OfPort() && f.Verdict >= posture.Unknown })
		vm := slices.IndexFunc(c.vms, func(v inventory.VM) bool { return v.ID == c.ids[i] })
		x := seen{machine: m, classified: defender.Classify(c.vms[vm], e.Claims, findings), policies: len(e.Claims)}
		for _, p := range peers() {
			fine := at < 0
			if p.fine != nil {
				fine = p.fine(x)
			}
			s := out[p.name]
			switch {
			case fine != open:
				s.right++
			case open:
				s.missed++
			default:
				s.false++
			}
			out[p.name] = s
		}
	}
	return out
}

// Nobody else is right about all of them, which is what this package is for.
func TestPeers(t *testing.T) {
	scores := score(azureCloud(t, readCorpus(t, "azure.corpus")))
	for name, s := range scores {
		wrong := s.missed + s.false
		if (name == "sesame") != (wrong == 0) {
			t.Errorf("%s: %+v", name, s)
		}
		t.Logf("%-14s %+v", name, s)
	}
	if len(scores) != len(peers()) {
		t.Errorf("%d peers", len(scores))
	}
}
