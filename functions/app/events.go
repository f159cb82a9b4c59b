package app

import (
	"cmp"
	"fmt"

	"github.com/rs/zerolog"

	"spillway/functions/gateway"
	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/consumers"
	"spillway/shared/lease"
	"spillway/shared/objects"
	"spillway/shared/telemetry"
	"spillway/shared/telemetry/meter"
	"spillway/shared/usage/ledger"
)

// events writes what happens inside the parts as log lines, and counts it.
type events struct {
	log   zerolog.Logger
	meter *meter.Meter // nil: nothing is counted
}

// breaker warns of a deployment that is unwell. That one is full for a moment is no reason
// to warn: nobody has to act on it, a busy one is so many times a second, and each warning
// is a system call of its own.
func (e events) breaker(event breaker.Event) {
	e.meter.Breaker(event.Kind.String(), string(event.Reason), event.Deployment)
	level := zerolog.WarnLevel
	if event.Kind == breaker.EventThrottled || event.Kind == breaker.EventLifted {
		level = zerolog.InfoLevel
	}
	e.log.WithLevel(level).
		Str(telemetry.KeyEvent, "breaker_"+event.Kind.String()).
		Str(telemetry.KeyDeployment, event.Deployment).
		Str(telemetry.KeyReason, string(event.Reason)).
		Time(telemetry.KeyUntil, event.Until).
		Int(telemetry.KeyOpens, event.Opens).
		Int(telemetry.KeyStatus, event.Status).
		Msg("breaker")
}

// unkept tells that a client will not find again what it has stored.
func (e events) unkept(o objects.Object, err error) {
	e.meter.Event("object_unkept")
	e.log.Warn().
		Str(telemetry.KeyEvent, "object_unkept").
		Str("kind", string(o.Kind)).
		Str(telemetry.KeyConsumer, o.Consumer).
		Str(telemetry.KeyBackend, o.Backend).
		Str(telemetry.KeyReason, err.Error()).
		Msg("the table did not take where something is stored: its id will not be found")
}

// storeChecked tells whether the store of the shared state can be used.
func (e events) storeChecked(kind string, err error) {
	if err != nil {
		e.meter.Event("state_unusable")
		e.log.Warn().
			Str(telemetry.KeyEvent, "state_unusable").
			Str("store", kind).
			Str(telemetry.KeyReason, err.Error()).
			Msg("the shared state cannot be used: this instance counts alone until it can")
		return
	}
	e.log.Info().Str(telemetry.KeyEvent, "state_ready").Str("store", kind).Msg("the shared state can be used")
}

// maintained tells a run of the maintenance that failed, or changed something that
// an operator would notice. That windows roll is routine, and a probe that failed
// has its own line.
func (e events) maintained(r maintenance.Report) {
	if r.Err == nil && r.Ready == 0 && r.Swept == 0 && r.Expired == 0 {
		return
	}
	level := zerolog.InfoLevel
	if r.Err != nil {
		e.meter.Event("maintenance_failed")
		level = zerolog.WarnLevel
	}
	e.log.WithLevel(level).
		Str(telemetry.KeyEvent, "maintenance").
		Int("rolled", r.Rolled).
		Int("probed", r.Probed).
		Int("ready", r.Ready).
		Int("folded", r.Folded).
		Int("swept", r.Swept).
		Int("expired", r.Expired).
		Float64(telemetry.KeyDuration, milliseconds(r.Took)).
		AnErr(telemetry.KeyReason, r.Err).
		Msg("maintenance")
}

func (e events) probed(deployment string, f finding) {
	e.log.Info().
		Str(telemetry.KeyEvent, "probe").
		Str(telemetry.KeyDeployment, deployment).
		Int(telemetry.KeyStatus, f.status).
		Str(telemetry.KeyReason, cmp.Or(f.reason, "ok")).
		Msg("probe")
}

func (e events) signingKeys(err error) {
	e.meter.Event("signing_keys_unavailable")
	e.log.Warn().
		Str(telemetry.KeyEvent, "signing_keys_unavailable").
		AnErr(telemetry.KeyReason, err).
		Msg("Entra's signing keys cannot be fetched")
}

func (e events) fault(fault any, stack []byte) {
	e.panicked(fault, stack, "panic in the request path")
}

func (e events) timerFault(fault any, stack []byte) {
	e.panicked(fault, stack, "panic in the maintenance")
}

func (e events) panicked(fault any, stack []byte, message string) {
	e.meter.Event("panic")
	e.log.Error().
		Str(telemetry.KeyEvent, "panic").
		Str(telemetry.KeyReason, fmt.Sprint(fault)).
		Bytes(telemetry.KeyStack, stack).
		Msg(message)
}

// limit logs that a consumer has used most of a limit, or all of it.
func (e events) limit(n gateway.Notice) {
	e.meter.Event("limit_" + n.Level.String())
	e.log.Info().
		Str(telemetry.KeyEvent, "limit_"+n.Level.String()).
		Str(telemetry.KeyConsumer, n.Consumer).
		Str(telemetry.KeyLimit, n.Limit).
		Int64(telemetry.KeyUnits, n.Amount).
		Int64(telemetry.KeyRemaining, max(0, n.Remaining)).
		Time(telemetry.KeyUntil, n.ResetAt).
		Msg("limits")
}

// directory logs what an operator should know of the consumers in the table.
func (e events) directory(event consumers.Event) {
	e.meter.Event("consumers_" + event.Kind.String())
	e.log.Warn().
		Str(telemetry.KeyEvent, "consumers_"+event.Kind.String()).
		Str(telemetry.KeyConsumer, event.Consumer).
		AnErr(telemetry.KeyReason, event.Err).
		Msg("consumers")
}

// ledger logs what an operator should know of the usage ledger.
func (e events) ledger(event ledger.Event) {
	e.meter.Event(event.Kind.String())
	e.log.Warn().
		Str(telemetry.KeyEvent, event.Kind.String()).
		Int64(telemetry.KeyRequests, event.Requests).
		Str(telemetry.KeyConsumer, event.Consumer).
		AnErr(telemetry.KeyReason, event.Err).
		Msg("usage")
}

// lease logs what an operator acts on; grants and conflicts are ordinary.
func (e events) lease(event lease.Event) {
	e.meter.Lease(leaseKinds[event.Kind], event.Key, event.Units)
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

// leaseKinds are the events' names in metrics.
var leaseKinds = map[lease.EventKind]string{
	lease.EventGrant:     "grant",
	lease.EventConflict:  "conflict",
	lease.EventAmbiguous: "ambiguous",
	lease.EventLost:      "stranded",
	lease.EventGiveBack:  "given_back",
	lease.EventUnmetered: "unmetered",
	lease.EventUnusable:  "unusable",
	lease.EventDegraded:  "degraded",
	lease.EventRecovered: "recovered",
}
