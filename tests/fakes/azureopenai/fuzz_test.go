package azureopenai_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

// FuzzResponse: no request makes the service panic; one that Charge takes is
// answered with a response that is stored as it was sent, unless it forbids that.
func FuzzResponse(f *testing.F) {
	for _, body := range []string{ask, askStream, askBackground, `{"model":"gpt-4o","input":[{"type":"function_call_output","call_id":"c","output":"x"}],"tools":[]}`,
		`{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_text","text":"\ud800"}]}],"store":false,"max_output_tokens":16,"text":{"format":{"type":"json_object"}}}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := one(azureopenai.Deployment{Output: &azureopenai.Output{Exact: 3}})
		_, wrong := azureopenai.Charge(azureopenai.Responses, []byte(body))
		resp := send(t, s, responsesPath, body)
		if resp.StatusCode != 200 {
			text := read(t, resp)
			if !slices.Contains([]int{400, 404}, resp.StatusCode) || at(object(t, text), "error", "message") == nil {
				t.Fatalf("status %d: %s", resp.StatusCode, text)
			}
			return
		}
		if wrong != nil {
			t.Fatalf("answered, but Charge says %v", wrong)
		}
		var made any
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			all := typedEvents(t, resp.Body)
			made = at(all[len(all)-1], "response")
		} else {
			made = object(t, read(t, resp))
		}
		if at(made, "store") != true || at(made, "status") == "queued" {
			return
		}
		if got := answer(t, s, "GET", responseID(at(made, "id"), ""), ""); !reflect.DeepEqual(got, made) {
			t.Fatalf("stored %v, want %v", got, made)
		}
	})
}

// FuzzBatch: whatever a file holds, its batch fails or has an answer for each line.
func FuzzBatch(f *testing.F) {
	f.Add(twoLines)
	f.Add("\n\n{}\n")
	f.Add(`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"x"}]}}`)
	f.Fuzz(func(t *testing.T, content string) {
		s := studio()
		resp := sendForm(t, s, filesPath, "purpose", "batch", "file", "@in.jsonl="+content)
		if resp.StatusCode != 200 {
			return
		}
		file := object(t, read(t, resp))
		made := answer(t, s, "POST", batchesPath, batchOf(file, "/v1/chat/completions"))
		got := answer(t, s, "GET", objectPath("batches", made["id"], ""), "")
		completed, _ := at(got, "request_counts", "completed").(float64)
		failed, _ := at(got, "request_counts", "failed").(float64)
		whole := got["status"] == "completed" && completed+failed > 0 && completed+failed == at(got, "request_counts", "total")
		if !whole && (got["status"] != "failed" || got["errors"] == nil) {
			t.Fatalf("batch %v", got)
		}
	})
}

// What is kept is bounded; the oldest makes room.
func TestKept(t *testing.T) {
	s := one(exactly(1), func(o *azureopenai.Options) { o.Kept = 2 })
	var ids []any
	for range 3 {
		ids = append(ids, answer(t, s, "POST", responsesPath, ask)["id"])
	}
	for i, id := range ids {
		resp := call(t, s, "GET", responseID(id, ""), "")
		if got, want := fmt.Sprint(resp.StatusCode), []string{"404", "200", "200"}[i]; got != want {
			t.Errorf("response %d: status %s, want %s", i, got, want)
		}
	}
}
