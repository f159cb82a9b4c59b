package app

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

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

// Whatever a text is, and however long a duration, a line says it as JSON does.
func TestValuesOfALine(t *testing.T) {
	type attempt struct {
		Deployment, Reason string
		Duration           float64 `json:"duration_ms"`
		Prompt             *int64  `json:"tokens_prompt"`
	}
	type line struct {
		Consumer string
		Duration float64 `json:"duration_ms"`
		Attempts []attempt
	}
	for _, text := range []string{"team-search", `"a"`, `a\b`, "a\nb", "\x00\x7f", "Größe", "\u2028", "<&>", "a\xffb", "👍"} {
		for took, want := range map[time.Duration]float64{
			0: 0, 999: 0, time.Microsecond: 0.001, 10 * time.Microsecond: 0.01, 120 * time.Microsecond: 0.12, 305 * time.Microsecond: 0.305, 300 * time.Microsecond: 0.3,
			1020 * time.Microsecond: 1.02, 70 * time.Millisecond: 70, 1234567 * time.Microsecond: 1234.567, 240 * time.Hour: 864e6, -1500 * time.Microsecond: -1.5, -time.Microsecond: -0.001,
		} {
			record := usage.Record{Consumer: text, Duration: took, Attempts: []usage.Attempt{
				{Deployment: text, Reason: "failed", Duration: took}, {Deployment: "a/b", Reason: text, Prompt: 7},
			}}
			var out bytes.Buffer
			logRequest(telemetry.NewLogger(&out), &record)
			var got line
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			said := strings.ToValidUTF8(text, "\ufffd")
			if got.Consumer != said || got.Duration != want || len(got.Attempts) != 2 {
				t.Fatalf("%q, %v: %s", text, took, out.String())
			}
			first, last := got.Attempts[0], got.Attempts[1]
			if first.Deployment != said || first.Duration != want || first.Prompt != nil || last.Reason != said || last.Prompt == nil || *last.Prompt != 7 {
				t.Errorf("%q, %v: %s", text, took, out.String())
			}
		}
	}
}

// A cost is said as it is, down to the smallest unit that one is counted in.
func TestCostOfALine(t *testing.T) {
	for cost, want := range map[float64]string{
		0: "0", 1: "1", 0.0001375: "0.0001375", 1e-9: "0.000000001", 1e-10: "0", 12.5: "12.5", 1234567.000000001: "1234567.000000001", -1: "0", math.NaN(): "0",
	} {
		var out bytes.Buffer
		logRequest(telemetry.NewLogger(&out), &usage.Record{Cost: cost})
		var line struct{ Cost json.Number }
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		if got := line.Cost.String(); got != want {
			t.Errorf("%v: got %s, want %s", cost, got, want)
		}
	}
}
