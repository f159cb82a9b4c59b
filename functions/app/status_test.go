package app_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/app"
	"spillway/functions/console"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/rig"
)

// shown is a configuration with limits of every kind.
const shown = `
access: keys
admin: { keys: ["` + adminKey + `"] }
backends:
  - { name: ptu, region: swedencentral, endpoint: http://ptu.test, deployments: [{ model: gpt-4o, tokensPerMinute: 1000 }] }
  - { name: payg, endpoint: http://payg.test, deployments: [{ model: gpt-4o, deployment: gpt-4o-payg }] }
pools:
  - { model: gpt-4o, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
consumers:
  - name: team-search
    keys: ["a key of team-search"]
    tokensPerMinute: 500
    requestsPerMinute: 60
    quotas: [{ tokens: 100000, per: month }]
    spillover: { tokensPerMinute: 300 }
    modelLimits: [{ model: gpt-4o, tokensPerMinute: 400 }]
`

func ask(t *testing.T, r *rig.Rig) {
	t.Helper()
	if w := r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat, Key: "a key of team-search"}); w.Code >= 500 {
		t.Logf("status %d: %s", w.Code, w.Body)
	}
}

// What spilled is told apart from what the paid deployment took, in the counts and in
// the history, and a consumer's limits are shown by their names.
func TestStatusShowsWhatHappened(t *testing.T) {
	run(t, shown, app.Options{}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
		<-time.After(time.Second)
		ask(t, r)
		ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 30 * time.Second, Times: 1})
		<-time.After(10 * time.Second)
		ask(t, r)
		s := status(t, r)

		paid, spill := s.Deployments[0], s.Deployments[1]
		if paid.Backend != "ptu" || paid.Region != "swedencentral" || paid.Share != 0.5 || paid.Counts.Requests != 1 || paid.Counts.Throttled != 1 || paid.Counts.Attempts != 2 {
			t.Errorf("the paid deployment is %+v", paid)
		}
		if spill.Counts.Spilled != 1 || spill.Counts.Prompt != 8 || spill.Counts.Completion != 5 || spill.Latency.Count != 1 {
			t.Errorf("the other one is %+v", spill)
		}
		if want := float64(1000-paid.Tokens.Remaining) / 1000; float64(paid.Fill) != want || want == 0 {
			t.Errorf("the fill is %v, want %v", paid.Fill, want)
		}
		of := s.History.Pools["gpt-4o"]
		if len(of.Tokens) != 2 || of.Tokens[0] != 13 || of.Spilled[0] != 0 || of.Tokens[1] != 13 || of.Spilled[1] != 13 {
			t.Errorf("the pool's history is %+v", of)
		}
		if fill := s.History.Deployments["ptu/gpt-4o"].Fill; len(fill) != 2 || !(fill[0] > 0) {
			t.Errorf("the history of the fill is %v", fill)
		}
		if len(s.Events) != 1 || s.Events[0].Kind != "throttled" || s.Events[0].Deployment != "ptu/gpt-4o" || s.Events[0].Until.Sub(s.Events[0].At) != 30*time.Second {
			t.Errorf("the events are %+v", s.Events)
		}
		if s.View != console.View || !s.Started.Equal(s.Now.Add(-11*time.Second)) {
			t.Errorf("started %s, now %s", s.Started, s.Now)
		}
		checkConsumer(t, s)
	})
}

func checkConsumer(t *testing.T, s console.Status) {
	t.Helper()
	if s.Consumers.Seen != 1 || len(s.Consumers.MostActive) != 1 {
		t.Fatalf("the consumers are %+v", s.Consumers)
	}
	c := s.Consumers.MostActive[0]
	if c.Name != "team-search" || c.Usage.Requests != 2 || c.Spilled != 1 || !c.Last.Equal(s.Now) {
		t.Errorf("the consumer is %+v", c)
	}
	want := []struct {
		name, model string
		limit, used int64
	}{
		{"requests/minute", "", 60, 2}, {"tokens/minute", "", 500, 26}, {"tokens/month", "", 100000, 26},
		{"tokens/minute", "gpt-4o", 400, 26}, {"spillover tokens/minute", "", 300, 13},
	}
	if len(c.Limits) != len(want) {
		t.Fatalf("%d limits, want %d: %+v", len(c.Limits), len(want), c.Limits)
	}
	for i, w := range want {
		l := c.Limits[i]
		if l.Name != w.name || l.Model != w.model || l.Limit.Limit != w.limit || l.Limit.Limit-l.Remaining != w.used {
			t.Errorf("limit %d is %+v, want %+v", i, l, w)
		}
	}
}

// While the table is down the status is there, says so, and asks the table nothing.
func TestStatusWhileTheTableIsDown(t *testing.T) {
	table, err := faultstore.New(memory.New(), faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, shown, app.Options{Store: table}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		ask(t, r)
		if s := status(t, r); s.Store.Degraded || s.Store.Message != "" {
			t.Errorf("with the table there the store is %+v", s.Store)
		}
		table.SetOutage(true)
		for range 30 {
			<-time.After(5 * time.Second)
			ask(t, r)
		}
		synctest.Wait()
		before := table.Operations()
		s := status(t, r)
		if !s.Store.Degraded || s.Store.Message == "" {
			t.Errorf("with the table down the store is %+v", s.Store)
		}
		if s.Totals.Requests != 31 || len(s.Deployments) != 2 || s.History.Pools["gpt-4o"].Requests == nil {
			t.Errorf("the status is not complete: %+v", s.Totals)
		}
		if asked := table.Operations() - before; asked != 0 {
			t.Errorf("the status has asked the table %d times, want 0", asked)
		}
	})
}
