package sesame_test

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A floor is a set of packages of one kind.
type floor struct {
	name string

	// pure packages decide and never act: no I/O, no clock, no randomness, no
	// goroutines. They are given what they need, the time of day included.
	pure bool

	// steps lead up inside a floor, mostly a single one: a package may import
	// from lower steps of its own floor, never from its own step.
	steps [][]string
}

// floors lists our packages from the ground up: a package imports only from
// what comes before it here. Tests are exempt.
//
// Do not edit the table to make a build pass. Moving a package is a design
// change and needs a decision record (docs/adr).
var floors = []floor{
	{name: "0", pure: true, steps: [][]string{
		{"internal/errkind"},
		{"internal/document", "internal/firewall"},
	}},
	{name: "1", pure: true, steps: [][]string{
		{"internal/access", "internal/inventory"},
		{"internal/policy", "internal/reach/sieve"},
		{"internal/access/approval", "internal/reach"},
		{"internal/reach/proof", "internal/reach/sentence", "internal/reach/survey"},
	}},
	{name: "2", pure: true, steps: [][]string{
		{"internal/authz/scope"},
		{"internal/authz/engine", "internal/authz/role"},
		{"internal/authz/accesspolicy", "internal/authz/condition"},
		{
			"internal/api/strict",
			"internal/audit",
			"internal/authz",
			"internal/config",
			"internal/plan",
			"internal/posture",
		},
		{"internal/adoption", "internal/api", "internal/api/arm", "internal/api/arm/resource", "internal/authz/trial", "internal/posture/defender", "internal/posture/history"},
		{"internal/api/identity", "internal/api/rights", "internal/api/vote", "internal/posture/report"},
	}},
	{name: "3", steps: [][]string{
		{"internal/provider"},
	}},
	{name: "4", steps: [][]string{
		{
			"internal/authn/oidc/oidctest",
			"internal/authn/once",
			"internal/authn/session",
			"internal/cloudsim/arm/fault",
			"internal/cloudsim/arm/gate",
			"internal/cloudsim/arm/packet/topology",
			"internal/cloudsim/arm/rawjson",
			"internal/cloudsim/ec2/packet",
			"internal/cloudsim/ec2/past",
			"internal/netlab/netlabtest",
			"internal/provider/azure/nsg/resource",
			"internal/provider/nftables/nfnetlink/ruleset",
			"internal/provider/hcl",
			"internal/provider/hcl/hcltest",
			"internal/provider/prefix",
			"internal/reach/reachtest",
		},
		{
			"internal/authn/known",
			"internal/authn/oidc",
			"internal/cloudsim/arm/fleet",
			"internal/cloudsim/arm/packet",
			"internal/cloudsim/arm/world",
			"internal/cloudsim/ec2/world",
			"internal/provider/aws/truce",
			"internal/provider/aws/wall",
			"internal/provider/azure/rule",
			"internal/provider/memory/dialect",
			"internal/provider/nftables/nfnetlink",
		},
		{
			"internal/cloudsim/arm/rp",
			"internal/cloudsim/ec2/fleet",
			"internal/cloudsim/ec2/gate",
			"internal/provider/aws/path",
			"internal/provider/aws/securitygroup",
			"internal/provider/azure/firewall/collection",
			"internal/provider/azure/nsg/dialect",
			"internal/provider/memory/compile",
			"internal/provider/nftables/foreign",
			"internal/provider/nftables/table",
		},
		{
			"internal/cloudsim/ec2/query",
			"internal/provider/aws/inventory",
			"internal/provider/aws/role",
			"internal/provider/aws/securitygroup/compile",
			"internal/provider/aws/terraform",
			"internal/provider/azure/nsg",
			"internal/provider/azure/terraform",
			"internal/provider/azure/topology",
		},
		{"internal/cloudsim/ec2/wire", "internal/provider/azure/meter", "internal/provider/azure/own", "internal/provider/azure/path"},
		{"internal/cloudsim/ec2/action", "internal/provider/azure/estate"},
		{
			"internal/api/client",
			"internal/authn",
			"internal/cloudsim/arm",
			"internal/cloudsim/ec2",
			"internal/netlab",
			"internal/notify",
			"internal/provider/aws",
			"internal/provider/azure",
			"internal/provider/azure/firewall",
			"internal/provider/azure/role",
			"internal/provider/memory",
			"internal/provider/nftables",
			"internal/provider/providertest",
			"internal/store/commit",
			"internal/store/list",
			"internal/store/table",
		},
		{"internal/store/activity", "internal/store/identity", "internal/store/roles", "internal/store/vote"},
		{"internal/store/erase"},
		{"internal/store/sqlite"},
		{"internal/store"},
		{"internal/store/storetest"},
	}},
	{name: "5", steps: [][]string{
		{"internal/reconcile/adopt", "internal/reconcile/book", "internal/reconcile/news", "internal/reconcile/sight", "internal/spool"},
		{"internal/reconcile", "internal/scan", "internal/signin"},
		{"internal/fleet"},
		{"internal/broker/consent", "internal/broker/desk", "internal/broker/revision", "internal/broker/skew"},
		{"internal/broker/locks", "internal/broker/rights", "internal/broker/tokens"},
		{"internal/broker"},
	}},
	{name: "6", steps: [][]string{
		{"internal/server/auditlog", "internal/server/front", "internal/server/metrics", "internal/server/rights", "internal/server/rule", "internal/server/sight", "internal/server/tlsfiles"},
		{"internal/server/arm/guise", "internal/server/arm/path", "internal/server/arm/view", "internal/server/follow", "internal/server/login"},
		{"internal/server/arm"},
		{"internal/server", "internal/web"},
	}},
	{name: "7", steps: [][]string{
		{"internal/daemon/clouds"},
		{"internal/daemon"},
	}},
	{name: "8", steps: [][]string{
		{"internal/cli/configdoc", "internal/cli/input", "internal/cli/output", "internal/demo/ground", "internal/demo/place", "internal/demo/program"},
		{"internal/cli/connect"},
		{"internal/cli/console", "internal/cli/doctor"},
		{"internal/cli/admin", "internal/cli/approver", "internal/cli/identity", "internal/cli/requester", "internal/cli/roles", "internal/cli/scan", "internal/demo"},
		{"internal/cli"},
	}},
	{name: "9", steps: [][]string{{
		"cmd/sesame",
		"internal/simtest",
		"tools/testreport",
	}}},
}

