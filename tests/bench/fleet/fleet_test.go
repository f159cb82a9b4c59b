package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/bench/figures"
)

// TestMeasure is no test: tests/bench runs it, since virtual time needs one.
func TestMeasure(t *testing.T) {
	figures.Measure(t, func() any {
		var all Figures
		for _, rate := range Rates {
			var runs []Operations
			for seed := range uint64(Runs) {
				runs = append(runs, operations(t, Hot(rate, seed)))
			}
			all.Operations = append(all.Operations, runs)
		}
		for _, instances := range Sizes {
			all.Refreshes = append(all.Refreshes, refreshes(t, Watched(instances)))
		}
		return all
	})
}

func operations(t *testing.T, traffic Traffic) (result Operations) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if result, err = MeasureOperations(traffic); err != nil {
			t.Fatal(err)
		}
	})
	return result
}

func refreshes(t *testing.T, w Watch) (result Refreshes) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if result, err = MeasureRefresh(w); err != nil {
			t.Fatal(err)
		}
	})
	return result
}

// However hot the key is, the limit holds to the token, and the table sees ever
// fewer operations per request.
func TestOperationsPerRequestFallAsTrafficGrows(t *testing.T) {
	last := 2.5 // A read and a write, and a few conflicts.
	for _, rate := range Rates {
		o := operations(t, Hot(rate, 7))
		if want := rate * 60 * 5; float64(o.Requests) < want*0.8 || float64(o.Requests) > want*1.2 {
			t.Errorf("%v requests/s: void, %d requests are not the traffic", rate, o.Requests)
		}
		if o.OverLimit != 0 || o.Failures != 0 || o.Table.Failures != 0 {
			t.Errorf("%v requests/s: %d tokens beyond the limit, %d failures, want none: %+v", rate, o.OverLimit, o.Failures, o)
		}
		if o.PerRequest() >= last {
			t.Errorf("%v requests/s: %.3f operations per request, with fewer requests it was %.3f", rate, o.PerRequest(), last)
		}
		if rate >= 500 && o.PerRequest() > 0.03 {
			t.Errorf("%v requests/s: %.3f operations per request", rate, o.PerRequest())
		}
		if rate >= 50 && o.Used < 0.95 {
			t.Errorf("%v requests/s: void, only %.0f %% of the limit is used", rate, 100*o.Used)
		}
		last = o.PerRequest()
	}
}

// The judge of the limit must be able to say no: instances that do not share a
// row use more than the limit, and the books show it.
func TestBooksSeeWhatIsBeyondTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBooks(Traffic{Limit: 1000, Windows: 1})
		b.charge(time.Now(), 800)
		b.charge(time.Now(), 300)
		b.charge(time.Now(), -200)
		if got := b.close(); got.OverLimit != 100 || got.Used != 0.9 {
			t.Errorf("beyond the limit: %d, used: %v; want 100 and 0.9", got.OverLimit, got.Used)
		}
	})
}

// What the breakers cost the table is bounded, however many instances there are.
func TestRefreshesStayWithinWhatAPartitionGives(t *testing.T) {
	for _, instances := range []int{Sizes[0], Sizes[len(Sizes)-1]} {
		r := refreshes(t, Watched(instances))
		if r.Table.Reads == 0 || r.Table.Failures != 0 {
			t.Errorf("%d instances: void, %+v", instances, r)
		}
		if r.RowsPerSecond > PartitionRows*1.02 {
			t.Errorf("%d instances read %.0f rows a second, a partition gives %d", instances, r.RowsPerSecond, PartitionRows)
		}
	}
}
