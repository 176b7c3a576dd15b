package posture_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

const (
	web  = firewall.VMID("host://web-1")
	gone = firewall.VMID("host://gone")
)

// host is an estate of one host, whose SSH is open to an office, and to RDP to nobody.
func host(paths ...inventory.Path) posture.Estate {
	l := firewall.Layer{Firewall: "host://web-1", Rules: []firewall.LayerRule{{
		Name: "office", Action: firewall.Allow, Protocol: firewall.TCP, First: 22, Last: 22, From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	}}}
	return posture.Estate{
		VMs:   []inventory.VM{{ID: web, Name: "web-1", Paths: paths}},
		Model: reach.NewModel(map[firewall.ID]firewall.Layer{l.Firewall: l}),
	}
}

func way() inventory.Path {
	return inventory.Path{Name: "eth0", Hops: []inventory.Hop{{Firewall: "host://web-1"}}}
}

func of(t *testing.T, e posture.Estate, id posture.ID, port uint16) posture.Finding {
	t.Helper()
	for f := range posture.Judge(e, posture.Defaults(), now) {
		if f.Port.Number == port && (f.Check == id || id == "" && f.Check.OfPort()) {
			return f
		}
	}
	t.Fatalf("nothing is said of %s at %d", id, port)
	return posture.Finding{}
}

