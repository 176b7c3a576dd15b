package sesame_test

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDocumentsPointSomewhere(t *testing.T) { none(t, linkProblems(repository(t))) }

// A page is a Markdown file, with its fenced blocks apart from its prose.
type page struct {
	path   string
	prose  []string // by line; empty where a fenced block is
	fences []fence
}

// A fence is a fenced block: its language, and its lines with their numbers.
type fence struct {
	language string
	lines    []string
	first    int
}

func (tr *tree) pages() (pages []page, problems []string) {
	for _, p := range tr.paths {
		if path.Ext(p) != ".md" || slices.Contains(strings.Split(p, "/"), "testdata") {
			continue
		}
		text, err := fs.ReadFile(tr.fsys, p)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		pg := page{path: p}
		open := ""
		for n, line := range strings.Split(string(text), "\n") {
			trimmed := strings.TrimSpace(line)
			switch {
			case open == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
				open = trimmed[:3]
				pg.fences = append(pg.fences, fence{language: strings.Trim(trimmed, "`~ "), first: n + 2})
				line = ""
			case open != "" && strings.HasPrefix(trimmed, open):
				open, line = "", ""
			case open != "":
				last := &pg.fences[len(pg.fences)-1]
				last.lines = append(last.lines, line)
				line = ""
			}
			pg.prose = append(pg.prose, line)
		}
		if open != "" {
			problems = append(problems, p+": a fenced block is not closed")
		}
		pages = append(pages, pg)
	}
	return pages, problems
}

var (
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	inlineLink = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	definition = regexp.MustCompile(`^\s*\[[^\]]+\]:\s+(\S+)`)
	elsewhere  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	rooted     = regexp.MustCompile(`^(\.ci|\.github|cmd|deploy|docs|internal|scripts|tools)/`)
	rootFile   = regexp.MustCompile(`^([A-Z]+\.md|Makefile|LICENSE|go\.mod|go\.sum|[a-z_]+\.go|\.[a-z]+(\.yml)?)$`)
	lineNumber = regexp.MustCompile(`\.\w+:\d+$`)
	symbolName = regexp.MustCompile(`^([^.]*)\.([A-Z]\w*(?:\.[A-Z]\w*)?)$`)
	pathLike   = regexp.MustCompile(`^[\w./*-]+$`)
)

// linkProblems checks every relative link and its anchor, and every path that
// prose names in backquotes: `internal/plan`, `internal/plan.Desired`,
// `docs/adr/*.md`, `Makefile`. The changelog may name what is gone.
func linkProblems(tr *tree) []string {
	pages, problems := tr.pages()
	anchors := map[string]map[string]bool{}
	for _, pg := range pages {
		anchors[pg.path] = pg.anchors()
	}
	for _, pg := range pages {
		for n, line := range pg.prose {
			at := fmt.Sprintf("%s:%d", pg.path, n+1)
			for _, m := range append(inlineLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "``"), -1), definition.FindAllStringSubmatch(line, -1)...) {
				if elsewhere.MatchString(m[1]) {
					continue
				}
				file, anchor, _ := strings.Cut(m[1], "#")
				target := pg.path
				if file != "" {
					target = path.Join(path.Dir(pg.path), file)
				}
				switch {
				case !tr.has(target):
					problems = append(problems, fmt.Sprintf("%s: the link %s leads nowhere", at, m[1]))
				case anchor != "" && !anchors[target][anchor]:
					problems = append(problems, fmt.Sprintf("%s: %s has no heading #%s", at, target, anchor))
				}
			}
			if path.Base(pg.path) == "CHANGELOG.md" {
				continue
			}
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				if why := tr.namedPathProblem(m[1]); why != "" {
					problems = append(problems, fmt.Sprintf("%s: %s", at, why))
				}
			}
		}
		for _, f := range pg.fences {
			for n, line := range f.lines {
				for word := range strings.FieldsSeq(line) {
					if p, ok := strings.CutPrefix(word, "./"); ok && pathLike.MatchString(p) && !built(p) && !tr.has(strings.TrimSuffix(p, "/...")) {
						problems = append(problems, fmt.Sprintf("%s:%d: %s does not exist", pg.path, f.first+n, word))
					}
				}
			}
		}
	}
	return problems
}

// built reports whether p is made by a build and so is not in the tree.
func built(p string) bool {
	return p == "..." || p == "bin" || strings.HasPrefix(p, "bin/") || p == ".tools" || strings.HasPrefix(p, ".tools/")
}

