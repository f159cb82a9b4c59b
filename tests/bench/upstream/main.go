// Command upstream is the benchmark's simulated backend for what a static answer cannot
// show: it reads the whole of a prompt before it answers, and paces its streams.
//
//	upstream --listen 127.0.0.1:0 [--events 200] [--every 20ms] [--hold] [--idle 1h] [--refusing 127.0.0.1:0]
//
// It prints the address that it listens on, and with --refusing a second one, where one
// POST of twenty is answered with 429 and may be made again a millisecond later. A POST whose body asks for a stream gets
// one of as many events, any other a fixed answer. GET /count tells the requests so far.
// With --hold, streams go on until POST /release, and then end well.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"spillway/tests/bench/files"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "the address")
	var b backend
	flag.IntVar(&b.events, "events", 200, "events of a stream")
	flag.DurationVar(&b.every, "every", 20*time.Millisecond, "the time between two events")
	refusing := flag.String("refusing", "", "a second address, where some are refused")
	hold := flag.Bool("hold", false, "streams go on until they are released")
	idle := flag.Duration("idle", time.Hour, "the time after which an idle connection is closed")
	flag.Parse()
	if *hold {
		b.released = make(chan struct{})
	}
	files.Raise()
	failed := make(chan error, 2)
	serve := func(address string, handler http.Handler) {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, IdleTimeout: *idle}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			failed <- err
			return
		}
		fmt.Printf("listening %s\n", listener.Addr())
		failed <- server.Serve(listener)
	}
	go serve(*listen, &b)
	if *refusing != "" {
		go serve(*refusing, &refuser{good: &b})
	}
	fmt.Fprintln(os.Stderr, "upstream:", <-failed)
	os.Exit(1)
}

// refuser refuses one request of twenty.
type refuser struct {
	good     http.Handler
	requests atomic.Int64
}

// ServeHTTP implements http.Handler.
func (f *refuser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const every = 20
	if f.requests.Add(1)%every != 0 {
		f.good.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After-Ms", "1")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = io.WriteString(w, `{"error":{"code":"429","message":"too many requests"}}`) // who is gone needs no answer
}

// backend answers.
type backend struct {
	events   int
	every    time.Duration
	released chan struct{} // closed by a release; nil: streams end by themselves
	once     sync.Once
	requests atomic.Int64
}

const (
	plain = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",` +
		`"message":{"role":"assistant","content":"Hello! How can I help you today?"}}],"usage":{"prompt_tokens":19,"completion_tokens":9,"total_tokens":28}}`
	chunk    = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}` + "\n\n"
	finish   = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	measured = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":200,"total_tokens":219}}` + "\n\n"
	done     = "data: [DONE]\n\n"
)

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet:
		fmt.Fprintln(w, b.requests.Load())
		return
	case r.URL.Path == "/release":
		b.release()
		return
	}
	b.requests.Add(1)
	stream, usage, err := read(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if stream {
		b.stream(w, r, usage)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, plain) // who is gone needs no answer
}

// release ends the streams that are held.
func (b *backend) release() {
	if b.released != nil {
		b.once.Do(func() { close(b.released) })
	}
}

// buffers are reused, so that reading a prompt costs what copying it costs.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// read reads the body to its end, and tells whether it asks for a stream, and for the
// stream's usage. It looks at the beginning and at the end only.
func read(body io.Reader) (stream, usage bool, err error) {
	buffer := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		stream = stream || asks(buffer[:n], `"stream":true`)
		usage = usage || asks(buffer[:n], `"include_usage":true`)
		if err == io.EOF {
			return stream, usage, nil
		}
		if err != nil {
			return false, false, err
		}
	}
}

func asks(part []byte, word string) bool {
	const window = 2 << 10
	return bytes.Contains(part[:min(len(part), window)], []byte(word)) || bytes.Contains(part[max(0, len(part)-window):], []byte(word))
}

func (b *backend) stream(w http.ResponseWriter, r *http.Request, usage bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	to := http.NewResponseController(w)
	send := func(event string) bool {
		_, err := io.WriteString(w, event)
		return err == nil && to.Flush() == nil
	}
	ticker := time.NewTicker(b.every)
	defer ticker.Stop()
	for n := 1; send(chunk) && (n < b.events || b.released != nil); n++ {
		select {
		case <-ticker.C:
			continue
		case <-b.released:
		case <-r.Context().Done():
			return
		}
		break
	}
	last := finish
	if usage {
		last += measured
	}
	send(last + done)
}
