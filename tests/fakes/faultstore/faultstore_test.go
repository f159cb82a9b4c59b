package faultstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

var (
	ctx = context.Background()
	key = store.Key{Partition: "p", Row: "r"}
	one = store.Columns{"N": int64(1)}
	two = store.Columns{"N": int64(2)}
)

// always wraps a store with one row such that one fault befalls everything.
func always(t *testing.T, fault faultstore.Fault) (s *faultstore.Store, inner *memory.Store, etag string) {
	t.Helper()
	inner = memory.New()
	etag, err := inner.Insert(ctx, key, one)
	if err != nil {
		t.Fatal(err)
	}
	s, err = faultstore.New(inner, faultstore.Options{
		Rates: map[faultstore.Fault]float64{fault: 1},
		Delay: [2]time.Duration{time.Second, time.Second},
		Late:  [2]time.Duration{time.Second, time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, inner, etag
}

func value(t *testing.T, s store.Store, k store.Key) any {
	t.Helper()
	row, err := s.Get(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return row.Columns["N"]
}

func query(s store.Store) error {
	for _, err := range s.Query(ctx, store.Filter{Partition: "p"}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// What each fault says, and what is in the store when it says so and later.
func TestFaults(t *testing.T) {
	tests := []struct {
		fault       faultstore.Fault
		read, write error
		now, later  any // Value of the row after a replace by 2.
	}{
		{faultstore.Refused, store.ErrUnavailable, store.ErrUnavailable, int64(1), int64(1)},
		{faultstore.RequestLost, store.ErrUnavailable, store.ErrAmbiguous, int64(1), int64(1)},
		{faultstore.AnswerLost, store.ErrUnavailable, store.ErrAmbiguous, int64(2), int64(2)},
		{faultstore.LateApply, nil, store.ErrAmbiguous, int64(1), int64(2)},
		{faultstore.Conflicted, nil, store.ErrConflict, int64(1), int64(1)},
		{faultstore.Busy, store.ErrUnavailable, store.ErrAmbiguous, int64(1), int64(1)},
		{faultstore.BusyApplied, nil, store.ErrAmbiguous, int64(2), int64(2)},
		{faultstore.ConflictedApplied, nil, store.ErrConflict, int64(2), int64(2)},
		{faultstore.Delayed, nil, nil, int64(2), int64(2)},
	}
	for _, test := range tests {
		t.Run(test.fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, inner, etag := always(t, test.fault)
				columns := store.Columns{"N": int64(2)}
				_, err := s.Replace(ctx, key, columns, etag)
				columns["N"] = int64(3) // A late write must not see this.
				want(t, "replace", err, test.write)
				if got := value(t, inner, key); got != test.now {
					t.Errorf("the row holds %v at once, want %v", got, test.now)
				}
				s.Wait()
				if got := value(t, inner, key); got != test.later {
					t.Errorf("the row holds %v in the end, want %v", got, test.later)
				}
				_, err = s.Get(ctx, key)
				want(t, "get", err, test.read)
				want(t, "query", query(s), test.read)
				_, err = s.Insert(ctx, store.Key{Partition: "p", Row: "new"}, one)
				want(t, "insert", err, test.write)
				s.Wait()
				if fired := s.Count(test.fault); fired == 0 {
					t.Errorf("%v was not counted", test.fault)
				}
				if s.Operations() != 4 {
					t.Errorf("%d operations, want 4", s.Operations())
				}
			})
		})
	}
}

func want(t *testing.T, operation string, err, want error) {
	t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", operation, err, want)
	}
}

// Only a write that happens can be followed by a conflict with itself.
func TestConflictedAppliedToNothing(t *testing.T) {
	s, _, etag := always(t, faultstore.ConflictedApplied)
	_, err := s.Replace(ctx, store.Key{Partition: "p", Row: "absent"}, two, etag)
	want(t, "replace of nothing", err, store.ErrNotFound)
}

// A late write is as conditional as any other.
func TestLateApplyAfterAnotherWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, inner, etag := always(t, faultstore.LateApply)
		_, err := s.Replace(ctx, key, two, etag)
		want(t, "replace", err, store.ErrAmbiguous)
		if _, err := inner.Replace(ctx, key, store.Columns{"N": int64(7)}, etag); err != nil {
			t.Fatal(err)
		}
		s.Wait()
		if got := value(t, inner, key); got != int64(7) {
			t.Errorf("the late write replaced a later one: %v, want %v", got, int64(7))
		}
	})
}

