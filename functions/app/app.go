// Package app puts the parts together: a Config becomes one http.Handler that
// every host runs, and the background work that belongs to it.
package app

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/rs/zerolog"

	"spillway/functions/console"
	"spillway/functions/console/activity"
	"spillway/functions/gateway"
	"spillway/functions/maintenance"
	"spillway/shared/auth"
	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/lease"
	"spillway/shared/objects"
	"spillway/shared/pool"
	"spillway/shared/store"
	"spillway/shared/telemetry/export"
	"spillway/shared/telemetry/meter"
	"spillway/shared/tokens"
	"spillway/shared/upstream"
	"spillway/shared/usage"
	"spillway/shared/usage/ledger"
)

// Options are what a host chooses; the zero value is what a plain process
// wants.
type Options struct {
	// Log takes the log lines. The zero value drops them.
	Log zerolog.Logger
	// Version is shown by /spillway/status.
	Version string
	// Instance names this instance in shared rows. Default: host and process.
	Instance string
	// Store overrides the store that the configuration names.
	Store store.Store
	// Clock is the time that the store's answers correct. Default: a new one.
	Clock *clock.Clock
	// Transport reaches the backends. Default: upstream.NewTransport.
	Transport http.RoundTripper
	// Credential is used where the configuration says managedIdentity.
	// Default: Azure's own chain of environment, workload and managed identity.
	Credential func(clientID string) (azcore.TokenCredential, error)
	// Counter counts tokens; its vocabularies are large, so instances in one
	// process may share one. Default: a new one.
	Counter *tokens.Counter
	// Random returns a uniform number in [0, n), for every choice and jitter. It
	// must be safe for concurrent use. Default: the runtime's generator.
	Random func(n uint64) uint64
	// Timer says that the host calls for the maintenance, as an Azure Functions
	// host does by POST /maintenance. Such calls are taken then, and Tend leaves the
	// maintenance to them. Where it is not set that path is like any other.
	Timer bool
	// Observe is given each finished request, besides the log.
	Observe func(*usage.Record)
	// Telemetry takes metrics and traces; nil: there are none. Close shuts it down.
	Telemetry *export.Export

	meter *meter.Meter // counts into Telemetry; nil: nobody does
	table store.Store  // as it was opened: Store counts its operations
}

// App is one instance of the gateway.
type App struct {
	options Options
	state   string // what kind of store the configuration names
	events  events

	plan      *topology
	leases    *lease.Engine
	breakers  *breaker.Board
	upstream  *upstream.Client
	directory *consumers.Directory
	roster    *roster
	ledger    *ledger.Ledger
	objects   *objects.Registry
	totals    console.Counter
	activity  *activity.Recorder
	bodyIdle  time.Duration
	models    []string
	warm      atomic.Pointer[<-chan struct{}] // closed when all is loaded; nil until it has begun

	gateway     *gateway.Gateway
	console     *console.Console
	maintenance *maintenance.Maintenance
	timer       *maintenance.Timer // nil: the host has none
}

