package infra

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// azdHook is a hook of azure.yaml on one kind of system.
type azdHook struct {
	Shell string `yaml:"shell"`
	Run   string `yaml:"run"`
}

func TestHooksOfAzdExist(t *testing.T) {
	var project struct {
		Name  string `yaml:"name"`
		Infra struct {
			Provider string `yaml:"provider"`
			Path     string `yaml:"path"`
		} `yaml:"infra"`
		Hooks map[string]struct {
			Posix   azdHook `yaml:"posix"`
			Windows azdHook `yaml:"windows"`
		} `yaml:"hooks"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "azure.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&project); err != nil {
		t.Fatal(err)
	}
	if project.Infra.Provider != "bicep" || project.Infra.Path != "infra/azure" {
		t.Errorf("infra %+v", project.Infra)
	}
	for _, name := range []string{"preprovision", "postprovision"} {
		if _, ok := project.Hooks[name]; !ok {
			t.Errorf("azure.yaml has no hook %s", name)
		}
	}
	if len(project.Hooks) != 2 {
		t.Errorf("azure.yaml has %d hooks, want 2", len(project.Hooks))
	}
	for name, hook := range project.Hooks {
		if hook.Posix.Shell != "sh" || hook.Windows.Shell != "pwsh" {
			t.Errorf("%s: shells %s and %s, want sh and pwsh", name, hook.Posix.Shell, hook.Windows.Shell)
		}
		if out, err := exec.Command("sh", "-n", filepath.Join(root, hook.Posix.Run)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
		info, err := os.Stat(filepath.Join(root, hook.Posix.Run))
		if err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s: %s cannot be run: %v", name, hook.Posix.Run, err)
		}
		if !strings.HasSuffix(hook.Windows.Run, ".ps1") || read(t, hook.Windows.Run) == "" {
			t.Errorf("%s: %q is no script", name, hook.Windows.Run)
		}
	}
}

// The hooks read what main.bicep puts out: azd hands outputs to hooks as variables.
func TestHooksReadWhatTheTemplatePutsOut(t *testing.T) {
	var outputs []string
	for _, output := range templates(t)["main.bicep"].All("output") {
		outputs = append(outputs, output.Name)
	}
	own := []string{"SPILLWAY_PUBLISH_TRIES", "SPILLWAY_PUBLISH_PAUSE"}
	for path, pattern := range map[string]string{
		"infra/azure/hooks/publish.sh":  `\$\{?(SPILLWAY_\w+)`,
		"infra/azure/hooks/publish.ps1": `\$env:(SPILLWAY_\w+)`,
	} {
		names := matches(read(t, path), pattern)
		if !names["SPILLWAY_APP"] || !names["SPILLWAY_URL"] {
			t.Errorf("%s reads %v: this test no longer sees how", path, names)
		}
		for name := range names {
			if !slices.Contains(outputs, name) && !slices.Contains(own, name) {
				t.Errorf("%s reads %s, which is no output of main.bicep", path, name)
			}
		}
	}
}

// A new identity's roles take minutes to be known, so the first uploads may be
// refused.
func TestPublishTriesAgain(t *testing.T) {
	tests := []struct {
		name    string
		refused int // Uploads that are refused before one is taken.
		tries   int
		want    int // Uploads tried.
		fails   bool
	}{
		{"at once", 0, 3, 1, false},
		{"after the roles are known", 2, 3, 3, false},
		{"never", 9, 3, 3, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "infra/azure/hooks/publish.sh"), read(t, "infra/azure/hooks/publish.sh"))
			write(t, filepath.Join(folder, "dist/host.json"), "{}")
			calls := filepath.Join(folder, "calls")
			// func: notes where it runs and with what, and refuses the first calls.
			write(t, filepath.Join(folder, "bin/func"), fmt.Sprintf(
				"#!/bin/sh\necho \"$(basename \"$PWD\") $*\" >> '%s'\n[ \"$(wc -l < '%s')\" -gt %d ]\n", calls, calls, test.refused))
			command := exec.Command("sh", filepath.Join(folder, "infra/azure/hooks/publish.sh"))
			command.Env = append(os.Environ(), "PATH="+filepath.Join(folder, "bin")+":"+os.Getenv("PATH"),
				"SPILLWAY_APP=contoso", fmt.Sprint("SPILLWAY_PUBLISH_TRIES=", test.tries), "SPILLWAY_PUBLISH_PAUSE=0")
			out, err := command.CombinedOutput()
			if (err != nil) != test.fails {
				t.Fatalf("%v\n%s", err, out)
			}
			noted, err := os.ReadFile(calls)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := strings.Repeat("dist azure functionapp publish contoso --custom\n", test.want)
			if string(noted) != want {
				t.Errorf("func was called as\n%swant\n%s", noted, want)
			}
		})
	}
}

func TestPublishSaysWhatIsMissing(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		env   string
		want  string
	}{
		{"no app", []string{"dist/host.json", "bin/func"}, "SPILLWAY_APP=", "SPILLWAY_APP: names the Function app"},
		{"no package", []string{"bin/func"}, "SPILLWAY_APP=contoso", "there is no dist/"},
		{"no func", []string{"dist/host.json"}, "SPILLWAY_APP=contoso", "func is missing: npm install -g azure-functions-core-tools@4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "infra/azure/hooks/publish.sh"), read(t, "infra/azure/hooks/publish.sh"))
			for _, name := range test.files {
				write(t, filepath.Join(folder, name), "#!/bin/sh\n")
			}
			command := exec.Command("/bin/sh", filepath.Join(folder, "infra/azure/hooks/publish.sh"))
			command.Env = []string{"PATH=" + filepath.Join(folder, "bin") + ":/usr/bin:/bin", test.env}
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v, %q, want %q", err, out, test.want)
			}
		})
	}
}

func TestPackageTakesTheConfigurationAlong(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		env   string
		want  string // What make is called with; "": it is not.
		says  string
	}{
		{"a file", []string{"gateway.yaml"}, "", "package CONFIG=gateway.yaml\n", ""},
		{"its text in a setting", nil, "SPILLWAY_CONFIG_YAML=access: open", "package\n", ""},
		{"a file and a text", []string{"gateway.yaml"}, "SPILLWAY_CONFIG_YAML=access: open", "package CONFIG=gateway.yaml\n", ""},
		{"none", nil, "", "", "cp infra/azure/gateway.yaml gateway.yaml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "infra/azure/hooks/package.sh"), read(t, "infra/azure/hooks/package.sh"))
			write(t, filepath.Join(folder, "bin/make"), "#!/bin/sh\necho \"$*\" > calls\n") // in the root, or the test does not find it
			for _, name := range test.files {
				write(t, filepath.Join(folder, name), "access: open\n")
			}
			command := exec.Command("/bin/sh", filepath.Join(folder, "infra/azure/hooks/package.sh"))
			command.Env = []string{"PATH=" + filepath.Join(folder, "bin") + ":/usr/bin:/bin", test.env}
			out, err := command.CombinedOutput()
			if (err != nil) != (test.want == "") || !strings.Contains(string(out), test.says) {
				t.Errorf("%v, %q, want %q", err, out, test.says)
			}
			if calls, _ := os.ReadFile(filepath.Join(folder, "calls")); string(calls) != test.want {
				t.Errorf("make was called with %q, want %q", calls, test.want)
			}
		})
	}
}

// write makes a file that can be run.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
