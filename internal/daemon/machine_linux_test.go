package daemon

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestMachineClocks(t *testing.T) {
	read, err := MachineClocks()
	if err != nil {
		t.Fatal(err)
	}
	a, b := read(), read()
	if a.BootID == "" || a.BootID != b.BootID || a.Boot <= 0 || b.Boot < a.Boot {
		t.Errorf("since the boot: %v then %v", a, b)
	}
	if !a.Third.IsZero() || a.Wall.Location() != time.UTC || time.Since(a.Wall).Abs() > time.Minute {
		t.Errorf("the wall clock shows %v", a.Wall)
	}
	if a.Wall != a.Wall.Round(0) {
		t.Error("the wall clock carries a monotonic reading, which hides that it was set")
	}
	if step := b.Stepped(a); step.Abs() > time.Second {
		t.Errorf("between two looks the clock was set by %v", step)
	}
}

func TestNotify(t *testing.T) {
	if err := notify(t.Context(), "", notifyReady); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	if err := notify(t.Context(), "/nowhere", notifyReady); err == nil {
		t.Error("a service manager that is not there was told")
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "s"), "@sesame-test-" + filepath.Base(t.TempDir()) + t.Name()} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := notify(t.Context(), name, notifyReady); err != nil {
			t.Fatal(err)
		}
		var b [64]byte
		n, err := l.Read(b[:])
		if err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("%s was told %q, %v", name, b[:n], err)
		}
	}
}
