package arm_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
)

const (
	sub   = cloudsim.SubscriptionID
	group = "rg"
)

type fixed string

func (f fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(f), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// A stage is a simulator behind HTTPS, with one virtual machine, web, whose
// interface's group lets the office in.
type stage struct {
	*cloudsim.Simulator

	url     string
	client  *http.Client
	options *arm.ClientOptions
	vm, nsg string
}

func newStage(t *testing.T, c cloudsim.Config) *stage {
	t.Helper()
	s := &stage{Simulator: cloudsim.New(c)}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	s.options = optionsFor(server.URL, server.Client())
	s.build(t)
	return s
}

func optionsFor(url string, client *http.Client) *arm.ClientOptions {
	return &arm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: url, Audience: "https://management.azure.com/"},
			}},
			Transport: client,
			Retry:     policy.RetryOptions{MaxRetries: -1},
		},
		DisableRPRegistration: true,
	}
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

func (s *stage) build(t *testing.T) {
	t.Helper()
	b := s.Builder(group)
	s.nsg = must(b.NSG("web-nsg", fleet.Rule{Name: "office", Priority: 300, From: []string{"198.51.100.7"}, Ports: []string{"22"}}))(t)
	network := must(b.Network("net", "10.0.0.0/16", fleet.Subnet{Name: "default", Prefix: "10.0.0.0/24"}))(t)
	public := must(b.PublicIP("web-ip", "20.0.0.1", "Standard"))(t)
	nic := must(b.NIC("web-nic", s.nsg, fleet.IP{Subnet: network + "/subnets/default", Address: "10.0.0.4", Public: public}))(t)
	s.vm = must(b.VM("web", "Linux", map[string]string{"env": "prod"}, nic))(t)
}

func (s *stage) open(from string) packet.Outcome {
	return s.Connect(netip.MustParseAddr(from), s.vm, 22).Outcome
}

func (s *stage) groups(t *testing.T) *armnetwork.SecurityGroupsClient {
	return must(armnetwork.NewSecurityGroupsClient(sub, fixed(s.Token()), s.options))(t)
}

func (s *stage) rules(t *testing.T) *armnetwork.SecurityRulesClient {
	return must(armnetwork.NewSecurityRulesClient(sub, fixed(s.Token()), s.options))(t)
}

func allow(name string, priority int32, from string) armnetwork.SecurityRule {
	return armnetwork.SecurityRule{Name: new(name), Properties: &armnetwork.SecurityRulePropertiesFormat{
		Access: to.Ptr(armnetwork.SecurityRuleAccessAllow), Direction: to.Ptr(armnetwork.SecurityRuleDirectionInbound),
		Protocol: to.Ptr(armnetwork.SecurityRuleProtocolTCP), Priority: new(priority),
		SourceAddressPrefix: new(from), SourcePortRange: new("*"), DestinationAddressPrefix: new("10.0.0.4"), DestinationPortRange: new("22"),
	}}
}

func code(err error) string {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.ErrorCode
	}
	return ""
}

func TestSDKReads(t *testing.T) {
	s := newStage(t, cloudsim.Config{PageSize: 3})
	for i := range 10 {
		if _, err := s.Builder(group).NSG("g" + string(rune('0'+i))); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	var names []string
	pager := s.groups(t).NewListAllPager(nil)
	pages := 0
	for pager.More() {
		page := must(pager.NextPage(ctx))(t)
		pages++
		for _, g := range page.Value {
			names = append(names, *g.Name)
		}
	}
	if pages != 4 || len(names) != 11 {
		t.Errorf("%d pages, %v", pages, names)
	}
	vms := must(armcompute.NewVirtualMachinesClient(sub, fixed(s.Token()), s.options))(t)
	list := must(vms.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: new("true")}).NextPage(ctx))(t)
	if len(list.Value) != 1 || *list.Value[0].Properties.InstanceView.Statuses[1].Code != "PowerState/running" {
		t.Errorf("%+v", list.Value)
	}
	nics := must(armnetwork.NewInterfacesClient(sub, fixed(s.Token()), s.options))(t)
	nic := must(nics.Get(ctx, group, "WEB-NIC", nil))(t)
	if !strings.EqualFold(*nic.Properties.VirtualMachine.ID, s.vm) || *nic.Properties.IPConfigurations[0].Properties.PrivateIPAddress != "10.0.0.4" {
		t.Errorf("%+v", nic.Properties)
	}
	g := must(s.groups(t).Get(ctx, group, "web-nsg", nil))(t)
	if len(g.Properties.DefaultSecurityRules) != 6 || *g.Properties.NetworkInterfaces[0].ID != *nic.ID || g.Etag == nil {
		t.Errorf("%+v", g.Properties)
	}
	subs := must(armsubscriptions.NewClient(fixed(s.Token()), s.options))(t)
	if page := must(subs.NewListPager(nil).NextPage(ctx))(t); len(page.Value) != 1 || *page.Value[0].SubscriptionID != sub {
		t.Errorf("%+v", page.Value)
	}
	poller := must(nics.BeginListEffectiveNetworkSecurityGroups(ctx, group, "web-nic", nil))(t)
	effective := must(poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second}))(t)
	if len(effective.Value) != 1 || len(effective.Value[0].EffectiveSecurityRules) != 7 {
		t.Errorf("%+v", effective.Value)
	}
}

