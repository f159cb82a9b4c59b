package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

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
		t.Fatalf("exit code %d, want 0: %v", got.code, err)
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
// listener behind. All that is wrong is in one line of the log; people get it on
// stderr too, which a Functions host would take for more errors.
func TestServeThatCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := file(t, strings.Replace(valid, `, auth: { apiKey: "${PTU_KEY}" }`, "", 1))
	bad := file(t, strings.Replace(valid, "access: open", "access: opne", 1)+"surprise: 1\n")
	takenPort := strings.TrimPrefix(taken.Addr().String(), "127.0.0.1:")
	host := func(port string) map[string]string { return map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": port} }
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want []string // what each problem says
		host bool
	}{
		{"no configuration", nil, []string{"--config", good + ".not"}, []string{"gateway.yaml.not"}, false},
		{"a wrong port", host("70000"), []string{"--config", good}, []string{"FUNCTIONS_CUSTOMHANDLER_PORT"}, false},
		{"an address that is taken", nil, []string{"--config", good, "--listen", taken.Addr().String()}, []string{taken.Addr().String()}, false},
		{"no address", nil, []string{"--config", good, "--listen", "here"}, []string{"here"}, false},
		{"all at once", nil, []string{"--config", bad, "--listen", "127.0.0.1:0"}, []string{"gateway.yaml:2: access: ", "PTU_KEY", "surprise"}, false},
		{"all at once, to a host", host("0"), []string{"--config", bad}, []string{"gateway.yaml:2: access: ", "PTU_KEY", "surprise"}, true},
		{"a port that is taken, and more", host(takenPort), []string{"--config", bad}, []string{"address already in use", "gateway.yaml:2: access: ", "PTU_KEY", "surprise"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := spillway(test.env, append([]string{"serve"}, test.args...)...)
			if got.code != 1 {
				t.Errorf("exit code %d, want 1", got.code)
			}
			var line struct {
				Level, Event string
				Problems     []string
			}
			if err := json.Unmarshal([]byte(got.out), &line); err != nil || strings.Count(got.out, "\n") != 1 {
				t.Fatalf("stdout is not one line of JSON: %v\n%s", err, got.out)
			}
			if line.Level != "error" || line.Event != "start_refused" || len(line.Problems) != len(test.want) {
				t.Fatalf("it says %+v, want %d problems", line, len(test.want))
			}
			for i, want := range test.want {
				if !strings.Contains(line.Problems[i], want) {
					t.Errorf("problem %d is %q, want %q", i, line.Problems[i], want)
				}
				if strings.Contains(got.err, want) == test.host {
					t.Errorf("stderr says %q", got.err)
				}
			}
		})
	}
}

// When it is told to end, the gateway takes no new requests, ends those that are
// open and then itself. A Functions host, which would leave it at that, is asked to
// start it again.
func TestServeUntilToldToEnd(t *testing.T) {
	log := zerolog.Nop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	inside, leave := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- newService(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(inside)
			<-leave
			w.WriteHeader(http.StatusTeapot)
		}), log).serve(ctx, listener)
	}()
	answered := make(chan int, 1)
	go func() {
		answer, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- 0
			return
		}
		answer.Body.Close()
		answered <- answer.StatusCode
	}()
	<-inside
	end()
	for { // until it takes no more
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case err := <-ended:
		t.Errorf("it ended with a request open: %v", err)
	default:
	}
	close(leave)
	if status := <-answered; status != http.StatusTeapot {
		t.Errorf("the open request got status %d, want %d", status, http.StatusTeapot)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{flag.ErrHelp, 0, ""},
		{errUsage, 2, ""},
		{errors.New("no"), 1, "no\n"},
		{errSaid, 1, ""},
		{errStopped, 200, ""},
	}
	for _, test := range tests {
		var said bytes.Buffer
		if code := exitCode(test.err, streams{err: &said}); code != test.code || said.String() != test.says {
			t.Errorf("%v: exit code %d, want %d; it says %q", test.err, code, test.code, said.String())
		}
	}
}
