package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/shared/usage"
	"spillway/shared/usage/ledger"
	"spillway/tests/fakes/faultstore"
)

// request is a request of a consumer that was served.
func request(consumer string, prompt int64) *usage.Record {
	return &usage.Record{
		Start: time.Now(), Consumer: consumer, Model: "gpt-4o", Pool: "production", Backend: "ptu", Deployment: "gpt-4o-ptu",
		Region: "eastus2", Status: 200, Tokens: usage.Tokens{Prompt: prompt, Completion: 1}, Cost: 0.001,
	}
}

func start(t testing.TB, o ledger.Options) *ledger.Ledger {
	t.Helper()
	if o.Instance == "" {
		o.Instance = "one"
	}
	l, err := ledger.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sums reads the whole ledger by some columns.
func sums(t testing.TB, s store.Store, by ...string) map[string]usage.Counts {
	t.Helper()
	return sumsAt(t, s, time.Now(), by...)
}

// sumsAt reads the whole ledger as of a moment.
func sumsAt(t testing.TB, s store.Store, now time.Time, by ...string) map[string]usage.Counts {
	t.Helper()
	q := usage.Query{From: now.Add(-30 * 24 * time.Hour), To: now.Add(24 * time.Hour), By: by}
	r, err := usage.Summarize(ledger.Read(t.Context(), s, q, nil), q)
	if err != nil {
		t.Fatal(err)
	}
	read := make(map[string]usage.Counts)
	for _, row := range r.Rows {
		read[fmt.Sprint(row.Keys)] = row.Counts
	}
	return read
}

func wait(d time.Duration) { <-time.After(d) }

// What is added is read again under its dimensions. A request that no consumer made
// leaves no trace, and a model that nobody knows is not named.
func TestAddFlushRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := start(t, ledger.Options{Store: s})
		l.Add(request("a", 10))
		l.Add(request("a", 5))
		spilled := request("b", 1)
		spilled.Spillover, spilled.Shadowed, spilled.Status = "quota", "rate_limit_exceeded", 500
		spilled.Tags = "project=web"
		l.Add(spilled)
		l.Add(&usage.Record{Consumer: "b", Model: "whatever the client wrote", Status: 404})
		l.Add(&usage.Record{Status: 401})
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := map[string]usage.Counts{
			"[a gpt-4o gpt-4o-ptu ptu eastus2 no 2xx ]":             {Requests: 2, Prompt: 15, Completion: 2, Cost: 2_000_000},
			"[b gpt-4o gpt-4o-ptu ptu eastus2 yes 5xx project=web]": {Requests: 1, Errors: 1, Prompt: 1, Completion: 1, Shadowed: 1, Cost: 1_000_000},
			"[b     no 4xx ]": {Requests: 1, Errors: 1},
		}
		if got := sums(t, s, "consumer", "model", "deployment", "backend", "region", "spilled", "status", "tags"); !maps.Equal(got, want) {
			t.Errorf("read %+v\nwant %+v", got, want)
		}
	})
}

// A consumer's tags are told apart up to a bound in each hour, whatever else tells its
// requests apart; another consumer's are not its business.
func TestTagsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		var events []string
		l := start(t, ledger.Options{Store: s, Events: func(e ledger.Event) { events = append(events, fmt.Sprint(e.Kind, " ", e.Consumer)) }})
		add := func(consumer string, tag int, model string) {
			r := request(consumer, 1)
			r.Tags, r.Model = "run="+strconv.Itoa(tag), model
			l.Add(r)
		}
		for n := range 1100 {
			add("a", n, "gpt-4o")
			add("a", n, "gpt-4o-mini")
		}
		add("b", 5000, "gpt-4o")
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		read := sums(t, s, "consumer", "tags")
		if len(read) != 1002 || read["[a run=999]"].Requests != 2 || read["[a (other)]"].Requests != 200 || read["[b run=5000]"].Requests != 1 {
			t.Errorf("%d rows; run=999: %d requests, (other): %d, of b: %d; want 1002 rows, 2, 200 and 1 requests",
				len(read), read["[a run=999]"].Requests, read["[a (other)]"].Requests, read["[b run=5000]"].Requests)
		}
		wait(time.Hour)
		add("a", 1099, "gpt-4o")
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := sums(t, s, "consumer", "tags")["[a run=1099]"].Requests; got != 1 {
			t.Errorf("%d requests of other tags in the next hour, want 1", got)
		}
		if want := []string{"usage_tags_bounded a"}; !slices.Equal(events, want) {
			t.Errorf("events are %q, want %q", events, want)
		}
	})
}

// Beyond the bound requests are still counted for their consumer, and beyond twice the
// bound for "(other)".
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		var events []ledger.EventKind
		l := start(t, ledger.Options{Store: s, MaxCounters: 10, Events: func(e ledger.Event) { events = append(events, e.Kind) }})
		for n := range 100 {
			r := request("team-"+strconv.Itoa(n%40), 1)
			r.Deployment = strconv.Itoa(n)
			l.Add(r)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		read := sums(t, s, "consumer", "deployment")
		total := usage.Counts{}
		for _, n := range read {
			total.Add(n)
		}
		if total.Requests != 100 || len(read) > 21 {
			t.Errorf("%d requests under %d counters, want 100 under at most 21", total.Requests, len(read))
		}
		if read["[team-0 0]"].Requests != 1 || read["[team-12 (other)]"].Requests == 0 || read["[(other) (other)]"].Requests == 0 {
			t.Errorf("read %v", read)
		}
		if !slices.Equal(events, []ledger.EventKind{ledger.EventBounded}) {
			t.Errorf("events are %v", events)
		}
	})
}

