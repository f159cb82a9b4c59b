package activity

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/shared/usage"
)

// begin is a full minute.
var begin = time.Date(2026, 8, 1, 14, 0, 0, 0, time.UTC)

// newRecorder counts two deployments of one pool; the first has a limit that is full
// as *fill says.
func newRecorder(fill *float64) *Recorder {
	return New([]Deployment{
		{ID: "ptu/gpt-4o", Backend: "ptu", Name: "gpt-4o", Fill: func() float64 { return *fill }},
		{ID: "payg/gpt-4o", Backend: "payg", Name: "gpt-4o"},
	}, []string{"production"}, begin)
}

// request is a record of a request that ended so long after begin.
func request(after time.Duration, change func(*usage.Record)) *usage.Record {
	r := &usage.Record{
		Start: begin.Add(after - time.Second), Duration: time.Second, FirstByte: 100 * time.Millisecond,
		Consumer: "team-search", Pool: "production", Backend: "ptu", Deployment: "gpt-4o", Status: 200,
		Tokens:   usage.Tokens{Prompt: 10, Completion: 20},
		Attempts: []usage.Attempt{{Deployment: "ptu/gpt-4o", Status: 200, Reason: "ok"}},
	}
	if change != nil {
		change(r)
	}
	return r
}

// A request counts for who served it, and each attempt for whom it was sent to.
func TestCounts(t *testing.T) {
	spilled := func(r *usage.Record) {
		r.Backend, r.Spillover = "payg", "throttled"
		r.Attempts = []usage.Attempt{{Deployment: "ptu/gpt-4o", Status: 429, Reason: "throttled"}, {Deployment: "payg/gpt-4o", Status: 200, Reason: "ok"}}
	}
	failed := func(status int, reason string) func(*usage.Record) {
		return func(r *usage.Record) {
			r.Backend, r.Deployment, r.Status, r.Tokens = "", "", 502, usage.Tokens{}
			r.Attempts[0].Status, r.Attempts[0].Reason = status, reason
		}
	}
	tests := []struct {
		name      string
		change    func(*usage.Record)
		ptu, payg Counts
	}{
		{"served", nil, Counts{Requests: 1, Attempts: 1, Prompt: 10, Completion: 20}, Counts{}},
		{"spilled", spilled, Counts{Attempts: 1, Throttled: 1}, Counts{Requests: 1, Spilled: 1, Attempts: 1, Prompt: 10, Completion: 20}},
		{"failed", failed(500, "status_5xx"), Counts{Attempts: 1, Errors: 1}, Counts{}},
		{"not reached", failed(0, "dial"), Counts{Attempts: 1, Errors: 1}, Counts{}},
		{"our key is refused", failed(401, "status_401"), Counts{Attempts: 1, Errors: 1}, Counts{}},
		{"a bad request", failed(400, "status_4xx"), Counts{Attempts: 1}, Counts{}},
		{"the client left", failed(0, "canceled"), Counts{Attempts: 1}, Counts{}},
		{"nobody was asked", func(r *usage.Record) { r.Attempts, r.Backend = nil, "" }, Counts{}, Counts{}},
		{"another gateway's", func(r *usage.Record) { r.Backend, r.Pool, r.Attempts[0].Deployment = "x", "x", "x" }, Counts{}, Counts{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRecorder(new(float64))
			r.Add(request(time.Second, test.change))
			if got := r.Deployment("ptu/gpt-4o", begin).Counts; got != test.ptu {
				t.Errorf("ptu: %+v, want %+v", got, test.ptu)
			}
			if got := r.Deployment("payg/gpt-4o", begin).Counts; got != test.payg {
				t.Errorf("payg: %+v, want %+v", got, test.payg)
			}
		})
	}
}

// The history has one value for each step, zero where nothing was and null where the
// fill is not known; the present step is in it.
func TestHistory(t *testing.T) {
	var fill float64
	r := newRecorder(&fill)
	fill = 0.25
	r.Add(request(12*time.Second, nil))
	fill = 0.5
	r.Add(request(19*time.Second, nil))
	fill = 0.125 // a correction: the highest of the step counts
	r.Add(request(19900*time.Millisecond, nil))
	r.Add(request(31*time.Second, func(r *usage.Record) { r.Backend, r.Spillover = "payg", "quota" }))
	fill = 0.75
	h := r.History(time.Unix(0, 0), begin.Add(45*time.Second))
	if h.Start != begin.Unix() || h.StepSeconds != 10 {
		t.Errorf("it starts at %d in steps of %d s, want %d and 10", h.Start, h.StepSeconds, begin.Unix())
	}
	ptu, payg, pool := h.Deployments["ptu/gpt-4o"], h.Deployments["payg/gpt-4o"], h.Pools["production"]
	for what, series := range map[string][2]any{
		"ptu requests":  {ptu.Requests, []int64{0, 3, 0, 0, 0}},
		"ptu tokens":    {ptu.Tokens, []int64{0, 90, 0, 0, 0}},
		"ptu fill":      {ptu.Fill, "[NaN 0.5 NaN NaN 0.75]"},
		"payg fill":     {payg.Fill, "[]"},
		"payg spilled":  {payg.Spilled, []int64{0, 0, 0, 30, 0}},
		"pool tokens":   {pool.Tokens, []int64{0, 90, 0, 30, 0}},
		"pool spilled":  {pool.Spilled, []int64{0, 0, 0, 30, 0}},
		"pool requests": {pool.Requests, []int64{0, 3, 0, 1, 0}},
	} {
		got, want := fmt.Sprint(series[0]), fmt.Sprint(series[1])
		if got != want {
			t.Errorf("%s are %s, want %s", what, got, want)
		}
	}
}

