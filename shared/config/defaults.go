package config

import "strings"

// scopes are the scopes that tokens are asked for, by the api of a backend that
// names none.
var scopes = map[string]string{
	"azure":    "https://cognitiveservices.azure.com/.default",
	"azure-v1": "https://ai.azure.com/.default",
}

// deriveDefaults gives absent keys the defaults that depend on other keys.
func deriveDefaults(c *Config, r *report) {
	for i := range c.Backends {
		b := &c.Backends[i]
		if identity := b.Auth.ManagedIdentity; identity != nil && identity.Scope == "" {
			identity.Scope = scopes[b.API]
		}
		for j := range b.Deployments {
			d := &b.Deployments[j]
			if d.Deployment == "" {
				d.Deployment = d.Model
			}
			if d.Accounting == "" {
				d.Accounting = "azure"
				if b.API == "openai" {
					d.Accounting = "actual"
				}
			}
		}
	}
	for i := range c.Pools {
		if c.Pools[i].Name == "" {
			c.Pools[i].Name = c.Pools[i].Model
		}
	}
	for i := range c.Consumers {
		c.Consumers[i].derive()
	}
	for i := range c.Admin.Keys {
		if key := &c.Admin.Keys[i]; key.Name == "" {
			key.Name = key.Key.String()
		}
	}
	for i := range c.Prices {
		if !r.written(at("prices", i, "cachedInputPerMillion")) {
			c.Prices[i].CachedInputPerMillion = c.Prices[i].InputPerMillion
		}
	}
	t := &c.Timeouts
	if !r.written(at("timeouts", "connect")) {
		t.Connect = min(t.Connect, t.Total)
	}
	if !r.written(at("timeouts", "responseHeaders")) {
		t.ResponseHeaders = min(t.ResponseHeaders, t.Total)
	}
	if !r.written(at("timeouts", "streamIdle")) {
		t.StreamIdle = min(t.StreamIdle, t.Total)
	}
}

// derive completes what depends on other keys. Application ids are brought to
// lower case, as tokens carry them.
func (c *Consumer) derive() {
	for i, id := range c.Entra.AppIDs {
		c.Entra.AppIDs[i] = strings.ToLower(id)
	}
	if s := c.Spillover; s != nil && s.TokensPerMinute > 0 {
		s.Allowed = true
	}
}

// written reports whether a key is in the file.
func (r *report) written(p *path) bool {
	_, exact := r.document.find(p)
	return exact
}
