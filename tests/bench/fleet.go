package main

import (
	"context"
	"fmt"
	"io"

	"spillway/tests/bench/figures"
	"spillway/tests/bench/fleet"
	"spillway/tests/bench/report"
)

// fleetFigures measures a fleet once for all sections about it.
type fleetFigures struct {
	figures *fleet.Figures
}

func (f *fleetFigures) get(ctx context.Context, progress io.Writer) (*fleet.Figures, error) {
	if f.figures == nil {
		var measured fleet.Figures
		if err := figures.FromTest(ctx, "spillway/tests/bench/fleet", progress, &measured); err != nil {
			return nil, err
		}
		f.figures = &measured
	}
	return f.figures, nil
}

// operations measures what a hot limit asks of the table.
type operations struct{ *fleetFigures }

func (operations) name() string { return "operations" }

func (operations) about() string {
	return "table operations per request of one hot limit, in virtual time"
}

func (o operations) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	all, err := o.get(ctx, progress)
	if err != nil {
		return report.Result{}, err
	}
	t := fleet.Hot(fleet.Rates[0], 0)
	result := report.Result{
		Title: fmt.Sprintf("%d instances share %d tokens a minute; log-normal sizes (mean %.0f, σ %.0f), of which %.0f to 100 %% are used,\nsettled after 1 to 10 s; %d windows, a round trip of %v, %d runs in virtual time",
			t.Instances, t.Limit, t.Mean, t.Sigma, 100*t.Least, t.Windows, t.RoundTrip, fleet.Runs),
		Columns: []string{"requests/s, in all", "operations/request", "conflicts per write", "worst wait", "told to come again", "over the limit", "limit used"},
		Figures: all.Operations,
	}
	for i, runs := range all.Operations {
		rate := fleet.Rates[i]
		perRequest := report.SpreadOf(runs, fleet.Operations.PerRequest)
		over := report.SpreadOf(runs, func(o fleet.Operations) float64 { return float64(o.OverLimit) })
		result.Rows = append(result.Rows, []string{
			fmt.Sprintf("%.0f", rate),
			perRequest.Text(thousandths),
			report.SpreadOf(runs, fleet.Operations.ConflictShare).Text(percent),
			report.SpreadOf(runs, func(o fleet.Operations) float64 { return float64(o.WorstWait) }).Text(milliseconds),
			report.SpreadOf(runs, func(o fleet.Operations) float64 { return float64(o.Contended) / float64(max(o.Requests, 1)) }).Text(percent),
			fmt.Sprintf("%.0f", over.Most),
			report.SpreadOf(runs, func(o fleet.Operations) float64 { return o.Used }).Text(percent),
		})
		result.Voids = append(result.Voids, operationsVoids(rate, runs)...)
		if rate == 500 {
			result.Goals = append(result.Goals, report.AtMost("table operations per request, 20 instances, 500 requests/s", perRequest, 0.03, thousandths))
		}
	}
	return result, nil
}

// operationsVoids says why not to believe some runs.
func operationsVoids(rate float64, runs []fleet.Operations) (voids []string) {
	for _, o := range runs {
		wanted := rate * 60 * float64(fleet.Hot(rate, 0).Windows)
		if made := float64(o.Requests); made < wanted*0.8 || made > wanted*1.2 {
			voids = append(voids, fmt.Sprintf("%.0f requests were made at %v a second, not about %.0f", made, rate, wanted))
		}
		if failures := o.Failures + o.Table.Failures; failures > 0 {
			voids = append(voids, fmt.Sprintf("%d failures at %v requests/s, of a table that does not fail", failures, rate))
		}
		if o.OverLimit > 0 {
			voids = append(voids, fmt.Sprintf("%d tokens over the limit at %v requests/s", o.OverLimit, rate))
		}
	}
	return voids
}

// refresh measures what watching the breakers asks of the table.
type refresh struct{ *fleetFigures }

func (refresh) name() string { return "refresh" }

func (refresh) about() string {
	return "table operations for the breakers of a growing fleet, in virtual time"
}

func (r refresh) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	all, err := r.get(ctx, progress)
	if err != nil {
		return report.Result{}, err
	}
	w := fleet.Watched(1)
	result := report.Result{
		Title: fmt.Sprintf("breakers of %d deployments, %.0f requests/s at each instance, nothing happens; %d s, a round trip of %v, in virtual time",
			w.Deployments, w.Rate, w.Seconds, w.RoundTrip),
		Columns: []string{"instances", "operations/s", "operations/request", "rows read/s"},
		Figures: all.Refreshes,
	}
	for i, measured := range all.Refreshes {
		result.Rows = append(result.Rows, []string{
			fmt.Sprint(fleet.Sizes[i]),
			fmt.Sprintf("%.1f", measured.PerSecond),
			fmt.Sprintf("%.3f", float64(measured.Table.Operations())/float64(max(measured.Requests, 1))),
			fmt.Sprintf("%.0f", measured.RowsPerSecond),
		})
		if measured.Table.Reads == 0 || measured.Table.Failures > 0 {
			result.Voids = append(result.Voids, fmt.Sprintf("%d instances: %+v", fleet.Sizes[i], measured.Table))
		}
	}
	most := report.SpreadOf(all.Refreshes, func(r fleet.Refreshes) float64 { return r.RowsPerSecond })
	most = report.Spread{Median: most.Most, Least: most.Most, Most: most.Most}
	result.Goals = []report.Goal{report.AtMost("breaker rows read per second from one partition, the largest fleet", most, fleet.PartitionRows, whole)}
	return result, nil
}

// How figures are written.
var (
	whole        = report.Unit{}
	tenths       = report.Unit{Digits: 1}
	thousandths  = report.Unit{Digits: 3}
	percent      = report.Unit{Name: "%", Scale: 100, Digits: 1}
	milliseconds = report.Unit{Name: "ms", Scale: 1e-6}
)
