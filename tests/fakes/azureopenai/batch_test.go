package azureopenai_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// twoLines are a request that can be answered and one for an unknown model.
const twoLines = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}}
{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"model":"nobody","messages":[{"role":"user","content":"Hello!"}]}}
`

// batchOf is the body that asks for a batch on a file.
func batchOf(file map[string]any, endpoint string) string {
	return fmt.Sprintf(`{"input_file_id":%q,"endpoint":%q,"completion_window":"24h","metadata":{"team":"a"}}`, file["id"], endpoint)
}

// A batch goes through its states as its pace says, and has its answers in a file
// in the end, the failed ones in another.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := studio(func(o *azureopenai.Options) {
			o.Batches = azureopenai.Pace{Queued: time.Second, Running: 2 * time.Second}
		})
		made := answer(t, s, "POST", batchesPath, batchOf(upload(t, s, "batch", "in.jsonl", twoLines), "/v1/chat/completions"))
		path := objectPath("batches", made["id"], "")
		var got map[string]any
		for _, want := range []string{"validating", "in_progress", "in_progress", "completed"} {
			if got = answer(t, s, "GET", path, ""); got["status"] != want || (want == "completed") != (got["output_file_id"] != nil) {
				t.Errorf("batch %v, want it %s", got, want)
			}
			advance(t, time.Second)
		}
		if counts := got["request_counts"]; at(counts, "total") != 2.0 || at(counts, "completed") != 1.0 || at(counts, "failed") != 1.0 ||
			at(got, "usage", "input_tokens") != 8.0 || at(got, "usage", "output_tokens") != 5.0 || at(got, "metadata", "team") != "a" {
			t.Errorf("batch %v", got)
		}
		out := object(t, strings.TrimSpace(read(t, call(t, s, "GET", objectPath("files", got["output_file_id"], "/content"), ""))))
		if at(out, "custom_id") != "a" || at(out, "response", "status_code") != 200.0 || at(out, "response", "body", "choices", 0, "message", "role") != "assistant" {
			t.Errorf("output %v", out)
		}
		failed := object(t, strings.TrimSpace(read(t, call(t, s, "GET", objectPath("files", got["error_file_id"], "/content"), ""))))
		if at(failed, "custom_id") != "b" || at(failed, "response", "status_code") != 404.0 || at(failed, "response", "body", "error", "code") != "DeploymentNotFound" {
			t.Errorf("errors %v", failed)
		}
		if status, _ := refused(t, s, "POST", objectPath("batches", made["id"], "/cancel"), ""); status != 409 {
			t.Errorf("canceling it: status %d, want 409", status)
		}
	})
}

// Each operation that a batch may have is answered.
func TestBatchEndpoints(t *testing.T) {
	for endpoint, body := range map[string]string{"/v1/embeddings": `{"model":"text-embedding-3-small","input":"a"}`, "/v1/responses": ask, "/v1/completions": `{"model":"gpt-4o","prompt":"a"}`} {
		s := studio()
		line := fmt.Sprintf(`{"custom_id":"a","method":"POST","url":%q,"body":%s}`, endpoint, body)
		made := answer(t, s, "POST", batchesPath, batchOf(upload(t, s, "batch", "in.jsonl", line), endpoint))
		got := answer(t, s, "GET", objectPath("batches", made["id"], ""), "")
		if at(got, "request_counts", "completed") != 1.0 {
			t.Errorf("%s: %v", endpoint, got)
		}
	}
}

// A file that is no batch makes a batch that fails, and says where.
func TestBatchFails(t *testing.T) {
	s := studio()
	const bad = `{"custom_id":"a","method":"GET","url":"/v1/chat/completions","body":{}}
{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}
[]
{"custom_id":"c","method":"POST","url":"/v1/embeddings","body":{}}
{"method":"POST"}
`
	made := answer(t, s, "POST", batchesPath, batchOf(upload(t, s, "batch", "in.jsonl", bad), "/v1/chat/completions"))
	got := answer(t, s, "GET", objectPath("batches", made["id"], ""), "")
	want := []string{"invalid_method", "duplicate_custom_id", "invalid_json_line", "mismatched_endpoint", "missing_required_parameter"}
	for i, code := range want {
		if found := at(got, "errors", "data", i); at(found, "code") != code || at(found, "line") != float64(i+1) {
			t.Errorf("error %d is %v, want %s", i, found, code)
		}
	}
	if got["status"] != "failed" || got["output_file_id"] != nil {
		t.Errorf("batch %v", got)
	}
}

// A batch that is canceled is so after its next step, by hand too; batches are
// listed with the latest first.
func TestCancelBatch(t *testing.T) {
	s := studio(func(o *azureopenai.Options) { o.Batches.Manual = true })
	file := upload(t, s, "batch", "in.jsonl", twoLines)
	first := answer(t, s, "POST", batchesPath, batchOf(file, "/v1/chat/completions"))
	second := answer(t, s, "POST", batchesPath, batchOf(file, "/chat/completions"))
	id, _ := first["id"].(string)
	if state, ok := s.Advance(id); state != "in_progress" || !ok {
		t.Errorf("advanced to %q, %v, want %q, true", state, ok, "in_progress")
	}
	for range 2 {
		if got := answer(t, s, "POST", objectPath("batches", id, "/cancel"), ""); got["status"] != "cancelling" {
			t.Errorf("canceled %v", got)
		}
	}
	if state, ok := s.Advance(id); state != "cancelled" || !ok {
		t.Errorf("advanced to %q, %v, want %q, true", state, ok, "cancelled")
	}
	for _, want := range []string{"in_progress", "finalizing", "completed"} {
		if status, body := control(t, s, "POST", "advance?id="+second["id"].(string), ""); status != 200 || at(object(t, body), "state") != want {
			t.Errorf("advanced to %s, want %s", body, want)
		}
	}
	all := answer(t, s, "GET", batchesPath+"&limit=1", "")
	if at(all, "data", 0, "id") != second["id"] || all["has_more"] != true {
		t.Errorf("list %v", all)
	}
}

// Batches that the service refuses.
func TestBatchErrors(t *testing.T) {
	s := studio()
	file := upload(t, s, "user_data", "in.jsonl", twoLines)
	for name, body := range map[string]string{"no file": `{"endpoint":"/v1/embeddings","completion_window":"24h"}`, "unknown endpoint": batchOf(file, "/v1/songs"),
		"unknown file": batchOf(map[string]any{"id": "file-1"}, "/v1/embeddings"), "purpose": batchOf(file, "/v1/embeddings"), "not JSON": "x"} {
		if status, problem := refused(t, s, "POST", batchesPath, body); status != 400 {
			t.Errorf("%s: status %d, want 400, %v", name, status, problem)
		}
	}
	if status, _ := refused(t, s, "GET", objectPath("batches", "batch_1", ""), ""); status != 404 {
		t.Errorf("unknown batch: status %d, want 404", status)
	}
}

// With a date, the same calls get the same answers from another server, in a form
// with another boundary too; the same call again gets another id.
func TestDated(t *testing.T) {
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ids := func() (all []any) {
		s := studio(func(o *azureopenai.Options) { o.Dated = day })
		for range 2 {
			all = append(all, upload(t, s, "batch", "in.jsonl", twoLines)["id"], answer(t, s, "POST", responsesPath, ask), answer(t, s, "POST", chatPath, hello))
		}
		return all
	}
	first, second := ids(), ids()
	for i := range first {
		if a, b := fmt.Sprint(first[i]), fmt.Sprint(second[i]); a != b {
			t.Errorf("call %d: %s, then %s", i, a, b)
		}
	}
	if first[0] == first[3] || at(first[1], "created_at") != float64(day.Unix()) || at(first[2], "created") != float64(day.Unix()) {
		t.Errorf("answers %v", first)
	}
	named := studio(func(o *azureopenai.Options) { o.Dated = day })
	direct := answer(t, named, "POST", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`)
	if direct["id"] != at(first[2], "id") {
		t.Errorf("in another dialect it is %v, want %v", direct["id"], at(first[2], "id"))
	}
}