// Many counters fill several pages, and a fold packs those of one consumer into
// several rows of its day where one does not hold them.
func TestManyCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := start(t, ledger.Options{Store: s})
		for n := range 3000 {
			r := request("team-"+strconv.Itoa(n%3), int64(n))
			r.Deployment = "a deployment with quite a long name, number " + strconv.Itoa(n)
			l.Add(r)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := sums(t, s, "consumer", "deployment")
		wait(2 * time.Hour)
		for range 5 {
			if _, err := l.Fold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		after := sums(t, s, "consumer", "deployment")
		if len(before) != 3000 || !maps.Equal(before, after) {
			t.Errorf("%d counters before the fold, %d after it", len(before), len(after))
		}
		wait(25 * time.Hour)
		if _, err := l.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		for row := range s.Query(t.Context(), store.Filter{Prefix: "usage!hour!"}) {
			t.Errorf("the page %v is still there", row.Key)
		}
		if after = sums(t, s, "consumer", "deployment"); !maps.Equal(before, after) {
			t.Errorf("%d counters after the pages were deleted", len(after))
		}
	})
}

// A consumer's usage is its own, also of one whose name is the beginning of another's.
func TestOneConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := start(t, ledger.Options{Store: s})
		for _, name := range []string{"a", "a!0", "a-b", "a!", "ab"} {
			l.Add(request(name, 1))
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			q := usage.Query{From: time.Now().Add(-48 * time.Hour), To: time.Now(), By: []string{"consumer"}, Consumer: "a"}
			q.To = q.To.Add(time.Hour)
			r, err := usage.Summarize(ledger.Read(t.Context(), s, q, nil), q)
			if err != nil || len(r.Rows) != 1 || r.Total.Requests != 1 {
				t.Errorf("read %+v, %v", r, err)
			}
			wait(2 * time.Hour)
			if _, err := l.Fold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// An owner that slept until its pages were deleted knows what they held, but for a
// write whose answer was lost: that one it holds to be counted, and says so.
func TestSleepBeyondThePages(t *testing.T) {
	tests := []struct {
		name      string
		fault     faultstore.Fault // of the second write
		want      int64            // of three requests
		uncertain int64
	}{
		{"not sent", faultstore.Refused, 3, 0},
		{"sent, and the answer lost", faultstore.AnswerLost, 3, 1},
		{"sent, and lost", faultstore.RequestLost, 2, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New()
				s, err := faultstore.New(inner, faultstore.Options{})
				if err != nil {
					t.Fatal(err)
				}
				uncertain := int64(0)
				l := start(t, ledger.Options{Store: s, Events: func(e ledger.Event) {
					if e.Kind == ledger.EventUncertain {
						uncertain += e.Requests
					}
				}})
				l.Add(request("a", 1))
				if err := l.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				l.Add(request("a", 1))
				if err := s.SetRates(map[faultstore.Fault]float64{test.fault: 1}); err != nil {
					t.Fatal(err)
				}
				if err := l.Flush(t.Context()); err == nil {
					t.Fatal("void: the flush succeeded")
				}
				if err := s.SetRates(nil); err != nil {
					t.Fatal(err)
				}
				other := start(t, ledger.Options{Store: inner})
				for range 4 {
					wait(10 * time.Hour)
					if _, err := other.Fold(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				l.Add(request("a", 1))
				if err := l.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := sums(t, inner, "consumer")["[a]"].Requests; got != test.want || uncertain != test.uncertain {
					t.Errorf("%d requests read, %d uncertain; want %d and %d", got, uncertain, test.want, test.uncertain)
				}
			})
		})
	}
}

// Rows that make no sense are told, and keep nobody from reading the others.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := start(t, ledger.Options{Store: s})
		l.Add(request("a", 1))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		partition := "usage!hour!" + time.Now().UTC().Format("2006010215")
		for n, columns := range []store.Columns{{}, {"Format": int64(2), "Counters": "x"}, {"Format": int64(1), "Counters": "nonsense\nx\ty"}, {"Format": int64(1), "Counters": int64(3)}} {
			if _, err := s.Insert(t.Context(), store.Key{Partition: partition, Row: strconv.Itoa(n)}, columns); err != nil {
				t.Fatal(err)
			}
		}
		var last ledger.Progress
		q := usage.Query{From: time.Now(), To: time.Now().Add(time.Hour)}
		r, err := usage.Summarize(ledger.Read(t.Context(), s, q, func(p ledger.Progress) { last = p }), q)
		if err != nil || r.Total.Requests != 1 {
			t.Errorf("read %+v, want Total.Requests 1, %v", r, err)
		}
		if last.Unreadable != 5 || last.Rows != 5 || last.Hours != last.Total {
			t.Errorf("it says %+v, want 5 unreadable", last)
		}
	})
}

// An error of the store ends a report. It does not look complete.
func TestReadFails(t *testing.T) {
	s, err := faultstore.New(memory.New(), faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.SetOutage(true)
	q := usage.Query{From: time.Now().Add(-time.Hour), To: time.Now()}
	if _, err := usage.Summarize(ledger.Read(t.Context(), s, q, nil), q); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}