// New builds an instance. It does no I/O beyond opening the store, and starts
// nothing.
func New(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	o, err := o.withDefaults(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a := &App{
		options:  o,
		state:    cfg.State.Store,
		events:   events{o.Log, o.meter},
		upstream: upstream.New(upstreamOptions(cfg, o)),
		bodyIdle: cfg.Timeouts.StreamIdle,
		models:   cfg.Models(),
	}
	if a.leases, err = lease.New(leaseOptions(cfg, o)); err != nil {
		return nil, err
	}
	if a.breakers, err = breaker.New(a.breakerOptions(cfg)); err != nil {
		return nil, err
	}
	if a.plan, err = newTopology(cfg, a.leases, a.breakers, o); err != nil {
		return nil, err
	}
	a.activity = newActivity(a.plan, o.Clock.Now())
	if a.directory, err = consumers.New(a.directoryOptions(cfg)); err != nil {
		return nil, err
	}
	authenticator, err := auth.New(cfg, auth.Options{KeysFailed: a.events.signingKeys, Directory: a.directory})
	if err != nil {
		return nil, err
	}
	a.roster = newRoster(authenticator, a.directory, a.leases, o.Clock, a.plan)
	if a.ledger, err = ledger.New(ledgerOptions(o)); err != nil {
		return nil, err
	}
	if a.objects, err = objects.New(objects.Options{Store: o.Store, Clock: o.Clock}); err != nil {
		return nil, err
	}
	a.console = console.New(a.consoleOptions(authenticator))
	if a.maintenance, err = maintenance.New(a.maintenanceOptions()); err != nil {
		return nil, err
	}
	if o.Timer {
		a.timer = maintenance.NewTimer(a.Maintain, a.events.timerFault)
	}
	a.gateway, err = gateway.New(gateway.Options{
		Authenticate:  a.roster.authenticate,
		Estimator:     tokens.New(a.models...),
		Counter:       o.Counter,
		Breakers:      a.breakers,
		Upstream:      a.upstream,
		Objects:       a.objects,
		Backends:      a.plan.backends,
		Clock:         o.Clock,
		RetryBudget:   pool.NewRetryBudget(cfg.Retry.Budget, minRetriesPerSecond),
		MaxAttempts:   cfg.Retry.MaxAttempts,
		MaxRetryAfter: cfg.Breaker.MaxRetryAfter,
		Total:         cfg.Timeouts.Total,
		BodyIdle:      cfg.Timeouts.StreamIdle,
		MaxBody:       cfg.Limits.RequestBody,
		Record:        a.record,
		Trace:         newTrace(cfg, o.Telemetry),
		Notice:        a.events.limit,
		Unkept:        a.events.unkept,
		Fault:         a.events.fault,
		Random:        o.Random,
	})
	o.meter.Watch(a.measure)
	return a, err
}

// minRetriesPerSecond lets a quiet gateway retry at all.
const minRetriesPerSecond = 10

// ServeHTTP routes a request to the gateway or to what is its own.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.handler(w, r).ServeHTTP(w, r)
}

// handler is whoever answers a request. It is a step of its own so that little of the
// stack is in use while an answer streams.
func (a *App) handler(w http.ResponseWriter, r *http.Request) http.Handler {
	if r.ContentLength != 0 {
		// Before it answers, the server reads a body that its handler has refused
		// unread. Nothing else bounds the wait for one that never comes.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.bodyIdle))
	}
	switch {
	case a.timer != nil && a.timer.Takes(r):
		return a.timer
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return http.HandlerFunc(console.Alive) // a Functions host asks this until the process answers
	case r.URL.Path == "/spillway" || strings.HasPrefix(r.URL.Path, "/spillway/"):
		return a.console
	default:
		return a.gateway
	}
}

// Warm loads in the background what the first requests would wait for.
func (a *App) Warm() {
	done := a.options.Counter.Warm(a.models...)
	if a.warm.CompareAndSwap(nil, &done) {
		go func() {
			<-done
			debug.FreeOSMemory() // of what the building has left: an idle process would keep it for minutes
		}()
	}
}

// ready tells whether all is loaded. Who asks has sent no requests yet, so there is
// nothing left to wait for. The first one who asks has the loading begin, unless it has.
func (a *App) ready() bool {
	begun := a.warm.Load()
	if begun == nil {
		a.Warm()
		return false
	}
	select {
	case <-*begun:
		return true
	default:
		return false
	}
}

// Settle waits for what requests have begun in the background, at most until ctx ends.
// It is for a host that freezes the process between two requests.
func (a *App) Settle(ctx context.Context) {
	a.breakers.Settle(ctx)
	a.directory.Settle(ctx)
	a.ledger.Settle(ctx)
	if a.options.Telemetry != nil {
		a.options.Telemetry.Flush(ctx)
	}
}

// Close writes what the ledger has not yet, gives back what this instance holds of the
// shared limits, and exports the last of its telemetry. Live requests must have ended.
func (a *App) Close(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { _ = a.ledger.Flush(ctx) }) // what is lost has been told as an event
	parts.Go(func() { a.leases.GiveBack(ctx) })
	parts.Wait()
	if a.options.Telemetry != nil {
		a.options.Telemetry.Shutdown(ctx)
	}
	a.upstream.CloseIdleConnections()
	a.plan.trusted.closeIdleConnections()
}

var _ http.Handler = (*App)(nil)