// What is older than an hour is forgotten, what was asked from a moment on is only that,
// and a clock that is set back brings nothing into disorder.
func TestHistoryIsAWindow(t *testing.T) {
	fill := 0.1
	r := newRecorder(&fill)
	r.Add(request(5*time.Second, nil))
	r.Add(request(2*time.Hour, nil))
	r.Add(request(time.Minute, nil)) // nearly two hours ago: its step's place is taken or gone
	now := begin.Add(2*time.Hour + 3*time.Second)
	for _, test := range []struct {
		since time.Time
		steps int
	}{
		{time.Unix(0, 0), Steps}, {now.Add(-23 * time.Second), 3}, {now.Add(-22 * time.Second), 2}, {now, 0}, {now.Add(time.Hour), 0}, {time.Unix(-5, 0), Steps},
	} {
		h := r.History(test.since, now)
		requests := h.Deployments["ptu/gpt-4o"].Requests
		if len(requests) != test.steps {
			t.Errorf("since %s: %d steps, want %d", test.since, len(requests), test.steps)
		}
		if n := len(requests); n > 0 && requests[n-1] != 1 {
			t.Errorf("since %s: %d requests in the present step, want 1", test.since, requests[n-1])
		}
	}
	all := r.History(time.Unix(0, 0), now).Deployments["ptu/gpt-4o"].Requests
	var sum int64
	for _, n := range all {
		sum += n
	}
	if sum != 1 {
		t.Errorf("the last hour has %d requests, want 1", sum)
	}
}

// Percentiles are of the last five minutes and the present one, of answers without error.
func TestPercentiles(t *testing.T) {
	r := newRecorder(new(float64))
	for i := range 100 {
		r.Add(request(time.Duration(i)*time.Second, func(r *usage.Record) { r.Duration, r.FirstByte = time.Second, 10*time.Millisecond }))
		r.Add(request(time.Duration(i)*time.Second, func(r *usage.Record) { r.Status, r.Duration = 500, time.Hour }))
	}
	got := r.Deployment("ptu/gpt-4o", begin.Add(100*time.Second))
	if got.Latency.Count != 100 || math.Abs(got.Latency.P50-1000) > 63 || got.Latency.P99 != got.Latency.P50 || math.Abs(got.FirstByte.P95-10) > 0.63 {
		t.Errorf("latency %+v, first byte %+v; want about 1000 and 10 ms of 100", got.Latency, got.FirstByte)
	}
	if later := r.Deployment("ptu/gpt-4o", begin.Add(10*time.Minute)); later.Latency != (Percentiles{}) {
		t.Errorf("ten minutes later they are %+v, want none", later.Latency)
	}
}

// Whoever calls most lately comes first. Beyond what is followed nothing grows, and
// nothing is lost from the sums.
func TestConsumers(t *testing.T) {
	r := newRecorder(new(float64))
	by := func(name string, tokens int64, after time.Duration) {
		r.Add(request(after, func(r *usage.Record) { r.Consumer, r.Tokens = name, usage.Tokens{Prompt: tokens} }))
	}
	by("long-ago", 1_000_000, time.Second)
	for i := range 2 * followed {
		by(fmt.Sprintf("passing-%d", i), 1, 2*time.Hour)
	}
	for range 5 {
		by("busy", 1000, 2*time.Hour)
	}
	by("", 5, 2*time.Hour) // whoever was not let in
	most, seen, others := r.Consumers(50, begin.Add(2*time.Hour))
	if len(most) != 50 || most[0].Name != "busy" || most[0].Requests != 5 || most[0].Prompt != 5000 {
		t.Errorf("the first of %d is %+v", len(most), most[0])
	}
	if seen != followed {
		t.Errorf("%d are followed, want %d", seen, followed)
	}
	all, _, _ := r.Consumers(followed, begin.Add(2*time.Hour))
	sum := others.Requests
	for _, c := range all {
		sum += c.Requests
	}
	if sum != 2*followed+6 {
		t.Errorf("%d requests in all, want %d", sum, 2*followed+6)
	}
}

