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

// logRequest writes the one line that each request leaves. What is empty is left out:
// queries read a text that is missing as an empty one. Numbers are always there.
func logRequest(log zerolog.Logger, r *usage.Record) {
	texts := [...]struct{ key, value string }{
		{telemetry.KeyRequestID, r.RequestID},
		{telemetry.KeyTraceID, r.TraceID},
		{telemetry.KeyBackendID, r.BackendID},
		{telemetry.KeyConsumer, r.Consumer},
		{telemetry.KeyCredential, r.Credential},
		{telemetry.KeyOperation, r.Operation},
		{telemetry.KeyModel, r.Model},
		{telemetry.KeyPool, r.Pool},
		{telemetry.KeyBackend, r.Backend},
		{telemetry.KeyDeployment, r.Deployment},
		{telemetry.KeyRegion, r.Region},
		{telemetry.KeyRefused, r.Refused},
		{telemetry.KeyShadowed, r.Shadowed},
		{telemetry.KeySpillover, r.Spillover},
		{telemetry.KeyTags, r.Tags},
	}
	line := log.Info()
	for _, text := range texts {
		if text.value != "" {
			line.Str(text.key, text.value)
		}
	}
	line.
		Bool(telemetry.KeyStream, r.Stream).
		Int(telemetry.KeyStatus, r.Status).
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
		Array(telemetry.KeyAttempts, logAttempts(r.Attempts)).
		Msg("request")
}

func logAttempts(attempts []usage.Attempt) *zerolog.Array {
	array := zerolog.Arr()
	for _, a := range attempts {
		attempt := zerolog.Dict().
			Str(telemetry.KeyDeployment, a.Deployment).
			Int(telemetry.KeyStatus, a.Status).
			Str(telemetry.KeyReason, a.Reason).
			Float64(telemetry.KeyDuration, milliseconds(a.Duration))
		if a.Prompt > 0 {
			attempt.Int64(telemetry.KeyPrompt, a.Prompt)
		}
		array.Dict(attempt)
	}
	return array
}

// milliseconds keeps microseconds, and no more: finer digits are noise.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
