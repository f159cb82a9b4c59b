package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// validator checks what the types cannot say: how values fit together.
type validator struct {
	*report
	config *Config
	index
}

// index is what a configuration defines: names other keys refer to, and
// credentials that must not be used again.
type index struct {
	backends, pools, models, consumers names
	owners                             map[credential]*path // where each was given out first
}

// names are the values other keys may refer to.
type names struct {
	paths map[string]*path // where each was defined first
	// shown are the values as the file has them, for suggestions.
	shown []string
	// partial tells that some could not be read, so that a reference to an
	// unknown one proves nothing.
	partial bool
}

// maxListed bounds the names that are listed as a mend.
const maxListed = 8

// validate adds to the report whatever does not fit together.
func validate(c *Config, r *report) {
	v := &validator{report: r, config: c}
	v.define()
	v.access()
	v.state()
	v.checkBackends()
	v.checkPools()
	v.checkConsumers()
	v.admin()
	v.breaker()
	v.timeouts()
	v.prices()
}

// define gathers what the configuration defines, and reports what is defined
// twice.
func (v *validator) define() {
	c := v.config
	v.backends = v.collect("backends", len(c.Backends), "backend", func(i int) (string, string) { return c.Backends[i].Name, "name" })
	v.pools = v.collect("pools", len(c.Pools), "pool", func(i int) (string, string) {
		if c.Pools[i].Name == c.Pools[i].Model && !v.written(at("pools", i, "name")) {
			return c.Pools[i].Name, "model"
		}
		return c.Pools[i].Name, "name"
	})
	v.models = v.collect("pools", len(c.Pools), "", func(i int) (string, string) { return c.Pools[i].Model, "model" })
	v.consumers = v.collect("consumers", len(c.Consumers), "consumer", func(i int) (string, string) { return c.Consumers[i].Name, "name" })
	v.owners = make(map[credential]*path, 2*len(c.Consumers))
	for i := range c.Consumers {
		v.claim(c.Consumers[i].credentials(at("consumers", i)))
	}
	for i, admin := range c.Admin.Keys {
		v.claim(func(yield func(credential, *path) bool) {
			yield(credential{kind: "key", hash: admin.Key}, at("admin", "keys", i))
		})
	}
}

// problem reports a combination that is wrong, unless one of its parts could
// not be read and was reported already.
func (v *validator) problem(p *path, message, mend string) {
	if !v.hasFailed(p) {
		v.add(p, message, mend)
	}
}

// text shows the value at a path as the file has it, or the fallback when it
// is a default.
func (v *validator) text(p *path, fallback string) string {
	if node := v.scalarAt(p); node != nil {
		return v.document.show(node, false)
	}
	return fallback
}

// quoted shows a value that is not in the document, unless it is too long.
func (v *validator) quoted(value string) string {
	if len(value) > v.document.shown {
		return `"…"`
	}
	return strconv.Quote(value)
}

// source is the text at a path as the file has it, with the names of its
// variables, or the value when it is a default. It is empty when the text is
// too long to be shown or compared.
func (v *validator) source(p *path, value string) string {
	if node := v.scalarAt(p); node != nil {
		value = node.Value
	}
	if len(value) > maxCompared {
		return ""
	}
	return value
}

