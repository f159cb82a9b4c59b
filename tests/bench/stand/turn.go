package stand

import (
	"context"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/meter"
	"spillway/tests/bench/tool"
	"spillway/tests/bench/wrk"
)

// used is what everybody has used so far.
type used struct {
	contender, upstream, self time.Duration
	machine                   meter.Machine
	reached                   int64
}

func (u *Upstream) used(ctx context.Context, c *Contender) (now used, err error) {
	if now.reached, err = u.Count(ctx); err != nil {
		return now, u.explain(err)
	}
	if now.contender, err = meter.ProcessTime(c.PID()); err != nil {
		return now, c.explain(err)
	}
	if now.upstream, err = meter.ProcessTime(u.PID()); err != nil {
		return now, err
	}
	now.self = meter.ProcessorTime()
	now.machine, err = meter.ReadMachine()
	return now, err
}

// Measure runs a load on a contender and adds what it has cost. The load tells what it
// has seen and its own processor time.
func (u *Upstream) Measure(ctx context.Context, c *Contender, run func(context.Context) (load.Turn, error)) (load.Turn, error) {
	before, err := u.used(ctx, c)
	if err != nil {
		return load.Turn{}, err
	}
	if err := c.forget(); err != nil {
		return load.Turn{}, err
	}
	turn, err := run(ctx)
	if err != nil {
		return load.Turn{}, err
	}
	after, err := u.used(ctx, c)
	if err != nil {
		return load.Turn{}, err
	}
	turn.Contender, turn.Upstream = after.contender-before.contender, after.upstream-before.upstream
	turn.Reached = after.reached - before.reached - u.extra
	ours := turn.Upstream + turn.Generator + after.self - before.self
	if c.PID() != u.PID() {
		ours += turn.Contender
	}
	turn.Foreign = max(0, after.machine.Used-before.machine.Used-ours)
	turn.Stolen = after.machine.Stolen - before.machine.Stolen
	return turn, nil
}

// Requests is the load of wrk on a contender, whose URL and header it takes.
func (u *Upstream) Requests(ctx context.Context, c *Contender, generator tool.Tool, l wrk.Load) (load.Turn, error) {
	l.URL, l.Header = c.URL(), c.Header
	return u.Measure(ctx, c, func(ctx context.Context) (load.Turn, error) {
		r, err := wrk.Run(ctx, generator, l)
		return load.Turn{
			Requests: r.Requests, Errors: r.Errors, Connections: l.Connections, Seconds: r.Seconds,
			Median: r.Median, P99: r.P99, Generator: r.Processor,
		}, err
	})
}
