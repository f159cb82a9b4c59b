package meter_test

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"spillway/shared/telemetry/meter"
	"spillway/shared/usage"
)

const (
	servedBy  = "gen_ai.operation.name=chat,gen_ai.provider.name=azure.ai.openai,gen_ai.request.model=gpt-4o,gen_ai.request.stream=false,"
	servedAt  = "spillway.backend=ptu,spillway.consumer=team-a,spillway.deployment=gpt-4o-ptu,"
	spilledBy = "gen_ai.operation.name=chat,gen_ai.provider.name=azure.ai.openai,gen_ai.request.model=gpt-4o,gen_ai.request.stream=true,"
	spilledAt = "spillway.backend=payg,spillway.consumer=team-a,spillway.deployment=gpt-4o,"
)

// A request is counted under who really served it, by the conventions' names.
func TestRequestServed(t *testing.T) {
	m, reader := newMeter(t, 0)
	m.Request(&served)
	got := numbers(t, reader)
	expect(t, got, "spillway.requests", map[string]float64{
		servedBy + "http.response.status_code=200," + servedAt + "spillway.outcome=served,spillway.region=eastus2,spillway.spilled=false": 1,
	})
	expect(t, got, "spillway.attempts", map[string]float64{
		"gen_ai.provider.name=azure.ai.openai,spillway.attempt.reason=ok,spillway.backend=ptu,spillway.deployment=gpt-4o-ptu": 1,
	})
	for _, kind := range []string{"input", "output"} {
		at := servedBy + "gen_ai.token.type=" + kind + "," + servedAt + "spillway.region=eastus2,spillway.spilled=false"
		if counts(t, got["gen_ai.client.token.usage"])[at] != 1 {
			t.Errorf("there is no token usage at %s, but\n%s", at, lines(counts(t, got["gen_ai.client.token.usage"])))
		}
	}
	expect(t, got, "gen_ai.client.operation.duration", map[string]float64{servedBy + servedAt + "spillway.region=eastus2,spillway.spilled=false": 1})
	for _, name := range []string{
		"spillway.spilled.requests", "spillway.spilled.tokens", "spillway.queue.wait", "spillway.tokens.unreported",
		"gen_ai.client.operation.time_to_first_chunk", "gen_ai.server.time_per_output_token", "spillway.telemetry.overflow",
	} {
		expect(t, got, name, nil)
	}
}

// A request that spilled over is also counted by why, with its tokens; one that was
// streamed, by its first chunk and its pace.
func TestRequestSpilled(t *testing.T) {
	m, reader := newMeter(t, 0)
	m.Request(&spilled)
	got := numbers(t, reader)
	why := spilledBy + spilledAt + "spillway.region=swedencentral,spillway.spill.reason=throttled,spillway.spilled=true"
	expect(t, got, "spillway.spilled.requests", map[string]float64{why: 1})
	expect(t, got, "spillway.spilled.tokens", map[string]float64{why: 601})
	at := spilledBy + spilledAt + "spillway.region=swedencentral,spillway.spilled=true"
	expect(t, got, "spillway.queue.wait", map[string]float64{at: 1})
	expect(t, got, "gen_ai.client.operation.time_to_first_chunk", map[string]float64{at: 1})
	expect(t, got, "spillway.attempts", map[string]float64{
		"gen_ai.provider.name=azure.ai.openai,spillway.attempt.reason=status_429,spillway.backend=ptu,spillway.deployment=gpt-4o-ptu": 1,
		"gen_ai.provider.name=azure.ai.openai,spillway.attempt.reason=ok,spillway.backend=payg,spillway.deployment=gpt-4o":            1,
	})
	pace := got["gen_ai.server.time_per_output_token"].Data.(metricdata.Histogram[float64]).DataPoints[0]
	if pace.Sum != 0.02 { // 2 s for the 100 tokens after the first
		t.Errorf("the time per output token is %g s, want 0.02", pace.Sum)
	}
}

