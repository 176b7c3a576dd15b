// Package input reads what somebody named on the command line: a file, or what is
// typed or piped in.
//
// Whatever that is, reading it ends with the context: nobody waits for a named
// pipe that has no writer, or for a person who does not answer, after Ctrl-C.
// What is read into memory is at most MaxBytes long.
package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxBytes is the most that is read into memory: what a document may have, and
// several times what an operating system's certificates take.
const MaxBytes = 1 << 20

// ErrTooLong is returned for what has more than MaxBytes bytes.
var ErrTooLong = fmt.Errorf("it is longer than %d bytes, which is the most that is read", MaxBytes)

// Until is r until ctx is done: then a read fails with the error of ctx, also one
// that waits.
func Until(ctx context.Context, r io.Reader) io.Reader { return interruptible{ctx, r} }

// Open opens a file to be read until ctx is done. It does not limit how long the
// file is.
func Open(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := await(ctx, func() (*os.File, error) { return os.Open(name) })
	if err != nil {
		return nil, about(name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{Until(ctx, f), f}, nil
}

// ReadFile returns what a file holds. Its errors are of type *fs.PathError.
func ReadFile(ctx context.Context, name string) ([]byte, error) {
	f, err := Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := ReadAll(ctx, f)
	if err != nil {
		return nil, about(name, err)
	}
	return text, nil
}

// ReadAll returns what r has until its end.
func ReadAll(ctx context.Context, r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(Until(ctx, r), MaxBytes+1))
	if err == nil && len(text) > MaxBytes {
		err = ErrTooLong
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// about makes err one about the file, unless it is.
func about(name string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return &fs.PathError{Op: "read", Path: name, Err: err}
}

type interruptible struct {
	ctx  context.Context //nolint:containedctx // of the one command that reads
	from io.Reader
}

// Read reads into a buffer of its own, because p is the caller's again when ctx
// is done.
func (r interruptible) Read(p []byte) (int, error) {
	text, err := await(r.ctx, func() ([]byte, error) {
		text := make([]byte, len(p))
		n, err := r.from.Read(text)
		return text[:n], err
	})
	return copy(p, text), err
}

// await returns what f does, or the error of ctx as soon as it is done. Then f is
// left behind in its goroutine: the program ends.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		is  T
		err error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	done := make(chan result, 1)
	go func() {
		is, err := f()
		done <- result{is, err}
	}()
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case r := <-done:
		return r.is, r.err
	}
}
