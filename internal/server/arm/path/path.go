// Package path reads the paths of the Azure face as Azure Resource Manager does:
// whatever the case, and strictly otherwise. A segment is unescaped once; what holds
// a slash, a backslash, a percent sign, a control character or dots alone then is no
// segment.
package path

import (
	"net/url"
	"strings"
)

// Split returns the segments of an escaped path, unescaped; false for one that two
// readers could read differently.
func Split(path string) ([]string, bool) {
	var out []string
	for s := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		plain, err := url.PathUnescape(s)
		bad := func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' || r == '\\' || r == '%' }
		if err != nil || plain == "" || strings.Trim(plain, ".") == "" || strings.ContainsFunc(plain, bad) {
			return nil, false
		}
		out = append(out, plain)
	}
	return out, true
}

// Match reports whether segments are those of a route's path, and returns its
// parameters.
func Match(path string, segments []string) (map[string]string, bool) {
	want := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(want) != len(segments) {
		return nil, false
	}
	args := map[string]string{}
	for i, w := range want {
		if name, ok := strings.CutPrefix(w, "{"); ok {
			args[strings.TrimSuffix(name, "}")] = segments[i]
		} else if !equalASCII(w, segments[i]) {
			return nil, false
		}
	}
	return args, true
}

// equalASCII compares two texts whatever the case of ASCII letters in them: there is
// no other way to write what Azure calls something.
func equalASCII(lower, s string) bool {
	if len(lower) != len(s) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
