package console

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sesame-access/sesame/internal/cli/input"
)

// ErrInterrupted is returned by a command that somebody broke off.
var ErrInterrupted = errors.New("interrupted")

// Stays notes what stays as it is when somebody breaks the command off from here
// on. A command that never says so has changed nothing.
func (c *Console) Stays(format string, args ...any) { c.stays = fmt.Sprintf(format, args...) }

// LeftAsItIs is what a command that was broken off leaves behind.
func (c *Console) LeftAsItIs() string {
	if c.stays == "" {
		return "nothing was changed"
	}
	return c.stays
}

// Input is what is typed, or piped in, until ctx is done: then a read fails with
// the error of ctx, also one that waits for somebody at a terminal.
func (c *Console) Input(ctx context.Context) io.Reader { return input.Until(ctx, c.In) }
