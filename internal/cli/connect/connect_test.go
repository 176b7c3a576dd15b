package connect_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A place is a machine with files of the test's.
type place struct {
	t   *testing.T
	dir string
	env map[string]string
	connect.Machine
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), env: map[string]string{}}
	p.Machine = connect.Machine{
		Getenv: func(name string) string { return p.env[name] }, UID: os.Geteuid(),
		File: filepath.Join(p.dir, "client.yaml"), Socket: filepath.Join(p.dir, "s"),
		DemoDirs: []string{filepath.Join(p.dir, "demo-1"), filepath.Join(p.dir, "demo-2")},
	}
	return p
}

func (p *place) write(name, text string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return file
}

const demoEnv = `# made by the demo
SESAME_URL='https://127.0.0.1:8443'
export SESAME_CA=/run/demo/ca.pem
SESAME_TOKEN_ADMIN='a'\''b'
SESAME_TOKEN_REQUESTER='r'
SESAME_TOKEN_VIEWER=v
`

func TestTheFirstThatNamesAServerWins(t *testing.T) {
	p := newPlace(t)
	want := func(name string, f connect.Flags, role authz.Role, want connect.Target) {
		t.Helper()
		got, err := connect.Resolve(t.Context(), f, p.Machine, role)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := connect.Resolve(t.Context(), connect.Flags{}, p.Machine, authz.Admin); !errors.Is(err, connect.ErrNoServer) {
		t.Errorf("with nothing: %v", err)
	}

	second := p.DemoDirs[1]
	p.write("demo-2/env", demoEnv)
	want("a demo", connect.Flags{}, authz.Requester, connect.Target{
		Source: "the demo in " + second, URL: "https://127.0.0.1:8443", CA: "/run/demo/ca.pem", Token: "r", TokenSource: "the demo's requester", Demo: second,
	})
	want("a demo, as somebody else", connect.Flags{As: "admin"}, authz.Requester, connect.Target{
		Source: "the demo in " + second, URL: "https://127.0.0.1:8443", CA: "/run/demo/ca.pem", Token: "a'b", TokenSource: "the demo's admin", Demo: second,
	})

	if os.Geteuid() == 0 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "unix", p.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		want("root's socket", connect.Flags{}, authz.Admin, connect.Target{Source: "root's local socket", Socket: p.Socket})
		p.UID = 1000
		if got, _ := connect.Resolve(t.Context(), connect.Flags{}, p.Machine, authz.Admin); got.Socket != "" {
			t.Error("somebody who is not root is sent to root's socket")
		}
		p.UID = 0
	}

	token := p.write("token", "sesame_file\n")
	p.write("client.yaml", "server: https://file.example:1\nca: /ca\ntoken_file: "+token+"\n")
	want("the file", connect.Flags{}, authz.Admin, connect.Target{
		Source: p.File, URL: "https://file.example:1", CA: "/ca", Token: "sesame_file", TokenSource: token,
	})
	p.env["SESAME_TOKEN"] = "sesame_env"
	want("the file, with the environment's token", connect.Flags{}, authz.Admin, connect.Target{
		Source: p.File, URL: "https://file.example:1", CA: "/ca", Token: "sesame_env", TokenSource: "SESAME_TOKEN",
	})
	delete(p.env, "SESAME_TOKEN")

	p.env["SESAME_URL"] = "https://env.example:1"
	want("the environment, without the file's token", connect.Flags{}, authz.Admin, connect.Target{Source: "SESAME_URL", URL: "https://env.example:1"})
	p.env["SESAME_TOKEN_FILE"] = token
	p.env["SESAME_CA"] = "/envca"
	want("a flag before the environment", connect.Flags{Server: "https://flag.example"}, authz.Admin, connect.Target{
		Source: "--server", URL: "https://flag.example", CA: "/envca", Token: "sesame_file", TokenSource: "SESAME_TOKEN_FILE " + token,
	})
	want("a socket is shown no token", connect.Flags{Socket: "/s"}, authz.Admin, connect.Target{Source: "--socket", Socket: "/s"})
}

