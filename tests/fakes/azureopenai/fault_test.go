package azureopenai_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// outcome is what a client sees of a request, and what the server counts.
type outcome struct {
	fault   azureopenai.Fault
	status  int    // 0: no answer
	err     error  // of the request, or of reading the body
	has     string // part of the body
	charged bool
}

// TestFaults: each fault, on a plain answer and on a stream, in memory and over
// a socket.
func TestFaults(t *testing.T) {
	tests := map[string]struct{ plain, stream outcome }{
		"status 500": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus}, 500, nil, `"InternalServerError"`, true}),
		"status 503, uncharged": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503, Uncharged: true},
			503, nil, "temporarily unable", false}),
		"status 408": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 408}, 408, nil, `"Timeout"`, true}),
		"status 401": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 401}, 401, nil, "Access denied", false}),
		"status 403": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 403}, 403, nil, "Firewall", false}),
		"status 404": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 404}, 404, nil, "DeploymentNotFound", false}),
		"status 429": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 429}, 429, nil, "token rate limit", false}),
		"own body":   same(outcome{azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 502, Body: "<h1>502</h1>"}, 502, nil, "<h1>502</h1>", true}),
		"throttle":   same(outcome{azureopenai.Fault{Kind: azureopenai.FaultThrottle}, 429, nil, "token rate limit", false}),
		"reset":      same(outcome{azureopenai.Fault{Kind: azureopenai.FaultReset}, 0, io.EOF, "", false}),
		"cut": {outcome{azureopenai.Fault{Kind: azureopenai.FaultCut}, 200, io.ErrUnexpectedEOF, `"id":"chatcmpl-`, true},
			outcome{azureopenai.Fault{Kind: azureopenai.FaultCut, Events: 4}, 200, io.ErrUnexpectedEOF, `"role":"assistant"`, true}},
		"cut before the first event": {outcome{azureopenai.Fault{Kind: azureopenai.FaultCut, Bytes: 1}, 200, io.ErrUnexpectedEOF, "{", true},
			outcome{azureopenai.Fault{Kind: azureopenai.FaultCut}, 200, io.ErrUnexpectedEOF, "", true}},
		"cut inside an event": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultCut, Bytes: 20}, 200, io.ErrUnexpectedEOF, "", true}),
		"stream error first": {outcome{azureopenai.Fault{Kind: azureopenai.FaultStreamError}, 500, nil, "server_error", true},
			outcome{azureopenai.Fault{Kind: azureopenai.FaultStreamError}, 200, nil, `data: {"error":{`, true}},
		"stream error after 3": {outcome{azureopenai.Fault{Kind: azureopenai.FaultStreamError, Events: 3}, 500, nil, "server_error", true},
			outcome{azureopenai.Fault{Kind: azureopenai.FaultStreamError, Events: 3}, 200, nil, "}\n\ndata: {\"error\":{", true}},
		"malformed stream": {outcome{azureopenai.Fault{Kind: azureopenai.FaultMalformedSSE}, 200, nil, `"usage"`, true},
			outcome{azureopenai.Fault{Kind: azureopenai.FaultMalformedSSE, Events: 2}, 200, nil, "<html>502", true}},
		"bad JSON": {outcome{azureopenai.Fault{Kind: azureopenai.FaultBadJSON}, 200, nil, "chatcmpl-", true},
			outcome{azureopenai.Fault{Kind: azureopenai.FaultBadJSON, Events: 1}, 200, nil, `{"con`, true}},
		"content type":    same(outcome{azureopenai.Fault{Kind: azureopenai.FaultContentType}, 200, nil, "<html>", true}),
		"empty":           same(outcome{azureopenai.Fault{Kind: azureopenai.FaultEmptyStream}, 200, nil, "", true}),
		"redirect":        same(outcome{azureopenai.Fault{Kind: azureopenai.FaultRedirect, Location: "http://elsewhere/"}, 307, nil, "", true}),
		"delay":           same(outcome{azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: time.Millisecond}, 200, nil, "assistant", true}),
		"header of a 200": same(outcome{azureopenai.Fault{Kind: azureopenai.FaultContentType, Header: map[string]string{"X-Odd": "1"}}, 200, nil, "<html>", true}),
	}
	for name, test := range tests {
		for mode, want := range map[string]outcome{"plain": test.plain, "stream": test.stream} {
			t.Run(name+", "+mode+", in memory", func(t *testing.T) {
				s := one(azureopenai.Deployment{TokensPerMinute: 1000})
				tryFault(t, s, s.RoundTripper(), "http://fake", mode, want)
			})
			t.Run(name+", "+mode+", over a socket", func(t *testing.T) {
				s := one(azureopenai.Deployment{TokensPerMinute: 1000})
				l, err := s.Listen("127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				transport := &http.Transport{}
				defer l.Close()
				defer transport.CloseIdleConnections()
				tryFault(t, s, transport, l.URL, mode, want)
			})
		}
	}
}

