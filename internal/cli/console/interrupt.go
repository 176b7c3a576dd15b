package console

import (
	"context"
	"errors"
	"fmt"
	"io"
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
func (c *Console) Input(ctx context.Context) io.Reader { return interruptible{ctx, c.In} }

type interruptible struct {
	ctx  context.Context //nolint:containedctx // of the one command that reads
	from io.Reader
}

// Read reads in a goroutine that is left behind when nothing more comes: the
// program ends then.
func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	type part struct {
		text []byte
		err  error
	}
	read := make(chan part, 1)
	go func() {
		text := make([]byte, len(p))
		n, err := r.from.Read(text)
		read <- part{text[:n], err}
	}()
	select {
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	case x := <-read:
		return copy(p, x.text), x.err
	}
}
