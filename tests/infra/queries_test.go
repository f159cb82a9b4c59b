package infra

import (
	"encoding/json"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// Every key that a query reads of a line is one that lines have: of the request's line
// and the events', or of an attempt in the former.
func TestQueriesReadWhatTheLogWrites(t *testing.T) {
	names := constants(t, filepath.Join(root, "shared/telemetry"))
	files := sources(t, filepath.Join(root, "functions/app"))
	attempt := function(files["functions/app/line.go"], "appendAttempt")
	if attempt == nil {
		t.Fatal("there is no function appendAttempt in functions/app/line.go")
	}
	known := map[string]map[string]bool{"line": set(zerolog.MessageFieldName, zerolog.LevelFieldName, zerolog.TimestampFieldName), "attempt": keysIn(attempt, names)}
	for _, file := range files {
		maps.Copy(known["line"], keysIn(file, names))
	}
	for name, text := range queries(t) {
		read := regexp.MustCompile(`\b(line|attempt)\.(\w+)`).FindAllStringSubmatch(text, -1)
		if len(read) == 0 {
			t.Errorf("%s reads nothing of a line", name)
		}
		for _, key := range read {
			if !known[key[1]][key[2]] {
				t.Errorf("%s reads %s, which no line has", name, key[0])
			}
		}
	}
}

// An event that a query looks for is one that is logged.
func TestQueriesKnowTheEvents(t *testing.T) {
	logged, _ := events(t)
	for name, text := range queries(t) {
		for _, line := range strings.Split(text, "\n") {
			_, condition, found := strings.Cut(line, "where tostring(line.event) ")
			for value := range matches(condition, `"(\w+)"`) {
				begins := strings.HasPrefix(condition, "startswith")
				if !slices.ContainsFunc(slices.Collect(maps.Keys(logged)), func(event string) bool {
					return event == value || begins && strings.HasPrefix(event, value)
				}) {
					t.Errorf("%s looks for the event %s, which is never logged", name, value)
				}
			}
			if strings.Contains(line, "line.event") && strings.Contains(line, "where") && !found {
				t.Errorf("%s asks for events in a way that this test does not know: %s", name, line)
			}
		}
	}
}

// Each query begins with what it answers, and is in balance.
func TestQueriesAreExplained(t *testing.T) {
	for name, text := range queries(t) {
		if first, _, _ := strings.Cut(text, "\n"); !strings.HasPrefix(first, "// ") {
			t.Errorf("%s does not begin with a comment", name)
		}
		plain := regexp.MustCompile(`(?m)//.*$|"[^"\n]*"`).ReplaceAllString(text, "")
		for _, pair := range []string{"()", "[]", "{}"} {
			if opened, closed := strings.Count(plain, pair[:1]), strings.Count(plain, pair[1:]); opened != closed {
				t.Errorf("%s has %d of %s and %d of %s", name, opened, pair[:1], closed, pair[1:])
			}
		}
	}
}

// The workbook shows each query, to the letter, over the time and for the request that
// are chosen in it.
func TestTheWorkbookHasTheQueries(t *testing.T) {
	var workbook struct {
		Version string
		Items   []struct {
			Name    string
			Type    int
			Content struct {
				Query, Title, ResourceType, TimeContextFromParameter string

				Parameters []struct{ Name string }
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, "infra/azure/workbook.json")), &workbook); err != nil {
		t.Fatal(err)
	}
	const ofQueries, ofParameters = 3, 9
	shown, parameters := map[string]string{}, map[string]bool{}
	for _, item := range workbook.Items {
		for _, parameter := range item.Content.Parameters {
			parameters[parameter.Name] = item.Type == ofParameters
		}
		if item.Type != ofQueries {
			continue
		}
		if shown[item.Name] != "" {
			t.Errorf("the workbook has %s twice", item.Name)
		}
		shown[item.Name] = item.Content.Query
		if c := item.Content; c.Title == "" || c.ResourceType != "microsoft.insights/components" || c.TimeContextFromParameter != "TimeRange" {
			t.Errorf("%s of the workbook lacks its title, its resource type or its time", item.Name)
		}
	}
	if want := queries(t); !maps.Equal(shown, want) {
		t.Errorf("the workbook has %v, and the folder %v, or their texts differ", slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(want)))
	}
	if !maps.Equal(parameters, map[string]bool{"TimeRange": true, "RequestId": true}) {
		t.Errorf("the workbook's parameters are %v", parameters)
	}
	for name, text := range shown {
		for parameter := range matches(text, `\{(\w+)\}`) {
			if !parameters[parameter] {
				t.Errorf("%s uses {%s}, which the workbook does not ask for", name, parameter)
			}
		}
	}
}

