package report_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/posture/history"
	"github.com/sesame-access/sesame/internal/posture/report"
	"github.com/sesame-access/sesame/internal/reach"
)

var now = time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)

// estate is a host open to an office at 22, and one that nobody can say anything of.
func estate() posture.Estate {
	l := firewall.Layer{Firewall: "host://web-1", Rules: []firewall.LayerRule{{
		Name: "office", Action: firewall.Allow, Protocol: firewall.TCP, First: 22, Last: 22, From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	}}}
	vm := func(id firewall.VMID, fw firewall.ID) inventory.VM {
		return inventory.VM{ID: id, Name: id.Name(), Paths: []inventory.Path{{Name: "eth0", Hops: []inventory.Hop{{Firewall: fw}}}}}
	}
	return posture.Estate{
		VMs:   []inventory.VM{vm("host://unread", "hub"), vm("host://web-1", "host://web-1")},
		Model: reach.NewModel(map[firewall.ID]firewall.Layer{l.Firewall: l}),
	}
}

func TestOf(t *testing.T) {
	e := estate()
	findings := slices.Collect(posture.Judge(e, posture.Defaults(), now))
	trend, _ := history.Remember(nil, findings, true, now, time.Hour)
	d := report.Of(e, findings, trend, now)
	if len(d.Machines) != 2 || len(d.Findings) != 16 || d.Counts["management-port-open"]["unknown"] != 4 || d.Counts["management-port-open"]["healthy"] != 3 {
		t.Errorf("%d machines, %d findings, %v", len(d.Machines), len(d.Findings), d.Counts)
	}
	text, err := json.Marshal(d.Findings[slices.IndexFunc(d.Findings, func(f report.Finding) bool { return f.Name == "web-1" && f.Port == 22 && f.Who != "" })])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"check":"management-port-open","title":"A management port can be reached without asking","vm":"host://web-1","name":"web-1","port":22,"protocol":"tcp","verdict":"unhealthy","severity":"high","reason":"a partner can come in: 198.51.100.0/24 (256 addresses), such as 198.51.100.0, by web-1: office","who":"a partner","sources":["198.51.100.0/24"],"addresses":"256","witness":"198.51.100.0","firewall":"host://web-1","rule":"office","change":"new"}`
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

// The table has what is bad and nobody accepted, the worst first.
func TestRows(t *testing.T) {
	e := estate()
	findings := slices.Collect(posture.Judge(e, posture.Defaults(), now))
	accepted := []posture.Suppression{{VM: "host://unread", Port: 3389, Reason: "lab", Owner: "ada", Until: now.Add(time.Hour)}}
	posture.Suppress(findings, accepted, now)
	rows := report.Rows(report.Of(e, findings, history.Trend{}, now))
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join(r[:4], " "))
	}
	if want := []string{"high unread 22/tcp unknown", "high unread 5985/tcp unknown", "high unread 5986/tcp unknown", "high web-1 22/tcp management-port-open"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
