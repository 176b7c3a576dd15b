package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The file of --env-file is all that a script needs, and goes with the program.
func TestSimulateAzure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "azure.env")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, []string{"simulate", "azure", "--vms", "3", "--latency", "0s", "--env-file", file}, strings.NewReader(""), &out, &errs)
	}()
	env := map[string]string{}
	for end := time.Now().Add(30 * time.Second); len(env) == 0; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			env[name] = strings.Trim(value, "'")
		}
	}
	pem, err := os.ReadFile(env["ARM_CA"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}
	get := func(url, header, value string, v any) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, value)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(v); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", url, response.Status, err)
		}
	}
	var token struct {
		Token string `json:"access_token"`
	}
	for _, form := range [][4]string{
		{"MSI_ENDPOINT", "2017-09-01", "Secret", "MSI_SECRET"},
		{"IDENTITY_ENDPOINT", "2019-08-01", "X-Identity-Header", "IDENTITY_HEADER"},
	} {
		token.Token = ""
		get(env[form[0]]+"?api-version="+form[1]+"&resource=x", form[2], env[form[3]], &token)
		if token.Token != env["ARM_TOKEN"] {
			t.Errorf("the managed identity of %s has another token", form[1])
		}
	}
	var list struct{ Value []any }
	get(env["ARM_ENDPOINT"]+"/subscriptions/"+env["AZURE_SUBSCRIPTION_ID"]+"/providers/Microsoft.Compute/virtualMachines?api-version=2026-04-01", "Authorization", "Bearer "+token.Token, &list)
	if len(list.Value) != 3 {
		t.Errorf("there are %d virtual machines", len(list.Value))
	}
	var counts map[string]int
	get(env["ARM_ENDPOINT"]+"/_simulator/counts", "Authorization", "Bearer "+token.Token, &counts)
	if counts["GET Microsoft.Compute/virtualMachines"] != 1 {
		t.Errorf("calls: %v", counts)
	}
	cancel()
	select {
	case code := <-done:
		if code != 0 || !strings.Contains(out.String(), "Simulated Azure at https://127.0.0.1:") {
			t.Errorf("it ends with %d: %s", code, errs.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	for _, path := range []string{file, env["ARM_CA"]} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
}

func TestSimulateAzureRefuses(t *testing.T) {
	for _, args := range [][]string{{"--listen", "here"}, {"--listen", "0.0.0.0:0"}, {"--vms", "-1"}, {"--vms", "1000000"}, {"x"}, {"--latency", "-1s"}} {
		var out, errs bytes.Buffer
		if code := Main(t.Context(), append([]string{"simulate", "azure"}, args...), strings.NewReader(""), &out, &errs); code != 2 {
			t.Errorf("%v: %d %s", args, code, errs.String())
		}
	}
}
