package azureopenai_test

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

const (
	responsesPath = "/openai/responses?api-version=2025-04-01-preview"
	ask           = `{"model":"gpt-4o","input":"Hello!"}`
	askStream     = `{"model":"gpt-4o","input":"Hello!","stream":true}`
	askBackground = `{"model":"gpt-4o","input":"Hello!","background":true}`
)

// responseID is the path of a response in the classic dialect.
func responseID(id any, tail string) string {
	return fmt.Sprintf("/openai/responses/%v%s?api-version=2025-04-01-preview", id, tail)
}

// outputText is the text in a response's output.
func outputText(response any) string {
	var all strings.Builder
	items, _ := at(response, "output").([]any)
	for _, item := range items {
		text, _ := at(item, "content", 0, "text").(string)
		all.WriteString(text)
	}
	return all.String()
}

// A response has the text and the usage that were generated, in each dialect; one
// that reaches its maximum is incomplete.
func TestResponse(t *testing.T) {
	const limited = `{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_text","text":"Hello!"}]}],"max_output_tokens":16}`
	tests := []struct {
		name, path, body, status string
		output                   float64
	}{
		{"classic", responsesPath, ask, "completed", 20},
		{"Azure v1", "/openai/v1/responses", ask, "completed", 20},
		{"OpenAI", "/v1/responses", ask, "completed", 20},
		{"limited", "/v1/responses", limited, "incomplete", 16},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := one(exactly(20))
			got := answer(t, s, "POST", test.path, test.body)
			id, _ := got["id"].(string)
			if !strings.HasPrefix(id, "resp_") || got["object"] != "response" || got["status"] != test.status || got["model"] != "gpt-4o-2024-08-06" {
				t.Errorf("response %v", got)
			}
			reason := at(got, "incomplete_details", "reason")
			if limited := test.status == "incomplete"; limited != (reason == "max_output_tokens") {
				t.Errorf("incomplete for %v", reason)
			}
			if tokens := azureopenai.CountTokens(outputText(got)); float64(tokens) != test.output {
				t.Errorf("%d tokens of text, want %v", tokens, test.output)
			}
			usage := map[string]any{"input_tokens": 8.0, "output_tokens": test.output, "total_tokens": 8 + test.output,
				"input_tokens_details": map[string]any{"cached_tokens": 0.0}, "output_tokens_details": map[string]any{"reasoning_tokens": 0.0}}
			if !reflect.DeepEqual(got["usage"], usage) {
				t.Errorf("usage %v, want %v", got["usage"], usage)
			}
			if again := answer(t, s, "GET", responseID(id, ""), ""); !reflect.DeepEqual(again, got) {
				t.Errorf("retrieved %v, want %v", again, got)
			}
			if stats := s.Stats()["gpt-4o"]; stats.PromptTokens != 8 || float64(stats.CompletionTokens) != test.output {
				t.Errorf("statistics %+v", stats)
			}
			check(t, s, 0)
		})
	}
}

// A stream tells of each step, in order and numbered; its last event is the
// response that is stored, and can be read again from any event on.
func TestResponseStream(t *testing.T) {
	s := one(exactly(20))
	resp := send(t, s, responsesPath, askStream)
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q, want %q", got, "text/event-stream; charset=utf-8")
	}
	all := typedEvents(t, resp.Body)
	want := []string{"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"}
	if got := typesOf(all); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	var text strings.Builder
	for i, event := range all {
		if event["sequence_number"] != float64(i) {
			t.Errorf("event %d has number %v, want %v", i, event["sequence_number"], float64(i))
		}
		delta, _ := event["delta"].(string)
		text.WriteString(delta)
	}
	last := all[len(all)-1]["response"]
	if text.String() != outputText(last) || at(all[0], "response", "status") != "in_progress" || at(all[0], "response", "usage") != nil || at(last, "usage", "output_tokens") != 20.0 {
		t.Errorf("deltas %q, and in the end %v", text.String(), last)
	}
	if stored := answer(t, s, "GET", responseID(at(last, "id"), ""), ""); !reflect.DeepEqual(stored, last) {
		t.Errorf("stored %v, want %v", stored, last)
	}
	again := typedEvents(t, call(t, s, "GET", responseID(at(last, "id"), "")+"&stream=true&starting_after=6", "").Body)
	if !reflect.DeepEqual(again, all[7:]) {
		t.Errorf("%d events again, want the %d after number 6", len(again), len(all)-7)
	}
}

