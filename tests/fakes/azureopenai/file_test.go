package azureopenai_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

const (
	filesPath   = "/openai/files?api-version=2024-10-21"
	batchesPath = "/openai/batches?api-version=2024-10-21"
)

// objectPath is the path of a stored object in the classic dialect.
func objectPath(kind string, id any, tail string) string {
	return fmt.Sprintf("/openai/%s/%v%s?api-version=2024-10-21", kind, id, tail)
}

// upload keeps a file and returns its object.
func upload(t *testing.T, s *azureopenai.Server, purpose, name, content string) map[string]any {
	t.Helper()
	resp := sendForm(t, s, filesPath, "purpose", purpose, "file", "@"+name+"="+content)
	body := read(t, resp)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, want %d: %s", resp.StatusCode, http.StatusOK, body)
	}
	return object(t, body)
}

// A file that is uploaded can be read, listed by page and purpose, and deleted.
func TestFiles(t *testing.T) {
	s := studio()
	made := upload(t, s, "batch", "in.jsonl", `{"custom_id":"1"}`)
	if made["object"] != "file" || made["bytes"] != 17.0 || made["filename"] != "in.jsonl" || made["purpose"] != "batch" || made["status"] != "processed" {
		t.Errorf("file %v", made)
	}
	if got := answer(t, s, "GET", objectPath("files", made["id"], ""), ""); !reflect.DeepEqual(got, made) {
		t.Errorf("retrieved %v, want %v", got, made)
	}
	resp := call(t, s, "GET", objectPath("files", made["id"], "/content"), "")
	if got := read(t, resp); got != `{"custom_id":"1"}` || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("content %q of %q", got, resp.Header.Get("Content-Type"))
	}
	second := upload(t, s, "user_data", "b.txt", "text")
	third := upload(t, s, "batch", "c.jsonl", "{}")
	lists := []struct {
		query string
		ids   []any
		more  bool
	}{
		{"", []any{third["id"], second["id"], made["id"]}, false},
		{"&purpose=batch", []any{third["id"], made["id"]}, false},
		{"&limit=1", []any{third["id"]}, true},
		{"&limit=1&after=" + third["id"].(string), []any{second["id"]}, true},
		{"&order=asc&limit=2", []any{made["id"], second["id"]}, true},
	}
	for _, list := range lists {
		got := answer(t, s, "GET", filesPath+list.query, "")
		var ids []any
		for _, file := range got["data"].([]any) {
			ids = append(ids, at(file, "id"))
		}
		if !reflect.DeepEqual(ids, list.ids) || got["has_more"] != list.more {
			t.Errorf("list%s: %v, more %v; want %v, %v", list.query, ids, got["has_more"], list.ids, list.more)
		}
	}
	if got := answer(t, s, "DELETE", objectPath("files", made["id"], ""), ""); got["deleted"] != true || got["id"] != made["id"] {
		t.Errorf("deleted %v", got)
	}
	for _, where := range []string{"GET ", "DELETE ", "GET /content"} {
		method, tail, _ := strings.Cut(where, " ")
		if status, _ := refused(t, s, method, objectPath("files", made["id"], tail), ""); status != 404 {
			t.Errorf("%s of a deleted file: status %d, want 404", where, status)
		}
	}
	if stats := s.Stats()[""]; stats.Accepted == 0 || stats.PromptTokens != 0 || stats.InFlight != 0 {
		t.Errorf("statistics %+v", stats)
	}
}

