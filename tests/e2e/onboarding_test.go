package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
	"spillway/tests/secrets"
)

const onboardingConsumers = `
consumers:
  - { name: resident, keys: ["key-of-the-consumer-resident-5c1e"] }
`

// everywhere waits until something is so at every instance, and prints how long that
// took, which is promised to be 5 seconds at most while the table answers.
func (f *office) everywhere(t *testing.T, what string, so func(*process) bool) {
	t.Helper()
	began := time.Now()
	var took []string
	for _, p := range f.instances {
		await.That(t, what+" at every instance", func() bool { return so(p) })
		took = append(took, fmt.Sprintf("%.1f", time.Since(began).Seconds()))
	}
	t.Logf("%s: at the instances by %s s", what, strings.Join(took, ", "))
}

// status is that of a small request with a key.
func (f *office) status(t *testing.T, to *process, key string) (status int, code string) {
	t.Helper()
	a := f.with(t, to, key)
	return a.status, codeOf(a.body)
}

// codeOf is the code of an error's body.
func codeOf(body []byte) string {
	var refused struct{ Error struct{ Code string } }
	_ = json.Unmarshal(body, &refused) // a good answer has none
	return refused.Error.Code
}

// put defines a consumer of the table, and returns the answer and the key that was
// made, if one was.
func (f *office) put(t *testing.T, name, definition string) (a answer, key string) {
	t.Helper()
	a = f.admin(t, f.instances[0], http.MethodPut, "/spillway/consumers/"+name, definition)
	var made struct{ Key string }
	if err := json.Unmarshal(a.body, &made); err != nil {
		t.Fatalf("PUT answers %d: %s", a.status, a.body)
	}
	if made.Key != "" {
		secrets.Register("a key of a consumer of the table", made.Key)
	}
	return a, made.Key
}

// Consumers come and go, and change, while four gateways serve: no restart, no
// deployment.
func TestConsumersComeAndGo(t *testing.T) {
	needsFleet(t)
	storage := azurite.Run(t)
	f := startOffice(t, 4, storage.Connection(), onboardingConsumers, azureopenai.Options{Output: azureopenai.Output{Fill: true}}, nil)
	o := &onboarding{office: f, storage: storage}
	t.Run("added by the command line", o.commandLine)
	t.Run("a name of the file", o.nameOfTheFile)
	t.Run("a limit that changes", o.limitChanges)
	t.Run("a quota that changes", o.quotaChanges)
	t.Run("two keys", o.twoKeys)
	t.Run("removed while a stream runs", o.removedInAStream)
	t.Run("the log tells who did what", f.checkLog)
	t.Run("the table is down", o.tableIsDown)
}

// onboarding is an office whose consumers come and go.
type onboarding struct {
	*office
	storage *azurite.Emulator
	key     string // of the consumer tenant
}

// works tells whether requests with a key are served.
func (o *onboarding) works(t *testing.T, key string) func(*process) bool {
	return func(p *process) bool { status, _ := o.status(t, p, key); return status == http.StatusOK }
}

// refused tells whether requests with a key are refused so.
func (o *onboarding) refused(t *testing.T, key string, status int, code string) func(*process) bool {
	return func(p *process) bool { s, c := o.status(t, p, key); return s == status && c == code }
}

