// Package telemetry names what the gateway says about itself: the keys of its
// log lines. One name per fact, so that a query written for one line works for
// all of them.
package telemetry

import (
	"io"

	"github.com/rs/zerolog"
)

// The keys of log lines.
const (
	KeyRequestID  = "request_id"
	KeyTraceID    = "trace_id"
	KeyBackendID  = "backend_request_id"
	KeyConsumer   = "consumer"
	KeyCredential = "credential"
	KeyOperation  = "operation"
	KeyModel      = "model"
	KeyPool       = "pool"
	KeyBackend    = "backend"
	KeyDeployment = "deployment"
	KeyRegion     = "region"
	KeyStream     = "stream"
	KeyStatus     = "status"
	KeyRefused    = "refused"
	KeyShadowed   = "shadowed"
	KeySpillover  = "spillover"
	KeyTags       = "tags"
	KeyAttempts   = "attempts"
	KeyReason     = "reason"

	KeyEvent     = "event"
	KeyUntil     = "until"
	KeyOpens     = "opens"
	KeyLimit     = "limit"
	KeyUnits     = "units"
	KeyRequests  = "requests"
	KeyRemaining = "remaining"
	KeyStack     = "stack"

	KeyEstimated  = "tokens_estimated"
	KeyPrompt     = "tokens_prompt"
	KeyCached     = "tokens_cached"
	KeyCompletion = "tokens_completion"
	KeyReasoning  = "tokens_reasoning"
	KeyMeasured   = "tokens_measured"
	KeyCost       = "cost"

	KeyWaited    = "waited_ms"
	KeyFirstByte = "first_byte_ms"
	KeyDuration  = "duration_ms"
)

// NewLogger writes one JSON object per line: each at once, or many at a time where w is
// a Batch. A Functions host reads every line of stderr as an error, so it is stdout that
// all of the programs log to.
func NewLogger(w io.Writer) zerolog.Logger {
	return zerolog.New(w).With().Timestamp().Logger()
}
