package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/console"
)

// A stalling is a server that answers everything but one call, and tells when
// that has come.
type stalling struct {
	at      string // the method and the path, and "dry" of a dry run
	answers map[string]any
	reached chan struct{}
}

func (s *stalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	call := r.Method + " " + r.URL.Path
	if r.URL.Query().Get("dry_run") == "true" || bytes.Contains(body, []byte(`"dry_run":true`)) {
		call += " dry"
	}
	if call == s.at {
		close(s.reached)
		<-r.Context().Done()
		return
	}
	v, ok := s.answers[call]
	if !ok {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	text, err := api.Encode(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// everything is what the server answers.
func everything() map[string]any {
	door := api.Door{VM: "host://web-1", Port: 22, Protocol: "tcp"}
	vm := api.VM{ID: "host://web-1", Name: "web-1", Doors: []api.DoorState{{Port: 22, Protocol: "tcp", Policy: "web-1"}}}
	grant := api.Grant{ID: "g-0123456789abcdef", Door: door, Sources: []string{"192.0.2.1"}, State: "opening", Deadline: api.Time{Time: time.Now().Add(time.Hour)}}
	saved := api.SavedPolicy{Policy: api.Policy{Name: "web-1", VMs: []string{"host://web-1"}, Ports: []api.PolicyPort{{Port: 22, Protocol: "tcp", Max: "3h"}}}, Version: 4}
	return map[string]any{
		"GET /v1/vms":                api.PageOf([]api.VM{vm}, ""),
		"GET /v1/vms/web-1":          vm,
		"POST /v1/requests":          api.Request{ID: "r-0123456789abcdef", Grants: []api.Grant{grant}},
		"GET /v1/policies/web-1":     saved,
		"PUT /v1/policies/web-1 dry": api.PolicyChange{Policy: saved.Policy, Preview: &api.Preview{}},
		"PUT /v1/policies/web-1":     api.PolicyChange{Policy: saved.Policy, Version: 4},
		"POST /v1/disable dry":       api.Disabled{},
		"GET /v1/activity":           api.Page[api.Record]{},
	}
}

// Whatever a command waits for, Ctrl-C ends it with its own code, and it says
// what stays as it is.
func TestEveryWaitCanBeInterrupted(t *testing.T) {
	for _, c := range []struct {
		at, args, says string
	}{
		{"GET /v1/vms", "vms", "interrupted; nothing was changed"},
		{"GET /v1/vms/web-1", "open web-1", "interrupted; nothing was changed"},
		{"POST /v1/requests", "open web-1", "interrupted; the request may have been granted"},
		{"GET /v1/grants/g-0123456789abcdef", "open web-1", "interrupted; web-1:22/tcp is being opened all the same until "},
		{"POST /v1/grants/g-0123456789abcdef/close", "close g-0123456789abcdef", "interrupted; Sesame goes on closing"},
		{"POST /v1/grants/g-0123456789abcdef/extend", "extend g-0123456789abcdef --for 1h", "interrupted; the grant may have been extended"},
		{"PUT /v1/policies/web-1 dry", "enable web-1 --yes", "interrupted; nothing was changed"},
		{"PUT /v1/policies/web-1", "enable web-1 --yes", "interrupted; policy web-1 may have been saved"},
		{"GET /v1/vms", "enable web-1 --yes", "interrupted; policy web-1 is saved (version 4), and Sesame goes on locking"},
		{"DELETE /v1/policies/web-1", "policy delete web-1 --yes", "interrupted; policy web-1 may have been deleted"},
		{"POST /v1/disable dry", "disable web-1 --yes", "interrupted; nothing was changed"},
		{"POST /v1/disable", "disable web-1 --yes", "interrupted; the ports may have been given back"},
		{"POST /v1/tokens", "token create ana --role viewer", "interrupted; a token may have been made"},
		{"DELETE /v1/tokens/t-0123456789abcdef", "token revoke t-0123456789abcdef", "interrupted; the token may have been revoked"},
		{"POST /v1/sweep", "sweep", "interrupted; the server goes on closing"},
		{"POST /v1/sweep dry", "sweep --dry-run", "interrupted; nothing was changed"},
		{"GET /v1/activity/stream", "activity -f", ""},
		{"GET /v1/audit/export", "audit export", "interrupted; nothing was changed"},
		{"GET /readyz", "doctor", "interrupted; nothing was changed"},
	} {
		t.Run(c.args+" at "+c.at, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "sesame") //nolint:usetesting // a socket needs a short path
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			socket := filepath.Join(dir, "s")
			l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			h := &stalling{at: c.at, answers: everything(), reached: make(chan struct{})}
			srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
			go func() { _ = srv.Serve(l) }()
			t.Cleanup(func() { _ = srv.Close() })
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			go func() {
				<-h.reached
				interrupt()
			}()
			var out, errs bytes.Buffer
			code := Main(ctx, append(strings.Fields(c.args), "--socket", socket), strings.NewReader(""), &out, &errs)
			if code != 130 || !strings.Contains(errs.String(), c.says) || c.says == "" && errs.Len() > 0 {
				t.Errorf("it exited with %d and said %q; want 130 and %q", code, errs.String(), c.says)
			}
		})
	}
}

// A person who does not answer, and a file that never ends, can be interrupted.
func TestReadingCanBeInterrupted(t *testing.T) {
	typed, typist := io.Pipe()
	defer typist.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, interrupt)
	var out, errs bytes.Buffer
	if code := Main(ctx, []string{"policy", "apply", "-", "--dry-run"}, typed, &out, &errs); code != 130 || !strings.Contains(errs.String(), "interrupted; nothing was changed") {
		t.Errorf("a document that never ends: exit code %d, %s", code, &errs)
	}
	ctx, interrupt = context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, interrupt)
	c := console.Console{In: typed, Err: &errs}
	if err := c.Ask(ctx, "Lock these ports?"); err == nil || err.Error() != console.ErrInterrupted.Error() {
		t.Errorf("a question without an answer: %v", err)
	}
}
