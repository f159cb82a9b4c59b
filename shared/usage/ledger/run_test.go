package ledger_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store/memory"
	"spillway/shared/usage/ledger"
	"spillway/tests/fakes/faultstore"
)

// A busy instance writes once a second, an idle one not at all, and at the end of Run
// all is written.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := faultstore.New(memory.New(), faultstore.Options{Latency: [2]time.Duration{5 * time.Millisecond, 15 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		l := start(t, ledger.Options{Store: s})
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { l.Run(ctx) })
		for range 10_000 { // 100 a second
			l.Add(request("a", 1))
			wait(10 * time.Millisecond)
		}
		busy := s.Operations()
		if busy < 90 || busy > 105 {
			t.Errorf("%d calls in 100 seconds of 10,000 requests, want about one a second", busy)
		}
		wait(time.Minute)
		if idle := s.Operations(); idle > busy+1 {
			t.Errorf("%d calls in an idle minute", idle-busy)
		}
		l.Add(request("a", 1))
		stop()
		run.Wait()
		if got := sums(t, s, "consumer")["[a]"].Requests; got != 10_001 {
			t.Errorf("%d requests read, want 10,001", got)
		}
	})
}

// While the store is down nothing is lost, it is asked ever less often, and what comes
// in over many hours takes no more room than one hour's counters. What could not be
// written in its hour counts for the hour in which it was.
func TestOutage(t *testing.T) {
	for _, fault := range []faultstore.Fault{faultstore.Outage, faultstore.RequestLost, faultstore.AnswerLost} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New()
				s, err := faultstore.New(inner, faultstore.Options{})
				if err != nil {
					t.Fatal(err)
				}
				var events []string
				l := start(t, ledger.Options{Store: s, Events: func(e ledger.Event) { events = append(events, e.Kind.String()) }})
				ctx, stop := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { l.Run(ctx) })
				if fault == faultstore.Outage {
					s.SetOutage(true)
				} else if err := s.SetRates(map[faultstore.Fault]float64{fault: 1}); err != nil {
					t.Fatal(err)
				}
				for range 5 * 60 {
					l.Add(request("a", 1))
					l.Add(request("b", 1))
					wait(time.Minute)
				}
				if most := 5*3600/15 + 20; s.Operations() > 2*int64(most) {
					t.Errorf("%d calls in five hours of outage, want at most %d", s.Operations(), 2*int64(most))
				}
				s.SetOutage(false)
				if err := s.SetRates(nil); err != nil {
					t.Fatal(err)
				}
				wait(time.Minute)
				stop()
				run.Wait()
				if got := sums(t, inner, "consumer"); got["[a]"].Requests != 300 || got["[b]"].Requests != 300 {
					t.Errorf("read %+v, want 300 requests each", got)
				}
				if hours := sums(t, inner, "hour"); len(hours) > 2 {
					t.Errorf("they count for %d hours, want the one in which they were written, and the one of the first attempt", len(hours))
				}
				if !slices.Equal(events, []string{"usage_delayed", "usage_recovered"}) {
					t.Errorf("events are %v", events)
				}
			})
		})
	}
}

// A host that freezes the process between requests writes once a second at most, and
// what it had before it froze is there.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := faultstore.New(memory.New(), faultstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l := start(t, ledger.Options{Store: s})
		for range 100 {
			l.Add(request("a", 1))
			l.Settle(t.Context())
			wait(100 * time.Millisecond)
		}
		if got := s.Operations(); got > 13 {
			t.Errorf("%d calls in ten seconds, want at most 13", got)
		}
		wait(time.Second)
		l.Settle(t.Context())
		if got := sums(t, s, "consumer")["[a]"].Requests; got != 100 {
			t.Errorf("%d requests read, want 100", got)
		}
		s.SetOutage(true)
		before := s.Operations()
		for range 100 {
			l.Add(request("a", 1))
			l.Settle(t.Context())
			wait(100 * time.Millisecond)
		}
		if got := s.Operations() - before; got > 5 {
			t.Errorf("%d calls in ten seconds to a store that is down, want at most 5", got)
		}
	})
}
