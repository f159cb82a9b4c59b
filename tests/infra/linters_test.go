package infra

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Linters of others: they know the formats better than the tests of this folder.
func TestLinters(t *testing.T) {
	tools := install(t)
	bicepFiles := func() []string {
		var paths []string
		for name := range templates(t) {
			if strings.HasSuffix(name, ".bicep") { // Neither grammar knows parameter files.
				paths = append(paths, filepath.Join(root, "infra/azure", name))
			}
		}
		return paths
	}()
	broken := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		write(t, path, text)
		return path
	}
	sam := read(t, "infra/aws/template.yaml")
	tests := []struct {
		name   string
		args   []string
		faulty string // A file in which the linter must find a fault, or it has not looked.
		want   string // What it says then.
	}{
		{"cfn-lint", []string{"python3", filepath.Join(tools, "bin/cfn-lint")}, broken("template.yaml", strings.Replace(sam, "MemorySize: !Ref", "MemoySize: !Ref", 1)), "MemoySize"},
		{"hadolint", []string{filepath.Join(tools, "bin/hadolint")}, broken("Dockerfile", "FROM debian:latest\n"), "DL3007"},
		{"grammars of Bicep", []string{"python3", "tools/grammars.py"}, broken("main.bicep", "param a string\nvar b = {\n"), "pycep"},
	}
	inputs := map[string][]string{
		"cfn-lint":          {filepath.Join(root, "infra/aws/template.yaml")},
		"hadolint":          {filepath.Join(root, "Dockerfile")},
		"grammars of Bicep": bicepFiles,
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run := func(files ...string) ([]byte, error) {
				command := exec.Command(test.args[0], append(test.args[1:], files...)...)
				command.Env = append(os.Environ(), "PYTHONPATH="+tools, "AWS_DEFAULT_REGION=eu-central-1")
				return command.CombinedOutput()
			}
			if out, err := run(inputs[test.name]...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if out, err := run(test.faulty); err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("the fault of a faulty file was not found: %v\n%s", err, out)
			}
		})
	}
}

// The compiler itself, where a machine has it: no package registry does.
func TestBicepCompiler(t *testing.T) {
	compiler, err := exec.LookPath("bicep")
	if err != nil {
		t.Skip("bicep is not installed here (az bicep install): the templates are checked by the other tests of this folder")
	}
	for _, args := range [][]string{
		{"build", "--stdout", "infra/azure/main.bicep"},
		{"lint", "infra/azure/main.bicep"},
		{"build-params", "--stdout", "infra/azure/main.bicepparam"},
	} {
		command := exec.Command(compiler, args...)
		command.Dir = root
		command.Env = append(os.Environ(), "AZURE_LOCATION=swedencentral", "TEAM_SEARCH_KEY=a key of sixteen or more",
			"SPILLWAY_OPENAI_ACCOUNT_IDS=/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/contoso")
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("bicep %v: %v\n%s", args, err, out)
		}
	}
}

// install returns a folder with the linters, in the user's cache. The test is
// skipped in -short runs and on a machine without pip; CI must have it.
func install(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("pip installs the linters: not in a -short run")
	}
	if out, err := exec.Command("python3", "-m", "pip", "--version").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI needs python3 with pip for the linters: %v\n%s", err, out)
		}
		t.Skip("python3 with pip is not installed here: the linters of the SAM template and the Dockerfile are left out")
	}
	requirements, err := os.ReadFile("tools/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "spillway", fmt.Sprintf("linters-%x", sha256.Sum256(requirements))[:24])
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	// Installed beside, then renamed: two test processes may do this at once.
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "linters-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	command := exec.Command("python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", filepath.Join(fresh, "l"), "-r", "tools/requirements.txt")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("pip install: %v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(fresh, "l"), folder); err != nil {
		if _, late := os.Stat(folder); late != nil {
			t.Fatal(err)
		}
	}
	return folder
}
