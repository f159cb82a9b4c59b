package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands that end by themselves: what they print where, and the exit
// codes that scripts rely on. 0 is done, 1 failed, 2 wrong usage.
func TestCommands(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := settings()
	env["SICK"], env["HEALTHY"] = "http://127.0.0.1:9", "http://127.0.0.1:9"
	good := write("good.yaml", sick)
	bad := write("bad.yaml", strings.Replace(sick, "backend: healthy,", "backend: nobody,", 1)+"colour: blue\n")
	missing := filepath.Join(folder, "missing.yaml")
	with := func(name, value string) map[string]string {
		more := map[string]string{name: value}
		for k, v := range env {
			more[k] = v
		}
		return more
	}

	tests := []struct {
		name   string
		args   []string
		env    map[string]string
		code   int
		stdout []string // parts of it; none: nothing is printed there
		stderr []string // likewise
	}{
		{name: "nothing", code: 2, stderr: []string{"usage: spillway COMMAND", "serve", "validate", "keys", "schema", "version", "exit codes"}},
		{name: "help", args: []string{"help"}, stdout: []string{"usage: spillway COMMAND", "exit codes"}},
		{name: "--help", args: []string{"--help"}, stdout: []string{"usage: spillway COMMAND"}},
		{name: "-h", args: []string{"-h"}, stdout: []string{"usage: spillway COMMAND"}},
		{name: "unknown command", args: []string{"srve"}, code: 2, stderr: []string{`there is no command "srve"`, "usage: spillway COMMAND"}},
		{name: "a flag before the command", args: []string{"--config", good, "serve"}, code: 2, stderr: []string{`there is no command "--config"`}},

		{name: "version", args: []string{"version"}, stdout: []string{"spillway "}},
		{name: "version --help", args: []string{"version", "--help"}, stdout: []string{"usage: spillway version"}},
		{name: "version with too much", args: []string{"version", "2"}, code: 2, stderr: []string{`unexpected "2"`, "usage: spillway version"}},
		{name: "version with an unknown flag", args: []string{"version", "--long"}, code: 2, stderr: []string{"-long", "usage: spillway version"}},

		{name: "validate", args: []string{"validate", "--config", good}, stdout: []string{"valid: 2 backends, 2 pools, 1 consumers"}},
		{name: "validate by SPILLWAY_CONFIG", args: []string{"validate"}, env: with("SPILLWAY_CONFIG", good), stdout: []string{"valid: 2 backends"}},
		{name: "validate by SPILLWAY_CONFIG_YAML", args: []string{"validate"}, env: with("SPILLWAY_CONFIG_YAML", sick), stdout: []string{"valid: 2 backends"}},
		{name: "validate what is wrong", args: []string{"validate", "--config", bad}, code: 1, stderr: []string{bad + ":10: pools[1].members[1].backend:", bad + ":13: colour: there is no such key"}},
		{name: "validate what is not there", args: []string{"validate", "--config", missing}, code: 1, stderr: []string{"read the configuration", missing}},
		{name: "validate nothing", args: []string{"validate"}, code: 1, stderr: []string{"no configuration", "--config", "SPILLWAY_CONFIG"}},
		{name: "validate --help", args: []string{"validate", "--help"}, stdout: []string{"usage: spillway validate", "-config"}},
		{name: "validate with too much", args: []string{"validate", good}, code: 2, stderr: []string{"unexpected", "usage: spillway validate"}},
		{name: "validate without the flag's value", args: []string{"validate", "--config"}, code: 2, stderr: []string{"-config", "usage: spillway validate"}},

		{name: "schema", args: []string{"schema"}, stdout: []string{`"$schema"`, "tokensPerMinute"}},
		{name: "schema with too much", args: []string{"schema", "yaml"}, code: 2, stderr: []string{`unexpected "yaml"`}},

		{name: "keys new", args: []string{"keys", "new", "--consumer", "team-search"}, stdout: []string{"sw-", "name: team-search", `keys: ["sha256:`}},
		{name: "keys", args: []string{"keys"}, code: 2, stderr: []string{"usage: spillway keys new"}},
		{name: "keys old", args: []string{"keys", "old"}, code: 2, stderr: []string{"usage: spillway keys new"}},
		{name: "keys --help", args: []string{"keys", "--help"}, stdout: []string{"usage: spillway keys new"}},
		{name: "keys new --help", args: []string{"keys", "new", "--help"}, stdout: []string{"usage: spillway keys new", "-consumer"}},

		{name: "serve --help", args: []string{"serve", "--help"}, stdout: []string{"usage: spillway serve", "-listen", "FUNCTIONS_CUSTOMHANDLER_PORT"}},
		{name: "serve nothing", args: []string{"serve"}, code: 1, stdout: []string{`"event":"start_refused"`}, stderr: []string{"no configuration"}},
		{name: "serve what is wrong", args: []string{"serve", "--config", bad}, code: 1, stdout: []string{`"event":"start_refused"`}, stderr: []string{bad + ":10: "}},
		{name: "serve with an unknown flag", args: []string{"serve", "--port", "80"}, code: 2, stderr: []string{"-port", "usage: spillway serve"}},
		{name: "serve at no address", args: []string{"serve", "--config", good, "--listen", "nowhere"}, code: 1, stdout: []string{`"event":"start_refused"`}, stderr: []string{"spillway serve: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			given := test.env
			if given == nil {
				given = env
			}
			got := run(t, given, test.args...)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			for _, stream := range []struct {
				name, said string
				want       []string
			}{{"stdout", got.stdout, test.stdout}, {"stderr", got.stderr, test.stderr}} {
				if len(stream.want) == 0 && stream.said != "" {
					t.Errorf("%s is not empty: %s", stream.name, stream.said)
				}
				for _, part := range stream.want {
					if !strings.Contains(stream.said, part) {
						t.Errorf("%s does not say %q: %s", stream.name, part, stream.said)
					}
				}
				for _, key := range []string{callerKey, adminKey, backendKey} {
					if strings.Contains(stream.said, key) {
						t.Errorf("%s tells the key %s", stream.name, key)
					}
				}
			}
		})
	}
}

