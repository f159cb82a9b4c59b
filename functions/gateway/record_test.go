package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

const priced = "prices: [{ model: gpt-4o, inputPerMillion: 2.5, cachedInputPerMillion: 1.25, outputPerMillion: 10 }]\n"

// Whichever way a request ends, it leaves one record that says what became of it.
func TestEveryWayOutLeavesOneRecord(t *testing.T) {
	plain := func(max int) func(*site) {
		return func(s *site) { s.chatAs(teamKey, max) }
	}
	body := func(body string) func(*site) {
		return func(s *site) {
			s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body})
		}
	}
	tests := []struct {
		name   string
		before azureopenai.Fault // at both backends
		ask    func(*site)
		want   usage.Record // the fields that are compared
	}{
		{name: "served", ask: plain(40), want: usage.Record{Consumer: "team", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Backend: "ptu", Deployment: "gpt-4o-ptu", Region: "eastus",
			Status: 200, Estimated: 49, Tokens: usage.Tokens{Prompt: usedPrompt, Completion: usedOutput}, Measured: true, Cost: (usedPrompt*2.5 + usedOutput*10) / 1e6}},
		{name: "streamed", ask: body(chatBody(40, true)), want: usage.Record{Consumer: "team", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Backend: "ptu", Deployment: "gpt-4o-ptu", Region: "eastus",
			Stream: true, Status: 200, Estimated: 49, Tokens: usage.Tokens{Prompt: usedPrompt, Completion: usedOutput}, Measured: true, Cost: (usedPrompt*2.5 + usedOutput*10) / 1e6}},
		{name: "the client's fault", before: azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 400}, ask: plain(40), want: usage.Record{Consumer: "team", Operation: "chat",
			Model: "gpt-4o", Pool: "gpt-4o", Backend: "ptu", Deployment: "gpt-4o-ptu", Region: "eastus", Status: 400, Estimated: 49, Measured: true}},
		{name: "no such path", ask: func(s *site) { s.Send(s.t.Context(), rig.Call{Path: "/v2/chat", Key: teamKey}) },
			want: usage.Record{Status: 404, Refused: "unknown_url"}},
		{name: "no key", ask: func(s *site) { s.chat(40) }, want: usage.Record{Status: 401, Refused: "invalid_api_key"}},
		{name: "no JSON", ask: body("{"), want: usage.Record{Consumer: "team", Operation: "chat", Status: 400, Refused: "invalid_request_error"}},
		{name: "no such model", ask: body(`{"model":"other","messages":[]}`), want: usage.Record{Consumer: "team", Operation: "chat", Model: "other", Status: 404, Refused: "model_not_found"}},
		{name: "over the limit", ask: plain(5000), want: usage.Record{Consumer: "team", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Status: 429, Refused: "rate_limit_exceeded"}},
		{name: "all full", before: throttle(time.Second), ask: plain(40), want: usage.Record{Consumer: "team", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Status: 429, Refused: "rate_limit_exceeded", Estimated: 49}},
		{name: "all broken", before: sick, ask: plain(40), want: usage.Record{Consumer: "team", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Status: 503, Refused: "service_unavailable", Estimated: 49}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited("models: [gpt-4o], tokensPerMinute: 1000")+priced, func(s *site) {
				if test.before.Kind != "" {
					s.ptu.Inject(test.before)
					s.payg.Inject(test.before)
				}
				test.ask(s)
				if n := len(s.Records()); n != 1 {
					s.t.Fatalf("%d records, want 1", n)
				}
				got := s.last()
				got.Start, got.RequestID, got.BackendID, got.Attempts = time.Time{}, "", "", nil
				got.FirstByte, got.Duration = 0, 0
				if test.want.Consumer != "" {
					test.want.Credential = labelOf(teamKey)
				}
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", test.want) {
					t.Errorf("recorded\n  %+v, want\n  %+v", got, test.want)
				}
			})
		})
	}
}

// labelOf is how records name a key: by the beginning of its hash.
func labelOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:4]) + "…"
}

