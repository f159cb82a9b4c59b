package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

const withTable = `
access: keys
state: { store: tables, connection: UseDevelopmentStorage=true }
backends: [{ name: ptu, endpoint: "https://ptu.openai.azure.com", deployments: [{ model: gpt-4o }, { model: gpt-4o-mini }] }]
pools: [{ model: gpt-4o, members: [{ backend: ptu }] }, { model: gpt-4o-mini, members: [{ backend: ptu }] }]
consumers: [{ name: in-file, keys: [a key that is in the file] }]
entra: { tenant: contoso.onmicrosoft.com, audience: "api://spillway" }
`

// useMemory lets the commands work on a table in memory, which it returns.
func useMemory(t *testing.T) store.Store {
	t.Helper()
	table := memory.New()
	opened := openStore
	openStore = func(context.Context, *config.Config) (store.Store, *clock.Clock, error) {
		return table, new(clock.Clock), nil
	}
	t.Cleanup(func() { openStore = opened })
	return table
}

// useTable is useMemory, and returns what finds the table's consumers.
func useTable(t *testing.T) *consumers.Directory {
	t.Helper()
	table := useMemory(t)
	d, err := consumers.New(consumers.Options{Store: table})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// shownKey is the key that a command has printed, or "".
func shownKey(out string) string {
	return regexp.MustCompile(`sw-[A-Za-z0-9_-]{43}`).FindString(out)
}

// manage runs a command for consumers that must succeed.
func manage(t *testing.T, env map[string]string, args ...string) string {
	t.Helper()
	got := spillway(env, append([]string{"consumers"}, args...)...)
	if got.code != 0 {
		t.Fatalf("consumers %s: exit code %d, want 0: %s", strings.Join(args, " "), got.code, got.err)
	}
	return got.out
}

// defined is the definition of a consumer in the table.
func defined(t *testing.T, d *consumers.Directory, name string) config.Consumer {
	t.Helper()
	entry, err := d.Get(t.Context(), name)
	if err != nil || entry.Consumer == nil {
		t.Fatalf("%s: %v %s", name, err, entry.Problem)
	}
	if !strings.HasPrefix(entry.By, "cli:") {
		t.Errorf("%s was changed by %q, want cli: and a user", name, entry.By)
	}
	return *entry.Consumer
}

// From being added to being removed: the key is shown once and works; set changes
// what it is told and nothing else; a key is replaced by giving a second one and
// dropping the first.
func TestConsumersLife(t *testing.T) {
	d := useTable(t)
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	first := shownKey(manage(t, env, "add", "app", "--tokens-per-minute", "1000", "--models", "gpt-4o", "--spillover", "false"))
	if first == "" {
		t.Fatal("add shows no key")
	}
	c := defined(t, d, "app")
	if c.TokensPerMinute != 1000 || len(c.Models) != 1 || c.Spillover == nil || c.Spillover.Allowed || c.Keys[0] != sha256.Sum256([]byte(first)) {
		t.Errorf("added %+v", c)
	}
	if out := manage(t, env, "set", "app", "--requests-per-minute", "60", "--shadow", "--quotas", "5000/day,9000/month"); shownKey(out) != "" {
		t.Errorf("set shows a key: %s", out)
	}
	c = defined(t, d, "app")
	if c.TokensPerMinute != 1000 || c.RequestsPerMinute != 60 || !c.Shadow || len(c.Quotas) != 2 || len(c.Keys) != 1 {
		t.Errorf("after set: %+v", c)
	}
	manage(t, env, "set", "app", "--tokens-per-minute", "0", "--models", "", "--quotas", "", "--spillover", "300", "--shadow=false")
	c = defined(t, d, "app")
	if c.TokensPerMinute != 0 || c.Models != nil || c.Quotas != nil || c.Spillover.TokensPerMinute != 300 || c.Shadow {
		t.Errorf("after limits were taken away: %+v", c)
	}
	second := shownKey(manage(t, env, "set", "app", "--new-key"))
	if c = defined(t, d, "app"); len(c.Keys) != 2 || second == "" {
		t.Fatalf("%d keys after a second one", len(c.Keys))
	}
	manage(t, env, "set", "--drop-key", fmt.Sprintf("%x", sha256.Sum256([]byte(first)))[:8], "app")
	if c = defined(t, d, "app"); len(c.Keys) != 1 || c.Keys[0] != sha256.Sum256([]byte(second)) {
		t.Errorf("the first key was not dropped: %v", c.Keys)
	}
	manage(t, env, "remove", "app")
	if _, err := d.Get(t.Context(), "app"); err == nil {
		t.Error("it is still there")
	}
}

// What a consumer's requests may carry is set by flags: tags are listed one by one, and
// those that are given replace all that there were.
func TestConsumersHeaders(t *testing.T) {
	d := useTable(t)
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	manage(t, env, "add", "app", "--may-choose-backend", "--tag", "project", "--tag", "team")
	for _, step := range []struct {
		args []string
		may  bool
		tags []string
	}{
		{[]string{"--shadow"}, true, []string{"project", "team"}},
		{[]string{"--may-choose-backend=false", "--tag", "environment"}, false, []string{"environment"}},
		{[]string{"--tag", ""}, false, nil},
		{[]string{"--tag", "", "--tag", "team"}, false, []string{"team"}},
	} {
		manage(t, env, append([]string{"set", "app"}, step.args...)...)
		if c := defined(t, d, "app"); c.MayChooseBackend != step.may || !slices.Equal(c.Tags, step.tags) {
			t.Errorf("after set %q: may choose: %v, tags %q; want %v and %q", step.args, c.MayChooseBackend, c.Tags, step.may, step.tags)
		}
	}
}

// A whole definition comes from a file; flags go on top of it; set keeps the keys if
// the file has none.
func TestConsumersFile(t *testing.T) {
	d := useTable(t)
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	path := filepath.Join(t.TempDir(), "def.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tokensPerMinute: 5\nentra: { appIds: [11111111-2222-3333-4444-555555555555] }\n")
	if out := manage(t, env, "add", "app", "--file", path, "--roles", "Batch"); shownKey(out) != "" {
		t.Error("a key was made for a consumer that has an application")
	}
	c := defined(t, d, "app")
	if c.TokensPerMinute != 5 || len(c.Entra.AppIDs) != 1 || len(c.Entra.Roles) != 1 || c.Keys != nil {
		t.Errorf("added %+v", c)
	}
	manage(t, env, "set", "app", "--new-key", "--app-ids", "", "--roles", "")
	write(`{"requestsPerMinute": 7}`)
	manage(t, env, "set", "app", "--file", path)
	c = defined(t, d, "app")
	if c.RequestsPerMinute != 7 || c.TokensPerMinute != 0 || len(c.Keys) != 1 || c.Entra.AppIDs != nil {
		t.Errorf("after set with a file: %+v", c)
	}
}

// The list shows of keys no more than the beginnings of their hashes, in either
// format.
func TestConsumersList(t *testing.T) {
	useTable(t)
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	if out := manage(t, env, "list"); strings.Count(out, "\n") != 1 {
		t.Errorf("nobody is there, and the list says %q", out)
	}
	key := shownKey(manage(t, env, "add", "b", "--tokens-per-minute", "1000"))
	manage(t, env, "add", "a")
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(key)))
	table := manage(t, env, "list")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "a ") || !strings.Contains(lines[2], hash[:8]) || !strings.Contains(lines[2], "1000") {
		t.Errorf("the table is\n%s", table)
	}
	text := manage(t, env, "list", "--format", "json")
	var first struct {
		Name       string
		Definition map[string]any
	}
	if err := json.Unmarshal([]byte(strings.Split(text, "\n")[0]), &first); err != nil || first.Name != "a" || first.Definition == nil {
		t.Errorf("%v: %s", err, text)
	}
	if strings.Contains(table+text, hash[8:]) || strings.Contains(table+text, hash[:9]) {
		t.Error("more than the beginning of a hash is shown")
	}
}

