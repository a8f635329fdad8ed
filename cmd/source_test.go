package cmd_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Limits of the house rules: what is longer is cut in two.
const (
	maxFileLines     = 400
	maxFunctionLines = 60
)

// parseAll parses the package's own files, without tests.
func parseAll(t *testing.T, p goPackage) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	return fset, files
}

func fileImports(t *testing.T, p goPackage) map[string][]string {
	t.Helper()
	_, files := parseAll(t, p)
	imports := map[string][]string{}
	for name, f := range files {
		for _, spec := range f.Imports {
			imports[name] = append(imports[name], strings.Trim(spec.Path.Value, `"`))
		}
	}
	return imports
}

func TestNoPackageHasAnInit(t *testing.T) {
	for _, p := range shipped(t) {
		_, files := parseAll(t, p)
		for name, f := range files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s/%s has an init function: construct things in main", p.ImportPath, name)
				}
			}
		}
	}
}

// A package variable is let pass when nothing can change it: an embedded file, a sentinel error, a compiled expression, an
// assertion that a type fits an interface. Packages that only tests use may keep what takes long to make.
func TestNoPackageHoldsState(t *testing.T) {
	for _, p := range shipped(t) {
		if strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		fset, files := parseAll(t, p)
		for _, f := range files {
			for _, d := range f.Decls {
				decl, ok := d.(*ast.GenDecl)
				if !ok || decl.Tok != token.VAR {
					continue
				}
				for _, s := range decl.Specs {
					spec := s.(*ast.ValueSpec)
					if !constant(decl, spec) {
						t.Errorf("%s: package variable %s: pass it as an argument, or make it a constant or a function", fset.Position(spec.Pos()), spec.Names[0].Name)
					}
				}
			}
		}
	}
}

func constant(decl *ast.GenDecl, spec *ast.ValueSpec) bool {
	if spec.Names[0].Name == "_" || embedded(decl.Doc) || embedded(spec.Doc) {
		return true
	}
	return len(spec.Values) > 0 && !slices.ContainsFunc(spec.Values, func(value ast.Expr) bool {
		call, ok := value.(*ast.CallExpr)
		if !ok {
			return true
		}
		fn, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := fn.X.(*ast.Ident)
		return !ok || !slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile"}, from.Name+"."+fn.Sel.Name)
	})
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func TestFilesAndFunctionsFitOnAScreenOrTwo(t *testing.T) {
	for _, p := range shipped(t) {
		fset, files := parseAll(t, p)
		for name, f := range files {
			if n := fset.Position(f.End()).Line; n > maxFileLines {
				t.Errorf("%s/%s has %d lines, the limit is %d", p.ImportPath, name, n, maxFileLines)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > maxFunctionLines {
					t.Errorf("%s: %s has %d lines, the limit is %d", fset.Position(fn.Pos()), fn.Name.Name, n, maxFunctionLines)
				}
			}
		}
	}
}

func TestNothingExportedIsWithoutAComment(t *testing.T) {
	for _, p := range shipped(t) {
		fset, files := parseAll(t, p)
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if ok && fn.Recv == nil && fn.Name.IsExported() && fn.Doc == nil {
					t.Errorf("%s: func %s has no comment", fset.Position(fn.Pos()), fn.Name.Name)
				}
				if decl, ok := d.(*ast.GenDecl); ok && decl.Tok == token.TYPE {
					for _, s := range decl.Specs {
						spec := s.(*ast.TypeSpec)
						if spec.Name.IsExported() && decl.Doc == nil && spec.Doc == nil {
							t.Errorf("%s: type %s has no comment", fset.Position(spec.Pos()), spec.Name.Name)
						}
					}
				}
			}
		}
	}
}

// The programs know no laboratory: what runs there is what runs on a site. Words are cut out of identifiers, paths and
// text alike, so that label, available and collaborate are other words. Documents (*.md) may point to the tests.
func TestNoTraceOfTheTestHostsIsInThePrograms(t *testing.T) {
	word := regexp.MustCompile(`[A-Z]+[a-z]*|[a-z]+`)
	allowedIn := []string{"cmd/source_test.go", "builder/internal/words/words.txt"} // the latter is a word list of others
	for _, dir := range []string{"cmd", "bundle", "builder", "installer", "manifests"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "../")
			data, err := os.ReadFile(path)
			if err != nil || !utf8.Valid(data) || filepath.Ext(name) == ".md" || slices.Contains(allowedIn, name) {
				return err
			}
			for number, line := range bytes.Split(append([]byte(name+"\n"), data...), []byte("\n")) {
				if !bytes.Contains(bytes.ToLower(line), []byte("lab")) {
					continue // the expression takes its time
				}
				for _, w := range word.FindAll(line, -1) {
					if strings.EqualFold(string(w), "lab") {
						t.Errorf("%s:%d: %q is a word of the laboratory: %s", name, number, w, bytes.TrimSpace(line))
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