// A key that the command line has made works everywhere, and is shown once.
func (o *onboarding) commandLine(t *testing.T) {
	got := o.cli(t, "consumers", "add", "newcomer", "--models", "gpt-5")
	key := regexp.MustCompile(`sw-\S+`).FindString(got.stdout)
	if got.code != 0 || key == "" {
		t.Fatalf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	secrets.Register("the newcomer's key", key)
	o.everywhere(t, "a new key works", o.works(t, key))
	list := o.cli(t, "consumers", "list")
	if list.code != 0 || !strings.Contains(list.stdout, "newcomer") || strings.Contains(list.stdout, key) {
		t.Errorf("exit code %d: %s%s", list.code, list.stdout, list.stderr)
	}
	if got := o.cli(t, "consumers", "remove", "newcomer"); got.code != 0 {
		t.Errorf("exit code %d, want 0: %s", got.code, got.stderr)
	}
	o.everywhere(t, "the key of a removed consumer is refused", o.refused(t, key, http.StatusUnauthorized, "invalid_api_key"))
}

// What the file defines is changed there.
func (o *onboarding) nameOfTheFile(t *testing.T) {
	const mend = "configuration file"
	if got := o.cli(t, "consumers", "add", "resident"); got.code != 1 || !strings.Contains(got.stderr, mend) || strings.Contains(got.stdout, "sw-") {
		t.Errorf("exit code %d, want 1 and the mend: %s%s", got.code, got.stdout, got.stderr)
	}
	if a, key := o.put(t, "resident", "{}"); a.status != http.StatusConflict || codeOf(a.body) != "consumer_in_file" || !strings.Contains(string(a.body), mend) || key != "" {
		t.Errorf("PUT answers %d: %s; want 409 and the mend", a.status, a.body)
	}
}

// A limit acts, and acts no more, as it is defined.
func (o *onboarding) limitChanges(t *testing.T) {
	var a answer
	if a, o.key = o.put(t, "tenant", `{"models":["gpt-5"]}`); a.status != http.StatusCreated || o.key == "" {
		t.Fatalf("PUT answers %d: %s; want 201 and a key", a.status, a.body)
	}
	o.everywhere(t, "a new key works", o.works(t, o.key))
	if a, again := o.put(t, "tenant", `{"models":["gpt-5"],"requestsPerMinute":1}`); a.status != http.StatusOK || again != "" {
		t.Fatalf("PUT answers %d: %s; want 200 and no further key", a.status, a.body)
	}
	o.everywhere(t, "a lowered limit acts", o.refused(t, o.key, http.StatusTooManyRequests, "rate_limit_exceeded"))
	o.put(t, "tenant", `{"models":["gpt-5"]}`)
	o.everywhere(t, "a limit that was taken away does not act", o.works(t, o.key))
}

// A quota below what is used blocks, though the month is young.
func (o *onboarding) quotaChanges(t *testing.T) {
	o.put(t, "tenant", `{"quotas":[{"tokens":100000,"per":"month"}]}`)
	for range 20 {
		for _, p := range o.instances {
			status, code := o.status(t, p, o.key)
			for tries := 0; code == "rate_limit_exceeded" && tries < 3; tries++ {
				// All instances write the row of a new quota. Where the table is slow besides a
				// request is told to come back in a second, and every SDK does.
				await.Until(t, time.Now().Add(time.Second))
				status, code = o.status(t, p, o.key)
			}
			if status != http.StatusOK {
				t.Errorf("status %d (%s) below the quota, want %d", status, code, http.StatusOK)
			}
		}
	}
	o.put(t, "tenant", `{"quotas":[{"tokens":200,"per":"month"}]}`)
	o.everywhere(t, "a quota lowered below what is used blocks", o.refused(t, o.key, http.StatusTooManyRequests, "insufficient_quota"))
	o.put(t, "tenant", `{"quotas":[{"tokens":100000,"per":"month"}]}`)
	o.everywhere(t, "a raised quota unblocks", o.works(t, o.key))
}

// While a key is replaced both work.
func (o *onboarding) twoKeys(t *testing.T) {
	a := o.admin(t, o.instances[1], http.MethodPost, "/spillway/consumers/tenant/keys", "")
	var made struct {
		Key  string
		Keys []string
	}
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != http.StatusOK || made.Key == "" || len(made.Keys) != 2 {
		t.Fatalf("POST answers %d: %s; want a second key", a.status, a.body)
	}
	secrets.Register("a second key", made.Key)
	o.everywhere(t, "the second key works", o.works(t, made.Key))
	for _, p := range o.instances {
		if status, _ := o.status(t, p, o.key); status != http.StatusOK {
			t.Errorf("status %d with the first key, want 200 while there are two", status)
		}
	}
	old := hashOf(o.key)
	if a := o.admin(t, o.instances[2], http.MethodDelete, "/spillway/consumers/tenant/keys/"+old, ""); a.status != http.StatusOK {
		t.Fatalf("DELETE answers %d, want %d: %s", a.status, http.StatusOK, a.body)
	}
	o.everywhere(t, "the first key is refused", o.refused(t, o.key, http.StatusUnauthorized, "invalid_api_key"))
	for _, p := range o.instances {
		if status, _ := o.status(t, p, made.Key); status != http.StatusOK {
			t.Errorf("status %d with the second key, want 200", status)
		}
	}
	o.key = made.Key
}

// Who is removed is served to the end of what runs.
func (o *onboarding) removedInAStream(t *testing.T) {
	o.inject("hold-2", azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Tokens: 2}, "ptu")
	response, err := o.open(t.Context(), o.instances[0], post{tag: tag{Model: "gpt-5", Number: numbers.Add(1)}, key: o.key, maximum: 10, stream: true, trial: "hold-2"})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	in := bufio.NewReader(response.Body)
	if _, err := in.Peek(10); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("status %d, want %d: %v", response.StatusCode, http.StatusOK, err)
	}
	if a := o.admin(t, o.instances[3], http.MethodDelete, "/spillway/consumers/tenant", ""); a.status != http.StatusNoContent {
		t.Fatalf("DELETE answers %d, want %d: %s", a.status, http.StatusNoContent, a.body)
	}
	o.everywhere(t, "a removed consumer is refused", o.refused(t, o.key, http.StatusUnauthorized, "invalid_api_key"))
	o.backends["ptu"].Clear()
	if body, err := io.ReadAll(in); err != nil || !complete(body) {
		t.Errorf("the stream that ran is not finished: %v, %.200q", err, body)
	}
}

