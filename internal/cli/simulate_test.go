package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
)

// A simulated AWS says where it is, can be reached with what it has written down,
// and leaves nothing.
func TestSimulateAWS(t *testing.T) {
	for _, secure := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		file := filepath.Join(t.TempDir(), "env")
		args := []string{"simulate", "aws", "--instances", "3", "--env-file", file}
		if secure {
			args = append(args, "--tls")
		}
		out, in := io.Pipe()
		ended := make(chan int, 1)
		go func() { ended <- Main(ctx, args, strings.NewReader(""), in, os.Stderr) }()
		said := map[string]string{}
		for lines := bufio.NewScanner(out); said["AWS_DEFAULT_REGION"] == "" && lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), "=")
			said[name] = strings.Trim(value, "'")
		}
		go io.Copy(io.Discard, out)
		env, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		written := map[string]string{}
		for line := range strings.Lines(string(env)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			written[name] = strings.Trim(value, "'")
		}
		if written["AWS_ENDPOINT_URL"] != said["AWS_ENDPOINT_URL"] || written["AWS_REGION"] != ec2.DefaultRegion ||
			written["AWS_ACCESS_KEY_ID"] != ec2.DefaultKey || written["AWS_SECRET_ACCESS_KEY"] != ec2.DefaultSecret || secure != (written["AWS_CA_BUNDLE"] != "") {
			t.Errorf("said %v, wrote %v", said, written)
		}
		client := http.Client{}
		if secure {
			pem, err := os.ReadFile(written["AWS_CA_BUNDLE"])
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		}
		ask, err := http.NewRequestWithContext(ctx, http.MethodGet, written["AWS_ENDPOINT_URL"]+"/_simulator/document", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := client.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reply.Body)
		if err != nil || strings.Count(string(text), " wears ") < 3 {
			t.Errorf("%v, three instances have at least three interfaces:\n%s", err, text)
		}
		reply.Body.Close()
		client.CloseIdleConnections()
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("it ended with %d", code)
		}
		if ca := written["AWS_CA_BUNDLE"]; secure {
			if _, err := os.Stat(ca); err == nil {
				t.Errorf("%s is left", ca)
			}
		}
	}
}

func TestSimulateRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "0.0.0.0:0"}, {"--listen", "4566"}, {"--instances", "-1"}, {"--instances", "1000000"}, {"web-1"},
	} {
		var errs strings.Builder
		if code := Main(t.Context(), append([]string{"simulate", "aws"}, args...), strings.NewReader(""), io.Discard, &errs); code == 0 || errs.Len() == 0 {
			t.Errorf("%v: %d %s", args, code, errs.String())
		}
	}
}
