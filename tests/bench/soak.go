package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/meter"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/streams/seen"
	"spillway/tests/bench/wrk"
)

// soak watches the memory of a Spillway under a mixed load for long.
type soak struct {
	*traffic
}

func (soak) name() string { return "soak" }

func (soak) about() string {
	return "resident memory under a mixed load for long (--soak): short requests, prompts of 100 kB, streams, attempts that are refused"
}

// moment is what was seen once.
type moment struct{ Second, Resident float64 }

func (s soak) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := s.reading(ctx, s.name(), progress, "--events", fmt.Sprint(streamEvents), "--every", streamEvery.String())
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	contender, err := stand.StartSpillway(ctx, folder, s.tools.spillway, upstream, stand.Settings{Name: spillway, Limited: true, Discard: true})
	if err != nil {
		return report.Result{}, err
	}
	defer contender.Stop()
	stop := make(chan struct{})
	sampled := make(chan []moment)
	go func() { sampled <- sample(contender, stop, progress) }()
	turns, err := s.load(ctx, folder, contender)
	close(stop)
	samples := <-sampled
	if err != nil {
		return report.Result{}, err
	}
	return soakResult(s.soak, samples, turns), nil
}

// sample reads the memory every second until stop is closed.
func sample(c *stand.Contender, stop <-chan struct{}, progress io.Writer) (all []moment) {
	began := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return all
		case <-ticker.C:
		}
		resident, err := meter.Resident(c.PID())
		if err != nil {
			return nil // it has ended: there is nothing to judge
		}
		all = append(all, moment{time.Since(began).Seconds(), resident})
		if len(all)%60 == 0 {
			fmt.Fprintf(progress, "  %d min: %.1f MiB\n", len(all)/60, resident/(1<<20))
		}
	}
}

// load sends everything at once, and returns what each part has seen.
func (s soak) load(ctx context.Context, folder string, c *stand.Contender) (turns map[string]load.Turn, err error) {
	parts := map[string]func() (load.Turn, error){
		"short requests": func() (load.Turn, error) {
			return s.requests(ctx, c, wrk.Load{Body: stand.Short, Connections: 16, Pause: 20 * time.Millisecond})
		},
		"prompts of 100 kB": func() (load.Turn, error) {
			return s.requests(ctx, c, wrk.Load{Body: prompt(promptSizes[0]), Connections: 2, Pause: 50 * time.Millisecond})
		},
		"streams": func() (load.Turn, error) { return s.streams(ctx, folder, c) },
	}
	turns = make(map[string]load.Turn)
	var mu sync.Mutex
	var group sync.WaitGroup
	for name, part := range parts {
		group.Go(func() {
			turn, failed := part()
			mu.Lock()
			defer mu.Unlock()
			turns[name], err = turn, errors.Join(err, failed)
		})
	}
	group.Wait()
	return turns, err
}

func (s soak) requests(ctx context.Context, c *stand.Contender, l wrk.Load) (load.Turn, error) {
	l.URL, l.Header, l.For = c.URL(), c.Header, s.soak
	r, err := wrk.Run(ctx, s.tools.wrk, l)
	return load.Turn{Requests: r.Requests, Errors: r.Errors, Seconds: r.Seconds}, err
}

// streams opens streams again and again.
func (s soak) streams(ctx context.Context, folder string, c *stand.Contender) (t load.Turn, err error) {
	const streams = 50
	for began := time.Now(); time.Since(began) < s.soak; {
		var got seen.Seen
		g, err := s.opens(ctx, folder, c, streams, time.Second)
		if err == nil {
			got, err = ended[seen.Seen](g)
		}
		if err != nil {
			return t, err
		}
		t.Requests += int64(got.Streams)
		t.Errors += int64(got.Errors)
		t.Seconds += got.Seconds
	}
	return t, nil
}

// soakResult judges what was seen: the memory of the last fifth is that of the second.
// In the first one buffers and caches fill.
func soakResult(long time.Duration, samples []moment, turns map[string]load.Turn) report.Result {
	const parts, least, bound = 5, 10, 1.05
	r := report.Result{
		Title:   fmt.Sprintf("%v of a mixed load; one attempt of twenty at the first 10 of 12 backends is refused", long),
		Columns: []string{"what", "figure"},
		Figures: map[string]any{"memory": samples, "load": turns},
	}
	for name, t := range turns {
		r.Rows = append(r.Rows, []string{name, fmt.Sprintf("%d in all, %.0f/s", t.Requests, t.Rate())})
		if t.Errors > 0 || t.Requests == 0 {
			r.Voids = append(r.Voids, fmt.Sprintf("%s: %d errors in %d", name, t.Errors, t.Requests))
		}
	}
	sortRows(r.Rows)
	each := len(samples) / parts
	var growth report.Spread
	ok := each >= least && len(r.Voids) == 0
	if each < least {
		r.Voids = append(r.Voids, fmt.Sprintf("the memory was seen %d times only", len(samples)))
	} else {
		of := func(m moment) float64 { return m.Resident }
		for n := range parts {
			part := samples[n*each : (n+1)*each]
			r.Rows = append(r.Rows, []string{
				fmt.Sprintf("memory from %.0f s on", part[0].Second), report.SpreadOf(part, of).Text(report.Unit{Name: "MiB", Scale: 1.0 / (1 << 20), Digits: 1}),
			})
		}
		growth = report.SpreadOf(samples[(parts-1)*each:], of)
		second := report.SpreadOf(samples[each:2*each], of).Median
		growth = report.Spread{Median: growth.Median / second, Least: growth.Least / second, Most: growth.Most / second}
	}
	r.Goals = []report.Goal{goal("memory of the last fifth, as a multiple of the second fifth's", growth, ok, bound, hundredths)}
	return r
}
