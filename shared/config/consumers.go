package config

import (
	"fmt"
	"iter"
	"slices"
)

// anonymous is the name of callers without credentials in limits and usage,
// under access: open.
const anonymous = "anonymous"

// credential is what a caller is known by: the hash of a key, or the text of
// an application id or a role.
type credential struct {
	kind string // key, application id or role
	hash KeyHash
	text string
}

// mend is what to do about a credential that two have.
func (c credential) mend() string {
	switch c.kind {
	case "key":
		return "give each its own key"
	case "role":
		return "give it to one consumer, or tell them apart by appIds"
	}
	return "give it to one consumer"
}

// credentials are those that this consumer alone may have, each with its path
// in the consumer at p. Beside application ids a role is not one of them: the
// application tells the consumers apart.
func (c *Consumer) credentials(p *path) iter.Seq2[credential, *path] {
	return func(yield func(credential, *path) bool) {
		keys := p.in("keys")
		for i, key := range c.Keys {
			if !yield(credential{kind: "key", hash: key}, keys.item(i)) {
				return
			}
		}
		kind, key, texts := "application id", "appIds", c.Entra.AppIDs
		if len(texts) == 0 {
			kind, key, texts = "role", "roles", c.Entra.Roles
		}
		list := p.in("entra").in(key)
		for i, text := range texts {
			if !yield(credential{kind: kind, text: text}, list.item(i)) {
				return
			}
		}
	}
}

// claim gives out credentials, and reports those that would let one caller be
// two.
func (v *validator) claim(credentials iter.Seq2[credential, *path]) {
	for credential, p := range credentials {
		owner, taken := v.owners[credential]
		switch {
		case credential.hash == KeyHash{} && credential.text == "": // it could not be read
		case taken:
			v.problem(p, fmt.Sprintf("the same %s is at %s", credential.kind, owner), credential.mend())
		default:
			v.owners[credential] = p
		}
	}
}

// checkConsumers checks who a consumer is, what it may use and its limits.
func (v *validator) checkConsumers() {
	for i := range v.config.Consumers {
		consumer := &v.config.Consumers[i]
		p := at("consumers", i)
		v.identity(p, consumer)
		v.allowed(p, consumer)
		v.consumerLimits(p, consumer)
		v.fits(p, consumer)
	}
}

// identity checks that some caller can be this consumer.
func (v *validator) identity(p *path, consumer *Consumer) {
	if consumer.Name == anonymous {
		v.problem(p.in("name"), v.text(p.in("name"), "")+" stands for callers without credentials", "give it another name")
	}
	entra := p.in("entra")
	known := len(consumer.Keys) > 0 || len(consumer.Entra.AppIDs) > 0 || len(consumer.Entra.Roles) > 0 ||
		v.hasFailed(p.in("keys")) || v.hasFailed(entra.in("appIds")) || v.hasFailed(entra.in("roles"))
	if !known {
		v.problem(p, "has neither keys nor entra.appIds nor entra.roles: no caller could be this consumer", "add one of them")
	}
	if len(consumer.Entra.AppIDs) > 0 { // otherwise a role is a credential
		v.once(entra.in("roles"), consumer.Entra.Roles, "role")
	}
}

// once finds what a list has twice.
func (v *validator) once(list *path, values []string, noun string) {
	for j, value := range values {
		if value != "" && slices.Index(values, value) < j {
			v.problem(list.item(j), "the "+noun+" is listed twice", "remove one of the two")
		}
	}
}

