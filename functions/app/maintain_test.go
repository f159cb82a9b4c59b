package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/functions/console"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// send sends one chat request, which must be answered.
func send(t *testing.T, r *rig.Rig) {
	t.Helper()
	if w := r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat}); w.Code != 200 {
		t.Errorf("status %d, want 200: %s", w.Code, w.Body)
	}
}

// breakPTU opens the breaker of the first deployment.
func breakPTU(t *testing.T, r *rig.Rig, ptu *azureopenai.Server) {
	t.Helper()
	ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503, Times: 5})
	for range 5 {
		send(t, r)
	}
	if d := first(t, r); d.Breaker != "open" {
		t.Fatalf("the breaker is %s, want open", d.Breaker)
	}
}

// first is the state of the first deployment.
func first(t *testing.T, r *rig.Rig) console.Deployment {
	t.Helper()
	return status(t, r).Deployments[0]
}

// events counts the events of a log.
func eventsOf(t *testing.T, log string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for line := range strings.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("a line is not JSON: %v: %s", err, line)
		}
		if event, ok := fields["event"].(string); ok {
			count[event]++
		}
	}
	return count
}

// A deployment that has recovered serves again after the next run, and no user's
// request was its trial.
func TestMaintainClosesWhatHasRecovered(t *testing.T) {
	var log bytes.Buffer
	run(t, ordinary, app.Options{Log: zerolog.New(&log)}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
		breakPTU(t, r, ptu)
		before := ptu.Stats()["gpt-4o"]
		report := r.Maintain(t.Context())
		if report.Probed != 1 || report.Ready != 1 || report.Err != nil {
			t.Errorf("the run reports %+v", report)
		}
		after := ptu.Stats()["gpt-4o"]
		if after.Requests-before.Requests != 1 || after.CompletionTokens-before.CompletionTokens != 1 {
			t.Errorf("the probe took %d requests and %d tokens, want 1, 1", after.Requests-before.Requests, after.CompletionTokens-before.CompletionTokens)
		}
		send(t, r)
		if records := r.Records(); records[len(records)-1].Backend != "ptu" || len(records[len(records)-1].Attempts) != 1 {
			t.Errorf("the next request went to %+v", records[len(records)-1])
		}
		if records := r.Records(); len(records) != 6 {
			t.Errorf("%d records, want 6: a probe is nobody's request", len(records))
		}
		if again := r.Maintain(t.Context()); !again.Idle() {
			t.Errorf("a second run reports %+v", again)
		}
	})
	if got := eventsOf(t, log.String()); got["probe"] != 1 || got["maintenance"] != 1 {
		t.Errorf("the log tells %v\n%s", got, log.String())
	}
}

// Every answer is judged as a user's would be.
func TestProbesAreJudgedLikeRequests(t *testing.T) {
	tests := []struct {
		name      string
		fault     azureopenai.Fault
		breaker   string
		throttled bool
	}{
		{"well", azureopenai.Fault{Kind: azureopenai.FaultDelay}, "closed", false},
		{"a request refused for what it is", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 400, Body: `{"error":{"code":"content_filter","message":"no"}}`}, "closed", false},
		{"full", azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 40 * time.Second}, "closed", true},
		{"ill", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500}, "open", false},
		{"our key refused", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 401}, "open", false},
		{"forbidden", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 403}, "open", false},
		{"the deployment deleted", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 404, Body: `{"error":{"code":"DeploymentNotFound","message":"no"}}`}, "open", false},
		{"not to be reached", azureopenai.Fault{Kind: azureopenai.FaultRefuse}, "open", false},
		{"reset", azureopenai.Fault{Kind: azureopenai.FaultReset}, "open", false},
		{"hanging", azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders}, "open", false},
		{"a page of HTML", azureopenai.Fault{Kind: azureopenai.FaultContentType}, "open", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			yaml := ordinary + "breaker: { openFor: 60s }\n"
			run(t, yaml, app.Options{}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
				breakPTU(t, r, ptu)
				before := first(t, r)
				ptu.Inject(test.fault)
				began := time.Now()
				if report := r.Maintain(t.Context()); report.Probed != 1 || time.Since(began) > 11*time.Second {
					t.Errorf("the run took %v and reports %+v", time.Since(began), report)
				}
				after := first(t, r)
				if after.Breaker != test.breaker || (after.ThrottledUntil != nil) != test.throttled {
					t.Errorf("it is %s, throttled until %v", after.Breaker, after.ThrottledUntil)
				}
				if after.Breaker == "open" && !after.OpenUntil.Equal(*before.OpenUntil) {
					t.Errorf("open until %v, was %v", after.OpenUntil, before.OpenUntil)
				}
				ptu.Clear()
			})
		})
	}
}

