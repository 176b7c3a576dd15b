package azure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	sdkarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

var keys = firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}

// A token is an identity that has one.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// A ground is a simulated subscription with machines behind one network security
// group, and what happened to it.
type ground struct {
	sim      *arm.Simulator
	provider *azure.Provider
	nsg      firewall.ID
	named    string // the group's id as Azure writes it
	ssh, rdp firewall.Door
	ssh2     firewall.Door
	machines []machine
	complete bool

	mu      sync.Mutex
	past    []*packet.World
	sent    []sent
	strange []resource.Difference
}

// A machine is one with an address of each family.
type machine struct {
	id      firewall.VMID
	configs []string
	to      []netip.Addr
}

// A sent call is what somebody saw on the wire.
type sent struct {
	method, path, ifMatch, token string
	status                       int
}

func (s sent) write() bool { return s.method != http.MethodGet }

// everything is a group that the years have filled.
func everything() []fleet.Rule {
	return []fleet.Rule{
		{Name: "web", Priority: 200, Ports: []string{"80"}, Protocol: "*"},
		{Name: "old-admin", Priority: 300, Ports: []string{"20-30"}, Protocol: "tcp"},
		{Name: "office", Priority: 310, Protocol: "*", From: []string{"192.0.2.0/24"}},
		{Name: "outbound", Priority: 199, Direction: "Outbound", Access: "Deny", Protocol: "*"},
		{Name: "anything", Priority: 400, Protocol: "*"},
		{Name: "deny-all", Priority: 4096, Access: "Deny", Protocol: "*"},
	}
}

func newGround(t testing.TB, c arm.Config, machines int, rules ...fleet.Rule) *ground {
	t.Helper()
	g := &ground{sim: arm.New(c), complete: true}
	b := g.sim.Builder("rg")
	must := func(id string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	g.named = must(b.NSG("web-NSG", rules...))
	g.nsg = firewall.ID(strings.ToLower(g.named))
	network := b.ID("virtualNetworks", "net")
	if err := g.sim.Put(network, `{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16","fd00::/64"]},
		"subnets":[{"name":"default","properties":{"addressPrefixes":["10.0.0.0/16","fd00::/64"]}}],"virtualNetworkPeerings":[]}}`); err != nil {
		t.Fatal(err)
	}
	for i := range machines {
		m := machine{to: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(4 + i)}), netip.MustParseAddr(fmt.Sprintf("fd00::%x", 4+i))}}
		if machines > 2 { // a crowd, which has IPv4 only
			m.to = m.to[:1]
		}
		var ips []fleet.IP
		for n, to := range m.to {
			ips = append(ips, fleet.IP{Subnet: network + "/subnets/default", Address: to.String()})
			m.configs = append(m.configs, fmt.Sprintf("%s/ipConfigurations/ipconfig%d", b.ID("networkInterfaces", fmt.Sprintf("nic-%d", i)), n+1))
		}
		nic := must(b.NIC(fmt.Sprintf("nic-%d", i), g.named, ips...))
		m.id = firewall.VMID(strings.ToLower(must(b.VM(fmt.Sprintf("vm-%d", i), "Linux", nil, nic))))
		g.machines = append(g.machines, m)
	}
	g.ssh = firewall.Door{VM: g.machines[0].id, Protocol: firewall.TCP, Port: 22}
	g.rdp = firewall.Door{VM: g.machines[0].id, Protocol: firewall.TCP, Port: 3389}
	g.ssh2 = firewall.Door{VM: g.machines[min(1, machines-1)].id, Protocol: firewall.TCP, Port: 22}
	g.provider = azure.New(azure.Config{
		Keys: keys, Clients: everybody(g.client(t, g.sim.Token())), Surveyor: g,
		Strange: func(_ firewall.ID, d []resource.Difference) { g.strange = append(g.strange, d...) },
	})
	return g
}

func everybody(c *sdkarm.Client) azure.Clients {
	return azure.Clients{Reader: c, Opener: c, Closer: c, Locker: c}
}

// options are those of clients that call the simulator without a network.
func options(through http.RoundTripper) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: "https://arm.example", Audience: "https://management.azure.com/"},
		}},
		Transport: &http.Client{Transport: through},
	}
}

