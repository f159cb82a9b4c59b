package azureopenai_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

const (
	streamed  = `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}],"stream":true}`
	withUsage = `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}],"stream":true,"stream_options":{"include_usage":true}}`
)

// TestStreamShape: which events come, in which order, in which dialect. (62
// lines: one walk through a stream.)
func TestStreamShape(t *testing.T) {
	const old = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01"
	tests := []struct {
		name, path, body string
		filter, usage    bool
	}{
		{"Azure", chatPath, streamed, true, false},
		{"Azure with usage", chatPath, withUsage, true, true},
		{"Azure, old version", old, streamed, true, false},
		{"Azure v1 with usage", "/openai/v1/chat/completions", withUsage, true, true},
		{"OpenAI", "/v1/chat/completions", streamed, false, false},
		{"OpenAI with usage", "/v1/chat/completions", withUsage, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := one(exactly(3))
			resp := send(t, s, test.path, test.body)
			if resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" || resp.ContentLength != -1 {
				t.Errorf("headers %v", resp.Header)
			}
			all := events(t, resp.Body)
			if test.filter {
				first := object(t, all[0])
				if choices, _ := first["choices"].([]any); len(choices) != 0 || at(first, "prompt_filter_results", 0, "prompt_index") != 0.0 {
					t.Errorf("first event %v", first)
				}
				all = all[1:]
			}
			if at(object(t, all[0]), "choices", 0, "delta", "role") != "assistant" {
				t.Errorf("role event %s", all[0])
			}
			if all[len(all)-1] != "[DONE]" {
				t.Errorf("last event %s, want [DONE]", all[len(all)-1])
			}
			all = all[:len(all)-1]
			if test.usage {
				last := object(t, all[len(all)-1])
				if choices, _ := last["choices"].([]any); choices == nil || len(choices) != 0 || at(last, "usage", "completion_tokens") != 3.0 {
					t.Errorf("usage event %v", last)
				}
				all = all[:len(all)-1]
			}
			text, id := "", at(object(t, all[0]), "id")
			for _, event := range all {
				if null := strings.Contains(event, `"usage":null`); null != test.usage {
					t.Errorf("usage:null is %v in %s, want %v", null, event, test.usage)
				}
				delta, _ := at(object(t, event), "choices", 0, "delta", "content").(string)
				text += delta
				if at(object(t, event), "id") != id || at(object(t, event), "object") != "chat.completion.chunk" {
					t.Errorf("event %s", event)
				}
			}
			if azureopenai.CountTokens(text) != 3 || at(object(t, all[len(all)-1]), "choices", 0, "finish_reason") != "stop" {
				t.Errorf("text %q, finish event %s", text, all[len(all)-1])
			}
			if stats := s.Stats()["gpt-4o"]; stats.CompletionTokens != 3 || stats.Streams != 1 {
				t.Errorf("stats %+v, want CompletionTokens 3, Streams 1", stats)
			}
			check(t, s, 0)
		})
	}
}

// TestStreamedChoices: choices take turns, and each ends with its own reason.
func TestStreamedChoices(t *testing.T) {
	body := `{"messages":[{"role":"user","content":"Hello!"}],"stream":true,"n":2,"max_tokens":3}`
	var order []float64
	finished := map[any]any{}
	for _, event := range events(t, send(t, one(exactly(9)), chatPath, body).Body) {
		if event == "[DONE]" {
			continue
		}
		choice := at(object(t, event), "choices", 0)
		if text, _ := at(choice, "delta", "content").(string); text != "" {
			order = append(order, at(choice, "index").(float64))
		}
		if reason := at(choice, "finish_reason"); reason != nil {
			finished[at(choice, "index")] = reason
		}
	}
	if len(order) != 6 || order[0] != 0 || order[1] != 1 || order[2] != 0 || finished[0.0] != "length" || finished[1.0] != "length" {
		t.Errorf("order %v, finished %v", order, finished)
	}
}

func TestStreamedCompletion(t *testing.T) {
	text := ""
	for _, event := range events(t, send(t, one(exactly(4)), textPath, `{"prompt":"x","stream":true}`).Body) {
		if event != "[DONE]" {
			part, _ := at(object(t, event), "choices", 0, "text").(string)
			text += part
		}
	}
	if azureopenai.CountTokens(text) != 4 {
		t.Errorf("text %q", text)
	}
}

