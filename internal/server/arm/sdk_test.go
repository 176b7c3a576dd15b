package arm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/security/armsecurity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/security/armsecurity/fake"
)

// credential is a token of Sesame.
type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// sdk returns the client of the Azure SDK, as it is, for somebody; transport is
// instead of the server's, for a test of what the SDK's own fake makes of it.
func (h *house) sdk(as string, transport policy.Transporter) *armsecurity.JitNetworkAccessPoliciesClient {
	h.t.Helper()
	if transport == nil {
		transport = h.client
	}
	options := &azarm.ClientOptions{ClientOptions: policy.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: h.url,
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: h.url, Audience: h.url}},
		},
		Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1},
	}}
	c, err := armsecurity.NewJitNetworkAccessPoliciesClient(sub, credential(h.tokens[as]), options)
	must(h.t, err)
	return c
}

func putBody() armsecurity.JitNetworkAccessPolicy {
	return armsecurity.JitNetworkAccessPolicy{Kind: new("Basic"), Properties: &armsecurity.JitNetworkAccessPolicyProperties{
		VirtualMachines: []*armsecurity.JitNetworkAccessPolicyVirtualMachine{{ID: new(vm1()), Ports: []*armsecurity.JitNetworkAccessPortRule{{
			Number: new(int32(22)), Protocol: new(armsecurity.ProtocolAll), MaxRequestAccessDuration: new("PT3H"),
			AllowedSourceAddressPrefixes: []*string{new("198.51.100.0/24")},
		}}}},
	}}
}

func initiateBody(source string) armsecurity.JitNetworkAccessPolicyInitiateRequest {
	return armsecurity.JitNetworkAccessPolicyInitiateRequest{
		Justification: new("x"), VirtualMachines: []*armsecurity.JitNetworkAccessPolicyInitiateVirtualMachine{{
			ID: new(vm1()), Ports: []*armsecurity.JitNetworkAccessPolicyInitiatePort{{
				Number: new(int32(22)), EndTimeUTC: new(time.Now().Add(time.Hour)), AllowedSourceAddressPrefix: new(source),
			}},
		}},
	}
}

// The client of the Azure SDK, unmodified, does everything that it can do.
func TestSDK(t *testing.T) {
	h := two(t)
	ctx, admin, requester := t.Context(), h.sdk("admin", nil), h.sdk("requester", nil)
	put, err := admin.CreateOrUpdate(ctx, "myRg1", "westeurope", "default", putBody(), nil)
	must(t, err)
	if *put.ID != policyPath || put.Properties.Requests == nil {
		t.Errorf("%+v", put)
	}
	got, err := requester.Initiate(ctx, "myRg1", "westeurope", "default", initiateBody("198.51.100.7"), nil)
	must(t, err)
	if p := got.VirtualMachines[0].Ports[0]; string(*p.Status) != "Initiating" || *p.StatusReason != armsecurity.StatusReasonUserRequested || p.EndTimeUTC.Before(time.Now()) {
		t.Errorf("%+v", p)
	}
	one, err := admin.Get(ctx, "myRg1", "westeurope", "default", nil)
	must(t, err)
	if len(one.Properties.Requests) != 1 || *one.Properties.Requests[0].VirtualMachines[0].Ports[0].Status != armsecurity.StatusInitiated {
		t.Errorf("%+v", one.Properties)
	}
	for name, n := range counts(ctx, t, admin) {
		if n != 1 {
			t.Errorf("%s lists %d", name, n)
		}
	}
	_, err = requester.Initiate(ctx, "myRg1", "westeurope", "default", initiateBody("203.0.113.7"), nil)
	failed(t, err, 400, "AccessRequestNotAllowed")
	_, err = requester.CreateOrUpdate(ctx, "myRg1", "westeurope", "mine", putBody(), nil)
	failed(t, err, 409, "Conflict", 403, "AuthorizationFailed")
	for range 2 {
		_, err = admin.Delete(ctx, "myRg1", "westeurope", "default", nil)
		must(t, err)
	}
	_, err = admin.Get(ctx, "myRg1", "westeurope", "default", nil)
	failed(t, err, 404, "PolicyNotFound")
}

// failed fails the test unless err is one of the given statuses with its code.
func failed(t *testing.T, err error, pairs ...any) {
	t.Helper()
	var e *azcore.ResponseError
	if !errors.As(err, &e) {
		t.Fatalf("no error of Azure's: %v", err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if e.StatusCode == pairs[i] && e.ErrorCode == pairs[i+1] {
			return
		}
	}
	t.Fatalf("%d %s: %v", e.StatusCode, e.ErrorCode, err)
}

// counts says how many policies each of the lists has.
func counts(ctx context.Context, t *testing.T, c *armsecurity.JitNetworkAccessPoliciesClient) map[string]int {
	t.Helper()
	out := map[string]int{}
	for pager := c.NewListPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		out["subscription"] += len(page.Value)
	}
	for pager := c.NewListByRegionPager("westeurope", nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		out["region"] += len(page.Value)
	}
	for pager := c.NewListByResourceGroupPager("myRg1", nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		out["group"] += len(page.Value)
	}
	for pager := c.NewListByResourceGroupAndRegionPager("myRg1", "westeurope", nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		out["group and region"] += len(page.Value)
	}
	return out
}

// both sends every request to the SDK's own fake server and to ours.
type both struct {
	t    *testing.T
	fake policy.Transporter
	ours *http.Client
	seen map[string]bool
}