// Each request adds to what a consumer used, under what became of it.
func TestConsumerUsage(t *testing.T) {
	r := newRecorder(new(float64))
	for _, change := range []func(*usage.Record){
		nil,
		func(r *usage.Record) { r.Status, r.Tokens = 429, usage.Tokens{} },
		func(r *usage.Record) { r.Status, r.Tokens = 503, usage.Tokens{} },
		func(r *usage.Record) { r.Spillover, r.Shadowed = "quota", "rate_limit_exceeded" },
	} {
		r.Add(request(time.Second, change))
	}
	most, _, _ := r.Consumers(1, begin)
	want := Usage{Requests: 4, Limited: 1, Errors: 1, Spilled: 1, Shadowed: 1, Prompt: 20, Completion: 40}
	if len(most) != 1 || most[0].Usage != want || !most[0].Last.Equal(begin.Add(time.Second)) {
		t.Errorf("used %+v, want %+v", most, want)
	}
}

// A storm of throttles leaves the breakers' events alone; all come in the order of time.
func TestEvents(t *testing.T) {
	r := newRecorder(new(float64))
	r.Happened(Event{At: begin, Kind: "opened"})
	for i := range 3 * keptEvents {
		r.Happened(Event{At: begin.Add(time.Duration(i) * time.Second), Kind: "throttled"})
	}
	r.Happened(Event{At: begin.Add(time.Minute), Kind: "closed"})
	all := r.Events(time.Time{})
	if len(all) != keptEvents+2 || all[0].Kind != "opened" || all[1].Kind != "closed" {
		t.Errorf("%d events, first %s and %s; want %d, opened and closed", len(all), all[0].Kind, all[1].Kind, keptEvents+2)
	}
	for i := range len(all) - 1 {
		if all[i].At.After(all[i+1].At) {
			t.Errorf("event %d is at %s, before one at %s", i, all[i].At, all[i+1].At)
		}
	}
	last := begin.Add((3*keptEvents - 1) * time.Second)
	if got := r.Events(last); len(got) != 1 || !got[0].At.Equal(last) {
		t.Errorf("since the last one: %+v", got)
	}
	if got := r.Events(last.Add(1)); got == nil || len(got) != 0 {
		t.Errorf("since later: %#v, want an empty list", got)
	}
}

// Requests end and somebody looks at the same time, and nothing is lost.
func TestParallel(t *testing.T) {
	r := newRecorder(new(float64))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				r.Add(request(time.Duration(j)*time.Millisecond, func(r *usage.Record) { r.Consumer = strings.Repeat("x", i+1) }))
				r.Happened(Event{At: begin, Kind: "opened"})
			}
		})
		all.Go(func() {
			for range 50 {
				r.History(begin, begin.Add(time.Minute))
				r.Consumers(5, begin)
				r.Events(begin)
				r.Deployment("ptu/gpt-4o", begin)
			}
		})
	}
	all.Wait()
	if got := r.Deployment("ptu/gpt-4o", begin).Requests; got != 4000 {
		t.Errorf("%d requests, want 4000", got)
	}
}

// BenchmarkAdd is what each request pays for being counted. It must not allocate.
func BenchmarkAdd(b *testing.B) {
	fill := 0.5
	r := newRecorder(&fill)
	record := request(0, nil)
	for b.Loop() {
		record.Start = record.Start.Add(time.Millisecond)
		r.Add(record)
	}
	b.ReportAllocs()
}

// BenchmarkAddOfManyConsumers is the same where a hundred thousand consumers take turns.
func BenchmarkAddOfManyConsumers(b *testing.B) {
	fill := 0.5
	r := newRecorder(&fill)
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprint("team-", i)
	}
	record := request(0, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		record.Start = record.Start.Add(time.Millisecond)
		record.Consumer = names[i*61_843%len(names)]
		r.Add(record)
	}
}

// BenchmarkAddSpilled is the same with a second attempt.
func BenchmarkAddSpilled(b *testing.B) {
	fill := 0.5
	r := newRecorder(&fill)
	record := request(0, func(r *usage.Record) {
		r.Backend, r.Spillover = "payg", "throttled"
		r.Attempts = append(r.Attempts, usage.Attempt{Deployment: "payg/gpt-4o", Status: 200, Reason: "ok"})
	})
	for b.Loop() {
		record.Start = record.Start.Add(time.Millisecond)
		r.Add(record)
	}
	b.ReportAllocs()
}
