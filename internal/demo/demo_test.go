package demo_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/demo"
	"github.com/sesame-access/sesame/internal/demo/place"
	"github.com/sesame-access/sesame/internal/errkind"
)

// TestMain is the program, too: people in a story type its commands.
func TestMain(m *testing.M) {
	if code, ran := demo.Stage(os.Args, os.Stderr); ran {
		os.Exit(code)
	}
	if os.Getenv("SESAME_URL") != "" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// A screen is what a demo writes, while it writes.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) shows(t *testing.T, want string) {
	t.Helper()
	for begin := time.Now(); !strings.Contains(s.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("the screen does not show %q:\n%s", want, s)
		}
	}
}

func TestPlaySimulated(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	var out screen
	followed := make(chan map[string]int, 1)
	go func() { followed <- follow(t, dir) }()
	err := demo.Run(t.Context(), demo.Options{Play: true, Memory: true, Dir: dir, EnvFile: dir + ".env", Out: &out, Err: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		"simulated", "$ sesame open web-1 --for 1m", "vito may not open", "repaired", "simulated connection lives on",
		"simulated: 203.0.113.20 gets in, 198.51.100.77 does not", "every security group says what it said before",
		"the lock stands above that rule now", "the group says what it said before, byte",
		"The audit log is sound", "every file of the demo is gone",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, &out)
		}
	}
	if kinds := <-followed; kinds["grant.opened"] != 5 || kinds["grant.closed"] != 5 {
		t.Errorf("who followed the whole story was told %v; want 5 grants opened and closed", kinds)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("there is colour although this is no terminal")
	}
}

// follow counts what the demo's server tells about over its local socket, on one
// connection, until five grants are closed.
func follow(t *testing.T, dir string) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	c, err := client.New(client.Config{Socket: filepath.Join(dir, "sesame.sock")})
	if err != nil {
		t.Error(err)
		return kinds
	}
	defer c.CloseIdle()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	err = c.Follow(ctx, client.Filter{}, -1, func(r api.Record) {
		if kinds[r.Kind]++; kinds["grant.closed"] == 5 {
			cancel()
		}
	})
	if err != nil {
		t.Error(err)
	}
	return kinds
}

// Plays are in nobody's way: any number of them run at once, each in a directory
// of its own, which goes with it.
func TestPlaysSideBySide(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const plays = 2
	var screens [plays]screen
	var files [plays]string
	ended := make(chan error, plays)
	for i := range plays {
		files[i] = filepath.Join(t.TempDir(), "env")
		go func() {
			ended <- demo.Run(ctx, demo.Options{Play: true, Memory: true, EnvFile: files[i], Out: &screens[i], Err: &screens[i]})
		}()
	}
	var dirs [plays]string
	for i := range plays {
		screens[i].shows(t, "$ sesame open web-1")
		text, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "SESAME_CA='")
		ca, _, _ := strings.Cut(rest, "/state/")
		if dirs[i] = ca; ca == "" || ca == place.Default() {
			t.Errorf("a play is in %q", ca)
		}
	}
	if dirs[0] == dirs[1] {
		t.Errorf("both plays are in %s", dirs[0])
	}
	cancel()
	for range plays {
		if err := <-ended; err == nil {
			t.Error("a play that was broken off ends as if it had been played")
		}
	}
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

// A running demo is used by its files, told what happens, and removed.
func TestStay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "de'mo") // a name that a shell must be told about
	file := dir + ".env"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out screen
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{Memory: true, Dir: dir, EnvFile: file, Out: &out, Err: &out})
	}()
	out.shows(t, "Ctrl-C ends the demo")
	if _, err := os.Stat(file); err != nil {
		t.Errorf("everything is ready, but %v", err)
	}
	err := demo.Run(t.Context(), demo.Options{Memory: true, Dir: dir, EnvFile: file, Out: &out, Err: &out})
	if errkind.Of(err) != errkind.Conflict {
		t.Errorf("a second demo in the same directory: %v", err)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", `set -a; . "$1"; env | grep ^SESAME_ | sort | cut -d= -f1; test -r "$SESAME_CA" && echo readable`, "sh", file)
	said, err := shell.CombinedOutput()
	if want := "SESAME_ARM_ENDPOINT\nSESAME_CA\nSESAME_TOKEN_ADMIN\nSESAME_TOKEN_APPROVER\nSESAME_TOKEN_AUDITOR\nSESAME_TOKEN_REQUESTER\nSESAME_TOKEN_VIEWER\nSESAME_URL\nreadable\n"; err != nil || string(said) != want {
		t.Errorf("a shell finds %q in the file, %v; want %q", said, err, want)
	}
	machine := connect.Machine{Getenv: func(string) string { return "" }, UID: os.Geteuid(), DemoDirs: []string{dir}}
	target, err := connect.Resolve(t.Context(), connect.Flags{}, machine, authz.Requester)
	if err != nil || target.Demo != dir {
		t.Fatalf("the command line does not find the demo: %+v, %v", target, err)
	}
	rosa, err := connect.Client(t.Context(), target, "test")
	if err != nil {
		t.Fatal(err)
	}
	r, err := rosa.Request(t.Context(), api.Ask{VM: "web-1", Ports: []api.Port{{Port: 22}}, Duration: "2m", Reason: "try it"}, "")
	if err != nil || len(r.Grants) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	out.shows(t, "a connection from 127.0.0.1 gets in, a connection from 203.0.113.9 does not")
	if _, err := rosa.Close(t.Context(), r.Grants[0].ID); err != nil {
		t.Fatal(err)
	}
	out.shows(t, "a connection from 127.0.0.1 does not, a connection from 203.0.113.9 does not")
	rosa.CloseIdle()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the demo that was interrupted ends with %v", err)
	}
	for _, path := range []string{dir, file} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}