// allowed checks that the models and tags a consumer names are each named once,
// and that its limits are for models it may use.
func (v *validator) allowed(p *path, consumer *Consumer) {
	v.once(p.in("models"), consumer.Models, "model")
	v.once(p.in("tags"), consumer.Tags, "tag")
	limited := make(map[string]int, len(consumer.ModelLimits))
	for j, limit := range consumer.ModelLimits {
		at := p.in("modelLimits").item(j)
		if limit.Model == "" {
			continue
		}
		if first, twice := limited[limit.Model]; twice {
			v.problem(at.in("model"), fmt.Sprintf("the model has limits in modelLimits[%d] already", first), "keep one entry for each model")
			continue
		}
		limited[limit.Model] = j
		if consumer.Models != nil && !slices.Contains(consumer.Models, limit.Model) && !v.hasFailed(p.in("models")) {
			v.problem(at.in("model"), "is not among the consumer's models", "add the model, or remove its limits")
		}
	}
}

// consumerLimits checks the limits of a consumer, for all models and for each.
func (v *validator) consumerLimits(p *path, consumer *Consumer) {
	v.quotas(p.in("quotas"), consumer.Quotas)
	for j, limit := range consumer.ModelLimits {
		at := p.in("modelLimits").item(j)
		v.quotas(at.in("quotas"), limit.Quotas)
		limits := limit.TokensPerMinute > 0 || limit.RequestsPerMinute > 0 || len(limit.Quotas) > 0 ||
			v.hasFailed(at.in("tokensPerMinute")) || v.hasFailed(at.in("requestsPerMinute")) || v.hasFailed(at.in("quotas"))
		if !limits {
			v.problem(at, "has no limit", "add tokensPerMinute, requestsPerMinute or quotas, or remove the entry")
		}
	}
	if s := consumer.Spillover; s != nil && consumer.TokensPerMinute > 0 && s.TokensPerMinute > consumer.TokensPerMinute {
		v.problem(p.in("spillover").in("tokensPerMinute"), "is more than the consumer's tokensPerMinute and never reached",
			"lower it, or write spillover: true")
	}
}

// quotas finds a period that two quotas of one list are for.
func (v *validator) quotas(list *path, quotas []Quota) {
	first := make(map[string]int, len(quotas))
	for j, quota := range quotas {
		at := list.item(j).in("per")
		if i, twice := first[quota.Per]; !twice {
			first[quota.Per] = j
		} else if quota.Per != "" {
			v.problem(at, fmt.Sprintf("quotas[%d] is per %s already", i, v.text(at, "")), "keep one quota for each period")
		}
	}
}

// fits checks what a consumer refers to in the rest of the configuration.
func (v *validator) fits(p *path, consumer *Consumer) {
	for j, model := range consumer.Models {
		v.known(v.models, model, p.in("models").item(j), "no pool serves the model %s")
	}
	for j := range consumer.ModelLimits {
		if consumer.Models == nil { // otherwise the model is one of them
			v.known(v.models, consumer.ModelLimits[j].Model, p.in("modelLimits").item(j).in("model"), "no pool serves the model %s")
		}
	}
	served := map[string]int{} // by which of the consumer's pools
	for j, name := range consumer.Pools {
		at := p.in("pools").item(j)
		if !v.known(v.pools, name, at, "no pool is named %s") {
			continue
		}
		model := v.config.Pools[v.pools.paths[name].parent.index].Model
		if first, twice := served[model]; twice {
			v.problem(at, fmt.Sprintf("serves the same model as pools[%d]", first), "keep one pool for each model")
			continue
		}
		served[model] = j
		if consumer.Models != nil && !slices.Contains(consumer.Models, model) && !v.hasFailed(p.in("models")) && model != "" {
			v.problem(at, "serves a model that is not among the consumer's models", "add the model, or remove the pool")
		}
	}
	tokens := len(consumer.Entra.AppIDs) > 0 || len(consumer.Entra.Roles) > 0
	if tokens && v.config.Entra == (Entra{}) && !v.hasFailed(at("entra", "tenant")) && !v.hasFailed(at("entra", "audience")) {
		v.problem(p.in("entra"), "needs the tenant and audience of tokens", "add entra: { tenant: …, audience: … } to the configuration, at its top level")
	}
}
