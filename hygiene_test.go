package sesame_test

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The budgets of code outside tests. What is generated costs nobody a read.
const (
	packageLines  = 1500
	fileLines     = 400
	functionLines = 70 // between the braces, comments and blank lines not counted
)

// forbidden lists what has let others down, with what to use instead.
var forbidden = map[string]string{
	"net.ParseCIDR":            "it turns ::ffff:0:0/96 into 0.0.0.0/0; use net/netip",
	"net.ParseIP":              "it knows no strictness; use net/netip",
	"net.LookupHost":           "it has no deadline; use a net.Resolver and a context",
	"net/http.DefaultClient":   "it has no timeout; make a client",
	"net/http.DefaultServeMux": "it is shared by the whole process; make a mux",
	"net/http.Get":             "it uses the default client, which has no timeout",
	"net/http.Head":            "it uses the default client, which has no timeout",
	"net/http.Post":            "it uses the default client, which has no timeout",
	"net/http.PostForm":        "it uses the default client, which has no timeout",
	"net/http.Handle":          "it uses the default mux, which is shared by the whole process",
	"net/http.HandleFunc":      "it uses the default mux, which is shared by the whole process",
	"net/http.ListenAndServe":  "it has no timeouts; make a server",
}

// machinePath matches paths that exist on somebody's machine and nowhere else.
var machinePath = regexp.MustCompile(`(^|[^A-Za-z0-9_./-])/(work|farm|home|Users)/`)

func TestPackageDocs(t *testing.T)    { none(t, docProblems(repository(t))) }
func TestBudgets(t *testing.T)        { none(t, budgetProblems(repository(t))) }
func TestForbiddenCalls(t *testing.T) { none(t, forbiddenProblems(repository(t))) }
func TestNoMachinePaths(t *testing.T) { none(t, machinePathProblems(repository(t))) }

// docProblems wants exactly one package comment per package: in its code, or
// in its tests where it has nothing else.
func docProblems(tr *tree) (problems []string) {
	dirs := map[string][]*source{}
	for _, s := range tr.code {
		dirs[s.dir] = append(dirs[s.dir], s)
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		sources := dirs[dir]
		if code := slices.DeleteFunc(slices.Clone(sources), func(s *source) bool { return s.test }); len(code) > 0 {
			sources = code
		}
		var docs []*source
		for _, s := range sources {
			if s.syntax.Doc != nil && !s.generated && strings.TrimSpace(s.syntax.Doc.Text()) != "" {
				docs = append(docs, s)
			}
		}
		if len(docs) == 0 {
			problems = append(problems, dir+": the package has no package comment")
			continue
		}
		if len(docs) > 1 {
			problems = append(problems, fmt.Sprintf("%s: the package has %d package comments; keep one (%s, %s)", dir, len(docs), docs[0].path, docs[1].path))
		}
		name := docs[0].syntax.Name.Name
		opening := "Package " + strings.TrimSuffix(name, "_test") + " "
		if name == "main" {
			opening = "Command " + path.Base(dir) + " "
		}
		if got := docs[0].syntax.Doc.Text(); !strings.HasPrefix(got, opening) {
			problems = append(problems, fmt.Sprintf("%s: the package comment does not begin with %q", docs[0].path, opening))
		}
	}
	return problems
}

func budgetProblems(tr *tree) (problems []string) {
	sizes := map[string]int{}
	for _, s := range tr.code {
		if s.test || s.generated {
			continue
		}
		sizes[s.dir] += s.lines
		if s.lines > fileLines {
			problems = append(problems, fmt.Sprintf("%s has %d lines, more than %d; one noun per file", s.path, s.lines, fileLines))
		}
		for _, d := range s.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				if n := bodyLines(tr, s, fn.Body); n > functionLines {
					problems = append(problems, fmt.Sprintf("%s: %s has %d lines, more than %d", tr.where(fn), fn.Name.Name, n, functionLines))
				}
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(sizes)) {
		if sizes[dir] > packageLines {
			problems = append(problems, fmt.Sprintf("%s has %d lines, more than %d; find the boundary inside it", dir, sizes[dir], packageLines))
		}
	}
	return problems
}

// bodyLines counts the lines of a body that hold code.
func bodyLines(tr *tree, s *source, body *ast.BlockStmt) (n int) {
	comment := map[int]bool{}
	for _, group := range s.syntax.Comments {
		for _, c := range group.List {
			for l := tr.fset.Position(c.Pos()).Line; l <= tr.fset.Position(c.End()).Line; l++ {
				comment[l] = true
			}
		}
	}
	lines := bytes.Split(s.text, []byte("\n"))
	for l := tr.fset.Position(body.Lbrace).Line + 1; l < tr.fset.Position(body.Rbrace).Line; l++ {
		text := bytes.TrimSpace(lines[l-1])
		bare := len(text) == 0 || comment[l] && (bytes.HasPrefix(text, []byte("//")) || bytes.HasPrefix(text, []byte("/*")))
		if !bare {
			n++
		}
	}
	return n
}

