package app

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"spillway/functions/gateway"
	"spillway/shared/auth"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/quota"
	"spillway/shared/upstream"
)

// roster turns the definitions of consumers, of the file and of the table, into
// values that the gateway works with. A consumer is made when it first calls, and
// again when it has another definition. It is safe for concurrent use.
type roster struct {
	authenticator *auth.Authenticator
	directory     *consumers.Directory
	leases        *lease.Engine
	clock         *clock.Clock
	pools         []*gateway.Pool
	keepsFiles    map[*upstream.Backend]bool
	anonymous     *gateway.Consumer // everybody, under access: open

	mu      sync.Mutex
	named   map[string]*config.Definition       // guarded by mu: those that a consumer is made of, by its name
	choices map[string]map[string]*gateway.Pool // guarded by mu: by what a consumer may use
}

func newRoster(a *auth.Authenticator, d *consumers.Directory, leases *lease.Engine, c *clock.Clock, plan *topology) *roster {
	r := &roster{
		authenticator: a, directory: d, leases: leases, clock: c, pools: plan.pools, keepsFiles: plan.keepsFiles,
		named: make(map[string]*config.Definition), choices: make(map[string]map[string]*gateway.Pool),
	}
	r.anonymous = r.newConsumer(&config.Consumer{Name: "anonymous"})
	return r
}

// authenticate says which consumer sends a request, in the gateway's terms.
func (r *roster) authenticate(ctx context.Context, req *http.Request, now clock.Instant) (gateway.Caller, *openai.Error) {
	caller, refused := r.identify(ctx, req, now)
	if refused != nil {
		return gateway.Caller{}, refused
	}
	if caller.Consumer == nil {
		return gateway.Caller{Consumer: r.anonymous}, nil
	}
	return gateway.Caller{
		Consumer:   r.consumer(caller.Consumer),
		Credential: cmp.Or(caller.Key, caller.AppID),
	}, nil
}

// name names the consumer whose credential a request carries. Under open access,
// too, a credential is needed to be somebody.
func (r *roster) name(ctx context.Context, req *http.Request) (string, *openai.Error) {
	caller, refused := r.identify(ctx, req, r.clock.Read())
	switch {
	case refused != nil:
		return "", refused
	case caller.Consumer == nil:
		return "", openai.Unauthorized()
	}
	return caller.Consumer.Name, nil
}

// identify says whose credential a request carries: that of no consumer, under open
// access, if it carries none.
func (r *roster) identify(ctx context.Context, req *http.Request, now clock.Instant) (auth.Caller, *openai.Error) {
	r.directory.Refresh(now)
	caller, err := r.authenticator.Authenticate(ctx, req)
	if err != nil {
		return auth.Caller{}, refusal(err)
	}
	return caller, nil
}

// refusal is a denial in the API's own shape.
func refusal(err error) *openai.Error {
	var denied *auth.Denied
	if !errors.As(err, &denied) {
		return openai.Unauthorized()
	}
	return &openai.Error{
		Status: denied.Status, Message: denied.Message, Type: denied.Type, Code: denied.Code,
		RetryAfter: denied.RetryAfter, Challenge: denied.Challenge,
	}
}

// consumer is the consumer of a definition.
func (r *roster) consumer(definition *config.Definition) *gateway.Consumer {
	if c := made(definition); c != nil {
		return c
	}
	c := r.newConsumer(definition.Consumer)
	r.mu.Lock()
	if first := made(definition); first != nil { // by another request meanwhile
		r.mu.Unlock()
		return first
	}
	before := r.unmake(definition.Name)
	r.named[definition.Name] = definition
	definition.Made.Store(c)
	r.mu.Unlock()
	if before != nil {
		r.forget(before, c)
	}
	return c
}

// made is what the roster has made of a definition; nil: nothing, or nothing that is
// still in use.
func made(definition *config.Definition) *gateway.Consumer {
	c, _ := definition.Made.Load().(*gateway.Consumer)
	return c
}

// known returns the consumer of a name; nil: it was not made.
func (r *roster) known(name string) *gateway.Consumer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if definition := r.named[name]; definition != nil {
		return made(definition)
	}
	return nil
}

// unmake takes the consumer of a name off the roster, and returns it; nil: it was not
// made. The caller holds mu.
func (r *roster) unmake(name string) *gateway.Consumer {
	definition := r.named[name]
	if definition == nil {
		return nil
	}
	c := made(definition)
	delete(r.named, name)
	definition.Made.Store((*gateway.Consumer)(nil))
	return c
}

// remove forgets a consumer that is gone. Requests of it that still run end as they
// would have.
func (r *roster) remove(name string) {
	r.mu.Lock()
	before := r.unmake(name)
	r.mu.Unlock()
	if before != nil {
		r.forget(before, &gateway.Consumer{})
	}
}

