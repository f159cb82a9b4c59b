package app

import (
	"bytes"
	"encoding/json"
	"testing"

	"spillway/shared/telemetry"
	"spillway/shared/usage"
)

// What is empty is left out of a request's line, and so reads as empty; numbers and
// answers to yes or no are always there, since queries add them up.
func TestLineOfARequest(t *testing.T) {
	always := []string{"level", "time", "message", "stream", "status", "tokens_estimated", "tokens_prompt", "tokens_cached", "tokens_completion",
		"tokens_reasoning", "tokens_measured", "cost", "waited_ms", "first_byte_ms", "duration_ms", "attempts"}
	texts := []string{"request_id", "trace_id", "backend_request_id", "consumer", "credential", "operation", "model", "pool", "backend",
		"deployment", "region", "refused", "shadowed", "spillover", "tags"}
	full := usage.Record{RequestID: "a", TraceID: "a", BackendID: "a", Consumer: "a", Credential: "a", Operation: "a", Model: "a", Pool: "a", Backend: "a",
		Deployment: "a", Region: "a", Refused: "a", Shadowed: "a", Spillover: "a", Tags: "a"}
	for _, test := range []struct {
		name   string
		record usage.Record
		want   []string
	}{
		{"nothing known", usage.Record{}, always},
		{"everything known", full, append(texts, always...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			logRequest(telemetry.NewLogger(&out), &test.record)
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			for _, key := range test.want {
				if _, ok := line[key]; !ok {
					t.Errorf("%s is missing in %s", key, out.String())
				}
			}
			if len(line) != len(test.want) {
				t.Errorf("%d fields, want %d: %s", len(line), len(test.want), out.String())
			}
		})
	}
}
