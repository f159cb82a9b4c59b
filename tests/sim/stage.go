package sim

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
	// headerFault marks the answers that a trouble of the schedule bent.
	headerFault = "X-Sim-Fault"
	headerID    = "X-Request-Id"
)

// What the gateway is told about patience, and what the judge holds it to.
const (
	responseHeaders  = 4 * time.Second
	streamIdle       = 3 * time.Second
	maxRetryAfter    = time.Minute
	defaultThrottle  = 10 * time.Second
	breakerInterval  = 10 * time.Second
	retriesPerSecond = 10
)

func host(member int) string    { return fmt.Sprintf("m%d.test", member) }
func backend(member int) string { return fmt.Sprintf("m%d", member) }
func key(consumer int) string   { return fmt.Sprintf("key of consumer %d", consumer) }

// yaml is the configuration of the gateway, with whatever untruth the schedule
// has in it.
func (s *Schedule) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "access: keys\nadmin: { keys: [%q] }\n", adminKey)
	fmt.Fprintf(&b, "breaker: { failures: %d, openFor: 3s, interval: %v, maxRetryAfter: %v }\n", s.Failures, breakerInterval, maxRetryAfter)
	fmt.Fprintf(&b, "timeouts: { responseHeaders: %v, streamIdle: %v }\nbackends:\n", responseHeaders, streamIdle)
	for i, m := range s.Members {
		t := m.told()
		fmt.Fprintf(&b, "  - name: %s\n    endpoint: http://%s\n    api: %s\n", backend(i), host(i), m.API)
		if m.API == "azure" {
			b.WriteString("    apiVersion: 2024-10-21\n")
		}
		fmt.Fprintf(&b, "    deployments: [{ model: %s, deployment: %s, accounting: %s", model, deploymentName, accounting(t.Kind))
		if t.Kind == Metered || t.Kind == Settled {
			fmt.Fprintf(&b, ", tokensPerMinute: %d", t.Tokens)
			if m.SpillBelow > 0 {
				fmt.Fprintf(&b, ", spillBelow: %d", m.SpillBelow)
			}
		}
		if t.Requests > 0 {
			fmt.Fprintf(&b, ", requestsPerMinute: %d", t.Requests)
		}
		b.WriteString(" }]\n")
	}
	fmt.Fprintf(&b, "pools:\n  - model: %s\n    strategy: %s\n    maxWait: %v\n    members:\n", model, s.Strategy, s.MaxWait)
	for i, m := range s.Members {
		if t := m.told(); !t.Missing {
			fmt.Fprintf(&b, "      - { backend: %s, priority: %d, weight: %d }\n", backend(i), t.Priority, m.Weight)
		}
	}
	b.WriteString("consumers:\n")
	for i, c := range s.Consumers {
		fmt.Fprintf(&b, "  - name: c%d\n    keys: [%q]\n", i, key(i))
		if c.Told != nil {
			c = *c.Told
		}
		if c.Tokens > 0 {
			fmt.Fprintf(&b, "    tokensPerMinute: %d\n", c.Tokens)
		}
		if c.Requests > 0 {
			fmt.Fprintf(&b, "    requestsPerMinute: %d\n", c.Requests)
		}
		switch {
		case c.NoSpill:
			b.WriteString("    spillover: false\n")
		case c.SpillCap > 0:
			fmt.Fprintf(&b, "    spillover: { tokensPerMinute: %d }\n", c.SpillCap)
		}
	}
	return b.String()
}

// told is what the configuration says of the member.
func (m *Member) told() Told {
	if m.Told != nil {
		return *m.Told
	}
	return Told{Kind: m.Kind, Priority: m.Priority, Tokens: m.Tokens, Requests: m.Requests}
}

func accounting(k Kind) string {
	if k == Settled {
		return "actual"
	}
	return "azure"
}

// server is the backend of a member, as it truly is.
func (m *Member) server(member int, seed uint64) *azureopenai.Server {
	d := azureopenai.Deployment{
		Name:              deploymentName,
		Model:             model,
		RequestsPerMinute: m.Requests,
		Latency:           &azureopenai.Latency{FirstByte: m.FirstByte, PerToken: m.PerToken, Jitter: 0.5},
		Output:            &azureopenai.Output{Mean: m.Output, Spread: 0.6, ChunkTokens: 1 + m.Output/3},
	}
	switch {
	case m.PTU:
		d.TokensPerMinute, d.Limiter = m.Tokens, azureopenai.PTU
	case m.Kind == Metered || m.Kind == Unknown:
		d.TokensPerMinute = m.Tokens
	}
	if slice := m.slice(); slice > 0 {
		d.RequestWindow = slice
	}
	return azureopenai.New(azureopenai.Options{
		Name:        backend(member),
		Deployments: []azureopenai.Deployment{d},
		Seed:        seed ^ uint64(member)<<32,
		Retry:       m.Retry,
	})
}

// slice is the time over which requests are counted, 0 without a limit.
func (m *Member) slice() time.Duration {
	switch {
	case m.Requests == 0:
		return 0
	case m.Kind == Settled:
		return time.Minute
	default:
		return 10 * time.Second
	}
}

// perSlice is how many requests fit into one slice.
func (m *Member) perSlice() int64 {
	return m.Requests * int64(m.slice()/time.Second) / 60
}

// prompts are the texts that calls send.
var prompts = script.Prompts(1, 2, 3, 5, 8, 12, 20, 35, 60, 100, 180, 300)

// body is the call as JSON.
func (c *Call) body() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"model":%q,"messages":[{"role":"user","content":%q}]`, model, prompts[c.Prompt].Text)
	if c.Max > 0 {
		fmt.Fprintf(&b, `,"max_tokens":%d`, c.Max)
	}
	if c.N > 0 {
		fmt.Fprintf(&b, `,"n":%d`, c.N)
	}
	if c.Stream {
		b.WriteString(`,"stream":true`)
	}
	b.WriteString("}")
	return b.String()
}

// output is the largest output asked for, 0 without a maximum.
func (c *Call) output() int64 { return c.Max * max(1, c.N) }

// charge is what Azure's limiter books: a quarter of the characters, rounded
// up, and the largest output.
func (c *Call) charge() int64 {
	return max(1, (prompts[c.Prompt].Characters+3)/4+c.output())
}

// frame is how much more the gateway counts for the frame of a message than the
// simulated backends do.
const frame = 1

// exact is the reservation of a limit that is settled, if the prompt is counted.
func (c *Call) exact() int64 { return prompts[c.Prompt].Tokens + frame + c.output() }

func (c *Call) path() string {
	if c.Classic {
		return "/openai/deployments/" + model + "/chat/completions?api-version=2024-10-21"
	}
	return "/v1/chat/completions"
}