func TestDemosThatAreNotBelieved(t *testing.T) {
	for _, tt := range []struct {
		name, env, want string
		mode            os.FileMode
	}{
		{"others may look into it", demoEnv, "it is not yours or root's alone", 0o755},
		{"a command in it", "SESAME_URL=$(id)\n", "line 1 is not NAME=VALUE", 0o700},
		{"a double quote", "SESAME_URL=\"x\"\n", "line 1 is not NAME=VALUE", 0o700},
		{"an open quote", "A=b\nSESAME_URL='x\n", "line 2 is not NAME=VALUE", 0o700},
		{"no token", "SESAME_URL=x\nSESAME_CA=y\n", "does not name SESAME_URL, SESAME_CA and SESAME_TOKEN_ADMIN", 0o700},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("demo-1/env", tt.env)
			if err := os.Chmod(p.DemoDirs[0], tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := connect.Resolve(t.Context(), connect.Flags{}, p.Machine, authz.Admin)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		p := newPlace(t)
		p.write("elsewhere/env", demoEnv)
		if err := os.Symlink(filepath.Join(p.dir, "elsewhere"), p.DemoDirs[0]); err != nil {
			t.Fatal(err)
		}
		if got, err := connect.Resolve(t.Context(), connect.Flags{}, p.Machine, authz.Admin); err == nil {
			t.Errorf("a link is followed to %v", got)
		}
	})
	t.Run("somebody else's", func(t *testing.T) {
		p := newPlace(t)
		p.write("demo-1/env", demoEnv)
		if os.Geteuid() != 0 {
			t.Skip("only root can give a directory away")
		}
		if err := os.Chown(p.DemoDirs[0], 12345, -1); err != nil {
			t.Fatal(err)
		}
		p.UID = 1000
		if got, err := connect.Resolve(t.Context(), connect.Flags{}, p.Machine, authz.Admin); err == nil {
			t.Errorf("it is believed: %v", got)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	p := newPlace(t)
	empty := p.write("empty", "\n")
	lines := p.write("lines", "a\nb\n")
	for _, tt := range []struct {
		flags connect.Flags
		env   map[string]string
		want  string
	}{
		{connect.Flags{Server: "https://a", Socket: "/s"}, nil, "--server and --socket name two servers"},
		{connect.Flags{Server: "http://a"}, nil, `--server: "http://a" is not the address of a server`},
		{connect.Flags{Server: "https://a?x=1"}, nil, "--server"},
		{connect.Flags{}, map[string]string{"SESAME_URL": "a:1"}, `SESAME_URL: "a:1" is not`},
		{connect.Flags{Server: "https://a", As: "admin"}, nil, "--as is for a demo"},
		{connect.Flags{As: "root"}, nil, `--as: "root" is not`},
		{connect.Flags{TokenFile: empty}, nil, "holds no token"},
		{connect.Flags{TokenFile: lines}, nil, "holds no token"},
		{connect.Flags{TokenFile: p.dir}, nil, "cannot be read: is a directory"},
		{connect.Flags{}, map[string]string{"SESAME_TOKEN": "a b"}, "SESAME_TOKEN holds no token"},
		{connect.Flags{}, map[string]string{"SESAME_TOKEN": "sesame_\x00"}, "SESAME_TOKEN holds no token"},
	} {
		p.env = tt.env
		_, err := connect.Resolve(t.Context(), tt.flags, p.Machine, authz.Admin)
		if errkind.Of(err) != errkind.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v %v: got %v, want %q", tt.flags, tt.env, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame_") {
			t.Errorf("the error tells the token: %v", err)
		}
	}
	p.env = nil
	for text, want := range map[string]string{
		"server: ftp://x\n":                         "line 1: server: \"ftp://x\" is not",
		"server: https://x\nsocket: /s\n":           "server and socket name two servers",
		"Server: https://x\n":                       "line 1: there is no key",
		"server: https://x\nserver: https://y\n":    "line 2",
		"server: https://x\nca: ca.pem\n":           "line 2: ca: \"ca.pem\" is not an absolute path",
		"server: https://x\ntoken: sesame_inline\n": "line 2: there is no key",
	} {
		p.write("client.yaml", text)
		if _, err := connect.Resolve(t.Context(), connect.Flags{}, p.Machine, authz.Admin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
