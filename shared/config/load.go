package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FileName is the name of the configuration where no other is given.
const FileName = "gateway.yaml"

// The environment variables that say where the configuration is.
const (
	PathVariable = "SPILLWAY_CONFIG"      // its path
	TextVariable = "SPILLWAY_CONFIG_YAML" // the text itself
)

// Load reads and parses the file at path. Variables in it are looked up with
// env, which may be os.LookupEnv; the files that it names are relative to its
// folder. The error is Problems when the file could be
// read and its content is wrong.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parseIn(filepath.Dir(path), path, text, env)
}

// Parse parses the text of a configuration; name stands for it in errors.
// Variables in it are looked up with env, which may be os.LookupEnv; with a nil
// env none is set. The files that it names are relative to the working
// directory. The error is always Problems.
func Parse(name string, text []byte, env func(string) (string, bool)) (*Config, error) {
	return parseIn("", name, text, env)
}

// parseIn is Parse with files relative to folder.
func parseIn(folder, name string, text []byte, env lookup) (*Config, error) {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	doc, problems := parseDocument(name, text, wholeFile)
	if problems != nil {
		return nil, problems
	}
	d := newDecoder(doc, env)
	config := new(Config)
	d.decode(config)
	deriveDefaults(config, d.report)
	readCertificates(config, d.report, folder)
	validate(config, d.report)
	if err := d.report.err(); err != nil {
		return nil, err
	}
	return config, nil
}

// Source is where a configuration was found: a file, or the text of an
// environment variable.
type Source struct {
	// Name is the path of the file, or the name of the variable.
	Name string
	text string // the text, when it is in the variable
}

// Load reads and parses the configuration, as the functions Load and Parse do.
func (s Source) Load(env func(string) (string, bool)) (*Config, error) {
	if s.text != "" {
		return Parse(s.Name, []byte(s.text), env)
	}
	return Load(s.Name, env)
}

// Find tells where the configuration is. The first of these wins: the path
// given by flag, the path in SPILLWAY_CONFIG, the text in SPILLWAY_CONFIG_YAML,
// gateway.yaml beside the binary, gateway.yaml in the working directory. A path
// that is given need not exist: Load reports it. The error names all places
// looked at.
func Find(flag string, env func(string) (string, bool)) (Source, error) {
	var folders []string
	if binary, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Dir(binary))
	}
	if working, err := os.Getwd(); err == nil && !slices.Contains(folders, working) {
		folders = append(folders, working)
	}
	return find(flag, env, folders)
}

func find(flag string, env lookup, folders []string) (Source, error) {
	if flag != "" {
		return Source{Name: flag}, nil
	}
	if path, _ := env(PathVariable); path != "" {
		return Source{Name: path}, nil
	}
	if text, _ := env(TextVariable); strings.TrimSpace(text) != "" {
		return Source{Name: TextVariable, text: text}, nil
	}
	places := []string{"--config is not given", PathVariable + " and " + TextVariable + " are not set"}
	for _, folder := range folders {
		file := filepath.Join(folder, FileName)
		_, err := os.Stat(file)
		if err == nil {
			return Source{Name: file}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Source{}, fmt.Errorf("look for the configuration: %w", err)
		}
		places = append(places, "there is no "+file)
	}
	return Source{}, fmt.Errorf("no configuration: %s", strings.Join(places, ", "))
}