// A late write happens although the context of its caller has ended.
func TestLateApplyOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, inner, etag := always(t, faultstore.LateApply)
		short, cancel := context.WithCancel(ctx)
		want(t, "delete", s.Delete(short, key, etag), store.ErrAmbiguous)
		cancel()
		s.Wait()
		if got := value(t, inner, key); got != nil {
			t.Errorf("the row holds %v, want none", got)
		}
	})
}

// A deadline that ends on the way loses the request or the answer, never more
// time than it had.
func TestDelayMeetsADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		applied, lost := 0, 0
		for seed := range uint64(100) {
			inner := memory.New()
			s, err := faultstore.New(inner, faultstore.Options{
				Seed:  seed,
				Rates: map[faultstore.Fault]float64{faultstore.Delayed: 1},
				Delay: [2]time.Duration{time.Second, time.Second},
			})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			_, err = s.Insert(short, key, one)
			cancel()
			want(t, "insert", err, store.ErrAmbiguous)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 500*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			if value(t, inner, key) == nil {
				lost++
			} else {
				applied++
			}
		}
		if applied < 20 || lost < 20 {
			t.Errorf("%d applied and %d lost of 100", applied, lost)
		}
	})
}

// A query that loses its answer has told some of it before.
func TestAnswerLostInAQuery(t *testing.T) {
	inner := memory.New()
	for i := range 50 {
		if _, err := inner.Insert(ctx, store.Key{Partition: "p", Row: fmt.Sprint(i)}, one); err != nil {
			t.Fatal(err)
		}
	}
	s, err := faultstore.New(inner, faultstore.Options{Rates: map[faultstore.Fault]float64{faultstore.AnswerLost: 1}})
	if err != nil {
		t.Fatal(err)
	}
	some := false
	for range 20 {
		rows, failed := 0, false
		for _, err := range s.Query(ctx, store.Filter{Partition: "p"}) {
			if failed {
				t.Fatal("the sequence goes on after an error")
			}
			if failed = err != nil; !failed {
				rows++
			}
		}
		if !failed || rows >= 50 {
			t.Fatalf("%d rows, failed: %v", rows, failed)
		}
		some = some || rows > 0
	}
	if !some {
		t.Error("no query told anything before it failed")
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func(seed uint64) string {
		s, err := faultstore.New(memory.New(), faultstore.Options{Seed: seed, Rates: map[faultstore.Fault]float64{
			faultstore.Refused: 0.2, faultstore.RequestLost: 0.2, faultstore.AnswerLost: 0.2,
		}})
		if err != nil {
			t.Fatal(err)
		}
		outcomes := ""
		for i := range 50 {
			_, err := s.Insert(ctx, store.Key{Partition: "p", Row: fmt.Sprint(i)}, one)
			outcomes += fmt.Sprint(errors.Is(err, store.ErrAmbiguous), errors.Is(err, store.ErrUnavailable))
		}
		return outcomes
	}
	first, again, other := run(1), run(1), run(2)
	if first != again || first == other {
		t.Error("the seed does not decide the faults")
	}
}

// Each fault has a name of its own, and is listed once.
func TestNames(t *testing.T) {
	named := make(map[string]bool)
	for _, fault := range append(faultstore.All(), faultstore.Further()...) {
		if named[fault.String()] {
			t.Errorf("%v is there twice", fault)
		}
		named[fault.String()] = true
	}
	if next := faultstore.Fault(len(named)); next.String() != fmt.Sprintf("Fault(%d)", len(named)) {
		t.Errorf("%v is not listed", next)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]faultstore.Options{
		"rate above 1":    {Rates: map[faultstore.Fault]float64{faultstore.Refused: 1.1}},
		"negative rate":   {Rates: map[faultstore.Fault]float64{faultstore.Delayed: -0.1}},
		"sum above 1":     {Rates: map[faultstore.Fault]float64{faultstore.Refused: 0.6, faultstore.AnswerLost: 0.6}},
		"rate of outages": {Rates: map[faultstore.Fault]float64{faultstore.Outage: 0.1}},
		"delay backwards": {Delay: [2]time.Duration{2, 1}},
		"negative late":   {Late: [2]time.Duration{-1, 1}},
		"latency below 0": {Latency: [2]time.Duration{-1, 1}},
		"rate of slowing": {Rates: map[faultstore.Fault]float64{faultstore.Slowed: 0.1}},
	} {
		if _, err := faultstore.New(memory.New(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s, err := faultstore.New(memory.New(), faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetRates(map[faultstore.Fault]float64{faultstore.Refused: 2}); err == nil {
		t.Error("SetRates takes a rate of 2")
	}
	if err := s.SetRates(map[faultstore.Fault]float64{faultstore.Refused: 1}); err != nil {
		t.Error(err)
	}
	_, err = s.Get(ctx, key)
	want(t, "get", err, store.ErrUnavailable)
}
