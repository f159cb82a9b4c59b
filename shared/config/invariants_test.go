package config

import (
	"net/http"
	"slices"
	"testing"
)

// checkInvariants holds what every accepted configuration promises to the
// packages that use it.
func checkInvariants(t *testing.T, c *Config) {
	t.Helper()
	promise := func(ok bool, what string, args ...any) {
		t.Helper()
		if !ok {
			t.Errorf("broken promise: "+what, args...)
		}
	}
	promise(c.Access == "keys" || c.Access == "open", "access is %q", c.Access)
	promise(c.State.Store == "memory" || (c.State.Connection != "") != (c.State.Endpoint != nil), "tables have one way in")
	promise(c.State.Table != "" && c.State.OnUnavailable != "", "state is complete")
	names := map[string]bool{}
	for i := range c.Backends {
		b := &c.Backends[i]
		promise(!names[b.Name], "backend %q is unique", b.Name)
		names[b.Name] = true
		promise(c.Backend(b.Name) == b, "backend %q is found", b.Name)
		promise(b.Endpoint != nil && b.Endpoint.Host != "" && b.Endpoint.User == nil && b.Endpoint.RawQuery == "", "endpoint of %q", b.Name)
		promise(b.Auth.APIKey == "" || b.Auth.ManagedIdentity == nil, "backend %q has one credential", b.Name)
		promise(b.Auth.ManagedIdentity == nil || b.Auth.ManagedIdentity.Scope != "", "the managed identity of %q has a scope", b.Name)
		promise((b.CAFile != "") == (b.Roots != nil), "the certificates of %q are read", b.Name)
		for name, values := range b.Headers.Reveal() {
			promise(http.CanonicalHeaderKey(name) == name && checkHeader(name) == nil, "header %q of %q may be a fixed one", name, b.Name)
			promise(len(values) == 1 && values[0] != "" && checkCharacters(values[0]) == nil && isASCII(values[0]), "header %q of %q has one value", name, b.Name)
		}
		promise(len(b.Deployments) > 0, "backend %q has deployments", b.Name)
		for j := range b.Deployments {
			d := &b.Deployments[j]
			promise(b.DeploymentFor(d.Model) == d, "model %q is unique in backend %q", d.Model, b.Name)
			promise(d.Deployment != "" && (d.Accounting == "azure" || d.Accounting == "actual"), "deployment is complete: %+v", d)
			promise(d.TokensPerMinute >= 0 && d.RequestsPerMinute >= 0, "limits are not negative: %+v", d)
			promise(d.SpillBelow == 0 || 0 < d.SpillBelow && d.SpillBelow < d.TokensPerMinute, "spillBelow can be met: %+v", d)
		}
	}
	promise(len(c.Pools) > 0 && len(c.Backends) > 0, "there are pools and backends")
	for i := range c.Pools {
		checkPoolInvariants(t, c, &c.Pools[i])
	}
	checkConsumerInvariants(t, c)
	b := c.Breaker
	promise(b.Failures > 0 && b.Interval > 0 && len(b.StatusCodes) > 0 && b.MaxRetryAfter > 0, "breaker %+v", b)
	promise(0 < b.OpenFor && b.OpenFor <= b.MaxOpenFor, "breaker %+v", b)
	for _, r := range b.StatusCodes {
		promise(400 <= r.From && r.From <= r.To && r.To <= 599 && !r.Contains(429), "status codes %v", r)
	}
	promise(c.Retry.MaxAttempts >= 0 && c.Retry.Budget >= 0 && c.Retry.Budget <= 1, "retry %+v", c.Retry)
	for _, part := range []int64{int64(c.Timeouts.Connect), int64(c.Timeouts.ResponseHeaders), int64(c.Timeouts.StreamIdle)} {
		promise(0 < part && part <= int64(c.Timeouts.Total), "timeouts %+v", c.Timeouts)
	}
	promise(c.Limits.RequestBody > 0 && len(c.Consumers) <= c.Limits.Consumers, "limits %+v", c.Limits)
	for _, price := range c.Prices {
		promise(c.DefaultPool(price.Model) != nil, "price of the model %q", price.Model)
	}
	promise((c.Entra.Tenant == "") == (c.Entra.Audience == ""), "entra %+v", c.Entra)
}

func checkPoolInvariants(t *testing.T, c *Config, pool *Pool) {
	t.Helper()
	if pool.Name == "" || c.Pool(pool.Name) != pool || c.DefaultPool(pool.Model) == nil || pool.Strategy == "" {
		t.Errorf("pool %+v is not found by its name and model", pool)
	}
	if len(pool.Members) == 0 || pool.MaxWait < 0 || pool.MaxWait > c.Timeouts.Total {
		t.Errorf("pool %+v", pool)
	}
	seen := map[string]bool{}
	for _, m := range pool.Members {
		if b := c.Backend(m.Backend); b == nil || b.DeploymentFor(pool.Model) == nil || seen[m.Backend] || m.Weight < 1 || m.Priority < 0 {
			t.Errorf("member %+v of pool %q", m, pool.Name)
		}
		seen[m.Backend] = true
	}
	for _, model := range pool.FallbackModels {
		if c.DefaultPool(model) == nil || model == pool.Model {
			t.Errorf("fallback %q of pool %q", model, pool.Name)
		}
	}
}

