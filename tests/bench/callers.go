package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"spillway/functions/app"
	"spillway/shared/auth"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/store/memory"
	"spillway/tests/bench/meter"
	"spillway/tests/bench/report"
)

// callers measures what many consumers cost: a part of them in the file, the rest
// in the table, and a part of both active.
type callers struct {
	inFile, inTable int
	active          int // of each nine in the table and one in the file
	rounds          int
}

func (callers) name() string { return "callers" }

func (c callers) about() string {
	return "what many consumers cost: reading the file, memory, the time to know a key"
}

// callersFigures is what was measured.
type callersFigures struct {
	Parse, Start  float64 // Seconds: reading the file, and building the gateway.
	Idle, Active  float64 // Bytes of the heap: before the first call, and after all active have called.
	InFile        report.Spread
	InTable       report.Spread
	Wrong         [3]report.Spread // Keys that are wrong from the first, the middle, the last character on.
	WrongOfFirst  report.Spread    // The last of them as a multiple of the first.
	firstRequests time.Duration
}

func (c callers) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	testing.Init() // Benchmarks outside of go test need it.
	if err := flag.Set("test.benchtime", "100ms"); err != nil {
		return report.Result{}, err
	}
	table := memory.New()
	if err := c.fill(ctx, table, progress); err != nil {
		return report.Result{}, err
	}
	var f callersFigures
	began := time.Now()
	cfg, err := config.Parse("gateway.yaml", []byte(c.file()), nil)
	if err != nil {
		return report.Result{}, err
	}
	f.Parse = time.Since(began).Seconds()
	if err := c.serve(ctx, cfg, table, &f); err != nil {
		return report.Result{}, err
	}
	fmt.Fprintf(progress, "  %d consumers have called, in %.1f s\n", c.active, f.firstRequests.Seconds())
	worked, used := time.Now(), meter.ProcessorTime()
	if err := c.lookups(ctx, cfg, table, &f, progress); err != nil {
		return report.Result{}, err
	}
	result := c.result(f)
	result.Voids = localVoids(time.Since(worked), meter.ProcessorTime()-used)
	return result, nil
}

func keyOf(i int) string { return fmt.Sprintf("sw-%08d-0123456789abcdef0123456789abcdef", i) }

// file is a configuration with the consumers from 0 on.
func (c callers) file() string {
	var b strings.Builder
	b.WriteString("access: keys\nbackends: [{ name: one, endpoint: \"http://one.test\", deployments: [{ model: gpt-4o }] }]\n" +
		"pools: [{ model: gpt-4o, members: [{ backend: one }] }]\nconsumers:\n")
	for i := range c.inFile {
		fmt.Fprintf(&b, "  - { name: consumer-%d, keys: [%q], tokensPerMinute: 100000, quotas: [{ tokens: 10000000, per: month }] }\n",
			i, config.KeyHash(sha256.Sum256([]byte(keyOf(i)))).Reveal())
	}
	return b.String()
}

// fill puts the other consumers into the table, an hour ago: who changes so many at
// this moment is another measurement.
func (c callers) fill(ctx context.Context, table *memory.Store, progress io.Writer) error {
	past, now := new(clock.Clock), time.Now()
	past.Observe(now.Add(-time.Hour), now, now)
	var directory *consumers.Directory
	for i := range c.inTable {
		if i%1000 == 0 { // one would watch over all that it has changed lately
			var err error
			if directory, err = consumers.New(consumers.Options{Store: table, Clock: past}); err != nil {
				return err
			}
		}
		n := c.inFile + i
		_, err := directory.Put(ctx, consumers.Change{By: "bench", Consumer: config.Consumer{
			Name: fmt.Sprintf("consumer-%d", n), Keys: []config.KeyHash{sha256.Sum256([]byte(keyOf(n)))},
			TokensPerMinute: 100000, Quotas: []config.Quota{{Tokens: 10000000, Per: "month"}},
		}})
		if err != nil {
			return fmt.Errorf("put consumer %d: %w", n, err)
		}
	}
	fmt.Fprintf(progress, "  %d consumers are in the table\n", c.inTable)
	return nil
}

// active is the i-th consumer that calls: one of ten is of the file.
func (c callers) caller(i int) int {
	if i%10 == 0 {
		return i / 10
	}
	return c.inFile + i
}

// serve starts a gateway and lets all active consumers call once.
func (c callers) serve(ctx context.Context, cfg *config.Config, table *memory.Store, f *callersFigures) error {
	before := heap()
	began := time.Now()
	gateway, err := app.New(ctx, cfg, app.Options{Store: table, Transport: canned{}})
	if err != nil {
		return err
	}
	f.Start = time.Since(began).Seconds()
	if err := callOnce(ctx, gateway, keyOf(0)); err != nil { // what the first call of all builds is no consumer's
		return err
	}
	f.Idle = heap() - before
	began = time.Now()
	for i := range c.active {
		if err := callOnce(ctx, gateway, keyOf(c.caller(i))); err != nil {
			return fmt.Errorf("consumer %d: %w", c.caller(i), err)
		}
	}
	f.firstRequests = time.Since(began)
	f.Active = heap() - before
	runtime.KeepAlive(gateway)
	return nil
}

// canned is a backend that remembers nothing: what it kept would be measured with
// the gateway.
type canned struct{}

