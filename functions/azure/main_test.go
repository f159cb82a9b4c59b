package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/config"
)

const valid = `
access: open
backends: [{ name: ptu, endpoint: "https://ptu.openai.azure.com", auth: { apiKey: "${PTU_KEY}" }, deployments: [{ model: gpt-4o }] }]
pools: [{ model: gpt-4o, members: [{ backend: ptu }] }]
`

// outcome is how a command ended.
type outcome struct {
	code     int
	out, err string
}

// spillway runs the program with an environment, in its own words.
func spillway(env map[string]string, args ...string) outcome {
	var out, err bytes.Buffer
	code := run(args, streams{&out, &err, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
	return outcome{code, out.String(), err.String()}
}

// file writes a configuration and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Help that was asked for is an answer; help that was needed is an error. Neither
// writes to the other's stream.
func TestUsage(t *testing.T) {
	tests := []struct {
		args []string
		code int
		want string // on stdout if the code is 0, else on stderr
	}{
		{nil, 2, "usage: spillway COMMAND"},
		{[]string{"help"}, 0, "usage: spillway COMMAND"},
		{[]string{"-h"}, 0, "usage: spillway COMMAND"},
		{[]string{"--help"}, 0, "usage: spillway COMMAND"},
		{[]string{"surf"}, 2, `there is no command "surf"`},
		{[]string{"--config", "x"}, 2, `there is no command "--config"`},
		{[]string{"serve", "--help"}, 0, "-listen"},
		{[]string{"validate", "-h"}, 0, "-config"},
		{[]string{"keys", "--help"}, 0, "usage: spillway keys new"},
		{[]string{"keys", "new", "--help"}, 0, "-consumer"},
		{[]string{"keys"}, 2, "usage: spillway keys new"},
		{[]string{"keys", "old"}, 2, "usage: spillway keys new"},
		{[]string{"serve", "--bogus"}, 2, "-bogus"},
		{[]string{"validate", "gateway.yaml"}, 2, `unexpected "gateway.yaml"`},
		{[]string{"version", "x"}, 2, `unexpected "x"`},
		{[]string{"schema", "x"}, 2, `unexpected "x"`},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			got := spillway(nil, test.args...)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			said, other := got.out, got.err
			if test.code != 0 {
				said, other = got.err, got.out
			}
			if !strings.Contains(said, test.want) || other != "" {
				t.Errorf("stdout %q\nstderr %q\nwant %q on one of them", got.out, got.err, test.want)
			}
		})
	}
}

// The help of the program names every command.
func TestHelpNamesEveryCommand(t *testing.T) {
	help := spillway(nil, "help").out
	for _, c := range commands() {
		if !strings.Contains(help, "  "+c.name+" ") || !strings.Contains(help, c.summary) {
			t.Errorf("%s is not in the help:\n%s", c.name, help)
		}
	}
}

// A configuration is found by flag, by path and by text, in this order. What is
// wrong is said on stderr with its line, and its secrets are not.
func TestValidate(t *testing.T) {
	const secret = "a secret of a backend"
	key := map[string]string{"PTU_KEY": secret}
	good, bad := file(t, valid), file(t, strings.Replace(valid, "access: open", "access: opne", 1)+"surprise: 1\n")
	tests := []struct {
		name string
		env  map[string]string
		args []string
		code int
		want []string
	}{
		{"by flag", key, []string{"--config", good}, 0, []string{"valid: 1 backends, 1 pools, 0 consumers"}},
		{"by path in the environment", map[string]string{"PTU_KEY": secret, "SPILLWAY_CONFIG": good}, nil, 0, []string{"valid:"}},
		{"by text in the environment", map[string]string{"PTU_KEY": secret, "SPILLWAY_CONFIG_YAML": valid}, nil, 0, []string{"valid:"}},
		{"the flag wins", map[string]string{"PTU_KEY": secret, "SPILLWAY_CONFIG": bad}, []string{"--config", good}, 0, []string{"valid:"}},
		{"no such file", key, []string{"--config", good + ".not"}, 1, []string{"gateway.yaml.not"}},
		{"a variable that is not set", nil, []string{"--config", good}, 1, []string{"PTU_KEY"}},
		{"all that is wrong, at once", key, []string{"--config", bad}, 1, []string{"gateway.yaml:2", "opne", "surprise"}},
		{"no YAML", key, []string{"--config", file(t, "access: [")}, 1, []string{"gateway.yaml"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := spillway(test.env, append([]string{"validate"}, test.args...)...)
			if got.code != test.code {
				t.Fatalf("exit code %d, want %d: %s%s", got.code, test.code, got.out, got.err)
			}
			said := got.out
			if test.code != 0 {
				said = got.err
			}
			for _, want := range test.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
			if strings.Contains(got.out+got.err, secret) {
				t.Errorf("it tells a secret:\n%s%s", got.out, got.err)
			}
		})
	}
}

