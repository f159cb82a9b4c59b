package app

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"spillway/functions/console"
	"spillway/functions/maintenance"
	"spillway/shared/auth"
	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/lease"
	"spillway/shared/tokens"
	"spillway/shared/upstream"
	"spillway/shared/usage"
	"spillway/shared/usage/ledger"
)

// withDefaults fills in what the host has not chosen.
func (o Options) withDefaults(ctx context.Context, cfg *config.Config) (Options, error) {
	if o.Instance == "" {
		o.Instance = InstanceName()
	}
	if o.Clock == nil {
		o.Clock = new(clock.Clock)
	}
	if o.Credential == nil {
		o.Credential = azureCredential
	}
	if o.Counter == nil {
		o.Counter = tokens.NewCounter()
	}
	if o.Random == nil {
		o.Random = rand.Uint64N
	}
	var err error
	if o.meter, err = newMeter(cfg, o.Telemetry); err != nil {
		return o, err
	}
	if o.Store == nil {
		o.Store, err = openStore(ctx, cfg.State, o)
	}
	if err != nil {
		return o, err
	}
	o.table, o.Store = o.Store, o.meter.Store(o.Store)
	return o, nil
}

// record is what becomes of each finished request.
func (a *App) record(r *usage.Record) {
	a.totals.Add(r)
	a.activity.Add(r)
	a.ledger.Add(r)
	a.options.meter.Request(r)
	logRequest(a.options.Log, r)
	if a.options.Observe != nil {
		a.options.Observe(r)
	}
}

func (a *App) directoryOptions(cfg *config.Config) consumers.Options {
	o := a.options
	return consumers.Options{
		Store:     o.Store,
		Clock:     o.Clock,
		Random:    o.Random,
		Events:    events{o.Log, o.meter}.directory,
		Limit:     cfg.Limits.Consumers,
		Instances: a.leases.Instances,
		Gone:      func(name string) { a.roster.remove(name) },
		InFile:    cfg.HasConsumer,
		Check:     cfg.CheckConsumer,
	}
}

func ledgerOptions(o Options) ledger.Options {
	return ledger.Options{
		Store:    o.Store,
		Clock:    o.Clock,
		Instance: o.Instance,
		Events:   events{o.Log, o.meter}.ledger,
		Random:   o.Random,
	}
}

func (a *App) consoleOptions(authenticator *auth.Authenticator) console.Options {
	shown := console.Options{
		Admin:     authenticator.Admin,
		Consumer:  a.roster.name,
		Usage:     a.usage,
		Consumers: a.directory,
		Ready:     a.ready,
		Status:    a.status,
	}
	if a.options.Telemetry != nil {
		shown.Metrics = a.options.Telemetry.Prometheus()
	}
	return shown
}

// usage reads a report from the ledger. What this instance has not written yet is
// not in it.
func (a *App) usage(ctx context.Context, q usage.Query) (usage.Report, error) {
	return usage.Summarize(ledger.Read(ctx, a.options.Store, q, nil), q)
}

func leaseOptions(cfg *config.Config, o Options) lease.Options {
	return lease.Options{
		Store:         o.Store,
		Clock:         o.Clock,
		Instance:      o.Instance,
		OnUnavailable: policies[cfg.State.OnUnavailable],
		Events:        events{o.Log, o.meter}.lease,
		Random:        o.Random,
	}
}

func (a *App) breakerOptions(cfg *config.Config) breaker.Options {
	o := a.options
	return breaker.Options{
		Store:         o.Store,
		Clock:         o.Clock,
		Instance:      o.Instance,
		Failures:      cfg.Breaker.Failures,
		Interval:      cfg.Breaker.Interval,
		OpenFor:       cfg.Breaker.OpenFor,
		MaxOpenFor:    cfg.Breaker.MaxOpenFor,
		MaxRetryAfter: cfg.Breaker.MaxRetryAfter,
		Instances:     a.leases.Instances,
		Events:        a.breakerEvent,
		Random:        o.Random,
	}
}

func (a *App) maintenanceOptions() maintenance.Options {
	prober := newProber(a.upstream, a.options.Clock, a.events, a.plan.deployments)
	return maintenance.Options{
		Store:    a.options.Store,
		Clock:    a.options.Clock,
		Instance: a.options.Instance,
		Board:    a.breakers,
		Limits:   func() iter.Seq[maintenance.Limit] { return slices.Values(a.plan.limits) },
		Probe:    prober.probe,
		Fold:     a.ledger.Fold,
		Sweep:    a.objects.Sweep,
		Random:   a.options.Random,
	}
}

func upstreamOptions(cfg *config.Config, o Options) upstream.Options {
	return upstream.Options{
		Transport:       o.Transport,
		Connect:         cfg.Timeouts.Connect,
		ResponseHeaders: cfg.Timeouts.ResponseHeaders,
		StreamIdle:      cfg.Timeouts.StreamIdle,
		FailureStatus:   countsAsFailure(cfg.Breaker.StatusCodes),
	}
}

var policies = map[string]lease.Policy{
	"allow":     lease.Allow,
	"fairShare": lease.FairShare,
	"deny":      lease.Deny,
}

func countsAsFailure(ranges []config.StatusRange) func(int) bool {
	return func(status int) bool {
		return slices.ContainsFunc(ranges, func(r config.StatusRange) bool { return r.Contains(status) })
	}
}

// InstanceName names this process among all others: host, process and start.
func InstanceName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%x", host, os.Getpid(), time.Now().UnixNano()&0xffffff)
}