// The log tells who changed which consumer, and what of it, without any key.
func TestConsumersLog(t *testing.T) {
	useTable(t)
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	key := shownKey(manage(t, env, "add", "a"))
	manage(t, env, "add", "b")
	manage(t, env, "set", "a", "--tokens-per-minute", "1000")
	manage(t, env, "remove", "b")

	var told []string
	text := manage(t, env, "log", "--format", "json")
	for line := range strings.Lines(text) {
		var l struct{ By, Action, Consumer, Outcome, What string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !strings.HasPrefix(l.By, "cli:") || l.Outcome != "done" || l.What == "" && l.Action != "remove" {
			t.Errorf("a change is logged as %+v", l)
		}
		told = append(told, l.Action+" "+l.Consumer)
	}
	if want := []string{"add a", "add b", "set a", "remove b"}; !slices.Equal(told, want) {
		t.Errorf("the log has %q, want %q", told, want)
	}
	table := manage(t, env, "log", "--consumer", "a")
	if lines := strings.Split(strings.TrimSpace(table), "\n"); len(lines) != 3 || !strings.Contains(lines[2], "tokensPerMinute") {
		t.Errorf("the table is\n%s", table)
	}
	if strings.Contains(table+text, key) {
		t.Error("the log holds a key")
	}
}

// What goes wrong says what to do about it, on stderr, and exits 1; a command line
// that makes no sense exits 2. Help that was asked for goes to stdout.
func TestConsumersRefusals(t *testing.T) {
	d := useTable(t)
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	manage(t, env, "add", "there")
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("tokensPerMinute: many\nsurprise: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "spillway consumers COMMAND"},
		{"surf", 2, `no command "surf"`},
		{"--help", 0, "remove NAME"},
		{"add --help", 0, "-tokens-per-minute"},
		{"set -h", 0, "-drop-key"},
		{"list --help", 0, "-format"},
		{"remove --help", 0, "NAME"},
		{"add", 2, "name of the consumer is missing"},
		{"remove", 2, "name of the consumer is missing"},
		{"add a b", 2, `unexpected "b"`},
		{"add x --tokens-per-minute many", 2, "whole number"},
		{"add x --quotas 5", 2, "1000000/day"},
		{"add x --spillover some", 2, "true, false"},
		{"add x --tag Team", 1, "is not the name of a tag"},
		{"add x --tag a --tag a", 1, "listed twice"},
		{"set there", 2, "say what to change"},
		{"list --format xml", 2, `no "xml"`},
		{"add there", 1, "in the table already"},
		{"add in-file", 1, "in the configuration file"},
		{"add x --models gpt-5", 1, "no pool serves the model"},
		{"add x --file " + broken, 1, "surprise"},
		{"add x --file " + broken + "x", 1, "no such file"},
		{"set absent --shadow", 1, "no such consumer"},
		{"remove absent", 1, "no such consumer"},
		{"set there --drop-key 0000", 1, "no key has a hash"},
	} {
		t.Run(test.args, func(t *testing.T) {
			got := spillway(env, append([]string{"consumers"}, strings.Fields(test.args)...)...)
			said := got.err
			if test.code == 0 {
				said = got.out
			}
			if got.code != test.code || !strings.Contains(said, test.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", got.code, got.out, got.err, test.code, test.want)
			}
		})
	}
	if _, err := d.Get(t.Context(), "x"); err == nil {
		t.Error("a refused consumer was added")
	}
}

// State in memory is nothing that a command could change.
func TestConsumersWithoutTable(t *testing.T) {
	got := spillway(map[string]string{"SPILLWAY_CONFIG_YAML": valid, "PTU_KEY": "a key of the backend"}, "consumers", "list")
	if got.code != 1 || !strings.Contains(got.err, "store: tables") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}
