package infra

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spillway/shared/config"
	"spillway/tests/program"
)

func TestMain(m *testing.M) { program.Main(m) }

var spillway = program.Builder("spillway/functions/azure")

// The configurations to begin with are valid with the settings that the
// templates make.
func TestConfigurationsAreValid(t *testing.T) {
	values := map[string]string{
		"SPILLWAY_STATE_ENDPOINT":   "https://contoso.table.core.windows.net/", // as Azure writes it, with the slash
		"SPILLWAY_STATE_CONNECTION": "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=a2V5;EndpointSuffix=core.windows.net",
	}
	for _, path := range []string{"infra/azure/gateway.yaml", "infra/aws/gateway.yaml"} {
		_, err := config.Parse(path, []byte(read(t, path)), func(name string) (string, bool) {
			if value, ok := values[name]; ok {
				return value, true
			}
			return "a value of at least sixteen characters", true
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// The container and the unit start the program with a command and flags that it
// has.
func TestStartedAsTheProgramWants(t *testing.T) {
	binary, err := spillway()
	if err != nil {
		t.Fatal(err)
	}
	starts := map[string][]string{
		"Dockerfile":                     containerCommand(t),
		"infra/systemd/spillway.service": strings.Fields(first(t, read(t, "infra/systemd/spillway.service"), `(?m)^ExecStart=\S+ (.*)$`)),
	}
	for name, args := range starts {
		if len(args) == 0 || args[0] != "serve" {
			t.Errorf("%s starts %q, want serve", name, args)
			continue
		}
		help, err := exec.Command(binary, args[0], "--help").Output()
		if err != nil {
			t.Fatalf("%s --help: %v", args[0], err)
		}
		for _, arg := range args[1:] {
			if flag, ok := strings.CutPrefix(arg, "--"); ok && !regexp.MustCompile(`(?m)^\s+-`+flag+`\b`).Match(help) {
				t.Errorf("%s gives %s, which %s does not have:\n%s", name, arg, args[0], help)
			}
		}
	}
}

func TestTheContainerHoldsTheBinaryAlone(t *testing.T) {
	text := read(t, "Dockerfile")
	source := first(t, text, `(?m)^COPY --chmod=0755 (\S+) /spillway$`)
	if n := strings.Count(text, "\nCOPY "); n != 1 {
		t.Errorf("%d COPY, want 1", n)
	}
	if built := first(t, text, `(?m)^# .* go build .*-o (\S+) `); built != strings.ReplaceAll(source, "${TARGETARCH}", "amd64") {
		t.Errorf("the build that is described makes %s, and %s is copied", built, source)
	}
	if entry := first(t, text, `(?m)^ENTRYPOINT (.*)$`); entry != `["/spillway"]` {
		t.Errorf("ENTRYPOINT %s, want %s", entry, `["/spillway"]`)
	}
	if user := first(t, text, `(?m)^USER (\S+)$`); strings.HasPrefix(user, "0") || strings.HasPrefix(user, "root") {
		t.Errorf("USER %s", user)
	}
	// What Docker sends to the builder is what is copied, and no configuration or
	// key that lies beside it.
	allowed := strings.Fields(read(t, ".dockerignore"))
	want := []string{"*", "!" + strings.ReplaceAll(source, "${TARGETARCH}", "*")}
	if !slices.Equal(allowed, want) {
		t.Errorf(".dockerignore %q, want %q", allowed, want)
	}
}

func containerCommand(t *testing.T) []string {
	t.Helper()
	var args []string
	if err := json.Unmarshal([]byte(first(t, read(t, "Dockerfile"), `(?m)^CMD (\[.*\])$`)), &args); err != nil {
		t.Fatal(err)
	}
	return args
}

// first is what the first group of a pattern matches.
func first(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("nothing matches %s in\n%s", pattern, text)
	}
	return match[1]
}
