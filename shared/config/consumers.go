package config

import (
	"fmt"
	"slices"
)

// anonymous is the name of callers without credentials in limits and usage,
// under access: open.
const anonymous = "anonymous"

// checkConsumers checks who a consumer is, what it may use and its limits.
func (v *validator) checkConsumers() {
	apps := map[string]*path{}
	for i := range v.config.Consumers {
		consumer := &v.config.Consumers[i]
		p := at("consumers", i)
		v.identity(p, consumer, apps)
		v.allowed(p, consumer)
		v.consumerLimits(p, consumer)
	}
}

// identity checks that some caller can be this consumer, and no caller can be
// two.
func (v *validator) identity(p *path, consumer *Consumer, apps map[string]*path) {
	if consumer.Name == anonymous {
		v.problem(p.in("name"), v.text(p.in("name"), "")+" stands for callers without credentials", "give it another name")
	}
	ids := consumer.Entra.AppIDs
	if len(consumer.Keys) == 0 && len(ids) == 0 && !v.hasFailed(p.in("keys")) && !v.hasFailed(p.in("entra").in("appIds")) {
		v.problem(p, "has neither keys nor entra.appIds: no caller could be this consumer", "add one of them")
	}
	if len(ids) > 0 && v.config.Entra == (Entra{}) && !v.hasFailed(at("entra", "tenant")) && !v.hasFailed(at("entra", "audience")) {
		v.problem(p.in("entra"), "needs the tenant and audience of tokens", "add entra: { tenant: …, audience: … } at the top level")
	}
	for j, id := range ids {
		at := p.in("entra").in("appIds").item(j)
		if owner, taken := apps[id]; taken && id != "" {
			v.problem(at, fmt.Sprintf("the same application id is at %s", owner), "give it to one consumer")
			continue
		}
		apps[id] = at
	}
}

// allowed checks the models and pools a consumer may use.
func (v *validator) allowed(p *path, consumer *Consumer) {
	for j, model := range consumer.Models {
		at := p.in("models").item(j)
		v.known(v.models, model, at, "no pool serves the model %s")
		if model != "" && slices.Index(consumer.Models, model) < j {
			v.problem(at, "the model is listed twice", "remove one of the two")
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
}

func (v *validator) consumerLimits(p *path, consumer *Consumer) {
	var periods []string
	for j, quota := range consumer.Quotas {
		at := p.in("quotas").item(j).in("per")
		if first := slices.Index(periods, quota.Per); first >= 0 && quota.Per != "" {
			v.problem(at, fmt.Sprintf("quotas[%d] is per %s already", first, v.text(at, "")), "keep one quota for each period")
		}
		periods = append(periods, quota.Per)
	}
	if s := consumer.Spillover; s != nil && consumer.TokensPerMinute > 0 && s.TokensPerMinute > consumer.TokensPerMinute {
		v.problem(p.in("spillover").in("tokensPerMinute"), "is more than the consumer's tokensPerMinute and never reached",
			"lower it, or write spillover: true")
	}
}