func forbiddenProblems(tr *tree) (problems []string) {
	for _, s := range tr.code {
		if s.test {
			continue
		}
		s.symbols(func(symbol string, at ast.Node) {
			if why, no := forbidden[symbol]; no {
				problems = append(problems, fmt.Sprintf("%s: %s is forbidden: %s", tr.where(at), symbol, why))
			}
		})
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && startsShell(s, call) {
				problems = append(problems, tr.where(call)+": starts a shell; run the program itself, with its arguments apart")
			}
			return true
		})
	}
	return problems
}

// startsShell reports whether call is exec.Command or exec.CommandContext of a
// shell named by a literal.
func startsShell(s *source, call *ast.CallExpr) bool {
	name := -1
	s.symbols(func(symbol string, at ast.Node) {
		switch {
		case at != call.Fun:
		case symbol == "os/exec.Command":
			name = 0
		case symbol == "os/exec.CommandContext":
			name = 1
		}
	})
	if name < 0 || name >= len(call.Args) {
		return false
	}
	lit, ok := call.Args[name].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	program, err := strconv.Unquote(lit.Value)
	return err == nil && slices.Contains([]string{"sh", "ash", "bash", "dash", "ksh", "zsh"}, path.Base(program))
}

func machinePathProblems(tr *tree) (problems []string) {
	for _, p := range tr.paths {
		text, err := fs.ReadFile(tr.fsys, p)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // not text
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, len(text)+1)
		for n := 1; lines.Scan(); n++ {
			if machinePath.Match(lines.Bytes()) {
				problems = append(problems, fmt.Sprintf("%s:%d: names a path of somebody's machine: %s", p, n, bytes.TrimSpace(lines.Bytes())))
			}
		}
		if err := lines.Err(); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", p, err))
		}
	}
	return problems
}

func TestHygieneFaultsAreFound(t *testing.T) {
	long := "package big\n\nfunc f() {\n" + strings.Repeat("\t_ = 0\n", functionLines+1) + "}\n" + strings.Repeat("//\n", fileLines)
	good := "package big\n\nfunc g() {\n" + strings.Repeat("\t_ = 0\n\t// why\n\n", functionLines) + "}\n"
	elsewhere := "/" + "work/x"
	tr := plant(t,
		"internal/bare/a.go", "package bare",
		"internal/bare/a_test.go", "// Package bare has its comment in the wrong file.\npackage bare",
		"internal/two/a.go", "// Package two is.\npackage two",
		"internal/two/b.go", "// Package two is too.\npackage two",
		"internal/odd/a.go", "// This is odd.\npackage odd",
		"internal/tests/a_test.go", "// Package tests has only tests.\npackage tests_test",
		"cmd/tool/main.go", "// Command tool is a tool.\npackage main",
		"internal/big/a.go", "// Package big is.\n"+long,
		"internal/big/b.go", good,
		"internal/big/c.go", "// Code generated by hand. DO NOT EDIT.\n\n"+long,
		"internal/calls/a.go", `// Package calls calls.
			package calls
			import ("net"; web "net/http"; "os/exec")
			var _, _, _ = net.ParseCIDR("::/0")
			var _ = web.DefaultClient
			var _ = exec.Command("/bin/sh", "-c", "true")
			var _ = exec.CommandContext(nil, "bash")
			var _ = exec.CommandContext(nil, "ssh", "sh")`,
		"internal/calls/a_test.go", `package calls; import "net"; var _ = net.ParseIP("::")`,
		"notes.txt", "fine: https://example.org/work/x\nbad: "+elsewhere+"\n"+elsewhere+"\n",
	)
	found(t, docProblems(tr),
		"internal/bare: the package has no package comment",
		"internal/two: the package has 2 package comments",
		`internal/odd/a.go: the package comment does not begin with "Package odd "`,
	)
	found(t, budgetProblems(tr),
		"internal/big/a.go has 476 lines",
		"internal/big/a.go:4: f has 71 lines",
	)
	found(t, forbiddenProblems(tr),
		"internal/calls/a.go:4: net.ParseCIDR is forbidden",
		"internal/calls/a.go:5: net/http.DefaultClient is forbidden",
		"internal/calls/a.go:6: starts a shell",
		"internal/calls/a.go:7: starts a shell",
	)
	found(t, machinePathProblems(tr), "notes.txt:2", "notes.txt:3")

	many := plant(t,
		"internal/much/a.go", "package much\n"+strings.Repeat("//\n", packageLines/2),
		"internal/much/b.go", "package much\n"+strings.Repeat("//\n", packageLines/2),
	)
	if got := budgetProblems(many); !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, "internal/much has 1502 lines") }) {
		t.Errorf("a package over its budget was not found: %q", got)
	}
}
