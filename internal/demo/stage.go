package demo

import (
	"fmt"
	"io"

	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/demo/place"
	"github.com/sesame-access/sesame/internal/netlab"
)

// Stage takes over when this process was started by a demo, or by its network,
// for one of their small jobs. It reports whether it did, and the code to exit
// with. Call it before anything else in main and in TestMain; it stands for
// netlab.Stage, too.
func Stage(args []string, stderr io.Writer) (code int, ran bool) {
	if code, ran := netlab.Stage(args, stderr); ran {
		return code, ran
	}
	for _, stage := range []func([]string) (bool, error){place.Stage, ground.Stage} {
		ran, err := stage(args)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
			return 1, true
		}
		if ran {
			return 0, true
		}
	}
	return 0, false
}
