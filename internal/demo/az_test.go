package demo_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/demo"
)

// The real az logs in to the demo, puts a policy, asks for a port and sees it open.
func TestAz(t *testing.T) {
	if _, err := exec.LookPath("az"); err != nil {
		t.Skip("az is not installed here")
	}
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	file := filepath.Join(t.TempDir(), "env")
	var out screen
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{Memory: true, Dir: filepath.Join(t.TempDir(), "demo"), EnvFile: file, Out: &out, Err: &out})
	}()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("the demo is not ready:\n%s", &out)
		}
	}
	said, err := exec.CommandContext(ctx, "../../scripts/az-demo", file).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, said, &out)
	}
	for _, want := range []string{"Succeeded", "jitNetworkAccessPolicies/default", "\nInitiating\n", "\nInitiated\n"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("az does not say %q:\n%s", want, said)
		}
	}
	t.Logf("%s", said)
	end()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