func TestReasons(t *testing.T) {
	open := host(way())
	unread := host(inventory.Path{Name: "eth0", Hops: []inventory.Hop{{Firewall: "hub"}}})
	half := host(way())
	half.VMs[0].Missing = []string{"its second interface"}
	holes := host(way())
	holes.Model.Put(firewall.Layer{Firewall: "host://web-1", Default: firewall.Allow, Rules: []firewall.LayerRule{
		{Name: "not-you", Action: firewall.Deny, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}},
	}})
	off := host(way())
	off.VMs[0].State = "stopped"
	locked := host(way())
	locked.Claims = []posture.Claim{{VM: web, Policy: "ssh", Ports: []posture.ClaimedPort{{Port: survey.Port{Protocol: firewall.TCP, Number: 22}}}}}
	nowhere := host(inventory.Path{Name: "eth0", From: []netip.Prefix{}, To: []netip.Addr{netip.MustParseAddr("10.0.0.4")}, Hops: way().Hops})
	for name, c := range map[string]struct {
		e    posture.Estate
		port uint16
		want string
	}{
		"open":       {open, 22, "unhealthy: a partner can come in: 198.51.100.0/24 (256 addresses), such as 198.51.100.0, by web-1: office"},
		"internet":   {holes, 22, "unhealthy: the Internet can come in, such as 1.0.0.0, by web-1: default"},
		"closed":     {open, 3389, "healthy: closed by web-1: default"},
		"unread":     {unread, 22, "unknown: it is not known whether the Internet, such as 1.0.0.0, can come in: hub: not read"},
		"incomplete": {half, 3389, "unknown: it is not known whether the Internet, such as 1.0.0.0, can come in: not known: its second interface"},
		"stopped":    {off, 22, "not applicable: the machine is stopped and answers nobody; once it runs, a partner can come in, by web-1: office"},
		"both":       {off, 3389, "not applicable: the machine is stopped and answers nobody; closed by web-1: default"},
		"locked":     {locked, 22, `unhealthy: just-in-time by policy "ssh" of Sesame; a partner can come in: 198.51.100.0/24 (256 addresses), such as 198.51.100.0, by web-1: office`},
		"no way":     {nowhere, 22, "not applicable: closed by nobody comes from there by path eth0"},
	} {
		f := of(t, c.e, "", c.port)
		if got := f.Verdict.String() + ": " + f.Reason(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// What the settings ask about is asked about, and so is what a claim names besides.
func TestPortsOfClaims(t *testing.T) {
	e := host(way())
	sql := survey.Port{Protocol: firewall.TCP, Number: 1433}
	e.Claims = []posture.Claim{{VM: web, Policy: "sql", Ports: []posture.ClaimedPort{{Port: sql}}}}
	if f := of(t, e, posture.PortOpen, 1433); f.Verdict != posture.Healthy {
		t.Errorf("%s", f.Reason())
	}
	if f := of(t, e, posture.Enabled, 1433); f.Verdict != posture.Healthy {
		t.Errorf("%s", f.Reason())
	}
}

func TestOrder(t *testing.T) {
	e := host(way())
	e.VMs = append(e.VMs, inventory.VM{ID: "host://web-2", Name: "web-2", Paths: []inventory.Path{way()}})
	all := slices.Collect(posture.Judge(e, posture.Defaults(), now))
	if len(all) != 16 || !slices.IsSortedFunc(all, posture.Compare) {
		t.Errorf("%d findings", len(all))
	}
	for range posture.Judge(e, posture.Defaults(), now) {
		break // and nothing more is asked
	}
}

func TestClaimsOf(t *testing.T) {
	d := firewall.Door{VM: web, Protocol: firewall.TCP, Port: 22}
	rdp := d
	rdp.Port = 3389
	p := policy.Policy{Name: "ssh", VMs: []firewall.VMID{web}, Ports: []policy.Port{{Port: 22}, {Port: 5985}}}.WithDefaults()
	got := posture.ClaimsOf([]policy.Policy{p}, []access.Lock{{Door: rdp}, {Door: d, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.4/32")}}})
	if len(got) != 2 || got[0].Policy != "" || got[0].Ports[0].Port.Number != 3389 || got[1].Policy != "ssh" || len(got[1].Ports) != 1 || len(got[1].Ports[0].Exempt) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestSuppress(t *testing.T) {
	text := `suppressions:
  - {vm: host://web-1, port: 22, reason: gone in March, owner: ada, until: 2026-12-01}
  - {vm: host://web-1, check: just-in-time-enabled, reason: old, owner: ada, until: 2026-11-22}
  - {vm: host://gone, reason: nothing there, owner: ada, until: 2027-01-01}
`
	list, err := posture.ParseSuppressions([]byte(text))
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	all := slices.Collect(posture.Judge(host(way()), posture.Defaults(), now))
	ended, idle := posture.Suppress(all, list, now)
	if len(ended) != 1 || ended[0].Check != posture.Enabled || len(idle) != 1 || idle[0].VM != gone {
		t.Errorf("ended %v, idle %v", ended, idle)
	}
	for _, f := range all {
		if accepted := f.Accepted != nil; accepted != (f.Port.Number == 22 && f.Verdict >= posture.Unknown) {
			t.Errorf("%s %s is accepted: %v", f.Where(), f.Check, accepted)
		}
		if f.Bad() != (f.Verdict >= posture.Unknown && f.Port.Number != 22) {
			t.Errorf("%s %s is bad: %v", f.Where(), f.Check, f.Bad())
		}
	}
	for _, bad := range []string{
		strings.Replace(text, "just-in-time-enabled", "just-in-time", 1), strings.Replace(text, "2027-01-01", "soon", 1),
		strings.Replace(text, "owner: ada, ", "", 1), strings.Replace(text, "gone in March", `"a\tb"`, 1),
	} {
		if _, err := posture.ParseSuppressions([]byte(bad)); err == nil {
			t.Errorf("taken:\n%s", bad)
		}
	}
}

func TestSteps(t *testing.T) {
	ssh, dns := survey.Port{Protocol: firewall.TCP, Number: 22}, survey.Port{Protocol: firewall.UDP, Number: 53}
	for id, want := range map[firewall.VMID]string{
		"/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/a(b)/providers/microsoft.compute/virtualmachines/web": "az network nic list-effective-nsg",
		"arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0":                                                      "aws ec2 describe-network-interfaces --region eu-central-1 --filters Name=attachment.instance-id,Values=i-0123456789abcdef0 --query 'NetworkInterfaces[].Groups[].GroupId' --output text",
		web: "nft list ruleset",
	} {
		var text strings.Builder
		for _, s := range append(posture.Audit(inventory.VM{ID: id}, ssh), posture.Remedy(inventory.VM{ID: id}, dns, ssh, ssh)...) {
			text.WriteString(s.Command + "\n")
		}
		quoted := string(id)
		if strings.Contains(quoted, "(") {
			quoted = "'" + quoted + "'"
		}
		for _, w := range []string{want, "sesame explain " + quoted + " 22\n", "sesame enable " + quoted + " --port 22 --port 53/udp --dry-run\n"} {
			if !strings.Contains(text.String(), w) {
				t.Errorf("no %q in\n%s", w, text.String())
			}
		}
	}
	if steps := posture.Remedy(inventory.VM{ID: web}); steps != nil {
		t.Errorf("nothing is to be done by %v", steps)
	}
}

func TestChecksAreDescribed(t *testing.T) {
	seen := map[posture.ID]bool{}
	for _, c := range posture.Checks() {
		if c.Title == "" || c.Rationale == "" || c.Audit == "" || c.Remedy == "" || seen[c.ID] {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
		if id, err := posture.ParseID(string(c.ID)); err != nil || id != c.ID {
			t.Errorf("%s, %v", id, err)
		}
	}
	if posture.CheckOf("nothing").ID != "" {
		t.Error("there is a check called nothing")
	}
}

// An opening is not late before a healthy server would have closed it.
func TestGrace(t *testing.T) {
	e := host(way())
	e.Claims = []posture.Claim{{VM: web, Ports: []posture.ClaimedPort{{Port: survey.Port{Protocol: firewall.TCP, Number: 22}}}}}
	for late, want := range map[time.Duration]posture.Verdict{30 * time.Second: posture.Healthy, 90 * time.Second: posture.Unhealthy} {
		e.Openings = []posture.Opening{{
			Door:    firewall.Door{VM: web, Protocol: firewall.TCP, Port: 22},
			Opening: firewall.Opening{From: netip.MustParsePrefix("198.51.100.0/24"), Until: now.Add(-late)},
		}}
		if f := of(t, e, "", 22); f.Verdict != want {
			t.Errorf("%s late: %s", late, f.Reason())
		}
	}
}

// Machines that share an answer do not share who was let in to one of them.
func TestLetInToOneOfTwo(t *testing.T) {
	e := host(way())
	e.VMs = append(e.VMs, inventory.VM{ID: "host://web-2", Name: "web-2", Paths: []inventory.Path{way()}})
	ssh := posture.ClaimedPort{Port: survey.Port{Protocol: firewall.TCP, Number: 22}, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	e.Claims = []posture.Claim{{VM: web, Policy: "ssh", Ports: []posture.ClaimedPort{ssh}}}
	for f := range posture.Judge(e, posture.Defaults(), now) {
		if want := f.VM == web || f.Port.Number != 22; f.Check.OfPort() && (f.Verdict == posture.Healthy) != want {
			t.Errorf("%s: %s", f.Where(), f.Reason())
		}
	}
}
