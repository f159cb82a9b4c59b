package azureopenai_test

import (
	"net/http"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

// Requests that the service refuses are refused in its words.
func TestResponseErrors(t *testing.T) {
	with := func(members string) string { return `{"model":"gpt-4o","input":"Hello!",` + members + `}` }
	tests := []struct {
		name, path, body string
		status           int
		code, param      any
	}{
		{"old api-version", "/openai/responses?api-version=2024-10-21", ask, 400, "BadRequest", nil},
		{"below a deployment", "/openai/deployments/gpt-4o/responses?api-version=2025-04-01-preview", ask, 404, "404", nil},
		{"no api-version", "/openai/responses", ask, 404, "404", nil},
		{"no model", responsesPath, `{"input":"x"}`, 400, nil, nil},
		{"unknown model", responsesPath, `{"model":"nobody","input":"x"}`, 404, "DeploymentNotFound", nil},
		{"no input", responsesPath, `{"model":"gpt-4o"}`, 400, "missing_required_parameter", "input"},
		{"input is a number", responsesPath, `{"model":"gpt-4o","input":7}`, 400, "invalid_type", "input"},
		{"no items", responsesPath, `{"model":"gpt-4o","input":[]}`, 400, "empty_array", "input"},
		{"unknown item", responsesPath, `{"model":"gpt-4o","input":[{"type":"song"}]}`, 400, "invalid_value", "input[0].type"},
		{"unknown part", responsesPath, `{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`, 400, "invalid_value", "input[0].content[0].type"},
		{"messages", responsesPath, with(`"messages":[]`), 400, "unsupported_parameter", "messages"},
		{"max_tokens", responsesPath, with(`"max_tokens":20`), 400, "unsupported_parameter", "max_tokens"},
		{"unknown member", responsesPath, with(`"colour":"red"`), 400, "unknown_parameter", "colour"},
		{"include_usage", responsesPath, with(`"stream":true,"stream_options":{"include_usage":true}`), 400, "unknown_parameter", "stream_options.include_usage"},
		{"maximum too small", responsesPath, with(`"max_output_tokens":15`), 400, "integer_below_min_value", "max_output_tokens"},
		{"background, not stored", responsesPath, with(`"background":true,"store":false`), 400, nil, "background"},
		{"stored by word", responsesPath, with(`"store":"yes"`), 400, "invalid_type", "store"},
		{"content filter", responsesPath, `{"model":"gpt-4o","input":"FORBIDDEN"}`, 400, "content_filter", "prompt"},
		{"with an embedding model", responsesPath, `{"model":"text-embedding-3-small","input":"x"}`, 400, "OperationNotSupported", nil},
	}
	s := one(exactly(5), func(o *azureopenai.Options) { o.FilterWord = "FORBIDDEN" })
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, problem := refused(t, s, http.MethodPost, test.path, test.body)
			if status != test.status || problem["code"] != test.code || problem["param"] != test.param {
				t.Errorf("status %d, %v; want %d, %v, %v", status, problem, test.status, test.code, test.param)
			}
		})
	}
	if status, problem := refused(t, s, http.MethodPatch, responseID("resp_1", ""), ""); status != 405 || problem["code"] != "405" {
		t.Errorf("PATCH: status %d, %v", status, problem)
	}
	if status, problem := refused(t, s, http.MethodPost, "/v1/responses", ask, "Content-Type", "text/plain"); status != 400 || problem["code"] != "unsupported_content_type" {
		t.Errorf("text/plain: status %d, %v", status, problem)
	}
}
