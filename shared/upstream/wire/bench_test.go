package wire

import (
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
