package objects

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// sweepAll sweeps every part once and returns how many rows went.
func sweepAll(t testing.TB, r *Registry) int {
	t.Helper()
	sum := 0
	for part := range parts {
		n, err := r.sweepPart(t.Context(), byte(part))
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// A row goes an hour after its object has expired or was deleted, of whatever kind,
// and not before.
func TestWhatIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), Options{})
		brief, gone, kept := response("resp_1"), file("app", "file-1"), file("app", "file-2")
		brief.Expires = time.Now().Add(time.Minute)
		for _, o := range []Object{brief, gone, kept} {
			put(t, r, o)
		}
		if err := r.Delete(t.Context(), gone.Consumer, gone.Kind, gone.ID); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			swept int
		}{
			{time.Hour, 0}, {time.Second, 1}, {58 * time.Second, 0}, {time.Second, 0}, {time.Second, 1}, {29 * 24 * time.Hour, 0}, {25 * time.Hour, 1},
		} {
			wait(step.after)
			if n := sweepAll(t, r); n != step.swept {
				t.Errorf("after %v %d rows went, want %d", step.after, n, step.swept)
			}
		}
	})
}

// Sweeps get around to every part with twice as many of them as there are parts,
// whatever the time between two of them is.
func TestSweepsGetAround(t *testing.T) {
	for _, every := range []time.Duration{
		time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 2560 * time.Second, time.Hour, 2 * time.Hour,
	} {
		seen := make(map[byte]bool)
		now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
		sweeps := 2 * parts * int(max(1, sweepStep/every))
		for range sweeps {
			seen[partAt(now)] = true
			now = now.Add(every)
		}
		if len(seen) < parts {
			t.Errorf("every %v: %d of %d parts were swept by %d sweeps", every, len(seen), parts, sweeps)
		}
	}
}

// One sweep removes three hundred rows; the next one goes on.
func TestASweepIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), Options{})
		for i := range 2*sweepMost + 7 {
			o := file("app", fmt.Sprint("file-", i))
			o.Created = time.Now().Add(-2 * Keep)
			put(t, r, o)
		}
		for _, wanted := range []int{sweepMost, sweepMost, 7, 0} {
			if n, err := r.sweepPart(t.Context(), partOf("app")); n != wanted || err != nil {
				t.Errorf("%d rows went (%v), want %d", n, err, wanted)
			}
		}
	})
}

// Of several who sweep at once each row is removed by one, and nobody fails.
func TestManySweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		r := open(t, table, Options{})
		o := file("app", "file-1")
		o.Created = time.Now().Add(-2 * Keep)
		put(t, r, o)
		removed := make(chan int)
		for range 4 {
			go func() {
				n, err := open(t, table, Options{}).sweepPart(t.Context(), partOf("app"))
				if err != nil {
					t.Error(err)
				}
				removed <- n
			}()
		}
		if sum := <-removed + <-removed + <-removed + <-removed; sum != 1 {
			t.Errorf("%d rows went, want 1", sum)
		}
	})
}

// The clock that rows are judged by is the one that the store's answer has corrected.
func TestSweepTrustsTheStoresClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		c := clock.New(func() (time.Time, time.Duration) { return time.Now().AddDate(1, 0, 0), 0 })
		s := &hooked{Store: table, query: func(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
			now := time.Now()
			c.Observe(now.UTC().Truncate(time.Second), now.AddDate(1, 0, 0), now.AddDate(1, 0, 0))
			return table.Query(ctx, f)
		}}
		put(t, open(t, table, Options{}), file("app", "file-1"))
		if n := sweepAll(t, open(t, s, Options{Clock: c})); n != 0 {
			t.Errorf("%d rows went by a clock that is a year ahead, want none", n)
		}
	})
}

// A sweep that cannot read, or not remove, says so, and tells what it has done.
func TestSweepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty(t)
		r := open(t, s, Options{})
		o := file("app", "file-1")
		o.Created = time.Now().Add(-2 * Keep)
		put(t, r, o)
		s.SetOutage(true)
		if n, err := r.Sweep(t.Context()); n != 0 || !errors.Is(err, ErrUnavailable) {
			t.Errorf("in an outage: %d, %v", n, err)
		}
		s.SetOutage(false)
		s.SetReadOnly(true)
		if n, err := r.sweepPart(t.Context(), partOf("app")); n != 0 || !errors.Is(err, ErrUnavailable) {
			t.Errorf("while nothing can be written: %d, %v", n, err)
		}
		s.SetReadOnly(false)
		if n, err := r.sweepPart(t.Context(), partOf("app")); n != 1 || err != nil {
			t.Errorf("afterwards: %d, want 1, %v", n, err)
		}
	})
}
