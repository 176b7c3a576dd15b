package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/plan"
)

// A cloud is `sesame simulate` in a process of its own.
type cloud struct {
	t   testing.TB
	dir string
	env []string // what its clients need
	url string
}

// simulate starts a simulated cloud, and returns when it has said where it is.
func simulate(t testing.TB, name string, args ...string) *cloud {
	t.Helper()
	c := &cloud{t: t, dir: t.TempDir()}
	file := filepath.Join(c.dir, name+".env")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self)
	cmd.Args = append([]string{asSesame, "simulate", name, "--env-file", file}, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, "the simulator says where it is", func() bool {
		text, err := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			value = strings.Trim(value, "'")
			c.env = append(c.env, name+"="+value)
			if name == "AWS_ENDPOINT_URL" || name == "ARM_ENDPOINT" {
				c.url = value
			}
		}
		return err == nil
	})
	return c
}

// control speaks to the simulator itself; with a form it is somebody's hand.
func (c *cloud) control(path string, hand url.Values) string {
	c.t.Helper()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if hand != nil {
		method, body = http.MethodPost, strings.NewReader(hand.Encode())
	}
	ask, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/_simulator/"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if hand != nil {
		ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	reply, err := http.DefaultClient.Do(ask)
	if err != nil {
		c.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s %v: %s", path, reply.Status, err, text)
	}
	return string(text)
}

// document is what all groups mean.
func (c *cloud) document() string { return c.control("document", nil) }

// ours are the lines of the document that are about an installation.
func (c *cloud) ours(s *server) string {
	return strings.Join(slices.DeleteFunc(slices.Collect(strings.Lines(c.document())), func(line string) bool {
		return !strings.Contains(line, "sesame-"+s.instance()) && !strings.Contains(line, "sesame1."+s.instance())
	}), "")
}

// A box is an instance with a group that it alone wears, which lets everybody in.
type box struct{ name, id string }

// box gives an instance with a public address and one interface a group of its own.
// What leads where is asked of the server.
func (c *cloud) box(s *server, vm api.VM) box {
	c.t.Helper()
	b := box{name: vm.Name, id: vm.ID[strings.LastIndexByte(vm.ID, '/')+1:]}
	var told struct {
		Reach struct{ Spans []struct{ Path string } }
	}
	if err := json.Unmarshal([]byte(s.must(nil, "", "explain", vm.ID, "22", "-o", "json")), &told); err != nil {
		c.t.Fatal(err)
	}
	if one := decode[api.VM](c.t, s.must(nil, "", "vms", vm.ID, "-o", "json")); one.Name != vm.Name || one.Cloud != "aws" || one.Place != "eu-central-1" {
		c.t.Errorf("%s by its id is %+v", vm.Name, one)
	}
	face, _, _ := strings.Cut(told.Reach.Spans[0].Path, " ")
	group := "alone-" + b.id
	_, vpc, _ := strings.Cut(vm.Firewalls[0], ":vpc/")
	c.control("hand", url.Values{"Action": {"CreateSecurityGroup"}, "GroupName": {group}, "GroupDescription": {group}, "VpcId": {vpc}})
	for line := range strings.Lines(c.document()) {
		if id, name, _ := strings.Cut(strings.TrimSpace(line), " "); name == group {
			c.control("hand", url.Values{
				"Action": {"AuthorizeSecurityGroupIngress"}, "GroupId": {id}, "IpPermissions.1.IpProtocol": {"tcp"},
				"IpPermissions.1.FromPort": {"20"}, "IpPermissions.1.ToPort": {"25"},
				"IpPermissions.1.IpRanges.1.CidrIp": {"0.0.0.0/0"}, "IpPermissions.1.IpRanges.1.Description": {"everybody, for years"},
			})
			c.control("hand", url.Values{"Action": {"ModifyNetworkInterfaceAttribute"}, "NetworkInterfaceId": {face}, "SecurityGroupId.1": {id}})
		}
	}
	return b
}

