package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"spillway/shared/breaker"
	"spillway/tests/bench/meter"
)

// Watch is what one run of MeasureRefresh does.
type Watch struct {
	// Instances watch the breakers of Deployments, each of which has a row.
	Instances, Deployments int
	// Rate is the requests a second of each instance.
	Rate float64
	// Seconds is how long it takes.
	Seconds int
	// RoundTrip is how long an operation on the table takes.
	RoundTrip time.Duration
}

// Refreshes is what a run of Watch came to.
type Refreshes struct {
	// Requests are all instances' requests.
	Requests int64
	// Table is the operations on the table.
	Table meter.Count
	// PerSecond is the operations a second, and RowsPerSecond the rows that they
	// read.
	PerSecond, RowsPerSecond float64
}

// MeasureRefresh measures how often instances that serve requests read the rows of
// their breakers, while nothing happens to them. It must be called in a bubble.
func MeasureRefresh(w Watch) (Refreshes, error) {
	table, err := newTable(w.RoundTrip, 1)
	if err != nil {
		return Refreshes{}, err
	}
	boards := make([]*breaker.Board, w.Instances)
	for i := range boards {
		boards[i], err = breaker.New(breaker.Options{
			Store: table, Instance: fmt.Sprintf("instance-%d", i),
			Instances: func() int64 { return int64(w.Instances) },
		})
		if err != nil {
			return Refreshes{}, err
		}
		for d := range w.Deployments {
			boards[i].Deployment(fmt.Sprintf("backend-%d/model", d))
		}
	}
	if err := publish(boards[0]); err != nil {
		return Refreshes{}, err
	}
	// Half a minute until everybody has found its pace, then it counts.
	w.serve(boards, 30*time.Second)
	before := table.Count()
	began := time.Now()
	requests := w.serve(boards, time.Duration(w.Seconds)*time.Second)
	took := time.Since(began).Seconds()
	result := Refreshes{Requests: requests, Table: table.Count().Minus(before)}
	result.PerSecond = float64(result.Table.Operations()) / took
	result.RowsPerSecond = result.PerSecond * float64(w.Deployments)
	if result.Table.Writes > 0 {
		return result, errors.New("something was written although nothing happened")
	}
	return result, nil
}

// publish makes a row for every deployment.
func publish(b *breaker.Board) error {
	ctx := context.Background()
	for d := range b.All() {
		pass, ok := d.Admit(ctx)
		if !ok {
			return fmt.Errorf("%s admits nothing", d.ID())
		}
		pass.Throttled(time.Now().Add(20*time.Second), 429)
	}
	return b.Sync(ctx)
}

// serve makes requests for a time and returns how many. Each instance begins at
// another moment of the first interval between requests.
func (w Watch) serve(boards []*breaker.Board, during time.Duration) (requests int64) {
	ctx := context.Background()
	every := time.Duration(float64(time.Second) / w.Rate)
	counts := make([]int64, len(boards))
	var all sync.WaitGroup
	for i, board := range boards {
		all.Go(func() {
			<-time.After(every * time.Duration(i) / time.Duration(len(boards)))
			for range int64(during / every) {
				board.Refresh(ctx, time.Now())
				counts[i]++
				<-time.After(every)
			}
		})
	}
	all.Wait()
	for _, n := range counts {
		requests += n
	}
	return requests
}
