package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Which version this program is",
		Example: "  sesame version",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				System  string `json:"system"`
			}{console.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.Show(v, func() error {
				fmt.Fprintf(a.Out, "sesame %s, %s, %s\n", v.Version, v.Go, v.System)
				return nil
			})
		},
	}
}
