package main

import (
	"context"
	"fmt"
	"io"

	"spillway/tests/bench/figures"
	"spillway/tests/bench/hotkey"
	"spillway/tests/bench/report"
)

// hotKey compares leases with a counter that is replaced for each request.
type hotKey struct{}

func (hotKey) name() string { return "hotkey" }

func (hotKey) about() string {
	return "grants per second on one key of a real table service (Azurite): leases against a counter"
}

func (hotKey) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	var rounds []hotkey.Round
	if err := figures.FromTest(ctx, "spillway/tests/bench/hotkey", progress, &rounds); err != nil {
		return report.Result{}, err
	}
	return hotKeyResult(rounds), nil
}

func hotKeyResult(rounds []hotkey.Round) report.Result {
	leases := func(r hotkey.Round) hotkey.Turn { return r.Leases }
	counter := func(r hotkey.Round) hotkey.Turn { return r.Counter }
	ratio := report.SpreadOf(rounds, func(r hotkey.Round) float64 { return r.Leases.Rate() / max(r.Counter.Rate(), 1) })
	result := report.Result{
		Title: fmt.Sprintf("%d writers ask for one request after another; %d rounds of %v for each contender, in turns, on the same Azurite;\none processor is left to it. Each round ends with an audit: what was granted is in the row",
			hotkey.Writers, hotkey.Rounds, hotkey.Measured),
		Columns: []string{"contender", "grants/s", "operations/s", "conflicts per write", "granted, not in the row"},
		Rows: [][]string{
			turnRow("a lease per writer", rounds, leases),
			turnRow("read and replace per request, pausing after a conflict", rounds, counter),
			{"the first as a multiple of the second", ratio.Text(whole), "", "", ""},
		},
		Goals:   []report.Goal{report.AtLeast("grants per second on one key, 16 writers, as a multiple of reading and replacing per request", ratio, 100, whole)},
		Figures: rounds,
	}
	for n, round := range rounds {
		for name, turn := range map[string]hotkey.Turn{"leases": round.Leases, "counter": round.Counter} {
			for _, void := range turn.Voids() {
				result.Voids = append(result.Voids, fmt.Sprintf("round %d, %s: %s", n+1, name, void))
			}
		}
		if round.Counter.Busy > hotkey.MaxBusy {
			result.Voids = append(result.Voids, fmt.Sprintf("round %d: driving the counter took %.0f %% of what this process may use, so that the table may not be what it waited for", n+1, 100*round.Counter.Busy))
		}
	}
	return result
}

func turnRow(name string, rounds []hotkey.Round, of func(hotkey.Round) hotkey.Turn) []string {
	spread := func(f func(hotkey.Turn) float64) report.Spread {
		return report.SpreadOf(rounds, func(r hotkey.Round) float64 { return f(of(r)) })
	}
	return []string{
		name,
		spread(hotkey.Turn.Rate).Text(whole),
		spread(func(t hotkey.Turn) float64 { return float64(t.Operations.Operations()) / t.Seconds }).Text(whole),
		spread(func(t hotkey.Turn) float64 {
			return float64(t.Operations.Conflicts) / float64(max(t.Operations.Writes, 1))
		}).Text(percent),
		fmt.Sprintf("%.0f", spread(func(t hotkey.Turn) float64 { return float64(t.OverGranted()) }).Most),
	}
}