// Each way that a request can end has its outcome and its error.type.
func TestOutcomes(t *testing.T) {
	ends := func(change func(*usage.Record)) usage.Record {
		r := served
		r.Attempts = append([]usage.Attempt(nil), served.Attempts...)
		change(&r)
		return r
	}
	for _, c := range []struct {
		name                          string
		record                        usage.Record
		outcome, errorType, limitedBy string
	}{
		{"served", served, "served", "", ""},
		{"no credential", usage.Record{Status: 401, Refused: "invalid_api_key"}, "rejected", "invalid_api_key", ""},
		{"a limit of the consumer", usage.Record{Status: 429, Refused: "rate_limit_exceeded"}, "rate_limited", "rate_limit_exceeded", "consumer"},
		{"no deployment has room", usage.Record{Status: 429, Refused: "rate_limit_exceeded", Estimated: 10}, "rate_limited", "rate_limit_exceeded", "capacity"},
		{"all are broken", usage.Record{Status: 503, Refused: "overloaded", Estimated: 10}, "failed", "overloaded", ""},
		{"the backend's 400", ends(func(r *usage.Record) { r.Status, r.Attempts[0].Status, r.Attempts[0].Reason = 400, 400, "ok" }), "rejected", "400", ""},
		{"cut in the middle", ends(func(r *usage.Record) { r.Attempts[0].Reason = "cut" }), "failed", "cut", ""},
		{"the client left", ends(func(r *usage.Record) { r.Status, r.Attempts[0].Reason = 499, "client_gone" }), "client_gone", "client_gone", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, reader := newMeter(t, 0)
			m.Request(&c.record)
			points := numbers(t, reader)["spillway.requests"].Data.(metricdata.Sum[int64]).DataPoints
			if len(points) != 1 {
				t.Fatalf("%d points, want 1", len(points))
			}
			for key, want := range map[string]string{
				"spillway.outcome": c.outcome, "error.type": c.errorType, "spillway.limited_by": c.limitedBy,
			} {
				value, _ := points[0].Attributes.Value(attributeKey(key))
				if got := value.AsString(); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if got := meter.ErrorType(&c.record); got != c.errorType {
				t.Errorf("ErrorType is %q, want %q", got, c.errorType)
			}
		})
	}
}

// The conventions' token usage is what backends report; what the gateway had to count
// itself has an instrument of its own, and a request that was sent nowhere has no
// duration of an operation.
func TestOnlyReportedTokensAreUsage(t *testing.T) {
	m, reader := newMeter(t, 0)
	counted := served
	counted.Measured = false
	m.Request(&counted)
	m.Request(&usage.Record{Status: 401, Refused: "invalid_api_key"})
	got := numbers(t, reader)
	expect(t, got, "gen_ai.client.token.usage", nil)
	at := servedBy + servedAt + "spillway.region=eastus2,spillway.spilled=false"
	expect(t, got, "spillway.tokens.unreported", map[string]float64{at: 512})
	expect(t, got, "gen_ai.client.operation.duration", map[string]float64{at: 1})
}

// However many requests there were, of however many kinds: whoever reads is told of all
// of them, and of each once.
func TestReaderIsToldAll(t *testing.T) {
	const at = servedBy + servedAt + "spillway.region=eastus2,spillway.spilled=false"
	ended := servedBy + "http.response.status_code=200," + servedAt + "spillway.outcome=served,spillway.region=eastus2,spillway.spilled=false"
	m, reader := newMeter(t, 0)
	total := 0
	for _, more := range []int{1, 1, 14, 16, 17, 0, 100} {
		for range more {
			m.Request(&served)
		}
		total += more
		got := numbers(t, reader)
		expect(t, got, "spillway.requests", map[string]float64{ended: float64(total)})
		expect(t, got, "spillway.attempts", map[string]float64{
			"gen_ai.provider.name=azure.ai.openai,spillway.attempt.reason=ok,spillway.backend=ptu,spillway.deployment=gpt-4o-ptu": float64(total),
		})
		expect(t, got, "gen_ai.client.operation.duration", map[string]float64{at: float64(total)})
		for _, p := range got["gen_ai.client.token.usage"].Data.(metricdata.Histogram[int64]).DataPoints {
			each := served.Tokens.Prompt
			if kind, _ := p.Attributes.Value("gen_ai.token.type"); kind.AsString() == "output" {
				each = served.Tokens.Completion
			}
			if p.Count != uint64(total) || p.Sum != int64(total)*each {
				t.Errorf("after %d requests: %d of %d tokens in all, want %d of %d", total, p.Count, p.Sum, total, int64(total)*each)
			}
		}
	}
}

// Counting a request whose series is known allocates nothing.
func TestRequestAllocatesNothing(t *testing.T) {
	m, _ := newMeter(t, 0)
	for _, record := range []usage.Record{served, spilled} {
		if n := testing.AllocsPerRun(100, func() { m.Request(&record) }); n != 0 {
			t.Errorf("counting %s allocates %g times, want 0", record.RequestID, n)
		}
	}
}

// A nil Meter takes all calls: without telemetry nobody has to ask.
func TestNilMeterCountsNothing(t *testing.T) {
	var m *meter.Meter
	m.Request(&served)
	m.Lease("grant", "consumer/team-a/tokens", 1)
	m.Breaker("opened", "failure_ratio", "ptu/gpt-4o-ptu")
	m.Event("panic")
	m.Watch(func() meter.State { return meter.State{} })
	if s := m.Store(nil); s != nil {
		t.Errorf("a nil Meter wraps the store into %T", s)
	}
}