func (b *both) Do(r *http.Request) (*http.Response, error) {
	copied := r.Clone(r.Context())
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body, copied.Body = io.NopCloser(bytes.NewReader(text)), io.NopCloser(bytes.NewReader(text))
	}
	theirs, err := b.fake.Do(copied)
	known := err == nil
	if known {
		_ = theirs.Body.Close()
	}
	resp, err := b.ours.Do(r)
	if err != nil {
		return nil, err
	}
	unrouted := resp.StatusCode == http.StatusMethodNotAllowed || resp.Header.Get("Content-Type") == "application/problem+json"
	if known == unrouted {
		b.t.Errorf("%s %s: the fake server knows it: %v, ours does: %v", r.Method, r.URL.Path, known, !unrouted)
	}
	b.seen[r.Method+" "+r.URL.Path] = true
	return resp, nil
}

// The SDK's own fake server routes the same eight operations as ours.
func TestPathsAgreeWithTheSDKsFake(t *testing.T) {
	h := two(t)
	one := armsecurity.JitNetworkAccessPolicy{ID: new(policyPath)}
	list := armsecurity.JitNetworkAccessPoliciesList{Value: []*armsecurity.JitNetworkAccessPolicy{&one}}
	srv := &fake.JitNetworkAccessPoliciesServer{
		CreateOrUpdate: func(context.Context, string, string, string, armsecurity.JitNetworkAccessPolicy, *armsecurity.JitNetworkAccessPoliciesClientCreateOrUpdateOptions) (resp azfake.Responder[armsecurity.JitNetworkAccessPoliciesClientCreateOrUpdateResponse], errResp azfake.ErrorResponder) {
			resp.SetResponse(200, armsecurity.JitNetworkAccessPoliciesClientCreateOrUpdateResponse{JitNetworkAccessPolicy: one}, nil)
			return resp, errResp
		},
		Delete: func(context.Context, string, string, string, *armsecurity.JitNetworkAccessPoliciesClientDeleteOptions) (resp azfake.Responder[armsecurity.JitNetworkAccessPoliciesClientDeleteResponse], errResp azfake.ErrorResponder) {
			resp.SetResponse(200, armsecurity.JitNetworkAccessPoliciesClientDeleteResponse{}, nil)
			return resp, errResp
		},
		Get: func(context.Context, string, string, string, *armsecurity.JitNetworkAccessPoliciesClientGetOptions) (resp azfake.Responder[armsecurity.JitNetworkAccessPoliciesClientGetResponse], errResp azfake.ErrorResponder) {
			resp.SetResponse(200, armsecurity.JitNetworkAccessPoliciesClientGetResponse{JitNetworkAccessPolicy: one}, nil)
			return resp, errResp
		},
		Initiate: func(context.Context, string, string, string, armsecurity.JitNetworkAccessPolicyInitiateRequest, *armsecurity.JitNetworkAccessPoliciesClientInitiateOptions) (resp azfake.Responder[armsecurity.JitNetworkAccessPoliciesClientInitiateResponse], errResp azfake.ErrorResponder) {
			resp.SetResponse(202, armsecurity.JitNetworkAccessPoliciesClientInitiateResponse{}, nil)
			return resp, errResp
		},
		NewListPager: func(*armsecurity.JitNetworkAccessPoliciesClientListOptions) (resp azfake.PagerResponder[armsecurity.JitNetworkAccessPoliciesClientListResponse]) {
			resp.AddPage(200, armsecurity.JitNetworkAccessPoliciesClientListResponse{JitNetworkAccessPoliciesList: list}, nil)
			return resp
		},
		NewListByRegionPager: func(string, *armsecurity.JitNetworkAccessPoliciesClientListByRegionOptions) (resp azfake.PagerResponder[armsecurity.JitNetworkAccessPoliciesClientListByRegionResponse]) {
			resp.AddPage(200, armsecurity.JitNetworkAccessPoliciesClientListByRegionResponse{JitNetworkAccessPoliciesList: list}, nil)
			return resp
		},
		NewListByResourceGroupPager: func(string, *armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupOptions) (resp azfake.PagerResponder[armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupResponse]) {
			resp.AddPage(200, armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupResponse{JitNetworkAccessPoliciesList: list}, nil)
			return resp
		},
		NewListByResourceGroupAndRegionPager: func(string, string, *armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupAndRegionOptions) (resp azfake.PagerResponder[armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupAndRegionResponse]) {
			resp.AddPage(200, armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupAndRegionResponse{JitNetworkAccessPoliciesList: list}, nil)
			return resp
		},
	}
	through := &both{t: t, fake: fake.NewJitNetworkAccessPoliciesServerTransport(srv), ours: h.client, seen: map[string]bool{}}
	ctx, c := t.Context(), h.sdk("admin", through)
	_, err := c.CreateOrUpdate(ctx, "myRg1", "westeurope", "default", putBody(), nil)
	must(t, err)
	_, err = c.Get(ctx, "myRg1", "westeurope", "default", nil)
	must(t, err)
	_, err = c.Initiate(ctx, "myRg1", "westeurope", "default", initiateBody("198.51.100.7"), nil)
	must(t, err)
	counts(ctx, t, c)
	_, err = c.Delete(ctx, "myRg1", "westeurope", "default", nil)
	must(t, err)
	if len(through.seen) != 8 {
		t.Errorf("%d operations: %v", len(through.seen), through.seen)
	}
}