// Cached and reasoning tokens are kept apart, and cost what they cost.
func TestCostOfCachedTokens(t *testing.T) {
	run(t, ordinary+priced, func(s *site) {
		s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, Output: azureopenai.Output{Exact: 20, Reasoning: 10}})
		body := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":%q}]}`, strings.Repeat("the lake ", 1000))
		for range 2 {
			s.servedBy(s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: body}), "ptu", "")
		}
		r := s.last()
		if r.Tokens.Cached == 0 || r.Tokens.Reasoning != 10 || r.Tokens.Completion != 30 {
			s.t.Fatalf("recorded %+v", r.Tokens)
		}
		uncached := float64(r.Tokens.Prompt - r.Tokens.Cached)
		if want := (uncached*2.5 + float64(r.Tokens.Cached)*1.25 + 30*10) / 1e6; r.Cost != want {
			t.Errorf("the cost is %g, want %g", r.Cost, want)
		}
	})
}

// ids of the caller are kept where they are fit to be repeated.
func TestIDs(t *testing.T) {
	tests := []struct{ name, sent, want string }{
		{"the caller's", "abc-123", "abc-123"},
		{"too long", strings.Repeat("a", 129), ""},
		{"with a space", "a b", ""},
		{"not ASCII", "\u00e4", ""},
		{"none", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
				w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chatBody(10, false), Header: map[string]string{"X-Request-Id": test.sent, "Traceparent": trace}})
				r := s.last()
				if got := w.Header().Get("X-Request-Id"); got != r.RequestID || test.want != "" && got != test.want || test.want == "" && !strings.HasPrefix(got, "req_") {
					t.Errorf("the id is %q, recorded %q", got, r.RequestID)
				}
				if r.TraceID != "0af7651916cd43dd8448eb211c80319c" || r.BackendID == "" || r.BackendID != w.Header().Get("Apim-Request-Id") {
					t.Errorf("recorded trace %q and backend id %q", r.TraceID, r.BackendID)
				}
				if got, _ := s.ptu.LastRequest(); got.Header.Get("Traceparent") != trace {
					t.Errorf("the backend got the traceparent %q, want %q", got.Header.Get("Traceparent"), trace)
				}
			})
		})
	}
}

// panicking is a transport that panics for as long as it is told to.
type panicking struct {
	http.RoundTripper
	before, within bool
}

func (p *panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.before {
		panic("a defect in the transport")
	}
	answer, err := p.RoundTripper.RoundTrip(r)
	if p.within && err == nil {
		answer.Body = &panickingBody{ReadCloser: answer.Body}
	}
	return answer, err
}

// panickingBody panics when the answer has begun.
type panickingBody struct {
	io.ReadCloser
	reads int
}

func (b *panickingBody) Read(p []byte) (int, error) {
	if b.reads++; b.reads > 3 {
		panic("a defect in the body")
	}
	return b.ReadCloser.Read(p[:min(len(p), 700)])
}

// A panic in the request path is one request's misfortune: it is answered with a
// 500 that tells nothing, or its connection is cut, and all that it held is free
// again.
func TestPanicInTheRequestPath(t *testing.T) {
	yaml := limited("tokensPerMinute: 1000, requestsPerMinute: 10")
	t.Run("before the answer", func(t *testing.T) {
		run(t, yaml, func(s *site) {
			transport := &panicking{RoundTripper: azureopenai.Hosts(s.hosts), before: true}
			s.options.Transport = transport
			s.start()
			e := s.refused(s.chatAs(teamKey, 40), 500, "internal_error")
			if strings.Contains(e.Message, "defect") {
				t.Errorf("the answer tells what is inside: %s", e.Message)
			}
			if r := s.last(); r.Status != 500 || r.Refused != "internal_error" {
				t.Errorf("recorded %+v, want Status 500, Refused %q", r, "internal_error")
			}
			if s.left() != 10000 {
				t.Errorf("%d tokens are left of the deployment's limit, want 10000", s.left())
			}
			transport.before = false
			w := s.chatAs(teamKey, 40)
			s.servedBy(w, "ptu", "")
			if got := w.Header().Get("X-Ratelimit-Remaining-Requests"); got != "9" {
				t.Errorf("%s requests are left, want 9", got)
			}
		})
	})
	t.Run("within a stream", func(t *testing.T) {
		run(t, yaml, func(s *site) {
			s.slowPTU()
			s.options.Transport = &panicking{RoundTripper: azureopenai.Hosts(s.hosts), within: true}
			s.start()
			call := rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: chatBody(100, true)}
			if !rig.Serve(s, newViewer(), call.Request(s.t.Context())) {
				t.Error("the handler has ended the answer: the connection must be cut")
			}
			if r := s.last(); r.Status != 200 || r.Backend != "ptu" {
				t.Errorf("recorded %+v, want Status 200, Backend %q", r, "ptu")
			}
			s.wait(time.Second)
			if n := s.ptu.Stats()["gpt-4o-ptu"]; n.InFlight != 0 || n.Canceled != 1 {
				t.Errorf("the backend goes on: %d in flight, %d canceled, want 0, 1", n.InFlight, n.Canceled)
			}
		})
	})
	t.Run("in a trial", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			transport := &panicking{RoundTripper: azureopenai.Hosts(s.hosts)}
			s.options.Transport = transport
			s.start()
			s.ptu.Remove(s.trip(sick))
			s.wait(12 * time.Second)
			transport.before = true
			s.refused(s.chat(10), 500, "internal_error")
			transport.before = false
			s.wait(time.Second)               // its claim is taken out of the row
			s.servedBy(s.chat(10), "ptu", "") // the trial that the panic left undecided is free
		})
	})
}

