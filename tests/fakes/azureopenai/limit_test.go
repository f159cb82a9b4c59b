package azureopenai_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// sized is a chat request that is charged exactly n tokens (n ≥ 2).
func sized(n int) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":"four"}],"max_tokens":%d}`, n-1)
}

// TestCharge: what the limiter counts on arrival is a quarter of the prompt's
// characters, rounded up, plus the largest possible output.
func TestCharge(t *testing.T) {
	tests := []struct {
		name string
		op   azureopenai.Operation
		body string
		want int64
	}{
		{"the published example: Hello! without a maximum costs 2", azureopenai.ChatCompletions, hello, 2},
		{"never less than 1", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":""}]}`, 1},
		{"characters are runes, not bytes", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":"日本語日本"}]}`, 2},
		{"escapes are one character", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":"\u65e5\u672c\n\t"}]}`, 1},
		{"messages are added before rounding", azureopenai.ChatCompletions, `{"messages":[{"role":"system","content":"ab"},{"role":"user","content":"cd"}]}`, 1},
		{"text parts count, images do not", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":[{"type":"text","text":"abcde"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAA"}}]}]}`, 2},
		{"roles and names do not count", azureopenai.ChatCompletions, `{"messages":[{"role":"user","name":"somebody-long","content":"abcd"}]}`, 1},
		{"max_tokens", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":"abcd"}],"max_tokens":100}`, 101},
		{"max_completion_tokens × n", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":"abcd"}],"max_completion_tokens":100,"n":3}`, 301},
		{"null is absent", azureopenai.ChatCompletions, `{"messages":[{"role":"user","content":"abcd"}],"max_tokens":null,"n":null}`, 1},
		{"completion: best_of outweighs n", azureopenai.Completions, `{"prompt":"abcd","max_tokens":10,"n":2,"best_of":5}`, 51},
		{"completion: list of prompts", azureopenai.Completions, `{"prompt":["abcd","efgh"],"max_tokens":10}`, 12},
		{"completion: token array", azureopenai.Completions, `{"prompt":[1,2,3,4,5],"max_tokens":10}`, 15},
		{"embedding: text", azureopenai.Embeddings, `{"input":"abcdefgh"}`, 2},
		{"embedding: list", azureopenai.Embeddings, `{"input":["abcde","fgh"]}`, 2},
		{"embedding: token arrays", azureopenai.Embeddings, `{"input":[[1,2],[3,4,5]]}`, 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := azureopenai.Charge(test.op, []byte(test.body))
			if err != nil || got != test.want {
				t.Errorf("Charge = %d, %v; want %d", got, err, test.want)
			}
		})
	}
	if _, err := azureopenai.Charge(azureopenai.ChatCompletions, []byte(`{}`)); err == nil {
		t.Error("a body without messages has no charge")
	}
}

// step is one request at a moment of virtual time.
type step struct {
	at     time.Duration
	tokens int
	status int
	wait   time.Duration // of a 429, in whole milliseconds
	room   int64         // afterwards
}

func play(t *testing.T, d azureopenai.Deployment, steps []step) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := one(d)
		start := time.Now() // A full minute: bubbles begin at midnight.
		for i, step := range steps {
			advance(t, step.at-time.Since(start))
			fits := s.Fits("gpt-4o", int64(step.tokens), time.Now())
			resp := send(t, s, chatPath, sized(step.tokens))
			body := read(t, resp)
			if resp.StatusCode != step.status {
				t.Fatalf("step %d: status %d, want %d: %s", i, resp.StatusCode, step.status, body)
			}
			if fits != (step.status == 200) {
				t.Errorf("step %d: Fits said %v, then status %d", i, fits, resp.StatusCode)
			}
			if step.status == 429 {
				ms, _ := strconv.Atoi(resp.Header.Get("retry-after-ms"))
				if wait := time.Duration(ms) * time.Millisecond; wait != step.wait {
					t.Errorf("step %d: retry after %v, want %v", i, wait, step.wait)
				}
			}
			if room := s.Room("gpt-4o", time.Now()); room != step.room {
				t.Errorf("step %d: room %d, want %d", i, room, step.room)
			}
			if d.Limiter == azureopenai.Fixed {
				check(t, s, d.TokensPerMinute)
			}
		}
	})
}

const second = time.Second