// forget tells the leases which limits are of no use any more.
func (r *roster) forget(before, after *gateway.Consumer) {
	kept := limitsOf(after)
	var gone []*lease.Limit
	for limit := range limitsOf(before) {
		if !kept[limit] {
			gone = append(gone, limit)
		}
	}
	if len(gone) > 0 {
		r.leases.Forget(gone...)
	}
}

// limitsOf are all limits of a consumer.
func limitsOf(c *gateway.Consumer) map[*lease.Limit]bool {
	all := make(map[*lease.Limit]bool)
	for i := range c.Limits {
		all[c.Limits[i].Limit] = true
	}
	for _, limits := range c.ModelLimits {
		for i := range limits {
			all[limits[i].Limit] = true
		}
	}
	if c.Spillover != nil {
		all[c.Spillover] = true
	}
	return all
}

func (r *roster) newConsumer(c *config.Consumer) *gateway.Consumer {
	key := "consumer/" + c.Name + "/"
	limit := func(name string, amount int64, period quota.Period) *lease.Limit {
		// Amounts of the table change while the gateway runs, and the last one counts.
		return r.leases.LimitSince(key+name, amount, period, c.Since)
	}
	made := gateway.NewConsumer(c.Name)
	made.Pools = r.poolsOf(c)
	made.Limits = appendLimits(made.Limits, limit, "", c.TokensPerMinute, c.RequestsPerMinute, c.Quotas)
	made.Shadow, made.MayChooseBackend, made.Tags = c.Shadow, c.MayChooseBackend, c.Tags
	made.Files = r.filesOf(made)
	if w := c.TokenWeights; w != nil {
		made.Weights = &gateway.Weights{CachedInput: w.CachedInput, Reasoning: w.Reasoning}
	}
	for _, own := range c.ModelLimits {
		if made.ModelLimits == nil {
			made.ModelLimits = make(map[string][]gateway.Limit, len(c.ModelLimits))
		}
		made.ModelLimits[own.Model] = appendLimits(nil, limit, own.Model, own.TokensPerMinute, own.RequestsPerMinute, own.Quotas)
	}
	if s := c.Spillover; s != nil {
		made.NoSpillover = !s.Allowed
		if s.Allowed && s.TokensPerMinute > 0 {
			made.Spillover = limit("spillover", s.TokensPerMinute, quota.Minute)
		}
	}
	return made
}

// appendLimits appends the limits whose keys begin alike. A limit of 0 is none.
func appendLimits(limits []gateway.Limit, limit func(string, int64, quota.Period) *lease.Limit, model string, tokens, requests int64, quotas []config.Quota) []gateway.Limit {
	key := ""
	if model != "" {
		key = "model/" + model + "/"
	}
	if requests > 0 {
		limits = append(limits, gateway.Limit{Limit: limit(key+"requests", requests, quota.Minute), Model: model, Requests: true})
	}
	if tokens > 0 {
		limits = append(limits, gateway.Limit{Limit: limit(key+"tokens", tokens, quota.Minute), Model: model})
	}
	for _, q := range quotas {
		period, _ := quota.ParsePeriod(q.Per) // the configuration has no others
		limits = append(limits, gateway.Limit{Limit: limit(key+q.Per, q.Tokens, period), Model: model, Period: period})
	}
	return limits
}

// filesOf is the backend that keeps a consumer's files and batches: of its pools, in
// the order of the configuration, the first member that does, by priority.
func (r *roster) filesOf(c *gateway.Consumer) *upstream.Backend {
	for _, p := range r.pools {
		if c.Pools[p.Model] != p {
			continue
		}
		var keeper *gateway.Member
		for i := range p.Members {
			m := &p.Members[i]
			if r.keepsFiles[m.Backend] && (keeper == nil || m.Priority < keeper.Priority) {
				keeper = m
			}
		}
		if keeper != nil {
			return keeper.Backend
		}
	}
	return nil
}

// poolsOf is the pool of each model that the consumer may call: the one that it
// names, else the model's first. Consumers that may use the same share one map.
func (r *roster) poolsOf(c *config.Consumer) map[string]*gateway.Pool {
	choice := strings.Join(c.Models, "\n") + "\n\n" + strings.Join(c.Pools, "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	if pools, ok := r.choices[choice]; ok {
		return pools
	}
	pools := make(map[string]*gateway.Pool)
	for _, p := range r.pools {
		if c.Models != nil && !slices.Contains(c.Models, p.Model) {
			continue
		}
		if pools[p.Model] == nil || slices.Contains(c.Pools, p.Name) {
			pools[p.Model] = p
		}
	}
	r.choices[choice] = pools
	return pools
}
