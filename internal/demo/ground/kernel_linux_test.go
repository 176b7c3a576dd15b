package ground_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/netlab"
)

func TestMain(m *testing.M) {
	if code, ran := netlab.Stage(os.Args, os.Stderr); ran {
		os.Exit(code)
	}
	if ran, err := ground.Stage(os.Args); ran {
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func newKernel(t *testing.T) *ground.Kernel {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root: run the tests with sudo")
	}
	k, err := ground.NewKernel(t.Context(), t.TempDir(), "web-1")
	if errors.Is(err, netlab.ErrNoSSHD) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// nft runs nft in the VM, as an oracle of our own tools.
func nft(t *testing.T, k *ground.Kernel, args ...string) string {
	t.Helper()
	cmd := k.VM("web-1").Command(t.Context(), "nft", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestFlushAndKnock(t *testing.T) {
	k := newKernel(t)
	ctx := t.Context()
	knock := func(from ground.Side, port uint16, want bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 900*time.Millisecond)
		defer cancel()
		if got, err := k.Knock(ctx, from, "web-1", port); err != nil || got != want {
			t.Errorf("a connection to port %d from side %d gets through: %v, %v; want %v", port, from, got, err, want)
		}
	}
	knock(ground.You, 22, true)
	session, err := k.Login(ctx, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	stranger := k.Site().Stranger.String()
	nft(t, k, "add table inet other; add chain inet other in { type filter hook prerouting priority 0; }; add rule inet other in ip saddr "+stranger+" drop; add table ip more")
	knock(ground.Stranger, 22, false)
	knock(ground.You, 22, true)
	if _, err := k.Knock(ctx, ground.You, "web-1", 8080); err == nil {
		t.Error("a port where nobody listens is said to be open or shut")
	}
	if err := k.Flush(ctx, "web-1"); err != nil {
		t.Fatal(err)
	}
	if left := strings.TrimSpace(nft(t, k, "list", "ruleset")); left != "" {
		t.Errorf("after the flush there is %s", left)
	}
	knock(ground.Stranger, 22, true)
	if err := session.Alive(ctx); err != nil {
		t.Error(err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
}
