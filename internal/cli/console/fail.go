package console

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// ErrUnsound is returned when an audit log is not what was signed.
var ErrUnsound = errors.New("the audit log is not sound")

// ErrFound is returned when a scan found something as bad as it was to fail on.
var ErrFound = errors.New("the scan found something")

// ErrSaid is returned by a command that failed and has said so itself.
var ErrSaid = errors.New("said")

// A hinted is an error with what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// Hint adds what to do next to err.
func Hint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// HintOf returns what was added to err as its hint; empty if nothing was.
func HintOf(err error) string {
	if h, ok := errors.AsType[hinted](err); ok {
		return h.hint
	}
	return ""
}

// ErrorText is what people are told about err. This is the user's own program:
// unlike a server it hides nothing from them.
func ErrorText(err error) string {
	text := err.Error()
	if errkind.Of(err) != errkind.Internal {
		text = errkind.Public(err)
	}
	return strings.TrimRight(text, "\n")
}
