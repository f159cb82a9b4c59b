package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/tests/bench/meter"
)

// Traffic is what one run of Operations does.
type Traffic struct {
	// Instances share one limit of Limit tokens per minute.
	Instances int
	Limit     int64
	// Rate is the requests a second, of all instances together. They come at
	// random moments (as a Poisson process) to random instances.
	Rate float64
	// Mean is the mean of the requests' sizes in tokens, which are log-normal:
	// the logarithm has the standard deviation Sigma.
	Mean, Sigma float64
	// Least is the least part of its size that a request really uses, at most 1:
	// an estimate is an upper bound.
	Least float64
	// Windows is how many minutes the run takes.
	Windows int
	// RoundTrip is how long an operation on the table takes.
	RoundTrip time.Duration
	// Seed of sizes, moments and instances.
	Seed uint64
}

// Operations is what a run of Traffic came to.
type Operations struct {
	// Requests asked for tokens, Granted of them got some, Contended were told to
	// come again at once because others were faster at the table.
	Requests, Granted, Contended int64
	// Table is the operations on the table.
	Table meter.Count
	// WorstWait is the longest that a request waited for its answer.
	WorstWait time.Duration
	// OverLimit is the tokens that were in use beyond the limit, by the count of
	// the requests themselves: the worst of all windows.
	OverLimit int64
	// Used is the mean over the windows of the tokens used, as a part of the limit.
	Used float64
	// Failures are requests that got an answer which a table that always works
	// does not excuse.
	Failures int64
}

// PerRequest returns the operations per request.
func (o Operations) PerRequest() float64 {
	return float64(o.Table.Operations()) / float64(max(o.Requests, 1))
}

// ConflictShare returns the part of the writes that met a conflict.
func (o Operations) ConflictShare() float64 {
	return float64(o.Table.Conflicts) / float64(max(o.Table.Writes, 1))
}

// request is one request, as drawn before anything runs.
type request struct {
	instance int
	size     int64         // Tokens that it reserves.
	actual   int64         // Tokens that it settles for.
	takes    time.Duration // From the reservation to the settlement.
}

// MeasureOperations runs the traffic. It must be called in a bubble, whose time is at
// the start of a minute.
func MeasureOperations(t Traffic) (Operations, error) {
	table, err := newTable(t.RoundTrip, t.Seed)
	if err != nil {
		return Operations{}, err
	}
	limits := make([]*lease.Limit, t.Instances)
	var engines []*lease.Engine
	for i := range limits {
		engine, err := lease.New(lease.Options{
			Store: table, Instance: fmt.Sprintf("instance-%d", i), OnUnavailable: lease.Deny,
		})
		if err != nil {
			return Operations{}, err
		}
		engines = append(engines, engine)
		limits[i] = engine.Limit("hot", t.Limit, quota.Minute)
	}

	books := newBooks(t)
	random := rand.New(rand.NewPCG(t.Seed, 1))
	start := time.Now()
	end := start.Add(time.Duration(t.Windows) * time.Minute)
	var open sync.WaitGroup
	for at := start; ; {
		at = at.Add(time.Duration(random.ExpFloat64() / t.Rate * float64(time.Second)))
		if !at.Before(end) {
			break
		}
		<-time.After(time.Until(at))
		r := t.draw(random)
		open.Go(func() { books.serve(limits[r.instance], r) })
	}
	<-time.After(time.Until(end))
	result := books.close()
	result.Table = table.Count()
	open.Wait()
	for _, engine := range engines {
		engine.GiveBack(context.Background()) // Nothing outlives the bubble.
	}
	if result.Requests == 0 {
		return result, errors.New("no request was made")
	}
	return result, nil
}

// draw draws a request.
func (t Traffic) draw(random *rand.Rand) request {
	median := math.Log(t.Mean) - t.Sigma*t.Sigma/2
	size := min(max(int64(math.Exp(median+t.Sigma*random.NormFloat64())), 1), t.Limit)
	return request{
		instance: random.IntN(t.Instances),
		size:     size,
		actual:   max(int64(float64(size)*(t.Least+(1-t.Least)*random.Float64())), 1),
		takes:    time.Second + time.Duration(random.Int64N(int64(9*time.Second))),
	}
}

// books counts what the requests see. It is the judge of the limit: it knows
// nothing of rows and leases.
type books struct {
	limit int64
	start time.Time

	mu     sync.Mutex
	used   []int64 // Tokens reserved and not given back, by window. Guarded by mu.
	result Operations
}

func newBooks(t Traffic) *books {
	// The last requests are answered a little after the last window.
	return &books{limit: t.Limit, start: time.Now(), used: make([]int64, t.Windows+1)}
}

// serve makes one request.
func (b *books) serve(l *lease.Limit, r request) {
	asked := time.Now()
	reservation, verdict := l.Reserve(context.Background(), r.size)
	answered := time.Now()
	b.note(verdict, answered.Sub(asked))
	if !verdict.OK() {
		return
	}
	b.charge(answered, r.size)
	<-time.After(r.takes)
	reservation.Settle(r.actual)
	if b.window(time.Now()) == b.window(answered) {
		b.charge(answered, r.actual-r.size)
	}
}

func (b *books) note(verdict lease.Verdict, waited time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result.Requests++
	b.result.WorstWait = max(b.result.WorstWait, waited)
	switch verdict.Outcome {
	case lease.Granted:
		b.result.Granted++
	case lease.Contended:
		b.result.Contended++
	case lease.Full:
	default:
		b.result.Failures++
	}
}

func (b *books) charge(at time.Time, tokens int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.window(at)
	b.used[w] += tokens
	b.result.OverLimit = max(b.result.OverLimit, b.used[w]-b.limit)
}

func (b *books) window(at time.Time) int {
	return min(int(at.Sub(b.start)/time.Minute), len(b.used)-1)
}

// close returns the result so far.
func (b *books) close() Operations {
	b.mu.Lock()
	defer b.mu.Unlock()
	result := b.result
	windows := b.used[:len(b.used)-1]
	for _, used := range windows {
		result.Used += float64(used) / float64(b.limit) / float64(len(windows))
	}
	return result
}
