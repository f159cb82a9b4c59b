package breaker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// All instances together stay within what one partition gives.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		instances int64
		rows      int
		want      time.Duration
	}{
		{1, 0, 2 * time.Second},
		{0, 8, 2 * time.Second},
		{-5, 8, 2 * time.Second},
		{500, 1, 2 * time.Second},
		{501, 8, 2004 * time.Millisecond},
		{1000, 8, 4 * time.Second},
		{1000, 3, 4 * time.Second},
		{1000, 20, 10 * time.Second},
		{100, 200, 10 * time.Second},
		{1000, 30, 15 * time.Second},
		{1000, 31, 15 * time.Second},
		{1 << 62, 1 << 40, 15 * time.Second},
	} {
		t.Run(fmt.Sprint(test.instances, " instances, ", test.rows, " rows"), func(t *testing.T) {
			i := newInstance(t, "a", memory.New(), func(o *Options) { o.Instances = func() int64 { return test.instances } })
			i.pace(test.rows)
			if got := i.every(); got != test.want {
				t.Errorf("every %v, want %v", got, test.want)
			}
		})
	}
	t.Run("never more often than configured", func(t *testing.T) {
		i := newInstance(t, "a", memory.New(), func(o *Options) { o.RefreshEvery = 20 * time.Second })
		if i.pace(8); i.every() != 20*time.Second {
			t.Errorf("every %v, want %v", i.every(), 20*time.Second)
		}
	})
}

// A thousand instances with eight rows: a query of each every 4 s, and throttles
// shorter than that are no longer worth a write.
func TestPaceOfALargeFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		instances := int64(1000)
		f := newFleet(t, 1, func(o *Options) { o.Instances = func() int64 { return instances } })
		for k := range 8 {
			key := store.Key{Partition: Partition, Row: fmt.Sprint("other/", k)}
			if _, err := f.store.inner.Insert(t.Context(), key, rule.Facts{}.Encode()); err != nil {
				t.Fatal(err)
			}
		}
		a := f.instances[0]
		for range 4000 {
			a.refresh()
			elapse(10 * time.Millisecond)
		}
		if n := f.store.count(query); n < 10 || n > 11 {
			t.Errorf("%d queries in 40 s, want one every 4 s", n)
		}
		a.admit(t).Throttled(time.Now().Add(3*time.Second), 429)
		synctest.Wait()
		if n := f.store.count(write); n != 0 {
			t.Errorf("%d writes of a throttle that ends before the others read it, want 0", n)
		}
		// The fleet shrinks: the next query sets the usual pace.
		instances = 1
		elapse(5 * time.Second)
		queries := f.store.count(query)
		for range 1000 {
			a.refresh()
			elapse(10 * time.Millisecond)
		}
		if n := f.store.count(query) - queries; n < 5 {
			t.Errorf("%d queries in 10 s, want one every 2 s", n)
		}
	})
}
