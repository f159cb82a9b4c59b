package gateway_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/app"
	"spillway/functions/console"
	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// site is a gateway before simulated backends; in most scenarios before two:
// ptu is tried first, payg takes what spills. Time is virtual.
type site struct {
	*rig.Rig
	t         *testing.T
	yaml      string
	hosts     hosts
	options   app.Options // of the gateway; the transport is the hosts' unless set
	sent      atomic.Int64
	ptu, payg *azureopenai.Server
}

// hosts are simulated backends by the host of their endpoints.
type hosts map[string]*azureopenai.Server

const adminKey = "an admin key for tests"

// ordinary is the configuration that most scenarios start from.
const ordinary = `
access: open
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: ptu
    endpoint: http://ptu.test
    auth: { apiKey: "key of ptu" }
    deployments: [{ model: gpt-4o, deployment: gpt-4o-ptu, tokensPerMinute: 10000 }]
  - name: payg
    endpoint: http://payg.test
    auth: { apiKey: "key of payg" }
    deployments: [{ model: gpt-4o }]
pools:
  - model: gpt-4o
    members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }]
`

// with replaces parts of the ordinary configuration, given as old, new, ….
func with(replacements ...string) string {
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(ordinary, replacements[i]) {
			panic("the ordinary configuration has no " + replacements[i])
		}
	}
	return strings.NewReplacer(replacements...).Replace(ordinary)
}

// run runs a scenario before ptu and payg in virtual time, and checks at its end
// what must hold at the end of all of them.
func run(t *testing.T, yaml string, scenario func(*site)) {
	t.Helper()
	runBefore(t, yaml, func() hosts {
		return hosts{"ptu.test": newBackend("ptu", "gpt-4o-ptu", 10000), "payg.test": newBackend("payg", "gpt-4o", 0)}
	}, scenario)
}

// runBefore is run before other backends.
func runBefore(t *testing.T, yaml string, backends func() hosts, scenario func(*site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, yaml: yaml, hosts: backends()}
		s.start()
		scenario(s)
		synctest.Wait()
		s.checkEnd()
	})
}

// start starts the gateway, anew if it was running.
func (s *site) start() {
	s.t.Helper()
	s.ptu, s.payg = s.hosts["ptu.test"], s.hosts["payg.test"]
	o := s.options
	if o.Transport == nil {
		o.Transport = azureopenai.Hosts(s.hosts)
	}
	s.sent.Store(0)
	s.Rig = rig.NewWith(s.t, s.yaml, o)
}

// replacePTU puts another backend in the place of ptu.
func (s *site) replacePTU(o azureopenai.Options) {
	s.t.Helper()
	s.hosts["ptu.test"] = azureopenai.New(o)
	s.start()
}

// ServeHTTP counts the requests that must leave a record.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/spillway/") {
		s.sent.Add(1)
	}
	s.Rig.ServeHTTP(w, r)
}

// Send makes a call and waits for the end of its answer.
func (s *site) Send(ctx context.Context, c rig.Call) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, c.Request(ctx))
	return w
}

// together runs n calls at the same moment and waits for all of them.
func (s *site) together(n int, call func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { call(i) })
	}
	all.Wait()
}

// wait lets virtual time pass.
func (s *site) wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func newBackend(name, deployment string, tokensPerMinute int64) *azureopenai.Server {
	return azureopenai.New(azureopenai.Options{
		Name: name,
		Key:  "key of " + name,
		Deployments: []azureopenai.Deployment{
			{Name: deployment, Model: "gpt-4o", TokensPerMinute: tokensPerMinute},
			{Name: "text-embedding-3-small"},
			{Name: "gpt-4o-mini"},
		},
		Output: azureopenai.Output{Exact: 20},
	})
}

// status is what /spillway/status shows.
func (s *site) status() console.Status {
	s.t.Helper()
	w := s.Send(s.t.Context(), rig.Call{Method: "GET", Path: "/spillway/status", Key: adminKey})
	var status console.Status
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		s.t.Fatalf("status: %d %s", w.Code, w.Body)
	}
	return status
}

// deployment is the state of one deployment.
func (s *site) deployment(id string) console.Deployment {
	s.t.Helper()
	for _, d := range s.status().Deployments {
		if d.ID == id {
			return d
		}
	}
	s.t.Fatalf("there is no deployment %s", id)
	return console.Deployment{}
}

// last is the record of the request that ended last.
func (s *site) last() usage.Record {
	s.t.Helper()
	records := s.Records()
	if len(records) == 0 {
		s.t.Fatal("no request has been recorded")
	}
	return records[len(records)-1]
}

// chat asks for a plain completion.
func (s *site) chat(maxTokens int) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chatBody(maxTokens, false)})
}

// stream asks for a streamed completion.
func (s *site) stream(maxTokens int) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chatBody(maxTokens, true)})
}

// chatBody is a request that Azure charges with 2 tokens plus maxTokens.
func chatBody(maxTokens int, stream bool) string {
	body := map[string]any{
		"model":      "gpt-4o",
		"messages":   []map[string]string{{"role": "user", "content": "Hello!"}},
		"max_tokens": maxTokens,
	}
	if stream {
		body["stream"] = true
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// servedBy asserts a good answer and who gave it.
func (s *site) servedBy(w *httptest.ResponseRecorder, backend, spillover string) {
	s.t.Helper()
	if w.Code != 200 {
		s.t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
	}
	if got := w.Header().Get("X-Spillway-Backend"); got != backend {
		s.t.Errorf("served by %q, want %q", got, backend)
	}
	if got := w.Header().Get("X-Spillway-Spillover"); got != spillover {
		s.t.Errorf("spillover is %q, want %q", got, spillover)
	}
}

// asked is how many requests have named a deployment of a backend.
func (s *site) asked(host, deployment string) int64 {
	s.t.Helper()
	stats, ok := s.hosts[host].Stats()[deployment]
	if !ok {
		s.t.Fatalf("%s has no deployment %s", host, deployment)
	}
	return stats.Requests
}

// reasons are how the attempts of a request ended.
func reasons(r usage.Record) string {
	var all []string
	for _, a := range r.Attempts {
		all = append(all, a.Deployment+" "+a.Reason)
	}
	return strings.Join(all, ", ")
}

// leaving sends a chat in the background, and returns what lets its client leave;
// that returns when the gateway has noticed.
func (s *site) leaving(body string) (leave func()) {
	return s.leavingAs(rig.Call{Path: "/v1/chat/completions", Body: body})
}

func (s *site) leavingAs(call rig.Call) (leave func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.Send(ctx, call)
	}()
	return func() {
		cancel()
		<-gone
		synctest.Wait()
	}
}

// seeded is a generator that makes a scenario repeatable.
func seeded(seed uint64) func(n uint64) uint64 {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Uint64N(n)
	}
}

// callAs is a plain chat with a key.
func callAs(key string, maxTokens int) rig.Call {
	return rig.Call{Path: "/v1/chat/completions", Key: key, Body: chatBody(maxTokens, false)}
}
