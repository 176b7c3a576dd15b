package sesame_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const module = "github.com/sesame-access/sesame"

// A tree is a set of files as the checks see them: the paths of all of them,
// relative to the root and with forward slashes, and the parsed Go sources.
type tree struct {
	fsys  fs.FS
	paths []string
	fset  *token.FileSet
	code  []*source
}

// A source is one Go file outside testdata.
type source struct {
	path, dir string
	test      bool // named *_test.go
	generated bool // says that it is generated
	lines     int
	text      []byte
	syntax    *ast.File
}

// load parses the Go files among paths. It does not look at build tags: code
// for another system has to keep the rules too.
func load(fsys fs.FS, paths []string) (*tree, error) {
	tr := &tree{fsys: fsys, paths: paths, fset: token.NewFileSet()}
	for _, p := range paths {
		if path.Ext(p) != ".go" || slices.Contains(strings.Split(p, "/"), "testdata") {
			continue
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return nil, err
		}
		syntax, err := parser.ParseFile(tr.fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		tr.code = append(tr.code, &source{
			path: p, dir: path.Dir(p), text: text, syntax: syntax,
			test:      strings.HasSuffix(p, "_test.go"),
			generated: ast.IsGenerated(syntax),
			lines:     bytes.Count(text, []byte("\n")),
		})
	}
	return tr, nil
}

var loadRepository = sync.OnceValues(func() (*tree, error) {
	paths, err := listRepository()
	if err != nil {
		return nil, err
	}
	return load(os.DirFS("."), paths)
})

// listRepository returns the files that are, or would be, committed. Without
// git (a source archive) that is everything but what builds leave behind.
func listRepository() ([]string, error) {
	var paths []string
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output() //nolint:noctx // shared by all tests, so no test's context fits
	if err == nil {
		for p := range strings.SplitSeq(string(out), "\x00") {
			if _, err := os.Stat(p); p != "" && err == nil { // deleted but still in the index
				paths = append(paths, p)
			}
		}
	} else {
		left := []string{".git", ".tools", "bin"}
		err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains(left, p):
				return fs.SkipDir
			case d.Type().IsRegular():
				paths = append(paths, p)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(paths) == 0 {
		return nil, errors.New("found no files in the repository")
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func repository(t *testing.T) *tree {
	t.Helper()
	tr, err := loadRepository()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// plant makes a tree of the given files, path and content by turns.
func plant(t *testing.T, pathAndContent ...string) *tree {
	t.Helper()
	fsys := fstest.MapFS{}
	var paths []string
	for pair := range slices.Chunk(pathAndContent, 2) {
		fsys[pair[0]] = &fstest.MapFile{Data: []byte(pair[1])}
		paths = append(paths, pair[0])
	}
	slices.Sort(paths)
	tr, err := load(fsys, paths)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// none fails the test with every problem.
func none(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// found fails the test unless the problems are exactly the wanted ones: each
// want is part of one problem, and no problem is left over.
func found(t *testing.T, problems []string, wants ...string) {
	t.Helper()
	rest := slices.Clone(problems)
	for _, want := range wants {
		i := slices.IndexFunc(rest, func(p string) bool { return strings.Contains(p, want) })
		if i < 0 {
			t.Errorf("the planted fault %q was not found in %q", want, rest)
			continue
		}
		rest = slices.Delete(rest, i, i+1)
	}
	for _, p := range rest {
		t.Errorf("found what was not planted: %s", p)
	}
}

// where names a place in a way that editors can follow.
func (tr *tree) where(n ast.Node) string {
	p := tr.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// has reports whether p is a file of the tree or a directory above one.
func (tr *tree) has(p string) bool {
	p = path.Clean(p)
	if p == "." {
		return true
	}
	return slices.ContainsFunc(tr.paths, func(q string) bool { return q == p || strings.HasPrefix(q, p+"/") })
}

// An imported is a package that a source imports, and its name there.
type imported struct{ name, path string }

// imports returns what a source imports, in its order.
func (s *source) imports() (all []imported) {
	for _, spec := range s.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has seen to it that this cannot be
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		all = append(all, imported{name, p})
	}
	return all
}

// symbols calls yield for every mention of an imported package's symbol, such
// as "net/http.Get", called or not.
func (s *source) symbols(yield func(symbol string, at ast.Node)) {
	names := map[string]string{}
	for _, i := range s.imports() {
		names[i.name] = i.path
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
				yield(names[x.Name]+"."+sel.Sel.Name, sel)
			}
		}
		return true
	})
}
