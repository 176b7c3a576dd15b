package document

import (
	"strconv"
	"strings"
)

// Scalar returns s, which is valid UTF-8, as it is written in a YAML document,
// on one line: bare where every reader takes it for text, and in quotes where
// one might take it for a number, a date, null or a truth.
func Scalar(s string) string {
	if isWord(s) || isDotted(s) || isSpan(s) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// isWord reports whether s is a name or a path: web-1, host://web-1, /run/x.
func isWord(s string) bool {
	switch s {
	case "", "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	first := s[0]
	if first != '/' && (first < 'a' || first > 'z') || strings.HasSuffix(s, ":") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789/.:-_") == "" && !strings.Contains(s, ": ")
}

// isDotted reports whether s is an IPv4 address, with or without a port or a
// prefix length: a number has one dot at most.
func isDotted(s string) bool {
	return strings.Trim(s, "0123456789./:") == "" && strings.Count(s, ".") == 3 &&
		!strings.HasPrefix(s, ".") && !strings.HasPrefix(s, ":") && !strings.HasSuffix(s, ":")
}

// isSpan reports whether s is a time or a size: 1h30m, 64KiB.
func isSpan(s string) bool {
	unit := strings.TrimLeft(s, "0123456789")
	if unit == s || unit == "" {
		return false
	}
	return unit == "KiB" || unit == "MiB" || strings.Trim(unit, "0123456789hms") == "" && strings.ContainsAny(unit[len(unit)-1:], "hms")
}
