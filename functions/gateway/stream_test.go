package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// viewer is a client that notes what it was sent, and when.
type viewer struct {
	header http.Header
	status int
	parts  []part // each was flushed at once
	unsent string
	before func(parts int) error // called before each write; nil: nothing
}

type part struct {
	at   time.Time
	text string
}

func newViewer() *viewer { return &viewer{header: http.Header{}} }

func (v *viewer) Header() http.Header { return v.header }

func (v *viewer) WriteHeader(status int) { v.status = status }

func (v *viewer) Write(p []byte) (int, error) {
	if v.before != nil {
		if err := v.before(len(v.parts)); err != nil {
			return 0, err
		}
	}
	v.unsent += string(p)
	return len(p), nil
}

func (v *viewer) Flush() {
	v.parts = append(v.parts, part{time.Now(), v.unsent})
	v.unsent = ""
}

func (v *viewer) text() string {
	var all strings.Builder
	for _, p := range v.parts {
		all.WriteString(p.text)
	}
	return all.String() + v.unsent
}

// watch streams a chat to v.
func (s *site) watch(ctx context.Context, v *viewer, body string) {
	s.ServeHTTP(v, rig.Call{Path: "/v1/chat/completions", Body: body}.Request(ctx))
}

// slowPTU makes the PTU answer in 30 tokens, the first after 700 ms, the others
// 40 ms apart.
func (s *site) slowPTU() {
	s.replacePTU(azureopenai.Options{
		Key:         "key of ptu",
		Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu", TokensPerMinute: 10000}},
		Output:      azureopenai.Output{Exact: 30},
		Latency:     azureopenai.Latency{FirstByte: 700 * time.Millisecond, PerToken: 40 * time.Millisecond},
	})
}

// brokenStream asserts that a stream ends with an error event, which tells the
// client that it is not whole.
func (s *site) brokenStream(text string) {
	s.t.Helper()
	events := strings.Split(strings.TrimSuffix(text, "\n\n"), "\n\n")
	var last struct{ Error *refusal }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(events[len(events)-1], "data: ")), &last); err != nil || last.Error == nil || last.Error.Message == "" {
		s.t.Errorf("the stream does not end with an error: %q", events[len(events)-1])
	}
	if strings.Contains(text, "[DONE]") {
		s.t.Error("a broken stream says that it is done")
	}
}

// The client gets each event when the backend has sent it: the first at the
// backend's own time to the first byte, every other before the next exists.
func TestEventsPassAsTheyCome(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.slowPTU()
		v, start := newViewer(), time.Now()
		s.watch(s.t.Context(), v, chatBody(100, true))
		if v.status != 200 || len(v.parts) < 31 {
			s.t.Fatalf("status %d, %d parts", v.status, len(v.parts))
		}
		var tokens int
		for _, p := range v.parts {
			at := p.at.Sub(start)
			if p.text == "" || !strings.HasSuffix(p.text, "\n\n") {
				t.Errorf("at %v a part was flushed that is not whole events: %q", at, p.text)
			}
			if n := strings.Count(p.text, `"delta":{"content":`); n > 0 {
				if tokens += n; n != 1 || at != 700*time.Millisecond+time.Duration(tokens)*40*time.Millisecond {
					t.Errorf("at %v %d tokens came together, %d in all", at, n, tokens)
				}
			}
		}
		if first := v.parts[0].at.Sub(start); first != 700*time.Millisecond || s.last().FirstByte != first {
			t.Errorf("the first bytes came after %v, recorded as %v", first, s.last().FirstByte)
		}
		if !strings.HasSuffix(v.text(), "data: [DONE]\n\n") || tokens != 30 {
			t.Errorf("%d tokens; the end is %q", tokens, v.text()[len(v.text())-40:])
		}
		if got := v.header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") || v.header.Get("Content-Length") != "" {
			t.Errorf("the headers are %v", v.header)
		}
	})
}

