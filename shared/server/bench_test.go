package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// contenders make a server with settings.
var contenders = map[string]func(*http.Server) service{
	"server":   func(s *http.Server) service { return New(s) },
	"net/http": func(s *http.Server) service { return s },
}

// usualRequest is the header that an SDK sends, in short.
const usualRequest = "POST /v1/chat/completions HTTP/1.1\r\nhost: contoso.test\r\naccept: application/json\r\nauthorization: Bearer key\r\n" +
	"x-stainless-lang: js\r\ncontent-type: application/json\r\ncontent-length: 150\r\n\r\n"

// BenchmarkRequest is a small request and its answer on the loopback interface,
// here and by net/http.
func BenchmarkRequest(b *testing.B) {
	body := []byte(strings.Repeat("x", 300))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	request := []byte(post("api-version=1", strings.Repeat("x", 150)))
	for name, of := range contenders {
		b.Run(name, func(b *testing.B) {
			c := benchClient(b, of(settings(handler)))
			answer := make([]byte, 0, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Write(request)
				n, err := c.Read(answer[:cap(answer)])
				if err != nil || n < len(body) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// endless is a client's connection on which the same request comes again and again, each
// when the one before it has been answered.
type endless struct {
	*scripted
	request string
	left    int
}

func (c *endless) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.EOF
	}
	return copy(p, c.request), nil
}

func (c *endless) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkServe is a usual request, but for what the system does for it.
func BenchmarkServe(b *testing.B) {
	answer := []byte(strings.Repeat("x", 300))
	s := New(settings(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for _, name := range usualAnswer {
			w.Header()[name] = usualValue
		}
		_, _ = w.Write(answer)
	}), func(s *http.Server) { s.IdleTimeout = time.Minute }))
	c := newConn(s, &endless{script(), usualRequest + strings.Repeat("x", 150), b.N}, context.Background(), nil)
	b.ReportAllocs()
	b.ResetTimer()
	c.serve()
}

var (
	usualAnswer = []string{
		"Content-Type", "Content-Length", "Date", "Apim-Request-Id", "X-Request-Id", "X-Ms-Region", "X-Ratelimit-Limit-Requests",
		"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Remaining-Tokens", "Strict-Transport-Security", "X-Content-Type-Options",
	}
	usualValue = []string{"300"}
)

// BenchmarkRead is to read a usual request's header, here and by net/http.
func BenchmarkRead(b *testing.B) {
	text := usualRequest
	header := make(http.Header)
	for name, read := range map[string]func(*bufio.Reader) *http.Request{
		"server": func(r *bufio.Reader) *http.Request {
			clear(header)
			return readPlain(r, header)
		},
		"net/http": func(r *bufio.Reader) *http.Request {
			request, _ := http.ReadRequest(r)
			return request
		},
	} {
		b.Run(name, func(b *testing.B) {
			source, reader := strings.NewReader(""), bufio.NewReader(nil)
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(text)
				reader.Reset(source)
				if _, err := reader.Peek(len(text)); err != nil || read(reader) == nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEvent is an event of a stream, here and by net/http.
func BenchmarkEvent(b *testing.B) {
	event := []byte("data: " + strings.Repeat("x", 300) + "\n\n")
	for name, of := range contenders {
		b.Run(name, func(b *testing.B) {
			next := make(chan struct{})
			c := benchClient(b, of(settings(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for range next {
					_, _ = w.Write(event)
					w.(http.Flusher).Flush()
				}
			}))))
			_, _ = io.WriteString(c, get(""))
			go func() { _, _ = io.Copy(io.Discard, c) }()
			b.ReportAllocs()
			for b.Loop() {
				next <- struct{}{}
			}
			close(next)
		})
	}
}

// benchClient connects to a server that is started for it.
func benchClient(b *testing.B, s service) net.Conn {
	c, err := net.Dial("tcp", onNetwork(b, s))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}
