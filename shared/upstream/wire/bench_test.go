package wire

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkRoundTrip is a small request and its answer on the loopback interface,
// here and by net/http, from one caller and from many.
func BenchmarkRoundTrip(b *testing.B) {
	at := listen(b, answering("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 7\r\nContent-Length: 300\r\n\r\n"+strings.Repeat("x", 300)))
	own := newTransport(b, func(s *http.Transport) { s.MaxIdleConnsPerHost, s.IdleConnTimeout = 1024, time.Minute })
	for name, transport := range map[string]http.RoundTripper{"wire": own, "net/http": own.settings} {
		one := func(b *testing.B) {
			r := request(b.Context(), b, "POST", at.url+"/v1/chat/completions", strings.Repeat("x", 150))
			r.Header.Set("Content-Type", "application/json")
			response, err := transport.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		b.Run(name+", one", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one(b)
			}
		})
		b.Run(name+", many", func(b *testing.B) {
			b.SetParallelism(16)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					one(b)
				}
			})
		})
	}
}

// BenchmarkHeader reads the header of an answer, here and by net/http.
func BenchmarkHeader(b *testing.B) {
	answer := "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\napim-request-id: 7\r\n" +
		"x-ratelimit-remaining-tokens: 9999\r\nx-ratelimit-remaining-requests: 99\r\nx-request-id: 7\r\nContent-Length: 300\r\n\r\n"
	req := request(b.Context(), b, "GET", "http://contoso.test/", "")
	for name, read := range map[string]func(*bufio.Reader, *http.Request) (*http.Response, error){"wire": readAnswer, "net/http": http.ReadResponse} {
		b.Run(name, func(b *testing.B) {
			r := bufio.NewReader(nil)
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(strings.NewReader(answer))
				_, _ = r.Peek(1)
				if response, err := read(r, req); err != nil || response.ContentLength != 300 {
					b.Fatal(response, err)
				}
			}
		})
	}
}