func same(o outcome) struct{ plain, stream outcome } {
	return struct{ plain, stream outcome }{o, o}
}

func tryFault(t *testing.T, s *azureopenai.Server, transport http.RoundTripper, base, mode string, want outcome) {
	t.Helper()
	want.fault.Times = 1
	s.Inject(want.fault)
	post := func() (int, string, http.Header, error) {
		body := map[string]string{"plain": hello, "stream": streamed}[mode]
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+chatPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return 0, "", nil, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), resp.Header, err
	}
	status, body, header, err := post()
	if status != want.status || !errors.Is(err, want.err) || !strings.Contains(body, want.has) {
		t.Errorf("status %d, error %v; want %d, %v, body with %q: %s", status, err, want.status, want.err, want.has, body)
	}
	switch want.fault.Kind {
	case azureopenai.FaultBadJSON, azureopenai.FaultCut:
		if mode == "plain" && json.Valid([]byte(body)) {
			t.Errorf("body is valid JSON: %s", body)
		}
	case azureopenai.FaultRedirect:
		if header.Get("Location") != want.fault.Location {
			t.Errorf("headers %v", header)
		}
	case azureopenai.FaultEmptyStream:
		if body != "" {
			t.Errorf("body %q, want %q", body, "")
		}
	}
	for name, value := range want.fault.Header {
		if header.Get(name) != value {
			t.Errorf("headers %v lack %s", header, name)
		}
	}
	stats := s.Stats()["gpt-4o"]
	if (stats.Charged() > 0) != want.charged {
		t.Errorf("charged %d", stats.Charged())
	}
	hit := want.fault.Kind != azureopenai.FaultMalformedSSE || mode == "stream"
	if (stats.Faults[want.fault.Kind] == 1) != hit {
		t.Errorf("faults counted %v", stats.Faults)
	}
	check(t, s, 1000)
	if status, body, _, err := post(); status != 200 || err != nil || len(s.Faults()) != 0 {
		t.Errorf("the fault hit twice: status %d, %v: %s", status, err, body)
	}
}

func TestHangs(t *testing.T) {
	for _, mode := range []string{hello, streamed} {
		synctest.Test(t, func(t *testing.T) {
			s := one(exactly(5))
			id := s.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if _, err := trySend(ctx, s, chatPath, mode); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			synctest.Wait()
			if stats := s.Stats()["gpt-4o"]; stats.Canceled != 1 || stats.CompletionTokens != 0 || stats.Faults[azureopenai.FaultHangBeforeHeaders] != 1 {
				t.Errorf("stats %+v", stats)
			}
			check(t, s, 0)
			// Taking the fault back lets the next one go on.
			start := time.Now()
			time.AfterFunc(5*second, func() { s.Remove(id) })
			if resp := send(t, s, chatPath, mode); resp.StatusCode != 200 || time.Since(start) != 5*second {
				t.Errorf("status %d after %v, want 200, %v", resp.StatusCode, time.Since(start), 5*second)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := one(exactly(5))
		s.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Events: 3, For: time.Minute})
		start := time.Now()
		resp := send(t, s, chatPath, streamed)
		in := bufio.NewReader(resp.Body)
		for range 3 {
			nextEvent(t, in)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("first events after %v, want 0", took)
		}
		nextEvent(t, in)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("stalled for %v, want %v", took, time.Minute)
		}
		if all := events(t, in); all[len(all)-1] != "[DONE]" {
			t.Errorf("last event %s, want [DONE]", all[len(all)-1])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := one(exactly(5))
		s.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Bytes: 10})
		resp := send(t, s, chatPath, hello)
		if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil || resp.StatusCode != 200 {
			t.Errorf("status %d, want 200, %v", resp.StatusCode, err)
		}
		resp.Body.Close()
		if _, err := s.AwaitCanceled(t.Context(), ""); err != nil {
			t.Error(err)
		}
	})
}