// Azure sends the results of its prompt filter before there is any output. They
// are held back until a token proves that the stream is good, and then passed.
func TestPreambleIsHeldBack(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, Output: azureopenai.Output{Exact: 3}})
		hang := s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Events: 1, Times: 1})
		v := newViewer()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.watch(s.t.Context(), v, chatBody(100, true))
		}()
		s.wait(time.Second)
		if v.status != 0 {
			t.Error("the client got an answer before there was any output")
		}
		s.ptu.Remove(hang)
		<-done
		if v.status != 200 || len(v.parts) == 0 || !strings.Contains(v.parts[0].text, "prompt_filter_results") {
			t.Errorf("status %d, parts %+v", v.status, v.parts)
		}
	})
}

// The gateway asks for the usage of every stream. The chunk that carries it
// reaches only clients that have asked for it themselves.
func TestUsageChunk(t *testing.T) {
	tests := []struct {
		name, options string
		passed        bool
	}{
		{"not asked for", "", false},
		{"refused", `,"stream_options":{"include_usage":false}`, false},
		{"null", `,"stream_options":null`, false},
		{"other options", `,"stream_options":{"include_obfuscation":false}`, false},
		{"asked for", `,"stream_options":{"include_usage":true}`, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				body := `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}],"stream":true` + test.options + `}`
				w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: body})
				s.servedBy(w, "ptu", "")
				if got := strings.Contains(w.Body.String(), `"total_tokens"`); got != test.passed {
					t.Errorf("the client got the usage: %v, want %v", got, test.passed)
				}
				if !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") {
					t.Errorf("the end is missing: %s", w.Body)
				}
				if r := s.last(); !r.Measured || r.Tokens.Prompt != usedPrompt || r.Tokens.Completion != usedOutput {
					t.Errorf("recorded %+v, measured %v", r.Tokens, r.Measured)
				}
			})
		})
	}
}

// After the first byte nothing is tried again. A stream that breaks ends with an
// error event, is charged for what was delivered, and leaves one record.
func TestStreamThatBreaks(t *testing.T) {
	tests := []struct {
		name   string
		fault  azureopenai.Fault
		reason string
	}{
		{"the connection is lost", azureopenai.Fault{Kind: azureopenai.FaultCut, Events: 15}, "cut"},
		{"within an event", azureopenai.Fault{Kind: azureopenai.FaultCut, Bytes: 4000}, "cut"},
		{"an error event", azureopenai.Fault{Kind: azureopenai.FaultStreamError, Events: 15}, "stream_error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				s.knowVocabularies()
				test.fault.Times = 1
				s.ptu.Inject(test.fault)
				w := s.stream(100)
				s.servedBy(w, "ptu", "")
				s.brokenStream(w.Body.String())
				r := s.last()
				if reasons(r) != ptuID+" "+test.reason || r.Status != 200 || r.Measured {
					t.Errorf("recorded %s, status %d, measured %v, want %s, 200, false", reasons(r), r.Status, r.Measured, ptuID+" "+test.reason)
				}
				generated := s.ptu.Stats()["gpt-4o-ptu"].CompletionTokens
				if n := r.Tokens.Completion; n < 1 || n > generated+generated/4+1 || r.Tokens.Prompt == 0 {
					t.Errorf("counted %+v of %d generated tokens", r.Tokens, generated)
				}
				if n := s.asked("payg.test", "gpt-4o"); n != 0 {
					t.Errorf("%d requests went to another backend, want 0", n)
				}
			})
		})
	}
}