// The request of a probe suits the model, which only the backend knows, on every
// kind of service. What suits is remembered.
func TestProbesSuitTheModel(t *testing.T) {
	for _, api := range []string{"azure", "azure-v1", "openai"} {
		for model, tries := range map[string]int64{"gpt-4o": 1, "o3-mini": 2, "text-embedding-3-small": 3} {
			t.Run(api+" "+model, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := azureopenai.New(azureopenai.Options{Key: "the key", Deployments: []azureopenai.Deployment{{Name: "d", Model: model}}})
					yaml := fmt.Sprintf(`
access: open
admin: { keys: ["%s"] }
backends: [{ name: ptu, endpoint: "http://ptu.test", api: %s, auth: { apiKey: the key }, deployments: [{ model: %s, deployment: d }] }]
pools: [{ model: %s, members: [{ backend: ptu }] }]
breaker: { openFor: 60s }
`, adminKey, api, model, model)
					r := rig.NewWith(t, yaml, app.Options{Transport: azureopenai.Hosts(map[string]*azureopenai.Server{"ptu.test": server})})
					for _, want := range []int64{tries, 1} {
						server.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503, Times: 5})
						for range 5 {
							body := strings.Replace(strings.Replace(chat, "gpt-4o", model, 1), "max_tokens", "max_completion_tokens", 1)
							call := rig.Call{Path: "/v1/chat/completions", Body: body}
							if strings.Contains(model, "embedding") {
								call = rig.Call{Path: "/v1/embeddings", Body: `{"model":"` + model + `","input":"x"}`}
							}
							r.Send(t.Context(), call)
						}
						if d := first(t, r); d.Breaker != "open" {
							t.Fatalf("it is %s, want open", d.Breaker)
						}
						server.Clear()
						<-time.After(6 * time.Second) // since the last probe
						before := server.Stats()["d"]
						if report := r.Maintain(t.Context()); report.Ready != 1 {
							t.Fatalf("the run reports %+v, want Ready 1", report)
						}
						if after := server.Stats()["d"]; after.Requests-before.Requests != want || after.Accepted-before.Accepted != 1 {
							t.Errorf("the probe took %d requests, want %d", after.Requests-before.Requests, want)
						}
					}
				})
			})
		}
	}
}

// A probe counts against its deployment's limits as the backend counts it; where
// they have no room nothing is sent.
func TestProbesKeepToTheLimits(t *testing.T) {
	t.Run("room", func(t *testing.T) {
		run(t, ordinary, app.Options{}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
			breakPTU(t, r, ptu)
			wait(time.Second)
			before := first(t, r)
			r.Maintain(t.Context())
			after := first(t, r)
			if used := before.Tokens.Remaining - after.Tokens.Remaining; used != 10 {
				t.Errorf("it took %d tokens of the limit, want 10", used)
			}
			if used := before.Requests.Remaining - after.Requests.Remaining; used != 1 {
				t.Errorf("it took %d requests of the limit, want 1", used)
			}
		})
	})
	t.Run("no room", func(t *testing.T) {
		yaml := strings.Replace(ordinary, "requestsPerMinute: 60", "requestsPerMinute: 30", 1)
		run(t, yaml, app.Options{}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
			breakPTU(t, r, ptu) // which takes all five requests of these ten seconds
			before := ptu.Stats()["gpt-4o"].Requests
			if report := r.Maintain(t.Context()); report.Ready != 0 {
				t.Errorf("the run reports %+v, want Ready 0", report)
			}
			if sent := ptu.Stats()["gpt-4o"].Requests - before; sent != 0 {
				t.Errorf("%d requests were sent, want 0", sent)
			}
			if d := first(t, r); d.Breaker != "open" {
				t.Errorf("it is %s, want open", d.Breaker)
			}
			wait(10 * time.Second)
			if report := r.Maintain(t.Context()); report.Ready != 1 {
				t.Errorf("with room, the run reports %+v, want Ready 1", report)
			}
		})
	})
}

// A throttle that the deployment does not need any more is lifted by the next run.
func TestMaintainLiftsAThrottle(t *testing.T) {
	run(t, ordinary, app.Options{}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
		ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 50 * time.Second, Times: 1})
		send(t, r)
		wait(10 * time.Second)
		if d := first(t, r); d.ThrottledUntil == nil {
			t.Fatal("it is not throttled")
		}
		if report := r.Maintain(t.Context()); report.Probed != 1 || report.Ready != 1 {
			t.Errorf("the run reports %+v, want Probed 1, Ready 1", report)
		}
		if d := first(t, r); d.ThrottledUntil != nil {
			t.Errorf("it is throttled until %v", d.ThrottledUntil)
		}
	})
}

func wait(d time.Duration) { <-time.After(d) }

// counting is a store that counts the queries over rows of many partitions, of
// which each run of the maintenance begins with one.
type counting struct {
	store.Store
	mu   sync.Mutex
	runs []time.Time // Guarded by mu.
}