func TestSDKChildRule(t *testing.T) {
	s := newStage(t, cloudsim.Config{Config: rp.Config{Latency: 50 * time.Millisecond}})
	ctx := t.Context()
	if s.open("8.8.8.8") != packet.Denied || s.open("198.51.100.7") != packet.Delivered {
		t.Fatal("the stage is not as it should be")
	}
	poller := must(s.rules(t).BeginCreateOrUpdate(ctx, group, "web-nsg", "mine", allow("mine", 100, "8.8.8.8"), nil))(t)
	if s.open("8.8.8.8") != packet.Denied {
		t.Error("the rule works before its operation has ended")
	}
	before := must(s.groups(t).Get(ctx, group, "web-nsg", nil))(t)
	if *before.Properties.ProvisioningState != armnetwork.ProvisioningStateUpdating || len(before.Properties.SecurityRules) != 2 {
		t.Errorf("in between it shows %v", *before.Properties.ProvisioningState)
	}
	rule := must(poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second}))(t)
	if *rule.Properties.ProvisioningState != armnetwork.ProvisioningStateSucceeded || s.open("8.8.8.8") != packet.Delivered {
		t.Error("the rule does not work when its operation has ended")
	}
	after := must(s.groups(t).Get(ctx, group, "web-nsg", nil))(t)
	if *after.Etag == *before.Etag || *after.Etag != *rule.Etag {
		t.Errorf("entity tags: %s, then %s and %s", *before.Etag, *after.Etag, *rule.Etag)
	}
	gone := must(s.rules(t).BeginDelete(ctx, group, "web-nsg", "mine", nil))(t)
	must(gone.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second}))(t)
	if s.open("8.8.8.8") != packet.Denied {
		t.Error("the rule works after its deletion")
	}
	if _, err := s.rules(t).Get(ctx, group, "web-nsg", "mine", nil); code(err) != "NotFound" {
		t.Errorf("a rule that is gone: %v", err)
	}
}

func TestSDKIfMatch(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		s := newStage(t, cloudsim.Config{Config: rp.Config{IgnoreIfMatch: ignore, IgnoreIfMatchOnChildren: ignore}})
		g := must(s.groups(t).Get(t.Context(), group, "web-nsg", nil))(t)
		put := func(etag string) error {
			ctx := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {etag}})
			poller, err := s.groups(t).BeginCreateOrUpdate(ctx, group, "web-nsg", g.SecurityGroup, nil)
			if err != nil {
				return err
			}
			_, err = poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second})
			return err
		}
		g.Properties.SecurityRules = append(g.Properties.SecurityRules, new(allow("mine", 100, "8.8.8.8")))
		if err := put(*g.Etag); err != nil {
			t.Fatal(err)
		}
		g.Properties.SecurityRules = g.Properties.SecurityRules[:1]
		if err := put(*g.Etag); (err == nil) != ignore {
			t.Errorf("ignore=%v: a stale entity tag gets %v", ignore, err)
		} else if err != nil && (code(err) != "PreconditionFailed" || !strings.Contains(err.Error(), "PreconditionFailedEtagMismatch")) {
			t.Errorf("a stale entity tag gets %v", err)
		}
		ctx := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*g.Etag}})
		if _, err := s.rules(t).BeginDelete(ctx, group, "web-nsg", "office", nil); (err == nil) != ignore {
			t.Errorf("ignore=%v: a stale entity tag on a child gets %v", ignore, err)
		}
	}
}

// The library's own managed identity, in the form of App Service, gets a token
// that opens the door.
func TestSDKManagedIdentity(t *testing.T) {
	s := newStage(t, cloudsim.Config{Secret: "sesame"})
	t.Setenv("IDENTITY_ENDPOINT", s.url+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "sesame")
	credential := must(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: s.options.ClientOptions}))(t)
	vms := must(armcompute.NewVirtualMachinesClient(sub, credential, s.options))(t)
	if page := must(vms.NewListAllPager(nil).NextPage(t.Context()))(t); len(page.Value) != 1 {
		t.Errorf("%d machines", len(page.Value))
	}
}

// The real library in a bubble: an operation of an hour takes no time.
func TestSDKInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocal(t, cloudsim.Config{RetryAfter: time.Minute, Config: rp.Config{Latency: time.Hour}})
		s.options = optionsFor(s.url, s.client)
		at := time.Now()
		poller := must(s.rules(t).BeginCreateOrUpdate(t.Context(), group, "web-nsg", "mine", allow("mine", 100, "8.8.8.8"), nil))(t)
		token := must(poller.ResumeToken())(t)
		resumed := must(s.rules(t).BeginCreateOrUpdate(t.Context(), "", "", "", armnetwork.SecurityRule{}, &armnetwork.SecurityRulesClientBeginCreateOrUpdateOptions{ResumeToken: token}))(t)
		must(resumed.PollUntilDone(t.Context(), nil))(t)
		if took := time.Since(at); took < time.Hour || took > time.Hour+2*time.Minute || s.open("8.8.8.8") != packet.Delivered {
			t.Errorf("after %v the packet is %v", took, s.open("8.8.8.8"))
		}
		if polls := s.Counts()["GET Microsoft.Network/locations/operations"]; polls < 59 || polls > 62 {
			t.Errorf("it was polled %d times, although a minute was asked for", polls)
		}
	})
}
