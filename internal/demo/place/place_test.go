package place_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/demo/place"
	"github.com/sesame-access/sesame/internal/errkind"
)

// holdDir tells this test binary to claim a directory, and for how long.
const holdDir = "PLACE_TEST_HOLD"

func TestMain(m *testing.M) {
	if ran, err := place.Stage(os.Args); ran {
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(holdDir); dir != "" {
		hold(dir)
		return
	}
	os.Exit(m.Run())
}

// hold is a demo that writes its files, says so, and waits to be killed.
func hold(dir string) {
	p, err := place.Claim(dir, dir+".env")
	if err == nil {
		err = errors.Join(p.Write(place.EnvFile, "A=1\n"), place.Replace(dir+".env", "A=1\n"))
	}
	if err == nil {
		err = os.MkdirAll(p.Path("state/deep"), 0o700)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return
	}
	os.Stdout.WriteString("ready\n")
	<-make(chan struct{})
	p.Release() // never reached; the garbage collector must not end the claim
}

// startHolder starts a demo of the directory in another process.
func startHolder(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	if _, err := os.Stat(cmd.Path); err != nil {
		t.Skip("this system has no /proc to find this program by")
	}
	cmd.Env = append(os.Environ(), holdDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	said := make([]byte, 1024)
	if n, _ := out.Read(said); string(said[:n]) != "ready\n" {
		t.Fatalf("the holder says %q", said[:n])
	}
	return cmd
}

func gone(t *testing.T, path string) {
	t.Helper()
	begin := time.Now()
	for time.Since(begin) < 5*time.Second {
		if _, err := os.Lstat(path); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%s is still there", path)
}

func TestOneAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	cmd := startHolder(t, dir)
	_, err := place.Claim(dir, "")
	if errkind.Of(err) != errkind.Conflict || !strings.Contains(err.Error(), "kill "+strconv.Itoa(cmd.Process.Pid)) {
		t.Fatalf("a second demo is told %v; it must name process %d", err, cmd.Process.Pid)
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "deep")); err != nil {
		t.Errorf("the refused demo removed the living one's files: %v", err)
	}
}

func TestKillLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	cmd := startHolder(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	gone(t, dir)
	gone(t, dir+".env")
}

func TestSuccessorIsNotReaped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	for range 8 {
		cmd := startHolder(t, dir)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		p, err := place.Claim(dir, "") // races with the reaper of the dead one
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Write("mine", "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(p.Path("state")); err == nil {
			t.Error("the dead demo's files are still there")
		}
		time.Sleep(5 * time.Millisecond)
		if _, err := os.Stat(p.Path("mine")); err != nil {
			t.Fatalf("the reaper of the dead demo took the living one's file: %v", err)
		}
		if err := p.Release(); err != nil {
			t.Fatal(err)
		}
		gone(t, dir)
	}
}

func TestReleaseLeavesForeignFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	also := dir + ".env"
	for _, c := range []struct {
		written string
		stays   bool
	}{{"A=1\n", false}, {"somebody else's\n", true}} {
		p, err := place.Claim(dir, also)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Write(place.EnvFile, "A=1\n"), place.Replace(also, c.written)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(also); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the copy has mode %v, %v", info.Mode(), err)
		}
		if err := p.Release(); err != nil {
			t.Fatal(err)
		}
		gone(t, dir)
		text, err := os.ReadFile(also)
		if c.stays != (err == nil) || c.stays && !bytes.Equal(text, []byte(c.written)) {
			t.Errorf("after a copy of %q was written: %q, %v", c.written, text, err)
		}
	}
}

func TestDirectoryMustBeOurs(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	target, link := filepath.Join(base, "target"), filepath.Join(base, "link")
	file := filepath.Join(base, "file")
	if err := errors.Join(os.Mkdir(open, 0o755), os.Chmod(open, 0o755), os.Mkdir(target, 0o700), os.Symlink(target, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, link, file} {
		if _, err := place.Claim(dir, ""); errkind.Of(err) != errkind.Conflict || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s was claimed: %v", dir, err)
		}
	}
	if _, err := place.Claim(filepath.Join(base, "no", "such"), ""); err == nil {
		t.Error("a directory below nothing was claimed")
	}
}
