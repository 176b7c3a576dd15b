package azure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/sesame-access/sesame/internal/errkind"
)

// A Cloud says where Azure is and how to get in. The zero value is the public cloud
// with the credentials of the SDK's default chain.
type Cloud struct {
	Name string // "public", "usgovernment", "china"; empty is public

	// Endpoint, Audience and Authority are those of Azure Resource Manager and of
	// who gives out tokens, where they are not the cloud's.
	Endpoint, Audience, Authority string
	// CAFile holds certificates in PEM that are trusted besides the system's.
	CAFile string

	// Tenant is that of workload identities; empty for the environment's.
	Tenant string
	// Reader, Opener, Closer and Locker are client ids of workload identities or of
	// managed identities. A role that is not named is Reader's; without Reader's,
	// that of the default chain: environment, workload identity, managed identity,
	// az and its relatives.
	Reader, Opener, Closer, Locker string

	// Token is a bearer token that everybody has, instead of any credentials, and
	// Client who makes the calls: those of a simulated cloud. Both may be empty.
	Token  string
	Client *http.Client
}

// Connect returns the clients of the roles. It does no I/O but for the file: whether
// the credentials are good the first call tells.
func Connect(c Cloud) (Clients, error) {
	options, err := c.options()
	if err != nil {
		return Clients{}, err
	}
	clients := map[string]*arm.Client{}
	as := func(id string) *arm.Client {
		if id == "" {
			id = c.Reader
		}
		if clients[id] == nil && err == nil {
			var who azcore.TokenCredential
			if who, err = c.credential(id, options); err == nil {
				clients[id], err = NewClient(who, options)
			}
		}
		return clients[id]
	}
	out := Clients{Reader: as(c.Reader), Opener: as(c.Opener), Closer: as(c.Closer), Locker: as(c.Locker)}
	if err != nil {
		return Clients{}, fmt.Errorf("find the Azure credentials: %w", err)
	}
	return out, nil
}

// NewClient returns the client of one identity.
func NewClient(who azcore.TokenCredential, options azcore.ClientOptions) (*arm.Client, error) {
	return arm.NewClient("sesame", "v1.0.0", who, &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true})
}

// options returns what clients and credentials share.
func (c Cloud) options() (azcore.ClientOptions, error) {
	named := map[string]cloud.Configuration{
		"": cloud.AzurePublic, "public": cloud.AzurePublic, "usgovernment": cloud.AzureGovernment, "china": cloud.AzureChina,
	}
	base, known := named[c.Name]
	if !known {
		return azcore.ClientOptions{}, errkind.Bad("cloud", c.Name, "public, usgovernment or china")
	}
	manager := base.Services[cloud.ResourceManager]
	if c.Endpoint != "" {
		manager.Endpoint = c.Endpoint
	}
	if c.Audience != "" {
		manager.Audience = c.Audience
	}
	if c.Authority != "" {
		base.ActiveDirectoryAuthorityHost = c.Authority
	}
	base.Services = map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: manager}
	out := azcore.ClientOptions{Cloud: base}
	out.Telemetry.ApplicationID = "sesame"
	if c.Client != nil {
		out.Transport = c.Client
	}
	if c.CAFile == "" {
		return out, nil
	}
	client, err := trusting(c.CAFile)
	if err != nil {
		return azcore.ClientOptions{}, fmt.Errorf("read the certificates to trust: %w", err)
	}
	out.Transport = client
	return out, nil
}

// trusting returns a client that trusts the certificates in a file, too.
func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the program's HTTP transport was replaced")
	}
	transport := standard.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}

// credential returns that of the identity with this client id; of the default chain
// without one.
func (c Cloud) credential(id string, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	if c.Token != "" {
		return bearer(c.Token), nil
	}
	own := c.Authority != "" // then Microsoft does not know it
	if id == "" {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: own, TenantID: c.Tenant,
		})
	}
	if os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "" {
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, ClientID: id, DisableInstanceDiscovery: own, TenantID: c.Tenant,
		})
	}
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: options, ID: azidentity.ClientID(id)})
}

// A bearer is a token that nobody had to ask for.
type bearer string

// GetToken implements [azcore.TokenCredential].
func (b bearer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(b), ExpiresOn: time.Now().Add(time.Hour)}, nil
}
