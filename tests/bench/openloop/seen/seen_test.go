package seen

import (
	"testing"
	"time"
)

// Of a thousand requests that took 1 to 1000 ms, 500 took 500 ms at most, and so on.
func TestQuantiles(t *testing.T) {
	var all []Request
	for i := 1000; i > 0; i-- { // in whatever order
		all = append(all, Request{Took: time.Duration(i) * time.Millisecond, Lag: time.Duration(i) * time.Microsecond, Status: 200})
	}
	got := Of(all, 2*time.Second, "")
	want := Seen{Requests: 1000, Seconds: 2, Median: 0.5, P90: 0.9, P99: 0.99, P999: 0.999, Lag: 0.00099}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What was refused or not answered is an error and has no time; that the generator was
// late counts all the same.
func TestErrorsHaveNoTime(t *testing.T) {
	got := Of([]Request{
		{Took: time.Second, Status: 200},
		{Took: time.Hour, Status: 429, Waited: true},
		{Lag: time.Minute},
	}, time.Second, "status 429")
	want := Seen{Requests: 2, Errors: 2, Why: "status 429", Waited: 1, Seconds: 1, Median: 1, P90: 1, P99: 1, P999: 1, Lag: 60}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNothingWasSeen(t *testing.T) {
	if got := Of(nil, 0, ""); got != (Seen{}) {
		t.Errorf("got %+v", got)
	}
}