// Files that the service refuses.
func TestFileErrors(t *testing.T) {
	s := studio()
	for name, pairs := range map[string][]string{"no file": {"purpose", "batch"}, "no purpose": {"file", "@a=x"}, "unknown purpose": {"purpose", "fun", "file", "@a=x"},
		"not lines of JSON": {"purpose", "batch", "file", "@a.jsonl=x"}, "a life too short": {"purpose", "batch", "file", "@a=", "expires_after[seconds]", "10"}} {
		resp := sendForm(t, s, filesPath, pairs...)
		if body := read(t, resp); resp.StatusCode != 400 {
			t.Errorf("%s: status %d, want 400: %s", name, resp.StatusCode, body)
		}
	}
	status, problem := refused(t, s, "GET", "/v1/files/file-none", "")
	if status != 404 || problem["message"] != "No such File object: file-none" {
		t.Errorf("OpenAI: status %d, %v", status, problem)
	}
}

// Faults hit requests about stored objects, too.
func TestFileFaults(t *testing.T) {
	s := studio()
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503, Match: azureopenai.Match{Operation: azureopenai.ListFiles}})
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Match: azureopenai.Match{Operation: azureopenai.GetModel}})
	if status, _ := refused(t, s, "GET", filesPath, ""); status != 503 {
		t.Errorf("status %d, want 503", status)
	}
	if status, _ := refused(t, s, "GET", "/v1/models/gpt-4o", ""); status != 429 {
		t.Errorf("status %d, want 429", status)
	}
	answer(t, s, "GET", batchesPath, "")
}

// The classic dialect lists models with their abilities, the others as OpenAI does.
func TestModels(t *testing.T) {
	s := one(exactly(1))
	all := answer(t, s, "GET", "/openai/models?api-version=2024-10-21", "")
	if model := at(all, "data", 0); at(model, "id") != "gpt-4o-2024-08-06" || at(model, "capabilities", "chat_completion") != true || at(model, "status") != "succeeded" {
		t.Errorf("model %v", model)
	}
	for path, want := range map[string]any{"/openai/v1/models": "gpt-4o-2024-08-06", "/v1/models": "gpt-4o"} {
		all := answer(t, s, "GET", path, "")
		if model := at(all, "data", 0); at(model, "id") != want || at(model, "object") != "model" || all["object"] != "list" {
			t.Errorf("%s: %v", path, all)
		}
		if got := answer(t, s, "GET", fmt.Sprintf("%s/%v", path, want), ""); !reflect.DeepEqual(got, at(all, "data", 0)) {
			t.Errorf("%s: %v", path, got)
		}
		if status, problem := refused(t, s, "GET", path+"/nobody", ""); status != 404 || problem["code"] != "model_not_found" {
			t.Errorf("%s: status %d, %v", path, status, problem)
		}
	}
	if status, problem := refused(t, s, "GET", "/openai/models/nobody?api-version=2024-10-21", ""); status != 404 || problem["code"] != "404" {
		t.Errorf("classic: status %d, %v", status, problem)
	}
}

// A text is flagged if it holds the word of the content filter; the model may be
// left out.
func TestModerations(t *testing.T) {
	s := studio(func(o *azureopenai.Options) { o.FilterWord = "FORBIDDEN" })
	got := answer(t, s, "POST", "/v1/moderations", `{"input":["fine","FORBIDDEN"]}`)
	if at(got, "results", 0, "flagged") != false || at(got, "results", 1, "flagged") != true || at(got, "results", 1, "categories", "violence") != true || got["model"] != "omni-moderation-latest" {
		t.Errorf("answer %v", got)
	}
	parts := answer(t, s, "POST", "/openai/moderations?api-version=2024-10-21",
		`{"model":"omni-moderation-latest","input":[{"type":"text","text":"FORBIDDEN"},{"type":"image_url","image_url":{"url":"x"}}]}`)
	if results := parts["results"].([]any); len(results) != 1 || at(results, 0, "flagged") != true {
		t.Errorf("answer %v", parts)
	}
	for _, body := range []string{`{}`, `{"input":7}`, `{"input":[]}`, `{"input":[{"type":"smell"}]}`} {
		if status, _ := refused(t, s, "POST", "/v1/moderations", body); status != 400 {
			t.Errorf("%s: status %d, want 400", body, status)
		}
	}
}
