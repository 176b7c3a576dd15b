package azure_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/provider/azure"
)

// Over a real connection, as managed identities of App Service, from
// enable to disable: the group is what it was, byte for byte.
func TestOverHTTPS(t *testing.T) {
	g := newGround(t, arm.Config{Secret: "sesame"}, 1, everything()...)
	server := httptest.NewTLSServer(g.sim)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "sesame")
	for name, c := range map[string]azure.Cloud{
		"the default chain": {},
		"four identities":   {Reader: "r", Opener: "o", Closer: "c", Locker: "l"},
	} {
		c.Endpoint, c.CAFile = server.URL, file
		clients, err := azure.Connect(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if one := clients.Reader == clients.Locker; one != (c.Locker == "") {
			t.Errorf("%s: one client for all: %v", name, one)
		}
		g.provider = azure.New(azure.Config{Keys: keys, Clients: clients, Surveyor: g})
		before, err := g.sim.Document(g.named)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 3, 0} {
			if p, err := g.pass(t.Context(), locked(g.ssh, n)); err != nil {
				t.Fatalf("%s: %v\n%v", name, err, p)
			}
			if g.gets(t, g.ssh, 0) != (n > 0) || g.gets(t, g.ssh, 9) {
				t.Errorf("%s: not who should get in does", name)
			}
		}
		if p, err := g.pass(t.Context(), nil); err != nil {
			t.Fatalf("%s: %v\n%v", name, err, p)
		}
		if after, err := g.sim.Document(g.named); err != nil || string(after) != string(before) {
			t.Errorf("%s: it was\n%s\nand is\n%s", name, before, after)
		}
	}
}

func TestConnectRefuses(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]azure.Cloud{
		"usgovernment or china": {Name: "moon"},
		"no certificate":        {CAFile: none},
		"no such file":          {CAFile: none + "x"},
	} {
		if _, err := azure.Connect(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for name, endpoint := range map[string]string{"": "https://management.azure.com", "usgovernment": "https://management.usgovcloudapi.net", "china": "https://management.chinacloudapi.cn"} {
		if clients, err := azure.Connect(azure.Cloud{Name: name}); err != nil || clients.Closer.Endpoint() != endpoint {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A token goes nowhere but to the endpoint, whatever an answer says.
func TestTokensStayHere(t *testing.T) {
	g := newGround(t, arm.Config{}, 1, everything()...)
	elsewhere := 0
	client, err := azure.NewClient(token(g.sim.Token()), options(trip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != "arm.example" {
			elsewhere++
		}
		answer, err := g.RoundTrip(r)
		if err == nil && answer.Header.Get("Azure-AsyncOperation") != "" {
			answer.Header.Set("Azure-AsyncOperation", "https://evil.example/operations/1")
		}
		return answer, err
	})))
	if err != nil {
		t.Fatal(err)
	}
	g.provider = azure.New(azure.Config{Keys: keys, Clients: everybody(client), Surveyor: g})
	if _, err := g.pass(t.Context(), locked(g.ssh, 0)); err == nil || !strings.Contains(err.Error(), "not Azure Resource Manager") {
		t.Errorf("who is sent elsewhere says %v", err)
	}
	if elsewhere > 0 {
		t.Errorf("the token was sent elsewhere %d times", elsewhere)
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
