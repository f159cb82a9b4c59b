package azureopenai_test

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

const (
	drawPath = "/openai/deployments/gpt-image-1/images/generations?api-version=2025-04-01-preview"
	dallPath = "/openai/deployments/dall-e-3/images/generations?api-version=2024-10-21"
	editPath = "/openai/deployments/gpt-image-1/images/edits?api-version=2025-04-01-preview"
)

// checkPicture fails unless the text is a picture in base64.
func checkPicture(t *testing.T, text any) {
	t.Helper()
	encoded, _ := text.(string)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		_, err = png.Decode(bytes.NewReader(raw))
	}
	if err != nil {
		t.Errorf("no picture: %v", err)
	}
}

// A model that is billed by tokens sends pictures with a usage; an older one sends
// addresses, or pictures if asked, and no usage.
func TestImageGenerations(t *testing.T) {
	s := studio()
	drawn := answer(t, s, "POST", drawPath, `{"prompt":"a lake","quality":"low","n":2}`)
	checkPicture(t, at(drawn, "data", 1, "b64_json"))
	if usage := drawn["usage"]; at(usage, "input_tokens") != 2.0 || at(usage, "output_tokens") != 544.0 || at(usage, "total_tokens") != 546.0 || at(usage, "input_tokens_details", "text_tokens") != 2.0 {
		t.Errorf("usage %v", usage)
	}
	if stats := s.Stats()["gpt-image-1"]; stats.PromptTokens != 2 || stats.CompletionTokens != 544 {
		t.Errorf("statistics %+v, want PromptTokens 2, CompletionTokens 544", stats)
	}
	old := answer(t, s, "POST", dallPath, `{"prompt":"a lake"}`)
	if url, _ := at(old, "data", 0, "url").(string); !strings.HasPrefix(url, "https://") || old["usage"] != nil || at(old, "data", 0, "revised_prompt") == nil ||
		at(old, "data", 0, "content_filter_results", "hate", "severity") != "safe" {
		t.Errorf("answer %v", old)
	}
	checkPicture(t, at(answer(t, s, "POST", dallPath, `{"prompt":"a lake","response_format":"b64_json"}`), "data", 0, "b64_json"))
	if stats := s.Stats()["dall-e-3"]; stats.PromptTokens != 0 || stats.CompletionTokens != 0 || stats.Accepted != 2 {
		t.Errorf("statistics %+v, want PromptTokens 0, CompletionTokens 0, Accepted 2", stats)
	}
}

// A streamed picture comes in parts, and its last event has the usage.
func TestImageStream(t *testing.T) {
	s := studio(func(o *azureopenai.Options) { o.Output.Bytes = 20_000 })
	all := typedEvents(t, call(t, s, "POST", drawPath, `{"prompt":"a lake","stream":true,"partial_images":2,"quality":"low"}`).Body)
	if got, want := typesOf(all), []string{"image_generation.partial_image", "image_generation.completed"}; !slices.Equal(got, want) || len(all) != 3 {
		t.Errorf("%d events %q, want 3: %q", len(all), got, want)
	}
	for _, event := range all {
		checkPicture(t, event["b64_json"])
	}
	if all[1]["partial_image_index"] != 1.0 || at(all[2], "usage", "output_tokens") != 472.0 || len(all[2]["b64_json"].(string)) < 20_000 {
		t.Errorf("events %v", typesOf(all))
	}
}

// Pictures are changed by a form that brings them.
func TestImageEdits(t *testing.T) {
	s := studio()
	resp := sendForm(t, s, editPath, "prompt", "a lake", "image[]", "@a.png=picture", "image[]", "@b.png=picture", "quality", "low")
	edited := object(t, read(t, resp))
	if resp.StatusCode != 200 || at(edited, "usage", "input_tokens_details", "image_tokens") != 646.0 || at(edited, "usage", "input_tokens") != 648.0 {
		t.Errorf("status %d: %v", resp.StatusCode, edited)
	}
	all := typedEvents(t, sendForm(t, s, "/v1/images/edits", "model", "gpt-image-1", "prompt", "a lake", "image", "@a.png=picture", "stream", "true", "partial_images", "1").Body)
	if got, want := typesOf(all), []string{"image_edit.partial_image", "image_edit.completed"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	for _, path := range []string{"/v1/images/variations", "/openai/images/variations?api-version=2025-04-01-preview", "/openai/deployments/dall-e-3/images/variations?api-version=2025-04-01-preview"} {
		resp := sendForm(t, s, path, "model", "dall-e-3", "image", "@a.png=picture")
		if body := object(t, read(t, resp)); at(body, "data", 0, "url") == nil {
			t.Errorf("%s: status %d, %v", path, resp.StatusCode, body)
		}
	}
}

// Requests for pictures that the service refuses.
func TestImageErrors(t *testing.T) {
	s := studio()
	tests := []struct {
		name, path, body string
		status           int
		code, param      any
	}{
		{"no prompt", drawPath, `{}`, 400, "missing_required_parameter", "prompt"},
		{"form of the picture", drawPath, `{"prompt":"x","response_format":"url"}`, 400, "unknown_parameter", "response_format"},
		{"unknown size", dallPath, `{"prompt":"x","size":"1x1"}`, 400, "invalid_value", ""},
		{"too many", dallPath, `{"prompt":"x","n":2}`, 400, "integer_above_max_value", "n"},
		{"stream of an old model", dallPath, `{"prompt":"x","stream":true}`, 400, "unsupported_parameter", "stream"},
		{"parts without a stream", drawPath, `{"prompt":"x","partial_images":1}`, 400, "invalid_parameter_combination", "partial_images"},
		{"with a chat model", "/v1/images/generations", `{"model":"gpt-4o","prompt":"x"}`, 400, "OperationNotSupported", nil},
		{"chat with such a model", "/v1/chat/completions", `{"model":"dall-e-3"}`, 400, "OperationNotSupported", nil},
		{"old api-version", strings.Replace(drawPath, "2025-04-01", "2023-06-01", 1), `{"prompt":"x"}`, 404, "404", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, problem := refused(t, s, http.MethodPost, test.path, test.body)
			if status != test.status || problem["code"] != test.code || (test.param != "" && problem["param"] != test.param) {
				t.Errorf("status %d, %v; want %d, %v, %v", status, problem, test.status, test.code, test.param)
			}
		})
	}
	resp := sendForm(t, s, editPath, "prompt", "x")
	if problem := object(t, read(t, resp))["error"]; resp.StatusCode != 400 || at(problem, "param") != "image" {
		t.Errorf("no picture: status %d, %v", resp.StatusCode, problem)
	}
}
