package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"spillway/shared/openai"
)

// BenchmarkRelay relays a stream of 200 events, without a network: what is ours
// of the cost. It comes in reads of ten events, or one by one.
func BenchmarkRelay(b *testing.B) {
	const count = 200
	source := strings.Repeat(delta("token"), count-2) + usageOnly + done
	for name, size := range map[string]int{"event per read": len(delta("token")), "ten events per read": 10 * len(delta("token"))} {
		b.Run(name, func(b *testing.B) {
			client := New(Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: 200, ContentLength: -1,
					Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: &pieces{text: source, size: size},
				}, nil
			})}) // the same for each
			backend, call := backendAt(b, "http://backend.test"), stream()
			call.DropUsage = true
			flush := func() error { return nil }
			b.ReportAllocs()
			for b.Loop() {
				r := client.Do(b.Context(), backend, call)
				if d := r.Relay(io.Discard, flush); d.Usage != usageOfAnswer {
					b.Fatal(d)
				}
				r.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/event")
		})
	}
}

// BenchmarkRelayTyped is BenchmarkRelay for the events of a response, ten in a read.
func BenchmarkRelayTyped(b *testing.B) {
	const count = 200
	source := created + strings.Repeat(word("token"), count-2) + completed
	client := New(Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ContentLength: -1,
			Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: &pieces{text: source, size: 10 * len(word("token"))},
		}, nil
	})})
	backend, call := backendAt(b, "http://backend.test"), typedCall(openai.Responses)
	flush := func() error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		r := client.Do(b.Context(), backend, call)
		if d := r.Relay(io.Discard, flush); d.Usage != usageOfAnswer || d.Err != nil {
			b.Fatal(d)
		}
		r.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/event")
}

// BenchmarkPlain makes an attempt with a small JSON answer, without a network.
func BenchmarkPlain(b *testing.B) {
	client := New(Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ContentLength: int64(len(chatAnswer)),
			Header: http.Header{"Content-Type": {"application/json"}}, Body: &pieces{text: chatAnswer, size: len(chatAnswer)},
		}, nil
	})})
	backend, call := backendAt(b, "http://backend.test"), chat()
	b.ReportAllocs()
	for b.Loop() {
		r := client.Do(b.Context(), backend, call)
		if d := r.Relay(io.Discard, nil); d.Usage != usageOfAnswer {
			b.Fatal(d)
		}
		r.Close()
	}
}

// BenchmarkPlainOverTCP is BenchmarkPlain on the loopback interface; "bare" is
// the same exchange by the transport alone.
func BenchmarkPlainOverTCP(b *testing.B) {
	client, backend := serve(b, answer(200, "application/json", chatAnswer))
	call := chat()
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			request, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, backend.Endpoint.String()+"/x", call.Body.NewReader())
			request.ContentLength = call.Body.Size()
			request.Header = call.Header.Clone()
			response, err := client.options.Transport.RoundTrip(request)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	})
	b.Run("attempt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := client.Do(b.Context(), backend, call)
			if d := r.Relay(io.Discard, nil); d.Usage != usageOfAnswer {
				b.Fatal(d)
			}
			r.Close()
		}
	})
}

// BenchmarkOpenStreams opens many streams that wait for their next event, and
// reports the memory of each: the backend's side of it (a connection and a
// goroutine without buffers) is in the figure.
func BenchmarkOpenStreams(b *testing.B) {
	const streams = 2000
	backend := quietBackend(b)
	for b.Loop() {
		client := New(Options{})
		before := memory()
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{}, streams)
		waiting := make(chan struct{}, streams)
		for range streams {
			go func() {
				defer func() { ended <- struct{}{} }()
				r := client.Do(ctx, backend, stream())
				defer r.Close()
				if r.Outcome != OK {
					b.Error(r.Err)
				}
				r.Relay(writer(func(p []byte) (int, error) {
					waiting <- struct{}{}
					return len(p), nil
				}), nil)
			}()
		}
		for range streams {
			<-waiting
		}
		b.ReportMetric(float64(memory()-before)/streams/1024, "KiB/stream")
		cancel()
		for range streams {
			<-ended
		}
	}
}

// quietBackend sends one event on each connection, and then nothing.
func quietBackend(b *testing.B) *Backend {
	return rawBackend(b, func(c net.Conn) {
		request, err := http.ReadRequest(bufio.NewReaderSize(c, 16))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		request = nil // It would be counted as the stream's memory.
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(delta("a")), delta("a"))
		_, _ = c.Read(make([]byte, 1))
	})
}

// memory is what is in use when nothing more is given back.
func memory() uint64 {
	for before := uint64(math.MaxUint64); ; {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := m.HeapInuse + m.StackInuse
		if now >= before {
			return now
		}
		before = now
	}
}
