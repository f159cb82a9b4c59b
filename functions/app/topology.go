package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"spillway/functions/gateway"
	"spillway/functions/maintenance"
	"spillway/shared/auth"
	"spillway/shared/breaker"
	"spillway/shared/config"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/pool"
	"spillway/shared/quota"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// topology is the configuration as values that the gateway works with.
type topology struct {
	deployments []*gateway.Deployment // in the order of the file
	limits      []maintenance.Limit   // of the deployments
	pools       []*gateway.Pool
	consumers   map[string]*gateway.Consumer
	anonymous   *gateway.Consumer // everybody, under access: open
}

// newTopology resolves every name of the configuration.
func newTopology(cfg *config.Config, leases *lease.Engine, breakers *breaker.Board,
	credential func(string) (azcore.TokenCredential, error),
) (*topology, error) {
	t := &topology{consumers: make(map[string]*gateway.Consumer, len(cfg.Consumers))}
	byBackend := make(map[string]map[string]*gateway.Deployment, len(cfg.Backends))
	for i := range cfg.Backends {
		backend, err := newBackend(&cfg.Backends[i], credential)
		if err != nil {
			return nil, err
		}
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
	for i := range cfg.Consumers {
		c := &cfg.Consumers[i]
		t.consumers[c.Name] = t.newConsumer(c, leases)
	}
	t.anonymous = t.newConsumer(&config.Consumer{Name: "anonymous"}, leases)
	return t, nil
}

var dialects = map[string]openai.Dialect{
	"azure":    openai.Azure,
	"azure-v1": openai.AzureV1,
	"openai":   openai.OpenAI,
}

func newBackend(b *config.Backend, credential func(string) (azcore.TokenCredential, error)) (*upstream.Backend, error) {
	backend := &upstream.Backend{
		Name:       b.Name,
		Endpoint:   b.Endpoint,
		Dialect:    dialects[b.API],
		APIVersion: b.APIVersion,
	}
	switch identity := b.Auth.ManagedIdentity; {
	case identity != nil:
		source, err := credential(identity.ClientID)
		if err != nil {
			return nil, fmt.Errorf("backend %s: managed identity: %w", b.Name, err)
		}
		backend.Credential = upstream.NewManagedIdentity(source, identity.Scope)
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
	made := &gateway.Pool{
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
	return made
}

// periods are the calendar periods of quotas.
var periods = map[string]quota.Period{
	"hour":  quota.Hour,
	"day":   quota.Day,
	"week":  quota.Week,
	"month": quota.Month,
}

func (t *topology) newConsumer(c *config.Consumer, leases *lease.Engine) *gateway.Consumer {
	made := &gateway.Consumer{Name: c.Name, Pools: t.poolsOf(c)}
	key := "consumer/" + c.Name + "/"
	if c.RequestsPerMinute > 0 {
		limit := leases.Limit(key+"requests", c.RequestsPerMinute, quota.Minute)
		made.Limits = append(made.Limits, gateway.Limit{Limit: limit, Requests: true})
	}
	if c.TokensPerMinute > 0 {
		limit := leases.Limit(key+"tokens", c.TokensPerMinute, quota.Minute)
		made.Limits = append(made.Limits, gateway.Limit{Limit: limit})
	}
	for _, q := range c.Quotas {
		limit := leases.Limit(key+q.Per, q.Tokens, periods[q.Per])
		made.Limits = append(made.Limits, gateway.Limit{Limit: limit, Quota: true})
	}
	if s := c.Spillover; s != nil {
		made.NoSpillover = !s.Allowed
		if s.Allowed && s.TokensPerMinute > 0 {
			made.Spillover = leases.Limit(key+"spillover", s.TokensPerMinute, quota.Minute)
		}
	}
	return made
}

// poolsOf is the pool of each model that the consumer may call: the one that
// it names, else the model's first.
func (t *topology) poolsOf(c *config.Consumer) map[string]*gateway.Pool {
	pools := make(map[string]*gateway.Pool)
	for _, p := range t.pools {
		if c.Models != nil && !slices.Contains(c.Models, p.Model) {
			continue
		}
		if pools[p.Model] == nil || slices.Contains(c.Pools, p.Name) {
			pools[p.Model] = p
		}
	}
	return pools
}

// authenticate turns the authenticator's verdict into the gateway's terms.
func (t *topology) authenticate(a *auth.Authenticator) func(context.Context, *http.Request) (*gateway.Consumer, *openai.Error) {
	return func(ctx context.Context, r *http.Request) (*gateway.Consumer, *openai.Error) {
		caller, err := a.Authenticate(ctx, r)
		if err != nil {
			return nil, refusal(err)
		}
		if caller.Consumer == nil {
			return t.anonymous, nil
		}
		return t.consumers[caller.Consumer.Name], nil
	}
}

// refusal is a denial in the API's own shape.
func refusal(err error) *openai.Error {
	var denied *auth.Denied
	if !errors.As(err, &denied) {
		return openai.Unauthorized()
	}
	return &openai.Error{
		Status: denied.Status, Message: denied.Message, Type: denied.Type, Code: denied.Code,
		RetryAfter: denied.RetryAfter,
	}
}
