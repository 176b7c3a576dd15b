package roles_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/cli/roles"
	"github.com/sesame-access/sesame/internal/config"
)

const subscription = "5e5a3e00-0000-4000-8000-000000000001"

// typed runs `role` with a configuration.
func typed(azure config.Azure, format output.Format, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := roles.Command(&console.Console{Out: &out, Format: format}, func(context.Context, string) (config.Config, error) { return config.Config{Azure: azure}, nil })
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestAzure(t *testing.T) {
	one := config.Azure{Subscriptions: []string{subscription}, ManagementGroups: []string{"platform"}}
	out, err := typed(one, output.Table, "azure", "reader")
	var d struct{ Actions, AssignableScopes []string }
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := []string{"/subscriptions/" + subscription, "/providers/Microsoft.Management/managementGroups/platform"}; err != nil || !slices.Equal(d.AssignableScopes, want) {
		t.Errorf("%v, %v", d.AssignableScopes, err)
	}
	if !slices.Contains(d.Actions, "Microsoft.Management/managementGroups/descendants/read") {
		t.Errorf("who reads management groups may %v", d.Actions)
	}
	out, err = typed(config.Azure{}, output.Table, "azure")
	if err != nil || !strings.Contains(out, "closer: ") || !strings.Contains(out, "delete a Deny") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = typed(one, output.JSON, "azure")
	if err != nil || strings.Count(out, "AssignableScopes") != 4 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAzureRefuses(t *testing.T) {
	for want, c := range map[string]struct {
		azure config.Azure
		role  string
	}{
		"reader":           {config.Azure{Subscriptions: []string{subscription}}, "owner"},
		"nothing of Azure": {config.Azure{}, "closer"},
		"takes one":        {config.Azure{ManagementGroups: []string{"a", "b"}}, "closer"},
	} {
		if out, err := typed(c.azure, output.Table, "azure", c.role); err == nil || out != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\n%s", want, err, out)
		}
	}
}
