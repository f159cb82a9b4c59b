package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// checkBackends checks endpoints, credentials and the limits of deployments.
func (v *validator) checkBackends() {
	for i := range v.config.Backends {
		b := &v.config.Backends[i]
		v.endpoint(i, b)
		v.apiVersion(at("backends", i, "apiVersion"), b)
		v.auth(i, b)
		if b.CAFile != "" && b.Endpoint != nil && b.Endpoint.Scheme == "http" {
			v.problem(at("backends", i, "caFile"), "is of no use: the endpoint is http, which has no certificates", "write https in endpoint, or remove caFile")
		}
		v.deployments(i, b)
	}
}

// auth checks that a backend has one credential at most, and that the token of
// an identity has a scope and is not sent in clear text.
func (v *validator) auth(i int, b *Backend) {
	p, identity := at("backends", i, "auth"), b.Auth.ManagedIdentity
	if b.Auth.APIKey != "" && identity != nil {
		v.problem(p, "apiKey and managedIdentity exclude each other", "remove one of the two")
	}
	if identity == nil {
		return
	}
	if b.Endpoint != nil && b.Endpoint.Scheme == "http" && !isLoopback(b.Endpoint.Hostname()) {
		v.problem(at("backends", i, "endpoint"), "would carry the token of the managed identity in clear text", "write https")
	}
	if identity.Scope == "" {
		v.problem(p.in("managedIdentity").in("scope"), "the key is missing, and api: "+b.API+" has no default", "write the scope of the service")
	}
}

// isLoopback tells whether a host is this machine, which nobody else listens on.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// endpoint refuses a base URL that ends with the path of another API. The path
// of its own API may be left out or not.
func (v *validator) endpoint(i int, b *Backend) {
	if b.Endpoint == nil {
		return
	}
	p := at("backends", i, "endpoint")
	switch {
	case b.API == "azure" && strings.HasSuffix(b.Endpoint.Path, "/openai/v1"):
		v.problem(p, "ends with /openai/v1, the path of another API", "write api: azure-v1, or remove /openai/v1 from the end")
	case b.API == "azure-v1" && strings.HasSuffix(b.Endpoint.Path, "/openai"):
		v.problem(p, "ends with /openai, which the gateway adds itself", "remove /openai from the end")
	}
}

// apiVersion checks the version against the API: dated versions belong to the
// deployment API of Azure, version names to its v1 API.
func (v *validator) apiVersion(p *path, b *Backend) {
	if b.APIVersion == "" {
		return
	}
	dated := b.APIVersion[0] >= '0' && b.APIVersion[0] <= '9'
	date, _, _ := strings.Cut(b.APIVersion, "-preview")
	_, err := time.Parse(time.DateOnly, date)
	switch {
	case b.API == "openai":
		v.problem(p, "api: openai has no API versions", "remove it")
	case b.API == "azure" && !dated:
		v.problem(p, "api: azure wants a dated API version", "write one such as 2024-10-21, or use api: azure-v1")
	case b.API == "azure-v1" && dated:
		v.problem(p, "api: azure-v1 has no dated API versions", "remove it, or use api: azure")
	case dated && err != nil:
		v.problem(p, v.text(p, "")+" is not a date", "write an API version such as 2024-10-21")
	}
}

// deployments checks the limits of a backend's deployments. Limits and
// breakers are kept by the name of the deployment, so two models that share
// one must agree on them.
func (v *validator) deployments(i int, b *Backend) {
	models := map[string]int{}
	shared := map[string]int{}
	for j, d := range b.Deployments {
		p := at("backends", i, "deployments", j)
		if first, twice := models[d.Model]; twice && d.Model != "" {
			v.problem(p.in("model"), fmt.Sprintf("the model %s is in deployments[%d] already", v.text(p.in("model"), ""), first), "remove one of the two")
			continue
		}
		models[d.Model] = j
		if first, twice := shared[d.Deployment]; twice && d.Deployment != "" && !sameLimits(d, b.Deployments[first]) {
			v.problem(p, fmt.Sprintf("is the same deployment as deployments[%d], with other limits", first), "give both the same limits and accounting")
		} else if !twice {
			shared[d.Deployment] = j
		}
		switch {
		case d.SpillBelow == 0 || v.hasFailed(p.in("tokensPerMinute")):
		case d.TokensPerMinute == 0:
			v.problem(p.in("spillBelow"), "is of no use without tokensPerMinute", "add tokensPerMinute, or remove spillBelow")
		case d.SpillBelow >= d.TokensPerMinute:
			v.problem(p.in("spillBelow"), "is not below tokensPerMinute: no request would ever be sent here", "lower it")
		}
	}
}

func sameLimits(a, b Deployment) bool {
	a.Model = b.Model
	return a == b
}

// checkPools checks that every member can serve its pool's model.
func (v *validator) checkPools() {
	served := map[string]map[string]bool{}
	partial := map[string]bool{} // backends whose deployments are not all known
	for i := range v.config.Backends {
		b := &v.config.Backends[i]
		if served[b.Name] != nil {
			continue // a duplicate, reported already
		}
		served[b.Name] = map[string]bool{}
		partial[b.Name] = v.hasFailed(at("backends", i, "deployments")) || len(b.Deployments) == 0
		for _, d := range b.Deployments {
			served[b.Name][d.Model] = true
			partial[b.Name] = partial[b.Name] || d.Model == ""
		}
	}
	for i := range v.config.Pools {
		pool := &v.config.Pools[i]
		seen := map[string]int{}
		for j, member := range pool.Members {
			p := at("pools", i, "members", j, "backend")
			if !v.known(v.backends, member.Backend, p, "no backend is named %s") {
				continue
			}
			if first, twice := seen[member.Backend]; twice {
				v.problem(p, fmt.Sprintf("the backend %s is members[%d] already", v.text(p, ""), first), "remove one of the two")
				continue
			}
			seen[member.Backend] = j
			if pool.Model != "" && !partial[member.Backend] && !served[member.Backend][pool.Model] {
				v.lacksModel(p, v.backends.paths[member.Backend].parent.index, at("pools", i, "model"))
			}
		}
		v.fallbacks(i, pool)
	}
}

// lacksModel reports the member at p, whose backend does not have the model of
// its pool.
func (v *validator) lacksModel(p *path, backend int, model *path) {
	deployments := v.config.Backends[backend].Deployments
	models := make([]string, 0, min(len(deployments), maxCandidates))
	for j := range cap(models) {
		models = append(models, v.source(at("backends", backend, "deployments", j, "model"), ""))
	}
	v.problem(p, fmt.Sprintf("the backend %s has no deployment of the model %s", v.text(p, ""), v.text(model, "")),
		suggest(v.source(model, ""), models, "add the model to its deployments; it has "+strings.Join(models[:min(len(models), maxListed)], ", ")))
}

func (v *validator) fallbacks(i int, pool *Pool) {
	for j, model := range pool.FallbackModels {
		p := at("pools", i, "fallbackModels", j)
		v.known(v.models, model, p, "no pool serves the model %s")
		switch {
		case model == "":
		case model == pool.Model:
			v.problem(p, "the pool serves this model itself", "remove it")
		case slices.Index(pool.FallbackModels, model) < j:
			v.problem(p, "the model is listed twice", "remove one of the two")
		}
	}
}
