package gateway_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
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

// checkEnd asserts the invariants: nothing is in flight, every request left
// exactly one record that makes sense, no limit was overdrawn, and no caller's
// key has reached a backend.
func (s *site) checkEnd() {
	s.t.Helper()
	status := s.status()
	for _, d := range status.Deployments {
		if d.InFlight != 0 {
			s.t.Errorf("%s has %d requests in flight after all have ended", d.ID, d.InFlight)
		}
		if l := d.Tokens; l != nil && (l.Remaining < 0 || l.Remaining > l.Limit) {
			s.t.Errorf("%s has %d of %d tokens left", d.ID, l.Remaining, l.Limit)
		}
	}
	records := s.Records()
	if sent := s.sent.Load(); int64(len(records)) != sent || status.Totals.Requests != sent {
		s.t.Errorf("%d requests left %d records, and %d are in the totals", sent, len(records), status.Totals.Requests)
	}
	seen := map[string]bool{}
	for _, r := range records {
		if seen[r.RequestID] {
			s.t.Errorf("request %s left two records", r.RequestID)
		}
		seen[r.RequestID] = true
		checkRecord(s.t, r)
	}
	for host, backend := range s.hosts {
		checkBackend(s.t, host, backend)
	}
	if s.ptu != nil {
		for window, charged := range s.ptu.Stats()["gpt-4o-ptu"].TokensCharged {
			if charged > 10000 {
				s.t.Errorf("the PTU was charged %d tokens in the minute at %d, over its limit of 10000", charged, window)
			}
		}
	}
}

// checkRecord asserts what every record must say whatever has happened.
func checkRecord(t *testing.T, r usage.Record) {
	t.Helper()
	switch served := r.Backend != ""; {
	case r.RequestID == "" || r.Start.IsZero() || r.Duration < 0 || r.FirstByte > r.Duration || r.Waited > r.Duration:
		t.Errorf("a record without an id or with impossible times: %+v", r)
	case r.Status < 200 || r.Status > 599:
		t.Errorf("a record with the status %d: %+v", r.Status, r)
	case !served && r.Refused == "", served && r.Refused != "":
		t.Errorf("a request is either served or refused: %+v", r)
	case served && (len(r.Attempts) == 0 || r.Attempts[len(r.Attempts)-1].Deployment != r.Backend+"/"+r.Deployment):
		t.Errorf("the last attempt is not the one that served: %+v", r)
	case r.Tokens.Prompt < 0 || r.Tokens.Completion < 0 || r.Tokens.Cached > r.Tokens.Prompt || r.Cost < 0:
		t.Errorf("a record with impossible tokens: %+v", r)
	case len(r.Attempts) == 0 && r.Tokens.Total() != 0:
		t.Errorf("a request that was never sent has used tokens: %+v", r)
	}
}

// clientSecret is part of every client's key in these tests.
const clientSecret = "client-secret"

// checkBackend asserts that a backend has nothing left to do and has seen no
// credential but its own.
func checkBackend(t *testing.T, host string, b *azureopenai.Server) {
	t.Helper()
	for name, stats := range b.Stats() {
		if stats.InFlight != 0 {
			t.Errorf("%s still answers %d requests on %s", host, stats.InFlight, name)
		}
	}
	for _, r := range b.Requests() {
		if strings.Contains(r.URI, clientSecret) {
			t.Errorf("%s got a client's secret in the URL %s", host, r.URI)
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, ","), clientSecret) || strings.EqualFold(name, "Cookie") {
				t.Errorf("%s got a client's secret in the header %s: %q", host, name, values)
			}
		}
	}
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

// refusal is an error of ours as a client gets it.
type refusal struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

// refused asserts an error in OpenAI's shape with this status and code, and
// returns it.
func (s *site) refused(w *httptest.ResponseRecorder, status int, code string) refusal {
	s.t.Helper()
	if w.Code != status {
		s.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	e := errorOf(s.t, w)
	if got := text(e.Code); got != code {
		s.t.Errorf("the error's code is %q, want %q: %s", got, code, w.Body)
	}
	return e
}

// errorOf reads an error in OpenAI's shape: all four fields are there, and it is
// declared as JSON.
func errorOf(t *testing.T, w *httptest.ResponseRecorder) refusal {
	t.Helper()
	var shape struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &shape); err != nil {
		t.Fatalf("the error is not JSON: %v: %q", err, w.Body)
	}
	for _, field := range []string{"message", "type", "param", "code"} {
		if shape.Error[field] == nil {
			t.Errorf("the error lacks %s: %s", field, w.Body)
		}
	}
	var e struct{ Error refusal }
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("the error's fields have wrong types: %v: %s", err, w.Body)
	}
	if e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("the error does not say what is wrong: %s", w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("the error's Content-Type is %q", got)
	}
	return e.Error
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// retryAfter asserts the waiting time that an answer names: exactly, in
// milliseconds, and rounded up in Retry-After.
func (s *site) retryAfter(w *httptest.ResponseRecorder, want time.Duration) {
	s.t.Helper()
	ms, err := strconv.ParseInt(w.Header().Get("Retry-After-Ms"), 10, 64)
	if err != nil || time.Duration(ms)*time.Millisecond != want.Round(time.Millisecond) {
		s.t.Errorf("retry-after-ms is %q, want %d", w.Header().Get("Retry-After-Ms"), want.Milliseconds())
	}
	if got, want := w.Header().Get("Retry-After"), strconv.Itoa(int(math.Ceil(want.Seconds()))); got != want {
		s.t.Errorf("Retry-After is %q, want %s", got, want)
	}
	if got := w.Header().Get("X-Should-Retry"); got != "" {
		s.t.Errorf("x-should-retry is %q on an answer worth a retry", got)
	}
}

// noRetry asserts that an answer tells clients not to try again.
func (s *site) noRetry(w *httptest.ResponseRecorder) {
	s.t.Helper()
	if got := w.Header().Get("X-Should-Retry"); got != "false" {
		s.t.Errorf("x-should-retry is %q, want false", got)
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
