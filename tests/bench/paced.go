package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/openloop/seen"
	"spillway/tests/bench/stand"
)

// pace is a load of short requests that come at random, whether or not others have been
// answered.
type pace struct {
	rate        float64 // a second, on average
	connections int
	long        time.Duration
	seed        uint64 // the same gives the same times
}

// paced is a contender's turn under such a load.
func (t *traffic) paced(ctx context.Context, folder string, u *stand.Upstream, c *stand.Contender, p pace) (load.Turn, error) {
	return u.Measure(ctx, c, func(ctx context.Context) (load.Turn, error) {
		g, err := generate(ctx, t.tools.openloop, folder, c, stand.Short, "--rate", strconv.FormatFloat(p.rate, 'f', -1, 64), "--for", p.long.String(),
			"--connections", strconv.Itoa(p.connections), "--seed", strconv.FormatUint(p.seed, 10))
		if err != nil {
			return load.Turn{}, err
		}
		got, err := ended[seen.Seen](g)
		if err != nil {
			return load.Turn{}, err
		}
		return pacedTurn(got, p, g.processor())
	})
}

// pacedTurn is what was seen as a turn. What went wrong is worth more than how often.
func pacedTurn(got seen.Seen, p pace, processor time.Duration) (load.Turn, error) {
	if got.Errors > 0 {
		return load.Turn{}, fmt.Errorf("%d errors in %d requests: %s", got.Errors, got.Requests, got.Why)
	}
	return load.Turn{
		Requests: got.Requests, Connections: p.connections, Seconds: got.Seconds, Generator: processor,
		Median: got.Median, P90: got.P90, P99: got.P99, P999: got.P999, Lag: got.Lag,
	}, nil
}
