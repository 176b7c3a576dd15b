package admin

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/errkind"
)

// refusing returns the commands of somebody whose server answers everything with
// err.
func refusing(t *testing.T, err error) commands {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, listenErr := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if listenErr != nil {
		t.Fatal(listenErr)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p := api.ProblemOf(err)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p) // who does not read it fails
	}))
	_ = srv.Listener.Close() // the one on TCP, which nobody used
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	machine := connect.Machine{Getenv: func(string) string { return "" }}
	return commands{&console.Console{Machine: machine, Flags: connect.Flags{Socket: path}}}
}

// A server that will not sign its log any more says that the log is not the one
// that it signed: that is what a script is told apart by the exit code.
func TestALogThatWentBackIsUnsound(t *testing.T) {
	for _, c := range []struct {
		kind    errkind.Kind
		unsound bool
	}{{errkind.Conflict, true}, {errkind.Unavailable, false}, {errkind.Denied, false}} {
		a := refusing(t, errkind.New(c.kind, "the audit log was put back or rewritten"))
		for name, key := range map[string]string{
			"by the server's key": "",
			"by a kept key":       "sesame/0123456789ab+8cf89e4e+AUFeQQY0YYh+0yn+DEKnd3LroMCUZoKJD9GQSdwjJz8J",
		} {
			err := a.verify(t.Context(), nil, verifying{key: key, earlier: nil})
			if err == nil || errors.Is(err, console.ErrUnsound) != c.unsound || errkind.Of(err) != c.kind {
				t.Errorf("%s, %s: %v", c.kind, name, err)
			}
		}
	}
}