// TestRefusedConnection: nothing was sent, and the error says so.
func TestRefusedConnection(t *testing.T) {
	s := one(azureopenai.Deployment{TokensPerMinute: 1000})
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultRefuse, Times: 2, Match: azureopenai.Match{Deployment: "gpt-4o", Stream: "true"}})
	for _, path := range []string{chatPath, "/v1/chat/completions"} {
		_, err := trySend(t.Context(), s, path, streamed)
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v", err)
		}
		if resp := send(t, s, chatPath, hello); resp.StatusCode != 200 {
			t.Errorf("a plain request was hit: %d, want 200", resp.StatusCode)
		}
	}
	if resp := send(t, s, chatPath, streamed); resp.StatusCode != 200 {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
	if got, _ := s.LastRequest(); string(got.Body) != streamed {
		t.Errorf("body %q", got.Body)
	}
	stats := s.Stats()["gpt-4o"]
	if stats.Requests != 3 || stats.Faults[azureopenai.FaultRefuse] != 2 {
		t.Errorf("stats %+v", stats)
	}
}

// TestFaultConditions: which requests a fault hits.
func TestFaultConditions(t *testing.T) {
	const s500 = azureopenai.FaultStatus
	tests := []struct {
		name  string
		fault azureopenai.Fault
		want  string // one letter a request, a second apart: x is hit
	}{
		{"all", azureopenai.Fault{Kind: s500}, "xxxxxx"},
		{"times", azureopenai.Fault{Kind: s500, Times: 2}, "xx...."},
		{"after", azureopenai.Fault{Kind: s500, After: 3, Times: 2}, "...xx."},
		{"for", azureopenai.Fault{Kind: s500, For: 3 * second}, "xxx..."},
		{"other deployment", azureopenai.Fault{Kind: s500, Match: azureopenai.Match{Deployment: "other"}}, "......"},
		{"deployment", azureopenai.Fault{Kind: s500, Match: azureopenai.Match{Deployment: "gpt-4o"}}, "xxxxxx"},
		{"operation", azureopenai.Fault{Kind: s500, Match: azureopenai.Match{Operation: azureopenai.Embeddings}}, "......"},
		{"streams", azureopenai.Fault{Kind: s500, Match: azureopenai.Match{Stream: "true"}}, ".x.x.x"},
		{"plain", azureopenai.Fault{Kind: s500, Match: azureopenai.Match{Stream: "false"}}, "x.x.x."},
		{"header", azureopenai.Fault{Kind: s500, Match: azureopenai.Match{Header: map[string]string{"X-N": "4"}}}, "....x."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := one(azureopenai.Deployment{})
				s.Inject(test.fault)
				got := ""
				for i := range 6 {
					body := []string{hello, streamed}[i%2]
					resp := send(t, s, chatPath, body, "X-N", string(rune('0'+i)))
					got += map[bool]string{true: "x", false: "."}[resp.StatusCode == 500]
					resp.Body.Close()
					advance(t, second)
				}
				if got != test.want {
					t.Errorf("hit %s, want %s", got, test.want)
				}
				check(t, s, 0)
			})
		})
	}
}

func TestFaultProbability(t *testing.T) {
	hits := func(seed uint64) (n int, pattern string) {
		s := one(azureopenai.Deployment{}, func(o *azureopenai.Options) { o.Seed = seed })
		s.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Probability: 0.3})
		for range 500 {
			resp := send(t, s, chatPath, hello)
			if resp.StatusCode == 500 {
				n++
			}
			pattern += string(rune('0' + resp.StatusCode/100))
		}
		return n, pattern
	}
	n, pattern := hits(1)
	if n < 110 || n > 190 {
		t.Errorf("%d of 500 hit, want about 150", n)
	}
	if _, again := hits(1); again != pattern {
		t.Error("the same seed gave other hits")
	}
	if _, other := hits(2); other == pattern {
		t.Error("another seed gave the same hits")
	}
}

// TestLoweredLimit: the temporary adjustment shows in the header, is enforced,
// and goes.
func TestLoweredLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(azureopenai.Deployment{TokensPerMinute: 1000})
		s.Inject(azureopenai.Fault{Kind: azureopenai.FaultLowerLimit, Limit: 400, For: time.Hour})
		s.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 1})
		resp := send(t, s, chatPath, sized(100)) // combines with the 500
		if resp.StatusCode != 500 || resp.Header.Get("x-ratelimit-limit-tokens") != "400" || resp.Header.Get("x-ratelimit-remaining-tokens") != "300" {
			t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
		}
		if room := s.Room("gpt-4o", time.Now()); room != 300 {
			t.Errorf("room %d, want 300", room)
		}
		if resp := send(t, s, chatPath, sized(301)); resp.StatusCode != 429 {
			t.Errorf("status %d above the lowered limit, want 429", resp.StatusCode)
		}
		advance(t, time.Hour)
		resp = send(t, s, chatPath, sized(301))
		if resp.StatusCode != 200 || resp.Header.Get("x-ratelimit-limit-tokens") != "1000" {
			t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
		}
		check(t, s, 1000)
	})
}
