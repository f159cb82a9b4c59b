package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"spillway/functions/app"
	"spillway/shared/usage"
)

func countRecords(n *int) func(*usage.Record) {
	return func(*usage.Record) { *n++ }
}

// instant is a backend that answers at once: what is measured before it is the
// gateway itself.
type instant struct {
	header http.Header
	body   string
}

func (b *instant) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	r.Body.Close()
	length, err := strconv.ParseInt(b.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: b.header.Clone(), ContentLength: length, Request: r,
		Body: io.NopCloser(strings.NewReader(b.body)),
	}, nil
}

func instantPlain() *instant {
	const body = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"The flow of water over a weir keeps its level."},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":12,"total_tokens":512}}`
	return &instant{http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))}, "Apim-Request-Id": {"a"}, "X-Ms-Region": {"East US"},
		"X-Ratelimit-Limit-Tokens": {"1000000000"}, "X-Ratelimit-Remaining-Tokens": {"999999999"}}, body}
}

func instantStream() *instant {
	var body strings.Builder
	for i := range 50 {
		fmt.Fprintf(&body, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word%d\"},\"finish_reason\":null}],\"usage\":null}\n\n", i)
	}
	body.WriteString("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":500,\"completion_tokens\":50,\"total_tokens\":550}}\n\ndata: [DONE]\n\n")
	return &instant{http.Header{"Content-Type": {"text/event-stream"}, "Apim-Request-Id": {"a"}}, body.String()}
}

// sink is a client that takes everything.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) Flush()                      {}

// The deadlines are there as on any server's connection.
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkServe is one request of 2 KB with everything on: a key, limits of the
// consumer and of the deployment, breakers, accounting, a record.
func BenchmarkServe(b *testing.B) {
	for _, bench := range []struct {
		name    string
		backend *instant
		stream  bool
	}{{"plain", instantPlain(), false}, {"stream", instantStream(), true}} {
		b.Run(bench.name, func(b *testing.B) {
			served := 0
			a := newApp(b, everythingOn(), app.Options{Transport: bench.backend, Observe: func(r *usage.Record) {
				if r.Backend == "ptu" && r.Measured {
					served++
				}
			}})
			benchmarkChat(b, a, bench.stream)
			if served < b.N {
				b.Fatalf("%d of %d requests were served by the first backend", served, b.N)
			}
		})
	}
}
