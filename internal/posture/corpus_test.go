package posture_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// now is when the corpus is looked at.
var now = time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)

// A machine is one of the corpus: how it is built, in lines of its cloud, and what is
// true of it, in the words of the file's head.
type machine struct {
	name  string
	build [][]string // words, of the lines that a cloud understands
	want  map[uint16]expected
	also  map[posture.ID]posture.Verdict // of checks that are not about whether a port is closed

	claims   []posture.Claim // of no VM yet
	openings []posture.Opening
}

// expected is what is true of a port.
type expected struct {
	verdict  posture.Verdict
	check    posture.ID
	severity posture.Severity
	who      posture.Who
	witness  netip.Addr
	by       string
}

// ports are those of the corpus.
func ports() []uint16 { return []uint16{22, 3389, 5985, 5986} }

// readCorpus reads testdata/NAME.
func readCorpus(tb testing.TB, name string) []*machine {
	tb.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	var out []*machine
	for n, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "machine" {
			out = append(out, &machine{name: words[1], want: map[uint16]expected{}, also: map[posture.ID]posture.Verdict{}})
			continue
		}
		m := out[len(out)-1]
		if err := m.line(words); err != nil {
			tb.Fatalf("%s:%d: %v", name, n+1, err)
		}
	}
	return out
}

// line reads a line about a machine.
func (m *machine) line(words []string) error {
	port, err := strconv.ParseUint(words[0], 10, 16)
	switch {
	case words[0] == "rest" || err == nil:
		x, err := expectation(words[1:])
		for _, p := range ports() {
			if _, said := m.want[p]; p == uint16(port) || words[0] == "rest" && !said {
				m.want[p] = x
			}
		}
		return err
	case words[0] == "also":
		m.also[posture.ID(words[1])] = verdicts()[words[2]]
	case words[0] == "claim":
		return m.claim(words[1:])
	case words[0] == "opening":
		until := map[string]time.Duration{"live": time.Hour, "lapsed": -time.Hour}[words[3]]
		port, err := firewall.ParsePort(words[1])
		m.openings = append(m.openings, posture.Opening{
			Door:    firewall.Door{Protocol: firewall.TCP, Port: port},
			Opening: firewall.Opening{From: netip.MustParsePrefix(words[2]), Until: now.Add(until), Grants: "g-1"},
		})
		return err
	default:
		m.build = append(m.build, words)
	}
	return nil
}

func verdicts() map[string]posture.Verdict {
	return map[string]posture.Verdict{"healthy": posture.Healthy, "na": posture.NotApplicable, "unknown": posture.Unknown, "unhealthy": posture.Unhealthy}
}

// expectation reads VERDICT [CHECK SEVERITY WHO WITNESS] by RULE.
func expectation(words []string) (x expected, err error) {
	x.verdict = verdicts()[words[0]]
	at := slices.Index(words, "by")
	x.by = strings.Join(words[at+1:], " ")
	if x.verdict < posture.Unknown {
		return x, nil
	}
	x.check = posture.ID(words[1])
	x.severity = posture.Severity(slices.IndexFunc(posture.Severities(), func(s posture.Severity) bool { return s.String() == words[2] }))
	x.who = map[string]posture.Who{"network": posture.Network, "partner": posture.Partner, "Internet": posture.Internet}[words[3]]
	x.witness, err = netip.ParseAddr(words[4])
	return x, err
}

// claim reads MAKER [failed] [PORT[:EXEMPT]]...
func (m *machine) claim(words []string) error {
	c := posture.Claim{By: map[string]posture.Maker{"sesame": posture.Sesame, "defender": posture.Defender}[words[0]], Policy: "default"}
	for _, w := range words[1:] {
		if w == "failed" {
			c.Failed = "its provisioning failed"
			continue
		}
		number, exempt, some := strings.Cut(w, ":")
		n, err := firewall.ParsePort(number)
		if err != nil {
			return err
		}
		p := posture.ClaimedPort{Port: survey.Port{Protocol: firewall.TCP, Number: n}, WidestIPv4: 32, WidestIPv6: 64}
		if c.By == posture.Defender { // its requests may be for everybody
			p.WidestIPv4, p.WidestIPv6 = 0, 0
		}
		if some {
			p.Exempt = []netip.Prefix{netip.MustParsePrefix(exempt)}
		}
		c.Ports = append(c.Ports, p)
	}
	m.claims = append(m.claims, c)
	return nil
}

// A cloud is a corpus that was built, as a provider read it, and the naive packet test
// of its simulator.
type cloud struct {
	machines []*machine
	ids      []firewall.VMID // of the machines, in their order
	vms      []inventory.VM
	layers   map[firewall.ID]firewall.Layer
	// connect sends a packet.
	connect func(from netip.Addr, vm firewall.VMID, port uint16) reach.Verdict
}

func (c *cloud) estate() posture.Estate {
	e := posture.Estate{VMs: c.vms, Model: reach.NewModel(c.layers)}
	for i, m := range c.machines {
		for _, x := range m.claims {
			x.VM = c.ids[i]
			e.Claims = append(e.Claims, x)
		}
		for _, o := range m.openings {
			o.Door.VM = c.ids[i]
			e.Openings = append(e.Openings, o)
		}
	}
	return e
}