func TestFixedWindow(t *testing.T) {
	play(t, azureopenai.Deployment{Limiter: azureopenai.Fixed, TokensPerMinute: 1000}, []step{
		{0, 600, 200, 0, 400},
		{10 * second, 400, 200, 0, 0}, // to the last token
		{10 * second, 2, 429, 50 * second, 0},
		{59*second + 999*time.Millisecond, 2, 429, time.Millisecond, 0},
		{60 * second, 1000, 200, 0, 0}, // all back at the edge: 2,000 in one second of real time
		{61 * second, 1001, 429, 59 * second, 0},
		{125 * second, 1001, 429, 55 * second, 1000}, // never fits
		{126 * second, 999, 200, 0, 1},
	})
}

func TestFixedWindowWithPhase(t *testing.T) {
	play(t, azureopenai.Deployment{Limiter: azureopenai.Fixed, TokensPerMinute: 1000, Phase: 17 * second}, []step{
		{0, 1000, 200, 0, 0},
		{16 * second, 2, 429, second, 0},
		{17 * second, 300, 200, 0, 700},
		{76 * second, 701, 429, second, 700},
		{77 * second, 701, 200, 0, 299},
	})
}

func TestSlidingLog(t *testing.T) {
	play(t, azureopenai.Deployment{Limiter: azureopenai.Sliding, TokensPerMinute: 1000}, []step{
		{0, 300, 200, 0, 700},
		{20 * second, 500, 200, 0, 200},
		{30 * second, 300, 429, 30 * second, 200},  // the first 300 must go
		{30 * second, 600, 429, 50 * second, 200},  // both must go
		{30 * second, 1200, 429, 50 * second, 200}, // never fits
		{60 * second, 300, 200, 0, 200},
		{79 * second, 201, 429, second, 200},
		{80 * second, 201, 200, 0, 499},
	})
}

func TestPTUUtilization(t *testing.T) {
	// 600 tokens a minute leak 10 a second; the bucket holds 600. Answers are
	// as long as estimated, the prompt is 7 tokens (1 word, 6 of chat) where 1
	// was estimated.
	const over = 6
	d := azureopenai.Deployment{Limiter: azureopenai.PTU, TokensPerMinute: 600, Output: &azureopenai.Output{Fill: true}}
	play(t, d, []step{
		{0, 400, 200, 0, 200 - over},
		{0, 2000, 200, 0, 200 - over - 2000 - over},                              // below 100 %: accepted whatever its size
		{0, 2, 429, 181*second + 200*time.Millisecond + time.Millisecond, -1812}, // 1,812 above
		{180 * second, 2, 429, second + 200*time.Millisecond + time.Millisecond, -12},
		{182 * second, 100, 200, 0, 8 - 100 - over},
	})
}

// TestPTUCorrection: an answer shorter than its maximum gives utilization back
// at its end, not before.
func TestPTUCorrection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(azureopenai.Deployment{Limiter: azureopenai.PTU, TokensPerMinute: 600, Burst: 10 * second,
			Output: &azureopenai.Output{Exact: 20}, Latency: &azureopenai.Latency{FirstByte: second}})
		done := make(chan int)
		go func() {
			resp, err := trySend(t.Context(), s, chatPath, sized(500))
			if err != nil {
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
		synctest.Wait()
		if room := s.Room("gpt-4o", time.Now()); room != 100-500 {
			t.Errorf("room while answering: %d, want -400", room)
		}
		if status := <-done; status != 200 {
			t.Fatalf("status %d, want 200", status)
		}
		synctest.Wait()
		// 500 estimated − 10 leaked in a second − (500 − 27 really used).
		if room := s.Room("gpt-4o", time.Now()); room != 100-17 {
			t.Errorf("room at the end: %d, want 83", room)
		}
		if charged := s.Stats()["gpt-4o"].Charged(); charged != 27 {
			t.Errorf("charged %d, want 27", charged)
		}
	})
}

func TestPTUHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(azureopenai.Deployment{Limiter: azureopenai.PTU, TokensPerMinute: 1000})
		resp := send(t, s, chatPath, sized(251))
		if got := resp.Header.Get("azure-openai-deployment-utilization"); got != "25.1%" {
			t.Errorf("utilization %q, want %q", got, "25.1%")
		}
		if got := resp.Header.Get("x-ratelimit-limit-tokens"); got != "" {
			t.Errorf("a PTU deployment has no token limit header, got %q", got)
		}
	})
}