// wants fails unless the simulated network takes connections to a port of an
// instance from exactly those of the sources.
func (c *cloud) wants(b box, port int, sources ...string) {
	c.t.Helper()
	for _, from := range []string{"203.0.113.5", "203.0.113.6", "198.51.100.4"} {
		q := url.Values{"from": {from}, "instance": {b.id}, "port": {fmt.Sprint(port)}}
		verdict := c.control("connect?"+q.Encode(), nil)
		if in := strings.HasPrefix(verdict, "delivered: "); in != slices.Contains(sources, from) {
			c.t.Errorf("%s:%d from %s: %s", b.name, port, from, verdict)
		}
	}
}

// account has a server protect the whole account.
func account(cfg *config.Config) {
	cfg.AWS.Accounts = []config.AWSAccount{{Name: "live", Regions: []string{"eu-central-1"}}}
	cfg.AWS.Resync = 2 * time.Second
}

// installation is a server with a database of its own that protects something.
func (c *cloud) installation(name string, protect func(*config.Config)) *server {
	c.t.Helper()
	s := &server{bench: &bench{dir: c.dir}, t: c.t, config: filepath.Join(c.dir, name+".yaml"), cfg: config.Default(), env: c.env}
	s.cfg.Listen = []netip.AddrPort{freeAddress(c.t)}
	s.cfg.StateDir, s.cfg.Socket = filepath.Join(c.dir, name), filepath.Join(c.dir, name+".sock")
	protect(&s.cfg)
	if err := os.WriteFile(s.config, config.Format(s.cfg), 0o600); err != nil {
		c.t.Fatal(err)
	}
	s.start()
	return s
}

// instance is what the server calls itself in its marks.
func (s *server) instance() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.cfg.StateDir, "marks.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, is := strings.CutPrefix(strings.TrimSpace(line), "instance "); is {
			return name
		}
	}
	s.t.Fatal("the marks say nothing of an instance")
	return ""
}

// admit asks for access from a source, and returns the grant.
func (s *server) admit(b box, from, span string) api.Grant {
	s.t.Helper()
	return decode[api.Request](s.t, s.must(nil, "", "open", b.name, "--from", from, "--for", span, "-o", "json")).Grants[0]
}

// ruleInCode is what a rule in Terraform's code begins with.
const ruleInCode = `resource "aws_vpc_security_group_ingress_rule"`