// settings are the defaults, and that machines for production matter more.
func settings() posture.Settings {
	s := posture.Defaults()
	s.Raise = []string{"env=prod"}
	return s
}

// Every verdict, its check, how bad it is, who comes in, the witness and the rule
// are what is written beside each machine; and the naive packet test agrees.
func TestCorpus(t *testing.T) {
	total := 0
	for _, c := range []struct {
		file  string
		build func(testing.TB, []*machine) *cloud
	}{{"azure.corpus", azureCloud}, {"aws.corpus", awsCloud}} {
		x := c.build(t, readCorpus(t, c.file))
		found := map[firewall.VMID][]posture.Finding{}
		for f := range posture.Judge(x.estate(), settings(), now) {
			found[f.VM] = append(found[f.VM], f)
		}
		for i, m := range x.machines {
			total++
			t.Run(m.name, func(t *testing.T) {
				m.check(t, found[x.ids[i]])
				m.probe(t, x, found[x.ids[i]], m.strangers())
			})
		}
	}
	if total < 60 {
		t.Errorf("%d machines", total)
	}
}

func (m *machine) check(t *testing.T, findings []posture.Finding) {
	t.Helper()
	seen := map[uint16]int{}
	for _, f := range findings {
		if !f.Check.OfPort() {
			if want, said := m.also[f.Check]; said && want != f.Verdict {
				t.Errorf("%s: %s is %s, want %s", f.Where(), f.Check, f.Verdict, want)
			}
			continue
		}
		seen[f.Port.Number]++
		got := expected{verdict: f.Verdict, by: rule(f.Proof.By.Named())}
		if f.Verdict >= posture.Unknown {
			got.check, got.severity, got.who, got.witness = f.Check, f.Severity, f.Proof.Who, f.Proof.Witness
		}
		if want := m.want[f.Port.Number]; got != want {
			t.Errorf("%s:\ngot  %s %s %s %s %s by %s\nwant %s %s %s %s %s by %s\n%s", f.Where(),
				got.verdict, got.check, got.severity, got.who, got.witness, got.by, want.verdict, want.check, want.severity, want.who, want.witness, want.by, f.Reason())
		}
	}
	for _, p := range ports() {
		if seen[p] != 1 {
			t.Errorf("port %d has %d findings", p, seen[p])
		}
	}
	for id := range m.also {
		if !slices.ContainsFunc(findings, func(f posture.Finding) bool { return f.Check == id }) {
			t.Errorf("nothing is said of %s", id)
		}
	}
}

// rule returns how the corpus names a rule: without the ids of groups and network
// ACLs, which the simulator draws.
func rule(name string) string {
	name = strings.ReplaceAll(name, `"`, "")
	if group, rest, cut := strings.Cut(name, " "); cut && strings.HasPrefix(group, "sg-") {
		return rest
	}
	if acl, entry, cut := strings.Cut(name, "/"); cut && strings.HasPrefix(acl, "acl-") {
		return "acl/" + entry
	}
	return name
}

// probe asks the naive packet test whether it agrees with the findings.
func (m *machine) probe(t testing.TB, c *cloud, findings []posture.Finding, strangers []netip.Addr) {
	t.Helper()
	for _, f := range findings {
		if !f.Check.OfPort() {
			continue
		}
		gets := func(from netip.Addr) reach.Verdict { return c.connect(from, f.VM, f.Port.Number) }
		switch f.Verdict {
		case posture.Unhealthy:
			if got := gets(f.Proof.Witness); got != reach.Open {
				t.Errorf("%s: the packet test says %s for %s\n%s", f.Where(), got, f.Proof.Witness, f.Reason())
			}
		case posture.Unknown:
			if got := gets(f.Proof.Witness); got == reach.Open {
				t.Errorf("%s: the packet test says %s for %s\n%s", f.Where(), got, f.Proof.Witness, f.Reason())
			}
		case posture.Healthy, posture.NotApplicable:
			for _, from := range strangers {
				if got := gets(from); got != reach.Closed {
					t.Errorf("%s is %s, and the packet test says %s for %s\n%s", f.Where(), f.Verdict, got, from, f.Reason())
				}
			}
		}
	}
}

// strangers are addresses from everywhere who were not let in to a machine.
func (m *machine) strangers() (out []netip.Addr) {
	in := func(a netip.Addr) bool {
		for _, c := range m.claims {
			for _, p := range c.Ports {
				if slices.ContainsFunc(p.Exempt, func(x netip.Prefix) bool { return x.Contains(a) }) {
					return true
				}
			}
		}
		return slices.ContainsFunc(m.openings, func(o posture.Opening) bool { return o.From.Contains(a) })
	}
	for _, s := range []string{"1.0.0.0", "8.8.8.8", "93.184.216.34", "128.0.0.1", "192.0.2.77", "198.51.100.4", "198.51.100.200", "203.0.113.7", "223.255.255.254"} {
		if a := netip.MustParseAddr(s); !in(a) {
			out = append(out, a)
		}
	}
	return out
}

func must[T any](x T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return x
	}
}

// number makes part of an address of a machine's place in the corpus.
func number(i int) string { return fmt.Sprint(i + 1) }
