// Package otlp is a collector for tests: it takes metrics and traces by OTLP over HTTP,
// as protobuf, and shows what it was sent. It can answer with errors, or not at all.
package otlp

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector receives telemetry. It is safe for concurrent use; make it with Start.
type Collector struct {
	server *httptest.Server
	gone   chan struct{} // closed by Close: whoever hangs may end

	mu      sync.Mutex
	status  int            // Answered instead of 200. Guarded by mu.
	hang    bool           // Guarded by mu.
	heard   chan struct{}  // Closed and replaced with each request. Guarded by mu.
	calls   map[string]int // By path. Guarded by mu.
	headers http.Header    // Of the last request. Guarded by mu.
	metrics []Metric       // As last sent, by service and name. Guarded by mu.
	spans   []Span         // All. Guarded by mu.
	refused []error        // What could not be read. Guarded by mu.
}

// Start starts a collector on a port of this machine.
func Start() *Collector {
	c := &Collector{gone: make(chan struct{}), heard: make(chan struct{}), calls: make(map[string]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, r *http.Request) {
		request := new(collectormetrics.ExportMetricsServiceRequest)
		c.take(w, r, request, func() { c.keepMetrics(request) }, new(collectormetrics.ExportMetricsServiceResponse))
	})
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		request := new(collectortrace.ExportTraceServiceRequest)
		c.take(w, r, request, func() { c.keepSpans(request) }, new(collectortrace.ExportTraceServiceResponse))
	})
	c.server = httptest.NewServer(mux)
	return c
}

// URL is what OTEL_EXPORTER_OTLP_ENDPOINT is to be set to.
func (c *Collector) URL() string { return c.server.URL }

// Close stops the collector, and lets go of those that hang.
func (c *Collector) Close() {
	close(c.gone)
	c.server.Close()
}

// Fail lets all further requests be answered with a status; 0: as usual.
func (c *Collector) Fail(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Hang lets all further requests be taken and not be answered.
func (c *Collector) Hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hang = true
}

// take reads one request, keeps what it holds, and answers it.
func (c *Collector) take(w http.ResponseWriter, r *http.Request, request proto.Message, keep func(), answer proto.Message) {
	err := read(r, request)
	c.mu.Lock()
	status, hang := c.status, c.hang
	c.calls[r.URL.Path]++
	c.headers = r.Header.Clone()
	switch {
	case err != nil:
		c.refused = append(c.refused, err)
		status = http.StatusBadRequest
	case status == 0 && !hang:
		keep()
	}
	close(c.heard)
	c.heard = make(chan struct{})
	c.mu.Unlock()
	if hang {
		select {
		case <-c.gone:
		case <-r.Context().Done():
		}
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	body, _ := proto.Marshal(answer)
	_, _ = w.Write(body)
}

// read reads a body of protobuf.
func read(r *http.Request, into proto.Message) error {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		return fmt.Errorf("otlp: a body of type %q", kind)
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return fmt.Errorf("otlp: %w", err)
		}
		body = unpacked
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	if err := proto.Unmarshal(data, into); err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	return nil
}

// Wait waits until a condition holds, which is asked again whenever something was
// sent, and tells whether it does before ctx ends.
func (c *Collector) Wait(ctx context.Context, holds func() bool) bool {
	for {
		c.mu.Lock()
		heard := c.heard
		c.mu.Unlock()
		if holds() {
			return true
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return false
		}
	}
}

// Calls is the number of requests for a path, such as "/v1/traces", however they were
// answered.
func (c *Collector) Calls(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[path]
}

// Header is the headers of the last request.
func (c *Collector) Header() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers.Clone()
}

// Refused is why requests could not be read.
func (c *Collector) Refused() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]error(nil), c.refused...)
}