// Without a table those that are known go on, and of others it cannot be told.
func (o *onboarding) tableIsDown(t *testing.T) {
	_, known := o.put(t, "cached", "{}")
	o.everywhere(t, "a new key works", o.works(t, known))
	o.storage.Stop()
	defer o.storage.Start()
	for _, p := range o.instances {
		for range 5 {
			if status, _ := o.status(t, p, known); status != http.StatusOK {
				t.Errorf("status %d for a known key without a table, want 200", status)
			}
		}
		unknown, err := o.ask(t, p, post{tag: tag{Model: "gpt-5", Number: numbers.Add(1)}, key: "key-of-the-nobody-at-all-1234567890", maximum: 10})
		if err != nil || unknown.status != http.StatusServiceUnavailable || unknown.header.Get("Retry-After") == "" {
			t.Errorf("status %d for an unknown key without a table, want 503 and when to come back: %v %s", unknown.status, err, unknown.body)
		}
		if status, _ := o.status(t, p, keyOf("resident")); status != http.StatusOK {
			t.Errorf("status %d for a key of the file without a table, want 200", status)
		}
	}
	if got := o.cli(t, "consumers", "list"); got.code != 1 || got.stderr == "" {
		t.Errorf("exit code %d without a table, want 1 and why: %s", got.code, got.stderr)
	}
}

// checkLog asserts that each change has left a row that says who made it.
func (f *office) checkLog(t *testing.T) {
	t.Helper()
	by := make(map[string]int)
	for _, row := range rows(t, table(t, f.env["STORAGE"], f.env["TABLE"]), "consumers", "log") {
		if who, ok := row["By"].(string); ok {
			by[strings.SplitN(who, ":", 2)[0]]++
		}
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		secrets.None(t, "a row of the log", nil, text)
	}
	// The command line has added one and removed it; the operator has made all else.
	if by["cli"] != 2 || by["operator"] != 9 {
		t.Errorf("changes by %v, want 2 by cli and 9 by operator", by)
	}
}
