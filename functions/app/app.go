// Package app puts the parts together: a Config becomes one http.Handler that
// every host runs, and the background work that belongs to it.
package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/rs/zerolog"

	"spillway/functions/console"
	"spillway/functions/gateway"
	"spillway/shared/auth"
	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/lease"
	"spillway/shared/pool"
	"spillway/shared/store"
	"spillway/shared/tokens"
	"spillway/shared/upstream"
	"spillway/shared/usage"
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
	// Observe is given each finished request, besides the log.
	Observe func(*usage.Record)
}

// App is one instance of the gateway.
type App struct {
	log      zerolog.Logger
	gateway  *gateway.Gateway
	console  *console.Console
	counter  *tokens.Counter
	models   []string
	leases   *lease.Engine
	upstream *upstream.Client
	bodyIdle time.Duration
}

// New builds an instance. It does no I/O beyond opening the store, and starts
// nothing.
func New(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	if o.Instance == "" {
		o.Instance = instanceName()
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
	if o.Store == nil {
		opened, err := openStore(ctx, cfg.State, o)
		if err != nil {
			return nil, err
		}
		o.Store = opened
	}
	a := &App{log: o.Log, counter: o.Counter, models: cfg.Models(), bodyIdle: cfg.Timeouts.StreamIdle}
	events := events{o.Log}

	leases, err := lease.New(lease.Options{
		Store:         o.Store,
		Clock:         o.Clock,
		Instance:      o.Instance,
		OnUnavailable: policies[cfg.State.OnUnavailable],
		Events:        events.lease,
		Random:        o.Random,
	})
	if err != nil {
		return nil, err
	}
	a.leases = leases
	breakers, err := breaker.New(breaker.Options{
		Store:         o.Store,
		Clock:         o.Clock,
		Instance:      o.Instance,
		Failures:      cfg.Breaker.Failures,
		Interval:      cfg.Breaker.Interval,
		OpenFor:       cfg.Breaker.OpenFor,
		MaxOpenFor:    cfg.Breaker.MaxOpenFor,
		MaxRetryAfter: cfg.Breaker.MaxRetryAfter,
		Events:        events.breaker,
		Random:        o.Random,
	})
	if err != nil {
		return nil, err
	}
	a.upstream = upstream.New(upstream.Options{
		Transport:       o.Transport,
		Connect:         cfg.Timeouts.Connect,
		ResponseHeaders: cfg.Timeouts.ResponseHeaders,
		StreamIdle:      cfg.Timeouts.StreamIdle,
		FailureStatus:   countsAsFailure(cfg.Breaker.StatusCodes),
	})
	plan, err := newTopology(cfg, leases, breakers, o.Credential)
	if err != nil {
		return nil, err
	}
	authenticator, err := auth.New(cfg, auth.Options{KeysFailed: events.signingKeys})
	if err != nil {
		return nil, err
	}

	totals := new(console.Counter)
	a.gateway, err = gateway.New(gateway.Options{
		Authenticate:  plan.authenticate(authenticator),
		Estimator:     tokens.New(cfg.Models()...),
		Counter:       a.counter,
		Breakers:      breakers,
		Upstream:      a.upstream,
		Clock:         o.Clock,
		RetryBudget:   pool.NewRetryBudget(cfg.Retry.Budget, minRetriesPerSecond),
		MaxAttempts:   cfg.Retry.MaxAttempts,
		MaxRetryAfter: cfg.Breaker.MaxRetryAfter,
		Total:         cfg.Timeouts.Total,
		BodyIdle:      cfg.Timeouts.StreamIdle,
		MaxBody:       cfg.Limits.RequestBody,
		Record: func(r *usage.Record) {
			totals.Add(r)
			logRequest(o.Log, r)
			if o.Observe != nil {
				o.Observe(r)
			}
		},
		Fault:  events.fault,
		Random: o.Random,
	})
	if err != nil {
		return nil, err
	}
	a.console = console.New(console.Options{
		Admin: authenticator.Admin,
		Status: func() console.Status {
			return plan.status(o, totals.Totals())
		},
	})
	return a, nil
}

// minRetriesPerSecond lets a quiet gateway retry at all.
const minRetriesPerSecond = 10

// ServeHTTP routes a request to the gateway or to what is its own.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Before it answers, the server reads a body that its handler has refused
		// unread. Nothing else bounds the wait for one that never comes.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.bodyIdle))
	}
	switch {
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		console.Alive(w, r) // a Functions host asks this until the process answers
	case strings.HasPrefix(r.URL.Path, "/spillway/"):
		a.console.ServeHTTP(w, r)
	default:
		a.gateway.ServeHTTP(w, r)
	}
}

// Warm loads in the background what the first requests would wait for.
func (a *App) Warm() { a.counter.Warm(a.models...) }

// Close gives back what this instance holds of the shared limits. Live
// requests must have ended.
func (a *App) Close(ctx context.Context) {
	a.leases.GiveBack(ctx)
	a.upstream.CloseIdleConnections()
}

var policies = map[string]lease.Policy{
	"allow":     lease.Allow,
	"fairShare": lease.FairShare,
	"deny":      lease.Deny,
}

func countsAsFailure(ranges []config.StatusRange) func(int) bool {
	return func(status int) bool {
		for _, r := range ranges {
			if r.From <= status && status <= r.To {
				return true
			}
		}
		return false
	}
}

func instanceName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%x", host, os.Getpid(), time.Now().UnixNano()&0xffffff)
}

var _ http.Handler = (*App)(nil)