func checkConsumerInvariants(t *testing.T, c *Config) {
	t.Helper()
	if c.Access == "keys" && len(c.Consumers) == 0 && (c.State.Store != "tables" || len(c.Admin.Keys) == 0) {
		t.Error("nobody can call")
	}
	names, keys, apps, roles := map[string]bool{}, map[KeyHash]bool{}, map[string]bool{}, map[string]bool{}
	admins := map[string]bool{}
	for _, key := range c.Admin.Keys {
		if key.Name == "" || admins[key.Name] || keys[key.Key] {
			t.Errorf("admin key %+v is a duplicate, or has no name", key)
		}
		keys[key.Key], admins[key.Name] = true, true
	}
	for i := range c.Consumers {
		consumer := &c.Consumers[i]
		checkOneConsumer(t, consumer)
		if names[consumer.Name] {
			t.Errorf("consumer %q is a duplicate", consumer.Name)
		}
		names[consumer.Name] = true
		for _, key := range consumer.Keys {
			if keys[key] {
				t.Errorf("consumer %q shares a key", consumer.Name)
			}
			keys[key] = true
		}
		for _, id := range consumer.Entra.AppIDs {
			if apps[id] || c.Entra.Audience == "" {
				t.Errorf("application %q of consumer %q", id, consumer.Name)
			}
			apps[id] = true
		}
		for _, role := range consumer.Entra.Roles {
			if c.Entra.Audience == "" || len(consumer.Entra.AppIDs) == 0 && roles[role] {
				t.Errorf("role %q of consumer %q", role, consumer.Name)
			}
			roles[role] = roles[role] || len(consumer.Entra.AppIDs) == 0
		}
		for _, model := range consumer.Models {
			if c.DefaultPool(model) == nil {
				t.Errorf("model %q of consumer %q", model, consumer.Name)
			}
		}
		models := map[string]bool{}
		for _, name := range consumer.Pools {
			pool := c.Pool(name)
			if pool == nil || models[pool.Model] {
				t.Fatalf("pool %q of consumer %q", name, consumer.Name)
			}
			models[pool.Model] = true
		}
		for _, limit := range consumer.ModelLimits {
			if c.DefaultPool(limit.Model) == nil {
				t.Errorf("limits for the model %q of consumer %q", limit.Model, consumer.Name)
			}
		}
	}
}

// checkOneConsumer holds what an accepted consumer promises by itself.
func checkOneConsumer(t *testing.T, consumer *Consumer) {
	t.Helper()
	promise := func(ok bool, what string, value any) {
		t.Helper()
		if !ok {
			t.Errorf("broken promise of consumer %q: %s: %+v", consumer.Name, what, value)
		}
	}
	promise(formats["name"].pattern().MatchString(consumer.Name) && consumer.Name != anonymous, "it has a name of its own", nil)
	promise(len(consumer.Keys)+len(consumer.Entra.AppIDs)+len(consumer.Entra.Roles) > 0, "it is somebody", consumer.Entra)
	promise(consumer.Models == nil || len(consumer.Models) > 0, "no models are all models", consumer.Models)
	promise(consumer.TokensPerMinute >= 0 && consumer.RequestsPerMinute >= 0, "limits are not negative", nil)
	checkQuotas := func(quotas []Quota) {
		periods := map[string]bool{}
		for _, quota := range quotas {
			promise(quota.Tokens > 0 && quota.Per != "" && !periods[quota.Per], "one quota for each period", quotas)
			periods[quota.Per] = true
		}
	}
	checkQuotas(consumer.Quotas)
	limited := map[string]bool{}
	for _, limit := range consumer.ModelLimits {
		promise(limit.Model != "" && !limited[limit.Model], "one entry for each model", limit)
		promise(consumer.Models == nil || slices.Contains(consumer.Models, limit.Model), "limits are for models it may use", limit)
		promise(limit.TokensPerMinute > 0 || limit.RequestsPerMinute > 0 || len(limit.Quotas) > 0, "an entry has a limit", limit)
		checkQuotas(limit.Quotas)
		limited[limit.Model] = true
	}
	tags := map[string]bool{}
	for _, tag := range consumer.Tags {
		promise(formats["tag"].pattern().MatchString(tag) && !tags[tag], "tags have names of their own", consumer.Tags)
		tags[tag] = true
	}
	promise(consumer.Tags == nil || 1 <= len(consumer.Tags) && len(consumer.Tags) <= 8, "there are few tags", consumer.Tags)
	if w := consumer.TokenWeights; w != nil {
		promise(0 <= w.CachedInput && w.CachedInput <= 1 && 0 <= w.Reasoning && w.Reasoning <= 10, "weights are in range", *w)
	}
	if s := consumer.Spillover; s != nil {
		promise(s.TokensPerMinute >= 0 && (s.Allowed || s.TokensPerMinute == 0), "spillover that is off has no limit", *s)
	}
}

// checkRefusal holds what every refusal promises: problems with a file and a
// message, and no value of the environment.
func checkRefusal(t *testing.T, c *Config, err error) {
	t.Helper()
	problems, ok := err.(Problems)
	if !ok || len(problems) == 0 || c != nil {
		t.Fatalf("a refusal is no configuration and some Problems, not %v and %T %v", c, err, err)
	}
	for _, p := range problems {
		if p.File == "" || p.Message == "" || p.Line < 0 {
			t.Errorf("incomplete problem %+v", p)
		}
	}
}
