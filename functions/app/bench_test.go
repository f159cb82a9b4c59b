package app

import (
	"io"
	"testing"
	"time"

	"spillway/shared/telemetry"
	"spillway/shared/usage"
)

// BenchmarkLogRequest is what the line of a request adds to it. It must not allocate.
func BenchmarkLogRequest(b *testing.B) {
	log := telemetry.NewLogger(telemetry.NewBatch(io.Discard))
	record := usage.Record{
		RequestID: "req_9718aa9e8e93f8fc5c7bcfda9719ef1f", Consumer: "team-search", Credential: "sha256:47087054…", Operation: "chat",
		Model: "gpt-4o", Pool: "gpt-4o", Backend: "one", Deployment: "gpt-4o", Status: 200, Estimated: 40, Measured: true,
		Tokens: usage.Tokens{Prompt: 19, Completion: 9}, Cost: 0.0001375, FirstByte: 815 * time.Microsecond, Duration: 833 * time.Microsecond,
		Attempts: []usage.Attempt{{Deployment: "one/gpt-4o", Status: 200, Reason: "ok", Duration: 700 * time.Microsecond}},
	}
	b.ReportAllocs()
	for b.Loop() {
		logRequest(log, &record)
	}
}
