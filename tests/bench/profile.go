package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/wrk"
)

// profiling keeps the profiles of a Spillway under load.
type profiling struct {
	*traffic
	long time.Duration // of each load; longer than the profiles take
}

func (profiling) name() string { return "profile" }

func (profiling) about() string {
	return "profiles under load, into --profiles: processor, heap, waiting for locks and channels, goroutines"
}

// profiles are what is asked for while a load runs.
var profiles = []struct{ name, query string }{
	{"cpu", "profile?seconds=10"}, {"heap", "heap"}, {"allocs", "allocs"}, {"mutex", "mutex?seconds=2"}, {"block", "block?seconds=2"}, {"goroutine", "goroutine"},
}

func (p profiling) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	if err := os.MkdirAll(p.profiles, 0o755); err != nil {
		return report.Result{}, err
	}
	folder, upstream, err := p.reading(ctx, p.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	contender, err := p.start(ctx, folder, upstream, spillway)
	if err != nil {
		return report.Result{}, err
	}
	defer contender.Stop()
	result := report.Result{Title: "look at one with go tool pprof -http :0 " + p.profiles + "/cpu-short.pprof", Columns: []string{"file", "bytes"}}
	for load, body := range map[string][]byte{"short": stand.Short, "prompt": prompt(promptSizes[0])} {
		fmt.Fprintf(progress, "  %s requests\n", load)
		rows, err := p.under(ctx, contender, load, body)
		if err != nil {
			return report.Result{}, err
		}
		result.Rows = append(result.Rows, rows...)
	}
	sortRows(result.Rows)
	return result, nil
}

// under fetches all profiles while a load runs.
func (p profiling) under(ctx context.Context, c *stand.Contender, load string, body []byte) (rows [][]string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := wrk.Run(ctx, p.tools.wrk, wrk.Load{URL: c.URL(), Header: c.Header, Body: body, Connections: 16, For: p.long})
		ended <- err
	}()
	for _, one := range profiles {
		content, failed := c.Inside(ctx, "/spillway/debug/pprof/"+one.query)
		if failed != nil {
			err = fmt.Errorf("the profile %s: %w", one.name, failed)
			break
		}
		file := filepath.Join(p.profiles, one.name+"-"+load+".pprof")
		if err = os.WriteFile(file, content, 0o644); err != nil {
			break
		}
		rows = append(rows, []string{file, fmt.Sprint(len(content))})
	}
	if err != nil {
		cancel()
		<-ended
		return nil, err
	}
	defer cancel()
	return rows, <-ended
}

// sortRows sorts by the first cell.
func sortRows(rows [][]string) {
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
}
