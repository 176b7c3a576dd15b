package scan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/cli/scan"
	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/posture/report"
)

// A ground is both clouds, simulated, and a configuration for them.
type ground struct {
	cfg   config.Config
	azure *arm.Simulator
	aws   *ec2.Simulator
	web   string // the id of a machine whose ssh is open to everybody
	group string // the id of its group
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{azure: arm.New(arm.Config{Secret: "sesame"}), cfg: config.Default()}
	must := func(id string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	b := g.azure.Builder("rg")
	g.group = must(b.NSG("web-nsg", fleet.Rule{Name: "ssh", Priority: 300, Ports: []string{"22"}}, fleet.Rule{Name: "rest", Priority: 4096, Access: "Deny", Protocol: "*"}))
	network := must(b.Network("net", "10.0.0.0/16", fleet.Subnet{Name: "default", Prefix: "10.0.0.0/16"}))
	nic := must(b.NIC("web-nic", g.group, fleet.IP{Subnet: network + "/subnets/default", Address: "10.0.0.4", Public: must(b.PublicIP("ip", "20.0.0.1", "Standard"))}))
	g.web = strings.ToLower(must(b.VM("web", "Linux", map[string]string{"env": "prod"}, nic)))
	tls := httptest.NewTLSServer(g.azure)
	t.Cleanup(tls.Close)
	g.cfg.StateDir = t.TempDir()
	ca := filepath.Join(g.cfg.StateDir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IDENTITY_ENDPOINT", tls.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "sesame")
	g.cfg.Azure.Endpoint, g.cfg.Azure.CAFile, g.cfg.Azure.Subscriptions = tls.URL, ca, []string{arm.SubscriptionID}

	var err error
	if g.aws, err = ec2.New(ec2.Config{Seed: 3, Unthrottled: true}); err != nil {
		t.Fatal(err)
	}
	if err := g.aws.Fleet(ec2.DefaultRegion, 6, 3); err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(g.aws)
	t.Cleanup(plain.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", ec2.DefaultKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", ec2.DefaultSecret)
	t.Setenv("AWS_REGION", ec2.DefaultRegion)
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	g.cfg.AWS.Endpoint, g.cfg.AWS.Accounts = plain.URL, []config.AWSAccount{{Name: "live"}}
	return g
}

// run scans, and returns what was said where.
func (g *ground) run(t *testing.T, format output.Format, args ...string) (out, said string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := &console.Console{Out: &stdout, Err: &stderr, Format: format}
	cmd := scan.Command(c, func(context.Context, string) (config.Config, error) { return g.cfg, nil })
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// document scans, and reads what came of it.
func (g *ground) document(t *testing.T, args ...string) (report.Document, error) {
	t.Helper()
	out, _, err := g.run(t, output.JSON, args...)
	var d report.Document
	if broken := json.Unmarshal([]byte(out), &d); broken != nil {
		t.Fatalf("%v, %v: %s", broken, err, out)
	}
	return d, err
}

func (g *ground) port(t *testing.T, d report.Document, port uint16) report.Finding {
	t.Helper()
	for _, f := range d.Findings {
		if f.VM == g.web && f.Port == port && f.Check != "just-in-time-enabled" {
			return f
		}
	}
	t.Fatalf("nothing is said of %d", port)
	return report.Finding{}
}

// Without a server and a policy, every machine of both clouds gets its verdicts.
func TestScan(t *testing.T) {
	g := newGround(t)
	d, err := g.document(t, "--raise", "env=prod")
	if !errors.Is(err, console.ErrFound) || errkind.Of(err) != errkind.Conflict {
		t.Errorf("something is open, and the error is %v", err)
	}
	if len(d.Machines) != 7 || len(d.Findings) != 7*4*2 || len(d.Unread) != 0 {
		t.Errorf("%d machines, %d findings, unread %v", len(d.Machines), len(d.Findings), d.Unread)
	}
	ssh := g.port(t, d, 22)
	if ssh.Verdict != "unhealthy" || ssh.Severity != "critical" || ssh.Who != "the Internet" || ssh.Witness != "1.0.0.0" || ssh.Rule != `300 "ssh"` || ssh.Firewall != strings.ToLower(g.group) {
		t.Errorf("%+v", ssh)
	}
	if rdp := g.port(t, d, 3389); rdp.Verdict != "healthy" || rdp.Severity != "none" {
		t.Errorf("%+v", rdp)
	}
	for _, m := range d.Machines {
		if m.VM == g.web && (m.Verdict != "unhealthy" || len(m.Remedy) != 3 || m.Remedy[1].Command != "sesame enable "+g.web+" --port 22") {
			t.Errorf("%+v", m)
		}
	}
	out, _, err := g.run(t, output.Table)
	if !errors.Is(err, console.ErrFound) || !strings.Contains(out, "the Internet can come in") || !strings.Contains(out, "\n7 machines: ") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := g.run(t, output.Table, "--fail-on", "never"); err != nil {
		t.Error(err)
	}
	if d, err := g.document(t, "--port", "443", "--port", "53/udp", "--fail-on", "never"); err != nil || g.port(t, d, 443).Verdict != "healthy" || g.port(t, d, 53).Protocol != "udp" {
		t.Errorf("%v", err)
	}
}

// What somebody accepted is said, and fails nothing; what was fixed and is back is
// said to be.
func TestAcceptedAndRemembered(t *testing.T) {
	g := newGround(t)
	g.cfg.AWS.Accounts = nil
	dir := t.TempDir()
	accepted, past := filepath.Join(dir, "accepted.yaml"), filepath.Join(dir, "scans.json")
	text := "suppressions:\n  - {vm: " + g.web + ", reason: it is going away, owner: ada, until: 2999-01-01}\n  - {vm: host://gone, reason: none, owner: ada, until: 2020-01-01}\n"
	if err := os.WriteFile(accepted, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := g.document(t, "--suppress", accepted)
	if ssh := g.port(t, d, 22); err != nil || ssh.Verdict != "unhealthy" || ssh.Accepted == nil || ssh.Accepted.Owner != "ada" || len(d.Ended) != 1 {
		t.Errorf("%v, %+v, ended %v", err, ssh, d.Ended)
	}
	change := func(want string) {
		t.Helper()
		d, err := g.document(t, "--history", past, "--fail-on", "never")
		if ssh := g.port(t, d, 22); err != nil || ssh.Change != want {
			t.Errorf("%v, change %q, want %q", err, ssh.Change, want)
		}
	}
	rule := g.group + "/securityRules/ssh"
	document, err := g.azure.Document(rule)
	if err != nil {
		t.Fatal(err)
	}
	change("new")
	change("")
	if err := g.azure.Delete(rule); err != nil {
		t.Fatal(err)
	}
	change("fixed")
	if err := g.azure.Put(rule, string(document)); err != nil {
		t.Fatal(err)
	}
	change("regressed")
}

// What cannot be read is said, keeps nobody from the rest, and is no success.
func TestUnread(t *testing.T) {
	g := newGround(t)
	g.cfg.AWS.Endpoint = "http://127.0.0.1:1"
	d, err := g.document(t, "--fail-on", "never")
	if errkind.Of(err) != errkind.Unavailable || len(d.Machines) != 1 || len(d.Unread) != 1 || !strings.Contains(d.Unread[0], "AWS account live") {
		t.Errorf("%v, %d machines, unread %v", err, len(d.Machines), d.Unread)
	}
	if out, said, _ := g.run(t, output.Table, "--fail-on", "never"); strings.Contains(out, "AWS") || !strings.Contains(said, "not read: AWS account live") {
		t.Errorf("%s\n%s", out, said)
	}
}

func TestMakesNoSense(t *testing.T) {
	g := newGround(t)
	for _, args := range [][]string{
		{"--fail-on", "bad"},
		{"--raise", "prod"},
		{"--port", "ssh"},
		{"--port", "22/icmp"},
		{"--region", "eu-central-1"},
		{"--aws", "--config", "sesame.yaml"},
		{"--subscription", "production"},
		{"--suppress", filepath.Join(t.TempDir(), "nothing")},
		{"--history", t.TempDir()},
	} {
		if out, _, err := g.run(t, output.JSON, args...); errkind.Of(err) != errkind.Invalid || out != "" {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	g.cfg.Azure.Subscriptions, g.cfg.AWS.Accounts = nil, nil
	if _, _, err := g.run(t, output.JSON); errkind.Of(err) != errkind.Invalid || !strings.Contains(console.HintOf(err), "--subscription") {
		t.Errorf("nothing to scan: %v", err)
	}
}