func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	const answer = `{"id":"1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",` +
		`"message":{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}`
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)),
	}, nil
}

func callOnce(ctx context.Context, gateway http.Handler, key string) error {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o","max_tokens":1,"messages":[{"role":"user","content":"Hello"}]}`))
	r.Header.Set("Api-Key", key)
	w := httptest.NewRecorder()
	gateway.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("status %d: %s", w.Code, w.Body)
	}
	return nil
}

// heap is the memory in use.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// lookups measures how long it takes to know a key.
func (c callers) lookups(ctx context.Context, cfg *config.Config, table *memory.Store, f *callersFigures, progress io.Writer) error {
	directory, err := consumers.New(consumers.Options{Store: table})
	if err != nil {
		return err
	}
	authenticator, err := auth.New(cfg, auth.Options{Directory: directory})
	if err != nil {
		return err
	}
	var inFile, inTable []string
	for i := range c.active {
		key := keyOf(c.caller(i))
		if _, err := authenticator.Authenticate(ctx, withKey(key)); err != nil {
			return err
		}
		if i%10 == 0 {
			inFile = append(inFile, key)
		} else {
			inTable = append(inTable, key)
		}
	}
	alone, err := auth.New(cfg, auth.Options{}) // wrong keys are looked up in the file only, and never in a table
	if err != nil {
		return err
	}
	runs := []func(*testing.B){known(ctx, authenticator, inFile), known(ctx, authenticator, inTable)}
	right := keyOf(1)
	for _, same := range []int{0, len(right) / 2, len(right) - 1} {
		runs = append(runs, wrong(ctx, alone, right[:same]+strings.Repeat("?", len(right)-same)))
	}
	seen := make([][]float64, len(runs))
	for n := range c.rounds {
		for i, run := range runs {
			b := testing.Benchmark(run)
			if b.N == 0 {
				return errors.New("a look-up failed")
			}
			seen[i] = append(seen[i], nanoseconds(b))
		}
		fmt.Fprintf(progress, "  round %d of %d\n", n+1, c.rounds)
	}
	itself := func(v float64) float64 { return v }
	f.InFile, f.InTable = report.SpreadOf(seen[0], itself), report.SpreadOf(seen[1], itself)
	ratios := make([]float64, c.rounds)
	for i := range f.Wrong {
		f.Wrong[i] = report.SpreadOf(seen[2+i], itself)
	}
	for n := range ratios {
		ratios[n] = seen[4][n] / seen[2][n]
	}
	f.WrongOfFirst = report.SpreadOf(ratios, itself)
	return nil
}

func withKey(key string) *http.Request {
	return &http.Request{Header: http.Header{"Api-Key": {key}}}
}

func known(ctx context.Context, a *auth.Authenticator, all []string) func(*testing.B) {
	r := withKey("")
	return func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			r.Header["Api-Key"][0] = all[i*7919%len(all)] // as from the network: the request is at hand, its consumer is not
			if _, err := a.Authenticate(ctx, r); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func wrong(ctx context.Context, a *auth.Authenticator, key string) func(*testing.B) {
	r := withKey(key)
	return func(b *testing.B) {
		for b.Loop() {
			if _, err := a.Authenticate(ctx, r); err == nil {
				b.Fatal("a wrong key is let in")
			}
		}
	}
}

func (c callers) result(f callersFigures) report.Result {
	one := func(v float64) report.Spread { return report.Spread{Median: v, Least: v, Most: v} }
	var (
		milliseconds = report.Unit{Name: "ms", Scale: 1000}
		megabytes    = report.Unit{Name: "MiB", Scale: 1.0 / (1 << 20), Digits: 1}
		nanos        = report.Unit{Name: "ns"}
		perActive    = (f.Active - f.Idle) / float64(c.active)
	)
	return report.Result{
		Title:   fmt.Sprintf("%d consumers in the file, %d in the table, %d of them active; each with one key, a rate limit and a quota", c.inFile, c.inTable, c.active),
		Columns: []string{"what", "figure"},
		Rows: [][]string{
			{"read and check the file", one(f.Parse).Text(milliseconds)},
			{"build the gateway", one(f.Start).Text(milliseconds)},
			{"heap after the first call of all", one(f.Idle).Text(megabytes)},
			{"heap after a call of each active consumer", one(f.Active).Text(megabytes)},
			{"of it per active consumer: limits and their rows in the memory store, counters, cache", fmt.Sprintf("%.0f bytes", perActive)},
			{"know a key of the file", f.InFile.Text(nanos)},
			{"know a key of the table", f.InTable.Text(nanos)},
			{"refuse a key that is wrong from the first character on", f.Wrong[0].Text(nanos)},
			{"refuse a key that is wrong from the middle on", f.Wrong[1].Text(nanos)},
			{"refuse a key that is wrong in its last character", f.Wrong[2].Text(nanos)},
			{"the last as a multiple of the first of these", f.WrongOfFirst.Text(hundredths)},
		},
		Goals: []report.Goal{
			report.AtMost("know a key of the file, ns", f.InFile, 1000, whole),
			report.AtMost("know a key of the table, ns", f.InTable, 1000, whole),
			report.AtMost("refuse an almost right key, as a multiple of a wholly wrong one", f.WrongOfFirst, 1.1, hundredths),
		},
		Figures: f,
	}
}