// keys new prints a key and the lines for the configuration, which hold its hash
// and not the key. No two are the same, and the lines are valid.
func TestKeysNew(t *testing.T) {
	form := regexp.MustCompile(`(?s)^key \(shown once, give it to the caller\):\n  (\S{20,})\n\nin gateway\.yaml:\n(  consumers:\n    - name: team\n      keys: \["(sha256:[0-9a-f]{64})"\]\n)$`)
	seen := map[string]bool{}
	for range 3 {
		got := spillway(nil, "keys", "new", "--consumer", "team")
		parts := form.FindStringSubmatch(got.out)
		if got.code != 0 || parts == nil {
			t.Fatalf("exit code %d: %s%s", got.code, got.out, got.err)
		}
		sum := sha256.Sum256([]byte(parts[1]))
		if parts[3] != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not the hash of %s", parts[3], parts[1])
		}
		lines := strings.ReplaceAll("\n"+strings.TrimSuffix(parts[2], "\n"), "\n  ", "\n")
		yaml := strings.Replace(valid, "access: open", "access: keys", 1) + lines + "\n"
		if _, err := config.Parse("gateway.yaml", []byte(yaml), func(string) (string, bool) { return "x", true }); err != nil {
			t.Errorf("the lines are not valid:\n%v", err)
		}
		if seen[parts[1]] {
			t.Errorf("the key %s was made twice", parts[1])
		}
		seen[parts[1]] = true
	}
}

// schema prints a JSON Schema that knows the configuration's keys.
func TestSchema(t *testing.T) {
	got := spillway(nil, "schema")
	var schema struct {
		Properties map[string]any
	}
	if err := json.Unmarshal([]byte(got.out), &schema); err != nil || got.code != 0 {
		t.Fatalf("exit code %d: %v", got.code, err)
	}
	for _, key := range []string{"access", "backends", "pools", "consumers"} {
		if schema.Properties[key] == nil {
			t.Errorf("the schema lacks %s", key)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := spillway(nil, "version"); got.code != 0 || !regexp.MustCompile(`^spillway \S+\n$`).MatchString(got.out) {
		t.Errorf("exit code %d: %q", got.code, got.out)
	}
}

// Under a Functions host its port wins, and only this machine can reach it.
func TestListenAddress(t *testing.T) {
	tests := []struct{ port, want string }{
		{"", "0.0.0.0:80"},
		{"7071", "127.0.0.1:7071"},
		{"0", "127.0.0.1:0"},
		{"70000", ""},
		{"-1", ""},
		{"80; rm", ""},
	}
	for _, test := range tests {
		t.Run(test.port, func(t *testing.T) {
			got, err := listenAddress("0.0.0.0:80", streams{env: func(name string) (string, bool) {
				return test.port, name == "FUNCTIONS_CUSTOMHANDLER_PORT" && test.port != ""
			}})
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// What keeps the gateway from serving ends the command, says why, and leaves no
// listener behind.
func TestServeThatCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := file(t, strings.Replace(valid, `, auth: { apiKey: "${PTU_KEY}" }`, "", 1))
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"no configuration", nil, []string{"--config", good + ".not"}, "gateway.yaml.not"},
		{"a wrong port", map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "70000"}, []string{"--config", good}, "FUNCTIONS_CUSTOMHANDLER_PORT"},
		{"an address that is taken", nil, []string{"--config", good, "--listen", taken.Addr().String()}, taken.Addr().String()},
		{"no address", nil, []string{"--config", good, "--listen", "here"}, "here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := spillway(test.env, append([]string{"serve"}, test.args...)...); got.code != 1 || !strings.Contains(got.err, test.want) {
				t.Errorf("exit code %d: %s", got.code, got.err)
			}
		})
	}
}

// When it is told to end, the gateway ends its open requests and then itself.
func TestServeUntilToldToEnd(t *testing.T) {
	cfg, err := config.Parse("gateway.yaml", []byte(valid), func(string) (string, bool) { return "x", true })
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- serveUntil(ctx, listener, gateway, zerolog.Nop()) }()
	answer, err := http.Get("http://" + listener.Addr().String() + "/spillway/healthz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("not alive: %v %v", answer, err)
	}
	answer.Body.Close()
	end()
	if err := <-ended; err != nil && err != http.ErrServerClosed {
		t.Errorf("ended with %v", err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}
