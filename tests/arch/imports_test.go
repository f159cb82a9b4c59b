// Package arch holds the project to its layout.
package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed are the packages of this project that each of its packages may
// import. Imports go one way: mains → app → handlers → steps → ground. A step
// never imports another step: the pipeline joins them with values.
var allowed = map[string][]string{
	// ground
	"shared/openai":       {},
	"shared/quota":        {},
	"shared/clock":        {},
	"shared/pool":         {},
	"shared/config":       {},
	"shared/store":        {},
	"shared/telemetry":    {},
	"shared/breaker/rule": {},
	"shared/form":         {},
	"shared/server":       {"shared/http1", "shared/lifetime", "shared/rawconn"},
	"shared/http1":        {},
	"shared/lifetime":     {},
	"shared/rawconn":      {},
	// telemetry
	"shared/telemetry/meter":  {"shared/quota", "shared/store", "shared/usage"},
	"shared/telemetry/tracer": {"shared/telemetry/meter", "shared/usage"},
	"shared/telemetry/export": {"shared/telemetry/meter"},
	// stores
	"shared/store/memory":  {"shared/store"},
	"shared/store/aztable": {"shared/store"},
	// steps
	"shared/auth":          {"shared/config"},
	"shared/tokens":        {"shared/openai"},
	"shared/upstream":      {"shared/upstream/wire", "shared/openai", "shared/http1", "shared/lifetime"},
	"shared/upstream/wire": {"shared/http1", "shared/rawconn", "shared/lifetime"},
	"shared/lease":         {"shared/quota", "shared/store", "shared/clock"},
	"shared/breaker":       {"shared/breaker/rule", "shared/store", "shared/clock"},
	"shared/usage":         {},
	"shared/usage/ledger":  {"shared/usage", "shared/store", "shared/clock"},
	"shared/consumers":     {"shared/config", "shared/store", "shared/clock"},
	"shared/objects":       {"shared/store", "shared/clock"},
	// handlers
	"functions/gateway": {
		"shared/auth", "shared/tokens", "shared/lease", "shared/breaker", "shared/pool", "shared/upstream",
		"shared/usage", "shared/openai", "shared/clock", "shared/quota", "shared/store", "shared/form", "shared/objects", "shared/lifetime",
	},
	"functions/console":          {"functions/console/activity", "shared/auth", "shared/config", "shared/consumers", "shared/usage", "shared/openai"},
	"functions/console/activity": {"shared/usage"},
	"functions/maintenance":      {"shared/quota", "shared/breaker", "shared/store", "shared/clock"},
	// composition root and mains
	"functions/process": {},
	"functions/app":     {"shared", "functions/gateway", "functions/console", "functions/maintenance"},
	"functions/azure":   {"functions/app", "functions/process", "functions/console", "shared/server", "shared/config", "shared/consumers", "shared/auth", "shared/telemetry", "shared/usage", "shared/store", "shared/clock"},
	"functions/lambda":  {"functions/app", "functions/process", "functions/maintenance", "shared/config", "shared/openai", "shared/telemetry"},
}

const module = "spillway/"

func TestImportsGoOneWay(t *testing.T) {
	seen := 0
	for _, line := range goList(t, "{{.ImportPath}} {{join .Imports \" \"}}") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(pkg, "tests/") {
			continue // tests may import anything
		}
		rules, known := allowed[pkg]
		if !known {
			t.Errorf("%s has no rule: say in this test what it may import", pkg)
			continue
		}
		seen++
		for _, imported := range fields[1:] {
			name, ours := strings.CutPrefix(imported, module)
			if ours && !permitted(rules, name) {
				t.Errorf("%s imports %s; it may import %v", pkg, name, rules)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages found, %d have rules: remove the rules of packages that are gone", seen, len(allowed))
	}
}

// permitted tells whether a rule names the package, or a folder above it.
func permitted(rules []string, name string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		return name == rule || strings.HasPrefix(name, rule+"/")
	})
}

func TestFakesDoNotUseWhatTheyJudge(t *testing.T) {
	for _, line := range goList(t, "{{.ImportPath}} {{join .Imports \" \"}}") {
		fields := strings.Fields(line)
		if !strings.HasPrefix(fields[0], module+"tests/fakes/azureopenai") && !strings.HasPrefix(fields[0], module+"tests/fakes/functionshost") {
			continue
		}
		for _, imported := range fields[1:] {
			if strings.HasPrefix(imported, module+"shared/") || strings.HasPrefix(imported, module+"functions/") {
				t.Errorf("%s imports %s: an oracle must not share code with what it judges", fields[0], imported)
			}
		}
	}
}

// goList runs go list over the whole module.
func goList(t *testing.T, format string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", format, "spillway/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
