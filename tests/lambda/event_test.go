package lambda_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
	"spillway/tests/fakes/lambdaruntime"
)

const schedule = `{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.scheduler",` +
	`"account":"123456789012","time":"2026-01-01T00:00:00Z","region":"us-east-1","resources":["arn:aws:scheduler:us-east-1:123456789012:schedule/default/maintenance"],"detail":"{}"}`

const frail = `
access: open
state: { store: tables, connection: "${STORAGE}", table: lambdaschedule, onUnavailable: deny }
breaker: { failures: 3, openFor: 1s, maxOpenFor: 2s }
backends:
  - { name: frail, endpoint: "${FRAIL}", deployments: [{ model: gpt }] }
  - { name: payg, endpoint: "${PAYG}", deployments: [{ model: gpt }] }
pools:
  - { model: gpt, members: [{ backend: frail, priority: 1 }, { backend: payg, priority: 2 }] }
`

// One instance finds a backend sick. The schedule's event comes to another, which
// shares nothing with it but the table, and takes the backend in again when it has
// recovered.
func TestScheduleReopensABackend(t *testing.T) {
	t.Parallel()
	sick, url := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	_, payg := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	env := map[string]string{"STORAGE": azurite.Start(t), "FRAIL": url, "PAYG": payg}
	user, timer := start(t, frail, env, patience), start(t, frail, env, patience)
	sick.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus})
	for range 3 { // the third failure opens the breaker, and the instance tells that before it is frozen
		if a := user.ask(t, "gpt"); a.status != http.StatusOK || a.served() != "payg" {
			t.Fatalf("while the backend is sick: %+v", a)
		}
	}
	await.That(t, "the schedule's run knows of the sick backend", func() bool {
		did := maintain(t, timer)
		if did.Ready > 0 {
			t.Fatalf("a sick backend is ready: %+v", did)
		}
		return did.Probed > 0
	})
	sick.Clear()
	await.That(t, "the schedule's run has found the backend well", func() bool { return maintain(t, timer).Ready > 0 })
	await.That(t, "users' requests go to the backend again", func() bool {
		a := user.ask(t, "gpt")
		if a.status != http.StatusOK {
			t.Fatalf("after the recovery: %+v, want status %v", a, http.StatusOK)
		}
		return a.served() == "frail"
	})
}

// run is what a run of the maintenance says that it has done.
type run struct {
	Probed, Ready int
	Problems      []string
}

// maintain gives the instance the schedule's event.
func maintain(t *testing.T, i *instance) run {
	t.Helper()
	text, err := i.invoke(t, schedule)
	var did run
	if err != nil || json.Unmarshal([]byte(text), &did) != nil || len(did.Problems) > 0 {
		t.Fatalf("the run answers %q: %v", text, err)
	}
	return did
}

// Another event is a failed call that names the event's keys, and the instance lives on.
func TestUnknownEvent(t *testing.T) {
	_, url := newBackend(t, azureopenai.Options{Key: "backend-key", Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	i := start(t, single, map[string]string{"BACKEND": url}, patience)
	for _, event := range []string{`{"Records":[{"body":"secret"}],"other":"secret"}`, `"secret"`, `{"detail-type":"secret","source":"aws.events"}`} {
		_, err := i.invoke(t, event)
		var failure *lambdaruntime.Failure
		if !errors.As(err, &failure) || failure.Type != "Gateway.UnknownEvent" || strings.Contains(failure.Message, "secret") {
			t.Errorf("%s: %v", event, err)
		}
	}
	if _, err := i.invoke(t, `{"Records":[],"other":1}`); err == nil || !strings.Contains(err.Error(), `"Records", "other"`) {
		t.Errorf("the keys are not named: %v", err)
	}
	if strings.Contains(i.stdout.String()+i.stderr.String(), "secret") {
		t.Error("the log shows what stood in an event")
	}
	if a := i.post(t, small, caller("application/json")); a.status != http.StatusOK {
		t.Errorf("the next call: %+v, want status %v", a, http.StatusOK)
	}
}

// A configuration that cannot be used ends the start with all that is wrong in one line
// on stdout, and a failure's exit code.
func TestBadConfiguration(t *testing.T) {
	tests := []struct {
		name, yaml string
		problems   []string
	}{
		{"several mistakes", strings.Replace(strings.Replace(single, "backend: only", "backend: another", 1), "access: keys", "access: maybe", 1), []string{"another", "maybe"}},
		{"an unset variable", single, []string{"BACKEND"}},
		{"no configuration", "", []string{"gateway.yaml"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{}
			if test.name != "an unset variable" {
				env["BACKEND"] = "https://contoso.openai.azure.com"
			}
			i, err := launch(t, test.yaml, env, patience)
			if !errors.Is(err, lambdaruntime.ErrEnded) {
				t.Fatalf("it starts: %v", err)
			}
			if code := i.ExitCode(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			lines := i.stdout.Lines()
			var line struct {
				Level, Event string
				Problems     []string
			}
			if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &line) != nil || line.Level != "error" || line.Event != "start_refused" || i.stderr.String() != "" {
				t.Fatalf("it says\n%s\nand on stderr %q", i.stdout, i.stderr)
			}
			all := strings.Join(line.Problems, "\n")
			for _, want := range test.problems {
				if !strings.Contains(all, want) {
					t.Errorf("the problems are %q, want %s among them", line.Problems, want)
				}
			}
		})
	}
}
