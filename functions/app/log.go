package app

import (
	"time"

	"github.com/rs/zerolog"

	"spillway/shared/config"
	"spillway/shared/telemetry"
	"spillway/shared/usage"
)

// LogConfiguration writes what a configuration holds, once it is loaded.
func LogConfiguration(log zerolog.Logger, cfg *config.Config) {
	log.Info().
		Str(telemetry.KeyEvent, "config_loaded").
		Str("access", cfg.Access).
		Str("store", cfg.State.Store).
		Int("backends", len(cfg.Backends)).
		Int("pools", len(cfg.Pools)).
		Int("consumers", len(cfg.Consumers)).
		Msg("the configuration is loaded")
}

// logRequest writes the one line that each request leaves.
func logRequest(log zerolog.Logger, r *usage.Record) {
	attempts := zerolog.Arr()
	for _, a := range r.Attempts {
		attempt := zerolog.Dict().
			Str(telemetry.KeyDeployment, a.Deployment).
			Int(telemetry.KeyStatus, a.Status).
			Str(telemetry.KeyReason, a.Reason).
			Float64(telemetry.KeyDuration, milliseconds(a.Duration))
		if a.Prompt > 0 {
			attempt.Int64(telemetry.KeyPrompt, a.Prompt)
		}
		attempts.Dict(attempt)
	}
	log.Info().
		Str(telemetry.KeyRequestID, r.RequestID).
		Str(telemetry.KeyTraceID, r.TraceID).
		Str(telemetry.KeyBackendID, r.BackendID).
		Str(telemetry.KeyConsumer, r.Consumer).
		Str(telemetry.KeyCredential, r.Credential).
		Str(telemetry.KeyOperation, r.Operation).
		Str(telemetry.KeyModel, r.Model).
		Str(telemetry.KeyPool, r.Pool).
		Str(telemetry.KeyBackend, r.Backend).
		Str(telemetry.KeyDeployment, r.Deployment).
		Str(telemetry.KeyRegion, r.Region).
		Bool(telemetry.KeyStream, r.Stream).
		Int(telemetry.KeyStatus, r.Status).
		Str(telemetry.KeyRefused, r.Refused).
		Str(telemetry.KeyShadowed, r.Shadowed).
		Str(telemetry.KeySpillover, r.Spillover).
		Str(telemetry.KeyTags, r.Tags).
		Int64(telemetry.KeyEstimated, r.Estimated).
		Int64(telemetry.KeyPrompt, r.Tokens.Prompt).
		Int64(telemetry.KeyCached, r.Tokens.Cached).
		Int64(telemetry.KeyCompletion, r.Tokens.Completion).
		Int64(telemetry.KeyReasoning, r.Tokens.Reasoning).
		Bool(telemetry.KeyMeasured, r.Measured).
		Float64(telemetry.KeyCost, r.Cost).
		Float64(telemetry.KeyWaited, milliseconds(r.Waited)).
		Float64(telemetry.KeyFirstByte, milliseconds(r.FirstByte)).
		Float64(telemetry.KeyDuration, milliseconds(r.Duration)).
		Array(telemetry.KeyAttempts, attempts).
		Msg("request")
}

// milliseconds keeps microseconds, and no more: finer digits are noise.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
