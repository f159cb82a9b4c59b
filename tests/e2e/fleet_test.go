package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
)

// plant is the configuration of the fleets of these tests: instances that share
// a table. The model metered has a limit of tokens per minute, paced one of
// requests, which Azure counts in slices of ten seconds, and frail none; behind
// each stands a backend without a limit.
const plant = `
access: open
admin: { keys: ["${ADMIN_KEY}"] }
state: { store: tables, connection: "${STORAGE}", table: "${TABLE}", onUnavailable: "${POLICY}" }
breaker: { failures: 3, openFor: 2s, maxOpenFor: 20s }
timeouts: { streamIdle: 180s }
backends:
  - { name: metered, endpoint: "${METERED}", deployments: [{ model: metered, tokensPerMinute: 4200 }] }
  - { name: paced, endpoint: "${PACED}", deployments: [{ model: paced, requestsPerMinute: 240 }] }
  - { name: frail, endpoint: "${FRAIL}", deployments: [{ model: frail }] }
  - { name: payg, endpoint: "${PAYG}", deployments: [{ model: metered }, { model: paced }, { model: frail }] }
pools:
  - { model: metered, members: [{ backend: metered, priority: 1 }, { backend: payg, priority: 2 }] }
  - { model: paced, members: [{ backend: paced, priority: 1 }, { backend: payg, priority: 2 }] }
  - { model: frail, members: [{ backend: frail, priority: 1 }, { backend: payg, priority: 2 }] }
`

// The figures of the plant. Each request of these tests is charged the same.
const (
	minuteTokens  = 4200 // of metered
	sliceRequests = 40   // of paced
	charge        = 42   // ⌈6 characters ÷ 4⌉ + 40 tokens of output
	slice         = 10 * time.Second
)

// fleet is gateways that share a table, before backends that nobody else uses.
type fleet struct {
	instances []*process
	backends  map[string]*backend
	env       map[string]string
	client    *http.Client
	edge      time.Duration // see usualEdge
	witness   *witness      // of what the rows have granted; nil if nobody has watched
}

// fleetOptions say what is particular about a fleet.
type fleetOptions struct {
	instances int    // default: 4
	policy    string // default: deny, under which limits are exact whatever the table does
	storage   string // default: the emulator that all tests share
	latency   azureopenai.Latency
	frail     azureopenai.Deployment // limits of frail that the gateways do not know
	generous  bool                   // backends answer whatever they are sent
}

// startFleet starts the backends and the gateways. A test that uses a fleet runs
// beside others: it mostly waits for windows to end.
func startFleet(t *testing.T, o fleetOptions) *fleet {
	t.Helper()
	if o.storage == "" {
		o.storage = azurite.Start(t)
	}
	f := &fleet{backends: make(map[string]*backend), env: settings(), edge: usualEdge}
	models := []string{"metered", "paced", "frail"}
	limits := azureopenai.Deployment{TokensPerMinute: minuteTokens, RequestsPerMinute: 6 * sliceRequests}
	if o.generous {
		limits = azureopenai.Deployment{}
	}
	for name, deployments := range map[string][]azureopenai.Deployment{
		"metered": {{Name: "metered", TokensPerMinute: limits.TokensPerMinute}},
		"paced":   {{Name: "paced", RequestsPerMinute: limits.RequestsPerMinute}},
		"frail":   {{Name: "frail", TokensPerMinute: o.frail.TokensPerMinute}},
		"payg":    {{Name: models[0]}, {Name: models[1]}, {Name: models[2]}},
	} {
		f.backends[name] = newBackend(t, azureopenai.Options{
			Name: name, Deployments: deployments, Latency: o.latency, RecordRequests: 100_000,
			Output: azureopenai.Output{Fill: true},
		})
		f.env[strings.ToUpper(name)] = f.backends[name].url
	}
	if o.policy == "" {
		o.policy = "deny"
	}
	f.env["STORAGE"], f.env["TABLE"], f.env["POLICY"] = o.storage, tableOf(t, o.policy), o.policy
	// A client must let go of a connection before the server does, else a request
	// may be sent on one that is just being closed. Those that were never used the
	// server closes first, after 10 s.
	transport := &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: 4 * time.Second}
	f.client = &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	if o.instances == 0 {
		o.instances = 4
	}
	for range o.instances {
		f.join(t, nil)
	}
	return f
}

// needsFleet marks a test that runs a fleet: it takes long, and runs beside
// others.
func needsFleet(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("fleets of processes take their time")
	}
	t.Parallel()
}

// tableOf is the name of the table of a test's fleet with a policy.
func tableOf(t *testing.T, policy string) string {
	hash := fnv.New64a()
	hash.Write([]byte(t.Name() + policy))
	return fmt.Sprintf("t%x", hash.Sum64())
}

// starting lets one process start at a time: fleets that start all at once would
// take each other's processor time, and the emulator's.
var starting sync.Mutex

// join starts one more instance. What env holds replaces the fleet's settings.
func (f *fleet) join(t *testing.T, env map[string]string) *process {
	t.Helper()
	all := make(map[string]string)
	for _, settings := range []map[string]string{f.env, env} {
		for name, value := range settings {
			all[name] = value
		}
	}
	starting.Lock()
	defer starting.Unlock()
	p := start(t, plant, all)
	f.instances = append(f.instances, p)
	t.Cleanup(func() {
		if said := p.output.String(); strings.Contains(said, "panic") || strings.Contains(said, "goroutine ") {
			t.Error("a gateway panics")
		}
	})
	return p
}

// event is a line of the log that tells of something other than a request.
type event struct {
	Time       time.Time
	Event      string
	Reason     string
	Deployment string
	Limit      string
	Units      int64
	Opens      int
}

// eventOf reads a line; the zero event is any other line.
func eventOf(line string) event {
	var e event
	if !strings.Contains(line, `"event":`) || json.Unmarshal([]byte(line), &e) != nil {
		return event{}
	}
	return e
}

// events are those of a name that the process has told so far.
func (p *process) events(name string) []event {
	var all []event
	for _, line := range p.output.Lines() {
		if e := eventOf(line); e.Event == name {
			all = append(all, e)
		}
	}
	return all
}

// alone tells whether the table, on a machine that is busy with other things, was
// so slow that instances decided about breakers by themselves.
func (f *fleet) alone() bool {
	for _, p := range f.instances {
		if len(p.events("breaker_degraded")) > 0 {
			return true
		}
	}
	return false
}

// awaitEvent waits until the process tells an event, from now on or before.
func (p *process) awaitEvent(t *testing.T, what string, want func(event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if _, err := p.output.Await(ctx, func(line string) bool {
		e := eventOf(line)
		return e.Event != "" && want(e)
	}); err != nil {
		t.Fatalf("a gateway does not tell that %s: %v", what, err)
	}
}

// long is the patience with what several processes do together, on a machine that
// does other things besides.
const long = time.Minute