// Nothing that a caller, a backend or an operator keeps secret is in any log
// line, and nothing of what was asked or answered.
func TestLogHoldsNoSecretAndNoContent(t *testing.T) {
	var log bytes.Buffer
	run(t, limited("tokensPerMinute: 100000"), func(s *site) {
		s.options.Log = zerolog.New(&log)
		s.start()
		const prompt = "the-prompt-of-the-client"
		call := func(path string, stream bool) rig.Call {
			return rig.Call{Path: path, Key: teamKey, Body: fmt.Sprintf(`{"model":"gpt-4o","stream":%v,"user":%q,"messages":[{"role":"user","content":%q}]}`, stream, prompt, prompt),
				Header: map[string]string{"Cookie": "session=" + clientSecret, "X-Functions-Key": clientSecret, "X-Note": prompt}}
		}
		ask := func(c rig.Call) { s.Send(s.t.Context(), c) }
		ask(call("/v1/chat/completions", false))
		ask(call("/v1/chat/completions?code="+clientSecret+"&api-key="+clientSecret, true))
		ask(call("/v9/"+prompt+"?code="+clientSecret, false))
		for _, fault := range []azureopenai.Fault{
			sick, throttle(time.Millisecond), {Kind: azureopenai.FaultRefuse}, {Kind: azureopenai.FaultReset}, {Kind: azureopenai.FaultBadJSON},
			{Kind: azureopenai.FaultStatus, Status: 401}, {Kind: azureopenai.FaultStatus, Status: 400, Body: `{"error":{"message":"` + prompt + `"}}`},
			{Kind: azureopenai.FaultStatus, Status: 502, Body: prompt}, {Kind: azureopenai.FaultCut, Events: 5}, {Kind: azureopenai.FaultStreamError, Events: 5},
		} {
			fault.Times = 3
			s.ptu.Inject(fault)
			for i := range 3 {
				ask(call("/v1/chat/completions", i%2 == 0))
				s.wait(time.Minute)
			}
		}
		wrong := call("/v1/chat/completions", false)
		wrong.Key = clientSecret + " of nobody"
		ask(wrong)
		broken := call("/v1/chat/completions", false)
		broken.Body = broken.Body[:len(broken.Body)-1] + prompt
		ask(broken)
		ctx, cancel := context.WithCancel(s.t.Context())
		cancel()
		s.Send(ctx, call("/v1/chat/completions", false))

		requests := 0
		for line := range strings.Lines(log.String()) {
			for _, secret := range []string{clientSecret, prompt, "key of ptu", "key of payg", adminKey, "session="} {
				if strings.Contains(line, secret) {
					t.Errorf("a log line tells %q: %s", secret, line)
				}
			}
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Errorf("a log line is not JSON: %v: %s", err, line)
			}
			if fields["message"] == "request" {
				requests++
			}
		}
		if requests != len(s.Records()) || requests < 30 {
			t.Errorf("%d lines for %d requests", requests, len(s.Records()))
		}
	})
}
