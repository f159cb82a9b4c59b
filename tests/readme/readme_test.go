// Package readme holds the README to its word: its commands run, its
// configuration is valid, and what it names exists.
package readme

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spillway/shared/config"
)

// elsewhere are commands of the README that are run as what they are by another
// test or by CI. Here only their make target is asked whether it exists.
var elsewhere = map[string]string{
	"make run":             "tests/demo runs the program, pastes its curl lines and ends it",
	"make test":            "CI",
	"make prove-spillover": "tests/prove runs its scenarios in virtual time",
	"make sim":             "tests/sim runs a part of its schedules",
	"make azurite":         "tests/fakes/azurite runs the emulator",
	"make bench":           "tests/bench runs its sections",
	"make soak":            "the same tests as make test, for longer",
	"bin/spillway serve":   "tests/e2e runs the server",
}

func TestCommandsOfTheReadmeRun(t *testing.T) {
	folder := t.TempDir()
	root := copyOfRoot(t, folder)
	ran := 0
	for _, block := range blocks(t, "sh") {
		for line := range strings.Lines(block) {
			command, _, _ := strings.Cut(line, "#")
			command = strings.TrimSpace(command)
			switch {
			case command == "":
			case isElsewhere(command):
				if target, ok := strings.CutPrefix(command, "make "); ok {
					sh(t, root, "make --dry-run "+target)
				}
			default:
				sh(t, root, command)
				ran++
			}
		}
	}
	if ran < 3 {
		t.Errorf("only %d commands of the README were run, want at least 3: it has lost its examples", ran)
	}
}

func isElsewhere(command string) bool {
	for known := range elsewhere {
		if command == known || strings.HasPrefix(command, known+" ") {
			return true
		}
	}
	return false
}

func TestConfigurationOfTheReadmeIsValid(t *testing.T) {
	examples := blocks(t, "yaml")
	if len(examples) == 0 {
		t.Fatal("the README has no configuration")
	}
	for _, example := range examples {
		if _, err := config.Parse("README.md", []byte(example), anyVariable); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
	}
}

// anyVariable gives each variable a value of its own.
func anyVariable(name string) (string, bool) { return "the value of " + name, true }

func TestFilesThatTheReadmeLinksExist(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(readme(t), -1)
	if len(links) == 0 {
		t.Fatal("the README links to nothing")
	}
	for _, link := range links {
		if _, err := os.Stat(filepath.Join("..", "..", link[1])); err != nil {
			t.Errorf("the README links to %s: %v", link[1], err)
		}
	}
}

// A test that a README names by go test -run is in the packages that it names, and in
// each of them: a pattern that matches nothing would pass.
func TestTestsThatAreNamedExist(t *testing.T) {
	named := 0
	for _, file := range []string{"../../README.md", "../README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile("`go test ([^`]*)-run '?([^ '`]+)'?([^`]*)`").FindAllStringSubmatch(string(text), -1) {
			pattern := regexp.MustCompile(match[2])
			var all []string
			for _, pkg := range regexp.MustCompile(`\./[\w/]+`).FindAllString(match[1]+match[3], -1) {
				names := testsOf(t, pkg)
				if !slices.ContainsFunc(names, pattern.MatchString) {
					t.Errorf("%s: %s has no test that matches %s", file, pkg, pattern)
				}
				all = append(all, names...)
			}
			for one := range strings.SplitSeq(match[2], "|") {
				if !slices.ContainsFunc(all, regexp.MustCompile(one).MatchString) {
					t.Errorf("%s: no test matches %s", file, one)
				}
			}
			named++
		}
	}
	if named < 40 {
		t.Errorf("%d tests are named, want at least 40: they are written in another form", named)
	}
}

// testsOf are the names of a package's tests.
func testsOf(t *testing.T, pkg string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
	}
	return names
}

func TestMakeHelpListsEveryTarget(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	help := sh(t, "../..", "make help")
	for _, target := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(strings.Fields(help), target[1]) {
			t.Errorf("make help does not list %s", target[1])
		}
	}
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the README's code blocks of a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		found = append(found, match[1])
	}
	return found
}

// copyOfRoot is a folder that looks like the project's root and holds the
// README's gateway.yaml, so that its commands leave nothing behind.
func copyOfRoot(t *testing.T, folder string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "functions", "shared", "tests"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "gateway.yaml"), []byte(blocks(t, "yaml")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// sh runs a command line with every variable that the configuration asks for.
func sh(t *testing.T, folder, line string) string {
	t.Helper()
	command := exec.Command("sh", "-c", line)
	command.Dir = folder
	command.Env = append(os.Environ(), "PTU_KEY=a key", "EASTUS_KEY=a key", "SWEDEN_KEY=a key", "TEAM_SEARCH_KEY=a key of sixteen or more")
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, &out)
	}
	return out.String()
}