// A client that leaves in the middle ends the backend's work at once. What it was
// sent until then is counted.
func TestClientLeavesAStream(t *testing.T) {
	leaves := func(t *testing.T, how func(v *viewer, cancel func())) {
		run(t, limited("tokensPerMinute: 1000"), func(s *site) {
			s.slowPTU()
			s.knowVocabularies()
			ctx, cancel := context.WithCancel(s.t.Context())
			defer cancel()
			v, start := newViewer(), time.Now()
			how(v, cancel)
			s.ServeHTTP(v, rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: chatBody(100, true)}.Request(ctx))
			synctest.Wait()
			gone := time.Since(start)
			event, err := s.ptu.AwaitCanceled(s.t.Context(), "gpt-4o-ptu")
			if err != nil {
				s.t.Fatal(err)
			}
			// The backend notices at its next token at the latest.
			if at := event.Time.Sub(start); at > gone+40*time.Millisecond || gone > 1400*time.Millisecond {
				t.Errorf("the client left by %v, the backend was canceled at %v", gone, at)
			}
			r := s.last()
			if r.Status != 499 || reasons(r) != ptuID+" client_gone" || r.Measured {
				t.Errorf("recorded status %d, %s, measured %v, want 499, %s, false", r.Status, reasons(r), r.Measured, ptuID+" client_gone")
			}
			if n := r.Tokens.Completion; n < event.Generated*3/4 || n > event.Generated*5/4 || event.Generated < 10 {
				t.Errorf("counted %d of %d generated tokens", n, event.Generated)
			}
			if got := s.ptu.Stats()["gpt-4o-ptu"]; got.Canceled != 1 || got.InFlight != 0 {
				t.Errorf("the backend counts %d cancellations, %d in flight, want 1, 0", got.Canceled, got.InFlight)
			}
			w := s.chatAs(teamKey, 10)
			charged := 1000 - int(r.Tokens.Total()) - usedPrompt - 10
			if got := w.Header().Get("X-Ratelimit-Remaining-Tokens"); got != strconv.Itoa(charged) {
				t.Errorf("%s tokens are left, want %d: what was delivered is charged", got, charged)
			}
		})
	}
	t.Run("its connection is closed", func(t *testing.T) {
		leaves(t, func(_ *viewer, cancel func()) { time.AfterFunc(1290*time.Millisecond, cancel) })
	})
	t.Run("a write to it fails", func(t *testing.T) {
		leaves(t, func(v *viewer, _ func()) {
			v.before = func(parts int) error {
				if parts >= 15 {
					return errors.New("broken pipe")
				}
				return nil
			}
		})
	})
}

// A client that leaves before the first byte has used the prompt at most.
func TestClientLeavesBeforeTheAnswer(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.slowPTU()
		leave := s.leaving(chatBody(100, true))
		s.wait(300 * time.Millisecond)
		leave()
		r := s.last()
		if r.Status != 499 || r.Refused != "client_gone" || reasons(r) != ptuID+" canceled" {
			t.Errorf("recorded status %d, refused %q, %s, want 499, %q, %s", r.Status, r.Refused, reasons(r), "client_gone", ptuID+" canceled")
		}
		if n := s.ptu.Stats()["gpt-4o-ptu"].Canceled; n != 1 {
			t.Errorf("%d requests were canceled at the backend, want 1", n)
		}
		if n := s.asked("payg.test", "gpt-4o"); n != 0 {
			t.Errorf("%d requests went to another backend for nobody, want 0", n)
		}
		s.breaker("closed")
		if s.left() != 10000-102 {
			t.Errorf("%d tokens are left, want %d: the backend has counted the request", s.left(), 10000-102)
		}
	})
}

// A client that reads slowly slows the backend down: nothing piles up between
// them, no timeout of the backend runs meanwhile, and nothing is lost.
func TestSlowClientHoldsTheBackendBack(t *testing.T) {
	const tokens = 5000 // about 2 MB of events
	run(t, ordinary+"timeouts: { total: 1h }\n", func(s *site) {
		s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, Output: azureopenai.Output{Fill: true}})
		v := newViewer()
		goOn := make(chan struct{})
		v.before = func(parts int) error {
			if parts == 3 {
				<-goOn
			}
			return nil
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.watch(s.t.Context(), v, chatBody(tokens, true))
		}()
		s.wait(10 * time.Minute)
		for _, event := range s.ptu.Events() {
			if event.Kind != azureopenai.EventAccepted {
				t.Errorf("the backend has come to %s while the client did not read, want %s", event.Kind, azureopenai.EventAccepted)
			}
		}
		close(goOn)
		<-done
		if n := strings.Count(v.text(), `"delta":{"content":`); n != tokens {
			t.Errorf("the client got %d of %d tokens", n, tokens)
		}
		if r := s.last(); r.Tokens.Completion != tokens || reasons(r) != ptuID+" ok" {
			t.Errorf("recorded %+v, %s", r.Tokens, reasons(r))
		}
	})
}
