package world

import (
	"fmt"
	"strings"
)

// An Error is how the API says no: a code from its reference, and a message for
// people.
type Error struct {
	Code    string
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse makes an Error.
func Refuse(code, message string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(message, args...)}
}

// Absent is the error for an id that is not there, or that is no id of the kind.
func (w *World) Absent(prefix, id string) *Error {
	k, _ := w.kind(prefix)
	switch prefix {
	case "sgr":
		k = kind{prefix: prefix, absent: "InvalidSecurityGroupRuleId", noun: "security group rule ID"}
	case "region":
		return Refuse("InvalidParameterValue", "Invalid region names: [%s]", id)
	}
	if !wellFormed(prefix, id) {
		code := k.absent
		if prefix == "sg" {
			code = "InvalidGroupId"
		}
		return Refuse(code+".Malformed", "Invalid id: %q (expecting %q)", id, prefix+"-...")
	}
	return Refuse(k.absent+".NotFound", "The %s '%s' does not exist", k.noun, id)
}

// wellFormed reports whether id is a prefix with 8 or 17 hexadecimal digits.
func wellFormed(prefix, id string) bool {
	digits, ok := strings.CutPrefix(id, prefix+"-")
	strange := strings.Trim(digits, "0123456789abcdef") != ""
	return ok && !strange && (len(digits) == 8 || len(digits) == 17)
}
