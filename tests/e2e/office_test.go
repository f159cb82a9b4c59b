package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
	"spillway/tests/secrets"
)

// office is gateways that share a table and know who calls them, before backends
// whose accounts are the truth of what was used.
type office struct {
	instances []*process
	yaml      string
	env       map[string]string
	client    *http.Client
	backends  map[string]*azureopenai.Server

	mu       sync.Mutex
	begun    map[string]chan struct{} // guarded by mu; by the tag of a request: closed when a backend has accepted it
	accounts []account                // guarded by mu; of requests that have ended
}

// account is what a backend says that a request has used.
type account struct {
	azureopenai.Account
	backend string
	tag     tag
}

// tag is what a request of these tests says of itself, as its user.
type tag struct {
	Consumer string `json:"c"`
	Model    string `json:"m"`
	Number   int64  `json:"n"`
	Sent     int64  `json:"t"` // in nanoseconds since 1970
	To       int    `json:"i"` // the index of the instance
}

func (t tag) text() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // it holds nothing that fails
	}
	return string(text)
}

// tagOf reads the tag of a request's body. A request without one is a gateway's own.
func tagOf(body []byte) (tag, bool) {
	var request struct{ User string }
	var t tag
	if json.Unmarshal(body, &request) != nil || json.Unmarshal([]byte(request.User), &t) != nil {
		return t, false
	}
	return t, true
}

// officeModels are names of models whose prompts the simulated backends count as
// the service does: three tokens for the frame of a message.
var officeModels = []string{"gpt-5", "o3"}

// officeHead is the part of the configuration that all offices share. The operator's
// key has a name, which changes of consumers carry.
const officeHead = `
access: keys
admin: { keys: [{ name: operator, key: "${ADMIN_KEY}" }] }
state: { store: tables, connection: "${STORAGE}", table: "${TABLE}", onUnavailable: "${POLICY}" }
`

// officeBackends are a backend with a limit and one without, for two models.
const officeBackends = `
breaker: { failures: 1000 }
retry: { budget: 1 }
backends:
  - { name: ptu, region: eastus, endpoint: "${PTU}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-5, deployment: gpt-5-ptu, tokensPerMinute: "${PTU_TOKENS}" }, { model: o3, deployment: o3-ptu }] }
  - { name: payg, region: westus, endpoint: "${PAYG}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-5, deployment: gpt-5-payg }, { model: o3, deployment: o3-payg }] }
pools:
  - { model: gpt-5, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
  - { model: o3, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
`

// startOffice starts the backends and so many gateways; more is added to their
// configuration.
func startOffice(t *testing.T, instances int, storage, more string, o azureopenai.Options, env map[string]string) *office {
	t.Helper()
	if storage == "" {
		storage = azurite.Start(t)
	}
	f := &office{
		yaml: officeHead + officeBackends + more, env: settings(), begun: make(map[string]chan struct{}),
		backends: make(map[string]*azureopenai.Server),
	}
	f.env["STORAGE"], f.env["TABLE"], f.env["PTU_TOKENS"] = storage, tableOf(t, "office"), "100000000"
	f.env["POLICY"] = "allow"
	for _, name := range []string{"ptu", "payg"} {
		f.env[strings.ToUpper(name)] = f.backend(t, name, o)
	}
	maps.Copy(f.env, env)
	transport := &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: 4 * time.Second}
	f.client = &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	for range instances {
		f.join(t)
	}
	return f
}

// join starts one more instance.
func (f *office) join(t *testing.T) *process {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	p := start(t, f.yaml, f.env)
	f.instances = append(f.instances, p)
	return p
}