// With a function to call, the output is the call: its arguments come in deltas.
func TestResponseCallsFunction(t *testing.T) {
	const tools = `"tools":[{"type":"function","name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}]`
	s := one(exactly(20))
	all := typedEvents(t, send(t, s, responsesPath, `{"model":"gpt-4o","input":"Hello!","stream":true,`+tools+`}`).Body)
	want := []string{"response.created", "response.in_progress", "response.output_item.added", "response.function_call_arguments.delta",
		"response.function_call_arguments.done", "response.output_item.done", "response.completed"}
	if got := typesOf(all); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	item := at(all[len(all)-1], "response", "output", 0)
	arguments, _ := at(item, "arguments").(string)
	if at(item, "type") != "function_call" || at(item, "name") != "weather" || at(object(t, arguments), "city") == nil {
		t.Errorf("item %v", item)
	}
	result := `{"model":"gpt-4o","input":[{"type":"function_call_output","call_id":"call_1","output":"rain"}],` + tools + `}`
	for _, body := range []string{result, `{"model":"gpt-4o","input":"Hello!","tool_choice":"none",` + tools + `}`} {
		if got := at(answer(t, s, "POST", responsesPath, body), "output", 0, "type"); got != "message" {
			t.Errorf("%s: output %v, want a message", body, got)
		}
	}
}

// Hidden tokens are an item of their own, count, and are summarised on request.
func TestResponseReasoning(t *testing.T) {
	s := one(azureopenai.Deployment{Output: &azureopenai.Output{Exact: 10, Reasoning: 64}})
	all := typedEvents(t, send(t, s, responsesPath, `{"model":"gpt-4o","input":"Hello!","stream":true,"reasoning":{"summary":"auto"}}`).Body)
	if got := typesOf(all); !slices.Contains(got, "response.reasoning_summary_text.delta") {
		t.Errorf("events %q", got)
	}
	last := at(all[len(all)-1], "response")
	if at(last, "output", 0, "type") != "reasoning" || at(last, "output", 1, "type") != "message" || at(last, "usage", "output_tokens") != 74.0 ||
		at(last, "usage", "output_tokens_details", "reasoning_tokens") != 64.0 {
		t.Errorf("response %v", last)
	}
	got := answer(t, s, "POST", responsesPath, `{"model":"gpt-4o","input":"Hello!","max_output_tokens":50}`)
	if got["status"] != "incomplete" || at(got, "usage", "output_tokens") != 50.0 || outputText(got) != "" {
		t.Errorf("response %v", got)
	}
}

// A response goes on from one that this resource has stored, and reads it as part
// of its prompt; one that is not there is refused with the service's code.
func TestPreviousResponse(t *testing.T) {
	s, other := one(exactly(20)), one(exactly(20))
	first := answer(t, s, "POST", responsesPath, ask)
	next := fmt.Sprintf(`{"model":"gpt-4o","input":"And?","previous_response_id":%q}`, first["id"])
	got := answer(t, s, "POST", responsesPath, next)
	if got["previous_response_id"] != first["id"] || at(got, "usage", "input_tokens") != 8+20.0+8 {
		t.Errorf("response %v", got)
	}
	answer(t, s, "DELETE", responseID(first["id"], ""), "")
	for name, server := range map[string]*azureopenai.Server{"another resource": other, "deleted": s} {
		status, problem := refused(t, server, "POST", responsesPath, next)
		if status != 400 || problem["code"] != "previous_response_not_found" || problem["param"] != "previous_response_id" {
			t.Errorf("%s: status %d, %v", name, status, problem)
		}
	}
	unkept := answer(t, s, "POST", responsesPath, `{"model":"gpt-4o","input":"Hello!","store":false}`)
	for _, id := range []any{first["id"], unkept["id"], "resp_unknown"} {
		for _, path := range []string{"GET " + responseID(id, ""), "DELETE " + responseID(id, ""), "POST " + responseID(id, "/cancel"), "GET " + responseID(id, "/input_items")} {
			method, path, _ := strings.Cut(path, " ")
			if status, problem := refused(t, s, method, path, ""); status != 404 || problem["message"] != fmt.Sprintf("Response with id '%v' not found.", id) {
				t.Errorf("%s %s: status %d, %v", method, path, status, problem)
			}
		}
	}
}