// namedPathProblem says what is wrong with a code span that names a path of
// this repository; it returns "" for every other code span too.
func (tr *tree) namedPathProblem(span string) string {
	if lineNumber.MatchString(span) && (rooted.MatchString(span) || rootFile.MatchString(span[:strings.LastIndex(span, ":")])) {
		return span + " names a line, which moves; name the symbol"
	}
	p := strings.TrimSuffix(strings.TrimPrefix(span, "./"), "/...")
	if !pathLike.MatchString(p) || !rooted.MatchString(p+"/") && !rootFile.MatchString(p) || built(p) {
		return ""
	}
	if strings.Contains(p, "*") {
		if slices.ContainsFunc(tr.paths, func(q string) bool { ok, err := path.Match(p, q); return ok && err == nil }) {
			return ""
		}
		return span + " matches no file"
	}
	if tr.has(p) {
		return ""
	}
	if m := symbolName.FindStringSubmatch(p); m != nil && tr.has(m[1]) {
		if slices.Contains(tr.declared(m[1]), m[2]) {
			return ""
		}
		return fmt.Sprintf("%s has no %s", m[1], m[2])
	}
	return span + " does not exist"
}

// declared lists what the package in dir declares at its top level; methods
// and fields are Type.Name.
func (tr *tree) declared(dir string) (names []string) {
	for _, s := range tr.code {
		if s.dir != dir {
			continue
		}
		for _, d := range s.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names = append(names, receiver(d)+d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					names = append(names, specNames(spec)...)
				}
			}
		}
	}
	return names
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	x := fn.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if index, ok := x.(*ast.IndexExpr); ok {
		x = index.X
	}
	if id, ok := x.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

func specNames(spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, id := range spec.Names {
			names = append(names, id.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
		var members *ast.FieldList
		switch x := spec.Type.(type) {
		case *ast.StructType:
			members = x.Fields
		case *ast.InterfaceType:
			members = x.Methods
		default:
			return names
		}
		for _, f := range members.List {
			for _, id := range f.Names {
				names = append(names, spec.Name.Name+"."+id.Name)
			}
		}
	}
	return names
}

var (
	heading     = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
)

// anchors returns the anchors that a page's headings get when it is shown.
func (pg page) anchors() map[string]bool {
	seen := map[string]int{}
	all := map[string]bool{}
	for _, line := range pg.prose {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		slug := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		seen[slug]++
		if n := seen[slug]; n > 1 {
			slug = fmt.Sprintf("%s-%d", slug, n-1)
		}
		all[slug] = true
	}
	return all
}

func TestDocumentFaultsAreFound(t *testing.T) {
	tr := plant(t,
		"internal/plan/plan.go", `package plan
			type Plan struct{ Changes []int }
			func (p *Plan) String() string { return "" }`,
		"docs/guide.md", "# The guide\n\n## Two *words*, one `span`\n\n"+
			"[up](../README.md) [gone](gone.md) [here](#the-guide) [there](guide.md#nowhere) [web](https://example.org/x)\n"+
			"[words](#two-words-one-span) `[no](link.md)`\n\n"+
			"`internal/plan` `internal/plan.Plan.Changes` `internal/plan.Plan.String` `internal/plan/*.go` `./internal/plan/...` `10.0.0.0/8` `bin/sesame`\n\n"+
			"`internal/gone` `internal/plan.Gone` `internal/plan/plan.go:3` `docs/*.txt` `Makefile` `internal`\n\n"+
			"[def]: missing.md\n",
		"CHANGELOG.md", "`internal/gone`\n",
		"README.md", "```sh\nscripts/x ./docs/gone ./docs ./bin/sesame\n```\n",
		"open.md", "```\n",
	)
	found(t, linkProblems(tr),
		"docs/guide.md:5: the link gone.md leads nowhere",
		"docs/guide.md:5: docs/guide.md has no heading #nowhere",
		"docs/guide.md:10: internal/gone does not exist",
		"docs/guide.md:10: internal/plan has no Gone",
		"docs/guide.md:10: internal/plan/plan.go:3 names a line",
		"docs/guide.md:10: docs/*.txt matches no file",
		"docs/guide.md:10: Makefile does not exist",
		"docs/guide.md:12: the link missing.md leads nowhere",
		"README.md:2: ./docs/gone does not exist",
		"open.md: a fenced block is not closed",
	)
}
