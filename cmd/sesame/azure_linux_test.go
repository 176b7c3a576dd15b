package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/plan"
)

// A tenant is a simulated Azure, and two machines with public addresses in one
// subnet, whose group lets everybody in to ssh.
type tenant struct {
	*cloud

	client  *http.Client
	builder fleet.Builder
	group   string // the id of the subnet's
	names   []string
}

// newTenant furnishes a simulated subscription.
func newTenant(t testing.TB) *tenant {
	t.Helper()
	n := &tenant{cloud: simulate(t, "azure", "--vms", "3", "--latency", "300ms"), names: []string{"box-1", "box-2"}}
	pem, err := os.ReadFile(n.variable("ARM_CA"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	n.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	t.Cleanup(n.client.CloseIdleConnections)
	n.builder = fleet.Builder{Ground: n, Subscription: arm.SubscriptionID, Group: "boxes", Location: "westeurope"}
	must := func(id string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	n.group = must(n.builder.NSG(
		"boxes",
		fleet.Rule{Name: "for-years", Priority: 300, Ports: []string{"20-25"}, Description: "everybody, for years"},
		fleet.Rule{Name: "deny-all", Priority: 4096, Access: "Deny", Protocol: "*"},
	))
	network := must(n.builder.Network("boxes", "10.77.0.0/24", fleet.Subnet{Name: "default", Prefix: "10.77.0.0/24", Group: n.group}))
	for i, name := range n.names {
		public := must(n.builder.PublicIP(name+"-ip", fmt.Sprintf("198.18.0.%d", 4+i), "Standard"))
		nic := must(n.builder.NIC(name+"-nic", "", fleet.IP{Subnet: network + "/subnets/default", Address: fmt.Sprintf("10.77.0.%d", 4+i), Public: public}))
		must(n.builder.VM(name, "Linux", nil, nic))
	}
	return n
}

// variable is one of those that the simulator said.
func (n *tenant) variable(name string) string {
	for _, e := range n.env {
		if value, is := strings.CutPrefix(e, name+"="); is {
			return value
		}
	}
	n.t.Fatalf("the simulator says nothing of %s", name)
	return ""
}

// admin speaks to the simulator itself; with a body it is somebody's hand.
func (n *tenant) admin(path string, query url.Values, body any) string {
	n.t.Helper()
	method, text := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			n.t.Fatal(err)
		}
		method = http.MethodPost
	}
	ask, err := http.NewRequestWithContext(n.t.Context(), method, n.url+arm.AdminPath+path+"?"+query.Encode(), bytes.NewReader(text))
	if err != nil {
		n.t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer "+n.variable("ARM_TOKEN"))
	reply, err := n.client.Do(ask)
	if err != nil {
		n.t.Fatal(err)
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		n.t.Fatalf("%s: %s %v: %s", path, reply.Status, err, said)
	}
	return string(said)
}

// An edit is what somebody does by hand.
type edit struct {
	Method, ID string
	Body       json.RawMessage `json:",omitempty"`
}

// Put implements [fleet.Ground].
func (n *tenant) Put(id, document string) error {
	n.admin("edits", nil, edit{http.MethodPut, id, json.RawMessage(document)})
	return nil
}

// document is what the group says, byte for byte.
func (n *tenant) document() string { return n.admin("document", url.Values{"id": {n.group}}, nil) }

// rules are those of the group that an installation owns, or that nobody does.
func (n *tenant) rules(of string) string {
	n.t.Helper()
	var d struct {
		Properties struct{ SecurityRules []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(n.document()), &d); err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, r := range d.Properties.SecurityRules {
		var named struct{ Name string }
		if err := json.Unmarshal(r, &named); err != nil {
			n.t.Fatal(err)
		}
		if strings.HasPrefix(named.Name, of) == (of != "") && strings.HasPrefix(named.Name, "sesame-") == (of != "") {
			out = append(out, string(r))
		}
	}
	return strings.Join(out, "\n")
}

// of is the prefix of an installation's rules.
func (n *tenant) of(s *server) string { return "sesame-" + s.instance() + "-" }

// emergency adds a rule by hand, or takes it away.
func (n *tenant) emergency(there bool) {
	n.t.Helper()
	id := n.group + "/securityRules/emergency"
	if !there {
		n.admin("edits", nil, edit{Method: http.MethodDelete, ID: id})
		return
	}
	n.Put(id, `{"name":"emergency","properties":{"description":"the pager rang","protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"3389",`+
		`"sourceAddressPrefix":"198.51.100.4","destinationAddressPrefix":"*","access":"Allow","priority":250,"direction":"Inbound","x-by":{"n":1e3}}}`)
}

// delivered reports whether the simulated network takes a connection, and what
// decides.
func (n *tenant) delivered(name string, port int, from string) (in bool, by string) {
	n.t.Helper()
	var verdict struct{ Outcome, By string }
	text := n.admin("connect", url.Values{"client": {from}, "vm": {n.builder.VMID(name)}, "port": {fmt.Sprint(port)}}, nil)
	if err := json.Unmarshal([]byte(text), &verdict); err != nil {
		n.t.Fatal(err)
	}
	return verdict.Outcome == "delivered", verdict.By
}

// wants fails unless the simulated network takes connections to a port of a machine
// from exactly those of the sources.
func (n *tenant) wants(name string, port int, sources ...string) {
	n.t.Helper()
	for _, from := range []string{"203.0.113.5", "203.0.113.6", "198.51.100.4"} {
		if in, by := n.delivered(name, port, from); in != slices.Contains(sources, from) {
			n.t.Errorf("%s:%d from %s: %s", name, port, from, by)
		}
	}
}

// protect has a server protect the subscription.
func (n *tenant) protect(cfg *config.Config) {
	cfg.Azure.Subscriptions = []string{n.variable("AZURE_SUBSCRIPTION_ID")}
	cfg.Azure.Endpoint, cfg.Azure.CAFile = n.url, n.variable("ARM_CA")
	cfg.Azure.Resync = 2 * time.Second
}

// TestEndToEndAzure: two installations share a simulated subscription, and there one
// group. Each locks a machine and opens it; both are killed, somebody adds a rule,
// one comes back, the other one's grant is ended by a sweep alone. In the end the
// group says what it said before, and what somebody added.
func TestEndToEndAzure(t *testing.T) {
	if testing.Short() {
		t.Skip("a grant lasts a minute at least, and a sweep leaves it one more")
	}
	t.Parallel()
	n := newTenant(t)
	n.emergency(true)
	after := n.document()
	n.emergency(false)
	before, theirs := n.document(), n.rules("")
	a, b := n.installation("a", n.protect), n.installation("b", n.protect)
	one, two := box{name: n.names[0]}, box{name: n.names[1]}
	everybody := []string{"203.0.113.5", "203.0.113.6", "198.51.100.4"}
	for _, s := range []*server{a, b} {
		if vm := decode[api.VM](t, s.must(nil, "", "vms", one.name, "-o", "json")); vm.Cloud != "azure" || vm.Account != arm.SubscriptionID {
			t.Errorf("%s is %+v", one.name, vm)
		}
	}
	n.wants(one.name, 22, everybody...)

	a.must(nil, "", "enable", one.name, "--exempt", "198.51.100.4", "--yes")
	b.must(nil, "", "enable", two.name, "--yes")
	n.wants(one.name, 22, "198.51.100.4")
	n.wants(two.name, 22)
	n.wants(one.name, 21, everybody...)
	if _, errs, code := a.run(nil, "", "open", one.name, "--from", "10.99.0.1", "--for", "1m"); code != 2 || !strings.Contains(errs, "no way leads") {
		t.Errorf("who cannot come there is told %d: %s", code, errs)
	}

	said := a.must(nil, "", "export", "terraform", one.name)
	if !strings.Contains(said, "ignore_changes = [security_rule]") || !strings.Contains(said, `"for-years"`) || !strings.Contains(said, `"deny-all"`) || strings.Contains(strings.ToLower(said), "sesame-") {
		t.Errorf("Terraform is told:\n%s", said)
	}

	short, doomed := a.admit(one, "203.0.113.5", "1m"), b.admit(two, "203.0.113.6", "1m")
	kept := b.admit(two, "203.0.113.5", "1h")
	n.wants(one.name, 22, "203.0.113.5", "198.51.100.4")
	n.wants(two.name, 22, "203.0.113.5", "203.0.113.6")

	a.end(syscall.SIGKILL)
	b.end(syscall.SIGKILL)
	ofB := n.rules(n.of(b))
	n.emergency(true)
	n.wants(one.name, 22, "203.0.113.5", "198.51.100.4") // nobody is there to close it, and it is not over
	a.start()
	until(short.Deadline.Add(-2 * time.Second))
	n.wants(one.name, 22, "203.0.113.5", "198.51.100.4")
	eventually(t, "the first grant is closed", func() bool {
		return strings.Contains(a.must(nil, "", "activity"), "grant.closed")
	})
	if late := time.Since(short.Deadline.Time); late > 10*time.Second || late < -time.Second {
		t.Errorf("closed %v after the deadline", late)
	}
	n.wants(one.name, 22, "198.51.100.4")
	a.must(nil, "", "disable", one.name, "--port", "22", "--yes")
	eventually(t, "the lock is gone", func() bool { // a document says so before packets do
		in, _ := n.delivered(one.name, 22, "203.0.113.6")
		return in && n.rules(n.of(a)) == ""
	})
	n.wants(one.name, 22, everybody...)
	if diff := cmp.Diff(ofB, n.rules(n.of(b))); ofB == "" || diff != "" {
		t.Errorf("what one installation did changed the other's rules:\n%s", diff)
	}

	n.sweptAlone(b, two, doomed, kept)

	b.start()
	b.must(nil, "", "disable", two.name, "--port", "22", "--yes")
	eventually(t, "everything of ours is gone", func() bool { return !strings.Contains(n.document(), "sesame") })
	if diff := cmp.Diff(after, n.document()); diff != "" {
		t.Errorf("not what was, and what somebody added:\n%s", diff)
	}
	n.emergency(false)
	if n.document() != before || n.rules("") != theirs {
		t.Errorf("it was\n%s\nand is\n%s", before, n.document())
	}
	n.wants(two.name, 22, everybody...)
}

// sweptAlone: without a server the grant that is over is closed by a sweep, after
// its grace, and nothing else.
func (n *tenant) sweptAlone(s *server, b box, doomed, kept api.Grant) {
	n.t.Helper()
	held := n.document()
	if out := s.must(nil, "", "sweep", "azure", "--config", s.config); !strings.Contains(out, "0 openings closed") {
		n.t.Errorf("within the grace a sweep says %s", out)
	}
	until(doomed.Deadline.Add(plan.SweepGrace + time.Second))
	n.wants(b.name, 22, "203.0.113.5", "203.0.113.6")
	if out := s.must(nil, "", "sweep", "azure", "--config", s.config, "--dry-run"); !strings.Contains(out, "1 opening would be closed") {
		n.t.Errorf("a dry run says %s", out)
	}
	if diff := cmp.Diff(held, n.document()); diff != "" {
		n.t.Errorf("what does nothing wrote:\n%s", diff)
	}
	ours := strings.Split(n.rules(n.of(s)), "\n")
	out := s.must(nil, "", "sweep", "azure", "--config", s.config, "-o", "json")
	if strings.Count(out, `"op":"close"`)+strings.Count(out, `"op": "close"`) != 1 {
		n.t.Errorf("the sweep says %s", out)
	}
	n.wants(b.name, 22, "203.0.113.5")
	of := func(g api.Grant) func(string) bool { return func(r string) bool { return strings.Contains(r, g.ID) } }
	left := slices.DeleteFunc(slices.Clone(ours), of(doomed))
	if len(left) != len(ours)-1 || !slices.ContainsFunc(left, of(kept)) {
		n.t.Errorf("the rules name their grants otherwise:\n%s", ours)
	}
	if diff := cmp.Diff(left, strings.Split(n.rules(n.of(s)), "\n")); diff != "" {
		n.t.Errorf("the sweep did more than to close one opening:\n%s", diff)
	}
}
