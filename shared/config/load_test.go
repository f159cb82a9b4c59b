package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// write creates a file that holds the minimal configuration, with access as
// given, and returns its path.
func write(t *testing.T, folder, name, access string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(strings.Replace(minimal, "open", access, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindTakesTheFirstPlace(t *testing.T) {
	binary, working := t.TempDir(), t.TempDir()
	write(t, binary, FileName, "open")
	write(t, working, FileName, "open")
	empty := t.TempDir()
	both := map[string]string{PathVariable: "/from/variable.yaml", TextVariable: minimal}
	text := map[string]string{TextVariable: minimal}
	blank := map[string]string{PathVariable: "", TextVariable: " \n"}
	for _, c := range []struct {
		name, flag string
		env        map[string]string
		folders    []string
		want       string
	}{
		{"flag before all", "/from/flag.yaml", both, []string{binary, working}, "/from/flag.yaml"},
		{"path before text", "", both, []string{binary, working}, "/from/variable.yaml"},
		{"text before files", "", text, []string{binary, working}, TextVariable},
		{"beside the binary before the working directory", "", nil, []string{binary, working}, filepath.Join(binary, FileName)},
		{"the working directory", "", nil, []string{empty, working}, filepath.Join(working, FileName)},
		{"variables without a value are not set", "", blank, []string{empty, working}, filepath.Join(working, FileName)},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, err := find(c.flag, func(name string) (string, bool) { v, set := c.env[name]; return v, set }, c.folders)
			if err != nil || source.Name != c.want {
				t.Errorf("found %q, %v; want %q", source.Name, err, c.want)
			}
		})
	}
}

func TestFindNamesAllPlaces(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	_, err := find("", func(string) (string, bool) { return "", false }, []string{one, two})
	want := "no configuration: --config is not given, SPILLWAY_CONFIG and SPILLWAY_CONFIG_YAML are not set, there is no " +
		filepath.Join(one, FileName) + ", there is no " + filepath.Join(two, FileName)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFindLooksInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	none := func(string) (string, bool) { return "", false }
	if source, err := Find("", none); err == nil {
		t.Fatalf("found %q in an empty directory", source.Name)
	}
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, working, FileName, "open")
	source, err := Find("", none)
	if err != nil || source.Name != path {
		t.Fatalf("found %q, %v; want %q", source.Name, err, path)
	}
	if c, err := source.Load(none); err != nil || c.Access != "open" {
		t.Errorf("Load: %+v, want Access %q, %v", c, "open", err)
	}
}

func TestSourceLoad(t *testing.T) {
	path := write(t, t.TempDir(), "other.yaml", "everybody")
	for _, source := range []Source{
		{Name: path},
		{Name: TextVariable, text: strings.Replace(minimal, "open", "everybody", 1)},
	} {
		_, err := source.Load(env)
		want := source.Name + `:2: access: "everybody" is none of keys, open; write one of them`
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestLoadOfNoFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	c, err := Load(missing, env)
	if c != nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v, %v", c, err)
	}
	if c, err := Load(t.TempDir(), env); c != nil || err == nil {
		t.Errorf("a directory: %v, %v", c, err)
	}
}

func TestParseWithoutEnvironment(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(base), nil)
	checkRefusal(t, c, err)
	if !strings.Contains(err.Error(), "the environment variable PTU_KEY is not set") {
		t.Error(err)
	}
}

// A configuration keeps its values, and not the tree they were read from, which
// is ten times as large. The values of these consumers take less than 500 bytes
// each.
func TestTreeIsNotKept(t *testing.T) {
	const consumers = 2000
	text := manyConsumers(consumers)
	before := heap()
	config, err := Parse("gateway.yaml", text, env)
	if err != nil {
		t.Fatal(err)
	}
	if kept := (heap() - before) / consumers; kept > 1000 {
		t.Errorf("%d bytes are kept for each consumer, want less than 1000", kept)
	}
	runtime.KeepAlive(config)
	runtime.KeepAlive(text)
}