func (c *counting) Query(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	if strings.HasPrefix(f.Prefix, "quota!deployment/") {
		c.mu.Lock()
		c.runs = append(c.runs, time.Now())
		c.mu.Unlock()
	}
	return c.Store.Query(ctx, f)
}

// take returns when runs were made, and forgets them.
func (c *counting) take() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := c.runs
	c.runs = nil
	return runs
}

// tend lets instances be tended for a time.
func tend(t *testing.T, d time.Duration, rigs ...*rig.Rig) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	began := time.Now()
	var group sync.WaitGroup
	for _, r := range rigs {
		group.Go(func() { r.Tend(ctx) })
	}
	group.Wait()
	if took := time.Since(began); took != d {
		t.Errorf("Tend returned after %v, its context ended after %v", took, d)
	}
}

// A process with time of its own runs the maintenance every ten seconds, not to
// the beat.
func TestTendRunsTheMaintenance(t *testing.T) {
	s := &counting{Store: memory.New()}
	run(t, ordinary, app.Options{Store: s}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		began := time.Now()
		tend(t, 10*time.Minute, r)
		distinct := map[time.Duration]bool{}
		last := began
		runs := s.take()
		for _, at := range runs {
			pause := at.Sub(last)
			if pause < 8*time.Second || pause > 12*time.Second {
				t.Errorf("a run after %v", pause)
			}
			distinct[pause], last = true, at
		}
		if n := len(runs); n < 50 || n > 75 || len(distinct) < n/2 {
			t.Errorf("%d runs at %d distances in ten minutes", n, len(distinct))
		}
	})
}

// Instances that share limits share the maintenance: about one run every ten
// seconds, however many they are.
func TestTendSharesTheMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counting{Store: memory.New()}
		ptu, payg := backend("ptu", "gpt-4o"), backend("payg", "gpt-4o-payg")
		var rigs []*rig.Rig
		for n := range 8 {
			rigs = append(rigs, rig.NewWith(t, ordinary, app.Options{
				Store: s, Instance: fmt.Sprint("instance ", n),
				Transport: azureopenai.Hosts(map[string]*azureopenai.Server{"ptu.test": ptu, "payg.test": payg}),
			}))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for _, r := range rigs {
			group.Go(func() { r.Tend(ctx) })
		}
		wait(time.Minute)
		alone := len(s.take()) // nobody knows of the others yet
		for range 10 * 12 {    // for ten minutes, one request every five seconds at each
			for _, r := range rigs {
				send(t, r)
			}
			wait(5 * time.Second)
		}
		cancel()
		group.Wait()
		if together := len(s.take()); alone < 8*4 || together > 8*60/3 || together < 30 {
			t.Errorf("%d runs in the first minute, then %d in ten", alone, together)
		}
		if s := status(t, rigs[7]); s.Instances < 6 || s.Instances > 8 {
			t.Errorf("it believes to be one of %d", s.Instances)
		}
	})
}

// What an idle instance holds goes back to those who need it.
func TestTendGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		ptu, payg := backend("ptu", "gpt-4o"), backend("payg", "gpt-4o-payg")
		var rigs []*rig.Rig
		for n := range 2 {
			rigs = append(rigs, rig.NewWith(t, ordinary, app.Options{
				Store: s, Instance: fmt.Sprint("instance ", n),
				Transport: azureopenai.Hosts(map[string]*azureopenai.Server{"ptu.test": ptu, "payg.test": payg}),
			}))
		}
		for range 5 { // both are there, and take more than a request needs
			send(t, rigs[0])
			send(t, rigs[1])
			wait(time.Second)
		}
		granted := func() int64 {
			row, err := s.Get(t.Context(), store.Key{Partition: "quota!deployment/ptu/gpt-4o/tokens!minute!0", Row: "w"})
			if err != nil {
				t.Fatal(err)
			}
			return row.Columns["Granted"].(int64)
		}
		before := granted()
		tend(t, 15*time.Second, rigs[0], rigs[1])
		if after := granted(); before <= 120 || after != 120 { // ten requests of twelve tokens
			t.Errorf("%d tokens were granted, and %d after they have been idle", before, after)
		}
	})
}

// When it begins, a process says once what store it works with.
func TestTendChecksTheStore(t *testing.T) {
	var log bytes.Buffer
	run(t, ordinary, app.Options{Log: zerolog.New(&log)}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		tend(t, 5*time.Minute, r)
		if s := status(t, r); s.Store != (console.Store{Kind: "memory"}) || s.Instances != 1 {
			t.Errorf("the status says %+v, %d instances", s.Store, s.Instances)
		}
	})
	if got := eventsOf(t, log.String()); got["state_ready"] != 1 || len(got) != 1 {
		t.Errorf("the log tells %v", got)
	}
}
