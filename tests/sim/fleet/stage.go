package fleet

import (
	"fmt"
	"strings"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/sim/script"
)

const (
	model          = script.Model
	deploymentName = "d"
	adminKey       = "an admin key for simulations"
	headerID       = "X-Request-Id"
	headerAttempt  = "X-Sim-Attempt"
)

// What gateways are told about patience, and what the judge holds them to.
const (
	openFor       = 3 * time.Second
	maxOpenFor    = 12 * time.Second
	maxRetryAfter = 20 * time.Second
)

func host(backend int) string        { return fmt.Sprintf("m%d.test", backend) }
func backendName(backend int) string { return fmt.Sprintf("m%d", backend) }
func deploymentID(backend int) string {
	return backendName(backend) + "/" + deploymentName
}
func key(consumer int) string { return fmt.Sprintf("key of consumer %d", consumer) }

// yaml is the configuration of all gateways. factor is what limits are
// multiplied by: 1, unless a tampered world lies about them.
func (s *Schedule) yaml(factor int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "access: keys\nadmin: { keys: [%q] }\nstate: { onUnavailable: %s }\n", adminKey, s.Policy)
	fmt.Fprintf(&b, "breaker: { failures: %d, openFor: %v, maxOpenFor: %v, maxRetryAfter: %v }\n", s.Failures, openFor, maxOpenFor, maxRetryAfter)
	b.WriteString("timeouts: { responseHeaders: 4s, streamIdle: 3s }\nbackends:\n")
	for i, m := range s.Backends {
		accounting := "azure"
		if m.Settled {
			accounting = "actual"
		}
		fmt.Fprintf(&b, "  - name: %s\n    endpoint: http://%s\n    api: azure-v1\n", backendName(i), host(i))
		fmt.Fprintf(&b, "    deployments: [{ model: %s, deployment: %s, accounting: %s", model, deploymentName, accounting)
		if m.Tokens > 0 {
			fmt.Fprintf(&b, ", tokensPerMinute: %d", m.Tokens*factor)
		}
		if m.Requests > 0 {
			fmt.Fprintf(&b, ", requestsPerMinute: %d", m.Requests*factor)
		}
		b.WriteString(" }]\n")
	}
	fmt.Fprintf(&b, "pools:\n  - model: %s\n    members:\n", model)
	for i, m := range s.Backends {
		fmt.Fprintf(&b, "      - { backend: %s, priority: %d, weight: %d }\n", backendName(i), m.Priority, m.Weight)
	}
	b.WriteString("consumers:\n")
	for i, c := range s.Consumers {
		fmt.Fprintf(&b, "  - name: c%d\n    keys: [%q]\n", i, key(i))
		if c.Tokens > 0 {
			fmt.Fprintf(&b, "    tokensPerMinute: %d\n", c.Tokens*factor)
		}
		if c.Requests > 0 {
			fmt.Fprintf(&b, "    requestsPerMinute: %d\n", c.Requests*factor)
		}
	}
	return b.String()
}

// server is a backend as it truly is.
func (b *Backend) server(i int, seed uint64) *azureopenai.Server {
	d := azureopenai.Deployment{
		Name:    deploymentName,
		Model:   model,
		Latency: &azureopenai.Latency{FirstByte: b.FirstByte, PerToken: b.PerToken, Jitter: 0.5},
		Output:  &azureopenai.Output{Mean: 40, Spread: 0.8, ChunkTokens: 25},
	}
	if b.Enforced {
		d.TokensPerMinute, d.RequestsPerMinute = b.Tokens, b.Requests
		if b.Settled { // Azure's own charge would run into it much sooner.
			d.TokensPerMinute = 0
		}
	}
	if b.Settled {
		d.RequestWindow = time.Minute
	}
	o := azureopenai.Options{
		Name:        backendName(i),
		Deployments: []azureopenai.Deployment{d},
		Seed:        seed ^ uint64(i)<<32,
		Retry:       b.Retry,
	}
	if b.MinusOne {
		o.Headers.Remaining, o.Headers.Limit = azureopenai.HeaderMinusOne, azureopenai.HeaderMinusOne
	}
	return azureopenai.New(o)
}

// perSlice is how many requests fit into one window of the limit, and how long
// that is.
func (b *Backend) perSlice() (int64, time.Duration) {
	if b.Settled {
		return b.Requests, time.Minute
	}
	return b.Requests / 6, 10 * time.Second
}

// prompts are the texts that calls send.
var prompts = script.Prompts(1, 3, 8, 20, 60, 120, 250)

// body is the request as JSON.
func (r *Request) body() string {
	stream := ""
	if r.Stream {
		stream = `,"stream":true`
	}
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"max_tokens":%d%s}`, model, prompts[r.Prompt].Text, r.Max, stream)
}
