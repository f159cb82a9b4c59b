package app

import (
	"sync"
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

// lines recycles what lines are put together in.
var lines = sync.Pool{New: func() any { return new([]byte) }}

// logRequest writes the one line that each request leaves. What is empty is left out:
// queries read a text that is missing as an empty one. Numbers are always there.
func logRequest(log zerolog.Logger, r *usage.Record) {
	event := log.Info()
	if event == nil { // nobody reads it
		return
	}
	line := lines.Get().(*[]byte)
	defer lines.Put(line)
	*line = appendFields((*line)[:0], r)
	// What is given for one field's value may go on with other fields.
	event.RawJSON(telemetry.KeyStatus, *line).Msg("request")
}

// milliseconds keeps microseconds, and no more: finer digits are noise.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
