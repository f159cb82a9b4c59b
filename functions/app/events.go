package app

import (
	"fmt"

	"github.com/rs/zerolog"

	"spillway/shared/breaker"
	"spillway/shared/lease"
	"spillway/shared/telemetry"
)

// events writes what happens inside the parts as log lines.
type events struct{ log zerolog.Logger }

func (e events) breaker(event breaker.Event) {
	e.log.Warn().
		Str(telemetry.KeyEvent, "breaker_"+event.Kind.String()).
		Str(telemetry.KeyDeployment, event.Deployment).
		Str(telemetry.KeyReason, string(event.Reason)).
		Time(telemetry.KeyUntil, event.Until).
		Int(telemetry.KeyOpens, event.Opens).
		Int(telemetry.KeyStatus, event.Status).
		Msg("breaker")
}

func (e events) signingKeys(err error) {
	e.log.Warn().
		Str(telemetry.KeyEvent, "signing_keys_unavailable").
		AnErr(telemetry.KeyReason, err).
		Msg("Entra's signing keys cannot be fetched")
}

func (e events) fault(fault any, stack []byte) {
	e.log.Error().
		Str(telemetry.KeyEvent, "panic").
		Str(telemetry.KeyReason, fmt.Sprint(fault)).
		Bytes(telemetry.KeyStack, stack).
		Msg("panic in the request path")
}

// lease logs what an operator acts on; grants and conflicts are ordinary.
func (e events) lease(event lease.Event) {
	name, ok := leaseEvents[event.Kind]
	if !ok {
		return
	}
	e.log.Warn().
		Str(telemetry.KeyEvent, name).
		Str(telemetry.KeyLimit, event.Key).
		Int64(telemetry.KeyUnits, event.Units).
		AnErr(telemetry.KeyReason, event.Err).
		Msg("limits")
}

var leaseEvents = map[lease.EventKind]string{
	lease.EventLost:      "units_stranded",
	lease.EventUnmetered: "units_unmetered",
	lease.EventUnusable:  "row_unusable",
	lease.EventDegraded:  "store_degraded",
	lease.EventRecovered: "store_recovered",
}
