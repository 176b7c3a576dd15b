package estate_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

const (
	one   = "11111111-0000-4000-8000-000000000001"
	two   = "22222222-0000-4000-8000-000000000002"
	group = "rg"
)

type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// A stage is a simulated cloud and a reader of its first subscription.
type stage struct {
	*cloudsim.Simulator

	config estate.Config
	// change, if there is one, changes what the cloud answers.
	change func(url, body string) string

	// ports says that the endpoint may be called by its port.
	ports bool

	mu    sync.Mutex
	calls []answered
}

// An answered call is one that came back.
type answered struct {
	at     time.Time
	url    string
	sent   string // the body
	status int
}

// Do implements policy.Transporter.
func (s *stage) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.URL.Host != "management.example" && !s.ports {
		panic("a call, with its token, went to " + r.URL.String())
	}
	at := time.Now()
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(strings.NewReader(string(sent)))
	}
	answer, err := s.Client().Do(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.calls = append(s.calls, answered{at: at, url: r.Method + " " + r.URL.String(), sent: string(sent), status: answer.StatusCode})
	if s.change != nil {
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		answer.Body = io.NopCloser(strings.NewReader(s.change(r.Method+" "+r.URL.String(), string(text))))
	}
	return answer, nil
}

// of returns how many calls whose address has this in it were answered with a status.
func (s *stage) of(part string, status int) int {
	n := 0
	for _, c := range s.calls {
		if strings.Contains(c.url, part) && c.status == status {
			n++
		}
	}
	return n
}

func newStage(t testing.TB, c cloudsim.Config) *stage {
	t.Helper()
	if c.Subscriptions == nil {
		c.Subscriptions = []world.Subscription{
			{ID: one, Name: "one", Tenant: cloudsim.Tenant, ManagementGroup: "platform"},
			{ID: two, Name: "two", Tenant: cloudsim.Tenant, ManagementGroup: "platform"},
		}
	}
	s := &stage{Simulator: cloudsim.New(c)}
	s.config = estate.Config{
		Credential: token(s.Token()), Subscriptions: []string{one}, Patience: time.Minute,
		Options: arm.ClientOptions{ClientOptions: policy.ClientOptions{
			Transport: s,
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: "https://management.example", Audience: "https://management.example"},
			}},
		}},
	}
	return s
}

// in returns what puts documents into a subscription.
func (s *stage) in(subscription string) fleet.Builder {
	b := s.Builder(group)
	b.Subscription = subscription
	return b
}

// machine puts a machine into a network of its own kind of names.
func (s *stage) machine(t testing.TB, b fleet.Builder, name, space string) string {
	t.Helper()
	g := must(b.NSG(name+"-nsg", fleet.Rule{Name: "office", Priority: 300, From: []string{"198.51.100.7"}, Ports: []string{"22"}}))(t)
	network := must(b.Network(name+"-net", space+".0/24", fleet.Subnet{Name: "default", Prefix: space + ".0/24"}))(t)
	nic := must(b.NIC(name+"-nic", g, fleet.IP{Subnet: network + "/subnets/default", Address: space + ".4"}))(t)
	return must(b.VM(name, "Linux", map[string]string{"env": "prod"}, nic))(t)
}

func (s *stage) reader(t testing.TB) *estate.Reader {
	t.Helper()
	return must(estate.New(s.config))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func read(t testing.TB, r *estate.Reader) *estate.Estate {
	t.Helper()
	return must(r.Read(t.Context()))(t)
}

// complete reads an estate of which nothing is missing.
func complete(t testing.TB, r *estate.Reader) *estate.Estate {
	t.Helper()
	e := read(t, r)
	for _, v := range e.VMs {
		if len(v.Missing) > 0 {
			t.Errorf("%s: %q", v.Name, v.Missing)
		}
	}
	if len(e.Unread) > 0 {
		t.Errorf("not read: %q", e.Unread)
	}
	return e
}

// find returns the machine with this id, however it is spelled.
func find(t testing.TB, e *estate.Estate, id string) inventory.VM {
	t.Helper()
	v := inventory.Of(e.VMs, firewall.VMID(strings.ToLower(id)))
	if v.ID == "" {
		t.Fatalf("there is no %s among %d", id, len(e.VMs))
	}
	return v
}

func names(e *estate.Estate) string {
	var out []string
	for _, v := range e.VMs {
		out = append(out, v.Name)
	}
	return strings.Join(out, " ")
}

func space(i int) string { return fmt.Sprintf("10.7.%d", i) }
