// Package seen holds what the open-loop generator has seen.
package seen

import (
	"slices"
	"time"
)

// Request is what was seen of one request.
type Request struct {
	// Lag is by how much later than due the generator has turned to it.
	Lag time.Duration
	// Took is the time from when it was due to the end of its answer.
	Took time.Duration
	// Status is the answer's; 0: there was none.
	Status int
	// Waited says that no connection was free when it was due.
	Waited bool
}

// Seen is what was seen of all requests. Times are in seconds.
type Seen struct {
	// Requests were answered, Errors of them with another status than 200, or not at
	// all; Why is what went wrong with one of them.
	Requests, Errors int64
	Why              string
	// Waited are those for which no connection was free at once.
	Waited int64
	// Seconds are from the beginning to the last answer.
	Seconds float64
	// Median, P90, P99 and P999 are of the time from when a request was due to the
	// end of its answer, of those that were answered well.
	Median, P90, P99, P999 float64
	// Lag is the 99th percentile of how late the generator was.
	Lag float64
}

// Of sums up.
func Of(all []Request, took time.Duration, why string) Seen {
	s := Seen{Seconds: took.Seconds(), Why: why}
	times, lags := make([]time.Duration, 0, len(all)), make([]time.Duration, 0, len(all))
	for _, r := range all {
		lags = append(lags, r.Lag)
		if r.Waited {
			s.Waited++
		}
		if r.Status != 0 {
			s.Requests++
		}
		if r.Status != ok {
			s.Errors++
			continue
		}
		times = append(times, r.Took)
	}
	slices.Sort(times)
	slices.Sort(lags)
	s.Median, s.P90, s.P99, s.P999 = quantile(times, 500), quantile(times, 900), quantile(times, 990), quantile(times, 999)
	s.Lag = quantile(lags, 990)
	return s
}

// ok is the status of an answer that counts.
const ok = 200

// quantile returns the time that so many of a thousand do not exceed.
func quantile(sorted []time.Duration, thousandths int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*thousandths + 999) / 1000
	return sorted[max(rank, 1)-1].Seconds()
}
