// Package hcltest asks the real Terraform what it thinks of a text.
package hcltest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Terraform returns what terraform says when it reads text, and fails the test when
// it does. Where there is none the test is skipped. It downloads nothing.
func Terraform(tb testing.TB, text string, args ...string) string {
	tb.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		tb.Skip("terraform is not installed, so that nobody can say whether it takes this")
	}
	cmd := exec.CommandContext(tb.Context(), path, args...) //nolint:gosec // a test says which arguments
	cmd.Dir = tb.TempDir()
	cmd.Env = []string{"TF_CLI_CONFIG_FILE=" + os.DevNull, "CHECKPOINT_DISABLE=1", "HOME=" + cmd.Dir}
	cmd.Stdin = strings.NewReader(text)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		tb.Fatalf("terraform %s: %v\n%s%s\n%s", strings.Join(args, " "), err, &out, &said, text)
	}
	return out.String()
}

// Formatted fails the test unless text is as `terraform fmt` leaves it.
func Formatted(tb testing.TB, text string) {
	tb.Helper()
	Terraform(tb, text, "fmt", "-check", "-diff", "-")
}
