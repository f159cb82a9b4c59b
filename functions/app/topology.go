package app

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"spillway/functions/gateway"
	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/config"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/pool"
	"spillway/shared/quota"
	"spillway/shared/upstream"
	"spillway/shared/upstream/wire"
	"spillway/shared/usage"
)

// topology is the configuration as values that the gateway works with.
type topology struct {
	deployments []*gateway.Deployment // in the order of the file
	limits      []maintenance.Limit   // of the deployments
	pools       []*gateway.Pool
	backends    map[string]*upstream.Backend // by name
	keepsFiles  map[*upstream.Backend]bool   // those that keep files and batches
	trusted     trusted
}

// newTopology resolves every name of the configuration.
func newTopology(cfg *config.Config, leases *lease.Engine, breakers *breaker.Board, o Options) (*topology, error) {
	t := &topology{
		backends:   make(map[string]*upstream.Backend),
		keepsFiles: make(map[*upstream.Backend]bool),
		trusted:    trusted{connect: cfg.Timeouts.Connect, known: make(map[*x509.CertPool]*wire.Transport)},
	}
	identities := identities{source: o.Credential, known: make(map[config.ManagedIdentity]*upstream.ManagedIdentity)}
	byBackend := make(map[string]map[string]*gateway.Deployment, len(cfg.Backends))
	for i := range cfg.Backends {
		backend, err := newBackend(&cfg.Backends[i], identities, t.trusted)
		if err != nil {
			return nil, err
		}
		t.backends[backend.Name], t.keepsFiles[backend] = backend, cfg.Backends[i].Files
		byName := make(map[string]*gateway.Deployment)
		byModel := make(map[string]*gateway.Deployment)
		for _, d := range cfg.Backends[i].Deployments {
			if byName[d.Deployment] == nil { // two models may be one deployment
				byName[d.Deployment] = t.newDeployment(backend, d, leases, breakers)
				t.deployments = append(t.deployments, byName[d.Deployment])
			}
			byModel[d.Model] = byName[d.Deployment]
		}
		byBackend[backend.Name] = byModel
	}
	for _, p := range cfg.Pools {
		t.pools = append(t.pools, newPool(cfg, p, byBackend))
	}
	return t, nil
}

var dialects = map[string]openai.Dialect{
	"azure":    openai.Azure,
	"azure-v1": openai.AzureV1,
	"openai":   openai.OpenAI,
}

// identities are the managed identities of the backends: one that several backends
// name is one, and its token is fetched once for all of them.
type identities struct {
	source func(clientID string) (azcore.TokenCredential, error)
	known  map[config.ManagedIdentity]*upstream.ManagedIdentity
}

func (i identities) credential(identity config.ManagedIdentity) (*upstream.ManagedIdentity, error) {
	if known := i.known[identity]; known != nil {
		return known, nil
	}
	source, err := i.source(identity.ClientID)
	if err != nil {
		return nil, err
	}
	i.known[identity] = upstream.NewManagedIdentity(source, identity.Scope)
	return i.known[identity], nil
}

// trusted are the transports to backends whose certificates are signed by authorities
// of their own. Backends that name the same file share one.
type trusted struct {
	connect time.Duration
	known   map[*x509.CertPool]*wire.Transport
}

// transport is nil for a backend that the system's authorities vouch for.
func (t trusted) transport(roots *x509.CertPool) http.RoundTripper {
	if roots == nil {
		return nil
	}
	if t.known[roots] == nil {
		t.known[roots] = upstream.NewTransport(t.connect, roots)
	}
	return t.known[roots]
}

func (t trusted) closeIdleConnections() {
	for _, transport := range t.known {
		transport.CloseIdleConnections()
	}
}

func newBackend(b *config.Backend, identities identities, trusted trusted) (*upstream.Backend, error) {
	backend := &upstream.Backend{
		Name:       b.Name,
		Region:     b.Region,
		Endpoint:   b.Endpoint,
		Dialect:    dialects[b.API],
		APIVersion: b.APIVersion,
		Header:     b.Headers.Reveal(),
		Transport:  trusted.transport(b.Roots),
	}
	switch identity := b.Auth.ManagedIdentity; {
	case identity != nil:
		credential, err := identities.credential(*identity)
		if err != nil {
			return nil, fmt.Errorf("backend %s: managed identity: %w", b.Name, err)
		}
		backend.Credential = credential
	case b.Auth.APIKey != "":
		backend.Credential = upstream.NewAPIKey(b.Auth.APIKey.Reveal(), backend.Dialect)
	}
	return backend, nil
}

// azureSlice is the time over which Azure checks requests per minute, and the
// share of a minute that it is. Other services check whole minutes.
const azureSlice = 6

func (t *topology) newDeployment(b *upstream.Backend, d config.Deployment, leases *lease.Engine, breakers *breaker.Board) *gateway.Deployment {
	id := b.Name + "/" + d.Deployment
	deployment := &gateway.Deployment{
		ID:         id,
		Backend:    b,
		Name:       d.Deployment,
		Accounting: gateway.Actual,
		SpillBelow: d.SpillBelow,
		Latency:    new(pool.Latency),
	}
	if d.Accounting == "azure" {
		deployment.Accounting = gateway.Azure
	}
	deployment.Breaker = breakers.Deployment(id)
	limit := func(unit string, amount int64, period quota.Period) *lease.Limit {
		key := "deployment/" + id + "/" + unit
		t.limits = append(t.limits, maintenance.Limit{Key: key, Period: period})
		return leases.Limit(key, amount, period)
	}
	if d.TokensPerMinute > 0 {
		deployment.Tokens = limit("tokens", d.TokensPerMinute, quota.Minute)
	}
	switch {
	case d.RequestsPerMinute <= 0:
	case deployment.Accounting == gateway.Azure && d.RequestsPerMinute >= azureSlice:
		deployment.Requests = limit("requests", d.RequestsPerMinute/azureSlice, quota.TenSeconds)
	default:
		deployment.Requests = limit("requests", d.RequestsPerMinute, quota.Minute)
	}
	return deployment
}

var strategies = map[string]pool.Strategy{
	"weighted":     pool.Weighted,
	"leastLatency": pool.LeastLatency,
	"mostHeadroom": pool.MostHeadroom,
}

func newPool(cfg *config.Config, p config.Pool, byBackend map[string]map[string]*gateway.Deployment) *gateway.Pool {
	made := gateway.Pool{
		Name:      p.Name,
		Model:     p.Model,
		Strategy:  strategies[p.Strategy],
		Fallbacks: p.FallbackModels,
		MaxWait:   p.MaxWait,
	}
	for _, m := range p.Members {
		made.Members = append(made.Members, gateway.Member{
			Deployment: byBackend[m.Backend][p.Model],
			Priority:   m.Priority,
			Weight:     m.Weight,
		})
	}
	for _, price := range cfg.Prices {
		if price.Model == p.Model {
			made.Price = usage.Price{
				InputPerMillion:       price.InputPerMillion,
				CachedInputPerMillion: price.CachedInputPerMillion,
				OutputPerMillion:      price.OutputPerMillion,
			}
		}
	}
	return gateway.NewPool(made)
}