func TestRequestLimit(t *testing.T) {
	for _, limiter := range []azureopenai.Limiter{azureopenai.Fixed, azureopenai.Sliding} {
		t.Run(string(limiter), func(t *testing.T) {
			// 60 a minute: 10 in a slice of 10 seconds.
			synctest.Test(t, func(t *testing.T) {
				s := one(azureopenai.Deployment{Limiter: limiter, RequestsPerMinute: 60})
				advance(t, 4*second)
				for range 10 {
					if resp := send(t, s, chatPath, hello); resp.StatusCode != 200 {
						t.Fatalf("status %d, want 200", resp.StatusCode)
					}
				}
				advance(t, second)
				resp := send(t, s, chatPath, hello)
				body := read(t, resp)
				want := map[azureopenai.Limiter]string{azureopenai.Fixed: "5", azureopenai.Sliding: "9"}[limiter]
				if resp.StatusCode != 429 || resp.Header.Get("retry-after") != want {
					t.Fatalf("status %d, retry-after %q, want %q", resp.StatusCode, resp.Header.Get("retry-after"), want)
				}
				if !strings.Contains(body, "exceeded call rate limit") || !strings.Contains(body, "retry after "+want+" seconds") {
					t.Errorf("body %s", body)
				}
				advance(t, 9*second)
				if resp := send(t, s, chatPath, hello); resp.StatusCode != 200 {
					t.Errorf("status %d in the next slice, want 200", resp.StatusCode)
				}
				check(t, s, 0)
				if got := s.Stats()["gpt-4o"].RejectedBy[azureopenai.ThrottleRequests]; got != 1 {
					t.Errorf("%d rejected for requests, want 1", got)
				}
			})
		})
	}
}

// TestRejectedRequests: what the token limit rejects costs no tokens, but
// counts as a request, as documented.
func TestRejectedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(azureopenai.Deployment{TokensPerMinute: 100, RequestsPerMinute: 18}) // 3 in 10 s
		for i, want := range []azureopenai.ThrottleKind{"", azureopenai.ThrottleTokens, azureopenai.ThrottleTokens, azureopenai.ThrottleRequests} {
			resp := send(t, s, chatPath, sized(60))
			if (resp.StatusCode == 200) != (want == "") {
				t.Errorf("request %d: status %d", i, resp.StatusCode)
			}
		}
		stats := s.Stats()["gpt-4o"]
		if stats.Charged() != 60 || stats.RejectedBy[azureopenai.ThrottleTokens] != 2 || stats.RejectedBy[azureopenai.ThrottleRequests] != 1 {
			t.Errorf("stats %+v", stats)
		}
		check(t, s, 100)
	})
}

// TestParallelLoad: whatever arrives at once, a window never holds more than
// the limit, and fills to within one request.
func TestParallelLoad(t *testing.T) {
	s := one(azureopenai.Deployment{TokensPerMinute: 10_000, Phase: phaseFarFromNow()})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if resp, err := trySend(t.Context(), s, chatPath, sized(30)); err == nil {
					resp.Body.Close()
				}
			}
		})
	}
	wg.Wait()
	check(t, s, 10_000)
	stats := s.Stats()["gpt-4o"]
	if stats.Charged() != 9990 || stats.Accepted != 333 || stats.Rejected429 != 467 {
		t.Errorf("charged %d in %d requests, %d rejected, want 9990, 333, 467", stats.Charged(), stats.Accepted, stats.Rejected429)
	}
	for window := range stats.TokensCharged {
		if fill := stats.Fill(time.Unix(window, 0), 10_000); fill != 0.999 {
			t.Errorf("window filled to %v, want 0.999", fill)
		}
	}
}

// phaseFarFromNow puts the window's edge half a minute away from real time.
func phaseFarFromNow() time.Duration {
	return (time.Duration(time.Now().UnixNano()) + 30*second) % time.Minute
}

func TestNoLimit(t *testing.T) {
	s := one(azureopenai.Deployment{})
	resp := send(t, s, chatPath, sized(1_000_000))
	if resp.StatusCode != 200 || resp.Header.Get("x-ratelimit-limit-tokens") != "" {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	if s.Room("gpt-4o", time.Now()) != math.MaxInt64 || s.Room("nobody", time.Now()) != 0 {
		t.Error("room without a limit is endless, room of nobody is 0")
	}
}