// The items of an input can be listed, the latest first, page by page.
func TestInputItems(t *testing.T) {
	s := one(exactly(20))
	made := answer(t, s, "POST", responsesPath, `{"model":"gpt-4o","input":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}]}`)
	path := responseID(made["id"], "/input_items")
	all := answer(t, s, "GET", path, "")
	if at(all, "data", 0, "content", 0, "text") != "three" || at(all, "data", 2, "role") != "user" || all["has_more"] != false || at(all, "data", 0, "id") != all["first_id"] {
		t.Errorf("items %v", all)
	}
	page := answer(t, s, "GET", path+"&limit=1&order=asc&after="+all["last_id"].(string), "")
	if at(page, "data", 0, "content", 0, "text") != "two" || page["has_more"] != true {
		t.Errorf("page %v", page)
	}
	for _, query := range []string{"&limit=0", "&limit=101", "&limit=x", "&order=up"} {
		if status, _ := refused(t, s, "GET", path+query, ""); status != 400 {
			t.Errorf("%s: status %d, want 400", query, status)
		}
	}
}

// What goes wrong with a stream of typed events has their form, and counts as in
// a chat.
func TestResponseFaults(t *testing.T) {
	tests := []struct {
		name       string
		fault      azureopenai.Fault
		types      []string // of the events, runs as one
		completion int64
	}{
		{"error as the first event", azureopenai.Fault{Kind: azureopenai.FaultStreamError}, []string{"error"}, 0},
		{"failed as the first event", azureopenai.Fault{Kind: azureopenai.FaultResponseFailed}, []string{"response.failed"}, 0},
		{"failed before the output", azureopenai.Fault{Kind: azureopenai.FaultResponseFailed, Events: 2},
			[]string{"response.created", "response.in_progress", "response.failed"}, 0},
		{"failed in the output", azureopenai.Fault{Kind: azureopenai.FaultResponseFailed, Tokens: 3},
			[]string{"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.failed"}, 3},
		{"error in the output", azureopenai.Fault{Kind: azureopenai.FaultStreamError, Tokens: 3},
			[]string{"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta", "error"}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var accounts []azureopenai.Account
			s := one(exactly(5), keepAccounts(t, &accounts))
			s.Inject(test.fault)
			all := typedEvents(t, send(t, s, responsesPath, askStream).Body)
			if got := typesOf(all); !slices.Equal(got, test.types) {
				t.Errorf("events %q, want %q", got, test.types)
			}
			last := all[len(all)-1]
			if last["sequence_number"] != float64(len(all)-1) {
				t.Errorf("the last event has number %v, want %d", last["sequence_number"], len(all)-1)
			}
			if failed := at(last, "response"); failed != nil && (at(failed, "status") != "failed" || at(failed, "error", "code") != "server_error") {
				t.Errorf("failed response %v", failed)
			}
			if len(accounts) != 1 || accounts[0].Completion != test.completion || accounts[0].End != azureopenai.EventBroken {
				t.Errorf("accounts %+v, want one of %d tokens that is broken", accounts, test.completion)
			}
		})
	}
}

// A stream that is cut has generated what was sent, and no more.
func TestResponseIsCut(t *testing.T) {
	s := one(exactly(9))
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultCut, Tokens: 4, Times: 1})
	resp := send(t, s, responsesPath, askStream)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the stream was not cut")
	}
	if stats := s.Stats()["gpt-4o"]; stats.CompletionTokens != 4 || stats.Failed != 1 {
		t.Errorf("statistics %+v, want CompletionTokens 4, Failed 1", stats)
	}
	check(t, s, 0)
}

// The limiter books a response as it books a chat, and refuses what does not fit;
// requests about stored responses cost nothing.
func TestResponseIsMetered(t *testing.T) {
	s := one(azureopenai.Deployment{TokensPerMinute: 30, Output: &azureopenai.Output{Exact: 5}})
	const limited = `{"model":"gpt-4o","input":"Hello!","max_output_tokens":20}`
	if charge, err := azureopenai.Charge(azureopenai.Responses, []byte(limited)); charge != 22 || err != nil {
		t.Errorf("charge %d, %v; want 22", charge, err)
	}
	made := answer(t, s, "POST", responsesPath, limited)
	status, problem := refused(t, s, "POST", responsesPath, limited)
	message, _ := problem["message"].(string)
	if status != 429 || problem["code"] != "429" || !strings.Contains(message, "Responses_Create Operation under Azure OpenAI API version 2025-04-01-preview") {
		t.Errorf("status %d, %v", status, problem)
	}
	answer(t, s, "GET", responseID(made["id"], ""), "")
	if stats := s.Stats()["gpt-4o"]; stats.Charged() != 22 || stats.Rejected429 != 1 || stats.Requests != 2 {
		t.Errorf("statistics %+v", stats)
	}
	check(t, s, 30)
}