// A key that was made opens the gateway by the hash alone.
func TestKeyThatWasMadeWorks(t *testing.T) {
	made := run(t, nil, "keys", "new")
	key := regexp.MustCompile(`sw-\S+`).FindString(made.stdout)
	hash := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(made.stdout)
	if made.code != 0 || key == "" || hash == "" {
		t.Fatalf("exit code %d: %s%s", made.code, made.stdout, made.stderr)
	}
	if again := run(t, nil, "keys", "new"); strings.Contains(again.stdout, key) {
		t.Error("two keys are the same")
	}
	env := settings()
	b := newBackend(t, pair("healthy"))
	env["SICK"], env["HEALTHY"] = b.url, b.url
	p := start(t, strings.Replace(sick, `["${CALLER_KEY}"]`, `["`+hash+`"]`, 1), env)
	for _, d := range dialects {
		p.send(t, call{path: d.path("both", "chat/completions"), key: key, from: d, body: chatBody("both")}).served(t)
		for _, wrong := range []string{hash, callerKey, key + "x", key[:len(key)-1]} {
			if got := p.send(t, call{path: d.path("both", "chat/completions"), key: wrong, from: d, body: chatBody("both")}); got.status != 401 {
				t.Errorf("with another key than was made the status is %d, want 401", got.status)
			}
		}
	}
}

// The schema that the binary prints is JSON, and describes every part of the
// configuration that these tests use.
func TestSchemaDescribesTheConfiguration(t *testing.T) {
	var schema struct {
		Properties map[string]any
		Required   []string
	}
	if err := json.Unmarshal([]byte(run(t, nil, "schema").stdout), &schema); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"access", "admin", "timeouts", "limits", "backends", "pools", "consumers"} {
		if schema.Properties[name] == nil {
			t.Errorf("the schema does not describe %s", name)
		}
	}
}