// secluded packages keep what is below them to themselves: it was cut out of
// them, and nobody else imports it.
var secluded = []string{
	"internal/provider/nftables",
	"internal/store",
}

// impure lists the imports that a pure package may not have. A trailing slash
// means everything below.
var impure = []string{
	"context",
	"crypto/rand",
	"database/sql", "database/sql/",
	"log", "log/",
	"math/rand", "math/rand/",
	"net", "net/http", "net/http/", "net/rpc", "net/smtp",
	"os", "os/",
	"sync", "sync/",
	"syscall", "golang.org/x/sys/",
}

// clocks are the symbols of package time that ask what time it is, or wait.
var clocks = []string{
	"time.After", "time.AfterFunc", "time.NewTicker", "time.NewTimer",
	"time.Now", "time.Since", "time.Sleep", "time.Tick", "time.Until",
}

func TestImportFloors(t *testing.T) {
	none(t, floorProblems(repository(t), floors, secluded))
}

func TestPurePackagesArePure(t *testing.T) {
	none(t, purityProblems(repository(t), floors))
}

func floorProblems(tr *tree, floors []floor, secluded []string) (problems []string) {
	type place struct {
		floor  string
		height int
	}
	places := map[string]place{}
	height := 0
	for _, f := range floors {
		for _, step := range f.steps {
			height++
			for _, p := range step {
				if _, twice := places[p]; twice {
					problems = append(problems, p+" stands in two places")
				}
				places[p] = place{f.name, height}
			}
		}
	}
	homeless := map[string]bool{}
	for _, s := range tr.code {
		if s.test || s.dir == "." {
			continue
		}
		from, ok := places[s.dir]
		if !ok {
			homeless[s.dir] = true
			continue
		}
		for _, i := range s.imports() {
			p, ours := strings.CutPrefix(i.path, module+"/")
			if !ours {
				continue
			}
			to, ok := places[p]
			if !ok {
				homeless[p] = true
				continue
			}
			if to.height >= from.height {
				problems = append(problems, fmt.Sprintf("%s: %s (floor %s) imports %s (floor %s), which is not below it", s.path, s.dir, from.floor, p, to.floor))
			}
			for _, owner := range secluded {
				if strings.HasPrefix(p, owner+"/") && s.dir != owner && !strings.HasPrefix(s.dir, owner+"/") {
					problems = append(problems, fmt.Sprintf("%s: %s imports %s, which is private to %s", s.path, s.dir, p, owner))
				}
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(homeless)) {
		problems = append(problems, dir+" stands on no floor; decide where it belongs and add it to the table")
	}
	return problems
}

func purityProblems(tr *tree, floors []floor) (problems []string) {
	pure := map[string]bool{}
	for _, f := range floors {
		for _, p := range slices.Concat(f.steps...) {
			pure[p] = f.pure
		}
	}
	for _, s := range tr.code {
		if s.test || !pure[s.dir] {
			continue
		}
		for _, i := range s.imports() {
			if slices.ContainsFunc(impure, func(p string) bool {
				return i.path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(i.path, p)
			}) {
				problems = append(problems, fmt.Sprintf("%s: %s is pure but imports %s", s.path, s.dir, i.path))
			}
			if i.name == "." {
				problems = append(problems, fmt.Sprintf("%s: %s imports %s as %q, which hides what it uses", s.path, s.dir, i.path, i.name))
			}
		}
		s.symbols(func(symbol string, at ast.Node) {
			if slices.Contains(clocks, symbol) {
				problems = append(problems, fmt.Sprintf("%s: %s is pure but uses %s; take the time as an argument", tr.where(at), s.dir, symbol))
			}
		})
	}
	return problems
}

// The editor's version of the purity rule is depguard's list; the table above
// is the authority, and the two must name the same packages.
func TestLinterKnowsThePurePackages(t *testing.T) {
	var want []string
	for _, f := range floors {
		for _, p := range slices.Concat(f.steps...) {
			if f.pure {
				want = append(want, strings.TrimPrefix(p, "internal/"))
			}
		}
	}
	slices.Sort(want)
	text, err := os.ReadFile(".golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\*\*/internal/\{([a-z,/]+)\}/\*\.go`).FindSubmatch(text)
	if m == nil {
		t.Fatal(".golangci.yml has no list of pure packages")
	}
	got := strings.Split(string(m[1]), ",")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf(".golangci.yml calls these packages pure:\n%v\nthe floors say:\n%v", got, want)
	}
}

func TestFloorFaultsAreFound(t *testing.T) {
	toy := []floor{
		{name: "0", pure: true, steps: [][]string{{"internal/low"}, {"internal/side", "internal/wall"}}},
		{name: "1", steps: [][]string{{"internal/high/inner"}, {"internal/high", "internal/other"}}},
	}
	tr := plant(t,
		"doc.go", "package sesame",
		"internal/low/a.go", `package low; import ("net/netip"; "`+module+`/internal/side")`,
		"internal/low/b.go", `package low; import clock "time"; var _ = clock.Now; var _ = clock.Second`,
		"internal/low/a_test.go", `package low; import ("os"; "`+module+`/internal/high")`,
		"internal/side/a.go", `package side; import ("`+module+`/internal/low"; "`+module+`/internal/wall"; "os/exec"; "math/rand/v2"; "time"); func f() { <-time.After(1) }`,
		"internal/side/b_plan9.go", `package side; import . "net/http"`,
		"internal/high/a.go", `package high; import ("os"; "`+module+`/internal/low"; "`+module+`/internal/high/inner")`,
		"internal/high/inner/a.go", `package inner; import "`+module+`/internal/high"`,
		"internal/other/a.go", `package other; import "`+module+`/internal/high/inner"`,
		"internal/new/a.go", `package new`,
	)
	found(t, floorProblems(tr, toy, []string{"internal/high"}),
		"internal/low (floor 0) imports internal/side (floor 0)",
		"internal/side (floor 0) imports internal/wall (floor 0)",
		"internal/high/inner (floor 1) imports internal/high (floor 1)",
		"internal/other imports internal/high/inner, which is private to internal/high",
		"internal/new stands on no floor",
	)
	found(t, purityProblems(tr, toy),
		"internal/low/b.go:1: internal/low is pure but uses time.Now",
		"internal/side is pure but imports os/exec",
		"internal/side is pure but imports math/rand/v2",
		"internal/side is pure but uses time.After",
		"internal/side is pure but imports net/http",
		`imports net/http as "."`,
	)
}