// queries are the texts by the names of their files.
func queries(t *testing.T) map[string]string {
	t.Helper()
	folder := os.DirFS(filepath.Join(root, "infra/azure/queries"))
	paths, err := fs.Glob(folder, "*.kql")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no queries: %v", err)
	}
	all := map[string]string{}
	for _, path := range paths {
		all[strings.TrimSuffix(path, ".kql")] = read(t, "infra/azure/queries/"+path)
	}
	return all
}

// function is the function of a name in a file; nil: there is none.
func function(file *ast.File, name string) ast.Node {
	if file == nil {
		return nil
	}
	for _, declared := range file.Decls {
		if f, ok := declared.(*ast.FuncDecl); ok && f.Name.Name == name {
			return f
		}
	}
	return nil
}

// keysIn are the keys of log lines that are named below a node.
func keysIn(node ast.Node, names map[string]string) map[string]bool {
	keys := map[string]bool{}
	ast.Inspect(node, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if from, ok := s.X.(*ast.Ident); ok && from.Name == "telemetry" && names[s.Sel.Name] != "" {
				keys[names[s.Sel.Name]] = true
			}
		}
		return true
	})
	return keys
}

// events are the names of the events that are logged, and of those that are counted.
func events(t *testing.T) (logged, counted map[string]bool) {
	t.Helper()
	logged, counted = map[string]bool{}, map[string]bool{}
	for _, file := range sources(t, filepath.Join(root, "functions/app")) {
		ast.Inspect(file, func(n ast.Node) bool {
			called, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := called.Fun.(*ast.SelectorExpr)
			switch {
			case !ok:
			case method.Sel.Name == "Str" && keysIn(called.Args[0], map[string]string{"KeyEvent": "event"})["event"]:
				maps.Copy(logged, eventNames(t, called.Args[1]))
			case method.Sel.Name == "Event" && len(called.Args) == 1:
				maps.Copy(counted, eventNames(t, called.Args[0]))
			}
			return true
		})
	}
	return logged, counted
}

// eventNames are the names that an argument may be: a literal, one with a kind behind
// it, a kind of the ledger, or one of the limits' events.
func eventNames(t *testing.T, argument ast.Expr) map[string]bool {
	t.Helper()
	switch a := argument.(type) {
	case *ast.BasicLit:
		return set(unquoted(a))
	case *ast.BinaryExpr:
		prefix, named := unquoted(a.X), map[string]bool{}
		for kind := range kinds(t, prefix) {
			named[prefix+kind] = true
		}
		return named
	case *ast.CallExpr:
		return kinds(t, "usage_")
	default:
		return mapValues(t, "functions/app", "leaseEvents")
	}
}

// kindsOf tells where the kinds of events are named, by the prefix of the events' names:
// in which folder, by the String method of which type.
var kindsOf = map[string]struct{ folder, receiver string }{
	"breaker_":   {"shared/breaker", "EventKind"},
	"consumers_": {"shared/consumers", "EventKind"},
	"limit_":     {"functions/gateway", "Level"},
	"usage_":     {"shared/usage/ledger", "EventKind"},
}

// kinds are what the String method for a prefix returns.
func kinds(t *testing.T, prefix string) map[string]bool {
	t.Helper()
	named, at := map[string]bool{}, kindsOf[prefix]
	for _, file := range sources(t, filepath.Join(root, at.folder)) {
		for _, declaration := range file.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Name.Name != "String" || method.Recv == nil {
				continue
			}
			if receiver, ok := method.Recv.List[0].Type.(*ast.Ident); !ok || receiver.Name != at.receiver {
				continue
			}
			ast.Inspect(method, func(n ast.Node) bool {
				if returned, ok := n.(*ast.ReturnStmt); ok {
					named[unquoted(returned.Results[0])] = true
				}
				return true
			})
		}
	}
	delete(named, "") // what is no literal
	delete(named, "unknown")
	if len(named) == 0 {
		t.Fatalf("nothing names the kinds of the events %s…: say in this test where they are", prefix)
	}
	return named
}

// mapValues are the literal values of a map that a package's variable is.
func mapValues(t *testing.T, folder, variable string) map[string]bool {
	t.Helper()
	values := map[string]bool{}
	for _, file := range sources(t, filepath.Join(root, folder)) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Names[0].Name != variable {
				return true
			}
			for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
				values[unquoted(element.(*ast.KeyValueExpr).Value)] = true
			}
			return false
		})
	}
	if len(values) == 0 {
		t.Fatalf("%s has no map %s", folder, variable)
	}
	return values
}

// unquoted is what a string literal says; "" of anything else.
func unquoted(e ast.Expr) string {
	basic, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	value, _ := strconv.Unquote(basic.Value)
	return value
}
