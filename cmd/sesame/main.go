// Command sesame is the whole of Sesame: the daemon, the command line and the
// demo.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sesame-access/sesame/internal/cli"
	"github.com/sesame-access/sesame/internal/demo"
)

func main() {
	// The demo's machines are this program again, under other names.
	if code, ran := demo.Stage(os.Args, os.Stderr); ran {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The second signal ends the program at once, but not the echo of the first:
	// timeout(1), say, signals a program and then its process group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