// backend starts a simulated resource with a deployment for each model, and returns
// where it is.
func (f *office) backend(t *testing.T, name string, o azureopenai.Options) string {
	t.Helper()
	o.Name, o.Key, o.RecordRequests = name, backendKey, -1
	for _, model := range officeModels {
		o.Deployments = append(o.Deployments, azureopenai.Deployment{Name: model + "-" + name, Model: model})
	}
	o.Account = func(a azureopenai.Account) { f.account(name, a) }
	s := azureopenai.New(o)
	server := httptest.NewServer(s)
	f.backends[name] = s
	t.Cleanup(func() {
		s.Clear() // what hangs goes on
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// account keeps what a backend says of a request.
func (f *office) account(backend string, a azureopenai.Account) {
	t, ok := tagOf(a.Body)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.End != azureopenai.EventAccepted {
		f.accounts = append(f.accounts, account{a, backend, t})
	} else if begun := f.begun[t.text()]; begun != nil {
		close(begun)
		delete(f.begun, t.text())
	}
}

// accepted is closed when a backend has accepted the request with that tag, which is
// to be sent yet.
func (f *office) accepted(t tag) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	begun := make(chan struct{})
	f.begun[t.text()] = begun
	return begun
}

// ended are the accounts so far.
func (f *office) ended() []account {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.accounts)
}

// inject makes requests that carry the word in their header meet a fault at some of
// the backends.
func (f *office) inject(word string, fault azureopenai.Fault, backends ...string) {
	fault.Match.Header = map[string]string{trialHeader: word}
	for _, name := range backends {
		f.backends[name].Inject(fault)
	}
}

// trialHeader is the header by which a request asks for a fault.
const trialHeader = "X-Trial"

// keyOf is the key of a consumer of these tests.
func keyOf(consumer string) string { return "key-of-the-consumer-" + consumer + "-5c1e" }

// post is a request for a chat completion on its way. Words of the prompt and the
// maximum of the output say how large it is; 0: no maximum.
type post struct {
	tag
	key            string // default: keyOf the consumer
	words, maximum int
	stream         bool
	trial          string // see trialHeader
	more           string // further members of the body, each with a comma before it
}

// body is the request's body.
func (q post) body() string {
	prompt := strings.Repeat(" water", max(q.words, 1))[1:]
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"user":%q,"stream":%t`, q.Model, prompt, q.text(), q.stream)
	if q.maximum > 0 {
		body += fmt.Sprintf(`,"max_completion_tokens":%d`, q.maximum)
	}
	return body + q.more + "}"
}

// open sends a request and returns the answer, whose body is to be read.
func (f *office) open(ctx context.Context, to *process, q post) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url("/v1/chat/completions"), strings.NewReader(q.body()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if q.key == "" {
		q.key = keyOf(q.Consumer)
	}
	request.Header.Set("Authorization", "Bearer "+q.key)
	if q.trial != "" {
		request.Header.Set(trialHeader, q.trial)
	}
	return f.client.Do(request)
}

// ask sends a request and reads the whole answer.
func (f *office) ask(t testing.TB, to *process, q post) (a answer, err error) {
	response, err := f.open(t.Context(), to, q)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	secrets.None(t, "an answer to "+q.text(), a.header, a.body)
	return a, err
}

// admin sends a request with the operator's key.
func (f *office) admin(t testing.TB, to *process, method, path, body string) answer {
	t.Helper()
	return to.send(t, call{method: method, path: path, key: adminKey, from: classic, body: body})
}

// cli runs a command of the binary with the office's configuration.
func (f *office) cli(t testing.TB, args ...string) outcome {
	t.Helper()
	yaml := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(yaml, []byte(f.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, f.env, append(args, "--config", yaml)...)
}

// line is what was used under the same four names.
type line struct {
	Consumer   string
	Model      string
	Deployment string
	Spilled    string
}

// sums are the counts of a line.
type sums struct {
	Requests   int64
	Errors     int64
	Prompt     int64 `json:"prompt_tokens"`
	Cached     int64 `json:"cached_tokens"`
	Completion int64 `json:"completion_tokens"`
	Reasoning  int64 `json:"reasoning_tokens"`
}

// tokens leaves the tokens of the counts.
func (s sums) tokens() sums { s.Requests, s.Errors = 0, 0; return s }

func (s sums) plus(o sums) sums {
	return sums{s.Requests + o.Requests, s.Errors + o.Errors, s.Prompt + o.Prompt, s.Cached + o.Cached, s.Completion + o.Completion, s.Reasoning + o.Reasoning}
}

func (s sums) minus(o sums) sums {
	return sums{s.Requests - o.Requests, s.Errors - o.Errors, s.Prompt - o.Prompt, s.Cached - o.Cached, s.Completion - o.Completion, s.Reasoning - o.Reasoning}
}

const usageBy = "consumer,model,deployment,spilled"

// parseUsage reads a report in JSON.
func parseUsage(t testing.TB, text []byte) map[line]sums {
	t.Helper()
	var report struct {
		Rows []struct {
			line
			sums
		}
		Total sums
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("the report of usage is %.300q: %v", text, err)
	}
	all, total := make(map[line]sums), sums{}
	for _, row := range report.Rows {
		all[row.line] = row.sums
		total = total.plus(row.sums)
	}
	if total != report.Total {
		t.Errorf("the report's total is %+v, and its rows are %+v", report.Total, total)
	}
	return all
}

// usage asks an instance what was used.
func (f *office) usage(t testing.TB, to *process) map[line]sums {
	t.Helper()
	return parseUsage(t, f.admin(t, to, http.MethodGet, "/spillway/usage?from=2h&by="+url.QueryEscape(usageBy), "").served(t).body)
}

// usageOfCLI asks the command line.
func (f *office) usageOfCLI(t testing.TB) map[line]sums {
	t.Helper()
	got := f.cli(t, "usage", "--format", "json", "--from", "2h", "--by", usageBy)
	if got.code != 0 {
		t.Fatalf("spillway usage: exit code %d, want 0: %s", got.code, got.stderr)
	}
	return parseUsage(t, []byte(got.stdout))
}

// complete tells whether a stream ends as streams do.
func complete(body []byte) bool { return bytes.HasSuffix(body, []byte("data: [DONE]\n\n")) }

// hashOf is the SHA-256 of a key, in hex digits.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
