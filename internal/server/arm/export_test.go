package arm

import (
	"strings"

	"github.com/sesame-access/sesame/internal/server/arm/path"
)

// RouteNames returns every route, as RouteOf names it.
func RouteNames() []string {
	var out []string
	for _, rt := range New(Config{}).routes {
		out = append(out, rt.method+" "+rt.path)
	}
	return out
}

// RouteOf returns the route that answers a request.
func RouteOf(method, target string) string {
	target, _, _ = strings.Cut(target, "?")
	segments, _ := path.Split(target)
	for _, rt := range New(Config{}).routes {
		if _, found := path.Match(rt.path, segments); found && rt.method == method {
			return rt.method + " " + rt.path
		}
	}
	return ""
}
