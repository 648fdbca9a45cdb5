package sigv4

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestComparesInConstantTime checks in the source what no test can measure
// reliably: that a signature is only ever stored or handed to sameSignature, and
// that sameSignature decides by subtle.ConstantTimeCompare.
func TestComparesInConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	stored, compared, constant := 0, 0, 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		allowed := map[ast.Expr]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "sameSignature" {
					constant += strings.Count(string(source(t, name, set, n)), "subtle.ConstantTimeCompare(")
					if strings.Count(string(source(t, name, set, n)), "==") != 1 {
						t.Error("sameSignature compares more than the result of ConstantTimeCompare")
					}
				}
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					if isSignature(e) {
						allowed[e] = true
						stored++
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "sameSignature" {
					allowed[n.Args[1]] = true
					compared++
				}
			case *ast.SelectorExpr:
				if isSignature(n) && !allowed[n] {
					t.Errorf("%s: the signature is used outside sameSignature", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if stored == 0 || compared != 1 || constant != 1 {
		t.Errorf("found %d stores, %d comparisons, %d in constant time", stored, compared, constant)
	}
}

func isSignature(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "signature"
}

func source(t *testing.T, name string, set *token.FileSet, n ast.Node) []byte {
	t.Helper()
	return mustRead(t, name)[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset]
}