func TestStreamedToolCall(t *testing.T) {
	arguments, name, finish := "", any(nil), any(nil)
	body := `{"messages":[{"role":"user","content":"Hello!"}],"stream":true,` + tools + `}`
	for _, event := range events(t, send(t, one(exactly(4)), chatPath, body).Body) {
		if event == "[DONE]" {
			continue
		}
		choice := at(object(t, event), "choices", 0)
		call := at(choice, "delta", "tool_calls", 0)
		if part, ok := at(call, "function", "arguments").(string); ok {
			arguments += part
		}
		if n := at(call, "function", "name"); n != nil {
			name = n
		}
		if f := at(choice, "finish_reason"); f != nil {
			finish = f
		}
	}
	if object(t, arguments)["days"] != 7.0 || name != "weather" || finish != "tool_calls" {
		t.Errorf("called %v(%s), finish %v", name, arguments, finish)
	}
}

// TestStreamTiming: the headers come at the first byte, each token after its time.
func TestStreamTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := exactly(10)
		d.Latency = &azureopenai.Latency{FirstByte: 400 * time.Millisecond, PerToken: 50 * time.Millisecond}
		s := one(d)
		start := time.Now()
		resp := send(t, s, "/v1/chat/completions", streamed)
		if took := time.Since(start); took != 400*time.Millisecond {
			t.Errorf("headers after %v, want %v", took, 400*time.Millisecond)
		}
		in := bufio.NewReader(resp.Body)
		nextEvent(t, in) // role
		for i := range 10 {
			nextEvent(t, in)
			if took, want := time.Since(start), time.Duration(450+50*i)*time.Millisecond; took != want {
				t.Errorf("token %d after %v, want %v", i, took, want)
			}
		}
	})
}

// TestClientLeaves: the server stops generating at once, and knows how far it
// came.
func TestClientLeaves(t *testing.T) {
	slow := azureopenai.Latency{FirstByte: second, PerToken: 100 * time.Millisecond}
	leave := map[string]func(cancel context.CancelFunc, body io.Closer){
		"by canceling":        func(cancel context.CancelFunc, _ io.Closer) { cancel() },
		"by closing the body": func(_ context.CancelFunc, body io.Closer) { body.Close() },
	}
	for name, how := range leave {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := exactly(1000)
				d.Latency = &slow
				s := one(d)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp, err := trySend(ctx, s, "/v1/chat/completions", streamed)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				in := bufio.NewReader(resp.Body)
				for range 8 { // role and 7 tokens
					nextEvent(t, in)
				}
				left := time.Now()
				how(cancel, resp.Body)
				event, err := s.AwaitCanceled(t.Context(), "gpt-4o")
				if err != nil || event.Generated != 7 || !event.Time.Equal(left) {
					t.Errorf("event %+v, %v; left at %v", event, err, left)
				}
				if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
					t.Error("the body can still be read")
				}
				synctest.Wait()
				stats := s.Stats()["gpt-4o"]
				if stats.Canceled != 1 || stats.CompletionTokens != 7 || stats.InFlight != 0 || stats.MaxInFlight != 1 {
					t.Errorf("stats %+v", stats)
				}
				check(t, s, 0)
			})
		})
	}
}

// TestClientLeavesPlain: a plain answer that nobody waits for was generated as
// far as its time had come.
func TestClientLeavesPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := exactly(100)
		d.Latency = &azureopenai.Latency{FirstByte: second, PerToken: 100 * time.Millisecond}
		s := one(d)
		ctx, cancel := context.WithTimeout(t.Context(), 6*second)
		defer cancel()
		if _, err := trySend(ctx, s, chatPath, hello); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		event, err := s.AwaitCanceled(t.Context(), "")
		if err != nil || event.Generated != 50 {
			t.Errorf("event %+v, want Generated 50, %v", event, err)
		}
		check(t, s, 0)
	})
}

// TestSlowReader: the server waits for a reader that does not read, as a full
// socket would make it.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(exactly(1000))
		resp := send(t, s, "/v1/chat/completions", streamed)
		synctest.Wait()
		if stats := s.Stats()["gpt-4o"]; stats.CompletionTokens != 0 || stats.InFlight != 1 {
			t.Errorf("finished without a reader: %+v, want CompletionTokens 0, InFlight 1", stats)
		}
		if n := len(events(t, resp.Body)); n != 1003 {
			t.Errorf("%d events, want 1003", n)
		}
		// A reader that leaves without a word frees the server too.
		ctx, cancel := context.WithCancel(t.Context())
		again, err := trySend(ctx, s, "/v1/chat/completions", streamed)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Body.Close()
		synctest.Wait()
		cancel()
		if _, err := s.AwaitCanceled(t.Context(), ""); err != nil {
			t.Error(err)
		}
	})
}
