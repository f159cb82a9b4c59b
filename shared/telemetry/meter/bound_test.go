package meter_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"spillway/shared/telemetry/meter"
	"spillway/shared/usage"
)

func attributeKey(key string) attribute.Key { return attribute.Key(key) }

// odd are beginnings of values that nobody should have to read.
var odd = []string{"", "\x00\r\n\t", strings.Repeat("x", 1<<20), "\xff\xfe", "a=b,c\"d\\", "\u202e\u2028", "-" + strings.Repeat("é", 200)}

// hostile is the i-th record as a client and a backend would have it that want to fill
// the memory: models that nobody serves, and values of every kind.
func hostile(i int) usage.Record {
	value := fmt.Sprintf("%s%d", odd[i%len(odd)], i)
	r := served
	switch i % 3 {
	case 0: // the model does not exist
		r = usage.Record{Consumer: "team-a", Operation: "chat", Model: value, Status: 404, Refused: "model_not_found"}
	case 1: // the backend makes up regions and reasons
		r.Region = value
		r.Attempts = []usage.Attempt{{Deployment: "ptu/gpt-4o-ptu", Status: i, Reason: value}}
	default: // there are very many consumers
		r.Consumer = value
	}
	return r
}

// Whatever clients and backends send, no instrument has more series than its limit,
// each value is short and printable, and nothing is lost: what has no room is counted
// in the overflow, which is counted too.
func TestSeriesAreBounded(t *testing.T) {
	const limit, requests = 100, 1000
	m, reader := newMeter(t, limit)
	var total int64
	for i := range requests {
		r := hostile(i)
		m.Request(&r)
		m.Lease("grant", "consumer/"+r.Consumer+"/tokens", 1)
		m.Breaker("opened", r.Region, "ptu/"+r.Model)
		m.Event(r.Model)
	}
	all := numbers(t, reader)
	for name, data := range all {
		got := counts(t, data)
		if len(got) > limit {
			t.Errorf("%s has %d series, want at most %d", name, len(got), limit)
		}
		for at := range got {
			if len(at) > 4000 || !utf8.ValidString(at) || strings.ContainsFunc(at, unicode.IsControl) {
				t.Errorf("%s has the attributes %.200q", name, at)
			}
		}
	}
	for _, p := range all["spillway.requests"].Data.(metricdata.Sum[int64]).DataPoints {
		total += p.Value
		if model, ok := p.Attributes.Value("gen_ai.request.model"); ok && model.AsString() != "gpt-4o" {
			t.Errorf("a model that nobody serves is a value: %q", model.AsString())
		}
	}
	if total != requests {
		t.Errorf("%d requests are counted, want %d", total, requests)
	}
	overflow := counts(t, all["spillway.requests"])["otel.metric.overflow=true"]
	if overflow == 0 {
		t.Error("no request went to the overflow: the test has not reached the limit")
	}
	if got := counts(t, all["spillway.telemetry.overflow"])["spillway.instrument=spillway.requests"]; got != overflow {
		t.Errorf("%g overflows of spillway.requests are counted, want %g", got, overflow)
	}
}

// Those that have a series keep it when there is no more room.
func TestSeriesAreKept(t *testing.T) {
	const limit, consumers, again = 100, 10_000, 7
	m, reader := newMeter(t, limit)
	request := func(i int) {
		r := served
		r.Consumer = fmt.Sprintf("team-%04d", i)
		m.Request(&r)
	}
	for i := range consumers {
		request(i)
	}
	for range again {
		for i := range consumers {
			request(i)
		}
	}
	got := counts(t, numbers(t, reader)["spillway.requests"])
	if overflow, want := got["otel.metric.overflow=true"], float64((1+again)*(consumers-limit+1)); len(got) != limit || overflow != want {
		t.Errorf("there are %d series, and %g requests in the overflow, want %d and %g", len(got), overflow, limit, want)
	}
	for at, n := range got {
		if !strings.Contains(at, "overflow") && n != 1+again {
			t.Errorf("%g requests are counted, want %d, of {%s}", n, 1+again, at)
		}
	}
}

// Models that nobody serves share one series, so that asking for them leaves the room
// of the series to others.
func TestUnknownModelsTakeNoRoom(t *testing.T) {
	m, reader := newMeter(t, 10)
	for i := range 10_000 {
		m.Request(&usage.Record{Consumer: "team-a", Operation: "chat", Model: fmt.Sprint("model-", i), Status: 404, Refused: "model_not_found"})
	}
	m.Request(&served)
	got := counts(t, numbers(t, reader)["spillway.requests"])
	if len(got) != 2 || got["otel.metric.overflow=true"] != 0 {
		t.Errorf("the series are\n%s, want one of the unknown models and one of the served request", lines(got))
	}
}

// Many may count at once, while the numbers are read.
func TestConcurrentUse(t *testing.T) {
	m, reader := newMeter(t, 50)
	m.Watch(func() meter.State { return meter.State{Instances: 1} })
	var records []usage.Record
	for i := range 300 {
		if r := hostile(i); len(r.Model)+len(r.Consumer)+len(r.Region) < 1<<10 {
			records = append(records, r)
		}
	}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for i := range records {
				m.Request(&records[i])
				m.Lease("grant", "deployment/ptu/gpt-4o-ptu/tokens", 1)
			}
		})
	}
	writers.Go(func() {
		for range 20 {
			numbers(t, reader)
		}
	})
	writers.Wait()
	var total float64
	for _, n := range counts(t, numbers(t, reader)["spillway.requests"]) {
		total += n
	}
	if want := float64(8 * len(records)); total != want {
		t.Errorf("%g requests are counted, want %g", total, want)
	}
}

// A value is valid, printable and short, and a value that is so already is left as it
// is.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "gpt-4o", "\x00", "\xff\xfe", "é\u2028", strings.Repeat("a", 200), strings.Repeat("é", 100), strings.Repeat("a", 127) + "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := meter.Value(text)
		if len(got) > 128 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Value(%q) is %q", text, got)
		}
		if again := meter.Value(got); again != got {
			t.Errorf("Value(%q) is %q, and of that it is %q", text, got, again)
		}
		if text != "" && got == "" {
			t.Errorf("Value(%q) is empty", text)
		}
	})
}