func (g *ground) client(t testing.TB, as string) *sdkarm.Client {
	t.Helper()
	c, err := azure.NewClient(token(as), options(g))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// estate reads the simulated subscription.
func (g *ground) estate(t testing.TB) azure.Surveyor {
	t.Helper()
	r, err := estate.New(estate.Config{
		Credential: token(g.sim.Token()), Options: sdkarm.ClientOptions{ClientOptions: options(g)}, Subscriptions: []string{arm.SubscriptionID},
	})
	if err != nil {
		t.Fatal(err)
	}
	return azure.Estate{Reader: r}
}

// RoundTrip implements [http.RoundTripper]: it takes down calls, and what packets
// meet after them.
func (g *ground) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := arm.InProcess(g.sim).RoundTrip(r)
	s := sent{method: r.Method, path: r.URL.Path, ifMatch: r.Header.Get("If-Match"), token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	if err == nil {
		s.status = answer.StatusCode
	}
	world, broken := g.sim.Ground()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent = append(g.sent, s)
	if n := len(g.past); broken == nil && (n == 0 || g.past[n-1] != world) {
		g.past = append(g.past, world)
	}
	return answer, err
}

// calls returns the calls since the last time that are like that.
func (g *ground) calls(like func(sent) bool) []sent {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.DeleteFunc(g.sent, func(s sent) bool { return !like(s) })
	g.sent = nil
	return out
}

// Survey implements [azure.Surveyor].
func (g *ground) Survey(ctx context.Context) (azure.Survey, error) {
	view := &rule.View{VirtualNetwork: rule.Set{Sure: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/64")}}, Known: true}
	s := azure.Survey{Complete: g.complete, Layers: map[firewall.ID]firewall.Layer{"/wall": {Firewall: "/wall", Default: firewall.Allow}}}
	for _, m := range g.machines {
		v := inventory.VM{ID: m.id, Name: m.id.Name(), Addresses: m.to}
		for i, to := range m.to {
			v.Paths = append(v.Paths, inventory.Path{Name: m.configs[i], To: []netip.Addr{to}, Hops: []inventory.Hop{{Firewall: g.nsg}}})
		}
		s.VMs = append(s.VMs, v)
	}
	slices.SortFunc(s.VMs, func(a, b inventory.VM) int { return strings.Compare(string(a.ID), string(b.ID)) })
	s.Around = func(group *resource.Group) dialect.Reading {
		r := dialect.Reading{Group: group}
		for _, m := range g.machines {
			r.Machines = append(r.Machines, m.id)
			for i, to := range m.to {
				r.Attachments = append(r.Attachments, dialect.Attachment{ID: m.configs[i], VM: m.id, Addresses: []netip.Addr{to}, View: view, Interface: group})
			}
		}
		return r
	}
	return s, ctx.Err()
}

// admits is a packet test that asks neither the reach engine nor the provider.
func (g *ground) admits(w *packet.World, d firewall.Door, from netip.Addr) bool {
	for _, m := range g.machines {
		for i, to := range m.to {
			p := packet.Packet{From: from, FromPort: 50000, To: to, ToPort: d.Port, Protocol: packet.Protocol(d.Protocol)}
			if m.id == d.VM && to.Is4() == from.Is4() && w.Arrive(p, m.configs[i]).Outcome == packet.Delivered {
				return true
			}
		}
	}
	return false
}

func (g *ground) now(t testing.TB) *packet.World {
	t.Helper()
	w, err := g.sim.Ground()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// rules returns the rules of the group, byte for byte.
func (g *ground) rules(t testing.TB) []string {
	t.Helper()
	text, err := g.sim.Document(g.named)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Properties struct{ SecurityRules []json.RawMessage }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range d.Properties.SecurityRules {
		out = append(out, string(r))
	}
	return out
}

func nameIn(text string) string {
	var d struct{ Name string }
	_ = json.Unmarshal([]byte(text), &d)
	return d.Name
}

// foreign returns the rules that are not ours.
func (g *ground) foreign(t testing.TB) string {
	t.Helper()
	return strings.Join(slices.DeleteFunc(g.rules(t), func(r string) bool { return strings.HasPrefix(nameIn(r), "sesame-main-") }), "\n")
}

// put writes a rule by hand.
func (g *ground) put(t testing.TB, text string) {
	t.Helper()
	if err := g.sim.Put(g.named+"/securityRules/"+nameIn(text), text); err != nil {
		t.Fatal(err)
	}
}

func (g *ground) remove(t testing.TB, name string) {
	t.Helper()
	if err := g.sim.Delete(g.named + "/securityRules/" + name); err != nil {
		t.Fatal(err)
	}
}

// byHand returns a rule with other properties.
func byHand(t testing.TB, text string, properties ...string) string {
	t.Helper()
	var d map[string]json.RawMessage
	var p map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(d["properties"], &p); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(properties); i += 2 {
		p[properties[i]] = json.RawMessage(properties[i+1])
	}
	delete(p, "provisioningState")
	inner, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(map[string]json.RawMessage{"name": d["name"], "properties": inner})
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}

// pass observes, compiles and applies.
func (g *ground) pass(ctx context.Context, want firewall.Wants) (plan.Plan, error) {
	s, err := g.provider.Observe(ctx, g.nsg, nil)
	if err != nil {
		return plan.Plan{}, err
	}
	p, err := g.provider.Compile(s, want, nil)
	if err != nil {
		return plan.Plan{}, err
	}
	return p, g.provider.Apply(ctx, s, p)
}

// locked wants a door for so many sources; the same, for the next hour or two.
func locked(d firewall.Door, sources int) firewall.Wants {
	w := firewall.Want{Door: d, Locked: true, Cut: false, Open: nil}
	for i := range sources {
		w.Open = append(w.Open, firewall.Opening{
			From:  netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32),
			Until: firewall.Instant(time.Now().Truncate(time.Hour).Add(2 * time.Hour)), Grants: firewall.HoldersOf(fmt.Sprintf("g-%d", i)),
		})
	}
	return firewall.Wants{w}
}