// TestEndToEndAWS: two installations share a simulated account. Each locks an
// instance and opens it; both are killed, one comes back, the other one's grant is
// ended by a sweep alone. In the end everything is as it was.
func TestEndToEndAWS(t *testing.T) {
	if testing.Short() {
		t.Skip("a grant lasts a minute at least, and a sweep leaves it one more")
	}
	t.Parallel()
	c := simulate(t, "aws", "--instances", "8")
	a, b := c.installation("a", account), c.installation("b", account)
	var boxes []box
	for _, vm := range a.vms() {
		public := netip.MustParsePrefix("198.18.0.0/15")
		if len(boxes) < 2 && len(vm.Addresses) == 2 && public.Contains(netip.MustParseAddr(vm.Addresses[1])) {
			boxes = append(boxes, c.box(a, vm))
		}
	}
	if len(boxes) < 2 {
		t.Fatalf("only %v can be reached from outside", boxes)
	}
	one, two := boxes[0], boxes[1]
	before := c.document()
	everybody := []string{"203.0.113.5", "203.0.113.6", "198.51.100.4"}
	c.wants(one, 22, everybody...)

	a.must(nil, "", "enable", one.name, "--exempt", "198.51.100.4", "--yes")
	b.must(nil, "", "enable", two.name, "--yes")
	c.wants(one, 22, "198.51.100.4")
	c.wants(two, 22)
	c.wants(one, 21, everybody...) // the rest of the rule that had 22 in it
	c.wants(two, 25, everybody...)

	said := a.must(nil, "", "export", "terraform", one.name)
	for _, line := range []string{"ignore_changes = [vpc_security_group_ids]", "ignore_changes = [ingress]", "until `sesame disable`: 20-25/tcp from 0.0.0.0/0"} {
		if !strings.Contains(said, line) {
			t.Errorf("Terraform is not told %s:\n%s", line, said)
		}
	}
	if strings.Contains(said, ruleInCode) { // of its group nothing stands but what we kept
		t.Errorf("Terraform is told of rules of ours:\n%s", said)
	}

	short, doomed := a.admit(one, "203.0.113.5", "1m"), b.admit(two, "203.0.113.6", "1m")
	kept := b.admit(two, "203.0.113.5", "1h")
	c.wants(one, 22, "203.0.113.5", "198.51.100.4")
	c.wants(two, 22, "203.0.113.5", "203.0.113.6")
	ofB := c.ours(b)

	a.end(syscall.SIGKILL)
	b.end(syscall.SIGKILL)
	c.wants(one, 22, "203.0.113.5", "198.51.100.4") // nobody is there to close it, and it is not over
	a.start()
	until(short.Deadline.Add(-2 * time.Second))
	c.wants(one, 22, "203.0.113.5", "198.51.100.4")
	eventually(t, "the first grant is closed", func() bool {
		return strings.Contains(a.must(nil, "", "activity"), "grant.closed")
	})
	if late := time.Since(short.Deadline.Time); late > 10*time.Second || late < -time.Second {
		t.Errorf("closed %v after the deadline", late)
	}
	c.wants(one, 22, "198.51.100.4")

	a.must(nil, "", "disable", one.name, "--port", "22", "--yes", "--restore-open")
	eventually(t, "the rule is back", func() bool { return !strings.Contains(c.document(), a.instance()) })
	c.wants(one, 22, everybody...)
	if diff := cmp.Diff(ofB, c.ours(b)); ofB == "" || diff != "" {
		t.Errorf("what one installation did changed the other's rules:\n%s", diff)
	}

	c.sweptAlone(b, two, doomed, kept)

	b.start()
	b.must(nil, "", "disable", two.name, "--port", "22", "--yes", "--restore-open")
	eventually(t, "everything of ours is gone", func() bool { return !strings.Contains(c.document(), "sesame") })
	if diff := cmp.Diff(before, c.document()); diff != "" {
		t.Errorf("not what was:\n%s", diff)
	}
	c.wants(two, 22, everybody...)
}

// sweptAlone: without a server the grant that is over is closed by a sweep, after
// its grace, and nothing else.
func (c *cloud) sweptAlone(s *server, b box, doomed, kept api.Grant) {
	c.t.Helper()
	held := c.document()
	if out := s.must(nil, "", "sweep", "aws", "--config", s.config); !strings.Contains(out, "0 openings closed") {
		c.t.Errorf("within the grace a sweep says %s", out)
	}
	until(doomed.Deadline.Add(plan.SweepGrace + time.Second))
	c.wants(b, 22, "203.0.113.5", "203.0.113.6")
	if out := s.must(nil, "", "sweep", "aws", "--config", s.config, "--dry-run"); !strings.Contains(out, "1 opening would be closed") {
		c.t.Errorf("a dry run says %s", out)
	}
	if diff := cmp.Diff(held, c.document()); diff != "" {
		c.t.Errorf("a dry run wrote:\n%s", diff)
	}
	out := s.must(nil, "", "sweep", "aws", "--config", s.config, "-o", "json")
	if strings.Count(out, `"op":"close"`)+strings.Count(out, `"op": "close"`) != 1 {
		c.t.Errorf("the sweep says %s", out)
	}
	c.wants(b, 22, "203.0.113.5")
	left := strings.Join(slices.DeleteFunc(slices.Collect(strings.Lines(held)), func(line string) bool { return strings.Contains(line, doomed.ID) }), "")
	if diff := cmp.Diff(left, c.document()); diff != "" || !strings.Contains(left, kept.ID) {
		c.t.Errorf("the sweep did more than to close one opening:\n%s", diff)
	}
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t testing.TB) netip.AddrPort {
	t.Helper()
	a, err := freeLoopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}