func (v *validator) scalarAt(p *path) *yaml.Node {
	node, exact := v.document.find(p)
	if !exact {
		return nil
	}
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// collect gathers the names of the items of a list. With a noun, a name that
// is taken already is a problem.
func (v *validator) collect(list string, length int, noun string, name func(i int) (value, key string)) names {
	items := at(list)
	found := names{paths: make(map[string]*path, length), partial: v.hasFailed(items)}
	for i := range length {
		value, key := name(i)
		p := items.item(i).in(key)
		if value == "" {
			found.partial = true
			continue
		}
		if first, taken := found.paths[value]; !taken {
			found.paths[value] = p
			if len(found.shown) < maxCandidates {
				found.shown = append(found.shown, v.source(p, value))
			}
		} else if noun != "" {
			mend := "give it another name"
			if key == "model" {
				mend = "give the pool a name of its own"
			}
			v.problem(p, fmt.Sprintf("the %s name %s is taken by %s", noun, v.text(p, value), first.parent), mend)
		}
	}
	return found
}

// known checks a reference to one of the names.
func (v *validator) known(n names, value string, p *path, message string) bool {
	_, known := n.paths[value]
	if !known && !n.partial && value != "" {
		v.problem(p, fmt.Sprintf(message, v.text(p, v.quoted(value))),
			suggest(v.source(p, value), n.shown, "define it, or write one of "+strings.Join(n.shown[:min(len(n.shown), maxListed)], ", ")))
	}
	return known
}

func (v *validator) access() {
	c := v.config
	tables := c.State.Store == "tables" || v.hasFailed(at("state", "store"))
	manned := len(c.Admin.Keys) > 0 || v.hasFailed(at("admin", "keys"))
	if c.Access == "keys" && len(c.Consumers) == 0 && !v.hasFailed(at("consumers")) && !(tables && manned) {
		v.problem(at("access"), "nobody could call: access is by key, and there are no consumers",
			"add consumers with keys or entra, or write access: open; "+
				"with state.store: tables and admin.keys consumers may also be added at run time")
	}
	if len(c.Consumers) > c.Limits.Consumers && c.Limits.Consumers > 0 {
		v.problem(at("consumers"), fmt.Sprintf("there are %d consumers, more than limits.consumers", len(c.Consumers)), "raise limits.consumers")
	}
	if c.Entra != (Entra{}) && !tables && !v.usesEntra() {
		v.problem(at("entra"), "is of no use: no consumer has entra.appIds or entra.roles", "give a consumer one of them, or remove entra")
	}
	switch strings.ToLower(c.Entra.Tenant) {
	case "common", "organizations", "consumers":
		v.problem(at("entra", "tenant"), "stands for many tenants, whose tokens cannot all be trusted", "write the id of your tenant")
	}
}

// usesEntra reports whether some consumer is known by a token.
func (v *validator) usesEntra() bool {
	used := v.hasFailed(at("consumers"))
	for i := range v.config.Consumers {
		entra := &v.config.Consumers[i].Entra
		used = used || len(entra.AppIDs) > 0 || len(entra.Roles) > 0 || v.hasFailed(at("consumers", i, "entra"))
	}
	return used
}

func (v *validator) state() {
	s := v.config.State
	hasConnection := s.Connection != "" || v.hasFailed(at("state", "connection"))
	hasEndpoint := s.Endpoint != nil || v.hasFailed(at("state", "endpoint"))
	switch {
	case s.Store == "tables" && !hasConnection && !hasEndpoint:
		v.problem(at("state"), "store: tables needs a storage account", "add connection (a connection string) or endpoint (managed identity)")
	case hasConnection && hasEndpoint:
		v.problem(at("state", "endpoint"), "connection and endpoint exclude each other", "remove one of the two")
	case !v.written(at("state", "store")) && (hasConnection || hasEndpoint):
		v.problem(at("state"), "a storage account is given, and store is memory", "add store: tables")
	}
	if s.Connection != "" && !isConnection(s.Connection.Reveal()) {
		v.problem(at("state", "connection"), "the value is not a connection string",
			"copy it from the storage account's access keys, or write UseDevelopmentStorage=true; a URL belongs in endpoint")
	}
	if strings.EqualFold(s.Table, "tables") {
		v.problem(at("state", "table"), "the name is reserved by Azure Table Storage", "choose another name")
	}
}

// isConnection tells a connection string from a key or a URL that was put in
// its place.
func isConnection(text string) bool {
	text = strings.ToLower(text)
	for _, part := range []string{"usedevelopmentstorage=true", "accountname=", "tableendpoint="} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func (v *validator) breaker() {
	b := v.config.Breaker
	if b.OpenFor > b.MaxOpenFor && !v.hasFailed(at("breaker", "maxOpenFor")) {
		v.problem(at("breaker", "openFor"), "is longer than maxOpenFor, which is "+v.text(at("breaker", "maxOpenFor"), b.MaxOpenFor.String()),
			"lower openFor, or raise maxOpenFor")
	}
}

func (v *validator) timeouts() {
	t := v.config.Timeouts
	if v.hasFailed(at("timeouts", "total")) || v.hasFailed(at("timeouts")) {
		return
	}
	total := v.text(at("timeouts", "total"), t.Total.String())
	for _, part := range []struct {
		key string
		d   time.Duration
	}{{"connect", t.Connect}, {"responseHeaders", t.ResponseHeaders}, {"streamIdle", t.StreamIdle}} {
		if part.d > t.Total {
			v.problem(at("timeouts", part.key), "is longer than timeouts.total, which is "+total, "lower it, or raise total")
		}
	}
	for i, pool := range v.config.Pools {
		if pool.MaxWait > t.Total {
			v.problem(at("pools", i, "maxWait"), "is longer than timeouts.total, which is "+total, "lower it, or raise total")
		}
	}
}

func (v *validator) prices() {
	seen := map[string]int{}
	for i, price := range v.config.Prices {
		p := at("prices", i, "model")
		v.known(v.models, price.Model, p, "no pool serves the model %s")
		if first, twice := seen[price.Model]; twice && price.Model != "" {
			v.problem(p, fmt.Sprintf("the model %s has a price in prices[%d] already", v.text(p, ""), first), "remove one of the two")
			continue
		}
		seen[price.Model] = i
	}
}

// admin finds a name that two keys of administrators share.
func (v *validator) admin() {
	first := map[string]int{}
	for i, key := range v.config.Admin.Keys {
		p := at("admin", "keys", i)
		if v.hasFailed(p) || key.Name == "" {
			continue
		}
		j, taken := first[key.Name]
		if !taken {
			first[key.Name] = i
			continue
		}
		// The names of two equal texts are equal. That the keys are is reported.
		if v.written(p.in("name")) || key.Key != v.config.Admin.Keys[j].Key {
			v.problem(p.in("name"), fmt.Sprintf("the name %s is taken by admin.keys[%d]", v.text(p.in("name"), v.quoted(key.Name)), j), "give it another name")
		}
	}
}
